package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/riftline/riftline/shared/local/gcs"
)

// The schemas under which Confluent's Avro converter registers what castorm's SchemedKvSourceRecordMapper makes.
const (
	castormKeySchema   = `{"type":"record","name":"Key","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"key","type":["null",{"type":"string","connect.doc":"HTTP Record Key"}],"default":null}],"connect.doc":"Message Key","connect.name":"com.github.castorm.kafka.connect.http.Key"}`
	castormValueSchema = `{"type":"record","name":"Value","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"value","type":{"type":"string","connect.doc":"HTTP Record Value"}},{"name":"key","type":["null",{"type":"string","connect.doc":"HTTP Record Key"}],"default":null},{"name":"timestamp","type":["null",{"type":"long","connect.doc":"HTTP Record Timestamp"}],"default":null}],"connect.doc":"Message Value","connect.name":"com.github.castorm.kafka.connect.http.Value"}`
)

// castorm stands for the source that filled the topic before riftline: each poll publishes the whole answer.
type castorm struct {
	c          *cloud
	client     *kgo.Client
	key, value *goavro.Codec
	ids        [2]int
	avroKeys   bool
}

func newCastorm(t *testing.T, c *cloud, avroKeys bool) *castorm {
	t.Helper()
	registry, err := sr.NewClient(sr.URLs(c.registry))
	if err != nil {
		t.Fatal(err)
	}
	m := &castorm{c: c, avroKeys: avroKeys}
	for i, s := range []struct{ subject, text string }{{"things-key", castormKeySchema}, {"things-value", castormValueSchema}} {
		if i == 0 && !avroKeys {
			continue
		}
		made, err := registry.CreateSchema(t.Context(), s.subject, sr.Schema{Schema: s.text})
		if err != nil {
			t.Fatal(err)
		}
		m.ids[i] = made.ID
	}
	if m.key, err = goavro.NewCodec(castormKeySchema); err != nil {
		t.Fatal(err)
	}
	if m.value, err = goavro.NewCodec(castormValueSchema); err != nil {
		t.Fatal(err)
	}
	m.client, err = kgo.NewClient(kgo.SeedBrokers(c.broker.Addr()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.client.Close)
	return m
}

func wire(t *testing.T, codec *goavro.Codec, id int, native map[string]any) []byte {
	t.Helper()
	data, err := codec.BinaryFromNative(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), native)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// record is what castorm writes of one entry.
func (m *castorm) record(t *testing.T, key, text string, at time.Time) *kgo.Record {
	t.Helper()
	r := &kgo.Record{
		Topic: "things", Timestamp: at, Key: []byte("Struct{key=" + key + "}"),
		Value: wire(t, m.value, m.ids[1], map[string]any{
			"value": text, "key": goavro.Union("string", key), "timestamp": goavro.Union("long", at.UnixMilli()),
		}),
	}
	if m.avroKeys {
		r.Key = wire(t, m.key, m.ids[0], map[string]any{"key": goavro.Union("string", key)})
	}
	return r
}

func (m *castorm) poll(t *testing.T, at time.Time, entries ...string) {
	t.Helper()
	for _, e := range entries {
		key, text, _ := strings.Cut(e, "=")
		if err := m.client.ProduceSync(t.Context(), m.record(t, key, text, at)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// consumer reads castorm's records, as somebody did before riftline came.
type consumer struct {
	m      *castorm
	client *kgo.Client
}

func newConsumer(t *testing.T, m *castorm) *consumer {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(m.c.broker.Addr()), kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("things"),
		kgo.DisableAutoCommit(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	return &consumer{m, client}
}

// read returns the next n records as "key=value", with no more behind them, and commits. It checks every byte.
func (c *consumer) read(t *testing.T, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < n {
		fetches := c.client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d records: %v", len(got), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			native, rest, err := c.m.value.NativeFromBinary(r.Value[5:])
			if err != nil || len(rest) > 0 {
				t.Fatalf("offset %d: %v, %d bytes left", r.Offset, err, len(rest))
			}
			fields := native.(map[string]any)
			key, text := fields["key"].(map[string]any)["string"].(string), fields["value"].(string)
			own := c.m.record(t, key, text, time.UnixMilli(fields["timestamp"].(map[string]any)["long"].(int64)))
			if string(own.Key) != string(r.Key) || string(own.Value) != string(r.Value) || own.Timestamp.UnixMilli() != r.Timestamp.UnixMilli() {
				t.Errorf("offset %d is not what castorm writes:\n%q %q\n%q %q", r.Offset, r.Key, r.Value, own.Key, own.Value)
			}
			got = append(got, key+"="+text)
		})
	}
	if err := c.client.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	return got
}

// end is the offset behind the last readable record of the topic's partitions, added up.
func (c *cloud) end(t *testing.T) int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(t.Context(), "things")
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum
}

// A topic that castorm filled is taken over: nothing that it holds is published again, what changed since is, in
// castorm's own form, and whoever read castorm's records reads on.
func TestTakeOver(t *testing.T) {
	for name, avroKeys := range map[string]bool{"keys as texts": false, "keys in Avro": true} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			converter := "CONNECT_KEY_CONVERTER=org.apache.kafka.connect.storage.StringConverter"
			if avroKeys {
				converter = "CONNECT_KEY_CONVERTER=io.confluent.connect.avro.AvroConverter"
			}
			c.environ = append(c.environ, converter, "CONNECT_KEY_CONVERTER_SCHEMA_REGISTRY_URL="+c.registry)
			m := newCastorm(t, c, avroKeys)
			began := time.Now().Add(-2 * time.Hour).Truncate(time.Millisecond)
			// Four polls; z leaves after the first, and a changes.
			m.poll(t, began, `a={"id":"a","points":0}`, `b={"id":"b","points":0}`, `z={"id":"z","points":1.50}`)
			for i := range 3 {
				m.poll(t, began.Add(time.Duration(30+i)*time.Minute), fmt.Sprintf(`a={"id":"a","points":%d}`, i), `b={"id":"b","points":0}`)
			}
			reader := newConsumer(t, m)
			reader.read(t, 9)
			reader.client.Close()

			before := c.end(t)
			dry := c.command(t, exitDone, "offsets", "rebuild", "things", "--from-topic", "--dry-run")
			if state := c.bucket.Objects("state", ""); len(state) != 0 || dry["written"] != false || dry["after"].(map[string]any)["keys"] != 3.0 {
				t.Errorf("a dry run: %v, %v", state, dry)
			}
			done := c.command(t, exitDone, "offsets", "rebuild", "things", "--from-topic")
			rebuilt := done["rebuilt"].(map[string]any)
			if rebuilt["records"] != 9.0 || rebuilt["castorm"] != 9.0 || rebuilt["typed"] != 0.0 || rebuilt["whole"] != true || done["after"].(map[string]any)["left"] != 1.0 {
				t.Errorf("%v", done)
			}
			if !strings.Contains(done["audit"].(string), "'riftline offsets rebuild things --from-topic': 0 keys known before and 3 after") {
				t.Errorf("audit %v", done["audit"])
			}

			// Nothing has changed since castorm's last poll.
			c.points.Store(2)
			if s := c.command(t, exitDone, "poll", "things"); s["outcome"] != "nothing_new" || s["unchanged"] != 2.0 {
				t.Errorf("the first poll: %v", s)
			}
			if end := c.end(t); end != before {
				t.Errorf("the topic went from %d to %d", before, end)
			}
			c.points.Store(3)
			if s := c.command(t, exitDone, "poll", "things"); s["published"] != 1.0 || s["changed"] != 1.0 || s["exactly_once"] != true {
				t.Errorf("the second poll: %v", s)
			}
			c.command(t, exitDone, "poll", "things")
			reader = newConsumer(t, m)
			defer reader.client.Close()
			if got, want := reader.read(t, 1), []string{`a={"id":"a","points":3}`}; !slices.Equal(got, want) {
				t.Errorf("the reader finds %q, want %q", got, want)
			}

			// Rebuilt once more from castorm's records and riftline's together.
			c.command(t, exitDone, "offsets", "rebuild", "things", "--from-topic")
			if s := c.command(t, exitDone, "poll", "things"); s["outcome"] != "nothing_new" {
				t.Errorf("after another rebuild: %v", s)
			}
		})
	}
}

