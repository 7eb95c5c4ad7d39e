package drain

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/gcs"
)

// hookedHeads calls before each write of a head, from 1, and after.
type hookedHeads struct {
	Heads
	n             atomic.Int64
	before, after func(n int)
}

func (h *hookedHeads) CompareAndSet(ctx context.Context, name string, data []byte, o bucket.PutOptions, mine func(bucket.Object) bool) (int64, error) {
	n := int(h.n.Add(1))
	if h.before != nil {
		h.before(n)
	}
	g, err := h.Heads.CompareAndSet(ctx, name, data, o, mine)
	if h.after != nil {
		h.after(n)
	}
	return g, err
}

// hookedArchive calls before each create, from 1.
type hookedArchive struct {
	Archive
	n      atomic.Int64
	before func(n int)
}

func (h *hookedArchive) PutAll(ctx context.Context, name string, parts [][]byte, o bucket.PutOptions) (int64, error) {
	if h.before != nil {
		h.before(int(h.n.Add(1)))
	}
	return h.Archive.PutAll(ctx, name, parts, o)
}

func same(w *world) connector.Sink { return w.sink }

func TestKilledEverywhere(t *testing.T) {
	t.Parallel()
	for name, ids := range map[string][]int{
		"one schema":          {1, 1, 1, 1, 1, 1, 1},
		"schemas interleaved": {1, 2, 1, 2, 1, 2, 1},
		"null values":         {1, 0, 1, 0, 0, 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			killedEverywhere(t, 1, func(w *world) {
				w.sink.NullIgnore = true
				w.produce(0, ids...)
			}, same, func(w *world) {
				w.verify()
				if lag := w.lag(0); lag != 0 {
					w.t.Fatalf("lag %d", lag)
				}
			})
		})
	}
}

func TestKilledEverywhereThenReconfigured(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*connector.Sink){
		"flush.size larger":        func(s *connector.Sink) { s.FlushSize = 100 },
		"flush.size smaller":       func(s *connector.Sink) { s.FlushSize = 1 },
		"codec":                    func(s *connector.Sink) { s.Codec = "deflate" },
		"topics.dir":               func(s *connector.Sink) { s.TopicsDir = "elsewhere" },
		"unfinished files wait":    func(s *connector.Sink) { s.FlushOnDrainEnd = false; s.FlushSize = 1 },
		"schema changes rotate":    func(s *connector.Sink) { s.SchemaChangeRotates = true },
		"memory for one file only": func(s *connector.Sink) { s.MemoryMax = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			killedEverywhere(t, 1, func(w *world) { w.produce(0, 1, 1, 2, 1, 1, 1, 1, 2) }, func(w *world) connector.Sink {
				w.produce(0, 1, 1)
				s := w.sink
				change(&s)
				return s
			}, (*world).verify)
		})
	}
}

// TestFault05NullPolicyChangedBetweenKillAndReplay: a drain that stops at a null value is killed; then null values are ignored.
func TestFault05NullPolicyChangedBetweenKillAndReplay(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) { w.produce(0, 1, 1, 0, 1, 1, 0, 1) }, func(w *world) connector.Sink {
		s := w.sink
		s.NullIgnore = true
		return s
	}, (*world).verify)
}

// TestFault10TopicsDirChangedWithAPlanInFlight: names, codec and offsets are the plan's, whatever the configuration is now.
func TestFault10TopicsDirChangedWithAPlanInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 7)...)
	d, _ := mortal(w.deps(), 4) // birth, commit, plan, one object
	w.drainAny(w.sink, d)
	if n := len(w.names()); n != 1 {
		t.Fatalf("%d objects", n)
	}
	s := w.sink
	s.FlushSize, s.TopicsDir, s.Codec = 100, "elsewhere", "deflate"
	w.produce(0, 1, 1)
	sum := w.drainWith(s, w.deps(), Drained)
	w.wantNames("elsewhere/challenger/partition=0/challenger+0+0000000007.avro", object(0, 0), object(0, 3), object(0, 6))
	for _, o := range w.server.Objects(archiveBucket, "topics") {
		if strings.Contains(string(o.Data[:300]), "deflate") {
			t.Fatalf("%s has the codec of now", o.Name)
		}
	}
	if !sum.Partitions[0].Completed {
		t.Fatalf("%+v", sum)
	}
	w.verify()
}

func TestAPlanOfACodecThatIsNotBuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 3)...)
	d, _ := mortal(w.deps(), 3)
	w.drainAny(w.sink, d)
	o := w.server.Objects(stateBucket, "")[0]
	o.Data = []byte(resum(t, string(o.Data), func(h *Head) { h.Plan.Codec = "xz" }))
	if _, err := w.server.Put(o); err != nil {
		t.Fatal(err)
	}
	wantText(t, w.drain(Stopped).Partitions[0].Stopped, "codec")
}

// TestFault29ParallelUploadsKilledAfterAnySubset: objects are created in any order, so any subset may be there.
func TestFault29ParallelUploadsKilledAfterAnySubset(t *testing.T) {
	t.Parallel()
	for subset := range 8 {
		t.Run(fmt.Sprintf("%03b", subset), func(t *testing.T) {
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 9)...)
			d := w.deps()
			d.Archive = selective{d.Archive, func(name string) bool {
				for i, first := range []int{0, 3, 6} {
					if name == object(0, first) {
						return subset>>i&1 == 1
					}
				}
				return false
			}}
			sum, _ := Run(w.ctx, w.sink, d)
			if (sum.Outcome.ExitCode() == 0) != (subset == 7) {
				t.Fatalf("%+v", sum)
			}
			w.drainAny(w.sink, w.deps())
			w.verify()
		})
	}
}

// selective creates some objects only; for the others the process dies.
type selective struct {
	Archive
	allow func(name string) bool
}

func (s selective) PutAll(ctx context.Context, name string, parts [][]byte, o bucket.PutOptions) (int64, error) {
	if !s.allow(name) {
		return 0, errDead
	}
	return s.Archive.PutAll(ctx, name, parts, o)
}

// zombie is a drain that sleeps somewhere until it is woken.
type zombie struct {
	asleep, woken chan struct{}
	once          sync.Once
	done          chan Summary
}

func newZombie() *zombie {
	return &zombie{asleep: make(chan struct{}), woken: make(chan struct{}), done: make(chan Summary, 1)}
}

// sleep makes the drain sleep, once.
func (z *zombie) sleep() {
	z.once.Do(func() {
		close(z.asleep)
		<-z.woken
	})
}

func (z *zombie) run(w *world, s connector.Sink, d Deps) {
	go func() {
		sum, _ := Run(w.ctx, s, d)
		z.done <- sum
	}()
	select {
	case <-z.asleep:
	case <-w.ctx.Done():
		w.t.Fatal("the zombie never slept")
	}
}

func (z *zombie) wake(w *world) Summary {
	close(z.woken)
	select {
	case sum := <-z.done:
		return sum
	case <-w.ctx.Done():
		w.t.Fatal("the zombie never ended")
		return Summary{}
	}
}

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

