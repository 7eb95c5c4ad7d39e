package drain

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

// placed is a schema with fields for every partitioner; placedLess is the same without them.
const (
	placedID   = 10
	placed     = `{"type":"record","name":"placed","fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"},{"name":"platform","type":["null","string"],"default":null},{"name":"mini","type":{"type":"record","name":"mini","fields":[{"name":"hot","type":"boolean"},{"name":"points","type":"long"}]}},{"name":"at","type":"string"}]}`
	placedLess = `{"type":"record","name":"placed","fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"}]}`
)

// spot is a record of that schema: no platform is null.
type spot struct {
	topic     string
	partition int32
	platform  string
	hot       bool
	points    int64
	at        string
	stamp     time.Time
	pad       string
}

func (w *world) spot(s spot) *kgo.Record {
	w.next++
	w.committed[w.next] = true
	text := func(v []byte, s string) []byte { return append(binary.AppendVarint(v, int64(len(s))), s...) }
	v := binary.BigEndian.AppendUint32([]byte{0}, placedID)
	v = text(binary.AppendVarint(v, w.next), s.pad)
	if s.platform == "" {
		v = append(v, 0)
	} else {
		v = text(append(v, 2), s.platform)
	}
	hot := byte(0)
	if s.hot {
		hot = 1
	}
	v = text(binary.AppendVarint(append(v, hot), s.points), s.at)
	if s.topic == "" {
		s.topic = topicName
	}
	return &kgo.Record{Topic: s.topic, Partition: s.partition, Value: v, Timestamp: s.stamp}
}

func (w *world) place(spots ...spot) {
	w.t.Helper()
	w.schemas.texts[placedID] = placed
	for _, s := range spots {
		w.send(w.spot(s))
	}
}

func platforms(names ...string) []spot {
	var all []spot
	for _, n := range names {
		all = append(all, spot{platform: n})
	}
	return all
}

func at(times ...string) []spot {
	var all []spot
	for _, text := range times {
		stamp, err := time.Parse(time.RFC3339, text)
		if err != nil {
			panic(err)
		}
		all = append(all, spot{stamp: stamp, at: text})
	}
	return all
}

func byField(names ...string) connector.Partitioner {
	return connector.Partitioner{Class: connector.FieldPartitioner, Fields: names}
}

func byHour(zone, extractor string) connector.Partitioner {
	return connector.Partitioner{
		Class: connector.TimeBasedPartitioner, DurationMS: time.Hour.Milliseconds(), PathFormat: "'day'=YYYY-MM-dd/'hour'=HH",
		Timezone: zone, Extractor: extractor, TimestampField: "at",
	}
}

// wantLayout compares the objects, each by what its name says after the topic, with the n of their records.
func (w *world) wantLayout(want map[string][]int64) {
	w.t.Helper()
	w.wantTopics(map[string]map[string][]int64{topicName: want})
}

