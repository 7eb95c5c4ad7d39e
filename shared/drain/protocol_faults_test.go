package drain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/gcs"
)

// The faults that the protocol must stand, by number, in the words of its fault list. Each is a test here, in one of
// fault_*test.go or in stop_test.go; see faultTable.

func TestFault01SchemasInterleavedKilledBetweenTwoObjects(t *testing.T) {
	t.Parallel()
	fill := func(w *world) {
		w.sink.FlushSize = 4
		w.produce(0, 1, 2, 1, 2, 1)
	}
	killedEverywhere(t, 1, fill, same, (*world).verify)
	for _, first := range []int{0, 1} {
		t.Run(fmt.Sprintf("only the object at offset %d is there", first), func(t *testing.T) {
			w := newWorld(t, 1)
			fill(w)
			d := w.deps()
			d.Archive = selective{d.Archive, func(name string) bool { return name == object(0, first) }}
			w.drainAny(w.sink, d)
			w.wantNames(object(0, first))
			w.drain(Drained)
			w.wantRecords(object(0, 0), 1, 3)
			w.wantRecords(object(0, 1), 2, 4)
			w.verify()
		})
	}
}

// forget loses the group's offsets.
func (w *world) forget() {
	w.t.Helper()
	if _, err := w.admin.DeleteGroup(w.ctx, w.sink.Group()); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		w.t.Fatal(err)
	}
}

func TestFault02OffsetsLostAndRetentionInsideAnObject(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) { w.produce(0, repeat(1, 7)...) }, func(w *world) connector.Sink {
		w.forget()
		w.deleteRecords(2)
		return w.sink
	}, (*world).verify)
}

func TestFault03RetentionBeforeTheFirstCommit(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) { w.produce(0, repeat(1, 7)...) }, func(w *world) connector.Sink {
		w.deleteRecords(2)
		return w.sink
	}, (*world).verify)
}

// compacted makes the topic a compacted one, each of whose records is a segment of its own.
func (w *world) compacted() {
	w.t.Helper()
	compact, small := "compact", "1"
	if _, err := w.admin.AlterTopicConfigs(w.ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &compact}, {Op: kadm.SetConfig, Name: "segment.bytes", Value: &small},
	}, topicName); err != nil {
		w.t.Fatal(err)
	}
}

// keyed appends a record of schema 1 under a key.
func (w *world) keyed(key string) {
	w.t.Helper()
	r := w.record(0, 1, "pad")
	r.Key = []byte(key)
	w.send(r)
}

func TestFault04MarkerAndCompactionKilledEverywhere(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) {
		w.compacted()
		w.transaction(0, 2, true) // offsets 0, 1 and a marker at 2
		w.drain(Drained)
		w.keyed("a")                  // 3
		w.produce(0, repeat(1, 3)...) // 4 to 6
		w.keyed("a")                  // 7, which takes 3 away
		w.keyed("b")
	}, func(w *world) connector.Sink {
		w.cluster.Compact()
		return w.sink
	}, func(w *world) {
		w.verify()
		if lag := w.lag(0); lag != 0 {
			w.t.Fatalf("lag %d", lag)
		}
	})
}

func TestFault10TopicsDirChangedKilledEverywhere(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) { w.produce(0, repeat(1, 7)...) }, func(w *world) connector.Sink {
		s := w.sink
		s.TopicsDir = "elsewhere"
		return s
	}, (*world).verify)
}

// TestFault11FlushSizesOverlap: 3, then 100 while the first sleeps, then 3 again, at every write of the first.
func TestFault11FlushSizesOverlap(t *testing.T) {
	t.Parallel()
	for n := int64(0); n < 8; n++ {
		t.Run(fmt.Sprintf("asleep before change %d", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 7)...)
			z := newZombie()
			z.run(w, w.sink, drowsy(w.deps(), n, z))
			large := w.sink
			large.FlushSize = 100
			w.drainAny(large, w.deps())
			w.produce(0, repeat(1, 2)...)
			w.drainAny(w.sink, w.deps())
			w.produce(0, repeat(1, 4)...)
			if sum := z.wake(w); sum.Outcome.ExitCode() != 0 {
				t.Fatalf("the zombie: %+v", sum)
			}
			w.drainAny(w.sink, w.deps())
			w.verify()
		})
	}
}