func TestRetention(t *testing.T) {
	t.Parallel()
	t.Run("before the first drain nothing is lost", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 6)...)
		w.deleteRecords(2)
		if sum := w.drain(Drained); sum.Partitions[0].Lost != 0 || sum.Partitions[0].From != 2 {
			t.Fatalf("%+v", sum)
		}
		w.verify()
	})
	t.Run("past the frontier it is reported", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, 1)
		w.drain(Drained)
		w.produce(0, repeat(1, 6)...)
		w.deleteRecords(4)
		if sum := w.drain(Drained); sum.Partitions[0].Lost != 3 || sum.Records != 3 {
			t.Fatalf("%+v", sum)
		}
		w.verify()
	})
	t.Run("past the frontier it stops when asked to", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, 1)
		w.drain(Drained)
		w.produce(0, repeat(1, 6)...)
		w.deleteRecords(4)
		w.sink.OffsetReset = "none"
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, "offsets 1 to 3", "auto.offset.reset")
		w.sink.OffsetReset = "latest"
		w.drain(Drained)
		w.verify()
	})
	t.Run("of what a plan has archived loses nothing", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 6)...)
		d, _ := mortal(w.deps(), 5) // birth, commit, plan and both objects
		w.drainAny(w.sink, d)
		w.deleteRecords(6)
		w.sink.OffsetReset = "none"
		if sum := w.drain(Drained); sum.Partitions[0].Lost != 0 {
			t.Fatalf("%+v", sum)
		}
		w.verify()
	})
	t.Run("of all records behind a plan's object", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 6)...)
		d, _ := mortal(w.deps(), 3)
		w.drainAny(w.sink, d)
		w.deleteRecords(3)
		if sum := w.drain(Drained); sum.Partitions[0].Lost != 3 {
			t.Fatalf("%+v", sum)
		}
		w.wantNames(object(0, 3))
		w.verify()
	})
	t.Run("of all records of a plan and some behind it", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 6)...)
		d, _ := mortal(w.deps(), 3)
		w.drainAny(w.sink, d)
		w.produce(0, repeat(1, 6)...)
		w.deleteRecords(8)
		if sum := w.drain(Drained); sum.Partitions[0].Lost != 8 {
			t.Fatalf("%d records were lost: %+v", sum.Partitions[0].Lost, sum)
		}
		w.verify()
	})
	t.Run("of a plan's records twice, the second time while they are read", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 6)...)
		d, _ := mortal(w.deps(), 3)
		w.drainAny(w.sink, d)
		w.deleteRecords(1)
		d = w.deps()
		d.Archive = &statHook{Archive: d.Archive, first: func() { w.deleteRecords(2) }}
		if sum := w.drainWith(w.sink, d, Drained); sum.Partitions[0].Lost != 2 {
			t.Fatalf("%d records were lost: %+v", sum.Partitions[0].Lost, sum)
		}
		w.wantNames(object(0, 0), object(0, 3))
		w.verify()
	})
	t.Run("while the partition is read", func(t *testing.T) {
		w := newWorld(t, 1)
		w.sink.MemoryMax = 1 // a plan for each file
		w.produce(0, repeat(1, 3)...)
		w.drain(Drained)
		w.produce(0, repeat(1, 9)...)
		d := w.deps()
		d.Heads = &hookedHeads{Heads: d.Heads, after: func(n int) {
			if n == 1 {
				w.deleteRecords(8)
			}
		}}
		sum := w.drainAny(w.sink, d)
		if sum.Outcome != Drained {
			t.Fatalf("%+v", sum)
		}
		w.drainAny(w.sink, w.deps())
		w.verify()
	})
}

// statHook calls first before the attributes of an object are asked for the first time.
type statHook struct {
	Archive
	once  sync.Once
	first func()
}

func (s *statHook) Stat(ctx context.Context, name string) (bucket.Object, error) {
	s.once.Do(s.first)
	return s.Archive.Stat(ctx, name)
}

func (w *world) deleteRecords(before int64) {
	w.t.Helper()
	if err := w.cluster.DeleteRecords(topicName, 0, before); err != nil {
		w.t.Fatal(err)
	}
}

// TestFault22CommittedOffsetsMovedByOthers: neither an older nor a newer one moves the archive.
func TestFault22CommittedOffsetsMovedByOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 6)...)
	w.drain(Drained)
	w.commit(0, 1)
	w.drain(NothingNew)
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
	w.produce(0, repeat(1, 4)...)
	w.commit(0, 9)
	w.drain(Drained)
	w.verify()
}

