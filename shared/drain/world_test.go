package drain

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/ocf"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/schema"
)

const (
	archiveBucket = "archive"
	stateBucket   = "state"
	topicName     = "challenger"
	sinkName      = "gcs-sink"
)

// The test's records: n tells each from every other. Schema 2 has a field more.
const (
	schema1 = `{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"}]}`
	schema2 = `{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"},{"name":"more","type":"long"}]}`
)

// world is a broker, a bucket and a registry, and a sink between them.
type world struct {
	t       testing.TB
	ctx     context.Context
	cluster *kfake.Cluster
	server  *gcs.Server
	kgo     *kgo.Client
	admin   *kadm.Client
	state   *bucket.Bucket
	archive *bucket.Bucket
	sink    connector.Sink
	schemas *registry

	next int64
	// committed are the n of all records that were ever committed, null values aside.
	committed map[int64]bool
}

type registry struct {
	mu    sync.Mutex
	texts map[int]string
	// versions are by subject and id; where there is none for a subject at all, the id is the version.
	versions map[string]map[int]int
	// unusable are ids whose schemas cannot be used.
	unusable map[int]error
	fail     error
	asked    int
}

func (r *registry) Version(_ context.Context, subject string, id int) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return 0, r.fail
	}
	if r.versions == nil {
		return id, nil
	}
	if version, ok := r.versions[subject][id]; ok {
		return version, nil
	}
	return 0, fmt.Errorf("%w: %s", schema.ErrUnknownVersion, subject)
}

func (r *registry) ByID(_ context.Context, id int) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.fail != nil {
		return "", r.fail
	}
	if err := r.unusable[id]; err != nil {
		return "", err
	}
	if text, ok := r.texts[id]; ok {
		return text, nil
	}
	return "", fmt.Errorf("%w: %d", schema.ErrUnknownID, id)
}

func newWorld(t testing.TB, partitions int32) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topicName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	server, err := gcs.New(gcs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	ctx, cancel := context.WithTimeout(logging.With(t.Context(), logging.New(t.Output(), logging.Options{})), 4*time.Minute)
	t.Cleanup(cancel)
	w := &world{
		t: t, ctx: ctx, cluster: cluster, server: server,
		schemas: &registry{texts: map[int]string{1: schema1, 2: schema2}}, committed: map[int64]bool{},
		sink: connector.Sink{
			Name: sinkName, Topics: []string{topicName}, Bucket: archiveBucket, TopicsDir: "topics", DirectoryDelim: "/", FileDelim: "+", ZeroPad: 10,
			Codec: "null", FlushSize: 3, PartSize: 5 << 20, FlushOnDrainEnd: true, MemoryMax: 32 << 20, OffsetReset: "earliest", TasksMax: 1,
			ValueConverter: connector.AvroConverter, Kafka: connector.Kafka{Brokers: cluster.ListenAddrs(), Protocol: "PLAINTEXT", ClientID: "test"},
		},
	}
	w.connect()
	w.archive, w.state = w.bucket(archiveBucket), w.bucket(stateBucket)
	return w
}

// connect makes the client that writes records; a topic that was made again needs a new one.
func (w *world) connect() {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	w.kgo, w.admin = client, kadm.NewClient(client)
}

func (w *world) bucket(name string) *bucket.Bucket {
	w.t.Helper()
	if err := w.server.CreateBucket(name); err != nil {
		w.t.Fatal(err)
	}
	client, err := bucket.NewClient(w.ctx, bucket.At(w.server.URL())...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.Close() })
	b, err := bucket.Open(client, "gs://"+name)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// value is a record's value in Confluent's wire format.
func value(id int, n int64, pad string) []byte {
	v := binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
	v = binary.AppendVarint(v, n)
	v = append(binary.AppendVarint(v, int64(len(pad))), pad...)
	if id == 2 {
		v = binary.AppendVarint(v, -n)
	}
	return v
}

func (w *world) record(partition int32, id int, pad string) *kgo.Record {
	w.next++
	w.committed[w.next] = true
	return &kgo.Record{Topic: topicName, Partition: partition, Key: []byte(strconv.FormatInt(w.next, 10)), Value: value(id, w.next, pad)}
}

// produce appends records of these schema ids to a partition; id 0 is a null value.
func (w *world) produce(partition int32, ids ...int) {
	w.t.Helper()
	for _, id := range ids {
		r := &kgo.Record{Topic: topicName, Partition: partition, Key: []byte("null")}
		if id != 0 {
			r = w.record(partition, id, "pad")
		}
		w.send(r)
	}
}