// TestFault13CodecChangedBetweenPlanAndReplay: all objects of the plan have the plan's codec.
func TestFault13CodecChangedBetweenPlanAndReplay(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) {
		w.sink.Codec = "deflate"
		w.produce(0, 1, 2, 1, 1, 1)
	}, func(w *world) connector.Sink {
		s := w.sink
		s.Codec = "snappy"
		return s
	}, func(w *world) {
		w.verify()
		codecs := map[string]int{}
		plans := map[string]string{}
		for _, o := range w.server.Objects(archiveBucket, "") {
			codec := "deflate"
			if strings.Contains(string(o.Data[:min(len(o.Data), 400)]), "snappy") {
				codec = "snappy"
			}
			codecs[codec]++
			if before := plans[o.Metadata[metaPlan]]; before != "" && before != codec {
				w.t.Fatalf("%s has the codec %s, others of its plan have %s", o.Name, codec, before)
			}
			plans[o.Metadata[metaPlan]] = codec
		}
		if len(codecs) != 1 {
			w.t.Fatalf("one plan, codecs %v", codecs)
		}
	})
}

// TestFault13VersionChangedBetweenPlanAndReplay: a plan that a newer version made is left to that version.
func TestFault13VersionChangedBetweenPlanAndReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 6)...)
	d, _ := mortal(w.deps(), 4) // birth, commit, plan, one object
	w.drainAny(w.sink, d)
	old := w.server.Objects(stateBucket, "")[0]
	newer := old
	newer.Data = []byte(strings.Replace(string(old.Data), `"format":1`, fmt.Sprintf(`"format":%d`, headFormat+1), 1))
	if _, err := w.server.Put(newer); err != nil {
		t.Fatal(err)
	}
	names := w.names()
	wantText(t, w.drain(Stopped).Partitions[0].Stopped, "newer version")
	w.wantNames(names...)
	if _, err := w.server.Put(old); err != nil {
		t.Fatal(err)
	}
	w.drain(Drained)
	w.verify()
}

// TestFault20PlannedObjectIsCompactedAway: progress, and no empty object.
func TestFault20PlannedObjectIsCompactedAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.compacted()
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "a", "b", "c", "g"} {
		w.keyed(key)
	}
	d, _ := mortal(w.deps(), 3) // birth, commit, plan
	w.drainAny(w.sink, d)
	if p := w.head(0).Plan; p == nil || len(p.Objects) != 4 {
		t.Fatalf("%+v", p)
	}
	w.cluster.Compact()
	if _, there := w.topic(0)[2]; there {
		t.Fatal("nothing was compacted")
	}
	w.drain(Drained)
	w.wantNames(object(0, 3), object(0, 6), object(0, 9))
	if h := w.head(0); h.Plan != nil || h.Frontier != 10 {
		t.Fatalf("%+v", h)
	}
	w.verify()
}

// TestFault21RetentionEatsHalfAnObjectOfAZombie: there is one object, and the zombie's comes too late.
func TestFault21RetentionEatsHalfAnObjectOfAZombie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 3)...)
	z := newZombie()
	d := w.deps()
	d.Archive = &hookedArchive{Archive: d.Archive, before: func(int) { z.sleep() }}
	z.run(w, w.sink, d)
	w.deleteRecords(2)
	w.drain(Drained)
	w.wantRecords(object(0, 0), 3)
	z.wake(w)
	w.wantRecords(object(0, 0), 3)
	w.verify()
}

// TestFault22ZombieCommitsAnOlderOffset after the others' end: the next drain does not believe it.
func TestFault22ZombieCommitsAnOlderOffset(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	w.sink.MemoryMax = 1 // a plan for each file
	z := newZombie()
	d := w.deps()
	d.Consumer = &hookedConsumer{Consumer: d.Consumer, before: func(n int) {
		if n == 2 { // the first object is durable
			z.sleep()
		}
	}}
	z.run(w, w.sink, d)
	w.drain(Drained)
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
	regressed := make(chan int64, 1)
	w.inserts(stateBucket, func(int) gcs.Fault { // the zombie has committed by now, and is about to write the head
		select {
		case regressed <- w.lag(0):
		default:
		}
		return gcs.Fault{}
	})
	if sum := z.wake(w); sum.Outcome.ExitCode() != 0 {
		t.Fatalf("the zombie: %+v", sum)
	}
	w.server.Intercept(nil)
	if lag := <-regressed; lag != 1 {
		t.Fatalf("the zombie left lag %d, it was to commit an older offset", lag)
	}
	w.drain(NothingNew)
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
	w.verify()
}

