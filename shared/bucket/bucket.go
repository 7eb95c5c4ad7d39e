package bucket

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

// Bucket is a bucket, or the part of it below a prefix. It is safe for concurrent use.
type Bucket struct {
	handle   *storage.BucketHandle
	name     string
	prefix   string
	timeouts Timeouts
	// wait sleeps between attempts; it returns early with the context's error.
	wait func(context.Context, time.Duration) error
}

// Object is an object, with or without its content.
type Object struct {
	Name string
	// Data is the content as it was written; that of an object with the content encoding gzip comes decoded, and only
	// then without its checksum having been verified.
	Data            []byte
	Generation      int64
	Size            int64
	CRC32C          uint32
	ContentType     string
	ContentEncoding string
	// Metadata is the custom metadata. Read does not fill it, nor Created: see Stat.
	Metadata map[string]string
	Created  time.Time
}

// Timeouts bound single requests to the bucket. The caller's context bounds the whole, retries included.
type Timeouts struct {
	// Read is for an object's content, Stat for its attributes, List for one page.
	Read, Stat, List time.Duration
	// Put is for a write in one request; a second is added for each 256 KiB.
	Put time.Duration
	// Part is for one part of a streamed object, Commit for its last part with all of the library's attempts.
	Part, Commit time.Duration
}

// DefaultTimeouts are what [Open] sets.
var DefaultTimeouts = Timeouts{
	Read:   20 * time.Second,
	Stat:   10 * time.Second,
	List:   20 * time.Second,
	Put:    15 * time.Second,
	Part:   60 * time.Second,
	Commit: 3 * time.Minute,
}

const (
	// readAttempts is how often a read is tried when the server is not well.
	readAttempts = 4
	firstBackoff = 100 * time.Millisecond
	bytesPerSec  = 256 << 10
)

// NewClient makes a storage client that reads through the JSON API. With STORAGE_EMULATOR_HOST set it uses no
// credentials; without it, they are those of opts or Application Default Credentials, and their absence is an error.
func NewClient(ctx context.Context, opts ...option.ClientOption) (*storage.Client, error) {
	c, err := storage.NewClient(ctx, append([]option.ClientOption{storage.WithJSONReads()}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("making a Cloud Storage client: %w", err)
	}
	return c, nil
}

// At are options for [NewClient] that send it to a stand-in at a URL such as http://127.0.0.1:4443, without
// credentials and without STORAGE_EMULATOR_HOST.
func At(url string) []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(strings.TrimRight(url, "/") + "/storage/v1/"), option.WithoutAuthentication()}
}

