// Package bucket reads and writes Cloud Storage objects with outcomes that a protocol can rest on.
//
// Every write is conditional on a generation, and every failed write is told apart: certainly not written, or unknown.
// Nothing is called absent unless two independent requests say so.
package bucket

import (
	"context"
	"errors"
	"iter"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/option"
)

// The classes of failure; see the methods for which of them each returns.
var (
	// ErrAbsent says that the object is not there: a read and a listing of its exact name agree.
	ErrAbsent = errors.New("object is absent")
	// ErrPrecondition says that the object's generation is not the expected one (412). After a retry below this
	// package (a proxy, say) it may still be the caller's own write that changed it: read before believing it.
	ErrPrecondition = errors.New("object has another generation")
	// ErrThrottled says that the object was written too often (429). Whether this write was applied is unknown.
	ErrThrottled = errors.New("too many writes to this object")
	// ErrUnknown says that a write may or may not have been, or yet be, applied (timeout, reset, 5xx).
	ErrUnknown = errors.New("outcome of the write is unknown")
	// ErrDenied says that credentials are missing or do not suffice (401, 403).
	ErrDenied = errors.New("access denied")
	// ErrLost says that another writer changed the object first.
	ErrLost = errors.New("another writer changed the object")
)

var errNotYet = errors.New("not built yet")

// Bucket is a bucket, or the part of it below a prefix.
type Bucket struct {
	handle *storage.BucketHandle
	name   string
	prefix string
}

// Object is an object, with or without its content.
type Object struct {
	Name       string
	Data       []byte
	Generation int64
	Size       int64
	CRC32C     uint32
	Metadata   map[string]string
	Created    time.Time
}

// PutOptions says when and how an object is written.
type PutOptions struct {
	// IfGeneration is the generation that is replaced; 0 means that the object must not exist.
	IfGeneration    int64
	ContentType     string
	ContentEncoding string
	Metadata        map[string]string
}

// WriterOptions says how a streamed object is written.
type WriterOptions struct {
	// PartSize is the size in bytes of one part of the upload; less than that is sent in one request.
	PartSize    int
	ContentType string
	Metadata    map[string]string
}

// NewClient makes a storage client. With STORAGE_EMULATOR_HOST set it uses no credentials.
func NewClient(ctx context.Context, opts ...option.ClientOption) (*storage.Client, error) {
	return nil, errNotYet
}

// Open names the bucket of a URL gs://bucket[/prefix]. Nothing is asked of the server.
func Open(c *storage.Client, url string) (*Bucket, error) { return nil, errNotYet }

// URL is the gs:// URL of the object of that name.
func (b *Bucket) URL(name string) string { return "" }

// Read returns an object and its content. ErrAbsent only when it is proven; ErrDenied.
func (b *Bucket) Read(ctx context.Context, name string) (Object, error) { return Object{}, errNotYet }

// Stat returns an object without its content. ErrAbsent only when it is proven; ErrDenied.
func (b *Bucket) Stat(ctx context.Context, name string) (Object, error) { return Object{}, errNotYet }

// List returns the objects whose names start with prefix and are not less than from, in order of their names.
func (b *Bucket) List(ctx context.Context, prefix, from string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { yield(Object{}, errNotYet) }
}

// Put writes an object in one request. ErrPrecondition, ErrThrottled, ErrUnknown, ErrDenied; every other error means
// that the object was not written.
func (b *Bucket) Put(ctx context.Context, name string, data []byte, o PutOptions) (generation int64, err error) {
	return 0, errNotYet
}

// CompareAndSet writes an object until the outcome is known: see the package's text. mine tells whether an object
// read back is what this call wrote. ErrLost when another writer was first, ErrUnknown when ctx ended with the
// outcome open.
func (b *Bucket) CompareAndSet(ctx context.Context, name string, data []byte, o PutOptions, mine func(Object) bool) (generation int64, err error) {
	return 0, errNotYet
}

// Writer streams one new object. The object becomes visible with Commit, or never.
type Writer struct{}

// NewWriter begins an object that must not exist yet.
func (b *Bucket) NewWriter(ctx context.Context, name string, o WriterOptions) *Writer {
	return &Writer{}
}

// Write adds content.
func (w *Writer) Write(p []byte) (int, error) { return 0, errNotYet }

// Commit makes the object visible. Errors as those of [Bucket.Put].
func (w *Writer) Commit() (generation int64, err error) { return 0, errNotYet }

// Cancel ends the upload; nothing becomes visible. After Commit it does nothing.
func (w *Writer) Cancel() {}