func TestOffsetsOfTypedRecords(t *testing.T) {
	c := newCloud(t)
	shown := c.command(t, exitDone, "offsets", "show", "things")
	if shown["generation"] != 0.0 || shown["marker"].(map[string]any)["id"] != nil {
		t.Errorf("nothing yet: %v", shown)
	}
	for points := range int64(3) {
		c.points.Store(points)
		c.command(t, exitDone, "poll", "things")
	}
	shown = c.command(t, exitDone, "offsets", "show", "things", "--keys")
	state := shown["state"].(map[string]any)
	if keys := slices.Sorted(maps.Keys(state["known"].(map[string]any))); !slices.Equal(keys, []string{"a", "b"}) || state["commits"] != 3.0 {
		t.Errorf("%v", shown)
	}
	object := c.bucket.Objects("state", "riftline/poll/things/")[0]

	t.Run("a damaged object is a stop with a way out", func(t *testing.T) {
		if _, err := c.bucket.Put(gcs.Stored{Bucket: "state", Name: object.Name, Data: object.Data[:20]}); err != nil {
			t.Fatal(err)
		}
		s := c.command(t, exitStopped, "poll", "things")
		if text := s["error"].(string); !strings.Contains(text, "riftline offsets rebuild things --from-topic") || !strings.Contains(text, "riftline offsets reset things") {
			t.Errorf("says %s", text)
		}
		c.command(t, exitStopped, "offsets", "show", "things")
		c.command(t, exitStopped, "offsets", "set", "things", "--forget", "a")
		done := c.command(t, exitDone, "offsets", "rebuild", "things", "--from-topic")
		if done["rebuilt"].(map[string]any)["typed"] != 4.0 {
			t.Errorf("%v", done)
		}
		if s := c.command(t, exitDone, "poll", "things"); s["outcome"] != "nothing_new" || s["unchanged"] != 2.0 {
			t.Errorf("the poll after: %v", s)
		}
		kept := 0
		for _, o := range c.bucket.Objects("state", "riftline/poll/things/") {
			if strings.Contains(o.Name, ".refused-") && len(o.Data) == 20 {
				kept++
			}
		}
		if kept != 1 {
			t.Errorf("%d objects keep what was refused", kept)
		}
	})
	t.Run("set and reset", func(t *testing.T) {
		c.command(t, exitDone, "offsets", "set", "things", "--forget", "a")
		if s := c.command(t, exitDone, "poll", "things"); s["published"] != 1.0 || s["new"] != 1.0 {
			t.Errorf("after set: %v", s)
		}
		c.command(t, exitDone, "offsets", "reset", "things")
		if s := c.command(t, exitDone, "poll", "things"); s["published"] != 2.0 || s["new"] != 2.0 {
			t.Errorf("after reset: %v", s)
		}
		known := write(t, "known.json", `{}`)
		c.command(t, exitDone, "offsets", "set", "things", "--from", known, "--dry-run")
		if s := c.command(t, exitDone, "poll", "things"); s["outcome"] != "nothing_new" {
			t.Errorf("after a dry run: %v", s)
		}
	})
	t.Run("what makes no sense is 2", func(t *testing.T) {
		before := c.command(t, exitDone, "offsets", "show", "things")["generation"]
		for _, args := range [][]string{
			{"settle", "things"}, {"settle", "things", "--committed", "--not-committed"}, {"settle", "things", "--committed"},
			{"rebuild", "things"}, {"set", "things"}, {"set", "things", "--from", "none.json"}, {"set", "things", "--forget", "nobody"},
			{"set", "things", "--timestamp", "noon"}, {"set", "things", "--timestamp", "2026-11-29T12:00:00Z"},
			{"rebuild", "archive", "--from-topic"}, {"reset", "archive"}, {"show", "nobody"}, {"show", "things", "--variable", "x"}, {"show"},
		} {
			if code, out, errOut := commandIn(t, c.environ, "", append([]string{"offsets"}, args...)...); code != exitUsage {
				t.Errorf("%v: exit %d\n%s%s", args, code, out, errOut)
			}
			// Settling looks at the marker, under a claim.
			after := c.command(t, exitDone, "offsets", "show", "things")["generation"]
			if args[0] != "settle" && after != before {
				t.Errorf("%v: the object was written", args)
			}
			before = after
		}
	})
	t.Run("no broker is 1", func(t *testing.T) {
		c.broker.Close()
		shown := c.command(t, exitTransient, "offsets", "show", "things")
		if shown["state"] == nil || shown["error"] == nil {
			t.Errorf("%v", shown)
		}
		c.command(t, exitTransient, "offsets", "reset", "things")
	})
}