// Open names the bucket, or the part of one, that a URL gs://bucket[/prefix] stands for. Nothing is asked of the server.
func Open(c *storage.Client, url string) (*Bucket, error) {
	rest, ok := strings.CutPrefix(url, "gs://")
	name, prefix, _ := strings.Cut(rest, "/")
	if !ok || name == "" {
		return nil, fmt.Errorf("bucket %q is not of the form gs://bucket or gs://bucket/prefix", url)
	}
	prefix = strings.Trim(prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Bucket{handle: c.Bucket(name), name: name, prefix: prefix, timeouts: DefaultTimeouts, wait: sleep}, nil
}

// With returns the same bucket with other timeouts; one that is 0 stays as it is.
func (b *Bucket) With(t Timeouts) *Bucket {
	out := *b
	for _, one := range []struct {
		to   *time.Duration
		from time.Duration
	}{
		{&out.timeouts.Read, t.Read}, {&out.timeouts.Stat, t.Stat}, {&out.timeouts.List, t.List},
		{&out.timeouts.Put, t.Put}, {&out.timeouts.Part, t.Part}, {&out.timeouts.Commit, t.Commit},
	} {
		if one.from > 0 {
			*one.to = one.from
		}
	}
	return &out
}

// Waiting returns the same bucket, which waits between attempts by calling wait: for tests of what goes wrong many times.
// wait returns early with the context's error.
func (b *Bucket) Waiting(wait func(context.Context, time.Duration) error) *Bucket {
	out := *b
	out.wait = wait
	return &out
}

// URL is the gs:// URL of the object of that name.
func (b *Bucket) URL(name string) string { return "gs://" + b.name + "/" + b.prefix + name }

func (b *Bucket) object(name string) *storage.ObjectHandle {
	return b.handle.Object(b.prefix + name).Retryer(storage.WithPolicy(storage.RetryNever))
}

// Read returns an object and its content. ErrAbsent only when it is proven; ErrDenied;
// ErrUnavailable when the server could not be reached or was not well several times.
func (b *Bucket) Read(ctx context.Context, name string) (Object, error) {
	var o Object
	err := b.retry(ctx, b.timeouts.Read, func(ctx context.Context) error {
		r, err := b.object(name).NewReader(ctx)
		if err != nil {
			return b.absent(ctx, name, err)
		}
		defer func() { _ = r.Close() }()
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		o = Object{
			Name: name, Data: data, Generation: r.Attrs.Generation, Size: int64(len(data)), CRC32C: crc32.Checksum(data, castagnoli),
			ContentType: r.Attrs.ContentType, ContentEncoding: r.Attrs.ContentEncoding,
		}
		return nil
	})
	if err != nil {
		return Object{}, fmt.Errorf("reading %s: %w", b.URL(name), err)
	}
	return o, nil
}

// Stat returns an object without its content. Errors as those of [Bucket.Read].
func (b *Bucket) Stat(ctx context.Context, name string) (Object, error) {
	var o Object
	err := b.retry(ctx, b.timeouts.Stat, func(ctx context.Context) error {
		at, err := b.object(name).Attrs(ctx)
		if err != nil {
			return b.absent(ctx, name, err)
		}
		o = b.fromAttrs(at)
		return nil
	})
	if err != nil {
		return Object{}, fmt.Errorf("reading the attributes of %s: %w", b.URL(name), err)
	}
	return o, nil
}

func (b *Bucket) fromAttrs(at *storage.ObjectAttrs) Object {
	return Object{
		Name: strings.TrimPrefix(at.Name, b.prefix), Generation: at.Generation, Size: at.Size, CRC32C: at.CRC32C,
		ContentType: at.ContentType, ContentEncoding: at.ContentEncoding, Metadata: at.Metadata, Created: at.Created,
	}
}

// errContradiction is worth another try: a read does not see what a listing shows.
var errContradiction = errors.New("a read says that the object is absent but a listing shows it")

// absent turns a "not exist" into ErrAbsent if a listing agrees.
func (b *Bucket) absent(ctx context.Context, name string, cause error) error {
	if !errors.Is(cause, storage.ErrObjectNotExist) {
		return cause
	}
	it := b.handle.Retryer(storage.WithPolicy(storage.RetryNever)).Objects(ctx, &storage.Query{Prefix: b.prefix + name})
	// The exact name sorts before every other name that it is a prefix of.
	it.PageInfo().MaxSize = 1
	at, err := it.Next()
	switch {
	case errors.Is(err, iterator.Done):
		return ErrAbsent
	case errors.Is(err, storage.ErrBucketNotExist):
		return fmt.Errorf("%w: gs://%s", ErrNoBucket, b.name)
	case err != nil:
		return fmt.Errorf("listing to confirm that the object is absent: %w", err)
	case at.Name == b.prefix+name:
		return errContradiction
	}
	return ErrAbsent
}

// List returns the objects whose names start with prefix and are not less than from, in order of their names. The
// first error ends it: ErrDenied, ErrUnavailable, ErrNoBucket.
func (b *Bucket) List(ctx context.Context, prefix, from string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		q := &storage.Query{Prefix: b.prefix + prefix, Projection: storage.ProjectionNoACL}
		if from != "" {
			q.StartOffset = b.prefix + from
		}
		token := ""
		for {
			var page []*storage.ObjectAttrs
			var next string
			err := b.retry(ctx, b.timeouts.List, func(ctx context.Context) error {
				page = nil
				it := b.handle.Retryer(storage.WithPolicy(storage.RetryNever)).Objects(ctx, q)
				var err error
				next, err = iterator.NewPager(it, pageSize, token).NextPage(&page)
				return err
			})
			if err != nil {
				yield(Object{}, fmt.Errorf("listing %s*: %w", b.URL(prefix), err))
				return
			}
			for _, at := range page {
				if !yield(b.fromAttrs(at), nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

const pageSize = 1000

// retry carries a read out, again when the server is not well, and classifies its error.
func (b *Bucket) retry(ctx context.Context, each time.Duration, f func(context.Context) error) error {
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		err := within(ctx, each, f)
		if err == nil {
			return nil
		}
		err = classifyRead(err)
		again := errors.Is(err, ErrUnavailable) || errors.Is(err, errContradiction)
		if !again || attempt == readAttempts || ctx.Err() != nil {
			return err
		}
		if b.wait(ctx, jitter(backoff)) != nil {
			return err
		}
		backoff *= 4
	}
}

func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}
