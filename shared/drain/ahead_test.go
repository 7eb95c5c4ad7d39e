package drain

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
)

// tooLong is how long a test waits for what does not come when the drain is wrong.
const tooLong = time.Minute

// askedSchemas says when a schema is asked for the first time.
type askedSchemas struct {
	Schemas
	mu    sync.Mutex
	asked map[int]chan struct{}
}

func asking(s Schemas) *askedSchemas {
	return &askedSchemas{Schemas: s, asked: map[int]chan struct{}{}}
}

func (a *askedSchemas) of(id int) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked[id] == nil {
		a.asked[id] = make(chan struct{})
	}
	return a.asked[id]
}

func (a *askedSchemas) ByID(ctx context.Context, id int) (string, error) {
	c := a.of(id)
	select {
	case <-c:
	default:
		close(c)
	}
	return a.Schemas.ByID(ctx, id)
}

// wait says whether something happened at all.
func wait(t *testing.T, c <-chan struct{}, what string) bool {
	t.Helper()
	select {
	case <-c:
		return true
	case <-time.After(tooLong):
		t.Error(what)
		return false
	}
}

// TestReadsAheadWhileObjectsAreCreated: the records of the next plan are read and checked while the first object is on
// its way, and nothing of them is planned before it is there.
func TestReadsAheadWhileObjectsAreCreated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.MemoryMax = 1 // a plan for each file
	w.produce(0, 1, 1, 1, 2, 2, 2, 1)
	d := w.deps()
	schemas := asking(d.Schemas)
	d.Schemas = schemas
	d.Archive = &hookedArchive{Archive: d.Archive, before: func(n int) {
		if n == 1 && wait(t, schemas.of(2), "the records after the plan were not looked at while its object was created") {
			if h := w.head(0); h.Plan == nil || h.Plan.First != 0 || h.Plan.Next != 3 {
				t.Errorf("the head while the first object is created: %+v", h)
			}
		}
	}}
	w.drainWith(w.sink, d, Drained)
	w.wantNames(object(0, 0), object(0, 3), object(0, 6))
	w.verify()
}

// TestStopsInOrder: what is found while a plan is being created is acted on when it is durable.
func TestStopsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.MemoryMax = 1
	w.produce(0, 1, 1, 1, 1)
	w.send(&kgo.Record{Topic: topicName, Value: value(99, 1, "of a schema that is unknown")})
	d := w.deps()
	schemas := asking(d.Schemas)
	d.Schemas = schemas
	d.Archive = &hookedArchive{Archive: d.Archive, before: func(n int) {
		if n == 1 {
			wait(t, schemas.of(99), "the record that stops was not looked at")
		}
	}}
	sum := w.drainWith(w.sink, d, Stopped)
	if sum.Partitions[0].To != 4 || sum.Partitions[0].Committed != 4 || sum.Records != 4 {
		t.Fatalf("%+v", sum)
	}
	w.wantNames(object(0, 0), object(0, 3))
	if h := w.head(0); h.Plan != nil || h.Frontier != 4 {
		t.Fatalf("%+v", h)
	}
}

// openedArchive says when an upload in parts is begun, and keeps its context.
type openedArchive struct {
	Archive
	mu     sync.Mutex
	ctxs   []context.Context
	begun  map[string]bool
	change chan struct{}
}

func opened(a Archive) *openedArchive {
	return &openedArchive{Archive: a, begun: map[string]bool{}, change: make(chan struct{}, 100)}
}

func (o *openedArchive) NewWriter(ctx context.Context, name string, options bucket.WriterOptions) *bucket.Writer {
	o.mu.Lock()
	o.ctxs, o.begun[name] = append(o.ctxs, ctx), true
	o.mu.Unlock()
	o.change <- struct{}{}
	return o.Archive.NewWriter(ctx, name, options)
}

// until waits for the upload of an object to begin.
func (o *openedArchive) until(t *testing.T, name string) {
	t.Helper()
	for {
		o.mu.Lock()
		begun := o.begun[name]
		o.mu.Unlock()
		if begun || !wait(t, o.change, "the upload of "+name+" was not begun") {
			return
		}
	}
}

