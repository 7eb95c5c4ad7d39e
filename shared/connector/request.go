package connector

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/connector/timestamp"
	"github.com/riftline/riftline/shared/secret"
)

const (
	requestURLKey = "http.request.url"
	headersKey    = "http.request.headers"
	variablesKey  = "riftline.request.variables"
	hostsKey      = "riftline.request.hosts"
	offsetKey     = "http.response.record.offset.pointer"
	initialKey    = "http.offset.initial"
	filterKey     = "http.record.filter.factory"
	dedupeKey     = "riftline.dedupe"
	timestampKey  = "http.response.record.timestamp"

	passthrough = "PassthroughRecordFilterFactory"
	newerOnly   = "OffsetTimestampRecordFilterFactory"
)

// templateKeys are the keys whose values are request templates as a whole. The headers' values are some too.
var templateKeys = []string{requestURLKey, "http.request.params", "http.request.body"}

// templates is what is known of a source's request templates.
type templates struct {
	bare      bool
	offsets   []string
	variables []UsedVariable
	matrix    []Variable
}

// readTemplates parses the request's templates, with references left as they stand, and checks what they ask for.
func (e *examination) readTemplates() {
	e.templates.bare = simpleClass(e.filled("http.request.template.factory")) != "FreeMarkerTemplateFactory"
	used := map[string]template.Name{}
	for _, key := range append(slices.Clone(templateKeys), headersKey) {
		raw := strings.TrimSpace(e.c.Config[key])
		if e.literal || raw == "" {
			continue
		}
		t, err := template.Parse(secret.Map(raw, func(part string, reference bool) string {
			if reference {
				return "x"
			}
			return part
		}), e.templates.bare)
		if err != nil {
			e.refuse(key, "holds a template that is not understood: "+err.Error(), `${offset.x}, ${var.x}, !"default", ?datetime.iso, ?string("…"), ?long and ?url are; references to secrets are ${gcpsecret:…}, ${env:…}, ${file:…} and ${dir:…}`)
			continue
		}
		if key == requestURLKey {
			for _, n := range t.BeforePath() {
				if n.Space == template.Offset {
					e.refuse(key, fmt.Sprintf("has ${%s} before its path, and an answer must not say where the next request goes", n), "write the host, or use a request variable (${var.…})")
				}
			}
		}
		for _, n := range t.Names() {
			if known, ok := used[n.String()]; !ok || known.Optional {
				used[n.String()] = n
			}
			e.checkName(key, n)
		}
	}
	e.readVariables(used)
}

// checkName makes sure that an offset property that a template uses can have a value.
func (e *examination) checkName(key string, n template.Name) {
	if n.Space != template.Offset || n.Optional || e.open[initialKey] {
		return
	}
	if _, ok := e.initial()[n.Name]; ok {
		return
	}
	if _, isProperty := e.properties()[n.Name]; isProperty {
		e.refuse(key, fmt.Sprintf("asks for ${%s}, which has no value before anything was published", n), fmt.Sprintf("write %s=%s=…, or ${%s!\"…\"}", initialKey, n.Name, n))
		return
	}
	e.refuse(key, fmt.Sprintf("asks for ${%s}, which nothing gives a value", n), fmt.Sprintf("write %s=%s=/…, or %s=%s=…", offsetKey, n.Name, initialKey, n.Name))
}

// properties are the pointers of all offset properties.
func (e *examination) properties() map[string]string {
	m := map[string]string{}
	pairs, err := pairList(e.values[offsetKey])
	if err != nil {
		return m
	}
	for _, p := range pairs {
		m[p.name] = p.value
	}
	if list := commaList(e.values["http.response.record.key.pointer"]); len(list) > 0 {
		m["key"] = list[0]
	}
	// castorm makes a key where none is configured.
	if _, ok := m["key"]; !ok {
		m["key"] = ""
	}
	if pointer := e.values[timestampKey+".pointer"]; pointer != "" {
		m["timestamp"] = pointer
	}
	return m
}

func (e *examination) initial() map[string]string {
	pairs, err := pairList(e.values[initialKey])
	if err != nil || len(pairs) == 0 {
		return nil
	}
	m := map[string]string{}
	for _, p := range pairs {
		m[p.name] = p.value
	}
	return m
}

