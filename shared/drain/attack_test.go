package drain

import (
	"context"
	"errors"
	"testing"
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
