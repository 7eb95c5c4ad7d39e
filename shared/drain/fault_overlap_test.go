package drain

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/local/gcs"
)

// TestZombies sleep at every write of a head and every create, while others drain with another configuration, records
// come and a second zombie's sleep ends after the first's.
func TestZombies(t *testing.T) {
	t.Parallel()
	type place struct {
		name string
		hook func(*zombie, Deps) Deps
	}
	var places []place
	for n := 1; n <= 3; n++ {
		places = append(places,
			place{fmt.Sprintf("before head write %d", n), func(z *zombie, d Deps) Deps {
				d.Heads = &hookedHeads{Heads: d.Heads, before: func(i int) {
					if i == n {
						z.sleep()
					}
				}}
				return d
			}},
			place{fmt.Sprintf("after head write %d", n), func(z *zombie, d Deps) Deps {
				d.Heads = &hookedHeads{Heads: d.Heads, after: func(i int) {
					if i == n {
						z.sleep()
					}
				}}
				return d
			}},
			place{fmt.Sprintf("before create %d", n), func(z *zombie, d Deps) Deps {
				d.Archive = &hookedArchive{Archive: d.Archive, before: func(i int) {
					if i == n {
						z.sleep()
					}
				}}
				return d
			}},
			place{fmt.Sprintf("before commit %d", n), func(z *zombie, d Deps) Deps {
				d.Consumer = &hookedConsumer{Consumer: d.Consumer, before: func(i int) {
					if i == n {
						z.sleep()
					}
				}}
				return d
			}})
	}
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 10)...)
			z := newZombie()
			sink := w.sink
			if p.name == "before commit 3" || p.name == "before head write 3" || p.name == "after head write 3" {
				sink.MemoryMax = 1 // a plan for each file, so that there are so many
			}
			z.run(w, sink, p.hook(z, w.deps()))
			other := w.sink
			other.FlushSize, other.TopicsDir, other.Codec = 4, "elsewhere", "snappy"
			w.drainAny(other, w.deps())
			w.produce(0, 1, 2, 1)
			w.drainAny(w.sink, w.deps())
			w.produce(0, 1)
			if sum := z.wake(w); sum.Outcome.ExitCode() != 0 {
				t.Fatalf("the zombie: %+v", sum)
			}
			w.drainAny(other, w.deps())
			w.verify()
			// The zombie may have committed an older offset; the next drain puts it right.
			w.drain(NothingNew)
			if lag := w.lag(0); lag != 0 {
				t.Fatalf("lag %d", lag)
			}
		})
	}
}

type hookedConsumer struct {
	Consumer
	n      atomic.Int64
	before func(n int)
}

func (h *hookedConsumer) Commit(ctx context.Context, topic string, id [16]byte, partition int32, offset int64) error {
	h.before(int(h.n.Add(1)))
	return h.Consumer.Commit(ctx, topic, id, partition, offset)
}

func TestDrainsOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.produce(0, repeat(1, 40)...)
	w.produce(1, 1, 2, 1, 2, 2, 1, 1)
	done := make(chan Summary)
	for i := range 4 {
		s := w.sink
		s.FlushSize = []int{3, 100, 3, 7}[i]
		d := w.deps()
		go func() {
			sum, _ := Run(w.ctx, s, d)
			done <- sum
		}()
	}
	for range 4 {
		if sum := <-done; sum.Outcome.ExitCode() != 0 {
			t.Errorf("%+v", sum)
		}
	}
	w.drainAny(w.sink, w.deps())
	w.verify()
}

// inserts applies a fault to the n-th upload to a bucket.
func (w *world) inserts(name string, fault func(n int) gcs.Fault) {
	var n atomic.Int64
	w.server.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op != gcs.OpInsert || r.Bucket != name {
			return gcs.Fault{}
		}
		return fault(int(n.Add(1)))
	})
}

// lostAnswers are what can become of a write whose outcome its client does not learn.
var lostAnswers = map[string]gcs.Fault{
	"applied, connection dropped":     {Drop: true},
	"applied, answered 503":           {After: http.StatusServiceUnavailable},
	"not applied, connection dropped": {DropBefore: true},
	"not applied, answered 503":       {Before: http.StatusServiceUnavailable},
	"applied, answered 429":           {After: http.StatusTooManyRequests},
	"not applied, answered 429":       {Before: http.StatusTooManyRequests},
}

// eachWriteFails lets each of the first three writes to a bucket fail in each way; the drain must not notice.
func eachWriteFails(t *testing.T, bucket string, faults map[string]gcs.Fault) {
	t.Helper()
	for at := 1; at <= 3; at++ {
		for kind, fault := range faults {
			t.Run(fmt.Sprintf("write %d, %s", at, kind), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 1)
				w.produce(0, repeat(1, 8)...)
				w.inserts(bucket, func(n int) gcs.Fault {
					if n == at {
						return fault
					}
					return gcs.Fault{}
				})
				sum := w.drain(Drained)
				if sum.Records != 8 && fault.After != http.StatusPreconditionFailed {
					t.Fatalf("%+v", sum)
				}
				w.verify()
				if h := w.head(0); h.Frontier != 8 || h.Plan != nil {
					t.Fatalf("%+v", h)
				}
			})
		}
	}
}

func TestFault14HeadWriteAppliedAnswerLost(t *testing.T) {
	t.Parallel()
	eachWriteFails(t, stateBucket, lostAnswers)
}

