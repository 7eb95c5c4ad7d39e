package drain

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/step"
)

// When a plan is full. It is closed at the next flush point then.
const (
	// planObjects bounds the head's size and what a killed run leaves to be looked at.
	planObjects = 512
	// planAge keeps the head, one object name, below Cloud Storage's one write a second.
	planAge = time.Second
)

// batch is what one plan writes: whole flushes, all consecutive.
type batch struct {
	id string
	// next is the offset after the last whole flush: all before it is in a file or in skipped.
	next    int64
	files   []*file
	skipped []Range
	// buffered is how many bytes the files hold in memory.
	buffered int64
	opened   time.Time
	// last says that the log's end was reached; ended, unless nil, why no further batch may follow.
	last  bool
	ended error
}

func (b *batch) skippedCount() int64 {
	var n int64
	for _, r := range b.skipped {
		n += r[1] - r[0] + 1
	}
	return n
}

// cancel gives up everything that was uploaded without being visible.
func (b *batch) cancel() {
	for _, f := range b.files {
		f.cancel()
	}
}

type fileKey struct {
	encoded string
	schema  int
}

// assembly assigns records to the files of a batch.
type assembly struct {
	p *partition
	b *batch
	// open are the files of the flush that is not finished, by key and in order of their first offsets.
	open  map[fileKey]*file
	order []*file
	// count is the number of records in the open files.
	count int
	// skipped are those since the last flush point.
	skipped []Range
	// at is the offset after everything that was looked at.
	at int64
	// last is the file of the record before; nothing that is archived elsewhere lies between its last record and at.
	last   *file
	key    fileKey
	format *format
}

// assemble reads and assigns records until the plan is full or the input ends. Files of the batch are not visible yet.
func (p *partition) assemble(ctx context.Context, in *input) (*batch, error) {
	var id [16]byte
	if _, err := io.ReadFull(p.deps.Rand, id[:]); err != nil {
		return nil, fmt.Errorf("drawing a plan's id: %w", err)
	}
	a := &assembly{
		p: p, b: &batch{id: hex.EncodeToString(id[:]), next: p.frontier, opened: p.deps.Now()},
		open: map[fileKey]*file{}, at: p.frontier,
	}
	err := a.fill(ctx, in)
	if err != nil {
		a.cancel()
		return nil, err
	}
	return a.b, nil
}

func (a *assembly) cancel() {
	a.b.cancel()
	for _, f := range a.order {
		f.cancel()
	}
}

func (a *assembly) fill(ctx context.Context, in *input) error {
	for {
		records, err := in.fetch(ctx)
		if err != nil {
			a.at = max(a.at, in.offset)
			return a.end(err)
		}
		for i, r := range records {
			if r.Offset < a.at {
				continue
			}
			err := a.add(ctx, r)
			var bad *badValueError
			if errors.As(err, &bad) {
				a.at = r.Offset
				return a.end(a.p.stopAt(r.Offset, bad.reason))
			}
			if err != nil {
				return err
			}
			if a.count < a.p.sink.FlushSize {
				continue
			}
			if err := a.flush(); err != nil {
				return err
			}
			if a.full() {
				in.pending = records[i+1:]
				return nil
			}
		}
		a.at = max(a.at, in.offset)
	}
}

// end closes the batch when the input has ended for a reason.
func (a *assembly) end(reason error) error {
	flush := a.p.sink.FlushOnDrainEnd
	switch outcomeOf(reason) {
	case Stopped:
		// All before the record that stops is archived.
		flush, a.b.ended = true, reason
	case DeadlineReached:
		a.b.ended = reason
	default:
		if !errors.Is(reason, io.EOF) {
			return reason
		}
		a.b.last = true
	}
	if flush || len(a.order) == 0 {
		return a.flush()
	}
	for _, f := range a.order {
		f.cancel()
	}
	a.order = nil
	return nil
}

// add assigns one record. Null values are skipped by policy; everything else that cannot be archived is a
// *badValueError.
func (a *assembly) add(ctx context.Context, r *kgo.Record) error {
	if r.Value == nil {
		if !a.p.sink.NullIgnore {
			return &badValueError{"its value is null and behavior.on.null.values is fail (ignore leaves such records out)"}
		}
		a.skipped = extend(a.skipped, r.Offset)
		a.at, a.last = r.Offset+1, nil
		return nil
	}
	format, body, err := a.p.formats.value(ctx, r.Value, a.format)
	if err != nil {
		return err
	}
	encoded, err := a.p.partitioner.Encode(r)
	if err != nil {
		return &badValueError{err.Error()}
	}
	if a.p.sink.SchemaChangeRotates && a.count > 0 && a.format != format {
		a.at = r.Offset
		if err := a.flush(); err != nil {
			return err
		}
	}
	a.format = format
	f := a.file(ctx, fileKey{encoded: encoded, schema: format.id}, r.Offset)
	if err := f.add(r.Offset, body, f == a.last); err != nil {
		return err
	}
	a.count++
	a.at, a.last = r.Offset+1, f
	return nil
}

// file returns the open file that a record belongs to.
func (a *assembly) file(ctx context.Context, key fileKey, offset int64) *file {
	if a.last != nil && a.key == key {
		return a.last
	}
	a.key = key
	if f, ok := a.open[key]; ok {
		return f
	}
	name := a.p.names.Object(a.p.topic.Name, a.p.number, key.encoded, offset)
	f := a.p.newFile(ctx, a.b.id, name, offset, a.format)
	a.open[key] = f
	a.order = append(a.order, f)
	return f
}

// flush closes all open files: the log is cut here.
func (a *assembly) flush() error {
	for _, f := range a.order {
		if err := f.close(); err != nil {
			return err
		}
		a.b.buffered += int64(len(f.data))
	}
	a.b.files = append(a.b.files, a.order...)
	a.b.skipped = append(a.b.skipped, a.skipped...)
	a.b.next = a.at
	clear(a.open)
	a.order, a.skipped, a.count, a.last = nil, nil, 0, nil
	return nil
}

func (a *assembly) full() bool {
	return len(a.b.files) >= planObjects || a.b.buffered >= a.p.sink.MemoryMax || a.p.deps.Now().Sub(a.b.opened) >= planAge
}

// extend adds an offset to ascending ranges.
func extend(ranges []Range, offset int64) []Range {
	if n := len(ranges); n > 0 && ranges[n-1][1]+1 == offset {
		ranges[n-1][1] = offset
		return ranges
	}
	return append(ranges, Range{offset, offset})
}

// write puts the plan into the head, then creates its objects. bucket.ErrLost when another run was first.
func (p *partition) write(ctx context.Context, b *batch) error {
	defer b.cancel()
	plan := Plan{ID: b.id, First: p.frontier, Next: b.next, Codec: p.sink.Codec, Skipped: b.skipped}
	for _, f := range b.files {
		plan.Objects = append(plan.Objects, f.planned)
	}
	step.Reached(ctx, stepPlanning)
	h := p.head
	h.Frontier, h.Plan = p.frontier, &plan
	if h.TopicID == "" {
		h.TopicID = topicID(p.topic.ID)
	}
	err := p.save(ctx, h, p.generation, func(found Head) bool { return found.Plan != nil && found.Plan.ID == plan.ID })
	if err != nil {
		return err
	}
	step.Reached(ctx, stepPlanned)
	err = p.createAll(ctx, b.files)
	if errors.Is(err, errGone) {
		// A streamed object left nothing, and its content is no longer at hand: read it again.
		err = p.complete(ctx, plan)
	}
	if err != nil {
		return err
	}
	step.Reached(ctx, stepDurable)
	return nil
}
