package layout

import (
	"errors"
	"math"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/record"
)

const (
	hourMS = int64(time.Hour / time.Millisecond)
	dayMS  = 24 * hourMS
)

func at(t testing.TB, text string) int64 {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v.UnixMilli()
}

func sink(p connector.Partitioner) connector.Sink {
	return connector.Sink{TopicsDir: "topics", DirectoryDelim: "/", FileDelim: "+", ZeroPad: 10, Partitioner: p}
}

func daily(zone string) connector.Partitioner {
	return connector.Partitioner{Class: connector.TimeBasedPartitioner, DurationMS: dayMS, PathFormat: "'year'=YYYY/'month'=MM/'day'=dd", Timezone: zone, Extractor: connector.RecordExtractor}
}

func hourly(zone string) connector.Partitioner {
	p := daily(zone)
	p.DurationMS, p.PathFormat = hourMS, p.PathFormat+"/'hour'=HH"
	return p
}

func timed(zone, pattern string, duration int64, extractor string) connector.Partitioner {
	return connector.Partitioner{Class: connector.TimeBasedPartitioner, DurationMS: duration, PathFormat: pattern, Timezone: zone, Extractor: extractor, TimestampField: "at"}
}

func fields(names ...string) connector.Partitioner {
	return connector.Partitioner{Class: connector.FieldPartitioner, Fields: names}
}

func textOf(s string) record.Scalar    { return record.Scalar{Kind: record.TextScalar, Text: []byte(s)} }
func intOf(n int64) record.Scalar      { return record.Scalar{Kind: record.IntScalar, Int: n} }
func values(v ...record.Scalar) Record { return Record{Timestamp: -1, Values: v} }