func (w *world) wantTopics(want map[string]map[string][]int64) {
	w.t.Helper()
	for topic, objects := range want {
		got := map[string][]int64{}
		prefix := "topics/" + topic + "/"
		for _, o := range w.server.Objects(archiveBucket, prefix) {
			short := strings.TrimSuffix(strings.TrimPrefix(o.Name, prefix), ".avro")
			short = strings.Replace(short, "/"+topic+"+", " ", 1)
			got[short] = w.decode(o)
		}
		if !maps.EqualFunc(got, objects, slices.Equal) {
			w.t.Errorf("%s:\n got %v\nwant %v", topic, got, objects)
		}
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// once makes sure that every record is in exactly one object, in order.
func (w *world) once() {
	w.t.Helper()
	seen := map[int64]string{}
	for _, o := range w.server.Objects(archiveBucket, "") {
		records := w.decode(o)
		if len(records) == 0 || !slices.IsSorted(records) {
			w.t.Errorf("%s holds %v", o.Name, records)
		}
		for _, n := range records {
			if other, ok := seen[n]; ok {
				w.t.Errorf("record %d is in %s and in %s", n, other, o.Name)
			}
			seen[n] = o.Name
		}
	}
	for n := range w.committed {
		if _, ok := seen[n]; !ok {
			w.t.Errorf("record %d is in no object", n)
		}
	}
	if len(seen) != len(w.committed) {
		w.t.Errorf("%d records in objects, %d were committed", len(seen), len(w.committed))
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

func TestFieldLayout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner, w.sink.FlushSize = byField("platform", "mini.hot", "mini.points"), 4
	w.place(spot{platform: "kr", hot: true, points: 1}, spot{platform: "euw1"}, spot{platform: "kr", hot: true, points: 1}, spot{}, spot{platform: "kr", hot: true, points: 1}, spot{platform: "a/b c", points: -3})
	w.drain(Drained)
	// flush.size counts over all files, and a flush closes all of them.
	w.wantLayout(map[string][]int64{
		"platform=kr/mini.hot=true/mini.points=1 0+0000000000":      {1, 3},
		"platform=euw1/mini.hot=false/mini.points=0 0+0000000001":   {2},
		"platform=null/mini.hot=false/mini.points=0 0+0000000003":   {4},
		"platform=kr/mini.hot=true/mini.points=1 0+0000000004":      {5},
		"platform=a/b c/mini.hot=false/mini.points=-3 0+0000000005": {6},
	})
	w.once()
	if lag := w.lag(0); lag != 0 {
		t.Errorf("lag %d", lag)
	}
	w.drain(NothingNew)
}

func TestHourlyLayoutOverDaylightSaving(t *testing.T) {
	t.Parallel()
	for _, extractor := range []string{connector.RecordExtractor, connector.RecordFieldExtractor} {
		t.Run(extractor, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.sink.Partitioner, w.sink.FlushSize, w.sink.Codec = byHour("Europe/Berlin", extractor), 100, "snappy"
			w.place(at("2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z", "2026-03-29T00:10:00Z")...)
			w.drain(Drained)
			w.wantLayout(map[string][]int64{
				"day=2026-03-29/hour=01 0+0000000000": {1, 6},
				"day=2026-03-29/hour=03 0+0000000001": {2},
				"day=2026-10-25/hour=02 0+0000000002": {3, 4},
				"day=2026-10-25/hour=03 0+0000000004": {5},
			})
			w.once()
		})
	}
}

func TestWallclockLayout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner = byHour("Asia/Seoul", connector.WallclockExtractor)
	d := w.deps()
	d.Now = func() time.Time { return time.Date(2026, 3, 7, 15, 20, 0, 0, time.UTC) }
	w.place(spot{}, spot{})
	w.drainWith(w.sink, d, Drained)
	w.wantLayout(map[string][]int64{"day=2026-03-08/hour=00 0+0000000000": {1, 2}})
}

func TestOtherDelimitersAndNoTopicsDir(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner, w.sink.TopicsDir, w.sink.DirectoryDelim, w.sink.FileDelim, w.sink.ZeroPad = byField("platform", "mini.points"), "", "|", "~", 3
	w.place(platforms("kr", "kr")...)
	w.drain(Drained)
	w.wantNames("challenger|platform=kr|mini.points=0|challenger~0~000.avro")
	w.once()
}

func TestRotationByRecordTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner, w.sink.FlushSize = byHour("UTC", connector.RecordExtractor), 100
	w.sink.RotateIntervalMS, w.sink.RotateOnPartitionChange = 10*time.Minute.Milliseconds(), true
	w.place(at("2026-03-07T08:00:00Z", "2026-03-07T08:09:59Z", "2026-03-07T08:10:00Z", "2026-03-07T09:00:00Z", "2026-03-07T08:59:00Z")...)
	w.drain(Drained)
	w.wantLayout(map[string][]int64{
		"day=2026-03-07/hour=08 0+0000000000": {1, 2},
		"day=2026-03-07/hour=08 0+0000000002": {3},
		"day=2026-03-07/hour=09 0+0000000003": {4},
		"day=2026-03-07/hour=08 0+0000000004": {5},
	})
	w.once()
}

// TestRotationBySchedule: the last, unfinished files are left for the next drain, unless a time of the schedule has
// passed since their first record came.
func TestRotationBySchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushSize, w.sink.RotateScheduleMS, w.sink.Timezone = 100, 30*time.Minute.Milliseconds(), "UTC"
	w.sink.FlushOnDrainEnd = false
	morning := time.Date(2026, 3, 7, 8, 10, 0, 0, time.UTC)
	w.place(spot{stamp: morning}, spot{stamp: morning.Add(time.Minute)})
	drainAt := func(now time.Time, want Outcome) {
		t.Helper()
		d := w.deps()
		d.Now = func() time.Time { return now }
		w.drainWith(w.sink, d, want)
	}
	drainAt(morning.Add(5*time.Minute), NothingNew)
	w.wantNames()
	// Half past eight has passed since the first record came, so that the files would be closed by now.
	w.place(spot{stamp: morning.Add(21 * time.Minute)})
	drainAt(morning.Add(22*time.Minute), Drained)
	w.wantRecords(object(0, 0), 1, 2, 3)
	w.place(spot{stamp: morning.Add(23 * time.Minute)})
	drainAt(morning.Add(25*time.Minute), NothingNew)
	drainAt(morning.Add(55*time.Minute), Drained)
	w.wantRecords(object(0, 3), 4)
	w.verify()
}

func TestFlushByBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner, w.sink.FlushSize, w.sink.FlushBytes = byField("platform"), 100, 120
	pad := strings.Repeat("x", 40)
	for _, p := range []string{"kr", "euw1", "kr", "kr", "euw1"} {
		w.place(spot{platform: p, pad: pad})
	}
	w.drain(Drained)
	w.wantLayout(map[string][]int64{
		"platform=kr 0+0000000000":   {1, 3},
		"platform=euw1 0+0000000001": {2},
		"platform=kr 0+0000000003":   {4},
		"platform=euw1 0+0000000004": {5},
	})
	w.once()
}

func TestMaxOpenFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner, w.sink.FlushSize, w.sink.MaxOpenFiles = byField("platform"), 100, 2
	w.place(platforms("kr", "euw1", "kr", "na1", "euw1", "na1")...)
	w.drain(Drained)
	w.wantLayout(map[string][]int64{
		"platform=kr 0+0000000000":   {1, 3},
		"platform=euw1 0+0000000001": {2},
		"platform=na1 0+0000000003":  {4, 6},
		"platform=euw1 0+0000000004": {5},
	})
	w.once()
}

// TestSchemaChangeRotatesPerEncodedPartition: schemas of different encoded partitions do not rotate one another.
func TestSchemaChangeRotatesPerEncodedPartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner, w.sink.FlushSize, w.sink.SchemaChangeRotates = byField("platform"), 100, true
	const other = placedID + 1
	w.schemas.texts[other] = placed
	send := func(id uint32, platform string) {
		w.schemas.texts[placedID] = placed
		r := w.spot(spot{platform: platform})
		binary.BigEndian.PutUint32(r.Value[1:], id)
		w.send(r)
	}
	send(placedID, "kr")
	send(other, "euw1")
	send(placedID, "kr")
	send(other, "kr")
	send(other, "euw1")
	w.drain(Drained)
	w.wantLayout(map[string][]int64{
		"platform=kr 0+0000000000":   {1, 3},
		"platform=euw1 0+0000000001": {2},
		"platform=kr 0+0000000003":   {4},
		"platform=euw1 0+0000000004": {5},
	})
	w.once()
}

func TestManyTopics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for _, topic := range []string{"ladder.kr", "ladder.euw1", "other"} {
		w.newTopic(topic)
	}
	w.sink.Topics, w.sink.Partitioner = []string{topicName, "ladder.kr"}, byField("platform")
	w.place(spot{platform: "a"}, spot{platform: "b", topic: "ladder.kr"}, spot{platform: "c", topic: "ladder.kr"})
	w.drain(Drained)
	first := map[string]map[string][]int64{
		topicName:     {"platform=a 0+0000000000": {1}},
		"ladder.kr":   {"platform=b 0+0000000000": {2}, "platform=c 0+0000000001": {3}},
		"ladder.euw1": {}, "other": {}, "ladder.na1": {},
	}
	w.wantTopics(first)

	// The same topics and more by a pattern; one that comes later is found by the next drain.
	w.sink.Topics, w.sink.TopicsRegex = nil, `chal\w+|ladder\..*`
	w.place(spot{platform: "d", topic: "ladder.euw1"})
	if sum := w.drain(Drained); len(sum.Partitions) != 3 || sum.Records != 1 {
		t.Fatalf("%+v", sum)
	}
	w.newTopic("ladder.na1")
	w.place(spot{platform: "e", topic: "ladder.na1"}, spot{platform: "f", topic: "ladder.kr"})
	if sum := w.drain(Drained); len(sum.Partitions) != 4 || sum.Records != 2 {
		t.Fatalf("%+v", sum)
	}
	first["ladder.euw1"] = map[string][]int64{"platform=d 0+0000000000": {4}}
	first["ladder.na1"] = map[string][]int64{"platform=e 0+0000000000": {5}}
	first["ladder.kr"]["platform=f 0+0000000002"] = []int64{6}
	w.wantTopics(first)
	w.once()

	w.sink.TopicsRegex = "ladder"
	if sum := w.drain(NothingNew); len(sum.Partitions) != 0 {
		t.Fatalf("a part of a name is no match: %+v", sum)
	}
	w.sink.TopicsRegex = "("
	w.drain(Misconfigured)
}

func (w *world) newTopic(name string) {
	w.t.Helper()
	if _, err := w.admin.CreateTopic(w.ctx, 1, 1, nil, name); err != nil {
		w.t.Fatal(err)
	}
}

