package drain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/gcs"
)

// refusingArchive creates no object.
type refusingArchive struct{ Archive }

func (refusingArchive) PutAll(context.Context, string, [][]byte, bucket.PutOptions) (int64, error) {
	return 0, bucket.ErrDenied
}

// roomy is a sink with memory for anything, which makes one plan of it with all of its files in memory.
func (w *world) roomy() connector.Sink {
	s := w.sink
	s.FlushSize, s.MemoryMax, s.PartSize = 1_000_000, 512<<20, 32<<20
	return s
}

// tight is a sink with as little memory as there can be.
func (w *world) tight() connector.Sink {
	s := w.sink
	s.MemoryMax, s.FlushSize = 1, 5
	return s
}

// interleave appends records of some bytes each to a partition, of schemas in turn, so that there is a file for each.
func (w *world) interleave(partition int32, schemas, each, size int) {
	w.t.Helper()
	var records []*kgo.Record
	for range each {
		for id := range schemas {
			w.schemas.texts[10+id] = schema1
			records = append(records, w.record(partition, 10+id, strings.Repeat("x", size)))
		}
	}
	if err := w.kgo.ProduceSync(w.ctx, records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// TestACompletionHoldsWhatThePartitionMay: a plan of many large files that grow at the same time, made where there was
// memory for them, is completed where there is not. The objects are what the one who made the plan would have written.
func TestACompletionHoldsWhatThePartitionMay(t *testing.T) {
	t.Parallel()
	const schemas = 6
	for _, codec := range []string{"null", "zstandard"} {
		for name, size := range map[string]int{"in memory": 4 << 10, "in uploads": 60 << 10} {
			t.Run(codec+", "+name, func(t *testing.T) {
				t.Parallel()
				fill := func() *world {
					w := newWorld(t, 1)
					w.sink.Codec = codec
					w.interleave(0, schemas, 1+20*size>>13, size)
					return w
				}
				w, other := fill(), fill()
				other.drainWith(other.roomy(), other.deps(), Drained)
				d := w.deps()
				d.Archive = refusingArchive{d.Archive}
				w.drainWith(w.roomy(), d, Misconfigured)
				w.wantNames()

				parts, err := begin(w.ctx, w.tight(), w.deps().complete())
				if err != nil {
					t.Fatal(err)
				}
				p := parts[0]
				if found, err := p.load(w.ctx); !found || err != nil || p.head.Plan == nil || len(p.head.Plan.Objects) != schemas {
					t.Fatal(found, err, p.head)
				}
				w.complete(p)
				if p.account.used != 0 {
					t.Errorf("%d bytes are charged at the end", p.account.used)
				}
				want, got := other.server.Objects(archiveBucket, ""), w.server.Objects(archiveBucket, "")
				if len(want) != schemas || len(got) != schemas {
					t.Fatalf("%d objects, want %d", len(got), len(want))
				}
				for i, o := range want {
					if o.Name != got[i].Name || !bytes.Equal(o.Data, got[i].Data) {
						t.Errorf("%s is another one", got[i].Name)
					}
				}
				w.drainWith(w.tight(), w.deps(), Drained)
				w.verify()
			})
		}
	}
}

// complete makes the objects of a plan, none of which is there, and looks at what is in memory after each record.
func (w *world) complete(p *partition) {
	w.t.Helper()
	plan := *p.head.Plan
	r := p.newRecreation(plan, plan.Objects, 0)
	defer r.cancel()
	// One file is always held, and what a record adds to it is charged afterwards.
	const slack = 1 << 20
	for len(r.objects) > 0 {
		from, to := r.begin()
		in := p.deps.Consumer.Read(p.topic, p.number, from, to)
		for {
			records, _, err := in.Next(w.ctx)
			if err != nil {
				in.Close()
				break
			}
			for _, record := range records {
				if err := r.take(w.ctx, record); err != nil {
					w.t.Fatal(err)
				}
				held := int64(0)
				for _, o := range r.objects {
					if o.file != nil {
						held += o.file.held()
					}
				}
				if held > p.account.share()+slack || held > p.account.used+slack {
					w.t.Fatalf("%d bytes are held, of %d, and %d are charged", held, p.account.share(), p.account.used)
				}
			}
		}
		if err := r.end(w.ctx); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestAnAbsentUploadIsMadeAgainWhileTheNextBatchWaits: the memory is used up by the next batch, which waits for that of
// the one whose upload left nothing. That one is made again into what it had.
func TestAnAbsentUploadIsMadeAgainWhileTheNextBatchWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.interleave(0, 2, 40, 60<<10)
	w.sink.MemoryMax, w.sink.FlushSize = 1, 1000
	var failed atomic.Bool
	d := w.deps()
	d.Heads = &hookedHeads{Heads: d.Heads, after: func(n int) {
		if n != 2 {
			return
		}
		w.server.Intercept(func(r gcs.Request) gcs.Fault {
			if r.Op == gcs.OpUpload && r.Name == object(0, 0) && !failed.Swap(true) {
				return gcs.Fault{Before: http.StatusPreconditionFailed}
			}
			return gcs.Fault{}
		})
	}}
	sum := w.drainWith(w.sink, d, Drained)
	if !failed.Load() || !sum.Partitions[0].Completed {
		t.Fatalf("no upload was absent: %+v", sum)
	}
	w.verify()
}

// chargedArchive looks at what the partitions are charged with whenever an object is created or its upload is begun.
type chargedArchive struct {
	Archive
	t     *testing.T
	parts []*partition
	most  int64

	mu   sync.Mutex
	peak int64
}

func (a *chargedArchive) look(holds int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var used int64
	for _, p := range a.parts {
		p.account.held.Lock()
		used += p.account.used
		p.account.held.Unlock()
	}
	a.peak = max(a.peak, used)
	if used > a.most || used < int64(holds) {
		a.t.Errorf("%d bytes are charged, of %d, and %d are held in one object", used, a.most, holds)
	}
}

func (a *chargedArchive) PutAll(ctx context.Context, name string, parts [][]byte, o bucket.PutOptions) (int64, error) {
	size := 0
	for _, data := range parts {
		size += len(data)
	}
	a.look(size)
	return a.Archive.PutAll(ctx, name, parts, o)
}

func (a *chargedArchive) NewWriter(ctx context.Context, name string, o bucket.WriterOptions) *bucket.Writer {
	a.look(o.PartSize / 2)
	return a.Archive.NewWriter(ctx, name, o)
}

// TestATakeoverOfManyPlansIsCharged: plans of all partitions were made where there was memory for them; who completes all
// of them at once holds no more than its budget, and gives it back.
func TestATakeoverOfManyPlansIsCharged(t *testing.T) {
	t.Parallel()
	const partitions, limit, slack = 6, 5 << 20, 1 << 20
	w := newWorld(t, partitions)
	for n := range int32(partitions) {
		w.interleave(n, 4, 6, 100<<10)
	}
	d := w.deps()
	d.Archive = refusingArchive{d.Archive}
	w.drainWith(w.roomy(), d, Misconfigured)

	d = w.deps().complete()
	w.sink.MemoryMax, w.sink.PartSize = limit, 300<<10
	parts, err := begin(w.ctx, w.sink, d)
	if err != nil {
		t.Fatal(err)
	}
	memory := parts[0].account.budget
	archive := &chargedArchive{Archive: d.Archive, t: t, parts: parts, most: int64(max(limit, memory.inFlight*leastHeld) + memory.inFlight*slack)}
	for _, p := range parts {
		p.deps.Archive = archive
	}
	errs := make([]error, len(parts))
	soft, cancel := softContext(w.ctx, d)
	defer cancel()
	drainAll(w.ctx, soft, parts, errs)
	for i, p := range parts {
		if errs[i] != nil || !p.sum.Completed || p.account.used != 0 {
			t.Errorf("partition %d: %v, completed: %v, %d bytes are charged at its end", i, errs[i], p.sum.Completed, p.account.used)
		}
	}
	w.verify()
}

// lessConsumer unpacks batches to 8 MiB only, which is the least.
type lessConsumer struct {
	Consumer
	most int64
}

func (c *lessConsumer) Share(bytes int64, readers int, most int64) {
	c.most = most
	c.Consumer.Share(bytes, readers, 1)
}

// large appends a small batch that unpacks to more than lessConsumer allows, of 10 records.
func (w *world) large(partition int32) {
	w.t.Helper()
	var records []*kgo.Record
	for range 10 {
		records = append(records, w.record(partition, 1, strings.Repeat("x", 900_000)))
	}
	w.together(records)
}

// together appends records in one batch.
func (w *world) together(records []*kgo.Record) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(30<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ManualFlushing())
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	for _, r := range records {
		client.Produce(w.ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				w.t.Error(err)
			}
		})
	}
	if err := client.Flush(w.ctx); err != nil {
		w.t.Fatal(err)
	}
}