// TestGoldenNames are whole object names, as the classes of Confluent's storage-common and its sinks make them.
func TestGoldenNames(t *testing.T) {
	stamp := func(text string) Record { return Record{Timestamp: at(t, text)} }
	tests := []struct {
		name   string
		p      connector.Partitioner
		change func(*connector.Sink)
		r      Record
		want   string
	}{
		{"default", connector.Partitioner{}, nil, Record{}, "topics/ladder/partition=0/ladder+0+0000000007.avro"},
		{"default by name, another partition", connector.Partitioner{Class: connector.DefaultPartitioner}, nil, Record{Partition: 12}, "topics/ladder/partition=12/ladder+12+0000000007.avro"},
		{"wider padding", connector.Partitioner{}, func(s *connector.Sink) { s.ZeroPad = 12 }, Record{}, "topics/ladder/partition=0/ladder+0+000000000007.avro"},
		{"no padding", connector.Partitioner{}, func(s *connector.Sink) { s.ZeroPad = 0 }, Record{}, "topics/ladder/partition=0/ladder+0+7.avro"},
		{"blank topics.dir", hourly("UTC"), func(s *connector.Sink) { s.TopicsDir = "" }, stamp("2026-03-07T08:05:09Z"), "ladder/year=2026/month=03/day=07/hour=08/ladder+0+0000000007.avro"},
		{"deflate does not show", connector.Partitioner{}, func(s *connector.Sink) { s.Codec = "deflate" }, Record{}, "topics/ladder/partition=0/ladder+0+0000000007.avro"},
		{"snappy does not show", connector.Partitioner{}, func(s *connector.Sink) { s.Codec = "snappy" }, Record{}, "topics/ladder/partition=0/ladder+0+0000000007.avro"},
		{"zstandard does not show", connector.Partitioner{}, func(s *connector.Sink) { s.Codec = "zstandard" }, Record{}, "topics/ladder/partition=0/ladder+0+0000000007.avro"},

		{"a text field", fields("tier"), nil, values(textOf("CHALLENGER")), "topics/ladder/tier=CHALLENGER/ladder+0+0000000007.avro"},
		{"an empty text", fields("tier"), nil, values(textOf("")), "topics/ladder/tier=/ladder+0+0000000007.avro"},
		{"a text with the delimiter in it", fields("tier"), nil, values(textOf("a/b")), "topics/ladder/tier=a/b/ladder+0+0000000007.avro"},
		{"a number", fields("n"), nil, values(intOf(-42)), "topics/ladder/n=-42/ladder+0+0000000007.avro"},
		{"booleans", fields("a", "b"), nil, values(record.Scalar{Kind: record.BoolScalar, Int: 1}, record.Scalar{Kind: record.BoolScalar}), "topics/ladder/a=true/b=false/ladder+0+0000000007.avro"},
		{"a null", fields("tier"), nil, values(record.Scalar{}), "topics/ladder/tier=null/ladder+0+0000000007.avro"},
		{"a nested field", fields("miniSeries.progress"), nil, values(textOf("WLN")), "topics/ladder/miniSeries.progress=WLN/ladder+0+0000000007.avro"},
		{"several fields", fields("platform", "queue.type", "n"), nil, values(textOf("kr"), textOf("SOLO"), intOf(5)), "topics/ladder/platform=kr/queue.type=SOLO/n=5/ladder+0+0000000007.avro"},
		{"several fields, other delimiters", fields("platform", "n"), func(s *connector.Sink) { s.DirectoryDelim, s.FileDelim = "|", "~" }, values(textOf("kr"), intOf(5)), "topics|ladder|platform=kr|n=5|ladder~0~0000000007.avro"},

		{"daily", daily("UTC"), nil, stamp("2026-03-07T23:59:59Z"), "topics/ladder/year=2026/month=03/day=07/ladder+0+0000000007.avro"},
		{"daily, already tomorrow in Seoul", daily("Asia/Seoul"), nil, stamp("2026-03-07T15:00:00Z"), "topics/ladder/year=2026/month=03/day=08/ladder+0+0000000007.avro"},
		{"daily, still yesterday in Los Angeles", daily("America/Los_Angeles"), nil, stamp("2026-03-07T07:59:59Z"), "topics/ladder/year=2026/month=03/day=06/ladder+0+0000000007.avro"},
		{"hourly", hourly("UTC"), nil, stamp("2026-03-07T08:05:09Z"), "topics/ladder/year=2026/month=03/day=07/hour=08/ladder+0+0000000007.avro"},
		{"hourly, half an hour off", hourly("Asia/Kolkata"), nil, stamp("2026-03-07T08:05:09Z"), "topics/ladder/year=2026/month=03/day=07/hour=13/ladder+0+0000000007.avro"},
		{"hourly, an offset as zone", hourly("-05:00"), nil, stamp("2026-03-07T08:05:09Z"), "topics/ladder/year=2026/month=03/day=07/hour=03/ladder+0+0000000007.avro"},
		{"last hour before the clock goes forward", hourly("Europe/Berlin"), nil, stamp("2026-03-29T00:59:59Z"), "topics/ladder/year=2026/month=03/day=29/hour=01/ladder+0+0000000007.avro"},
		{"first hour after it", hourly("Europe/Berlin"), nil, stamp("2026-03-29T01:00:00Z"), "topics/ladder/year=2026/month=03/day=29/hour=03/ladder+0+0000000007.avro"},
		{"the hour before the clock goes back", hourly("Europe/Berlin"), nil, stamp("2026-10-25T00:30:00Z"), "topics/ladder/year=2026/month=10/day=25/hour=02/ladder+0+0000000007.avro"},
		{"the same hour once more", hourly("Europe/Berlin"), nil, stamp("2026-10-25T01:30:00Z"), "topics/ladder/year=2026/month=10/day=25/hour=02/ladder+0+0000000007.avro"},
		{"the hour after it", hourly("Europe/Berlin"), nil, stamp("2026-10-25T02:00:00Z"), "topics/ladder/year=2026/month=10/day=25/hour=03/ladder+0+0000000007.avro"},
		{"back in New York", hourly("America/New_York"), nil, stamp("2026-11-01T06:30:00Z"), "topics/ladder/year=2026/month=11/day=01/hour=01/ladder+0+0000000007.avro"},
		{"ten minutes in one directory", timed("UTC", "YYYY-MM-dd-HH-mm", 600_000, connector.RecordExtractor), nil, stamp("2026-03-07T08:19:59Z"), "topics/ladder/2026-03-07-08-10/ladder+0+0000000007.avro"},
		{"text in the pattern", timed("UTC", "'date'=YYYYMMdd/'at'HH'h'", hourMS, connector.RecordExtractor), nil, stamp("2026-03-07T08:19:59Z"), "topics/ladder/date=20260307/at08h/ladder+0+0000000007.avro"},
		{"names of months", timed("UTC", "YYYY/MMM/EEE", dayMS, connector.RecordExtractor), nil, stamp("2026-09-07T08:19:59Z"), "topics/ladder/2026/Sep/Mon/ladder+0+0000000007.avro"},
		{"wall clock", timed("UTC", "YYYYMMddHH", hourMS, connector.WallclockExtractor), nil, Record{Timestamp: 1, Now: at(t, "2026-03-07T08:19:59Z")}, "topics/ladder/2026030708/ladder+0+0000000007.avro"},
		{"a field in milliseconds", timed("UTC", "YYYYMMddHH", hourMS, connector.RecordFieldExtractor), nil, values(intOf(at(t, "2026-03-07T08:19:59Z"))), "topics/ladder/2026030708/ladder+0+0000000007.avro"},
		{"a field in ISO 8601", timed("UTC", "YYYYMMddHH", hourMS, connector.RecordFieldExtractor), nil, values(textOf("2026-03-07T09:19:59.123+01:00")), "topics/ladder/2026030708/ladder+0+0000000007.avro"},
		{"a field with digits", timed("UTC", "YYYYMMddHH", hourMS, connector.RecordFieldExtractor), nil, values(textOf("1772871599000")), "topics/ladder/2026030708/ladder+0+0000000007.avro"},
		{"before 1970", daily("UTC"), nil, Record{Timestamp: 0}, "topics/ladder/year=1970/month=01/day=01/ladder+0+0000000007.avro"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sink(tt.p)
			if tt.change != nil {
				tt.change(&s)
			}
			p, err := NewPartitioner(s)
			if err != nil {
				t.Fatal(err)
			}
			// Twice, as what was found last is kept.
			for range 2 {
				place, err := p.Place(tt.r)
				if err != nil {
					t.Fatal(err)
				}
				if got := NewNames(s).Object("ladder", tt.r.Partition, place.Encoded, 7); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				if err := CheckName(tt.want); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestPlacesFollowTheRecord(t *testing.T) {
	p, err := NewPartitioner(sink(hourly("UTC")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ at, want string }{
		{"2026-03-07T08:05:09Z", "year=2026/month=03/day=07/hour=08"},
		{"2026-03-07T09:00:00Z", "year=2026/month=03/day=07/hour=09"},
		{"2026-03-07T08:59:59Z", "year=2026/month=03/day=07/hour=08"},
	} {
		place, err := p.Place(Record{Timestamp: at(t, c.at)})
		if err != nil || place.Encoded != c.want || place.Time != at(t, c.at) {
			t.Errorf("%s: %+v, %v", c.at, place, err)
		}
	}
	if !p.Timed() || p.Fields() != nil {
		t.Error("a layout by time that reads no field")
	}
}

func TestRecordsWithoutAPlace(t *testing.T) {
	byField := timed("UTC", "YYYY", dayMS, connector.RecordFieldExtractor)
	for name, c := range map[string]struct {
		p connector.Partitioner
		r Record
	}{
		"no Kafka timestamp":     {daily("UTC"), Record{Timestamp: -1}},
		"a null field":           {byField, values(record.Scalar{})},
		"a boolean field":        {byField, values(record.Scalar{Kind: record.BoolScalar})},
		"a text that is no time": {byField, values(textOf("yesterday"))},
		"too late":               {byField, values(intOf(math.MaxInt64))},
		"too early":              {byField, values(intOf(math.MinInt64))},
		"no values":              {byField, Record{}},
		"no value of a field":    {fields("a", "b"), values(intOf(1))},
	} {
		p, err := NewPartitioner(sink(c.p))
		if err != nil {
			t.Fatal(err)
		}
		if place, err := p.Place(c.r); !errors.Is(err, ErrPlace) {
			t.Errorf("%s: %+v, %v", name, place, err)
		}
	}
}

func TestPartitionersThatAreRefused(t *testing.T) {
	for name, p := range map[string]connector.Partitioner{
		"another class":     {Class: "com.example.Own"},
		"no field":          fields(),
		"no duration":       timed("UTC", "YYYY", 0, connector.RecordExtractor),
		"no zone":           timed("", "YYYY", 1, connector.RecordExtractor),
		"a bad pattern":     timed("UTC", "year", 1, connector.RecordExtractor),
		"another extractor": timed("UTC", "YYYY", 1, "com.example.Own"),
	} {
		if _, err := NewPartitioner(sink(p)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestPlacesAllocateNothing(t *testing.T) {
	byTime, err := NewPartitioner(sink(hourly("Europe/Berlin")))
	if err != nil {
		t.Fatal(err)
	}
	byField, err := NewPartitioner(sink(fields("tier", "n")))
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "2026-03-07T08:05:09Z")
	v := []record.Scalar{textOf("CHALLENGER"), intOf(5)}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = byTime.Place(Record{Timestamp: now})
		_, _ = byField.Place(Record{Values: v})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	// What is kept is bounded.
	for i := range int64(3 * maxTexts) {
		v[1].Int = i
		if _, err := byField.Place(Record{Values: v}); err != nil {
			t.Fatal(err)
		}
	}
	if f, ok := byField.(*Field); !ok || len(f.known) > maxTexts {
		t.Errorf("%d texts are kept", len(f.known))
	}
}