// TestLostPlanCancelsWhatWasReadAhead: another run is first while the next batch is read, in uploads that are not
// finished. Nothing of them is seen, and the drain begins again from the head.
func TestLostPlanCancelsWhatWasReadAhead(t *testing.T) {
	t.Parallel()
	for _, lost := range []int{2, 3} { // the write of the first plan, of the second one; the one before gives birth
		t.Run(fmt.Sprint("head write ", lost), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.sink.FlushSize, w.sink.MemoryMax = 4, 1 // a plan for each file, which streams from 256 KiB on
			pad := strings.Repeat("0123456789", 9000)
			for range 17 {
				w.send(w.record(0, 1, pad))
			}
			d := w.deps()
			archive := opened(d.Archive)
			d.Archive = archive
			z := newZombie()
			next := object(0, 4*(lost-1))
			d.Heads = &hookedHeads{Heads: d.Heads, before: func(n int) {
				if n == lost {
					archive.until(t, next)
					z.sleep()
				}
			}}
			sink := w.sink
			z.run(w, sink, d)
			other := w.sink
			other.FlushSize = 5
			w.drainAny(other, w.deps())
			w.produce(0, 1)
			if sum := z.wake(w); sum.Outcome != Drained && sum.Outcome != NothingNew {
				t.Fatalf("the zombie: %+v", sum)
			}
			for i, ctx := range archive.ctxs {
				if ctx.Err() == nil {
					t.Errorf("upload %d is still open", i)
				}
			}
			w.drain(Drained) // what was appended meanwhile
			w.verify()
		})
	}
}

// TestKilledEverywhereReadingAhead: while there is always a further batch, in memory or in an upload.
func TestKilledEverywhereReadingAhead(t *testing.T) {
	t.Parallel()
	for name, pad := range map[string]string{"in memory": "pad", "in uploads": strings.Repeat("0123456789", 9000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killedEverywhere(t, 1, func(w *world) {
				w.sink.FlushSize, w.sink.MemoryMax = 3, 1
				for range 10 {
					w.send(w.record(0, 1, pad))
				}
			}, func(w *world) connector.Sink {
				w.produce(0, 1, 2)
				s := w.sink
				s.FlushSize = 4
				return s
			}, (*world).verify)
		})
	}
}

// TestRetentionTakesWhatWasReadAhead: it is archived all the same, and that is a step of the model.
func TestRetentionTakesWhatWasReadAhead(t *testing.T) {
	t.Parallel()
	sc := modelScenario{log: "000111", configs: []modelConfig{{flush: 3}}, committed: never, retained: 6}
	w := newWorld(t, 1)
	w.produceLog(sc.log)
	r := &recorder{}
	d := r.recorded(w.deps(), 0)
	schemas := asking(d.Schemas)
	d.Schemas = schemas
	d.Archive = &hookedArchive{Archive: d.Archive, before: func(n int) {
		if n != 1 {
			return
		}
		wait(t, schemas.of(2), "nothing was read ahead")
		r.happens("retention", func() { w.deleteRecords(6) })
	}}
	s := w.sinkOf(sc.configs[0])
	s.MemoryMax = 1
	sum := w.drainWith(s, d, Drained)
	if sum.Records != 6 || sum.Partitions[0].Lost != 0 {
		t.Fatalf("%+v", sum)
	}
	w.wantRecords(object(0, 3), 4, 5, 6)
	events := slices.DeleteFunc(slices.Clone(r.events), func(e event) bool { return e.text == "idle" })
	i := slices.IndexFunc(events, func(e event) bool { return e.text == "list" })
	events = slices.Insert(events, i, event{0, "idle"})
	m, first := sc.build(sound)
	if _, err := m.accept(first, events, map[uint8]bool{}); err != nil {
		t.Error(err)
	}
}

// TestBudget: partitions that assemble and create at random hold no more together than the limit and what each charges at
// once, and none waits for ever: synctest ends the test if all of them do.
func TestBudget(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			limit, parts := int64(1+random.IntN(64<<20)), 1+random.IntN(100)
			b := newBudget(limit, leastShare, parts)
			largest := int64(1 + random.IntN(3<<20))
			h := &holdings{most: max(limit, leastHeld*int64(b.inFlight)) + largest*int64(b.inFlight)}
			free := make(chan struct{}, b.inFlight)
			var all sync.WaitGroup
			for n := range parts {
				free <- struct{}{}
				own := rand.New(rand.NewPCG(seed, uint64(n)))
				all.Go(func() {
					defer func() { b.done(); <-free }()
					h.partition(t, b.open(), own, largest)
				})
			}
			all.Wait()
			if h.now != 0 {
				t.Errorf("seed %d: %d bytes are held at the end", seed, h.now)
			}
		})
	}
}

// holdings are what all partitions hold.
type holdings struct {
	mu        sync.Mutex
	now, most int64
}

func (h *holdings) add(t *testing.T, n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now += n; h.now > h.most {
		t.Errorf("%d bytes are held, of %d", h.now, h.most)
	}
}

