package drain

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/riftline/riftline/shared/kafka"
)

// ahead reads and assembles a partition's batches, one beyond the batch that is being planned and created. Nothing of
// what it holds is visible: records in memory and in uploads that are not finished. It touches no state that anybody
// else reads, so what it has done may be thrown away at any time.
type ahead struct {
	in      *input
	batches chan assembled
	cancel  func(error)
	done    sync.WaitGroup
	// cut is why there is no further batch although the end was not reached; it is set before batches is closed.
	cut error
}

// assembled is a batch, or why there is none.
type assembled struct {
	*batch
	err error
}

// errAbandoned ends what was read ahead and is not wanted any more.
var errAbandoned = errors.New("the records that were read ahead are not wanted any more")

// readAhead begins to assemble the batches from the frontier on, reading from offset from.
func (p *partition) readAhead(ctx context.Context, from int64) *ahead {
	hard, cancelHard := context.WithCancelCause(ctx)
	soft, cancelSoft := context.WithCancelCause(p.soft)
	in := p.open(from)
	in.soft = soft
	a := &ahead{in: in, batches: make(chan assembled), cancel: func(err error) { cancelSoft(err); cancelHard(err) }}
	a.done.Go(func() { a.assemble(hard, p) })
	return a
}

// assemble hands out batches in their order until the end, an error or stop.
func (a *ahead) assemble(ctx context.Context, p *partition) {
	defer close(a.batches)
	for a.in.first < a.in.bounds.StableEnd {
		b, err := p.assemble(ctx, a.in)
		select {
		case a.batches <- assembled{b, err}:
		case <-ctx.Done():
			if b != nil {
				b.cancel()
			}
			a.cut = fmt.Errorf("draining %s/%d: %w", p.topic.Name, p.number, context.Cause(ctx))
			return
		}
		if err != nil || b.ended != nil || b.last {
			return
		}
	}
}

// next waits for the next batch; nil at the end.
func (a *ahead) next() (*batch, error) {
	one, more := <-a.batches
	if !more {
		return nil, a.cut
	}
	return one.batch, one.err
}

// stop ends the reading and gives up what was assembled and not handed out. What was seen of the log meanwhile is the
// partition's knowledge now, but for what retention has taken: whether that was archived before is the head's to say.
func (a *ahead) stop() {
	a.cancel(errAbandoned)
	a.done.Wait()
	a.in.close()
	p, e := a.in.p, a.in.extent
	p.bounds.Start, p.bounds.StableEnd = max(p.bounds.Start, e.bounds.Start), max(p.bounds.StableEnd, e.bounds.StableEnd)
}

// extent is what is known of a partition's log.
type extent struct {
	// bounds are what a reader may read; the end is the one seen at the start, or a later one when it had to be asked
	// for again.
	bounds kafka.Bounds
	// reported is the offset up to which removed records were reported, lost how many offsets those were.
	reported int64
	lost     int64
}