func TestTakeOver(t *testing.T) {
	t.Parallel()
	confluent := func(w *world, first int) {
		if _, err := w.server.Put(gcs.Stored{Bucket: archiveBucket, Name: object(0, first), Data: []byte("theirs")}); err != nil {
			w.t.Fatal(err)
		}
	}
	t.Run("where Connect stopped", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 8)...)
		confluent(w, 0)
		w.commit(0, 3)
		w.drain(Drained)
		w.wantNames(object(0, 0), object(0, 3), object(0, 6))
		w.wantRecords(object(0, 3), 4, 5, 6)
	})
	t.Run("objects beyond the committed offset", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 8)...)
		confluent(w, 0)
		confluent(w, 3)
		w.commit(0, 3)
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, object(0, 3), "riftline offsets set gcs-sink challenger/0")
		if n := len(w.server.Objects(stateBucket, "")); n != 0 {
			t.Fatalf("%d heads", n)
		}
		w.commit(0, 6)
		w.drain(Drained)
		w.wantRecords(object(0, 6), 7, 8)
	})
	t.Run("no committed offset but objects", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 8)...)
		confluent(w, 0)
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, object(0, 0), "no committed offset")
	})
	t.Run("objects of another layout", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 8)...)
		if _, err := w.server.Put(gcs.Stored{Bucket: archiveBucket, Name: "topics/challenger/year=2026/month=11/challenger+0+0000000005.avro"}); err != nil {
			t.Fatal(err)
		}
		w.commit(0, 3)
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, "year=2026")
	})
	t.Run("objects of other partitions and topics", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 2)...)
		for _, name := range []string{object(1, 5), "topics/challenger2/partition=0/challenger2+0+0000000000.avro", "topics/challenger/README"} {
			if _, err := w.server.Put(gcs.Stored{Bucket: archiveBucket, Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		w.drain(Drained)
	})
	t.Run("the committed offset is beyond the log", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, 1)
		w.commit(0, 50)
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, "re-created")
	})
	t.Run("no committed offset, latest", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, 1, 1)
		w.sink.OffsetReset = "latest"
		w.drain(NothingNew)
		w.produce(0, 1)
		w.drain(Drained)
		w.wantNames(object(0, 2))
	})
	t.Run("no committed offset, none", func(t *testing.T) {
		w := newWorld(t, 1)
		w.produce(0, 1, 1)
		w.sink.OffsetReset = "none"
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, "auto.offset.reset")
	})
}

// TestGenesisListsAllPages: an object in the way may be far down the listing.
func TestListingFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1)
	w.server.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op == gcs.OpList && r.Bucket == archiveBucket {
			return gcs.Fault{Before: http.StatusInternalServerError}
		}
		return gcs.Fault{}
	})
	w.drain(Failed)
	if n := len(w.server.Objects(stateBucket, "")); n != 0 {
		t.Fatalf("%d heads", n)
	}
}

