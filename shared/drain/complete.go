package drain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/avrofile"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/step"
)

// complete makes all objects of a plan durable, whoever made the plan, exactly as it says. lent is how many bytes of the
// partition's account are charged already and are for the plan.
func (p *partition) complete(ctx context.Context, plan Plan, lent int64) error {
	step.Reached(ctx, stepCompleting)
	for try := 1; ; try++ {
		missing, err := p.missing(ctx, plan)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			err = p.recreate(ctx, plan, missing, lent)
		}
		if err == nil {
			err = p.send(ctx, plan, nil)
		}
		if err == nil {
			p.sum.Completed = true
			step.Reached(ctx, stepCompleted)
			return nil
		}
		if !errors.Is(err, errGone) || try == creates {
			return err
		}
		if err := pause(ctx, try, false); err != nil {
			return fmt.Errorf("completing plan %s: %w", plan.ID, err)
		}
	}
}

// missing are the objects of a plan that do not exist, in order of their first offsets.
func (p *partition) missing(ctx context.Context, plan Plan) ([]PlannedObject, error) {
	there := make([]bool, len(plan.Objects))
	err := parallel(p.uploads(), len(plan.Objects), func(i int) error {
		var err error
		there[i], err = p.exists(ctx, plan.Objects[i].Name, plan.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	var missing []PlannedObject
	for i, o := range plan.Objects {
		if !there[i] {
			missing = append(missing, o)
		}
	}
	return missing, nil
}

// part is a range of offsets and the object that holds them.
type part struct {
	Range
	of *owed
}

// owed is an object of the plan that does not exist.
type owed struct {
	PlannedObject
	// file is nil before the first surviving record, and once the object is created.
	file *file
	// held is how many bytes the file holds in memory, as they were counted last.
	held int64
	// done says that the file is closed, or that there is none to come; putOff that another reading makes the object.
	done, putOff bool
}

// recreation is the completion of the objects of a plan that are missing.
type recreation struct {
	p       *partition
	plan    Plan
	missing []PlannedObject
	formats *formats
	// objects are those that this reading makes.
	objects []*owed
	// parts are all their offsets in order; those before part next are behind.
	parts  []part
	next   int
	format *format
	// projections are by the schema that they come from and the one that they lead to.
	projections map[[2]int]*avrofile.Projection
	projected   []byte
	// ready are objects whose files wait to be created.
	ready []*owed
	// held is how many bytes all files hold in memory, inReady those of the ones that are ready.
	held, inReady int64
	// charged is what the partition's account is charged with for them, lent of it not to be given back here.
	charged, lent int64
}

// recreate reads the offsets of missing objects once more and creates those that still have a record. Configuration is
// not consulted: names, offsets, schemas and codec are the plan's. Whoever made the plan may have had more memory: what
// does not fit is made by reading once more.
func (p *partition) recreate(ctx context.Context, plan Plan, missing []PlannedObject, lent int64) error {
	if _, err := avrofile.NewFormat("", plan.Codec); err != nil {
		return p.stop("plan %s of the head was made with a codec that this version does not have (%v): complete it with `riftline drain %s` of the version that made it%s",
			plan.ID, err, p.sink.Name, p.giveUp(plan, missing, Set, plan.First, "plans its records anew"))
	}
	r := p.newRecreation(plan, missing, lent)
	defer r.cancel()
	if err := r.lost(ctx); err != nil {
		return err
	}
	for len(r.objects) > 0 {
		from, to := r.begin()
		if err := r.read(ctx, max(from, p.bounds.Start), to); err != nil {
			return err
		}
		if err := r.end(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *partition) newRecreation(plan Plan, missing []PlannedObject, lent int64) *recreation {
	r := &recreation{
		p: p, plan: plan, missing: missing, charged: lent, lent: lent,
		formats: &formats{schemas: p.deps.Schemas, codec: plan.Codec, known: map[int]*format{}},
	}
	for _, o := range missing {
		r.objects = append(r.objects, &owed{PlannedObject: o})
	}
	return r
}

// begin prepares a reading of what the objects need, which is in a range of offsets.
func (r *recreation) begin() (from, to int64) {
	from, to = r.plan.Next, r.plan.First
	r.parts, r.next = r.parts[:0], 0
	for _, o := range r.objects {
		for _, offsets := range o.Offsets {
			r.parts = append(r.parts, part{offsets, o})
		}
		from, to = min(from, o.First), max(to, o.Last+1)
	}
	slices.SortFunc(r.parts, func(a, b part) int { return cmp.Compare(a.Range[0], b.Range[0]) })
	return from, to
}

// end finishes all objects of a reading, and leaves those that were put off for another one.
func (r *recreation) end(ctx context.Context) error {
	var later []*owed
	for _, o := range r.objects {
		if o.putOff {
			o.putOff = false
			later = append(later, o)
		} else if err := r.finish(ctx, o); err != nil {
			return err
		}
	}
	if err := r.create(ctx); err != nil {
		return err
	}
	r.objects = later
	return nil
}

// giveUp is the end of a stop's reason: the command that gives the plan up, which is possible while none of its objects
// is there.
func (p *partition) giveUp(plan Plan, missing []PlannedObject, verb Verb, offset int64, what string) string {
	if len(missing) < len(plan.Objects) {
		return ""
	}
	return fmt.Sprintf("; or, as no object of the plan is there yet, %s %s, once no drain is running anywhere",
		p.command(string(verb), strconv.FormatInt(offset, 10), "--abandon-plan"), what)
}

// cancel gives up what was uploaded without being visible, and the memory.
func (r *recreation) cancel() {
	for _, o := range r.objects {
		if o.file != nil {
			o.file.cancel()
		}
	}
	r.held = 0
	r.giveBack()
}

// lost reports what retention has taken of objects that were planned and are not written.
func (r *recreation) lost(ctx context.Context) error {
	start := r.p.bounds.Start
	var n, unreported int64
	for _, o := range r.missing {
		for _, offsets := range o.Offsets {
			end := min(offsets[1]+1, start)
			n += max(end-offsets[0], 0)
			unreported += max(end-max(offsets[0], r.p.reported), 0)
		}
	}
	if n == 0 {
		return nil
	}
	if r.p.sink.OffsetReset == "none" {
		return r.p.stop("up to %d records of plan %s, before offset %d, were removed from the topic before they were archived (retention or DeleteRecords), "+
			"and auto.offset.reset is none. Set it to earliest and drain again with `riftline drain %s` to archive what is left%s",
			n, r.plan.ID, start, r.p.sink.Name, r.p.giveUp(r.plan, r.missing, Set, start, "goes on after them"))
	}
	if unreported > 0 {
		// What is gone behind the plan is for whoever reads on from there to report.
		r.p.reported = max(r.p.reported, min(start, r.plan.Next))
		r.p.lost += unreported
		r.p.log(ctx).ErrorContext(ctx, "records of a plan were removed from the topic before they were archived; archiving what is left",
			slog.String("plan", r.plan.ID), slog.Int64("offsets", unreported), slog.Int64("log_start", start))
	}
	return nil
}

// read takes all records of the missing objects.
func (r *recreation) read(ctx context.Context, from, to int64) error {
	if from >= to {
		return nil
	}
	in := r.p.deps.Consumer.Read(r.p.topic, r.p.number, from, to).Apart()
	defer in.Close()
	for {
		b, err := in.NextBatch(ctx)
		switch {
		case err == nil:
			if err := r.takeAll(ctx, b); err != nil {
				return err
			}
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, kafka.ErrOutOfRange):
			if err := r.p.lookAgain(ctx); err != nil {
				return err
			}
			return fmt.Errorf("%w: %w", errGone, err)
		default:
			return r.p.tooLarge(fmt.Errorf("completing plan %s: %w", r.plan.ID, err), "")
		}
	}
}

// takeAll takes the records of a batch, one at a time: as values of their own they may be many times as large.
func (r *recreation) takeAll(ctx context.Context, b *kafka.Batch) error {
	defer b.Release()
	var record kgo.Record
	for {
		more, err := b.Next(&record)
		if err != nil {
			return fmt.Errorf("completing plan %s: %w", r.plan.ID, err)
		}
		if !more {
			return nil
		}
		if err := r.take(ctx, &record); err != nil {
			return err
		}
	}
}

// take adds a record to its object, if one of the missing ones holds it.
func (r *recreation) take(ctx context.Context, record *kgo.Record) error {
	for r.next < len(r.parts) && r.parts[r.next].Range[1] < record.Offset {
		o := r.parts[r.next].of
		r.next++
		if o.Last < record.Offset {
			if err := r.finish(ctx, o); err != nil {
				return err
			}
		}
	}
	if r.next == len(r.parts) || record.Offset < r.parts[r.next].Range[0] {
		return nil
	}
	o := r.parts[r.next].of
	if o.putOff {
		return nil
	}
	format, body, err := r.value(ctx, record.Value, o)
	var bad *badValueError
	if errors.As(err, &bad) {
		return r.p.stop("plan %s has the record at offset %d in %s with schema %d, but what the topic or the registry has now does not fit: %s. "+
			"Find out what was changed there, put it back, and drain again with `riftline drain %s`%s", r.plan.ID, record.Offset, r.p.deps.Archive.URL(o.Name), o.SchemaID, bad.reason,
			r.p.sink.Name, r.p.giveUp(r.plan, r.missing, Skip, record.Offset, "goes on without the record"))
	}
	if err != nil {
		return err
	}
	if o.file == nil {
		o.file = r.p.newFile(ctx, r.plan.ID, o.Name, o.First, format)
	}
	if err := o.file.add(record.Offset, body, false); err != nil {
		return err
	}
	r.count(o)
	return r.afford(ctx)
}

// count brings what an object's file holds up to date.
func (r *recreation) count(o *owed) {
	held := o.file.held()
	r.held += held - o.held
	o.held = held
}

// afford charges the account with what the files hold. When there is no more it creates those that are ready, else puts
// off objects that are being made, but for one: it is what the partition has to hold, whatever its share is.
func (r *recreation) afford(ctx context.Context) error {
	for r.held > r.charged {
		n := r.p.account.round(r.held - r.charged)
		if r.p.account.tryGrow(n) {
			r.charged += n
			return nil
		}
		if len(r.ready) > 0 {
			if err := r.create(ctx); err != nil {
				return err
			}
		} else if !r.putOffOne() {
			r.p.account.overdraw(n)
			r.charged += n
			return nil
		}
	}
	return nil
}

// putOffOne gives up the file that would take longest until it is done; the first one to be done always stays, so that
// each reading makes an object. False when there is no other one.
func (r *recreation) putOffOne() bool {
	var last *owed
	open := 0
	for _, o := range r.objects {
		if o.file == nil || o.done {
			continue
		}
		if open++; last == nil || last.Last < o.Last {
			last = o
		}
	}
	if open < 2 {
		return false
	}
	last.file.cancel()
	r.held -= last.held
	last.file, last.held, last.putOff = nil, 0, true
	return true
}

// giveBack gives back what is charged beyond what the files hold.
func (r *recreation) giveBack() {
	if n := r.charged - max(r.held, r.lent); n > 0 {
		r.p.account.giveBack(n, false)
		r.charged -= n
	}
}

// value is what the plan makes of a record: a body of the schema of its object. A *badValueError when the topic or the
// registry no longer has what the plan was made of.
func (r *recreation) value(ctx context.Context, value []byte, o *owed) (*format, []byte, error) {
	own, body, err := r.formats.value(ctx, value, r.format)
	if err != nil {
		return nil, nil, err
	}
	if r.format = own; own.id == o.SchemaID {
		return own, body, nil
	}
	if !slices.Contains(o.ProjectedFrom, own.id) {
		return nil, nil, &badValueError{"its schema id is another one"}
	}
	target, err := r.formats.schema(ctx, o.SchemaID)
	if err != nil {
		return nil, nil, err
	}
	key := [2]int{own.id, target.id}
	projection := r.projections[key]
	if projection == nil {
		if projection, err = avrofile.NewProjection(own.walk, target.walk); err != nil {
			return nil, nil, &badValueError{fmt.Sprintf("schema %d to %d: %v", own.id, target.id, err)}
		}
		if r.projections == nil {
			r.projections = map[[2]int]*avrofile.Projection{}
		}
		r.projections[key] = projection
	}
	if r.projected, err = projection.Append(r.projected[:0], body); err != nil {
		return nil, nil, &badValueError{fmt.Sprintf("schema %d to %d: %v", own.id, target.id, err)}
	}
	return target, r.projected, nil
}

// finish ends the file of an object whose offsets are all behind. What is held in memory is created when there is
// enough of it.
func (r *recreation) finish(ctx context.Context, o *owed) error {
	if o.done || o.putOff {
		return nil
	}
	o.done = true
	if o.file == nil {
		r.p.log(ctx).InfoContext(ctx, "a planned object has no surviving record and is not created", slog.String("object", r.p.deps.Archive.URL(o.Name)))
		return nil
	}
	if err := o.file.close(); err != nil {
		return err
	}
	if n := o.file.planned.Count; n < o.Count {
		r.p.log(ctx).InfoContext(ctx, "a planned object is created with fewer records; the others are no longer in the topic",
			slog.String("object", r.p.deps.Archive.URL(o.Name)), slog.Int64("planned", o.Count), slog.Int64("records", n))
	}
	r.count(o)
	r.ready, r.inReady = append(r.ready, o), r.inReady+o.held
	if len(r.ready) >= planObjects || r.inReady >= r.p.account.part() {
		return r.create(ctx)
	}
	return r.afford(ctx)
}

// create creates the files that are ready.
func (r *recreation) create(ctx context.Context) error {
	ready := r.ready
	r.ready, r.inReady = nil, 0
	files := make([]*file, len(ready))
	for i, o := range ready {
		files[i] = o.file
	}
	err := r.p.createAll(ctx, files)
	for _, o := range ready {
		r.held -= o.held
		o.file, o.held = nil, 0
	}
	r.giveBack()
	return err
}
