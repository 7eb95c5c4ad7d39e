package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
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
// through a resumable upload, while the caller goes on writing: see [Writer.Held].
type Writer struct {
	b       *Bucket
	name    string
	options WriterOptions
	ctx     context.Context
	cancel  context.CancelFunc

	held   bytes.Buffer
	stream *storage.Writer
	sum    uint32
	// Once there is a stream: next is what is not queued yet, chunks are on their way to it in queue, and sent is closed
	// when all of them were sent, or failed was set.
	next   []byte
	chunk  int
	queue  chan []byte
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
	if err := w.startStream(); err != nil {
		return 0, fmt.Errorf("writing a part of %s: %w", w.b.URL(w.name), err)
	}
	if err := w.enqueue(p); err != nil {
		return 0, fmt.Errorf("writing a part of %s: %w", w.b.URL(w.name), err)
	}
	return len(p), nil
}

const (
	// chunks is how many chunks a stream holds besides its part: one that is written to, queued and one that is sent.
	chunks = queued + 2
	queued = 2
	// smallestChunk and largestChunk bound their size in bytes.
	smallestChunk, largestChunk = 64 << 10, 256 << 10
)

// Held is how many bytes a writer holds at most once its object is larger than a part.
func (o WriterOptions) Held() int { return o.PartSize + chunks*o.chunk() }

func (o WriterOptions) chunk() int { return min(max(o.PartSize/8, smallestChunk), largestChunk) }

// freeChunks are chunks that were sent, of largestChunk bytes.
var freeChunks sync.Pool

func (w *Writer) newChunk() []byte {
	if w.chunk == largestChunk {
		if b, ok := freeChunks.Get().(*[]byte); ok {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, w.chunk)
}

// enqueue copies what is written into chunks, and waits while more of them are on their way than may be.
func (w *Writer) enqueue(p []byte) error {
	for len(p) > 0 {
		if w.next == nil {
			w.next = w.newChunk()
		}
		n := min(cap(w.next)-len(w.next), len(p))
		w.next, p = append(w.next, p[:n]...), p[n:]
		if len(w.next) == cap(w.next) {
			if err := w.send(); err != nil {
				return err
			}
		}
	}
	return nil
}

// send queues the chunk that was written to.
func (w *Writer) send() error {
	select {
	case w.queue <- w.next:
		w.next = nil
		return nil
	case <-w.sent:
		return w.failed
	}
}

// sendAll sends chunks until there are no more, or one cannot be sent.
func (w *Writer) sendAll() {
	defer close(w.sent)
	for {
		select {
		case b, more := <-w.queue:
			if !more {
				return
			}
			if _, err := w.stream.Write(b); err != nil {
				w.failed = notPublished(err)
				return
			}
			if cap(b) == largestChunk {
				freeChunks.Put(&b)
			}
		case <-w.ctx.Done():
			w.failed = notPublished(w.ctx.Err())
			return
		}
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
	w.chunk, w.queue, w.sent = w.options.chunk(), make(chan []byte, queued), make(chan struct{})
	go w.sendAll()
	held := w.held.Bytes()
	w.held = bytes.Buffer{}
	return w.enqueue(held)
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
	var err error
	if len(w.next) > 0 {
		err = w.send()
	}
	if err == nil {
		close(w.queue)
		<-w.sent
		err = w.failed
	}
	return err
}

// Cancel ends the upload; nothing becomes visible. After Commit it does nothing.
func (w *Writer) Cancel() {
	w.ended.Store(true)
	// The library's own Close would publish what was written so far, so only the context is ended.
	w.cancel()
}
