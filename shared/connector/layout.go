package connector

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector/joda"
)

// The partitioners of Confluent's that are a TimeBasedPartitioner with fixed settings.
const (
	dailyPartitioner  = "DailyPartitioner"
	hourlyPartitioner = "HourlyPartitioner"
)

// partitionerClass is the simple name of partitioner.class.
func (e *examination) partitionerClass() string { return simpleClass(e.filled("partitioner.class")) }

func byTime(class string) bool {
	return class == TimeBasedPartitioner || class == dailyPartitioner || class == hourlyPartitioner
}

// refuse adds an error and marks the key's verdict.
func (e *examination) refuse(key, text, suggestion string) {
	e.fail(key, text, suggestion)
	for i := range e.verdicts {
		if e.verdicts[i].Key == key {
			e.verdicts[i].Class, e.verdicts[i].Reason = Refused, text
		}
	}
}

// unread marks the verdict on a key that has no meaning beside the others.
func (e *examination) unread(reason string, keys ...string) {
	for _, key := range keys {
		for i := range e.verdicts {
			if v := &e.verdicts[i]; v.Key == key && (v.Class == Honoured || v.Class == Ignored) {
				v.Class, v.Reason = Ignored, reason
			}
		}
	}
}

// judgeLayout judges what the keys of layout and rotation mean together: most hang on partitioner.class.
func (e *examination) judgeLayout() {
	class := e.partitionerClass()
	by := "the " + class + " does not read it"
	if class != FieldPartitioner {
		e.unread(by, "partition.field.name")
	} else if !e.has("partition.field.name") {
		e.fail("partition.field.name", "is missing, and the FieldPartitioner needs it", "write the field's name; nested with dots, several with commas")
	}
	e.judgeRotation(byTime(class))
	if !byTime(class) {
		e.unread(by, "partition.duration.ms", "path.format", "locale", "timestamp.extractor", "timestamp.field")
		if e.long("rotate.schedule.interval.ms") <= 0 {
			e.unread(by, "timezone")
		}
		return
	}
	if class != TimeBasedPartitioner {
		e.unread("the "+class+" has its own", "partition.duration.ms", "path.format")
	}
	if e.filled("timestamp.extractor") != "" && extractorName(e.filled("timestamp.extractor")) != RecordFieldExtractor {
		e.unread("timestamp.extractor does not read it", "timestamp.field")
	}
	for _, key := range []string{"locale", "timezone"} {
		if !e.has(key) {
			e.fail(key, "is missing, and the "+class+" needs it", map[string]string{"locale": `write "en-US"`, "timezone": `write "UTC", or an id like "Europe/Berlin"`}[key])
		}
	}
	if class == TimeBasedPartitioner && !e.open["partition.duration.ms"] && e.long("partition.duration.ms") < 1 {
		e.refuse("partition.duration.ms", "has to be above 0 for the TimeBasedPartitioner", `write "3600000" for an hour`)
	}
	e.judgePattern(class)
}

// judgeTopics refuses a dead-letter topic that the sink would read, as Connect does.
func (e *examination) judgeTopics() {
	const key = "errors.deadletterqueue.topic.name"
	dead := e.values[key]
	if dead == "" {
		return
	}
	matches := slices.Contains(commaList(e.values["topics"]), dead)
	if text := e.values["topics.regex"]; text != "" {
		re, err := regexp.Compile("^(?:" + text + ")$")
		matches = matches || err == nil && re.MatchString(dead)
	}
	if matches {
		e.refuse(key, "is one of the topics that the sink reads", "name another topic")
	}
}

// judgePattern judges the pattern of a layout by time.
func (e *examination) judgePattern(class string) {
	key := "path.format"
	if class != TimeBasedPartitioner {
		key = "directory.delim"
	}
	if e.open[key] || e.open["directory.delim"] || e.open["locale"] {
		return
	}
	pattern := e.pathFormat(class)
	if pattern == "" {
		e.refuse(key, "is missing, and the TimeBasedPartitioner needs it", `write "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH"`)
		return
	}
	f, err := joda.Compile(pattern)
	if err != nil {
		e.refuse(key, err.Error(), "write letters of Joda-Time's patterns (YYYY, MM, dd, HH, …), and text between single quotes")
		return
	}
	if locale := strings.ToLower(e.values["locale"]); f.Words() && e.has("locale") && !english(locale) {
		e.refuse("locale", "is not English, and path.format prints words, which are printed in English only", `write numbers (MM, dd, HH), or locale "en-US"`)
	}
}

func english(locale string) bool {
	return locale == "en" || strings.HasPrefix(locale, "en-") || strings.HasPrefix(locale, "en_")
}

