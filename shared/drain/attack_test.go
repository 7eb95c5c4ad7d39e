package drain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/kafka"
)

// ahead is a partition whose head was just read, reading from its frontier.
func (w *world) ahead(ctx context.Context, number int32) (*partition, *ahead) {
	w.t.Helper()
	parts, err := begin(w.ctx, w.sink, w.deps().complete())
	if err != nil {
		w.t.Fatal(err)
	}
	p := parts[number]
	if err := p.genesis(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	if found, err := p.load(w.ctx); !found || err != nil {
		w.t.Fatal(found, err)
	}
	p.soft, p.frontier = ctx, p.head.Frontier
	return p, p.readAhead(ctx, p.frontier)
}

// TestACancelledDrainIsNotAtItsEnd: a context that ends while a batch waits to be taken leaves records; that is no
// success.
func TestACancelledDrainIsNotAtItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 1, 1, 1)
	ctx, cancel := context.WithCancel(w.ctx)
	_, in := w.ahead(ctx, 0)
	cancel()
	in.done.Wait()
	if b, err := in.next(); b != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", b, err)
	}
	in.stop()
}

// TestOpenFilesAreChargedWithTheirHeaders: files of few records each hold their schema's text once they are closed, which
// is all at once. What a batch is charged with is what it holds then.
func TestOpenFilesAreChargedWithTheirHeaders(t *testing.T) {
	t.Parallel()
	const schemas, text = 400, 40 << 10
	w := newWorld(t, 1)
	w.sink.FlushSize, w.sink.MemoryMax = 10*schemas, 4<<20
	var records []*kgo.Record
	for id := range schemas {
		w.schemas.texts[1000+id] = fmt.Sprintf(`{"type":"record","name":"entry%d","doc":%q,"fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"}]}`,
			id, strings.Repeat("d", text))
		records = append(records, w.record(0, 1000+id, ""))
	}
	if err := w.kgo.ProduceSync(w.ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p, in := w.ahead(w.ctx, 0)
	defer in.stop()
	for n := 0; n < schemas; {
		b, err := in.next()
		if b == nil || err != nil {
			t.Fatal(n, err)
		}
		// A buffer that grows may be half as large again as what is in it.
		if most := p.account.share() * 3 / 2; b.buffered > most || b.buffered > b.charged*3/2+text {
			t.Errorf("a batch of %d files holds %d bytes, of %d, and is charged with %d", len(b.files), b.buffered, most, b.charged)
		}
		n += len(b.files)
		b.cancel()
	}
}

// slowSchemas does not answer for schema 1 before schema 2 was asked for.
type slowSchemas struct {
	*registry
	t          *testing.T
	began      chan struct{}
	one, other sync.Once
	asked      chan struct{}
}

func (s *slowSchemas) ByID(ctx context.Context, id int) (string, error) {
	if id == 1 {
		s.one.Do(func() { close(s.began) })
		wait(s.t, s.asked, "a partition waited for another one's schema")
	} else {
		s.other.Do(func() { close(s.asked) })
	}
	return s.registry.ByID(ctx, id)
}

// TestPartitionsDoNotWaitForEachOthersSchemas: else a registry that does not answer holds up each partition for as long
// as all of them together, far beyond the deadline.
func TestPartitionsDoNotWaitForEachOthersSchemas(t *testing.T) {
	t.Parallel()
	slow := &slowSchemas{
		registry: &registry{texts: map[int]string{1: schema1, 2: schema2}}, t: t, began: make(chan struct{}), asked: make(chan struct{}),
	}
	formats := &formats{schemas: slow, codec: "null", known: map[int]*format{}}
	var all sync.WaitGroup
	got := make([]*format, 3)
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = formats.get(t.Context(), 1); err != nil {
				t.Error(err)
			}
		})
	}
	<-slow.began
	if _, err := formats.get(t.Context(), 2); err != nil {
		t.Error(err)
	}
	all.Wait()
	if got[0] == nil || got[0] != got[1] || got[1] != got[2] {
		t.Error("a schema has more than one format")
	}
}

// staleHeads runs something else between the first read of a head and what its reader does then.
type staleHeads struct {
	Heads
	once  sync.Once
	after func()
}

func (h *staleHeads) Read(ctx context.Context, name string) (bucket.Object, error) {
	o, err := h.Heads.Read(ctx, name)
	h.once.Do(h.after)
	return o, err
}

// TestWhatAnotherRunArchivedIsNotLost: a run that is behind finds records removed that the run ahead of it has archived.
// Only those that nobody archived are lost, and they are counted once.
func TestWhatAnotherRunArchivedIsNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.drain(NothingNew) // the head
	w.produce(0, 1, 1, 1, 1, 1, 1, 1, 1)
	d := w.deps()
	d.Heads = &staleHeads{Heads: d.Heads, after: func() {
		ahead := w.sink
		ahead.FlushSize, ahead.FlushOnDrainEnd = 5, false
		if s := w.drainAny(ahead, w.deps()); s.Records != 5 {
			t.Errorf("%+v", s)
		}
		w.deleteRecords(7)
	}}
	sum := w.drainWith(w.sink, d, Drained)
	if sum.Lost != 2 || sum.Records != 1 {
		t.Errorf("%d records are lost, %d archived: %+v", sum.Lost, sum.Records, sum)
	}
	if again := w.drain(NothingNew); again.Lost != 0 {
		t.Errorf("%+v", again)
	}
}

// lostConsumer loses its connection when it is asked for bounds.
type lostConsumer struct{ Consumer }

func (lostConsumer) Bounds(context.Context, string) (map[int32]kafka.Bounds, error) {
	return nil, fmt.Errorf("%w: %w", kafka.ErrUnreachable, io.EOF)
}

// TestALostConnectionIsNotTheEndOfTheLog: though it is io.EOF too.
func TestALostConnectionIsNotTheEndOfTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 1, 1, 1)
	p, in := w.ahead(w.ctx, 0)
	in.stop()
	w.deleteRecords(2)
	p.deps.Consumer = lostConsumer{p.deps.Consumer}
	in = p.readAhead(w.ctx, 0)
	defer in.stop()
	if b, err := in.next(); !errors.Is(err, kafka.ErrUnreachable) {
		t.Errorf("%+v, %v", b, err)
	}
}
