package drain

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/riftline/riftline/shared/avrofile"
	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/step"
)

// The metadata of a data object. Only metaPlan is ever acted on; last and count are missing on objects that were too
// large to be held in memory, as metadata goes with the first byte of an upload.
const (
	metaPlan      = "riftline-plan" // <connector>/<plan id>
	metaConnector = "riftline-connector"
	metaTopic     = "riftline-topic"
	metaPartition = "riftline-partition"
	metaSchema    = "riftline-schema-id"
	metaFirst     = "riftline-first"
	metaLast      = "riftline-last"
	metaCount     = "riftline-count"
)

const contentType = "application/avro"

const (
	// uploads is how many objects a task creates at a time, of all of its partitions; small ones take no longer for
	// waiting for each other, as it is the bucket that is waited for.
	uploads = 64
	// creates is how often a create is tried before it is left to the next drain.
	creates = 8
	// streams is how many objects may be uploaded in parts at a time, each with a buffer of its own, before
	// riftline.memory.max.bytes calls for a flush.
	streams = 8
	// minStream keeps a small gcs.part.size or riftline.memory.max.bytes from streaming every object.
	minStream = 256 << 10
)

// errGone says that a streamed object is absent after its upload ended.
var errGone = errors.New("object is absent after its upload")

// file is a data object in the making: in memory while it is small, else in an upload that is not finished.
type file struct {
	p       *partition
	plan    string
	planned PlannedObject
	avro    *avrofile.Writer
	limit   int

	// pieces are the file while it is in memory, and kept is how much of that they hold.
	pieces []avrofile.Piece
	kept   int
	stream *bucket.Writer
	// streamed is how many bytes the upload holds.
	streamed int
	// begin starts the upload.
	begin func() *bucket.Writer
	size  int64
}

// newFile begins a file; ctx is that of its upload, should it become too large to be held in memory.
func (p *partition) newFile(ctx context.Context, plan, name string, first int64, t *format) *file {
	f := &file{
		p: p, plan: plan,
		planned: PlannedObject{Name: name, First: first, Last: first, SchemaID: t.id},
		limit:   max(int(min(int64(p.sink.PartSize), p.account.part()/streams)), minStream),
	}
	f.avro = t.files.NewWriterTo(f, avrofile.SyncOf(p.topic.Name, p.number, first))
	f.begin = func() *bucket.Writer {
		o := bucket.WriterOptions{PartSize: f.limit, ContentType: contentType, Metadata: f.metadata(false)}
		f.streamed = o.Held()
		return p.deps.Archive.NewWriter(ctx, name, o)
	}
	return f
}

// add appends a checked body. next says that nothing which is archived elsewhere lies between the file's last record
// and this one, so that gaps (markers, aborted and compacted records) do not make a new range.
func (f *file) add(offset int64, body []byte, next bool) error {
	n := len(f.planned.Offsets)
	if next && n > 0 {
		f.planned.Offsets[n-1][1] = offset
	} else {
		f.planned.Offsets = extend(f.planned.Offsets, offset)
	}
	f.planned.Last = offset
	f.planned.Count++
	if err := f.avro.Append(body); err != nil {
		return fmt.Errorf("object %s: %w", f.p.deps.Archive.URL(f.planned.Name), err)
	}
	return nil
}

// Take takes what the container file's writer writes.
func (f *file) Take(p avrofile.Piece) error {
	f.size += int64(len(p.Bytes()))
	pieces := []avrofile.Piece{p}
	if f.stream == nil {
		f.pieces, f.kept = append(f.pieces, p), f.kept+p.Held()
		if f.kept <= f.limit {
			return nil
		}
		f.stream = f.begin()
		pieces, f.pieces, f.kept = f.pieces, nil, 0
	}
	for _, p := range pieces {
		if err := f.stream.Take(p.Bytes(), p.Release); err != nil {
			return fmt.Errorf("uploading: %w", err)
		}
	}
	return nil
}

// fileCost is what an open file holds besides its bytes.
const fileCost = 2 << 10

// held is how many bytes the file holds in memory.
func (f *file) held() int64 {
	n := fileCost + f.kept + f.avro.Buffered()
	return int64(n + f.streamed)
}

// close ends the container file. The object is not visible yet.
func (f *file) close() error {
	if err := f.avro.Close(); err != nil {
		return fmt.Errorf("object %s: %w", f.p.deps.Archive.URL(f.planned.Name), err)
	}
	return nil
}

func (f *file) cancel() {
	if f.stream != nil {
		f.stream.Cancel()
	}
}

func (f *file) metadata(whole bool) map[string]string {
	m := map[string]string{
		metaPlan:      f.p.owner(f.plan),
		metaConnector: f.p.sink.Name,
		metaTopic:     f.p.topic.Name,
		metaPartition: strconv.FormatInt(int64(f.p.number), 10),
		metaSchema:    strconv.Itoa(f.planned.SchemaID),
		metaFirst:     strconv.FormatInt(f.planned.First, 10),
	}
	if whole {
		m[metaLast] = strconv.FormatInt(f.planned.Last, 10)
		m[metaCount] = strconv.FormatInt(f.planned.Count, 10)
	}
	return m
}