func (e *examination) judgeRotation(timed bool) {
	interval, schedule := e.long("rotate.interval.ms"), e.long("rotate.schedule.interval.ms")
	switch {
	case interval > 0 && !timed:
		e.unread("only a layout by time has times to compare", "rotate.interval.ms")
		e.warn("rotate.interval.ms", "means nothing with the "+e.partitionerClass()+", as in Connect", "take it out, or use rotate.schedule.interval.ms")
	case interval > 0 && e.filled("timestamp.extractor") == WallclockExtractor:
		e.warn("rotate.interval.ms", "compares the times at which a drain reads its records, since timestamp.extractor is Wallclock", "write timestamp.extractor=Record")
	}
	if interval <= 0 || !timed {
		e.unread("no rotation by the time of records is switched on", "rotate.file.on.partition.change")
	}
	if schedule > 0 && !e.has("timezone") && !timed {
		e.fail("timezone", "is missing, and rotate.schedule.interval.ms counts from midnight in it", `write "UTC", or an id like "Europe/Berlin"`)
	}
}

// pathFormat is the pattern that the partitioner prints, empty when there is none.
func (e *examination) pathFormat(class string) string {
	delim := e.filled("directory.delim")
	switch class {
	case dailyPartitioner:
		return "'year'=YYYY" + delim + "'month'=MM" + delim + "'day'=dd"
	case hourlyPartitioner:
		return "'year'=YYYY" + delim + "'month'=MM" + delim + "'day'=dd" + delim + "'hour'=HH"
	}
	pattern := e.values["path.format"]
	if pattern == delim {
		return ""
	}
	return strings.TrimSuffix(pattern, delim)
}

// partitioner is the layout in its typed form.
func (e *examination) partitioner() Partitioner {
	class := e.partitionerClass()
	switch {
	case class == FieldPartitioner:
		return Partitioner{Class: FieldPartitioner, Fields: commaList(e.values["partition.field.name"])}
	case !byTime(class):
		return Partitioner{Class: DefaultPartitioner}
	}
	p := Partitioner{
		Class: TimeBasedPartitioner, DurationMS: e.long("partition.duration.ms"), PathFormat: e.pathFormat(class),
		Timezone: e.values["timezone"], Extractor: extractorName(e.filled("timestamp.extractor")),
	}
	switch class {
	case dailyPartitioner:
		p.DurationMS = (24 * time.Hour).Milliseconds()
	case hourlyPartitioner:
		p.DurationMS = time.Hour.Milliseconds()
	}
	if p.Extractor == RecordFieldExtractor {
		p.TimestampField = e.filled("timestamp.field")
	}
	return p
}

// extractorName is the short name of a timestamp extractor, which may be given as a class.
func extractorName(text string) string {
	return strings.TrimSuffix(text[strings.LastIndexAny(text, ".$")+1:], "TimestampExtractor")
}

func extractor(v given) finding {
	switch extractorName(v.text) {
	case WallclockExtractor, RecordExtractor, RecordFieldExtractor:
		return finding{}
	}
	return bad(v.show+" is a class that riftline has no counterpart of", "write Wallclock, Record or RecordField")
}

// fieldPath takes the path of one field, fieldPaths several.
func fieldPath(v given) finding {
	for segment := range strings.SplitSeq(v.text, ".") {
		if strings.TrimSpace(segment) == "" {
			return bad(v.show+" is not the path of a field", `write "name", or "outer.inner"`)
		}
	}
	return finding{}
}

func fieldPaths(v given) finding {
	for _, one := range commaList(v.text) {
		if f := fieldPath(given{text: one, show: quote(one)}); f.text != "" {
			return f
		}
	}
	return finding{}
}

func timezone(v given) finding {
	if v.text == "" {
		return finding{}
	}
	if _, err := joda.Zone(v.text); err != nil {
		return bad(v.show+" is not a time zone", `write "UTC", an id like "Europe/Berlin", or an offset like "+01:00"`)
	}
	return finding{}
}

// pathText refuses blanks at the ends, which Connect would write into every name and which are cut here.
func pathText(v given) finding {
	if v.raw != strings.TrimSpace(v.raw) && v.text != "" {
		return bad("begins or ends with a blank", "take the blank out")
	}
	return finding{}
}

// fileDelimiter is delimiter, but not before the digits of a partition or an offset.
func fileDelimiter(v given) finding {
	if f := delimiter(v); f.text != "" {
		return f
	}
	if c := v.text[len(v.text)-1]; c >= '0' && c <= '9' {
		return bad(v.show+" makes the numbers in names ambiguous", `write "+"`)
	}
	return finding{}
}

// openFiles is a number of files, or -1 for any.
func openFiles(v given) finding {
	if v.text == "-1" {
		return finding{}
	}
	if f := positive(v); f.text != "" {
		return bad(v.show+" is not a number of files", `write "-1" for any number, or 1 and more`)
	}
	return finding{}
}

// pattern takes what means the same to Java's regular expressions and to Go's.
func pattern(v given) finding {
	if v.text == "" {
		return finding{class: Ignored, reason: "empty, so topics names them"}
	}
	if _, err := regexp.Compile("^(?:" + v.text + ")$"); err != nil {
		return bad(v.show+" is not a regular expression that is taken: "+shorten(err.Error()), "write one without look-around, back references and possessive quantifiers, or write topics")
	}
	return finding{}
}