func TestFault30StreamedObjectIsLargerThanAPart(t *testing.T) {
	t.Parallel()
	pad := strings.Repeat("x", 100_000)
	fill := func(w *world) {
		w.sink.FlushSize, w.sink.PartSize = 10, minStream
		for range 20 {
			w.send(w.record(0, 1, pad))
		}
	}
	t.Run("whole", func(t *testing.T) {
		w := newWorld(t, 1)
		fill(w)
		w.drain(Drained)
		w.verify()
		o := w.server.Objects(archiveBucket, "")[0]
		if o.Metadata[metaPlan] == "" || o.Metadata[metaFirst] != "0" || o.Metadata[metaCount] != "" {
			t.Fatalf("%v", o.Metadata)
		}
		if w.server.Count(gcs.OpUpload) == 0 {
			t.Fatal("nothing was streamed")
		}
	})
	t.Run("the head is lost to another run", func(t *testing.T) {
		w := newWorld(t, 1)
		fill(w)
		d := w.deps()
		d.Heads = &hookedHeads{Heads: d.Heads, before: func(n int) {
			if n == 2 {
				s := w.sink
				s.TopicsDir = "elsewhere"
				w.drainWith(s, w.deps(), Drained)
			}
		}}
		w.drainAny(w.sink, d)
		for _, name := range w.names() {
			if strings.HasPrefix(name, "topics/") {
				t.Fatalf("stray object %s", name)
			}
		}
		w.verify()
	})
	t.Run("the head cannot be written", func(t *testing.T) {
		w := newWorld(t, 1)
		fill(w)
		d, _ := mortal(w.deps(), 2)
		w.drainAny(w.sink, d)
		w.wantNames()
		w.drain(Drained)
		w.verify()
	})
	t.Run("the last part is not taken", func(t *testing.T) {
		w := newWorld(t, 1)
		fill(w)
		var failed atomic.Bool
		d := w.deps()
		d.Heads = &hookedHeads{Heads: d.Heads, after: func(n int) {
			if n == 2 {
				w.server.Intercept(func(r gcs.Request) gcs.Fault {
					if r.Op == gcs.OpUpload && r.Name == object(0, 0) && !failed.Swap(true) {
						return gcs.Fault{Before: http.StatusGone}
					}
					return gcs.Fault{}
				})
			}
		}}
		if sum := w.drainAny(w.sink, d); !failed.Load() {
			t.Fatalf("no fault: %+v", sum)
		}
		w.server.Intercept(nil)
		w.drainAny(w.sink, w.deps())
		w.verify()
	})
	t.Run("completed by another run", func(t *testing.T) {
		w := newWorld(t, 1)
		fill(w)
		ctx, cancel := context.WithCancel(w.ctx)
		d := w.deps()
		d.Heads = &hookedHeads{Heads: d.Heads, after: func(n int) {
			if n == 2 {
				cancel()
			}
		}}
		if _, err := Run(ctx, w.sink, d); err == nil {
			t.Fatal("no error")
		}
		w.wantNames()
		w.drain(Drained)
		w.verify()
	})
}

func TestAWriteIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{stateBucket, archiveBucket} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.produce(0, 1)
			w.inserts(name, func(int) gcs.Fault { return gcs.Fault{Before: http.StatusForbidden} })
			sum := w.drain(Misconfigured)
			wantText(t, sum.Error, "gs://"+name)
			w.server.Intercept(nil)
			w.drain(Drained)
			w.verify()
		})
	}
}

func TestBucketIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1)
	d := w.deps()
	client, err := bucket.NewClient(w.ctx, bucket.At(w.server.URL())...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	missing, err := bucket.Open(client, "gs://nobody")
	if err != nil {
		t.Fatal(err)
	}
	d.Archive = missing
	sum := w.drainWith(w.sink, d, Misconfigured)
	wantText(t, sum.Error, "nobody")
}

// TestFault04MarkerAndCompactionOfTheNextFilesFirstRecord takes records away, among them the first of a file that is planned, behind a transaction's marker.
func TestFault04MarkerAndCompactionOfTheNextFilesFirstRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.compacted()
	w.transaction(0, 2, true) // offsets 0, 1 and a marker at 2
	w.drain(Drained)
	w.keyed("a")                  // 3
	w.produce(0, repeat(1, 3)...) // 4 to 6
	w.keyed("a")                  // 7, which takes 3 away
	w.produce(0, repeat(1, 3)...) // 8 to 10
	d, _ := mortal(w.deps(), 1)
	w.drainAny(w.sink, d)
	p := w.head(0).Plan
	if p == nil || p.Objects[0].First != 3 || p.First != 3 {
		t.Fatalf("%+v", p)
	}
	w.cluster.Compact()
	if _, there := w.topic(0)[3]; there {
		t.Fatal("nothing was compacted")
	}
	w.drain(Drained)
	w.wantRecords(object(0, 3), 4, 5)
	w.verify()
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
}