// TestABatchThatUnpacksToTooMuchStops: all before it is archived, and with more memory the drain goes on.
func TestABatchThatUnpacksToTooMuchStops(t *testing.T) {
	t.Parallel()
	for _, memory := range []int64{1 << 20, 1 << 30} {
		w := newWorld(t, 1)
		w.produce(0, 1, 1)
		w.large(0)
		w.produce(0, 1)
		w.sink.MemoryMax = memory
		d := w.deps()
		less := &lessConsumer{Consumer: d.Consumer}
		d.Consumer = less
		sum := w.drainWith(w.sink, d, Stopped)
		if less.most != max(memory, leastBatch) {
			t.Errorf("with %d bytes of memory batches may unpack to %d", memory, less.most)
		}
		if p := sum.Partitions[0]; p.To != 2 || p.Committed != 2 || p.Records != 2 {
			t.Fatalf("%+v", p)
		}
		wantText(t, sum.Partitions[0].Stopped, "offsets 2 to 11", "more than 8388608 bytes", "riftline.memory.max.bytes", "Set that to 16777216", "`riftline offsets set gcs-sink challenger/0 12 --unverified`")
		w.wantNames(object(0, 0))
		w.drain(Drained)
		w.verify()
	}
}

// TestABatchThatUnpacksToTooMuchIsLeftOut: by the command that the stop names, and by no other.
func TestABatchThatUnpacksToTooMuchIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 1)
	w.large(0)
	w.produce(0, 1)
	less := func() Deps {
		d := w.deps()
		d.Consumer = &lessConsumer{Consumer: d.Consumer}
		return d
	}
	w.drainWith(w.sink, less(), Stopped)
	for _, c := range []Change{{Offset: 12}, {Offset: 13, Unverified: true}} {
		c.Verb, c.Topic = Set, topicName
		_, err := Apply(w.ctx, w.sink, less(), c)
		var stop *StopError
		if !errors.As(err, &stop) {
			t.Fatalf("%+v: %v", c, err)
		}
		wantText(t, stop.Reason, "offsets 2 to 11", "`riftline offsets set gcs-sink challenger/0 12 --unverified`")
	}
	out, err := Apply(w.ctx, w.sink, less(), Change{Verb: Set, Topic: topicName, Offset: 12, Unverified: true})
	if err != nil || !out.Written {
		t.Fatalf("%+v, %v", out, err)
	}
	w.drainWith(w.sink, less(), Drained)
	w.wantNames(object(0, 0), object(0, 12))
	// With memory for it, it is seen what would be left out.
	w.produce(0, 1)
	_, err = Apply(w.ctx, w.sink, w.deps(), Change{Verb: Set, Topic: topicName, Offset: 14, Unverified: true})
	if !errors.As(err, new(*StopError)) {
		t.Fatal(err)
	}
}

