package drain

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
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