func (e *examination) readVariables(used map[string]template.Name) {
	for _, n := range used {
		if n.Space == template.Offset {
			e.templates.offsets = append(e.templates.offsets, n.Name)
		} else {
			e.templates.variables = append(e.templates.variables, UsedVariable{Name: n.Name, Optional: n.Optional})
		}
	}
	slices.Sort(e.templates.offsets)
	slices.SortFunc(e.templates.variables, func(a, b UsedVariable) int { return strings.Compare(a.Name, b.Name) })
	var err error
	if e.templates.matrix, err = matrix(e.values[variablesKey]); err != nil {
		return
	}
	for _, v := range e.templates.matrix {
		if n, ok := used[string(template.Var)+"."+v.Name]; !ok || n.Space != template.Var {
			e.refuse(variablesKey, fmt.Sprintf("gives %s, and no template of the request uses ${var.%s}", v.Name, v.Name), "take it out")
		}
	}
	for _, v := range e.templates.variables {
		given := slices.ContainsFunc(e.templates.matrix, func(m Variable) bool { return m.Name == v.Name })
		if !given && !v.Optional && !e.open[variablesKey] {
			e.add(Problem{Key: variablesKey, Severity: Advice, Text: fmt.Sprintf("gives no value for ${var.%s}, so every trigger has to", v.Name), Suggestion: fmt.Sprintf("write %s=%s=…", variablesKey, v.Name)})
		}
	}
	e.checkRequests()
}

// checkRequests tries every combination of the connector file's variables out. What hangs on references or on a trigger
// is judged when it is there.
func (e *examination) checkRequests() {
	if len(e.problems.Errors()) > 0 || e.open[requestURLKey] || len(e.templates.matrix) == 0 {
		return
	}
	q := Request{URL: e.values[requestURLKey], BareNames: e.templates.bare, OffsetNames: e.templates.offsets}
	q.Origins = e.origins(q)
	for _, values := range Combinations(e.templates.matrix) {
		err := q.Check(values)
		if err != nil && !errors.As(err, new(*template.MissingError)) && !e.misses(values) {
			e.refuse(variablesKey, "cannot be used: "+err.Error(), "")
			return
		}
	}
}

// misses reports whether a variable without a default has no value among these.
func (e *examination) misses(values map[string]string) bool {
	return slices.ContainsFunc(e.templates.variables, func(v UsedVariable) bool {
		_, ok := values[v.Name]
		return !ok && !v.Optional
	})
}

// origins are the origins that the connector file itself leads to, and riftline.request.hosts.
func (e *examination) origins(q Request) []string {
	var all []string
	scheme := "https"
	add := func(text string) {
		if u, err := url.Parse(text); err == nil && u.Hostname() != "" && !slices.Contains(all, origin(u)) {
			all = append(all, origin(u))
		}
	}
	t, err := template.Parse(q.URL, q.BareNames)
	if err != nil {
		return nil
	}
	names := t.BeforePath()
	if before, _, ok := strings.Cut(q.URL, "://"); ok && before == "http" {
		scheme = before
	}
	if len(e.templates.variables)+len(e.templates.offsets) == 0 {
		return nil // nothing leads anywhere else
	}
	combinations := Combinations(e.templates.matrix)
	if len(names) == 0 {
		combinations = combinations[:1]
	}
	for _, values := range combinations {
		// Offset properties stand behind the path's beginning only.
		v := template.Values{Var: values, Offset: map[string]string{}}
		for _, name := range q.OffsetNames {
			v.Offset[name] = "1970-01-01T00:00:00Z"
		}
		if text, err := fillBeforePath(q.URL, q.BareNames, v); err == nil {
			add(text)
		}
	}
	for _, host := range commaList(e.values[hostsKey]) {
		if !strings.Contains(host, "://") {
			host = scheme + "://" + host
		}
		add(host)
	}
	return all
}

