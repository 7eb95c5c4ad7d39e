package drain

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

const (
	// leastHeld is what a partition may hold in memory whatever riftline.memory.max.bytes says.
	leastHeld = 2 << 20
	// leastShare is the part of riftline.memory.max.bytes that makes it worth while to drain a further partition at the
	// same time, and longShare that for one with much to drain: it is uploaded in parts, and small ones cost a request
	// each.
	leastShare = 2 << 20
	longShare  = 8 << 20
	// longBacklog is how many offsets are much to drain.
	longBacklog = 5000
	// mostInFlight is how many partitions are drained at a time at most.
	mostInFlight = 32
	// leastBatch is what a record batch may unpack to whatever riftline.memory.max.bytes says, else that is the most. There
	// is one such large batch at a time. It is as much as zstd declares that it needs at its highest level.
	leastBatch = 128 << 20
	// quantum is how many bytes are charged more than are needed, so that not each record needs a charge.
	quantum = 64 << 10
)

// budget divides riftline.memory.max.bytes, which is about the task, among its partitions: what they have assembled and
// not created yet, of batches and of plans that they complete. A completion never waits for memory: it puts off objects.
//
// All that are not done and are drained at a time have equal shares, so that none waits for another. Shares only grow,
// as partitions come to their end: together they are never more than the limit, or leastHeld for each.
type budget struct {
	limit    int64
	inFlight int

	mu   sync.Mutex
	left int // partitions that are not done
}

// allot opens the accounts of partitions, and returns how many of them are drained at a time. Those with much to drain
// have three quarters, a few at a time; where there are only such, or none, all of it.
func allot(limit int64, parts []*partition) (inFlight int) {
	var long, short []*partition
	for _, p := range parts {
		if p.bounds.StableEnd-max(p.bounds.Start, p.committed) > longBacklog {
			long = append(long, p)
		} else {
			short = append(short, p)
		}
	}
	forLong := limit
	if len(short) > 0 {
		forLong -= limit / 4
	}
	if len(long) == 0 {
		forLong = 0
	}
	for _, one := range []struct {
		parts        []*partition
		limit, share int64
	}{{long, forLong, longShare}, {short, limit - forLong, leastShare}} {
		if len(one.parts) == 0 {
			continue
		}
		memory := newBudget(one.limit, one.share, len(one.parts))
		inFlight += memory.inFlight
		for _, p := range one.parts {
			p.account = memory.open()
		}
	}
	return inFlight
}

// newBudget is the budget of a number of partitions, of which a further one is drained at a time for each share.
func newBudget(limit, share int64, partitions int) *budget {
	// A partition waits for Kafka and the bucket most of the time, so that they may be more than the processors.
	n := min(max(int(min(limit/share, mostInFlight)), runtime.GOMAXPROCS(0)), max(partitions, 1))
	return &budget{limit: limit, inFlight: n, left: partitions}
}

// active is how many partitions may be drained now: one at least.
func (b *budget) active() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(min(b.left, b.inFlight), 1)
}

// part is an equal part of the limit.
func (b *budget) part() int64 { return max(b.limit/int64(b.active()), 1) }

// done says that a partition holds nothing any more.
func (b *budget) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left--
}

// account is what one partition holds of the budget.
type account struct {
	*budget
	freed chan struct{}

	held  sync.Mutex
	used  int64
	batch int // how many batches are handed over and hold something
}

func (b *budget) open() *account { return &account{budget: b, freed: make(chan struct{}, 1)} }

// share is what the partition may hold.
func (a *account) share() int64 { return max(a.part(), leastHeld) }

// round is what to charge when bytes are needed: some more, if the share has as many left.
func (a *account) round(need int64) int64 {
	share := a.share()
	a.held.Lock()
	defer a.held.Unlock()
	if a.used+need+quantum <= share {
		return need + quantum
	}
	return need
}

// grow charges bytes to the batch that is being assembled. When they are more than the share has left it waits for the
// batches before, which are being created, to give theirs back; false says that there are none, so that this batch has
// to be ended. A share can be exceeded by what is charged at once, and no further.
func (a *account) grow(ctx context.Context, n int64) (bool, error) {
	for {
		share := a.share()
		a.held.Lock()
		fits, alone := a.used+n <= share, a.batch == 0
		if fits {
			a.used += n
		}
		a.held.Unlock()
		if fits || alone {
			return fits, nil
		}
		select {
		case <-a.freed:
		case <-ctx.Done():
			return false, fmt.Errorf("waiting for memory: %w", context.Cause(ctx))
		}
	}
}

// tryGrow charges bytes if the share has as many left, and says whether it has.
func (a *account) tryGrow(n int64) bool {
	share := a.share()
	a.held.Lock()
	defer a.held.Unlock()
	if a.used+n > share {
		return false
	}
	a.used += n
	return true
}

// overdraw charges bytes whether the share has them or not: what cannot be made smaller and must be held.
func (a *account) overdraw(n int64) {
	a.held.Lock()
	defer a.held.Unlock()
	a.used += n
}

// handOver says that a batch is complete.
func (a *account) handOver() {
	a.held.Lock()
	defer a.held.Unlock()
	a.batch++
}

// giveBack takes back what a batch was charged with.
func (a *account) giveBack(n int64, handedOver bool) {
	a.held.Lock()
	a.used -= n
	if handedOver {
		a.batch--
	}
	a.held.Unlock()
	select {
	case a.freed <- struct{}{}:
	default:
	}
}