// TestFault28TailKilledEverywhere: an unfinished file leaves nothing, and is archived once when it is finished.
func TestFault28TailKilledEverywhere(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) {
		w.sink.FlushOnDrainEnd = false
		w.produce(0, repeat(1, 5)...)
	}, func(w *world) connector.Sink {
		w.produce(0, 1)
		return w.sink
	}, func(w *world) {
		w.wantNames(object(0, 0), object(0, 3))
		w.wantRecords(object(0, 3), 4, 5, 6)
		w.verify()
	})
}

// TestFault33MarkersKilledEverywhere: a drain that has only markers to pass.
func TestFault33MarkersKilledEverywhere(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) {
		w.transaction(0, 2, true)
		w.drain(Drained)
		w.transaction(0, 3, false)
	}, same, func(w *world) {
		w.verify()
		if lag := w.lag(0); lag != 0 {
			w.t.Fatalf("phantom lag %d", lag)
		}
	})
}

// TestFault16BurstOf429OnCreates: a bucket that throttles everything for a while, while another run drains.
func TestFault16BurstOf429OnCreates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 8)...)
	z := newZombie()
	d := w.deps()
	d.Archive = &hookedArchive{Archive: d.Archive, before: func(int) { z.sleep() }}
	z.run(w, w.sink, d)
	w.inserts(archiveBucket, func(n int) gcs.Fault {
		switch {
		case n > 5:
			return gcs.Fault{}
		case n%2 == 0:
			return gcs.Fault{After: http.StatusTooManyRequests}
		}
		return gcs.Fault{Before: http.StatusTooManyRequests}
	})
	s := w.sink
	s.FlushSize = 100
	done := make(chan Summary, 1)
	deps := w.deps()
	go func() { done <- w.drainAny(s, deps) }()
	if sum := z.wake(w); sum.Outcome.ExitCode() != 0 {
		t.Fatalf("%+v", sum)
	}
	if sum := <-done; sum.Outcome.ExitCode() != 0 {
		t.Fatalf("%+v", sum)
	}
	w.verify()
}

// drowsy are deps whose process sleeps before its change number n, from 0.
func drowsy(d Deps, n int64, z *zombie) Deps {
	l := &life{}
	l.left.Store(n)
	l.out = func() error {
		z.sleep()
		return nil
	}
	d.Heads, d.Archive, d.Consumer = mortalHeads{d.Heads, l}, mortalArchive{d.Archive, l}, mortalConsumer{d.Consumer, l}
	return d
}

// threeHours fills the topic with records of three hours that interleave.
func threeHours(w *world) {
	w.t.Helper()
	w.place(at("2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z", "2026-11-23T10:30:00Z", "2026-11-23T12:00:00Z",
		"2026-11-23T11:30:00Z", "2026-11-23T10:45:00Z", "2026-11-23T12:30:00Z")...)
}

func hourly(w *world) connector.Sink {
	s := w.sink
	s.Partitioner = byHour("UTC", connector.RecordExtractor)
	return s
}

// defaultThenTime has a drain of the default layout sleep while others drain by time.
func defaultThenTime(t *testing.T, drowsy func(*zombie, Deps) Deps, want ...string) {
	t.Helper()
	w := newWorld(t, 1)
	threeHours(w)
	z := newZombie()
	z.run(w, w.sink, drowsy(z, w.deps()))
	w.drainWith(hourly(w), w.deps(), Drained)
	w.place(at("2026-11-23T10:59:00Z", "2026-11-23T13:00:00Z")...)
	if sum := z.wake(w); sum.Outcome.ExitCode() != 0 {
		t.Fatalf("the zombie: %+v", sum)
	}
	w.drainAny(hourly(w), w.deps())
	w.once()
	names := strings.Join(w.names(), "\n")
	for _, part := range want {
		if !strings.Contains(names, part) {
			t.Fatalf("no object of %s in\n%s", part, names)
		}
	}
	w.drainWith(w.sink, w.deps(), NothingNew)
}

func TestFault07DefaultThenTimeZombieBeforeItsHeadWrite(t *testing.T) {
	t.Parallel()
	defaultThenTime(t, func(z *zombie, d Deps) Deps {
		d.Heads = &hookedHeads{Heads: d.Heads, before: func(n int) {
			if n == 2 { // the first one makes the head
				z.sleep()
			}
		}}
		return d
	}, "/hour=10/", "/hour=12/")
}

// TestFault08DefaultThenTimeZombieBeforeItsFirstCreate: its plan is in the head, so the others write its objects.
func TestFault08DefaultThenTimeZombieBeforeItsFirstCreate(t *testing.T) {
	t.Parallel()
	defaultThenTime(t, func(z *zombie, d Deps) Deps {
		d.Archive = &hookedArchive{Archive: d.Archive, before: func(int) { z.sleep() }}
		return d
	}, object(0, 0), object(0, 6))
}