// partition assembles some batches, which are created one after the other meanwhile.
func (h *holdings) partition(t *testing.T, a *account, random *rand.Rand, largest int64) {
	batches := make(chan int64)
	var created sync.WaitGroup
	created.Go(func() {
		for n := range batches {
			time.Sleep(time.Duration(n))
			h.add(t, -n)
			a.giveBack(n, true)
		}
	})
	for range random.IntN(30) {
		var charged int64
		for charged == 0 || random.IntN(20) > 0 {
			n := 1 + random.Int64N(largest)
			fits, err := a.grow(t.Context(), n)
			if err != nil {
				t.Error(err)
			}
			if !fits {
				if charged == 0 && n <= a.share() {
					t.Errorf("%d bytes do not fit into an empty share of %d", n, a.share())
				}
				break
			}
			charged += n
			h.add(t, n)
		}
		a.handOver()
		batches <- charged
	}
	close(batches)
	created.Wait()
	if a.used != 0 || a.batch != 0 {
		t.Errorf("a partition holds %d bytes in %d batches at its end", a.used, a.batch)
	}
}

// TestAWaitForMemoryEndsWithItsContext: no goroutine is left when the drain is.
func TestAWaitForMemoryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newBudget(leastHeld, leastShare, 1).open()
		if fits, err := a.grow(t.Context(), leastHeld); !fits || err != nil {
			t.Fatal(fits, err)
		}
		a.handOver()
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error)
		go func() {
			_, err := a.grow(ctx, 1)
			ended <- err
		}()
		synctest.Wait()
		cancel(errAbandoned)
		if err := <-ended; err == nil {
			t.Fatal("it was granted")
		}
	})
}

// TestMemoryIsGivenBack: drains of many partitions with records of any size hold what the budget allows, and nothing when
// they are done.
func TestMemoryIsGivenBack(t *testing.T) {
	t.Parallel()
	const partitions, limit = 9, 6 << 20
	w := newWorld(t, partitions)
	w.sink.MemoryMax, w.sink.FlushSize, w.sink.PartSize = limit, 7, 300<<10
	random := rand.New(rand.NewPCG(1, 2))
	var records []*kgo.Record
	for n := range 900 {
		size := 1 << random.IntN(13)
		if n%60 == 0 {
			size = random.IntN(400 << 10)
		}
		records = append(records, w.record(int32(random.IntN(partitions)), 1+random.IntN(2), strings.Repeat("x", size)))
	}
	if err := w.kgo.ProduceSync(w.ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	d := w.deps().complete()
	parts, err := begin(w.ctx, w.sink, d)
	if err != nil {
		t.Fatal(err)
	}
	// A record and its block may be in memory before they are charged.
	const slack = 1 << 20
	memory := parts[0].account.budget
	archive := &hookedArchive{Archive: d.Archive, before: func(int) {
		var used int64
		for _, p := range parts {
			p.account.held.Lock()
			used += p.account.used
			p.account.held.Unlock()
		}
		if most := int64(max(limit, memory.inFlight*leastHeld) + memory.inFlight*slack); used > most {
			t.Errorf("%d bytes are held, of %d", used, most)
		}
	}}
	for _, p := range parts {
		p.deps.Archive = archive
	}
	errs := make([]error, len(parts))
	soft, cancel := softContext(w.ctx, d)
	defer cancel()
	drainAll(w.ctx, soft, parts, errs)
	for i, p := range parts {
		if errs[i] != nil || p.account.used != 0 || p.account.batch != 0 {
			t.Errorf("partition %d: %v, %d bytes in %d batches at its end", i, errs[i], p.account.used, p.account.batch)
		}
	}
	w.verify()
}

// TestManyPartitionsDoNotWaitForASlowOne: a partition whose object hangs holds up no other one, however few processors
// there are.
func TestManyPartitionsDoNotWaitForASlowOne(t *testing.T) {
	t.Parallel()
	const partitions = 8
	w := newWorld(t, partitions)
	for n := range int32(partitions) {
		w.produce(n, 1)
	}
	others := make(chan struct{})
	d := w.deps()
	var mu sync.Mutex
	created := 0
	d.Archive = &namedArchive{Archive: d.Archive, put: func(name string) {
		if name == object(0, 0) {
			wait(t, others, "the other partitions waited for the slow one")
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if created++; created == partitions-1 {
			close(others)
		}
	}}
	w.drainWith(w.sink, d, Drained)
	w.verify()
}

// namedArchive calls before each create.
type namedArchive struct {
	Archive
	put func(name string)
}

func (a *namedArchive) PutAll(ctx context.Context, name string, parts [][]byte, o bucket.PutOptions) (int64, error) {
	a.put(name)
	return a.Archive.PutAll(ctx, name, parts, o)
}