// fillBeforePath fills in the part of a URL's template that stands before its path.
func fillBeforePath(text string, bare bool, v template.Values) (string, error) {
	masked, restore := template.Cut(text)
	if scheme, rest, ok := strings.Cut(masked, "://"); ok {
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			masked = scheme + "://" + rest[:end]
		}
	}
	t, err := template.Parse(restore(masked), bare)
	if err != nil {
		return "", err
	}
	return t.Fill(v)
}

// Combinations are all combinations of the variables' values, the last variable changing fastest. Without variables it
// is one combination of none.
func Combinations(matrix []Variable) []map[string]string {
	all := []map[string]string{{}}
	for _, v := range matrix {
		var next []map[string]string
		for _, before := range all {
			for _, value := range v.Values {
				one := map[string]string{v.Name: value}
				for name, value := range before {
					one[name] = value
				}
				next = append(next, one)
			}
		}
		all = next
	}
	return all
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// maxUnits is how many source partitions one connector may have.
const maxUnits = 1000

// matrix reads "platform=kr,euw1; queue=RANKED_SOLO_5x5".
func matrix(text string) ([]Variable, error) {
	var all []Variable
	units := 1
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, values, ok := strings.Cut(part, "=")
		v := Variable{Name: strings.TrimSpace(name), Values: commaList(values)}
		switch {
		case !ok || !variableName.MatchString(v.Name) || len(v.Values) == 0:
			return nil, fmt.Errorf("%s is not name=value, value", quote(part))
		case slices.ContainsFunc(all, func(o Variable) bool { return o.Name == v.Name }):
			return nil, fmt.Errorf("the variable %s is given twice", v.Name)
		}
		seen := map[string]bool{}
		for _, value := range v.Values {
			if seen[value] || len(value) > maxValue || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return nil, fmt.Errorf("the value %s of %s is given twice, too long, or has control characters in it", quote(value), v.Name)
			}
			seen[value] = true
		}
		if units *= len(v.Values); units > maxUnits {
			return nil, fmt.Errorf("there are more than %d combinations", maxUnits)
		}
		all = append(all, v)
	}
	return all, nil
}

func matrixList(v given) finding {
	if _, err := matrix(v.text); err != nil {
		return bad(err.Error(), `write "platform=kr, euw1; queue=RANKED_SOLO_5x5"`)
	}
	return finding{}
}

func hostList(v given) finding {
	for _, one := range commaList(v.text) {
		if !strings.Contains(one, "://") {
			one = "https://" + one
		}
		u, err := url.Parse(one)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Contains(u.Hostname(), ":") || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			return bad("holds "+quote(one)+", which is not a host", `write "euw1.api.riotgames.com, host:8443"`)
		}
	}
	return finding{}
}

// timestamps is what is known of the timestamps of a source's entries.
type timestamps struct {
	pointer string
	parser  timestamp.Parser
}

// readDedupe decides how a poll knows what is new, and makes the parser of timestamps.
func (e *examination) readDedupe() {
	e.timestamp.pointer = e.properties()["timestamp"]
	e.readTimestampParser()
	filter := simpleClass(e.filled(filterKey))
	e.dedupe = Dedupe{
		Mode: Mode(e.filled(dedupeKey)), Ignore: commaList(e.text("riftline.dedupe.ignore")), Keep: e.span("riftline.dedupe.keep"),
		Tombstones: e.bool("riftline.tombstones"), NewerOnly: filter == newerOnly,
	}
	if e.dedupe.Mode == "auto" {
		switch {
		case filter == passthrough || e.timestamp.pointer == "" && e.usesProperties():
			e.dedupe.Mode = None
		case e.timestamp.pointer != "":
			e.dedupe.Mode = Timestamp
		default:
			e.dedupe.Mode = Snapshot
		}
	}
	switch e.dedupe.Mode {
	case Timestamp:
		e.checkTimestampMode(filter)
	case Snapshot:
		if e.usesProperties() {
			e.warn(dedupeKey, "is snapshot, so the request's ${offset.…} never move from "+initialKey, `write "timestamp" or "none"`)
		}
		if filter == passthrough {
			e.warn(filterKey, "is not asked, since "+dedupeKey+" is snapshot", "take one of the two out")
		}
	case None:
		if filter != passthrough && !e.has(dedupeKey) {
			e.advise(offsetKey, "gives offset properties to the request and no timestamp, so each answer is published as it is, as in castorm", "add timestamp=/… to publish what is new only")
		}
	}
	if e.dedupe.Tombstones && e.dedupe.Mode != Snapshot {
		e.refuse("riftline.tombstones", "is true, and only a snapshot tells which keys have left", `write riftline.dedupe=snapshot, or riftline.tombstones=false`)
	} else if e.dedupe.Tombstones {
		e.advise("riftline.tombstones", "publishes null values", "set behavior.on.null.values=ignore in the sink, whose default is to fail on them")
	}
}

