package bucket

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/riftline/riftline/shared/local/gcs"
)

func TestNewReader(t *testing.T) {
	server, b, _ := open(t)
	content := bytes.Repeat([]byte("riftline"), 100_000)
	if _, err := server.Put(gcs.Stored{Bucket: "state", Name: "poll/large", Data: content}); err != nil {
		t.Fatal(err)
	}
	read := func() ([]byte, error) {
		r, err := b.NewReader(t.Context(), "large")
		if err != nil {
			return nil, err
		}
		defer func() { _ = r.Close() }()
		return io.ReadAll(r)
	}
	if got, err := read(); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	var failed atomic.Bool
	server.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op == gcs.OpRead && !failed.Swap(true) {
			return gcs.Fault{Before: http.StatusServiceUnavailable}
		}
		return gcs.Fault{}
	})
	if got, err := read(); err != nil || !bytes.Equal(got, content) || !failed.Load() {
		t.Fatalf("after a 503: %d bytes, %v", len(got), err)
	}
	server.Intercept(func(gcs.Request) gcs.Fault { return gcs.Fault{Before: http.StatusForbidden} })
	if _, err := read(); !errors.Is(err, ErrDenied) {
		t.Fatalf("refused: %v", err)
	}
	server.Intercept(nil)
	if _, err := b.NewReader(t.Context(), "none"); !errors.Is(err, ErrAbsent) {
		t.Fatalf("absent: %v", err)
	}
}