func TestFault08DefaultThenTimeKilledEverywhere(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, threeHours, hourly, (*world).once)
	killedEverywhere(t, 1, func(w *world) {
		threeHours(w)
		w.sink = hourly(w)
	}, func(w *world) connector.Sink {
		s := w.sink
		s.Partitioner = connector.Partitioner{Class: connector.DefaultPartitioner}
		return s
	}, (*world).once)
}

// TestFault09FieldListChangedBetweenPlanAndReplay: the plan's names.
func TestFault09FieldListChangedBetweenPlanAndReplay(t *testing.T) {
	t.Parallel()
	fill := func(w *world) {
		w.sink.Partitioner = byField("platform")
		w.place(platforms("kr", "euw1", "", "kr", "na1", "euw1", "kr")...)
	}
	other := func(w *world) connector.Sink {
		s := w.sink
		s.Partitioner = byField("mini.hot", "platform")
		return s
	}
	killedEverywhere(t, 1, fill, other, (*world).once)
	w := newWorld(t, 1)
	fill(w)
	d, _ := mortal(w.deps(), 4) // birth, commit, plan, one object
	w.drainAny(w.sink, d)
	plan := w.head(0).Plan
	if plan == nil || len(w.names()) != 1 {
		t.Fatalf("%+v, %q", plan, w.names())
	}
	w.place(platforms("kr")...)
	w.drainWith(other(w), w.deps(), Drained)
	for _, o := range plan.Objects {
		if strings.Contains(o.Name, "hot") {
			t.Fatalf("the plan has %s", o.Name)
		}
		w.read(o.Name)
	}
	if n := len(w.names()); n != len(plan.Objects)+1 {
		t.Fatalf("%d objects, %d were planned: %q", n, len(plan.Objects), w.names())
	}
	w.once()
}

// TestFault12WallclockReplayedAnHourLater: the names of the hour in which the plan was made.
func TestFault12WallclockReplayedAnHourLater(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 23, 10, 20, 0, 0, time.UTC)
	for changes := int64(0); changes < 7; changes++ {
		t.Run(fmt.Sprintf("killed after %d changes", changes), func(t *testing.T) {
			w := newWorld(t, 1)
			w.sink.Partitioner = byHour("UTC", connector.WallclockExtractor)
			threeHours(w)
			d, _ := mortal(w.deps(), changes)
			d.Now = func() time.Time { return begin }
			w.drainAny(w.sink, d)
			var planned []string
			if changes > 0 {
				if plan := w.head(0).Plan; plan != nil {
					for _, o := range plan.Objects {
						planned = append(planned, o.Name)
					}
				}
			}
			later := w.deps()
			later.Now = func() time.Time { return begin.Add(time.Hour) }
			w.drainWith(w.sink, later, Drained)
			w.once()
			hour := "/hour=11/"
			if changes > 2 { // birth, commit, plan
				hour = "/hour=10/"
			}
			if changes > 2 && len(planned) == 0 {
				t.Fatal("no plan was in flight")
			}
			for _, name := range w.names() {
				if !strings.Contains(name, hour) {
					t.Fatalf("%s is not of %s", name, hour)
				}
			}
		})
	}
}

// TestFault29ParallelUploadsLandLate: the process dies while uploads are in the network; each subset of them lands, after
// the others' drains.
func TestFault29ParallelUploadsLandLate(t *testing.T) {
	t.Parallel()
	for subset := range 8 {
		t.Run(fmt.Sprintf("%03b", subset), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 9)...)
			late := make(chan struct{})
			ctx, die := context.WithCancel(w.ctx)
			w.inserts(archiveBucket, func(n int) gcs.Fault {
				if n == 3 {
					die()
				}
				if subset>>(n-1)&1 == 1 {
					return gcs.Fault{Until: late}
				}
				return gcs.Fault{Hang: true}
			})
			if _, err := Run(ctx, w.sink, w.deps()); err == nil {
				t.Fatal("the drain ended well without its objects")
			}
			die()
			w.server.Intercept(nil)
			w.wantNames()
			s := w.sink
			s.TopicsDir, s.FlushSize = "elsewhere", 4
			w.drainWith(s, w.deps(), Drained)
			close(late)
			w.produce(0, 1, 1)
			w.drain(Drained)
			w.verify()
			if n := len(w.names()); n != 4 {
				t.Fatalf("objects %q", w.names())
			}
		})
	}
}