// usesProperties reports whether a template uses an offset property that entries give.
func (e *examination) usesProperties() bool {
	properties := e.properties()
	return slices.ContainsFunc(e.templates.offsets, func(name string) bool { _, ok := properties[name]; return ok })
}

func (e *examination) checkTimestampMode(filter string) {
	if e.timestamp.pointer == "" && !e.open[offsetKey] && !e.open[timestampKey+".pointer"] {
		e.refuse(dedupeKey, "is timestamp, and no pointer says where the timestamp is", "write "+offsetKey+"=key=/…, timestamp=/…")
	}
	if filter == passthrough {
		e.refuse(dedupeKey, "is timestamp, and "+filterKey+" is Passthrough, which publishes everything", `write riftline.dedupe=none, or take the filter out`)
	}
	if e.dedupe.NewerOnly {
		e.advise(filterKey, "publishes only what is newer than the last timestamp, so of entries that share a timestamp those that come late are lost, as in castorm", "take it out: the default keeps them and doubles none")
	}
	if initial, ok := e.initial()["timestamp"]; ok {
		if _, err := time.Parse(time.RFC3339Nano, initial); err != nil {
			e.refuse(initialKey, fmt.Sprintf("has the timestamp %s, which is not ISO 8601", quote(initial)), "write timestamp=2020-01-01T00:00:00Z")
		}
	}
}

// readTimestampParser makes the parser where timestamps are read, and marks its keys where they are not.
func (e *examination) readTimestampParser() {
	names := map[timestamp.Setting]string{
		timestamp.ClassSetting: "", timestamp.DelegateSetting: ".delegate", timestamp.PatternSetting: ".pattern",
		timestamp.ZoneSetting: ".zone", timestamp.RegexSetting: ".regex", timestamp.RegexDelegateSetting: ".regex.delegate",
	}
	key := func(s timestamp.Setting) string { return timestampKey + ".parser" + names[s] }
	for s := range names {
		if e.open[key(s)] {
			return
		}
	}
	parser, err := timestamp.New(timestamp.Config{
		Class: e.values[key(timestamp.ClassSetting)], Delegate: e.values[key(timestamp.DelegateSetting)],
		Pattern: e.values[key(timestamp.PatternSetting)], Zone: e.values[key(timestamp.ZoneSetting)],
		Regex: e.values[key(timestamp.RegexSetting)], RegexDelegate: e.values[key(timestamp.RegexDelegateSetting)],
	})
	var unfit *timestamp.ConfigError
	if errors.As(err, &unfit) {
		e.refuse(key(unfit.Setting), unfit.Reason, "the parsers are EpochMillis, EpochMillisOrDelegate, DateTimeFormatter, Regex and Natty, each …TimestampParser")
		return
	}
	if e.timestamp.pointer == "" {
		for i, v := range e.verdicts {
			if strings.HasPrefix(v.Key, timestampKey+".parser") && v.Class == Honoured {
				e.verdicts[i].Class, e.verdicts[i].Reason = Ignored, noTimestamp
			}
		}
		return
	}
	e.timestamp.parser = parser
}

// Uses reports whether a request template of the connector uses the request variable ${var.name}. No reference is
// resolved.
func (c Connector) Uses(name string) bool {
	if c.Kind != SourceKind {
		return false
	}
	e := c.examine(context.Background(), Worker{}, nil, CheckOptions{})
	return slices.ContainsFunc(e.templates.variables, func(v UsedVariable) bool { return v.Name == name })
}
