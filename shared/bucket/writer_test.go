package bucket

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/riftline/riftline/shared/local/gcs"
)

// TestWriterSendsWhileItIsWrittenTo: what fits into its chunks is taken while a part is on its way, and all of it arrives.
func TestWriterSendsWhileItIsWrittenTo(t *testing.T) {
	t.Parallel()
	s, b, _ := open(t)
	arrived, goOn := make(chan struct{}, 10), make(chan struct{})
	s.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op != gcs.OpUpload {
			return gcs.Fault{}
		}
		arrived <- struct{}{}
		return gcs.Fault{Until: goOn}
	})
	const part = 512 << 10
	o := WriterOptions{PartSize: part}
	w := b.NewWriter(t.Context(), "x", o)
	var all []byte
	write := func(n int) {
		p := bytes.Repeat([]byte{byte(len(all) >> 10)}, n)
		all = append(all, p...)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	write(part)
	write(1)
	<-arrived // the first part is sent, and not answered
	write(o.waiting() - 1)
	close(goOn)
	write(3*part + 7)
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := s.Objects("state", "poll/x"); len(got) != 1 || !bytes.Equal(got[0].Data, all) {
		t.Fatalf("%d objects", len(got))
	}
}

// TestWriterTakesMemory: what is taken is released once it is sent, not before, and each piece once.
func TestWriterTakesMemory(t *testing.T) {
	t.Parallel()
	s, b, _ := open(t)
	w := b.NewWriter(t.Context(), "x", WriterOptions{PartSize: 256 << 10})
	var all []byte
	var mu sync.Mutex
	released := map[int]int{}
	if _, err := w.Write([]byte("before")); err != nil {
		t.Fatal(err)
	}
	all = append(all, "before"...)
	for i := range 60 {
		piece := bytes.Repeat([]byte{byte(i + 1)}, 1+i*2000)
		all = append(all, piece...)
		if err := w.Take(piece, func() {
			mu.Lock()
			defer mu.Unlock()
			released[i]++
			clear(piece) // as another use of the memory would
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := s.Objects("state", "poll/x"); len(got) != 1 || !bytes.Equal(got[0].Data, all) {
		t.Fatalf("%d objects, or another content", len(got))
	}
	for i := range 60 {
		if released[i] != 1 {
			t.Errorf("piece %d was released %d times", i, released[i])
		}
	}
	if err := w.Take([]byte("late"), nil); err == nil {
		t.Error("a piece is taken after the commit")
	}
}

// TestWriterIsCancelledWhileItSends: nothing is seen and nothing goes on.
func TestWriterIsCancelledWhileItSends(t *testing.T) {
	t.Parallel()
	s, b, _ := open(t)
	arrived := make(chan struct{}, 10)
	s.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op != gcs.OpUpload {
			return gcs.Fault{}
		}
		arrived <- struct{}{}
		return gcs.Fault{Hang: true}
	})
	w := b.NewWriter(t.Context(), "x", WriterOptions{PartSize: 256 << 10})
	if _, err := w.Write(make([]byte, 400<<10)); err != nil {
		t.Fatal(err)
	}
	<-arrived
	w.Cancel()
	<-w.sent
	if _, err := w.Write(make([]byte, 1)); err == nil {
		t.Error("it can be written to")
	}
	if _, err := w.Commit(); err == nil {
		t.Error("it can be committed")
	}
	if n := len(s.Objects("state", "")); n != 0 {
		t.Fatalf("%d objects", n)
	}
}

// TestWriterFailsInTheMiddle: a part that is refused makes a later write or the commit fail, and nothing is published.
func TestWriterFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]int{"then a commit": 0, "then more": 4 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b, _ := open(t)
			s.Intercept(func(r gcs.Request) gcs.Fault {
				if r.Op == gcs.OpUpload {
					return gcs.Fault{Before: 403}
				}
				return gcs.Fault{}
			})
			w := b.NewWriter(t.Context(), "x", WriterOptions{PartSize: 256 << 10})
			_, err := w.Write(make([]byte, 600<<10+more))
			if err == nil {
				_, err = w.Commit()
			}
			if !errors.Is(err, ErrDenied) {
				t.Errorf("%v", err)
			}
			w.Cancel()
			if n := len(s.Objects("state", "")); n != 0 {
				t.Fatalf("%d objects", n)
			}
		})
	}
}
