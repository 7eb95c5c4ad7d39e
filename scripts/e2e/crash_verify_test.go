//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
	_ "time/tzdata"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/ocf"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/local/gcs"
)

// The two schemas whose records interleave.
var crashSchemas = []string{
	`{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"tier","type":"string"},{"name":"at","type":"long"}]}`,
	`{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"tier","type":"string"},{"name":"at","type":"long"},` +
		`{"name":"more","type":"string","default":""}]}`,
}

var crashStart = time.Date(2026, 3, 28, 22, 30, 0, 0, time.UTC)

// crashZone is where the layouts by time are.
var crashZone = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return zone
}()

// A crashRecord is a record of the topic; n tells each from every other.
type crashRecord struct {
	n         int64
	schema    int
	tier      int
	stamp     time.Time
	partition int32
	offset    int64
}

func (r crashRecord) tierName() string {
	return []string{"CHALLENGER", "GRANDMASTER", "MASTER"}[r.tier]
}

// value is the record in Confluent's wire format.
func (r crashRecord) value(ids []int) []byte {
	v := binary.BigEndian.AppendUint32([]byte{0}, uint32(ids[r.schema]))
	v = binary.AppendVarint(v, r.n)
	v = binary.AppendVarint(v, int64(len(r.tierName())))
	v = append(v, r.tierName()...)
	v = binary.AppendVarint(v, r.stamp.UnixMilli())
	if r.schema == 1 {
		v = append(binary.AppendVarint(v, 4), "more"...)
	}
	return v
}

// committedRecords reads what a read_committed consumer sees of the whole topic, by n.
func (c *crash) committedRecords() map[int64]crashRecord {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for partition, end := range c.stable() {
		if end.Offset > 0 {
			from[partition], left[partition] = kgo.NewOffset().At(0), end.Offset
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.bootstrap), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: from}))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	schemas := []avro.Schema{}
	for _, text := range crashSchemas {
		schemas = append(schemas, avro.MustParse(text))
	}
	found := map[int64]crashRecord{}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			c.t.Fatalf("reading topic %s: %v", c.topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if r.Attrs.IsControl() {
				return
			}
			schema := slices.Index(c.ids, int(binary.BigEndian.Uint32(r.Value[1:5])))
			var body struct {
				N    int64  `avro:"n"`
				Tier string `avro:"tier"`
				At   int64  `avro:"at"`
			}
			if err := avro.Unmarshal(schemas[schema], r.Value[5:], &body); err != nil {
				c.t.Fatal(err)
			}
			if other, ok := found[body.N]; ok {
				c.t.Fatalf("record %d is in the topic twice: %+v", body.N, other)
			}
			found[body.N] = crashRecord{
				n: body.N, schema: schema, tier: slices.Index([]string{"CHALLENGER", "GRANDMASTER", "MASTER"}, body.Tier),
				stamp: time.UnixMilli(body.At).UTC(), partition: r.Partition, offset: r.Offset,
			}
		})
	}
	return found
}

// A crashObject is an object of the archive, decoded.
type crashObject struct {
	name      string
	encoded   string
	partition int32
	first     int64
	schema    int
	ns        []int64
}

func (c *crash) decode(o gcs.Stored) crashObject {
	c.t.Helper()
	pattern := regexp.MustCompile(`^topics/` + c.topic + `/(.+)/` + c.topic + `\+(\d+)\+(\d{10})\.avro$`)
	m := pattern.FindStringSubmatch(o.Name)
	if m == nil {
		c.t.Fatalf("stray object %s", o.Name)
	}
	partition, _ := strconv.ParseInt(m[2], 10, 32)
	first, _ := strconv.ParseInt(m[3], 10, 64)
	d, err := ocf.NewDecoder(bytes.NewReader(o.Data), ocf.WithDecoderSchemaCache(&avro.SchemaCache{}))
	if err != nil {
		c.t.Fatalf("%s: %v", o.Name, err)
	}
	out := crashObject{name: o.Name, encoded: m[1], partition: int32(partition), first: first, schema: -1}
	for i, text := range crashSchemas {
		if avro.MustParse(text).Fingerprint() == d.Schema().Fingerprint() {
			out.schema = i
		}
	}
	for d.HasNext() {
		var r struct {
			N int64 `avro:"n"`
		}
		if err := d.Decode(&r); err != nil {
			c.t.Fatalf("%s: %v", o.Name, err)
		}
		out.ns = append(out.ns, r.N)
	}
	if err := d.Error(); err != nil {
		c.t.Fatalf("%s: %v", o.Name, err)
	}
	return out
}

