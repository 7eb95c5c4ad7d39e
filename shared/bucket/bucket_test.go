package bucket

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/storage"

	"github.com/riftline/riftline/shared/local/gcs"
)

// open starts a stand-in and opens gs://state/poll on it. Waits between attempts pass at once and are recorded.
func open(t *testing.T) (*gcs.Server, *Bucket, *waits) {
	t.Helper()
	s, err := gcs.New(gcs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.CreateBucket("state"); err != nil {
		t.Fatal(err)
	}
	b := at(t, s.URL(), "gs://state/poll")
	w := &waits{}
	b.wait = w.wait
	return s, b, w
}

func at(t *testing.T, url, bucket string) *Bucket {
	t.Helper()
	c, err := NewClient(t.Context(), At(url)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	b, err := Open(c, bucket)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type waits struct {
	mu  sync.Mutex
	all []time.Duration
}

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, d)
	return ctx.Err()
}

// faults lets the first requests of an operation go wrong, in order.
func faults(s *gcs.Server, op gcs.Op, list ...gcs.Fault) {
	var mu sync.Mutex
	s.Intercept(func(r gcs.Request) gcs.Fault {
		mu.Lock()
		defer mu.Unlock()
		if r.Op != op || len(list) == 0 {
			return gcs.Fault{}
		}
		f := list[0]
		list = list[1:]
		return f
	})
}

func put(t *testing.T, s *gcs.Server, name, data string) int64 {
	t.Helper()
	o, err := s.Put(gcs.Stored{Bucket: "state", Name: name, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return o.Generation
}

func TestReadAndStat(t *testing.T) {
	s, b, _ := open(t)
	g, err := b.Put(t.Context(), "c/1+2%2F=.json", []byte("{}"), PutOptions{ContentType: "application/json", Metadata: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := b.Read(t.Context(), "c/1+2%2F=.json")
	if err != nil || string(o.Data) != "{}" || o.Generation != g || o.ContentType != "application/json" {
		t.Errorf("read %+v, %v", o, err)
	}
	o, err = b.Stat(t.Context(), "c/1+2%2F=.json")
	if err != nil || o.Generation != g || o.Metadata["k"] != "v" || o.Size != 2 || o.Name != "c/1+2%2F=.json" || o.Created.IsZero() {
		t.Errorf("stat %+v, %v", o, err)
	}
	if got := s.Objects("state", "")[0].Name; got != "poll/c/1+2%2F=.json" {
		t.Errorf("stored as %q", got)
	}
	if got := b.URL("x"); got != "gs://state/poll/x" {
		t.Errorf("URL %q", got)
	}
}

func TestGzip(t *testing.T) {
	_, b, _ := open(t)
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write([]byte("plain")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for encoding, want := range map[string]string{"": buf.String(), "gzip": "plain"} {
		if _, err := b.Put(t.Context(), "x"+encoding, buf.Bytes(), PutOptions{ContentEncoding: encoding}); err != nil {
			t.Fatal(err)
		}
		if o, err := b.Read(t.Context(), "x"+encoding); err != nil || string(o.Data) != want {
			t.Errorf("content encoding %q: %q, %v", encoding, o.Data, err)
		}
	}
}

func TestAbsentIsProven(t *testing.T) {
	ctx := t.Context()
	t.Run("the name and a longer one", func(t *testing.T) {
		s, b, _ := open(t)
		put(t, s, "poll/x.json.old", "")
		if _, err := b.Read(ctx, "x.json"); !errors.Is(err, ErrAbsent) {
			t.Errorf("read: %v", err)
		}
		if _, err := b.Stat(ctx, "x.json"); !errors.Is(err, ErrAbsent) {
			t.Errorf("stat: %v", err)
		}
	})
	t.Run("the bucket is missing", func(t *testing.T) {
		s, _, _ := open(t)
		b := at(t, s.URL(), "gs://nowhere")
		if _, err := b.Read(ctx, "x"); errors.Is(err, ErrAbsent) || !errors.Is(err, ErrNoBucket) {
			t.Errorf("read: %v", err)
		}
	})
	t.Run("a read that lies", func(t *testing.T) {
		s, b, _ := open(t)
		put(t, s, "poll/x", "v")
		faults(s, gcs.OpRead, gcs.Fault{Before: 404})
		if o, err := b.Read(ctx, "x"); err != nil || string(o.Data) != "v" {
			t.Errorf("one false 404: %v", err)
		}
		s.Intercept(func(r gcs.Request) gcs.Fault {
			if r.Op == gcs.OpRead {
				return gcs.Fault{Before: 404}
			}
			return gcs.Fault{}
		})
		if _, err := b.Read(ctx, "x"); err == nil || errors.Is(err, ErrAbsent) {
			t.Errorf("false 404s for ever: %v", err)
		}
	})
	for _, status := range []int{403, 500, 503, 429} {
		t.Run(fmt.Sprintf("listing answers %d", status), func(t *testing.T) {
			s, b, _ := open(t)
			s.Intercept(func(r gcs.Request) gcs.Fault {
				if r.Op == gcs.OpList {
					return gcs.Fault{Before: status}
				}
				return gcs.Fault{}
			})
			_, err := b.Read(ctx, "x")
			want := ErrUnavailable
			if status == 403 {
				want = ErrDenied
			}
			if errors.Is(err, ErrAbsent) || !errors.Is(err, want) {
				t.Error(err)
			}
		})
	}
}

func TestReadsAreRepeated(t *testing.T) {
	s, b, _ := open(t)
	put(t, s, "poll/x", "v")
	faults(s, gcs.OpRead, gcs.Fault{Before: 503}, gcs.Fault{Before: 429}, gcs.Fault{Before: 500})
	if o, err := b.Read(t.Context(), "x"); err != nil || string(o.Data) != "v" {
		t.Errorf("three failures: %v", err)
	}
	s.Intercept(func(gcs.Request) gcs.Fault { return gcs.Fault{Before: 503} })
	n := s.Count(gcs.OpRead)
	if _, err := b.Read(t.Context(), "x"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("for ever: %v", err)
	}
	if got := s.Count(gcs.OpRead) - n; got != readAttempts {
		t.Errorf("%d attempts", got)
	}
	s.Intercept(func(gcs.Request) gcs.Fault { return gcs.Fault{Before: 403} })
	n = s.Count(gcs.OpRead)
	if _, err := b.Read(t.Context(), "x"); !errors.Is(err, ErrDenied) || s.Count(gcs.OpRead) != n+1 {
		t.Errorf("denied: %v after %d attempts", err, s.Count(gcs.OpRead)-n)
	}
	s.Intercept(func(gcs.Request) gcs.Fault { return gcs.Fault{Hang: true} })
	if _, err := b.With(Timeouts{Read: 10 * time.Millisecond}).Read(t.Context(), "x"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("hanging: %v", err)
	}
}

func TestPutOutcomes(t *testing.T) {
	classes := []error{ErrPrecondition, ErrThrottled, ErrUnknown, ErrDenied, ErrUnavailable, ErrAbsent}
	for _, c := range []struct {
		name    string
		fault   gcs.Fault
		want    error // nil: another error, certainly not written
		written bool
	}{
		{"precondition", gcs.Fault{Before: 412}, ErrPrecondition, false},
		{"throttled", gcs.Fault{Before: 429}, ErrThrottled, false},
		{"throttled but applied", gcs.Fault{After: 429}, ErrThrottled, true},
		{"unauthorized", gcs.Fault{Before: 401}, ErrDenied, false},
		{"forbidden", gcs.Fault{Before: 403}, ErrDenied, false},
		{"bad request", gcs.Fault{Before: 400}, nil, false},
		{"not built", gcs.Fault{Before: 501}, nil, false},
		{"request timeout", gcs.Fault{Before: 408}, ErrUnknown, false},
		{"server error", gcs.Fault{Before: 500}, ErrUnknown, false},
		{"server error after it was applied", gcs.Fault{After: 503}, ErrUnknown, true},
		{"answer lost", gcs.Fault{Drop: true}, ErrUnknown, true},
		{"request lost", gcs.Fault{DropBefore: true}, ErrUnknown, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, b, _ := open(t)
			faults(s, gcs.OpInsert, c.fault)
			_, err := b.Put(t.Context(), "x", []byte("v"), PutOptions{})
			if err == nil || s.Count(gcs.OpInsert) != 1 {
				t.Fatalf("error %v after %d requests", err, s.Count(gcs.OpInsert))
			}
			for _, class := range classes {
				if errors.Is(err, class) != errors.Is(c.want, class) {
					t.Errorf("%v: is %q: %v", err, class, errors.Is(err, class))
				}
			}
			if written := len(s.Objects("state", "")) == 1; written != c.written {
				t.Errorf("written: %v", written)
			}
		})
	}
	t.Run("hang", func(t *testing.T) {
		s, b, _ := open(t)
		faults(s, gcs.OpInsert, gcs.Fault{Hang: true})
		if _, err := b.With(Timeouts{Put: 500 * time.Millisecond}).Put(t.Context(), "x", nil, PutOptions{}); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		_, err := at(t, "http://127.0.0.1:1", "gs://state").Put(t.Context(), "x", nil, PutOptions{})
		if errors.Is(err, ErrUnknown) || !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
	t.Run("the bucket is missing", func(t *testing.T) {
		s, _, _ := open(t)
		if _, err := at(t, s.URL(), "gs://nowhere").Put(t.Context(), "x", nil, PutOptions{}); err == nil || errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		t.Setenv("STORAGE_EMULATOR_HOST", "")
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent")
		if _, err := NewClient(t.Context()); err == nil {
			t.Error("a client without credentials was made")
		}
	})
}

func TestCompareAndSet(t *testing.T) {
	isMine := func(o Object) bool { return string(o.Data) == "mine" }
	for _, c := range []struct {
		name   string
		before string // "" is absent
		faults []gcs.Fault
		// between is what another writer writes once the first request has been answered.
		between string
		want    error
		content string
		puts    int
	}{
		{"create", "", nil, "", nil, "mine", 1},
		{"replace", "old", nil, "", nil, "mine", 1},
		{"applied, answer lost", "old", []gcs.Fault{{Drop: true}}, "", nil, "mine", 1},
		{"applied, 503", "", []gcs.Fault{{After: 503}}, "", nil, "mine", 1},
		{"applied, 412 by somebody's retry", "old", []gcs.Fault{{After: 412}}, "", nil, "mine", 1},
		{"not applied, 503", "old", []gcs.Fault{{Before: 503}}, "", nil, "mine", 2},
		{"not applied, request lost, absent", "", []gcs.Fault{{DropBefore: true}}, "", nil, "mine", 2},
		{"false 412", "old", []gcs.Fault{{Before: 412}}, "", nil, "mine", 2},
		{"429 ten times", "old", slices.Repeat([]gcs.Fault{{Before: 429}}, 10), "", nil, "mine", 11},
		{"429 but applied", "old", []gcs.Fault{{After: 429}}, "", nil, "mine", 1},
		{"429 and a competitor", "old", []gcs.Fault{{Before: 429}}, "theirs", ErrLost, "theirs", 1},
		{"lost answer and a competitor on top", "old", []gcs.Fault{{Drop: true}}, "theirs", ErrLost, "theirs", 1},
		{"a competitor created it", "", []gcs.Fault{{Before: 503}}, "theirs", ErrLost, "theirs", 1},
		{"denied", "old", []gcs.Fault{{Before: 403}}, "", ErrDenied, "old", 1},
		{"denied after an unknown one", "old", []gcs.Fault{{Before: 503}, {Before: 403}}, "", ErrUnknown, "old", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, b, w := open(t)
			var before int64
			if c.before != "" {
				before = put(t, s, "poll/x", c.before)
			}
			faults(s, gcs.OpInsert, c.faults...)
			b.wait = func(ctx context.Context, d time.Duration) error {
				if c.between != "" {
					put(t, s, "poll/x", c.between)
				}
				return w.wait(ctx, d)
			}
			g, err := b.CompareAndSet(t.Context(), "x", []byte("mine"), PutOptions{IfGeneration: before}, isMine)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("error %v", err)
			}
			stored := s.Objects("state", "")
			if len(stored) != 1 || string(stored[0].Data) != c.content || err == nil && stored[0].Generation != g {
				t.Errorf("stored %+v, generation %d", stored, g)
			}
			if got := s.Count(gcs.OpInsert); got != c.puts {
				t.Errorf("%d writes", got)
			}
			if len(c.faults) > 0 && c.faults[0].Before == 429 && w.all[0] < time.Second {
				t.Errorf("waited %v after 429", w.all[0])
			}
		})
	}
	t.Run("412 and another writer", func(t *testing.T) {
		s, b, _ := open(t)
		old := put(t, s, "poll/x", "old")
		put(t, s, "poll/x", "theirs")
		if _, err := b.CompareAndSet(t.Context(), "x", []byte("mine"), PutOptions{IfGeneration: old}, isMine); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
	})
	t.Run("deleted by hand", func(t *testing.T) {
		s, b, _ := open(t)
		old := put(t, s, "poll/x", "old")
		if err := s.Delete("state", "poll/x"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.CompareAndSet(t.Context(), "x", []byte("mine"), PutOptions{IfGeneration: old}, isMine); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
	})
	t.Run("outcome open when the time is over", func(t *testing.T) {
		s, b, w := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.Intercept(func(r gcs.Request) gcs.Fault {
			if r.Op == gcs.OpRead && r.N == 3 {
				cancel()
			}
			return gcs.Fault{After: 503}
		})
		_, err := b.CompareAndSet(ctx, "x", []byte("mine"), PutOptions{}, isMine)
		if !errors.Is(err, ErrUnknown) || len(w.all) == 0 {
			t.Error(err)
		}
	})
	t.Run("a write that lands late", func(t *testing.T) {
		s, b, _ := open(t)
		old := put(t, s, "poll/x", "old")
		gate := make(chan struct{})
		faults(s, gcs.OpInsert, gcs.Fault{Until: gate})
		g, err := b.With(Timeouts{Put: 50 * time.Millisecond}).CompareAndSet(t.Context(), "x", []byte("mine"), PutOptions{IfGeneration: old}, isMine)
		if err != nil {
			t.Fatal(err)
		}
		close(gate)
		o, err := b.Read(t.Context(), "x")
		if err != nil || o.Generation != g || string(o.Data) != "mine" {
			t.Errorf("after the late one: %+v, %v", o, err)
		}
	})
}

func TestOneOfManyWins(t *testing.T) {
	s, b, _ := open(t)
	b.wait = sleep
	var generation int64
	for round := range 5 {
		var mu sync.Mutex
		var won []int64
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				text := fmt.Sprint(round, "/", i)
				g, err := b.CompareAndSet(t.Context(), "x", []byte(text), PutOptions{IfGeneration: generation}, func(o Object) bool { return string(o.Data) == text })
				if err == nil {
					mu.Lock()
					won = append(won, g)
					mu.Unlock()
				} else if !errors.Is(err, ErrLost) {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: winners %v", round, won)
		}
		generation = won[0]
	}
	if s.Objects("state", "")[0].Generation != generation {
		t.Error("the winner's generation is not the object's")
	}
}

func TestList(t *testing.T) {
	s, b, _ := open(t)
	var all []string
	for i := range 2345 {
		all = append(all, fmt.Sprintf("d/%05d", i))
		put(t, s, "poll/"+all[i], "")
	}
	put(t, s, "other/d/00000", "")
	faults(s, gcs.OpList, gcs.Fault{}, gcs.Fault{Before: 503}, gcs.Fault{}, gcs.Fault{Drop: true})
	var got []string
	for o, err := range b.List(t.Context(), "d/", "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o.Name)
	}
	if !slices.Equal(got, all) {
		t.Errorf("%d names of %d", len(got), len(all))
	}
	for o, err := range b.List(t.Context(), "d/", "d/02340") {
		if err != nil || o.Name != "d/02340" {
			t.Errorf("first from an offset: %v, %v", o.Name, err)
		}
		break
	}
	for _, err := range at(t, s.URL(), "gs://nowhere").List(t.Context(), "", "") {
		if !errors.Is(err, ErrNoBucket) {
			t.Errorf("missing bucket: %v", err)
		}
	}
}

func TestWriter(t *testing.T) {
	part := 256 << 10
	for _, size := range []int{0, 10, part, part + 1, 5*part + 77} {
		data := bytes.Repeat([]byte("z"), size)
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			s, b, _ := open(t)
			stream := func(end func(*Writer) (int64, error)) (int64, error) {
				w := b.NewWriter(t.Context(), "x", WriterOptions{PartSize: part, ContentType: "application/avro", Metadata: map[string]string{"k": "v"}})
				for rest := data; len(rest) > 0; {
					n := min(len(rest), 100_000)
					if _, err := w.Write(rest[:n]); err != nil {
						return 0, err
					}
					rest = rest[n:]
				}
				return end(w)
			}
			cancelled, _ := stream(func(w *Writer) (int64, error) { w.Cancel(); _, err := w.Commit(); return 0, err })
			if cancelled != 0 || len(s.Objects("state", "")) != 0 {
				t.Fatal("a cancelled object was published")
			}
			g, err := stream((*Writer).Commit)
			if err != nil {
				t.Fatal(err)
			}
			o := s.Objects("state", "")[0]
			if !bytes.Equal(o.Data, data) || o.Generation != g || o.Metadata["k"] != "v" || o.ContentType != "application/avro" {
				t.Errorf("stored %d bytes at %d: %v %s", len(o.Data), o.Generation, o.Metadata, o.ContentType)
			}
			if _, err := stream((*Writer).Commit); !errors.Is(err, ErrPrecondition) {
				t.Errorf("a second one: %v", err)
			}
		})
	}
}

func TestWriterWhoseLastAnswerIsLost(t *testing.T) {
	s, b, _ := open(t)
	last := 0
	s.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op != gcs.OpUpload {
			return gcs.Fault{}
		}
		if r.N == 2 {
			last++
			return gcs.Fault{Drop: true}
		}
		if r.N > 2 {
			return gcs.Fault{Before: 400}
		}
		return gcs.Fault{}
	})
	w := b.NewWriter(t.Context(), "x", WriterOptions{PartSize: 256 << 10})
	if _, err := w.Write(make([]byte, 300<<10)); err != nil {
		t.Fatal(err)
	}
	_, err := w.Commit()
	if !errors.Is(err, ErrUnknown) || len(s.Objects("state", "")) != 1 || last != 1 {
		t.Fatalf("error %v, %d objects", err, len(s.Objects("state", "")))
	}
}

func TestWriterRepeatsAPart(t *testing.T) {
	s, b, _ := open(t)
	faults(s, gcs.OpUpload, gcs.Fault{Before: 503}, gcs.Fault{After: 503}, gcs.Fault{Drop: true})
	w := b.NewWriter(t.Context(), "x", WriterOptions{PartSize: 256 << 10})
	data := bytes.Repeat([]byte("0123456789"), 60_000)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := s.Objects("state", ""); len(got) != 1 || !bytes.Equal(got[0].Data, data) {
		t.Fatal("the object is not what was written")
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{"", "state", "s3://x", "gs://", "gs:///x"} {
		if _, err := Open(&storage.Client{}, url); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}