// TestRecordsWithoutAPlaceStop: nothing past such a record is archived, and everything before it is.
func TestRecordsWithoutAPlaceStop(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p    connector.Partitioner
		bad  spot
		id   uint32
		says string
	}{
		"a text that is no time":     {byHour("UTC", connector.RecordFieldExtractor), spot{at: "yesterday"}, placedID, "field at is neither"},
		"a name that is too long":    {byField("platform"), spot{platform: strings.Repeat("x", 1000)}, placedID, "1024"},
		"a line break in a name":     {byField("platform"), spot{platform: "a\nb"}, placedID, "line break"},
		"a schema without the field": {byField("platform"), spot{}, placedID + 1, "no field platform"},
		"a field that is no scalar":  {byField("mini"), spot{}, placedID, "neither a whole number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.schemas.texts[placedID+1] = placedLess
			w.sink.Partitioner = c.p
			good := at("2026-03-07T08:00:00Z")[0]
			good.platform = "kr"
			before := 0
			if name != "a field that is no scalar" {
				w.place(good)
				before = 1
			}
			w.schemas.texts[placedID] = placed
			r := w.spot(c.bad)
			if c.id != placedID {
				r.Value = value(int(c.id), w.next, "pad")
			}
			w.send(r)
			w.place(good)
			sum := w.drain(Stopped)
			wantText(t, sum.Partitions[0].Stopped, c.says, fmt.Sprintf("offset %d", before))
			if sum.Records != int64(before) || sum.Partitions[0].To != int64(before) {
				t.Fatalf("%+v", sum)
			}
		})
	}
}

// TestManyOpenFilesAreBounded: what the open files hold calls for a flush before flush.size does.
func TestManyOpenFilesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner, w.sink.FlushSize, w.sink.MemoryMax = byField("platform"), 1_000_000, 1
	pad := strings.Repeat("x", 5_000)
	const places, records = 60, 480
	var batch []*kgo.Record
	w.schemas.texts[placedID] = placed
	for i := range records {
		batch = append(batch, w.spot(spot{platform: fmt.Sprint("p", i%places), pad: pad}))
	}
	if err := w.kgo.ProduceSync(w.ctx, batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	sum := w.drain(Drained)
	if sum.Objects <= places || sum.Objects == records {
		t.Fatalf("%d objects", sum.Objects)
	}
	w.once()
}

// TestInterleavedRangesAreBounded: a plan lists a range for each record where two files interleave, and so many fill it.
func TestInterleavedRangesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.Partitioner, w.sink.FlushSize = byField("platform"), 1_000_000
	w.place(platforms("a", "b", "a", "b", "a", "b")...)
	p, in, records := w.midway(0, 6)
	a, err := p.newAssembly(in)
	if err != nil {
		t.Fatal(err)
	}
	a.b.ranges = planRanges - 4
	for i, r := range records {
		if _, err := a.take(w.ctx, r, 0); err != nil {
			t.Fatal(err)
		}
		if a.atCut() {
			if i != 3 || a.b.next != 4 || len(a.b.files) != 2 || !a.full() {
				t.Fatalf("a flush after record %d: %+v", i, a.b)
			}
			return
		}
	}
	t.Fatal("no flush")
}

// TestLayoutsKilledEverywhere kills a drain after every change that it makes, and goes on with another layout: what was
// planned is as it was planned, and what comes after it follows the new one.
func TestLayoutsKilledEverywhere(t *testing.T) {
	t.Parallel()
	layouts := map[string]func(*connector.Sink){
		"by field": func(s *connector.Sink) { s.Partitioner = byField("platform", "mini.points") },
		"by record time": func(s *connector.Sink) {
			s.Partitioner, s.RotateIntervalMS, s.RotateOnPartitionChange = byHour("Europe/Berlin", connector.RecordExtractor), 3_600_000, true
		},
		"by a time in a field, few files": func(s *connector.Sink) {
			s.Partitioner, s.MaxOpenFiles = byHour("UTC", connector.RecordFieldExtractor), 1
		},
		"by bytes":  func(s *connector.Sink) { s.FlushBytes = 60 },
		"a default": func(*connector.Sink) {},
	}
	next := map[string]string{"by field": "by record time", "by record time": "by bytes", "by a time in a field, few files": "by field", "by bytes": "by a time in a field, few files", "a default": "by field"}
	for name, set := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killedEverywhere(t, 1, func(w *world) {
				w.sink.FlushSize = 4
				set(&w.sink)
				all := at("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T00:40:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z", "2026-10-25T02:31:00Z")
				for i := range all {
					all[i].platform, all[i].points = []string{"kr", "euw1", "kr"}[i%3], int64(i%2)
				}
				w.place(all...)
			}, func(w *world) connector.Sink {
				w.place(at("2026-10-25T03:30:00Z", "2026-10-25T03:31:00Z")...)
				s := w.sink
				s.Partitioner, s.RotateIntervalMS, s.MaxOpenFiles, s.FlushBytes, s.FlushSize = connector.Partitioner{}, 0, 0, 0, 2
				layouts[next[name]](&s)
				return s
			}, func(w *world) {
				w.once()
				if lag := w.lag(0); lag != 0 {
					t.Errorf("lag %d", lag)
				}
			})
		})
	}
}
