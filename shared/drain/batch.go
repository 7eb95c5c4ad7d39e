package drain

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/avrofile"
	"github.com/riftline/riftline/shared/layout"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/step"
)

// When a plan is full. It is closed at the next flush point then.
const (
	// planObjects bounds the head's size and what a killed run leaves to be looked at.
	planObjects = 512
	// planAge keeps the head, one object name, below Cloud Storage's one write a second.
	planAge = time.Second
	// planRanges bounds how many ranges of offsets a plan lists: where records of many files interleave, each of them is
	// a range. It is some 1 MB of the head.
	planRanges = 50_000
)

// batch is what one plan writes: whole flushes, all consecutive.
type batch struct {
	id string
	// first is where the batch before ends.
	first int64
	// next is the offset after the last whole flush: all before it is in a file or in skipped.
	next    int64
	files   []*file
	skipped []Range
	// left says more of what is left out.
	left skipped
	// buffered is how many bytes the files hold in memory, and ranges how many ranges of offsets the plan has.
	buffered int64
	ranges   int
	// charged is what the batch has of the partition's account; spent says that there was no more, and complete that
	// the batch is handed over.
	account  *account
	charged  int64
	spent    bool
	complete bool
	opened   time.Time
	// lost is how many offsets before next retention took before they were read, reported the offset up to which.
	lost, reported int64
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

// cancel gives up everything that was uploaded without being visible, and the memory. It is to be called once.
func (b *batch) cancel() {
	for _, f := range b.files {
		f.cancel()
	}
	b.account.giveBack(b.charged, b.complete)
}

// drop gives up what the batch holds in memory, but not what it is charged with: its plan is written.
func (b *batch) drop() {
	for _, f := range b.files {
		f.cancel()
		f.pieces, f.kept, f.stream = nil, 0, nil
	}
	b.left.letters = nil
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
	open     map[fileKey]*file
	order    []*file
	rotation *layout.Rotation
	// held is how many bytes the open files hold in memory, ranges how many ranges of offsets they and skipped have.
	held   int64
	ranges int
	// skipped are those since the last flush point.
	skipped []Range
	// at is the offset after everything that was looked at.
	at int64
	// last is the file of the record before; nothing that is archived elsewhere lies between its last record and at.
	last   *file
	key    fileKey
	format *format
	// schemas are the current ones; nil when nothing depends on them.
	schemas map[schemaKey]*format
	// projected is kept from record to record.
	projected []byte
	// decided are the offsets that a person has decided to leave out.
	decided []Range
	// fields are what the partitioner reads of a record.
	fields []record.Scalar
	// c is the record that is looked at.
	c candidate
}

// candidate is a record that can be archived.
type candidate struct {
	*kgo.Record
	format *format
	body   []byte
	place  layout.Place
	key    fileKey
	// own is the record's schema, where format is that of its file; projection leads from one to the other, nil where
	// they are the same. current is the schema that was current when the record came.
	own, current *format
	projection   *avrofile.Projection
	// file is the open one that it belongs to, nil when there is none.
	file *file
	now  int64
}

// assemble reads and assigns records until the plan is full or the input ends. Files of the batch are not visible yet.
func (p *partition) assemble(ctx context.Context, in *input) (*batch, error) {
	a, err := p.newAssembly(in)
	if err != nil {
		return nil, err
	}
	if err := a.fill(ctx, in); err != nil {
		a.cancel()
		return nil, err
	}
	in.first, a.b.complete = a.b.next, true
	if in.reported <= a.b.next {
		a.b.lost, a.b.reported, in.lost = in.lost, in.reported, 0
	}
	a.b.settle()
	p.account.handOver()
	return a.b, nil
}

// rangeCost is about what a range of offsets takes: in a list that grows, in the head's text and in the request with it.
const rangeCost = 64

// holds is how many bytes the whole flushes of the batch hold in memory.
func (b *batch) holds() int64 { return b.buffered + b.left.held + int64(b.ranges)*rangeCost }

// settle gives back what closed files have needed and do not hold any more.
func (b *batch) settle() {
	if n := b.charged - b.holds(); n > 0 {
		b.account.giveBack(n, false)
		b.charged -= n
	}
}

func (p *partition) newAssembly(in *input) (*assembly, error) {
	var id [16]byte
	if _, err := io.ReadFull(p.deps.Rand, id[:]); err != nil {
		return nil, fmt.Errorf("drawing a plan's id: %w", err)
	}
	rotation, err := layout.NewRotation(p.sink, p.partitioner.Timed())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConfiguration, err)
	}
	a := &assembly{
		p: p, b: &batch{id: hex.EncodeToString(id[:]), first: in.first, next: in.first, opened: p.deps.Now(), account: p.account},
		open: map[fileKey]*file{}, rotation: rotation, at: in.first, decided: in.decided,
	}
	if n := len(p.partitioner.Fields()); n > 0 {
		a.fields = make([]record.Scalar, n)
	}
	if p.watchesSchemas() {
		a.schemas = map[schemaKey]*format{}
	}
	return a, nil
}