// verify wants every committed record in exactly one object, in order, no gap, no overlap, no stray object, and no lag.
func (c *crash) verify() {
	c.t.Helper()
	topic := c.committedRecords()
	where := map[int64]string{}
	// ends are where the objects of one file after another end, by what tells the files from each other.
	type file struct {
		partition int32
		encoded   string
		schema    int
	}
	ranges := map[file][][2]int64{}
	stored := c.storage.Objects(c.archive, "")
	for _, s := range stored {
		o := c.decode(s)
		if len(o.ns) == 0 {
			c.t.Errorf("%s is empty", o.name)
			continue
		}
		last := int64(-1)
		for i, n := range o.ns {
			r, ok := topic[n]
			switch {
			case !ok:
				c.t.Errorf("record %d of %s is not in the topic, or was aborted", n, o.name)
				continue
			case where[n] != "":
				c.t.Errorf("record %d (%d/%d) is in %s and in %s", n, r.partition, r.offset, where[n], o.name)
			case r.partition != o.partition || r.schema != o.schema || !c.layout.belongs(r, o.encoded):
				c.t.Errorf("record %+v is in %s of schema %d", r, o.name, o.schema)
			case r.offset <= last:
				c.t.Errorf("%s is out of order at offset %d", o.name, r.offset)
			case i == 0 && r.offset != o.first:
				c.t.Errorf("%s begins with offset %d", o.name, r.offset)
			}
			where[n], last = o.name, r.offset
		}
		key := file{o.partition, o.encoded, o.schema}
		ranges[key] = append(ranges[key], [2]int64{o.first, last})
	}
	for _, n := range slices.Sorted(maps.Keys(topic)) {
		if where[n] == "" {
			c.t.Errorf("record %+v is in no object", topic[n])
		}
	}
	for key, all := range ranges {
		slices.SortFunc(all, func(a, b [2]int64) int { return int(a[0] - b[0]) })
		for i := 1; i < len(all); i++ {
			if all[i][0] <= all[i-1][1] {
				c.t.Errorf("objects of %+v overlap: %v and %v", key, all[i-1], all[i])
			}
		}
	}
	lags, err := c.admin.Lag(c.t.Context(), c.sinkGroup())
	if err != nil {
		c.t.Fatal(err)
	}
	if lag := lags[c.sinkGroup()].Lag.Total(); lag != 0 {
		c.t.Errorf("group %s has lag %d", c.sinkGroup(), lag)
	}
	if c.t.Failed() {
		c.keep(stored)
	}
	c.count.mu.Lock()
	defer c.count.mu.Unlock()
	c.count.records += len(topic)
	c.count.objects += len(stored)
}

// keep writes what is in both buckets to files for whoever has to find out.
func (c *crash) keep(stored []gcs.Stored) {
	dir := filepath.Join(work, c.topic)
	for _, s := range append(stored, c.storage.Objects(c.state, "")...) {
		file := filepath.Join(dir, s.Bucket, s.Name)
		_ = os.MkdirAll(filepath.Dir(file), 0o700)
		_ = os.WriteFile(file, s.Data, 0o600)
		meta, _ := json.Marshal(s.Metadata)
		_ = os.WriteFile(file+".metadata", meta, 0o600)
	}
	c.t.Logf("the buckets are in %s", dir)
}

// compareWithCalm drains the topic once more into another bucket by a sink of another name that nothing disturbs, and
// wants the same objects, byte for byte.
func (c *crash) compareWithCalm() {
	c.t.Helper()
	calm := c.archive + "-calm"
	if err := c.storage.CreateBucket(calm); err != nil {
		c.t.Fatal(err)
	}
	keys := maps.Clone(c.sinkKeys)
	keys["name"], keys["gcs.bucket.name"] = c.pipeline.sink+"-calm", calm
	data, err := json.Marshal(keys)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, keys["name"]+".json"), data, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.ended(c.sink("a bucket of its own", nil, "RIFTLINE_CONNECTOR="+keys["name"]))
	want, got := c.storage.Objects(calm, ""), c.storage.Objects(c.archive, "")
	if len(want) == 0 {
		c.t.Fatal("the undisturbed sink wrote nothing")
	}
	describe := func(all []gcs.Stored) []string {
		var out []string
		for _, o := range all {
			out = append(out, fmt.Sprintf("%s %08x", o.Name, o.CRC32C))
		}
		return out
	}
	if a, b := describe(got), describe(want); !slices.Equal(a, b) {
		c.t.Errorf("the objects are not those of an undisturbed sink:\n%q\n%q", a, b)
	}
}
