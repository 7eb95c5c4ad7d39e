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
// through a resumable upload, while the caller goes on writing: see [WriterOptions.Held].
type Writer struct {
	b       *Bucket
	name    string
	options WriterOptions
	ctx     context.Context
	cancel  context.CancelFunc

	held   bytes.Buffer
	stream *storage.Writer
	sum    uint32
	// queue are the chunks on their way to the stream, once there is one; sent is closed when all of them were sent, or
	// failed was set.
	queue  *chunkQueue
	sent   chan struct{}
	failed error
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
	// The caller's memory is its own again.
	if err := w.enqueue(chunk{bytes: bytes.Clone(p)}); err != nil {
		return 0, fmt.Errorf("writing a part of %s: %w", w.b.URL(w.name), err)
	}
	return len(p), nil
}

// Take adds content as Write does, without a copy: release, unless nil, is called when the memory is not read any more.
// An object of which anything was taken is sent in parts, however small it is.
func (w *Writer) Take(p []byte, release func()) error {
	if w.ended.Load() {
		return fmt.Errorf("writing %s: %w", w.b.URL(w.name), errEnded)
	}
	w.sum = crc32.Update(w.sum, castagnoli, p)
	if err := w.enqueue(chunk{bytes: p, release: release}); err != nil {
		return fmt.Errorf("writing a part of %s: %w", w.b.URL(w.name), err)
	}
	return nil
}

// Held is how many bytes a writer holds at most once its object is larger than a part, if no chunk is larger than a part:
// a part that is sent, and as much that waits, so that a caller can go on while a part is sent.
func (o WriterOptions) Held() int { return o.PartSize + o.waiting() }

func (o WriterOptions) waiting() int { return o.PartSize }

// enqueue waits while more chunks are on their way than may be.
func (w *Writer) enqueue(c chunk) error {
	if err := w.startStream(); err != nil {
		return err
	}
	if w.queue.put(c) {
		return nil
	}
	<-w.sent
	return w.failed
}

// sendAll sends chunks until there are no more, or one cannot be sent.
func (w *Writer) sendAll() {
	defer close(w.sent)
	defer w.queue.end()
	for {
		c, more := w.queue.get()
		switch {
		case w.ctx.Err() != nil:
			w.failed = notPublished(w.ctx.Err())
			return
		case !more:
			return
		}
		if _, err := w.stream.Write(c.bytes); err != nil {
			w.failed = notPublished(err)
			return
		}
		if c.release != nil {
			c.release()
		}
		w.queue.done(c)
	}
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
	w.queue, w.sent = newChunkQueue(w.options.waiting()), make(chan struct{})
	// A sender that waits for chunks is to see the end of the context.
	stop := context.AfterFunc(w.ctx, w.queue.end)
	go func() {
		defer stop()
		w.sendAll()
	}()
	if held := w.held.Bytes(); len(held) > 0 {
		w.held = bytes.Buffer{}
		return w.enqueue(chunk{bytes: held})
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
	if err := w.finish(); err != nil {
		return 0, fmt.Errorf("writing a part of %s: %w", w.b.URL(w.name), err)
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

// finish waits until all chunks are sent.
func (w *Writer) finish() error {
	w.queue.end()
	<-w.sent
	return w.failed
}

// Cancel ends the upload; nothing becomes visible. After Commit it does nothing.
func (w *Writer) Cancel() {
	w.ended.Store(true)
	// The library's own Close would publish what was written so far, so only the context is ended.
	w.cancel()
}
