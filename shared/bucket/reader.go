package bucket

import (
	"context"
	"fmt"
	"io"

	"cloud.google.com/go/storage"
)

// NewReader streams an object's content; that of an object with the content encoding gzip comes decoded. A connection that is lost on the way is made again at the
// same offset of the same generation, and the checksum is verified at the end. Until it is closed it works under ctx.
// ErrAbsent only when it is proven, ErrDenied, ErrUnavailable; the reader's own errors are not classified.
func (b *Bucket) NewReader(ctx context.Context, name string) (io.ReadCloser, error) {
	o := b.handle.Object(b.prefix+name).Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithMaxAttempts(readAttempts))
	r, err := o.NewReader(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", b.URL(name), classifyRead(b.absent(ctx, name, err)))
	}
	return r, nil
}
