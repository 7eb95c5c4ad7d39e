package bucket

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"cloud.google.com/go/storage"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// PutOptions says when and how an object is written.
type PutOptions struct {
	// IfGeneration is the generation that is replaced; 0 means that the object must not exist.
	IfGeneration    int64
	ContentType     string
	ContentEncoding string
	// Metadata is custom metadata, at most 8 KiB.
	Metadata map[string]string
}

// Put writes an object in one request, once, if the object has the generation o.IfGeneration, and returns its new
// generation. ErrPrecondition, ErrThrottled and ErrUnknown leave open whether the object was written; ErrDenied,
// ErrUnavailable and every other error mean that it was not.
func (b *Bucket) Put(ctx context.Context, name string, data []byte, o PutOptions) (generation int64, err error) {
	return b.PutAll(ctx, name, [][]byte{data}, o)
}

// PutAll writes an object as Put does, whose content are several parts in a row.
func (b *Bucket) PutAll(ctx context.Context, name string, parts [][]byte, o PutOptions) (generation int64, err error) {
	size, sum := 0, uint32(0)
	for _, data := range parts {
		size, sum = size+len(data), crc32.Update(sum, castagnoli, data)
	}
	timeout := b.timeouts.Put + time.Duration(size/bytesPerSec)*time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("writing %s: %w: %w", b.URL(name), ErrUnavailable, err)
	}
	w := b.object(name).If(conditions(o.IfGeneration)).NewWriter(ctx)
	// One request: the library neither buffers nor repeats it, and the server refuses what does not match the sum.
	w.ChunkSize = 0
	w.SendCRC32C, w.CRC32C = true, sum
	w.ContentType, w.ContentEncoding, w.Metadata = contentType(o.ContentType), o.ContentEncoding, o.Metadata
	for i := 0; i < len(parts) && err == nil; i++ {
		_, err = w.Write(parts[i])
	}
	if err == nil {
		err = w.Close()
	} else {
		cancel()
	}
	if err != nil {
		return 0, fmt.Errorf("writing %s: %w", b.URL(name), classifyWrite(err, false))
	}
	return w.Attrs().Generation, nil
}

// contentType is never empty, as the library would guess it from the content.
func contentType(t string) string {
	if t == "" {
		return "application/octet-stream"
	}
	return t
}

func conditions(generation int64) storage.Conditions {
	if generation == 0 {
		return storage.Conditions{DoesNotExist: true}
	}
	return storage.Conditions{GenerationMatch: generation}
}

const (
	// compareAndSetTimeout bounds a compare-and-set whose context has no earlier deadline.
	compareAndSetTimeout = 2 * time.Minute
	// throttled is the least wait after a 429: Cloud Storage takes about one write a second of one object.
	throttledWait = time.Second
	longestWait   = 5 * time.Second
)

// CompareAndSet writes an object until it is known whether this call or another writer replaced the generation
// o.IfGeneration, and returns the new generation.
//
// After anything but a success the object is read back. If mine says that it is what this call wrote, the call has won
// with the generation read. If the object still has the old generation (or still is absent), it is written again; a
// write that hangs in the network can then only repeat this one or fail its precondition. Otherwise: ErrLost. After a
// 429 at least a second passes first.
//
// mine gets the object with its content, but without metadata. ErrUnknown when ctx ended (or two minutes passed) with
// the outcome open, ErrUnavailable when nothing was ever sent; ErrDenied and other refusals mean that nothing was written.
func (b *Bucket) CompareAndSet(ctx context.Context, name string, data []byte, o PutOptions, mine func(Object) bool) (generation int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, compareAndSetTimeout)
	defer cancel()
	open := false // a write may be applied, or be applied later
	wait := firstBackoff
	for {
		generation, err := b.Put(ctx, name, data, o)
		switch {
		case err == nil:
			return generation, nil
		case errors.Is(err, ErrUnknown), errors.Is(err, ErrThrottled):
			open = true
		case errors.Is(err, ErrPrecondition), errors.Is(err, ErrUnavailable):
		case open:
			return 0, is(ErrUnknown, err)
		default:
			return 0, err
		}
		least := wait
		if errors.Is(err, ErrThrottled) {
			least = max(wait, throttledWait)
		}
		if b.wait(ctx, jitter(least)) != nil {
			return 0, unsettled(err, open)
		}
		wait = min(2*wait, longestWait)
		generation, settled, readErr := b.readBack(ctx, name, o.IfGeneration, mine)
		switch {
		case settled:
			return generation, readErr
		case readErr != nil:
			return 0, unsettled(errors.Join(err, readErr), open || errors.Is(err, ErrPrecondition))
		}
	}
}

// unsettled is the error of a compare-and-set that ran out of time.
func unsettled(err error, open bool) error {
	if open {
		return is(ErrUnknown, err)
	}
	return err
}

// readBack looks what became of a write. Neither settled nor an error means that the object is as it was before.
func (b *Bucket) readBack(ctx context.Context, name string, before int64, mine func(Object) bool) (generation int64, settled bool, err error) {
	for {
		o, err := b.Read(ctx, name)
		switch {
		case err == nil && mine(o):
			return o.Generation, true, nil
		case err == nil && o.Generation == before, errors.Is(err, ErrAbsent) && before == 0:
			return 0, false, nil
		case err == nil:
			return 0, true, fmt.Errorf("writing %s at generation %d: %w: it has generation %d", b.URL(name), before, ErrLost, o.Generation)
		case errors.Is(err, ErrAbsent):
			return 0, true, fmt.Errorf("writing %s at generation %d: %w: it is gone", b.URL(name), before, ErrLost)
		case !errors.Is(err, ErrUnavailable):
			return 0, false, err
		}
		if b.wait(ctx, jitter(time.Second)) != nil {
			return 0, false, err
		}
	}
}
