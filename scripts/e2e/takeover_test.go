//go:build unix

package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/riftline/riftline/shared/poll"
)

// What Confluent's Avro converter registers of the structs of castorm's SchemedKvSourceRecordMapper.
const (
	castormKey = `{"type":"record","name":"Key","namespace":"com.github.castorm.kafka.connect.http","fields":[
		{"name":"key","type":["null",{"type":"string","connect.doc":"HTTP Record Key"}],"default":null}],
		"connect.doc":"Message Key","connect.name":"com.github.castorm.kafka.connect.http.Key"}`
	castormValue = `{"type":"record","name":"Value","namespace":"com.github.castorm.kafka.connect.http","fields":[
		{"name":"value","type":{"type":"string","connect.doc":"HTTP Record Value"}},
		{"name":"key","type":["null",{"type":"string","connect.doc":"HTTP Record Key"}],"default":null},
		{"name":"timestamp","type":["null",{"type":"long","connect.doc":"HTTP Record Timestamp"}],"default":null}],
		"connect.doc":"Message Value","connect.name":"com.github.castorm.kafka.connect.http.Value"}`
)

// castorm fills a topic as that source does: the whole answer at each poll, each entry as text in its envelope. It writes
// Avro by hand and shares nothing with riftline's encoder.
type castorm struct {
	*pipeline
	avroKeys       bool
	keyID, valueID uint32
}

func newCastorm(p *pipeline, avroKeys bool) castorm {
	p.t.Helper()
	c := castorm{pipeline: p, avroKeys: avroKeys}
	register := func(subject, text string) uint32 {
		made, err := p.schemas.CreateSchema(p.t.Context(), subject, sr.Schema{Schema: text})
		if err != nil {
			p.t.Fatalf("%s: %v", subject, err)
		}
		return uint32(made.ID)
	}
	c.valueID = register(p.topic+"-value", castormValue)
	if avroKeys {
		c.keyID = register(p.topic+"-key", castormKey)
	}
	return c
}

func avroString(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

// record is what castorm writes of one entry.
func (c castorm) record(e entry, at time.Time) *kgo.Record {
	text, err := json.Marshal(e)
	if err != nil {
		c.t.Fatal(err)
	}
	const second = 2 // of a union, in Avro's zigzag
	value := avroString(binary.BigEndian.AppendUint32([]byte{0}, c.valueID), string(text))
	value = binary.AppendVarint(append(avroString(append(value, second), e.PUUID), second), at.UnixMilli())
	key := []byte("Struct{key=" + e.PUUID + "}")
	if c.avroKeys {
		key = avroString(append(binary.BigEndian.AppendUint32([]byte{0}, c.keyID), second), e.PUUID)
	}
	return &kgo.Record{Topic: c.topic, Timestamp: at, Key: key, Value: value}
}

func (c castorm) poll(entries []entry, at time.Time) {
	c.t.Helper()
	for _, e := range entries {
		if err := c.client.ProduceSync(c.t.Context(), c.record(e, at)).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// readOn lets a consumer group of another client read on; it wants these entries and no other.
func (c castorm) readOn(want []entry) {
	c.t.Helper()
	keys := map[bool]string{true: "avro", false: "string"}[c.avroKeys]
	var read []map[string]any
	lines(c.t, python(c.t, "read_on.py", c.bootstrap, c.registry, c.topic, "readers-"+c.topic, fmt.Sprint(len(want)), keys), &read)
	if len(read) != len(want) {
		c.t.Fatalf("%d records were read, want %d", len(read), len(want))
	}
	for i, e := range want {
		text, err := json.Marshal(e)
		if err != nil {
			c.t.Fatal(err)
		}
		key := any("Struct{key=" + e.PUUID + "}")
		if c.avroKeys {
			key = map[string]any{"key": e.PUUID}
		}
		got, value := read[i], read[i]["value"].(map[string]any)
		if fmt.Sprint(got["key"]) != fmt.Sprint(key) || value["key"] != e.PUUID || value["value"] != string(text) || value["timestamp"] != got["timestamp"] {
			c.t.Errorf("record %d: %v, want %s", i, got, text)
		}
	}
}

// TestTakeOverOfASource has a topic of a real broker, under subjects of a real registry, that castorm filled.
func TestTakeOverOfASource(t *testing.T) {
	t.Parallel()
	for name, avroKeys := range map[string]bool{"keys as texts": false, "keys in Avro": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, options{vars: map[string]string{"RIFTLINE_LOG_LEVEL": "info"}})
			p.vars["CONNECT_KEY_CONVERTER"] = "org.apache.kafka.connect.storage.StringConverter"
			if avroKeys {
				p.vars["CONNECT_KEY_CONVERTER"] = "io.confluent.connect.avro.AvroConverter"
				p.vars["CONNECT_KEY_CONVERTER_SCHEMA_REGISTRY_URL"] = p.registry
			}
			c := newCastorm(p, avroKeys)
			began := time.Now().Add(-2 * time.Hour).Truncate(time.Millisecond)
			// One player leaves after castorm's first poll, and one has other points at the second.
			first, second := players(12), players(11)
			second[3] = player(3, 777)
			c.poll(first, began)
			c.poll(second, began.Add(30*time.Minute))
			c.readOn(append(players(12), second...))
			p.api.ladder(second)
			before := len(p.records())

			rebuild := start(t, plain.path(t, "riftline"), p.env(), "offsets", "rebuild", p.source, "--from-topic")
			if code := rebuild.wait(); code != 0 || !strings.Contains(rebuild.output(), "0 keys known before and 12 after") {
				t.Fatalf("rebuild ended with %d:\n%s", code, rebuild.output())
			}

			poller := p.poller()
			if a := poller.mustPoll(p.source, poll.NothingNew); a.Unchanged != 11 {
				t.Errorf("the first poll: %s", a.body)
			}
			if n := len(p.records()); n != before {
				t.Errorf("the topic had %d records and has %d", before, n)
			}
			// One changes, one that had left is back as it was, one is new.
			third := append(players(12), player(50, 500))
			third[3], third[7] = second[3], player(7, 888)
			p.api.ladder(third)
			if a := poller.mustPoll(p.source, poll.Published); a.Published != 2 || a.Changed != 1 || !a.ExactlyOnce {
				t.Errorf("the second poll: %s", a.body)
			}
			poller.mustPoll(p.source, poll.NothingNew)
			published := []entry{third[7], third[12]}
			for i, r := range p.records()[before:] {
				own := c.record(published[i], r.Timestamp)
				if !bytes.Equal(r.Key, own.Key) || !bytes.Equal(r.Value, own.Value) {
					t.Errorf("record %d is not what castorm writes:\n%q %q\n%q %q", i, r.Key, r.Value, own.Key, own.Value)
				}
			}
			c.readOn(published)

			// What castorm wrote and what riftline wrote are one topic to the sink.
			p.mustDrain()
			rows := 0
			for _, o := range p.objects() {
				rows += len(o.values)
			}
			if rows != before+2 {
				t.Errorf("the archive holds %d records, and the topic %d", rows, before+2)
			}
		})
	}
}
