package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
)

// WriterOptions says how a streamed object is written.
type WriterOptions struct {
	// PartSize is the size in bytes of one part of the upload, rounded up to 256 KiB by the library. An object that
	// is smaller is sent in one request when it is committed.
	PartSize    int
	ContentType string
	// Metadata is custom metadata; it is sent with the first part.
	Metadata map[string]string
}

// Writer streams one new object, which becomes visible with Commit or never. It is for one goroutine; Cancel may come
// from another.
//
// Up to PartSize bytes are held in memory. Beyond that parts are sent as they fill, from a buffer of the same size,
// through a resumable upload.
type Writer struct {
	b       *Bucket
	name    string
	options WriterOptions
	ctx     context.Context
	cancel  context.CancelFunc

	held   bytes.Buffer
	stream *storage.Writer
	sum    uint32
	// again is set when the library repeats a request, so that what it says of the last one is not the whole truth.
	again atomic.Bool
	ended atomic.Bool
}

var errEnded = errors.New("writer has been committed or cancelled")

// NewWriter begins an object that must not exist when it is committed. ctx bounds the whole upload. Either Commit or
// Cancel must be called.
func (b *Bucket) NewWriter(ctx context.Context, name string, o WriterOptions) *Writer {
	ctx, cancel := context.WithCancel(ctx)
	return &Writer{b: b, name: name, options: o, ctx: ctx, cancel: cancel}
}

// Write adds content. After an error, Cancel is all that is left to do; nothing was published.
func (w *Writer) Write(p []byte) (int, error) {
	if w.ended.Load() {
		return 0, fmt.Errorf("writing %s: %w", w.b.URL(w.name), errEnded)
	}
	w.sum = crc32.Update(w.sum, castagnoli, p)
	if w.stream == nil && w.held.Len()+len(p) <= w.options.PartSize {
		return w.held.Write(p)
	}
	if err := w.startStream(); err != nil {
		return 0, fmt.Errorf("writing a part of %s: %w", w.b.URL(w.name), err)
	}
	n, err := w.stream.Write(p)
	if err != nil {
		return n, fmt.Errorf("writing a part of %s: %w", w.b.URL(w.name), notPublished(err))
	}
	return n, nil
}

// notPublished is the class of an error before the last part was sent: whatever happened, nothing is visible.
func notPublished(err error) error {
	err = classifyWrite(err, false)
	if errors.Is(err, ErrUnknown) || errors.Is(err, ErrThrottled) {
		return fmt.Errorf("%w: %v", ErrUnavailable, err) //nolint:errorlint // not to match ErrUnknown any more
	}
	return err
}

func (w *Writer) startStream() error {
	if w.stream != nil {
		return nil
	}
	repeat := func(err error) bool {
		yes := storage.ShouldRetry(err)
		if yes {
			w.again.Store(true)
		}
		return yes
	}
	o := w.b.handle.Object(w.b.prefix+w.name).If(conditions(0)).
		Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithErrorFunc(repeat))
	w.stream = o.NewWriter(w.ctx)
	w.stream.ChunkSize = w.options.PartSize
	w.stream.ChunkTransferTimeout = w.b.timeouts.Part
	w.stream.ChunkRetryDeadline = w.b.timeouts.Commit
	w.stream.ContentType, w.stream.Metadata = contentType(w.options.ContentType), w.options.Metadata
	held := w.held.Bytes()
	w.held = bytes.Buffer{}
	if _, err := w.stream.Write(held); err != nil {
		return notPublished(err)
	}
	return nil
}

// Commit makes the object visible and returns its generation. Errors as those of [Bucket.Put].
func (w *Writer) Commit() (generation int64, err error) {
	if w.ended.Swap(true) {
		return 0, fmt.Errorf("writing %s: %w", w.b.URL(w.name), errEnded)
	}
	defer w.cancel()
	if w.stream == nil {
		return w.b.Put(w.ctx, w.name, w.held.Bytes(), PutOptions{ContentType: w.options.ContentType, Metadata: w.options.Metadata})
	}
	if err := w.ctx.Err(); err != nil {
		return 0, fmt.Errorf("writing %s: %w: %w", w.b.URL(w.name), ErrUnavailable, err)
	}
	late := time.AfterFunc(w.b.timeouts.Commit, w.cancel)
	defer late.Stop()
	if err := w.stream.Close(); err != nil {
		return 0, fmt.Errorf("writing the last part of %s: %w", w.b.URL(w.name), classifyWrite(err, w.again.Load()))
	}
	at := w.stream.Attrs()
	if at.CRC32C != w.sum {
		return 0, fmt.Errorf("writing %s: %w: the object at generation %d has checksum %08x and not %08x; remove it by hand", w.b.URL(w.name), ErrUnknown, at.Generation, at.CRC32C, w.sum)
	}
	return at.Generation, nil
}

// Cancel ends the upload; nothing becomes visible. After Commit it does nothing.
func (w *Writer) Cancel() {
	w.ended.Store(true)
	// The library's own Close would publish what was written so far, so only the context is ended.
	w.cancel()
}