func (a *assembly) cancel() {
	for _, f := range a.order {
		f.cancel()
	}
	a.b.cancel()
}

func (a *assembly) fill(ctx context.Context, in *input) error {
	err := in.ending(ctx)
	for {
		var r *kgo.Record
		if err == nil {
			r, err = in.peek(ctx)
		}
		if err != nil {
			a.at = max(a.at, in.behind())
			return a.end(err)
		}
		if r.Offset < a.at {
			in.advance()
			continue
		}
		left, err := a.take(ctx, r, in.now)
		if err != nil && a.refuse(ctx, r, err) {
			err = nil
		}
		if err == nil && a.last == nil {
			err = a.flushIfCrowded(ctx)
		}
		if err != nil {
			return a.stop(r, err)
		}
		if left {
			return nil
		}
		in.advance()
		if a.atCut() && a.full() {
			return nil
		}
	}
}

// stop ends the batch before a record that cannot be archived, or fails.
func (a *assembly) stop(r *kgo.Record, err error) error {
	var bad *badValueError
	if !errors.As(err, &bad) {
		return err
	}
	a.at = r.Offset
	return a.end(a.p.stopAt(r, bad.reason))
}

// atCut says whether the last thing that was done is a flush.
func (a *assembly) atCut() bool { return len(a.order) == 0 && len(a.skipped) == 0 }

// take assigns one record, and makes the flushes that are due before and after it. It leaves the record where it is
// when the plan is full after the first of them.
func (a *assembly) take(ctx context.Context, r *kgo.Record, now int64) (left bool, err error) {
	if a.told(r) {
		return false, nil
	}
	if r.Value == nil {
		if !a.p.sink.NullIgnore {
			return false, &badValueError{"its value is null and behavior.on.null.values is fail (ignore leaves such records out)"}
		}
		a.ignoreNull(r)
		return false, nil
	}
	if err := a.look(ctx, r, now); err != nil {
		return false, err
	}
	if a.dueBefore() {
		a.at = r.Offset
		if err := a.flush(); err != nil {
			return false, err
		}
		if a.c.chooseAgain(); a.full() {
			return true, nil
		}
	}
	if err := a.put(ctx); err != nil {
		return false, err
	}
	return false, a.flushIfDue(ctx)
}

// look reads what there is to know of a record with a value. A *badValueError when it cannot be archived.
func (a *assembly) look(ctx context.Context, r *kgo.Record, now int64) error {
	format, body, err := a.p.formats.valueAndFields(ctx, r.Value, a.format, a.fields)
	if err != nil {
		return err
	}
	place, err := a.p.partitioner.Place(layout.Record{Partition: r.Partition, Timestamp: r.Timestamp.UnixMilli(), Now: now, Values: a.fields})
	if err != nil {
		return placeError{&badValueError{err.Error()}}
	}
	a.c = candidate{Record: r, format: format, body: body, place: place, now: now}
	return a.choose(ctx)
}

// skip leaves a record out.
func (a *assembly) skip(offset int64) {
	before := len(a.skipped)
	a.skipped = extend(a.skipped, offset)
	a.ranges += len(a.skipped) - before
	a.at, a.last = offset+1, nil
}

// dueBefore says whether all files are to be closed before the record is written.
func (a *assembly) dueBefore() bool {
	if a.rotation.Before(a.c.place, a.c.file == nil, len(a.order), a.c.now) {
		return true
	}
	return a.p.sink.SchemaChangeRotates && a.c.current != nil && a.c.current != a.c.format
}