func (w *world) send(r *kgo.Record) {
	w.t.Helper()
	if err := w.kgo.ProduceSync(w.ctx, r).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// transaction appends n records of schema 1 in one transaction.
func (w *world) transaction(partition int32, n int, commit bool) {
	w.t.Helper()
	client := w.transactional("t-" + strconv.FormatInt(w.next, 10))
	w.begin(client, partition, n)
	w.end(client, commit, n)
}

func (w *world) transactional(id string) *kgo.Client {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(id))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

func (w *world) begin(client *kgo.Client, partition int32, n int) {
	w.t.Helper()
	if err := client.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	for range n {
		if err := client.ProduceSync(w.ctx, w.record(partition, 1, "pad")).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// end ends a transaction of the n records that were produced last.
func (w *world) end(client *kgo.Client, commit bool, n int) {
	w.t.Helper()
	if err := client.EndTransaction(w.ctx, kgo.TransactionEndTry(commit)); err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		if !commit {
			delete(w.committed, w.next-int64(i))
		}
	}
}

// deps are those of a process of its own.
func (w *world) deps() Deps {
	w.t.Helper()
	consumer, err := kafka.NewConsumer(w.sink.Kafka, w.sink.Group(), logging.From(w.ctx))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(consumer.Close)
	letters, err := kafka.NewDeadLetters(w.sink.Kafka, logging.From(w.ctx))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(letters.Close)
	return Deps{Consumer: consumer, Heads: w.state, Archive: w.archive, Schemas: w.schemas, DeadLetters: letters, Tasks: 1}
}

// drain runs a drain that must end with an outcome.
func (w *world) drain(want Outcome) Summary {
	w.t.Helper()
	return w.drainWith(w.sink, w.deps(), want)
}

func (w *world) drainWith(s connector.Sink, d Deps, want Outcome) Summary {
	w.t.Helper()
	sum, err := Run(w.ctx, s, d)
	if sum.Outcome != want {
		w.t.Fatalf("outcome %s, want %s: %v, %+v", sum.Outcome, want, err, sum.Partitions)
	}
	if (err == nil) != (sum.Outcome.ExitCode() == 0) {
		w.t.Fatalf("outcome %s with error %v", sum.Outcome, err)
	}
	return sum
}

func (w *world) names() []string {
	w.t.Helper()
	var names []string
	for _, o := range w.server.Objects(archiveBucket, "") {
		names = append(names, o.Name)
	}
	return names
}

func (w *world) wantNames(want ...string) {
	w.t.Helper()
	if got := w.names(); !slices.Equal(got, want) {
		w.t.Fatalf("objects %q, want %q", got, want)
	}
}

func object(partition int, first int) string {
	return fmt.Sprintf("topics/challenger/partition=%d/challenger+%d+%010d.avro", partition, partition, first)
}

// read returns the n of an object's records, by a reader that is not ours.
func (w *world) read(name string) []int64 {
	w.t.Helper()
	for _, o := range w.server.Objects(archiveBucket, name) {
		if o.Name == name {
			return w.decode(o)
		}
	}
	w.t.Fatalf("there is no object %s", name)
	return nil
}

func (w *world) decode(o gcs.Stored) []int64 {
	w.t.Helper()
	d, err := ocf.NewDecoder(bytes.NewReader(o.Data), ocf.WithDecoderConfig(avro.Config{MaxByteSliceSize: 64 << 20}.Freeze()))
	if err != nil {
		w.t.Fatalf("%s: %v", o.Name, err)
	}
	var all []int64
	for d.HasNext() {
		var r struct {
			N   int64  `avro:"n"`
			Pad string `avro:"pad"`
		}
		if err := d.Decode(&r); err != nil {
			w.t.Fatalf("%s: record %d: %v", o.Name, len(all), err)
		}
		all = append(all, r.N)
	}
	if err := d.Error(); err != nil {
		w.t.Fatalf("%s: %v", o.Name, err)
	}
	return all
}

var objectName = regexp.MustCompile(`^[a-z0-9]+/challenger/partition=(\d+)/challenger\+(\d+)\+(\d{10})\.avro$`)

// topic reads what the topic holds, with a plain client: n and schema id by offset. n is 0 for a null value.
func (w *world) topic(partition int32) map[int64][2]int64 {
	w.t.Helper()
	ends, err := w.admin.ListCommittedOffsets(w.ctx, topicName)
	if err != nil {
		w.t.Fatal(err)
	}
	starts, err := w.admin.ListStartOffsets(w.ctx, topicName)
	if err != nil {
		w.t.Fatal(err)
	}
	end, _ := ends.Lookup(topicName, partition)
	start, _ := starts.Lookup(topicName, partition)
	found := map[int64][2]int64{}
	if start.Offset >= end.Offset {
		return found
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topicName: {partition: kgo.NewOffset().At(start.Offset)}}))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	for last := int64(-1); last < end.Offset-1; {
		fetches := client.PollFetches(w.ctx)
		if w.ctx.Err() != nil {
			w.t.Fatalf("reading partition %d up to %d: stuck after %d", partition, end.Offset, last)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			last = r.Offset
			switch {
			case r.Attrs.IsControl() || r.Offset >= end.Offset:
			case r.Value == nil:
				found[r.Offset] = [2]int64{0, 0}
			default:
				n, _ := binary.Varint(r.Value[5:])
				found[r.Offset] = [2]int64{n, int64(binary.BigEndian.Uint32(r.Value[1:5]))}
			}
		})
	}
	return found
}