// owner is what the metadata of a plan's objects says.
func (p *partition) owner(plan string) string { return p.sink.Name + "/" + plan }

// createAll makes files visible, in parallel. All are tried, whatever becomes of one; the worst failure is returned,
// errGone only when there is no other.
func (p *partition) createAll(ctx context.Context, files []*file) error {
	return parallel(p.uploads(), len(files), func(i int) error { return p.create(ctx, files[i]) })
}

// uploads is how many objects the partition may create at a time.
func (p *partition) uploads() int { return max(uploads/p.account.active(), 1) }

// parallel calls f for 0 to n-1, some at a time, and returns the worst error.
func parallel(at, n int, f func(int) error) error {
	errs := make([]error, n)
	free := make(chan struct{}, at)
	var wg sync.WaitGroup
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	var gone error
	for i, err := range errs {
		if errors.Is(err, errGone) {
			gone, errs[i] = err, nil
		}
	}
	if err := worst(errs); err != nil {
		return err
	}
	return gone
}

// create makes a file visible, or finds that it is. It never replaces an object.
func (p *partition) create(ctx context.Context, f *file) error {
	step.Reached(ctx, stepCreating)
	url := p.deps.Archive.URL(f.planned.Name)
	for try := 1; ; try++ {
		err := f.put(ctx)
		if err == nil {
			p.count(f)
			step.Reached(ctx, stepCreated)
			return nil
		}
		there, look := false, error(nil)
		switch {
		case errors.Is(err, bucket.ErrPrecondition), errors.Is(err, bucket.ErrThrottled), errors.Is(err, bucket.ErrUnknown):
			there, look = p.exists(ctx, f.planned.Name, f.plan)
		case !errors.Is(err, bucket.ErrUnavailable):
			return fmt.Errorf("creating %s: %w", url, err)
		}
		switch {
		case there:
			if !errors.Is(err, bucket.ErrPrecondition) || try > 1 {
				p.count(f)
			}
			step.Reached(ctx, stepCreated)
			return nil
		case outcomeOf(look) == Stopped:
			return look
		case f.stream != nil:
			return fmt.Errorf("creating %s: %w: %w", url, errGone, err)
		case try == creates:
			return fmt.Errorf("creating %s, %d times: %w", url, try, err)
		}
		if err := pause(ctx, try, errors.Is(err, bucket.ErrThrottled)); err != nil {
			return fmt.Errorf("creating %s: %w", url, err)
		}
	}
}

func (f *file) put(ctx context.Context) error {
	if f.stream != nil {
		_, err := f.stream.Commit()
		return err
	}
	parts := make([][]byte, len(f.pieces))
	for i, p := range f.pieces {
		parts[i] = p.Bytes()
	}
	_, err := f.p.deps.Archive.PutAll(ctx, f.planned.Name, parts, bucket.PutOptions{ContentType: contentType, Metadata: f.metadata(true)})
	if err == nil {
		// After an error a request may still be on its way, reading.
		for _, p := range f.pieces {
			p.Release()
		}
		f.pieces, f.kept = nil, 0
	}
	return err
}

// exists says whether an object of a plan is there. A *StopError when there is one that is not of this plan.
func (p *partition) exists(ctx context.Context, name, plan string) (bool, error) {
	o, err := p.deps.Archive.Stat(ctx, name)
	switch {
	case errors.Is(err, bucket.ErrAbsent):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading the attributes of %s: %w", p.deps.Archive.URL(name), err)
	case o.Metadata[metaPlan] == p.owner(plan):
		return true, nil
	}
	by := "it bears no riftline metadata"
	if other := o.Metadata[metaPlan]; other != "" {
		by = "it is of plan " + other
	}
	return false, p.stop("%s exists and is not of this drain's plan %s (%s); it was not overwritten. Find out who wrote it; move it away (gcloud storage mv) and go on with "+
		"`riftline drain %s`, or, if another sink has archived these records, say where to go on with %s; after a re-created topic, set another topics.dir",
		p.deps.Archive.URL(name), p.owner(plan), by, p.sink.Name, p.command("set", "OFFSET", "--abandon-plan"))
}

func (p *partition) count(f *file) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum.Records += f.planned.Count
	p.sum.Objects++
	p.sum.Bytes += f.size
}

// pause waits before a create is tried again, longer each time and for a second at least when the service asks to slow
// down.
func pause(ctx context.Context, try int, throttled bool) error {
	wait := 50 * time.Millisecond << min(try, 6)
	if throttled {
		wait = max(wait, time.Second)
	}
	wait += time.Duration(rand.Int64N(int64(wait)/2 + 1)) //nolint:gosec // spreads load, protects nothing
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
