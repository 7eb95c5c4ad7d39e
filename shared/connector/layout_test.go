package connector

import (
	"reflect"
	"strings"
	"testing"
	_ "time/tzdata"
)

const storagePartitioner = "io.confluent.connect.storage.partitioner."

// byHour is a sink with a layout by time, changed by more keys.
func byHour(t *testing.T, more map[string]string) Connector {
	t.Helper()
	c := read(t, infra+"gcs-sink.json").With(map[string]string{
		"partitioner.class": storagePartitioner + "TimeBasedPartitioner", "partition.duration.ms": "3600000",
		"path.format": "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", "locale": "en-US", "timezone": "Europe/Berlin",
	})
	return c.With(more)
}

func TestLayoutsArrive(t *testing.T) {
	tests := []struct {
		name string
		keys map[string]string
		want Partitioner
	}{
		{"by time", map[string]string{}, Partitioner{
			Class: TimeBasedPartitioner, DurationMS: 3600000, PathFormat: "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", Timezone: "Europe/Berlin", Extractor: "Wallclock",
		}},
		{"a delimiter at the pattern's end goes", map[string]string{"path.format": "YYYY/MM/", "timestamp.extractor": "Record"}, Partitioner{
			Class: TimeBasedPartitioner, DurationMS: 3600000, PathFormat: "YYYY/MM", Timezone: "Europe/Berlin", Extractor: "Record",
		}},
		{"by the day", map[string]string{"partitioner.class": storagePartitioner + "DailyPartitioner", "path.format": "x", "timestamp.extractor": storagePartitioner + "TimeBasedPartitioner$RecordTimestampExtractor"}, Partitioner{
			Class: TimeBasedPartitioner, DurationMS: 86400000, PathFormat: "'year'=YYYY/'month'=MM/'day'=dd", Timezone: "Europe/Berlin", Extractor: "Record",
		}},
		{"by the hour, another delimiter", map[string]string{"partitioner.class": storagePartitioner + "HourlyPartitioner", "directory.delim": "|", "timestamp.extractor": "RecordField"}, Partitioner{
			Class: TimeBasedPartitioner, DurationMS: 3600000, PathFormat: "'year'=YYYY|'month'=MM|'day'=dd|'hour'=HH", Timezone: "Europe/Berlin", Extractor: "RecordField", TimestampField: "timestamp",
		}},
		{"a field of its own", map[string]string{"timestamp.extractor": "RecordField", "timestamp.field": "meta.at", "timezone": "+01:00"}, Partitioner{
			Class: TimeBasedPartitioner, DurationMS: 3600000, PathFormat: "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", Timezone: "+01:00", Extractor: "RecordField", TimestampField: "meta.at",
		}},
		{"by fields", map[string]string{"partitioner.class": storagePartitioner + "FieldPartitioner", "partition.field.name": "platform, miniSeries.progress"}, Partitioner{
			Class: FieldPartitioner, Fields: []string{"platform", "miniSeries.progress"},
		}},
		{"by Kafka's partitions", map[string]string{"partitioner.class": storagePartitioner + "DefaultPartitioner"}, Partitioner{Class: DefaultPartitioner}},
		{"numbers are the same in every locale", map[string]string{"locale": "ko-KR"}, Partitioner{
			Class: TimeBasedPartitioner, DurationMS: 3600000, PathFormat: "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", Timezone: "Europe/Berlin", Extractor: "Wallclock",
		}},
		{"words in English", map[string]string{"locale": "en_GB", "path.format": "YYYY/MMM"}, Partitioner{
			Class: TimeBasedPartitioner, DurationMS: 3600000, PathFormat: "YYYY/MMM", Timezone: "Europe/Berlin", Extractor: "Wallclock",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := byHour(t, tt.keys).Sink(t.Context(), worker, resolver(nil), CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(s.Partitioner, tt.want) {
				t.Errorf("\n got %+v\nwant %+v", s.Partitioner, tt.want)
			}
		})
	}
}

func TestRotationArrives(t *testing.T) {
	keys := map[string]string{
		"rotate.interval.ms": "600000", "rotate.schedule.interval.ms": "3600000", "rotate.file.on.partition.change": "false",
		"partitioner.max.open.files": "7", "riftline.flush.bytes": "1000000", "timestamp.extractor": "Record",
	}
	s, err := byHour(t, keys).Sink(t.Context(), worker, resolver(nil), CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.RotateIntervalMS != 600000 || s.RotateScheduleMS != 3600000 || s.RotateOnPartitionChange || s.MaxOpenFiles != 7 || s.FlushBytes != 1000000 || s.Timezone != "Europe/Berlin" {
		t.Errorf("%+v", s)
	}
	keys["partitioner.class"] = "DefaultPartitioner"
	c := byHour(t, keys)
	if s, err = c.Sink(t.Context(), worker, resolver(nil), CheckOptions{}); err != nil || s.RotateIntervalMS != 0 || s.RotateScheduleMS != 3600000 || s.Timezone != "Europe/Berlin" {
		t.Errorf("%v, %+v", err, s)
	}
	verdicts, problems := c.Explain(worker, CheckOptions{})
	if !strings.Contains(list(problems), "rotate.interval.ms means nothing with the DefaultPartitioner") {
		t.Error(problems)
	}
	for _, v := range verdicts {
		if want := map[string]Class{"rotate.interval.ms": Ignored, "path.format": Ignored, "locale": Ignored, "timezone": Honoured, "rotate.schedule.interval.ms": Honoured}[v.Key]; want != 0 && v.Class != want {
			t.Errorf("%s: %s, want %s", v.Key, v.Class, want)
		}
	}
	s, err = byHour(t, map[string]string{"rotate.interval.ms": "1000", "timestamp.extractor": "Record"}).Sink(t.Context(), worker, resolver(nil), CheckOptions{})
	if err != nil || !s.RotateOnPartitionChange || s.MaxOpenFiles != 0 || s.RotateScheduleMS != 0 {
		t.Errorf("%v, %+v", err, s)
	}
	if _, problems := byHour(t, map[string]string{"rotate.interval.ms": "1000"}).Explain(worker, CheckOptions{}); !strings.Contains(list(problems), "timestamp.extractor is Wallclock") {
		t.Error(problems)
	}
}

func TestLayoutsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		keys      map[string]string
		key, says string
	}{
		"no pattern":                   {map[string]string{"path.format": ""}, "path.format", "is missing"},
		"a pattern of a delimiter":     {map[string]string{"path.format": "/"}, "path.format", "is missing"},
		"a letter that means nothing":  {map[string]string{"path.format": "year=YYYY"}, "path.format", "means nothing"},
		"the name of a zone":           {map[string]string{"path.format": "YYYY/ZZZ"}, "path.format", "name of a time zone"},
		"blanks around the pattern":    {map[string]string{"path.format": " YYYY"}, "path.format", "a blank"},
		"no duration":                  {map[string]string{"partition.duration.ms": "-1"}, "partition.duration.ms", "above 0"},
		"no locale":                    {map[string]string{"locale": ""}, "locale", "is missing"},
		"words in Korean":              {map[string]string{"locale": "ko-KR", "path.format": "YYYY/MMMM"}, "locale", "English"},
		"no zone":                      {map[string]string{"timezone": ""}, "timezone", "is missing"},
		"no such zone":                 {map[string]string{"timezone": "Europe/Runeterra"}, "timezone", "not a time zone"},
		"a class of one's own":         {map[string]string{"timestamp.extractor": "com.example.Own"}, "timestamp.extractor", "no counterpart"},
		"a field without a name":       {map[string]string{"timestamp.field": "meta..at"}, "timestamp.field", "not the path"},
		"no field":                     {map[string]string{"partitioner.class": "FieldPartitioner"}, "partition.field.name", "is missing"},
		"fields without names":         {map[string]string{"partitioner.class": "FieldPartitioner", "partition.field.name": "a, b."}, "partition.field.name", "not the path"},
		"a schedule without a zone":    {map[string]string{"partitioner.class": "DefaultPartitioner", "timezone": "", "rotate.schedule.interval.ms": "60000"}, "timezone", "counts from midnight"},
		"no open file":                 {map[string]string{"partitioner.max.open.files": "0"}, "partitioner.max.open.files", "not a number of files"},
		"negative bytes":               {map[string]string{"riftline.flush.bytes": "-1"}, "riftline.flush.bytes", "out of range"},
		"letters between directories":  {map[string]string{"partitioner.class": "DailyPartitioner", "directory.delim": "j"}, "directory.delim", "means nothing"},
		"a digit before numbers":       {map[string]string{"file.delim": "v1"}, "file.delim", "ambiguous"},
		"look-ahead":                   {map[string]string{"topics.regex": "(?!x).*"}, "topics.regex", "regular expression"},
		"a dead-letter topic is read":  {map[string]string{"errors.deadletterqueue.topic.name": "challenger"}, "errors.deadletterqueue.topic.name", "one of the topics"},
		"topics and a pattern of them": {map[string]string{"topics.regex": "chal.*"}, "topics.regex", "both given"},
	} {
		_, err := byHour(t, c.keys).Sink(t.Context(), worker, resolver(nil), CheckOptions{})
		if err == nil || !strings.Contains(err.Error(), c.key) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTopicsByPattern(t *testing.T) {
	c := read(t, infra+"gcs-sink.json")
	delete(c.Config, "topics")
	c = c.With(map[string]string{"topics.regex": "(challenger|master)-.*"})
	s, err := c.Sink(t.Context(), worker, resolver(nil), CheckOptions{})
	if err != nil || s.TopicsRegex != "(challenger|master)-.*" || len(s.Topics) != 0 {
		t.Fatalf("%v, %+v", err, s)
	}
	if _, err := c.With(map[string]string{"errors.deadletterqueue.topic.name": "master-dead"}).Sink(t.Context(), worker, resolver(nil), CheckOptions{}); err == nil {
		t.Error("the dead-letter topic is read")
	}
}

// TestWhatThePartitionerDoesNotReadIsIgnored keeps validate from saying more than is true.
func TestWhatThePartitionerDoesNotReadIsIgnored(t *testing.T) {
	c := byHour(t, map[string]string{"partition.field.name": "platform", "timestamp.field": "at", "rotate.file.on.partition.change": "true"})
	verdicts, problems := c.Explain(worker, CheckOptions{})
	if errs := problems.Errors(); len(errs) > 0 {
		t.Fatal(errs)
	}
	want := map[string]Class{
		"partition.field.name": Ignored, "timestamp.field": Ignored, "rotate.file.on.partition.change": Ignored,
		"path.format": Honoured, "locale": Honoured, "timezone": Honoured, "partition.duration.ms": Honoured, "partitioner.class": Honoured,
	}
	for _, v := range verdicts {
		if class, ok := want[v.Key]; ok {
			delete(want, v.Key)
			if v.Class != class {
				t.Errorf("%s is %s: %s", v.Key, v.Class, v.Reason)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("no verdict on %v", want)
	}
}