func TestOffsetsOfSeveralSourcePartitions(t *testing.T) {
	c := newCloud(t)
	if s := c.command(t, exitDone, "poll", "regions"); s["published"] != 4.0 {
		t.Fatalf("the first poll: %v", s)
	}
	shown := c.command(t, exitDone, "offsets", "show", "regions")
	if units := shown["units"].([]any); len(units) != 2 || units[1].(map[string]any)["variables"].(map[string]any)["region"] != "euw1" {
		t.Errorf("%v", shown)
	}
	c.command(t, exitUsage, "offsets", "rebuild", "regions", "--from-topic")
	c.command(t, exitUsage, "offsets", "show", "regions", "--variable", "platform=kr")
	one := c.command(t, exitDone, "offsets", "rebuild", "regions", "--from-topic", "--variable", "region=kr")
	if r := one["rebuilt"].(map[string]any); r["typed"] != 2.0 || r["others"] != 2.0 || !strings.Contains(one["audit"].(string), "riftline offsets rebuild regions --variable region=kr --from-topic") {
		t.Errorf("%v", one)
	}
	c.command(t, exitDone, "offsets", "rebuild", "regions", "--from-topic", "--all")
	if s := c.command(t, exitDone, "poll", "regions"); s["outcome"] != "nothing_new" || s["unchanged"] != 4.0 {
		t.Errorf("the poll after: %v", s)
	}
	c.command(t, exitDone, "offsets", "reset", "regions", "--variable", "region=kr")
	if s := c.command(t, exitDone, "poll", "regions"); s["published"] != 2.0 {
		t.Errorf("after the reset of one: %v", s)
	}
}