// verify says whether every record of the topic is in exactly one object, in order, and no object is stray. It knows
// the bucket and the topic only, besides the records that were ever committed.
func (w *world) verify() {
	w.t.Helper()
	w.verifyExcept()
}

// verifyExcept allows records to be archived nowhere.
func (w *world) verifyExcept(missing ...int64) {
	w.t.Helper()
	where := map[int64]string{}
	for _, o := range w.server.Objects(archiveBucket, "") {
		m := objectName.FindStringSubmatch(o.Name)
		if m == nil || m[1] != m[2] {
			w.t.Errorf("stray object %s", o.Name)
			continue
		}
		records := w.decode(o)
		if len(records) == 0 {
			w.t.Errorf("%s is empty", o.Name)
		}
		if !slices.IsSorted(records) {
			w.t.Errorf("%s is out of order: %v", o.Name, records)
		}
		for _, n := range records {
			if other, ok := where[n]; ok {
				w.t.Errorf("record %d is in %s and in %s", n, other, o.Name)
			}
			if !w.committed[n] {
				w.t.Errorf("record %d in %s was never committed", n, o.Name)
			}
			where[n] = o.Name
		}
	}
	infos := w.cluster.PartitionInfos(topicName)
	for _, info := range infos {
		w.verifyPartition(info.Partition, where, missing)
	}
	if w.t.Failed() {
		w.t.Fatalf("objects: %q", w.names())
	}
}

func (w *world) verifyPartition(partition int32, where map[int64]string, missing []int64) {
	w.t.Helper()
	topic := w.topic(partition)
	firsts := map[string]int64{}
	for _, offset := range slices.Sorted(maps.Keys(topic)) {
		n := topic[offset][0]
		if n == 0 || slices.Contains(missing, n) {
			continue
		}
		name, ok := where[n]
		if !ok {
			w.t.Errorf("record %d (offset %d of partition %d) is in no object", n, offset, partition)
			continue
		}
		m := objectName.FindStringSubmatch(name)
		first, _ := strconv.ParseInt(m[3], 10, 64)
		if m[2] != strconv.Itoa(int(partition)) || first > offset {
			w.t.Errorf("record %d at offset %d of partition %d is in %s", n, offset, partition, name)
		}
		if _, ok := firsts[name]; !ok {
			firsts[name] = offset
		}
	}
}

// lag is the group's lag, -1 without a committed offset.
func (w *world) lag(partition int32) int64 {
	w.t.Helper()
	offsets, err := w.admin.FetchOffsets(w.ctx, w.sink.Group())
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		w.t.Fatal(err)
	}
	ends, err := w.admin.ListCommittedOffsets(w.ctx, topicName)
	if err != nil {
		w.t.Fatal(err)
	}
	at, ok := offsets.Lookup(topicName, partition)
	end, _ := ends.Lookup(topicName, partition)
	if !ok || at.At < 0 {
		return -1
	}
	return end.Offset - at.At
}

