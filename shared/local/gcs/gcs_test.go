package gcs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/riftline/riftline/shared/local/gcs"
)

const bucket = "archive"

// kinds runs a test against a server in memory and one on a folder.
func kinds(t *testing.T, test func(t *testing.T, s *gcs.Server, b *storage.BucketHandle)) {
	t.Helper()
	for kind, dir := range map[string]bool{"memory": false, "folder": true} {
		t.Run(kind, func(t *testing.T) {
			o := gcs.Options{}
			if dir {
				o.Dir = t.TempDir()
			}
			s := start(t, o)
			if err := s.CreateBucket(bucket); err != nil {
				t.Fatal(err)
			}
			test(t, s, client(t, s).Bucket(bucket))
		})
	}
}

func start(t *testing.T, o gcs.Options) *gcs.Server {
	t.Helper()
	s, err := gcs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func client(t *testing.T, s *gcs.Server) *storage.Client {
	t.Helper()
	c, err := storage.NewClient(t.Context(), storage.WithJSONReads(), option.WithEndpoint(s.URL()+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	c.SetRetry(storage.WithPolicy(storage.RetryNever))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// write uploads in chunks of chunk bytes, in one request when chunk is 0.
func write(ctx context.Context, o *storage.ObjectHandle, data []byte, chunk int, set func(*storage.Writer)) (int64, error) {
	w := o.NewWriter(ctx)
	w.ChunkSize = chunk
	if set != nil {
		set(w)
	}
	if _, err := w.Write(data); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	return w.Attrs().Generation, nil
}

func read(t *testing.T, o *storage.ObjectHandle) string {
	t.Helper()
	r, err := o.NewReader(t.Context())
	if err != nil {
		t.Fatalf("reading %s: %v", o.ObjectName(), err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func code(err error) int {
	var api *googleapi.Error
	if errors.As(err, &api) {
		return api.Code
	}
	return 0
}

func TestPreconditions(t *testing.T) {
	kinds(t, func(t *testing.T, _ *gcs.Server, b *storage.BucketHandle) {
		ctx := t.Context()
		big := bytes.Repeat([]byte("0123456789abcdef"), 50_000) // 800 kB, four chunks of 256 KiB
		for _, chunk := range []int{0, 256 << 10, 8 << 20} {
			t.Run(fmt.Sprintf("chunk=%d", chunk), func(t *testing.T) {
				o := b.Object(fmt.Sprintf("a/%d", chunk))
				if _, err := write(ctx, o.If(storage.Conditions{GenerationMatch: 7}), big, chunk, nil); code(err) != http.StatusPreconditionFailed {
					t.Fatalf("replacing an object that is not there: %v", err)
				}
				g, err := write(ctx, o.If(storage.Conditions{DoesNotExist: true}), big, chunk, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := write(ctx, o.If(storage.Conditions{DoesNotExist: true}), big, chunk, nil); code(err) != http.StatusPreconditionFailed {
					t.Fatalf("creating an object that is there: %v", err)
				}
				if _, err := write(ctx, o.If(storage.Conditions{GenerationMatch: g + 1}), big, chunk, nil); code(err) != http.StatusPreconditionFailed {
					t.Fatalf("replacing another generation: %v", err)
				}
				if _, err := write(ctx, o.If(storage.Conditions{MetagenerationMatch: 2}), big, chunk, nil); code(err) != http.StatusPreconditionFailed {
					t.Fatalf("another metageneration: %v", err)
				}
				next, err := write(ctx, o.If(storage.Conditions{GenerationMatch: g}), []byte("new"), chunk, nil)
				if err != nil || next <= g {
					t.Fatalf("replacing generation %d: %d, %v", g, next, err)
				}
				if _, err := o.If(storage.Conditions{GenerationMatch: g}).NewReader(ctx); code(err) != http.StatusPreconditionFailed {
					t.Fatalf("reading with the old generation as condition: %v", err)
				}
				if _, err := o.If(storage.Conditions{GenerationNotMatch: next}).Attrs(ctx); code(err) != http.StatusNotModified {
					t.Fatalf("attributes unless the generation is the present one: %v", err)
				}
				if _, err := o.Generation(g).NewReader(ctx); !errors.Is(err, storage.ErrObjectNotExist) {
					t.Fatalf("reading a generation that is gone: %v", err)
				}
				if err := o.If(storage.Conditions{GenerationMatch: g}).Delete(ctx); code(err) != http.StatusPreconditionFailed {
					t.Fatalf("deleting the old generation: %v", err)
				}
				if got := read(t, o); got != "new" {
					t.Fatalf("content %q", got)
				}
				if err := o.If(storage.Conditions{GenerationMatch: next}).Delete(ctx); err != nil {
					t.Fatal(err)
				}
				if _, err := o.Attrs(ctx); !errors.Is(err, storage.ErrObjectNotExist) {
					t.Fatalf("after the deletion: %v", err)
				}
			})
		}
	})
}

func TestResumableJudgesPreconditionsAtTheEnd(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		o := b.Object("late")
		w := o.If(storage.Conditions{DoesNotExist: true}).NewWriter(t.Context())
		w.ChunkSize = 256 << 10
		if _, err := w.Write(make([]byte, 600<<10)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(gcs.Stored{Bucket: bucket, Name: "late", Data: []byte("first")}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); code(err) != http.StatusPreconditionFailed {
			t.Fatalf("ending an upload of an object that came meanwhile: %v", err)
		}
		if got := read(t, o); got != "first" {
			t.Fatalf("content of %d bytes", len(got))
		}
	})
}

func TestChecksumsAreRefused(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		data := bytes.Repeat([]byte("x"), 700<<10)
		for _, chunk := range []int{0, 256 << 10} {
			for sum, set := range map[string]func(*storage.Writer){
				"crc32c": func(w *storage.Writer) { w.SendCRC32C, w.CRC32C = true, 1 },
				"md5":    func(w *storage.Writer) { w.MD5 = make([]byte, 16) },
			} {
				if _, err := write(t.Context(), b.Object("bad"), data, chunk, set); code(err) != http.StatusBadRequest {
					t.Errorf("wrong %s in chunks of %d: %v", sum, chunk, err)
				}
			}
		}
		if left := s.Objects(bucket, ""); len(left) != 0 {
			t.Fatalf("%d objects left", len(left))
		}
	})
}

func TestCancelledUploadLeavesNothing(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		ctx, cancel := context.WithCancel(t.Context())
		w := b.Object("half").NewWriter(ctx)
		w.ChunkSize = 256 << 10
		if _, err := w.Write(make([]byte, 600<<10)); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := w.Close(); err == nil {
			t.Fatal("closing a cancelled upload succeeded")
		}
		if left := s.Objects(bucket, ""); len(left) != 0 {
			t.Fatalf("%d objects left", len(left))
		}
	})
}

func TestOneWriterWins(t *testing.T) {
	kinds(t, func(t *testing.T, _ *gcs.Server, b *storage.BucketHandle) {
		o := b.Object("counter")
		var generation int64
		for round := range 20 {
			cond := storage.Conditions{GenerationMatch: generation}
			if generation == 0 {
				cond = storage.Conditions{DoesNotExist: true}
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			var won []int64
			for i := range 8 {
				wg.Go(func() {
					g, err := write(t.Context(), o.If(cond), []byte(fmt.Sprint(round, i)), 0, nil)
					if err != nil && code(err) != http.StatusPreconditionFailed {
						t.Errorf("round %d: %v", round, err)
					}
					if err == nil {
						mu.Lock()
						won = append(won, g)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if len(won) != 1 || won[0] <= generation {
				t.Fatalf("round %d after generation %d: winners %v", round, generation, won)
			}
			generation = won[0]
		}
	})
}

func TestListing(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		var all []string
		for i := range 25 {
			name := fmt.Sprintf("topics/t/partition=%d/t+%d+%010d.avro", i%3, i%3, i)
			all = append(all, name)
			if _, err := s.Put(gcs.Stored{Bucket: bucket, Name: name, Data: []byte(name)}); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(all)
		list := func(q *storage.Query, page int) (names, prefixes []string) {
			it := b.Objects(t.Context(), q)
			it.PageInfo().MaxSize = page
			for {
				at, err := it.Next()
				if errors.Is(err, iterator.Done) {
					return names, prefixes
				}
				if err != nil {
					t.Fatal(err)
				}
				if at.Prefix != "" {
					prefixes = append(prefixes, at.Prefix)
				} else {
					names = append(names, at.Name)
				}
			}
		}
		for _, page := range []int{0, 1, 4, 25} {
			if names, _ := list(nil, page); !slices.Equal(names, all) {
				t.Errorf("pages of %d: %d names", page, len(names))
			}
			_, prefixes := list(&storage.Query{Prefix: "topics/t/", Delimiter: "/"}, page)
			if want := []string{"topics/t/partition=0/", "topics/t/partition=1/", "topics/t/partition=2/"}; !slices.Equal(prefixes, want) {
				t.Errorf("pages of %d: prefixes %v", page, prefixes)
			}
			names, _ := list(&storage.Query{Prefix: "topics/t/partition=1/", StartOffset: all[10], EndOffset: all[14]}, page)
			if !slices.Equal(names, all[10:14]) {
				t.Errorf("pages of %d: from an offset %v", page, names)
			}
		}
		if _, err := client(t, s).Bucket("nowhere").Objects(t.Context(), nil).Next(); !errors.Is(err, storage.ErrBucketNotExist) {
			t.Errorf("listing a missing bucket: %v", err)
		}
	})
}

func TestContentAndAttributes(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		ctx := t.Context()
		for _, name := range []string{"a%2Fb", "a b+c=d/é/x", "q?x=1&y#z", "plain"} {
			o := b.Object(name)
			if _, err := write(ctx, o, []byte(name), 0, func(w *storage.Writer) {
				w.Metadata = map[string]string{"riftline-plan": "7"}
				w.ContentType = "application/avro"
			}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := read(t, o); got != name {
				t.Errorf("content of %q: %q", name, got)
			}
			at, err := o.Attrs(ctx)
			if err != nil || at.Name != name || at.Metadata["riftline-plan"] != "7" || at.ContentType != "application/avro" || at.Size != int64(len(name)) {
				t.Errorf("attributes of %q: %+v, %v", name, at, err)
			}
		}
		r, err := b.Object("plain").NewRangeReader(ctx, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		if part, err := io.ReadAll(r); err != nil || string(part) != "lai" {
			t.Errorf("range: %q, %v", part, err)
		}
		if got := len(s.Objects(bucket, "")); got != 4 {
			t.Errorf("%d objects", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		ctx := t.Context()
		if _, err := write(ctx, b.Object("m"), nil, 0, func(w *storage.Writer) {
			w.Metadata = map[string]string{"k": strings.Repeat("v", 9000)}
		}); code(err) != http.StatusBadRequest {
			t.Errorf("9 kB of metadata: %v", err)
		}
		if _, err := write(ctx, b.Object("m"), nil, 0, func(w *storage.Writer) { w.TemporaryHold = true }); code(err) != http.StatusNotImplemented {
			t.Errorf("a property that is not known: %v", err)
		}
		if _, err := b.Object("m").Update(ctx, storage.ObjectAttrsToUpdate{ContentType: "x"}); code(err) != http.StatusNotImplemented {
			t.Errorf("updating metadata: %v", err)
		}
		if _, err := b.Object("m").CopierFrom(b.Object("n")).Run(ctx); code(err) != http.StatusNotImplemented {
			t.Errorf("copying: %v", err)
		}
		if _, err := b.Objects(ctx, &storage.Query{Versions: true}).Next(); code(err) != http.StatusNotImplemented {
			t.Errorf("listing versions: %v", err)
		}
		if _, err := write(ctx, client(t, s).Bucket("nowhere").Object("m"), nil, 0, nil); code(err) != http.StatusNotFound {
			t.Errorf("writing to a missing bucket: %v", err)
		}
		if err := client(t, s).Bucket(bucket).Create(ctx, "p", nil); code(err) != http.StatusConflict {
			t.Errorf("creating a bucket again: %v", err)
		}
		if err := client(t, s).Bucket("second").Create(ctx, "p", nil); err != nil {
			t.Errorf("creating a bucket: %v", err)
		}
		if _, err := client(t, s).Bucket("second").Attrs(ctx); err != nil {
			t.Errorf("a bucket's attributes: %v", err)
		}
	})
}

func TestNamesThatAreNoFiles(t *testing.T) {
	s := start(t, gcs.Options{Dir: t.TempDir()})
	b := client(t, s).Bucket(bucket)
	if err := s.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x", "a/../../x", "/abs", "a//b", "a/", "./a", `a\b`, "a\x00b"} {
		if _, err := write(t.Context(), b.Object(name), nil, 0, nil); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if _, err := write(t.Context(), b.Object("a"), nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := write(t.Context(), b.Object("a/b"), nil, 0, nil); err == nil || !strings.Contains(err.Error(), "folder cannot hold") {
		t.Errorf("below an object: %v", err)
	}
	if _, err := write(t.Context(), b.Object("c/d"), nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := write(t.Context(), b.Object("c"), nil, 0, nil); err == nil || !strings.Contains(err.Error(), "folder cannot hold") {
		t.Errorf("above an object: %v", err)
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	fixed := func() time.Time { return time.Unix(1_700_000_000, 0) }
	s := start(t, gcs.Options{Dir: dir, Now: fixed})
	if err := s.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	b := client(t, s).Bucket(bucket)
	g, err := write(t.Context(), b.Object("kept/x"), []byte("1"), 0, func(w *storage.Writer) { w.Metadata = map[string]string{"a": "b"} })
	if err != nil {
		t.Fatal(err)
	}
	gone, err := write(t.Context(), b.Object("gone"), []byte("2"), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Object("gone").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if got, err := os.ReadFile(filepath.Join(dir, bucket, "kept", "x")); err != nil || string(got) != "1" {
		t.Fatalf("the plain file: %q, %v", got, err)
	}
	put := filepath.Join(dir, bucket, "put-by-hand")
	if err := os.WriteFile(put, []byte("3"), 0o600); err != nil {
		t.Fatal(err)
	}

	s = start(t, gcs.Options{Dir: dir, Now: fixed})
	b = client(t, s).Bucket(bucket)
	at, err := b.Object("kept/x").Attrs(t.Context())
	if err != nil || at.Generation != g || at.Metadata["a"] != "b" {
		t.Fatalf("after the restart: %+v, %v", at, err)
	}
	again, err := write(t.Context(), b.Object("gone"), []byte("2"), 0, nil)
	if err != nil || again <= gone {
		t.Fatalf("generation %d after %d: %v", again, gone, err)
	}
	if got := read(t, b.Object("put-by-hand")); got != "3" {
		t.Fatalf("content of the file put there by hand: %q", got)
	}
}

func TestRestartAfterAKill(t *testing.T) {
	// What a kill can leave, for a new object and for a replaced one.
	for _, at := range []string{"data only", "decided", "data moved", "half a description"} {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, gcs.Options{Dir: dir})
			old, err := s.Put(gcs.Stored{Bucket: bucket, Name: "x", Data: []byte("old")})
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
			side := filepath.Join(dir, ".riftline-gcs")
			generation := old.Generation + 1
			file := func(name, text string) {
				if err := os.WriteFile(filepath.Join(side, "pending", fmt.Sprint(generation)+name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			change := fmt.Sprintf(`{"bucket":%q,"name":"x","size":3,"generation":%d,"crc32c":%d,"storageClass":"STANDARD"}`,
				bucket, generation, crc32.Checksum([]byte("new"), crc32.MakeTable(crc32.Castagnoli)))
			want, wantGeneration := "new", generation
			switch at {
			case "data only":
				file(".data", "new")
				want, wantGeneration = "old", old.Generation
			case "half a description":
				file(".data", "new")
				file(".tmp", change[:20])
				want, wantGeneration = "old", old.Generation
			case "decided":
				file(".data", "new")
				file(".json", change)
			case "data moved":
				file(".json", change)
				if err := os.WriteFile(filepath.Join(dir, bucket, "x"), []byte("new"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s = start(t, gcs.Options{Dir: dir})
			got := s.Objects(bucket, "")
			if len(got) != 1 || string(got[0].Data) != want || got[0].Generation != wantGeneration {
				t.Fatalf("objects %+v, want %q at %d", got, want, wantGeneration)
			}
			if left, err := os.ReadDir(filepath.Join(side, "pending")); err != nil || len(left) != 0 {
				t.Fatalf("pending: %v, %v", left, err)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		ctx := t.Context()
		there := func(name string) bool { return len(s.Objects(bucket, name)) == 1 }
		once := func(op gcs.Op, f gcs.Fault) {
			s.Intercept(func(r gcs.Request) gcs.Fault {
				if r.Op != op {
					return gcs.Fault{}
				}
				s.Intercept(nil)
				return f
			})
		}
		once(gcs.OpInsert, gcs.Fault{Before: 503})
		if _, err := write(ctx, b.Object("before"), nil, 0, nil); code(err) != 503 || there("before") {
			t.Errorf("503 before: %v, there %v", err, there("before"))
		}
		once(gcs.OpInsert, gcs.Fault{After: 503})
		if _, err := write(ctx, b.Object("after"), nil, 0, nil); code(err) != 503 || !there("after") {
			t.Errorf("503 after: %v, there %v", err, there("after"))
		}
		once(gcs.OpInsert, gcs.Fault{Drop: true})
		if _, err := write(ctx, b.Object("dropped"), nil, 0, nil); err == nil || code(err) != 0 || !there("dropped") {
			t.Errorf("dropped: %v, there %v", err, there("dropped"))
		}
		once(gcs.OpInsert, gcs.Fault{DropBefore: true})
		if _, err := write(ctx, b.Object("lost"), nil, 0, nil); err == nil || there("lost") {
			t.Errorf("dropped before: %v, there %v", err, there("lost"))
		}
		once(gcs.OpInsert, gcs.Fault{Before: 429})
		if _, err := write(ctx, b.Object("before"), nil, 0, nil); code(err) != 429 {
			t.Errorf("429: %v", err)
		}
		waiting, cancel := context.WithCancel(ctx)
		once(gcs.OpInsert, gcs.Fault{Hang: true})
		n := s.Count(gcs.OpInsert)
		done := make(chan error, 1)
		go func() { _, err := write(waiting, b.Object("hung"), nil, 0, nil); done <- err }()
		until(t, func() bool { return s.Count(gcs.OpInsert) > n })
		cancel()
		if err := <-done; err == nil || there("hung") {
			t.Errorf("hung: %v, there %v", err, there("hung"))
		}
	})
}

func TestAWriteThatLandsLate(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		ctx, cancel := context.WithCancel(t.Context())
		gate := make(chan struct{})
		s.Intercept(func(r gcs.Request) gcs.Fault { return gcs.Fault{Until: gate} })
		done := make(chan error, 1)
		go func() { _, err := write(ctx, b.Object("late"), []byte("x"), 0, nil); done <- err }()
		until(t, func() bool { return s.Count(gcs.OpInsert) == 1 })
		cancel()
		if err := <-done; err == nil {
			t.Fatal("the cancelled write succeeded")
		}
		if len(s.Objects(bucket, "")) != 0 {
			t.Fatal("the write was applied too early")
		}
		close(gate)
		until(t, func() bool { return len(s.Objects(bucket, "")) == 1 })
	})
}

func TestWriteRate(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var mu sync.Mutex
	s := start(t, gcs.Options{WritesPerSecond: 1, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	if err := s.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	o := client(t, s).Bucket(bucket).Object("x")
	if _, err := write(t.Context(), o, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := write(t.Context(), o, nil, 0, nil); code(err) != http.StatusTooManyRequests {
		t.Fatalf("second write within a second: %v", err)
	}
	mu.Lock()
	now = now.Add(time.Second)
	mu.Unlock()
	if _, err := write(t.Context(), o, nil, 0, nil); err != nil {
		t.Fatalf("a second later: %v", err)
	}
}

func TestChunksAreNotTakenTwice(t *testing.T) {
	kinds(t, func(t *testing.T, s *gcs.Server, b *storage.BucketHandle) {
		data := bytes.Repeat([]byte("abcdefgh"), 100_000)
		lost := false
		s.Intercept(func(r gcs.Request) gcs.Fault {
			if r.Op == gcs.OpUpload && (r.N == 2 || r.N == 5) {
				lost = true
				return gcs.Fault{After: 503} // the chunk has come, the client sends it again
			}
			return gcs.Fault{}
		})
		o := b.Object("x").If(storage.Conditions{DoesNotExist: true}).Retryer(storage.WithPolicy(storage.RetryAlways))
		if _, err := write(t.Context(), o, data, 256<<10, nil); err != nil {
			t.Fatal(err)
		}
		if got := read(t, b.Object("x")); !lost || got != string(data) {
			t.Fatalf("lost %v, %d bytes of %d", lost, len(got), len(data))
		}
	})
}

// until waits for a condition, generously.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