// put writes the record into its file.
func (a *assembly) put(ctx context.Context) error {
	if err := a.project(); err != nil {
		return err
	}
	f := a.c.file
	if f == nil {
		name := a.p.names.Object(a.p.topic.Name, a.p.number, a.c.place.Encoded, a.c.Offset)
		if err := layout.CheckName(name); err != nil {
			return placeError{&badValueError{err.Error()}}
		}
		f = a.p.newFile(ctx, a.b.id, name, a.c.Offset, a.c.format)
		a.open[a.c.key] = f
		a.order = append(a.order, f)
		a.c.file, a.held = f, a.held+f.held()
	}
	held, ranges := f.held(), len(f.planned.Offsets)
	if err := f.add(a.c.Offset, a.c.body, f == a.last); err != nil {
		return err
	}
	a.held += f.held() - held
	a.ranges += len(f.planned.Offsets) - ranges
	a.settle()
	a.at, a.last, a.key, a.format = a.c.Offset+1, f, a.c.key, a.c.own
	return nil
}

// flushIfDue makes a flush when the record that was just written calls for one, or when the open files have become more
// than a plan or the memory can take.
func (a *assembly) flushIfDue(ctx context.Context) error {
	due := a.rotation.Wrote(a.c.place, len(a.c.body), a.c.Timestamp.UnixMilli(), a.c.now)
	afforded, err := a.afford(ctx)
	if err != nil {
		return err
	}
	if due || !afforded || a.b.ranges+a.ranges >= planRanges {
		return a.flush()
	}
	return nil
}

// afford charges the account with what the batch holds. False says that it holds as much as the partition may.
func (a *assembly) afford(ctx context.Context) (bool, error) {
	b := a.b
	need := a.held + int64(a.ranges)*rangeCost + b.holds() - b.charged
	if need <= 0 {
		return true, nil
	}
	n := b.account.round(need)
	fits, err := b.account.grow(ctx, n)
	if err != nil {
		return false, err
	}
	if !fits {
		// It is held all the same: the next batch waits until it is given back.
		b.account.overdraw(need)
		n, b.spent = need, true
	}
	b.charged += n
	return fits, nil
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
		if reason != io.EOF { //nolint:errorlint // the reader's own, and not that of a connection inside another error
			return reason
		}
		a.b.last = true
	}
	if flush || len(a.order) == 0 || a.rotation.Idle(a.p.deps.Now().UnixMilli()) {
		return a.flush()
	}
	for _, f := range a.order {
		f.cancel()
	}
	a.order = nil
	return nil
}

// flush closes all open files: the log is cut here.
func (a *assembly) flush() error {
	for _, f := range a.order {
		if err := f.close(); err != nil {
			return err
		}
		a.b.buffered += f.held()
	}
	a.b.files = append(a.b.files, a.order...)
	a.b.skipped = append(a.b.skipped, a.skipped...)
	a.b.ranges += a.ranges
	a.b.next = a.at
	clear(a.open)
	clear(a.schemas)
	a.order, a.skipped, a.last, a.held, a.ranges = nil, nil, nil, 0, 0
	a.rotation.Flushed()
	return nil
}

func (a *assembly) full() bool {
	return len(a.b.files) >= planObjects || a.b.ranges >= planRanges || a.b.left.dropped || a.b.spent || a.b.buffered >= a.p.account.part()/2 ||
		a.p.deps.Now().Sub(a.b.opened) >= planAge
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
	if b.first != p.frontier {
		return fmt.Errorf("a batch of %s/%d begins at offset %d and the frontier is %d: this is a fault of riftline, nothing was written", p.topic.Name, p.number, b.first, p.frontier)
	}
	plan := Plan{ID: b.id, First: p.frontier, Next: b.next, Codec: p.sink.Codec, Skipped: b.skipped, DeadLetters: p.deadLetterPlan(b)}
	if err := p.ready(ctx, plan.DeadLetters); err != nil {
		return err
	}
	for _, f := range b.files {
		plan.Objects = append(plan.Objects, f.planned)
	}
	step.Reached(ctx, stepPlanning)
	h := p.head
	h.Frontier, h.Plan, h.Skip = p.frontier, &plan, from(h.Skip, plan.Next)
	if h.TopicID == "" {
		h.TopicID = topicID(p.topic.ID)
	}
	err := p.save(ctx, h, p.generation, func(found Head) bool { return found.Plan != nil && found.Plan.ID == plan.ID })
	if err != nil {
		return err
	}
	step.Reached(ctx, stepPlanned)
	p.report(ctx, b)
	if err = p.createAll(ctx, b.files); err == nil {
		err = p.send(ctx, plan, b.left.letters)
	}
	if errors.Is(err, errGone) {
		// A streamed object left nothing, and its content is no longer at hand: read it again, into the memory that the
		// batch had.
		b.drop()
		err = p.complete(ctx, plan, b.charged)
	}
	if err != nil {
		return err
	}
	step.Reached(ctx, stepDurable)
	return nil
}