func (w *world) commit(partition int32, offset int64) {
	w.t.Helper()
	var o kadm.Offsets
	o.AddOffset(topicName, partition, offset, -1)
	if err := w.admin.CommitAllOffsets(w.ctx, w.sink.Group(), o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) head(partition int32) Head {
	w.t.Helper()
	o, err := w.state.Read(w.ctx, HeadName(w.sink.Name, topicName, partition))
	if err != nil {
		w.t.Fatal(err)
	}
	h, err := ParseHead(o.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func ns(from, to int64) []int64 {
	var all []int64
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func (w *world) wantRecords(name string, want ...int64) {
	w.t.Helper()
	if got := w.read(name); !slices.Equal(got, want) {
		w.t.Fatalf("%s holds %v, want %v", name, got, want)
	}
}

func repeat(id, n int) []int { return slices.Repeat([]int{id}, n) }

// errDead is what a killed process's calls return; nothing is done by then.
var errDead = errors.New("the process is dead")

// life is how many changing calls a process makes before it is killed, or before what out does happens to it.
type life struct {
	left atomic.Int64
	out  func() error
}

func (l *life) change() error {
	if l.left.Add(-1) < 0 {
		return l.end()
	}
	return nil
}

func (l *life) look() error {
	if l.left.Load() < 0 {
		return l.end()
	}
	return nil
}

func (l *life) end() error {
	if l.out != nil {
		return l.out()
	}
	return errDead
}

// mortal are deps whose process is killed after so many changes: heads written, objects created, offsets committed.
func mortal(d Deps, changes int64) (Deps, *life) {
	l := &life{}
	l.left.Store(changes)
	d.Heads = mortalHeads{d.Heads, l}
	d.Archive = mortalArchive{d.Archive, l}
	d.Consumer = mortalConsumer{d.Consumer, l}
	return d, l
}

type mortalHeads struct {
	Heads
	l *life
}

func (m mortalHeads) Read(ctx context.Context, name string) (bucket.Object, error) {
	if err := m.l.look(); err != nil {
		return bucket.Object{}, err
	}
	return m.Heads.Read(ctx, name)
}

func (m mortalHeads) CompareAndSet(ctx context.Context, name string, data []byte, o bucket.PutOptions, mine func(bucket.Object) bool) (int64, error) {
	if err := m.l.change(); err != nil {
		return 0, err
	}
	return m.Heads.CompareAndSet(ctx, name, data, o, mine)
}

type mortalArchive struct {
	Archive
	l *life
}

func (m mortalArchive) Stat(ctx context.Context, name string) (bucket.Object, error) {
	if err := m.l.look(); err != nil {
		return bucket.Object{}, err
	}
	return m.Archive.Stat(ctx, name)
}

func (m mortalArchive) PutAll(ctx context.Context, name string, parts [][]byte, o bucket.PutOptions) (int64, error) {
	if err := m.l.change(); err != nil {
		return 0, err
	}
	return m.Archive.PutAll(ctx, name, parts, o)
}

type mortalConsumer struct {
	Consumer
	l *life
}

func (m mortalConsumer) Commit(ctx context.Context, topic string, id [16]byte, partition int32, offset int64) error {
	if err := m.l.change(); err != nil {
		return err
	}
	return m.Consumer.Commit(ctx, topic, id, partition, offset)
}

// killedEverywhere builds a world, lets a drain be killed after 0, 1, 2, … changes, calls after, drains once more with
// the sink that it returns, and verifies; until a drain lives.
func killedEverywhere(t *testing.T, partitions int32, before func(*world), after func(*world) connector.Sink, check func(*world)) {
	t.Helper()
	for changes := int64(0); ; changes++ {
		alive := false
		t.Run(fmt.Sprintf("killed after %d changes", changes), func(t *testing.T) {
			w := newWorld(t, partitions)
			before(w)
			d, l := mortal(w.deps(), changes)
			_, err := Run(w.ctx, w.sink, d)
			alive = l.left.Load() >= 0
			if alive && err != nil && outcomeOf(err) != Stopped {
				t.Fatal(err)
			}
			s := after(w)
			sum := w.drainAny(s, w.deps())
			if sum.Outcome != Drained && sum.Outcome != NothingNew {
				t.Fatalf("the drain afterwards: %+v", sum)
			}
			check(w)
		})
		if alive || t.Failed() {
			return
		}
		if changes > 200 {
			t.Fatal("the drain never ends")
		}
	}
}

func (w *world) drainAny(s connector.Sink, d Deps) Summary {
	w.t.Helper()
	sum, _ := Run(w.ctx, s, d)
	return sum
}

func wantText(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Fatalf("%q does not say %q", text, p)
		}
	}
}
