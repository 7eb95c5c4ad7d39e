package layout

import (
	"errors"
	"math"
	"strings"
	"testing"
)

var confluent = Names{TopicsDir: "topics", DirectoryDelim: "/", FileDelim: "+", ZeroPad: 10, Extension: Extension}

func with(change func(*Names)) Names {
	n := confluent
	change(&n)
	return n
}

func TestObjectNames(t *testing.T) {
	tests := []struct {
		name      string
		names     Names
		topic     string
		partition int32
		encoded   string
		first     int64
		want      string
	}{
		{"Confluent's default", confluent, "gcs-topic", 0, "partition=0", 3, "topics/gcs-topic/partition=0/gcs-topic+0+0000000003.avro"},
		{"partition of two digits", confluent, "challenger", 12, "partition=12", 0, "topics/challenger/partition=12/challenger+12+0000000000.avro"},
		{"offset as wide as the padding", confluent, "t", 0, "partition=0", 9_999_999_999, "topics/t/partition=0/t+0+9999999999.avro"},
		{"offset wider than the padding", confluent, "t", 0, "partition=0", 10_000_000_000, "topics/t/partition=0/t+0+10000000000.avro"},
		{"largest offset", confluent, "t", 0, "partition=0", math.MaxInt64, "topics/t/partition=0/t+0+9223372036854775807.avro"},
		{"wider padding", with(func(n *Names) { n.ZeroPad = 12 }), "t", 0, "partition=0", 7, "topics/t/partition=0/t+0+000000000007.avro"},
		{"narrower padding", with(func(n *Names) { n.ZeroPad = 2 }), "t", 0, "partition=0", 1234, "topics/t/partition=0/t+0+1234.avro"},
		{"no padding", with(func(n *Names) { n.ZeroPad = 0 }), "t", 0, "partition=0", 7, "topics/t/partition=0/t+0+7.avro"},
		{"blank topics.dir", with(func(n *Names) { n.TopicsDir = "" }), "t", 0, "partition=0", 7, "t/partition=0/t+0+0000000007.avro"},
		{"topics.dir of spaces", with(func(n *Names) { n.TopicsDir = "  " }), "t", 0, "partition=0", 7, "t/partition=0/t+0+0000000007.avro"},
		{"nested topics.dir", with(func(n *Names) { n.TopicsDir = "raw/v1" }), "t", 0, "partition=0", 7, "raw/v1/t/partition=0/t+0+0000000007.avro"},
		{"other delimiters", with(func(n *Names) { n.DirectoryDelim, n.FileDelim = "_", "-" }), "t", 0, "partition=0", 7, "topics_t_partition=0_t-0-0000000007.avro"},
		{"topic with dots and dashes", confluent, "a.b-c_d", 1, "partition=1", 7, "topics/a.b-c_d/partition=1/a.b-c_d+1+0000000007.avro"},
		{"another encoded partition", confluent, "t", 0, "year=2026/month=11", 7, "topics/t/year=2026/month=11/t+0+0000000007.avro"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.names.Object(tt.topic, tt.partition, tt.encoded, tt.first)
			if got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			p, ok := tt.names.Parse(tt.topic, got)
			if !ok || p.Partition != tt.partition || p.Encoded != tt.encoded || p.First != tt.first {
				t.Fatalf("parsed back: %+v %v", p, ok)
			}
		})
	}
}

func TestNamesThatNoLayoutGives(t *testing.T) {
	for _, name := range []string{
		"",
		"topics/t/",
		"topics/t/partition=0/",
		"topics/t/t+0+0000000007.avro",
		"topics/t2/partition=0/t2+0+0000000007.avro",
		"topics/t/partition=0/t2+0+0000000007.avro",
		"topics/t/partition=0/t+0000000007.avro",
		"topics/t/partition=0/t+x+0000000007.avro",
		"topics/t/partition=0/t+00+0000000007.avro",
		"topics/t/partition=0/t+-1+0000000007.avro",
		"topics/t/partition=0/t++1+0000000007.avro",
		"topics/t/partition=0/t+0+.avro",
		"topics/t/partition=0/t+0+abc.avro",
		"topics/t/partition=0/t+0+-7.avro",
		"topics/t/partition=0/t+0+7avro",
		"topics/t/partition=0/t+0+99999999999999999999.avro",
		"topics/t/partition=0/t+99999999999+1.avro",
		"other/t/partition=0/t+0+0000000007.avro",
	} {
		if p, ok := confluent.Parse("t", name); ok {
			t.Errorf("%q is read as %+v", name, p)
		}
	}
}

// TestParseTakesWhatAnotherSettingWrote: padding and format may have been others.
func TestParseTakesWhatAnotherSettingWrote(t *testing.T) {
	for name, first := range map[string]int64{
		"topics/t/partition=0/t+0+7.avro":                 7,
		"topics/t/partition=0/t+0+00000000000000007.avro": 7,
		"topics/t/partition=0/t+0+0000000007.json":        7,
		"topics/t/partition=0/t+0+0000000007.keys.avro":   7,
		"topics/t/partition=0/t+0+0000000007":             7,
		"topics/t/a/b/c/t+0+0000000007.avro":              7,
	} {
		if p, ok := confluent.Parse("t", name); !ok || p.First != first {
			t.Errorf("%q: %+v %v", name, p, ok)
		}
	}
}

func TestNamesThatCloudStorageRefuses(t *testing.T) {
	for _, name := range []string{
		"topics/t/a=b\nc/t+0+0.avro", "topics/t/a=b\rc/t+0+0.avro", "topics/t/a=\xff/t+0+0.avro", ".well-known/acme-challenge/t+0+0.avro", strings.Repeat("x", 1025),
	} {
		if err := CheckName(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"topics/t/a=ü/t+0+0.avro", "t/../x", strings.Repeat("x", 1024)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("topics", "/", "+", 10, "t", int32(0), int64(7))
	f.Add("", "_", "-", 0, "a.b", int32(12), int64(1<<40))
	f.Fuzz(func(t *testing.T, dir, directoryDelim, fileDelim string, pad int, topic string, partition int32, first int64) {
		if first < 0 || partition < 0 || pad < 0 || pad > 30 || topic == "" || directoryDelim == "" || fileDelim == "" || fileDelim[0] >= '0' && fileDelim[0] <= '9' {
			t.Skip()
		}
		n := Names{TopicsDir: dir, DirectoryDelim: directoryDelim, FileDelim: fileDelim, ZeroPad: pad, Extension: Extension}
		place, _ := (&Default{}).Place(Record{Partition: partition})
		name := n.Object(topic, partition, place.Encoded, first)
		p, ok := n.Parse(topic, name)
		// Delimiters that are part of a name make it ambiguous; what is read must then still be this topic's.
		if ok && (p.Partition != partition || p.First != first) && n.Object(topic, p.Partition, p.Encoded, p.First) != name {
			t.Fatalf("%q is read as %+v", name, p)
		}
	})
}