func TestFault17CreateAppliedAnswerLost(t *testing.T) {
	t.Parallel()
	eachWriteFails(t, archiveBucket, lostAnswers)
}

// TestFault18RetryTurnsSuccessInto412: a client that repeats a write whose answer was lost is told that there is one.
func TestFault18RetryTurnsSuccessInto412(t *testing.T) {
	t.Parallel()
	for _, name := range []string{stateBucket, archiveBucket} {
		t.Run(name, func(t *testing.T) {
			eachWriteFails(t, name, map[string]gcs.Fault{"applied, answered 412": {After: http.StatusPreconditionFailed}})
		})
	}
}

// eachWriteLandsLate lets each of the first three writes to a bucket hang in the network: the client gives it up, and it
// is applied after two more drains.
func eachWriteLandsLate(t *testing.T, name string) {
	t.Helper()
	for at := 1; at <= 3; at++ {
		t.Run(fmt.Sprintf("write %d", at), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.state = w.state.With(bucket.Timeouts{Put: 500 * time.Millisecond})
			w.archive = w.archive.With(bucket.Timeouts{Put: 500 * time.Millisecond})
			w.produce(0, repeat(1, 8)...)
			land := make(chan struct{})
			w.inserts(name, func(n int) gcs.Fault {
				if n == at {
					return gcs.Fault{Until: land}
				}
				return gcs.Fault{}
			})
			w.drain(Drained)
			w.produce(0, repeat(1, 4)...)
			s := w.sink
			s.FlushSize, s.TopicsDir = 2, "elsewhere"
			w.drainWith(s, w.deps(), Drained)
			before := len(w.names())
			close(land)
			w.produce(0, 1)
			w.drain(Drained)
			if n := len(w.names()); n != before+1 {
				t.Fatalf("%d objects, want %d", n, before+1)
			}
			w.verify()
		})
	}
}

// TestFault15HeadWriteLandsLate: the task has read the head again by then, found it as it was, and repeated the write.
func TestFault15HeadWriteLandsLate(t *testing.T) {
	t.Parallel()
	eachWriteLandsLate(t, stateBucket)
}

// TestFault17CreateLandsAfterThePlanIsGone: the name belongs to these records for ever.
func TestFault17CreateLandsAfterThePlanIsGone(t *testing.T) {
	t.Parallel()
	eachWriteLandsLate(t, archiveBucket)
}

// TestFault16HeadWriteThrottledTenTimes also hides in a 429 that another run was first.
func TestFault16HeadWriteThrottledTenTimes(t *testing.T) {
	t.Parallel()
	const times = 10
	for name, competitor := range map[string]bool{"alone": false, "with a competitor": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 4)...)
			w.drain(Drained)
			w.produce(0, repeat(1, 4)...)
			var waits []time.Duration
			var throttled atomic.Int64
			d := w.deps()
			heads := w.state.Waiting(func(_ context.Context, d time.Duration) error {
				waits = append(waits, d)
				return nil
			})
			d.Heads = &hookedHeads{Heads: heads, before: func(n int) {
				if n > 1 {
					return
				}
				w.inserts(stateBucket, func(n int) gcs.Fault {
					if competitor && n == times/2 {
						// Between two attempts another run drains everything.
						w.server.Intercept(nil)
						s := w.sink
						s.FlushSize = 2
						w.drainWith(s, w.deps(), Drained)
					}
					if n > times {
						return gcs.Fault{}
					}
					throttled.Add(1)
					return gcs.Fault{Before: http.StatusTooManyRequests}
				})
			}}
			sum := w.drainAny(w.sink, d)
			w.server.Intercept(nil)
			want, records := times, int64(4)
			if competitor {
				want, records = times/2, 0
			}
			if sum.Outcome.ExitCode() != 0 || sum.Records != records || int(throttled.Load()) != want {
				t.Fatalf("throttled %d times: %+v", throttled.Load(), sum)
			}
			for _, wait := range waits {
				if wait < time.Second {
					t.Fatalf("after a 429 the head is written again after %v", wait)
				}
			}
			w.drain(NothingNew)
			w.verify()
		})
	}
}

func TestOtherRunsAreAlwaysFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 3)...)
	d := w.deps()
	d.Heads = &hookedHeads{Heads: d.Heads, before: func(n int) {
		if n == 1 {
			return
		}
		w.produce(0, 1)
		w.drainAny(w.sink, w.deps())
	}}
	sum := w.drainAny(w.sink, d)
	if sum.Outcome.ExitCode() != 0 {
		t.Fatalf("%+v", sum)
	}
	w.drainAny(w.sink, w.deps())
	w.verify()
}

// TestFault23TwoTasksRaceGenesis with different committed offsets: the first start counts for both.
func TestFault23TwoTasksRaceGenesis(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 8)...)
	w.commit(0, 2)
	z := newZombie()
	d := w.deps()
	d.Heads = &hookedHeads{Heads: d.Heads, before: func(int) { z.sleep() }}
	z.run(w, w.sink, d)
	w.commit(0, 5)
	w.drain(Drained)
	if sum := z.wake(w); sum.Outcome != NothingNew {
		t.Fatalf("%+v", sum)
	}
	if h := w.head(0); h.Start != 5 {
		t.Fatalf("%+v", h)
	}
	w.wantRecords(object(0, 5), 6, 7, 8)
	w.verifyExcept(ns(1, 5)...)
}
