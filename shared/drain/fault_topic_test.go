package drain

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/logging"
)

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

// TestFault22CommittedOffsetsMovedByOthers: neither an older nor a newer one moves the archive. A newer one is told of, once.
func TestFault22CommittedOffsetsMovedByOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var said bytes.Buffer
	w.ctx = logging.With(w.ctx, logging.New(io.MultiWriter(t.Output(), &said), logging.Options{}))
	const warning = "another sink has drained in between"
	w.produce(0, repeat(1, 6)...)
	w.drain(Drained)
	w.commit(0, 1)
	w.drain(NothingNew)
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
	w.produce(0, repeat(1, 4)...)
	if strings.Contains(said.String(), warning) {
		t.Errorf("said of an older offset: %s", said.String())
	}
	w.commit(0, 9)
	w.drain(Drained)
	w.drain(NothingNew)
	if n := strings.Count(said.String(), warning); n != 1 || !strings.Contains(said.String(), "offsets set "+sinkName) {
		t.Errorf("said %d times: %s", n, said.String())
	}
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