// TestAPlanWithABatchThatUnpacksToTooMuchStops: the plan stays until there is more memory.
func TestAPlanWithABatchThatUnpacksToTooMuchStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1)
	w.large(0)
	d := w.deps()
	d.Archive = refusingArchive{d.Archive}
	w.drainWith(w.roomy(), d, Misconfigured)
	d = w.deps()
	d.Consumer = &lessConsumer{Consumer: d.Consumer}
	sum := w.drainWith(w.sink, d, Stopped)
	wantText(t, sum.Partitions[0].Stopped, "completing plan", "offsets 1 to 10", "riftline.memory.max.bytes")
	if h := w.head(0); h.Plan == nil || sum.Partitions[0].To != 0 {
		t.Fatalf("%+v, %+v", h, sum)
	}
	w.wantNames()
	w.drain(Drained)
	w.verify()
}

// TestLargeBatchesOfAllPartitions: partitions take turns at them, also one that has to read a batch again while the next
// one waits for memory.
func TestLargeBatchesOfAllPartitions(t *testing.T) {
	t.Parallel()
	const partitions, each = 4, 3
	w := newWorld(t, partitions)
	w.sink.MemoryMax, w.sink.FlushSize = 1, 10
	for range each {
		for n := range int32(partitions) {
			w.large(n)
		}
	}
	var planned, failed atomic.Bool
	w.server.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op == gcs.OpUpload && r.Name == object(1, 0) && planned.Load() && !failed.Swap(true) {
			return gcs.Fault{Before: http.StatusPreconditionFailed}
		}
		return gcs.Fault{}
	})
	d := w.deps()
	d.Heads = plannedHeads{d.Heads, HeadName(w.sink.Name, topicName, 1), &planned}
	sum := w.drainWith(w.sink, d, Drained)
	if sum.Records != 10*partitions*each || !sum.Partitions[1].Completed {
		t.Fatalf("%+v", sum)
	}
	w.verify()
}

// plannedHeads says when a head has a plan.
type plannedHeads struct {
	Heads
	name    string
	planned *atomic.Bool
}

func (h plannedHeads) CompareAndSet(ctx context.Context, name string, data []byte, o bucket.PutOptions, mine func(bucket.Object) bool) (int64, error) {
	generation, err := h.Heads.CompareAndSet(ctx, name, data, o, mine)
	if head, bad := ParseHead(data); bad == nil && head.Plan != nil && name == h.name {
		h.planned.Store(true)
	}
	return generation, err
}

// TestTheWorstTopicsAreHeldInLittleMemory: many partitions with schemas that change from record to record, some with
// values of many megabytes, and as little memory as there can be.
func TestTheWorstTopicsAreHeldInLittleMemory(t *testing.T) {
	t.Parallel()
	const partitions, schemas, huge, value = 64, 5, 3, 18 << 20
	for codec, copies := range map[string]int64{"null": 0, "zstandard": 3} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, partitions)
			w.sink.Codec, w.sink.MemoryMax, w.sink.FlushSize = codec, 1, 1000
			client, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
				kgo.ProducerBatchMaxBytes(30<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for n := range int32(partitions) {
				w.interleave(n, schemas, 6, 10<<10)
				if n < huge {
					if err := client.ProduceSync(w.ctx, w.record(n, 10, strings.Repeat("x", value))).FirstErr(); err != nil {
						t.Fatal(err)
					}
					w.interleave(n, schemas, 2, 200<<10)
				}
			}
			d := w.deps().complete()
			parts, err := begin(w.ctx, w.sink, d)
			if err != nil {
				t.Fatal(err)
			}
			memory := parts[0].account.budget
			const slack = 512 << 10
			archive := &chargedArchive{Archive: d.Archive, t: t, parts: parts, most: int64(memory.inFlight)*(leastHeld+slack) + copies*value*min(huge, int64(memory.inFlight))}
			for _, p := range parts {
				p.deps.Archive = archive
			}
			errs := make([]error, len(parts))
			soft, cancel := softContext(w.ctx, d)
			defer cancel()
			drainAll(w.ctx, soft, parts, errs)
			for i, p := range parts {
				if errs[i] != nil || p.account.used != 0 || p.account.batch != 0 {
					t.Errorf("partition %d: %v, %d bytes are charged at its end", i, errs[i], p.account.used)
				}
			}
			t.Logf("%d partitions at a time, %d bytes at most, %d bytes allowed", memory.inFlight, archive.peak, archive.most)
			w.verify()
		})
	}
}

// TestWhatABatchHoldsIsChargedBeyondTheShareToo: what is charged at once may be more than is left, and is held all the
// same, so the next batch has to wait for it.
func TestWhatABatchHoldsIsChargedBeyondTheShareToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushSize, w.sink.MemoryMax = 1000, 1
	const schemas = 12
	for id := range schemas {
		w.schemas.texts[1000+id] = fmt.Sprintf(`{"type":"record","name":"entry%d","doc":%q,"fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"}]}`,
			id, strings.Repeat("d", 700<<10))
		w.send(w.record(0, 1000+id, ""))
	}
	p, in := w.ahead(w.ctx, 0)
	defer in.stop()
	for n := 0; n < schemas; {
		b, err := in.next()
		if b == nil || err != nil {
			t.Fatal(n, err)
		}
		if most := p.account.share() + 1<<20; b.charged < int64(len(b.files))*384<<10 || b.charged > most {
			t.Errorf("%d bytes are charged for %d files", b.charged, len(b.files))
		}
		n += len(b.files)
		b.cancel()
	}
}

// TestRangesOfOffsetsAreHeldInMemoryToo: where records of two files alternate, each is a range, which takes more than the
// record.
func TestRangesOfOffsetsAreHeldInMemoryToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushSize, w.sink.MemoryMax = 1_000_000, 1
	w.interleave(0, 2, 15_000, 0)
	p, in := w.ahead(w.ctx, 0)
	defer in.stop()
	for next := int64(0); next < 30_000; {
		b, err := in.next()
		if b == nil || err != nil {
			t.Fatal(next, err)
		}
		if int64(b.ranges) > p.account.share()/50 || b.charged < int64(b.ranges)*50 {
			t.Errorf("%d ranges in a plan, %d bytes are charged", b.ranges, b.charged)
		}
		next = b.next
		b.cancel()
	}
}
