package drain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
)

// Position is where a topic-partition stands.
type Position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// HeadURL is where the head is kept, Generation its generation; Head is nil when there is none.
	HeadURL    string `json:"head_url"`
	Generation int64  `json:"generation,omitempty"`
	Head       *Head  `json:"head"`
	// Durable is how many objects of the head's plan exist, Foreign those names of them that somebody else has.
	Durable int      `json:"durable,omitempty"`
	Foreign []string `json:"foreign,omitempty"`
	// LogStart and LogEnd are what the topic has; the end is the last stable offset.
	LogStart int64 `json:"log_start"`
	LogEnd   int64 `json:"log_end"`
	// Committed is the group's committed offset, -1 for none.
	Committed int64 `json:"committed"`
	// Lag is how many offsets are not archived; without a head, how many the group has not committed.
	Lag int64 `json:"lag"`
	// Problem says why the head cannot be used, empty when it can.
	Problem string `json:"problem,omitempty"`
}

// Verb is what a person does to a partition's head.
type Verb string

// The verbs.
const (
	// Set says where the archive goes on: all before that offset is archived, or is before its beginning.
	Set Verb = "set"
	// Reset begins anew with a topic that was deleted and created again, or truncated.
	Reset Verb = "reset"
	// Skip leaves records out.
	Skip Verb = "skip"
)

// Change is a change of a partition's head by a person.
type Change struct {
	Verb      Verb
	Topic     string
	Partition int32
	// Offset is that of Set.
	Offset int64
	// Ranges are those of Skip.
	Ranges []Range
	// DryRun finds out what would be done, and does not do it.
	DryRun bool
	// AbandonPlan gives up a plan in flight of which no object is there.
	AbandonPlan bool
	// Unverified takes the person's word where it cannot be verified which records the objects hold, or where a batch is
	// too large to be read.
	Unverified bool
}

// Changed is what became of a change.
type Changed struct {
	// Before is nil when there was no head; After is what is, or with DryRun would be, written.
	Before *Head
	After  Head
	// Found are sentences about what the change meets.
	Found []string
	// Objects are the names of objects that the next drain would meet.
	Objects []string
	// Written says that the head was written; not so for a dry run, and when nothing changes.
	Written bool
}

// anyGroup looks at a group that may be active.
type anyGroup struct{ Consumer }

func (anyGroup) RequireIdle(context.Context) error { return nil }

// Show returns the positions of all partitions of a sink, sorted. It changes nothing.
func Show(ctx context.Context, s connector.Sink, d Deps) ([]Position, error) {
	d = d.complete()
	d.Task, d.Tasks, d.Consumer = 0, 1, anyGroup{d.Consumer}
	parts, err := begin(ctx, s, d)
	if err != nil {
		return nil, err
	}
	all := make([]Position, len(parts))
	err = parallel(uploads, len(parts), func(i int) error {
		var err error
		all[i], err = parts[i].position(ctx)
		return err
	})
	return all, err
}

func (p *partition) position(ctx context.Context) (Position, error) {
	at := Position{
		Topic: p.topic.Name, Partition: p.number, HeadURL: p.deps.Heads.URL(p.headName()),
		LogStart: p.bounds.Start, LogEnd: p.bounds.StableEnd, Committed: p.committed,
	}
	done := max(p.committed, p.bounds.Start)
	found, err := p.load(ctx)
	var stop *StopError
	switch {
	case errors.As(err, &stop):
		at.Problem = stop.Reason
	case err != nil:
		return at, err
	case found:
		h := p.head
		at.Head, at.Generation, done = &h, p.generation, h.Frontier
		if at.Durable, at.Foreign, err = p.plansObjects(ctx); err != nil {
			return at, err
		}
	}
	at.Lag = max(p.bounds.StableEnd-done, 0)
	return at, nil
}

// plansObjects says how many objects of the head's plan are there, and which of its names somebody else has.
func (p *partition) plansObjects(ctx context.Context) (durable int, foreign []string, err error) {
	if p.head.Plan == nil {
		return 0, nil, nil
	}
	for _, o := range p.head.Plan.Objects {
		there, err := p.exists(ctx, o.Name, p.head.Plan.ID)
		var stop *StopError
		switch {
		case errors.As(err, &stop):
			foreign = append(foreign, o.Name)
		case err != nil:
			return 0, nil, err
		case there:
			durable++
		}
	}
	return durable, foreign, nil
}

// Apply changes a head, on condition of the generation that was read. What must not be done is a *StopError, whose text
// says why and names the way on; bucket.ErrLost says that a drain was first. kafka.ErrGroupActive while a sink of Kafka
// Connect runs.
func Apply(ctx context.Context, s connector.Sink, d Deps, c Change) (Changed, error) {
	d = d.complete()
	d.Task, d.Tasks = 0, 1
	parts, err := begin(ctx, s, d)
	if err != nil {
		return Changed{}, err
	}
	i := slices.IndexFunc(parts, func(p *partition) bool { return p.topic.Name == c.Topic && p.number == c.Partition })
	if i < 0 {
		return Changed{}, Configuration(fmt.Errorf("sink %s has no topic-partition %s/%d", s.Name, c.Topic, c.Partition))
	}
	p := parts[i]
	out := Changed{}
	found, err := p.load(ctx)
	if err != nil {
		return out, err
	}
	if found {
		before := p.head
		out.Before = &before
		err = p.settle(ctx, c, &out)
	}
	if err == nil {
		switch c.Verb {
		case Set:
			err = p.set(ctx, c, &out)
		case Reset:
			err = p.reset(ctx, &out)
		case Skip:
			err = p.leaveOut(ctx, c, &out)
		default:
			err = Configuration(fmt.Errorf("there is no way to %s a head", c.Verb))
		}
	}
	if err != nil || c.DryRun || out.Before != nil && equalHeads(*out.Before, out.After) {
		return out, err
	}
	generation := p.generation
	if err := p.save(ctx, out.After, generation, func(h Head) bool { return equalHeads(h, out.After) }); err != nil {
		if errors.Is(err, bucket.ErrLost) {
			err = fmt.Errorf("%w: a drain was first; look again with `riftline offsets show %s`", err, s.Name)
		}
		return out, err
	}
	out.Written = true
	p.audit(ctx, c, out, generation)
	return out, nil
}

// equalHeads compares heads as they are stored.
func equalHeads(a, b Head) bool {
	x, errA := a.Marshal()
	y, errB := b.Marshal()
	return errA == nil && errB == nil && string(x) == string(y)
}

// audit leaves a line about a change by hand.
func (p *partition) audit(ctx context.Context, c Change, out Changed, generation int64) {
	attrs := []slog.Attr{
		slog.String("verb", string(c.Verb)), slog.String("head", p.deps.Heads.URL(p.headName())),
		slog.Int64("generation_before", generation), slog.Int64("generation_after", p.generation),
		slog.Int64("frontier_after", out.After.Frontier),
	}
	if out.Before != nil {
		attrs = append(attrs, slog.Int64("frontier_before", out.Before.Frontier))
	}
	if c.Verb == Skip {
		attrs = append(attrs, slog.String("skip", ranges(c.Ranges)))
	}
	if c.AbandonPlan && out.Before != nil && out.Before.Plan != nil {
		attrs = append(attrs, slog.String("abandoned_plan", out.Before.Plan.ID))
	}
	p.log(ctx).LogAttrs(ctx, slog.LevelWarn, "offsets were changed by hand", attrs...)
}

// settle makes out.After the head without the plan in flight, if there is nothing left to do about it or it may be given
// up.
func (p *partition) settle(ctx context.Context, c Change, out *Changed) error {
	out.After = p.head
	plan := p.head.Plan
	if plan == nil {
		return nil
	}
	durable, foreign, err := p.plansObjects(ctx)
	if err != nil {
		return err
	}
	out.After.Plan = nil
	recreated := p.recreated()
	// What is left of the old log is not completed either.
	anew := recreated
	if c.Verb == Reset && !recreated {
		if anew, err = p.truncated(ctx); err != nil {
			return err
		}
	}
	switch {
	case durable == len(plan.Objects) && plan.DeadLetters == nil && !recreated:
		out.Found = append(out.Found, fmt.Sprintf("all objects of plan %s are there; it is closed", plan.ID))
		out.After.Frontier = plan.Next
	case !c.AbandonPlan:
		return p.stop("plan %s of offsets %d to %d is in flight: %d of its %d objects are there, %d names are somebody else's. Complete it first with `riftline drain %s`; "+
			"if that stops because of this plan, and no drain is running anywhere, --abandon-plan gives it up. Nothing was written",
			plan.ID, plan.First, plan.Next-1, durable, len(plan.Objects), len(foreign), p.sink.Name)
	case durable > 0 && !anew:
		return p.stop("plan %s cannot be given up: %d of its %d objects are there, and their records would be archived again. Complete it with `riftline drain %s`. Nothing was written",
			plan.ID, durable, len(plan.Objects), p.sink.Name)
	default:
		out.Found = append(out.Found, fmt.Sprintf("plan %s of offsets %d to %d is given up; %d of its %d objects are there", plan.ID, plan.First, plan.Next-1, durable, len(plan.Objects)))
	}
	return nil
}

// recreated says that the topic is not the one that the head is about.
func (p *partition) recreated() bool {
	id := topicID(p.topic.ID)
	return p.head.TopicID != "" && id != "" && p.head.TopicID != id
}

// set moves the frontier, or creates the head.
func (p *partition) set(ctx context.Context, c Change, out *Changed) error {
	if out.Before != nil && p.recreated() {
		return p.stop("the topic was deleted and created again: begin with the new one by %s. Nothing was written", p.command(string(Reset)))
	}
	if c.Offset < p.bounds.Start || c.Offset > p.bounds.StableEnd {
		return p.stop("offset %d is not in the log, which reaches from %d to %d. Nothing was written", c.Offset, p.bounds.Start, p.bounds.StableEnd)
	}
	there, err := p.inventory(ctx, c.Offset)
	if err != nil {
		return err
	}
	before, after := there.before, there.after
	for _, o := range after {
		out.Objects = append(out.Objects, o.Name)
	}
	if len(after) > 0 {
		return p.stop("%d objects begin at offset %d or after it: their records would be archived twice, or their names be in the way (%s). Move them away, or choose an offset after them. Nothing was written",
			len(after), c.Offset, p.deps.Archive.URL(after[0].Name))
	}
	if o := there.across; o != nil {
		return p.stop("%s holds records up to offset %d: those from offset %d on would be archived twice. Nothing was written", p.deps.Archive.URL(o.Name), o.ends(), c.Offset)
	}
	known := int64(-1)
	switch {
	case out.Before != nil:
		known = out.After.Frontier
	case p.committed >= 0:
		known = p.committed
	}
	if err := p.covered(ctx, c, before, known, out); err != nil {
		return err
	}
	if out.Before == nil {
		out.After = p.newHead(c.Offset)
		return nil
	}
	out.After.Start, out.After.Frontier, out.After.Skip = min(out.After.Start, c.Offset), c.Offset, from(out.After.Skip, c.Offset)
	return nil
}

// covered makes sure that the objects which begin before an offset end there: no record before it is in no object, and
// none after it is in one. known is the offset before which all is archived, as far as the head or the group say, -1
// when neither does.
func (p *partition) covered(ctx context.Context, c Change, before *present, known int64, out *Changed) error {
	others, err := p.otherLayouts(ctx, c.Offset)
	if err != nil {
		return err
	}
	var objects []present
	at := known
	switch {
	case others != "" && c.Offset != known:
		if !c.Unverified {
			return p.stop("objects of other layouts are there (%s), and it cannot be verified which records they hold. If you know that all objects together hold all records before offset %d and none from there on, "+
				"say so with --unverified. Nothing was written", p.deps.Archive.URL(others), c.Offset)
		}
		out.Found = append(out.Found, "not verified: objects of other layouts are there")
		return nil
	case known >= 0 && c.Offset > known:
		// What somebody else has archived since.
		there, err := p.inventory(ctx, known)
		if err != nil {
			return err
		}
		if o := there.across; o != nil {
			if !c.Unverified {
				return p.stop("%s begins before offset %d and holds records up to offset %d, and it cannot be verified which of those between it holds. If you know that all objects together hold all records "+
					"before offset %d and none from there on, say so with --unverified. Nothing was written", p.deps.Archive.URL(o.Name), known, o.ends(), c.Offset)
			}
			out.Found = append(out.Found, "not verified: objects reach beyond the committed offset")
			return nil
		}
		objects = slices.DeleteFunc(there.after, func(o present) bool { return o.First >= c.Offset })
	case before != nil && c.Offset != known:
		objects, at = []present{*before}, before.First
	case known >= 0:
		return nil
	}
	if len(objects) > 0 {
		if at, err = p.endOf(ctx, c, at, objects, out); err != nil || at < 0 {
			return err
		}
	}
	if at < 0 {
		n, err := p.countRecords(ctx, p.bounds.Start, c.Offset)
		if err == nil && n > 0 {
			out.Found = append(out.Found, fmt.Sprintf("the archive begins at offset %d; %d records before it are not archived", c.Offset, n))
		}
		return err
	}
	n, err := p.countRecords(ctx, at, c.Offset)
	var large *kafka.LargeBatchError
	if errors.As(err, &large) {
		if n == 0 {
			return p.pastLarge(c, large, out)
		}
		err = nil
	}
	if err == nil && n > 0 {
		return p.stop("%d records from offset %d to %d are in no object and would be taken for archived. To leave records out: %s. Nothing was written",
			n, max(at, p.bounds.Start), c.Offset-1, p.command(string(Skip), "OFFSET..OFFSET"))
	}
	return err
}

// otherLayouts is the name of an object that begins before an offset and is not of the default layout.
func (p *partition) otherLayouts(ctx context.Context, offset int64) (string, error) {
	for o, err := range p.deps.Archive.List(ctx, p.names.TopicPrefix(p.topic.Name), "") {
		if err != nil {
			return "", fmt.Errorf("listing the objects of topic %s: %w", p.topic.Name, err)
		}
		name, ok := p.names.Parse(p.topic.Name, o.Name)
		if ok && name.Partition == p.number && name.First < offset && name.Encoded != p.defaultEncoded() {
			return o.Name, nil
		}
	}
	return "", nil
}

// endOf is the offset after the last record of objects that begin at an offset; -1 when that is taken on the person's
// word.
func (p *partition) endOf(ctx context.Context, c Change, at int64, objects []present, out *Changed) (int64, error) {
	next, err := p.walk(ctx, at, objects)
	var stop *StopError
	switch {
	case errors.As(err, &stop) && c.Unverified:
		out.Found = append(out.Found, "not verified: "+stop.Reason)
		return -1, nil
	case errors.As(err, &stop):
		return 0, p.stop("it cannot be verified that the objects before offset %d end there: %s. If you know that, say so with --unverified", c.Offset, stop.Reason)
	case err != nil:
		return 0, err
	case next > c.Offset:
		return 0, p.stop("%s holds the records up to offset %d: those from offset %d on would be archived twice. Nothing was written",
			p.deps.Archive.URL(objects[len(objects)-1].Name), next-1, c.Offset)
	}
	return next, nil
}

// countRecords counts the records with a value that the topic has from one offset to before another.
func (p *partition) countRecords(ctx context.Context, from, to int64) (int64, error) {
	var n int64
	err := p.scan(ctx, from, to, func(r *kgo.Record) error {
		if r.Value != nil {
			n++
		}
		return nil
	})
	return n, err
}

func (p *partition) scan(ctx context.Context, from, to int64, f func(*kgo.Record) error) error {
	if from = max(from, p.bounds.Start); from >= to {
		return nil
	}
	in := p.deps.Consumer.Read(p.topic, p.number, from, to)
	defer in.Close()
	for {
		records, _, err := in.Next(ctx)
		for _, r := range records {
			if err := f(r); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s/%d: %w", p.topic.Name, p.number, err)
		}
	}
}

// reset begins anew at the log's start.
func (p *partition) reset(ctx context.Context, out *Changed) error {
	if out.Before == nil {
		return p.stop("there is no head to reset; `riftline drain %s` creates it. Nothing was written", p.sink.Name)
	}
	truncated, err := p.truncated(ctx)
	switch {
	case err != nil:
		return err
	case !p.recreated() && !truncated:
		return p.stop("the topic is the one that the head is about and reaches as far, so its records would be archived again. To go on at another offset: %s. Nothing was written", p.command(string(Set), "OFFSET"))
	}
	there, err := p.inventory(ctx, p.bounds.Start)
	if err != nil {
		return err
	}
	for _, o := range there.after {
		out.Objects = append(out.Objects, o.Name)
	}
	if n := len(there.after); n > 0 {
		out.Found = append(out.Found, fmt.Sprintf("%d objects of the old topic are there; where a name comes again the drain stops without overwriting it. Archive into another topics.dir", n))
	}
	out.After = p.newHead(p.bounds.Start)
	return nil
}

// shown is how many records a skip is explained by.
const shown = 20

// leaveOut adds offsets to the head's.
func (p *partition) leaveOut(ctx context.Context, c Change, out *Changed) error {
	if out.Before == nil {
		return p.stop("there is no head yet; `riftline drain %s` creates it. Nothing was written", p.sink.Name)
	}
	if p.recreated() {
		return p.stop("the topic was deleted and created again: begin with the new one by %s. Nothing was written", p.command(string(Reset)))
	}
	all := slices.Concat(out.After.Skip, c.Ranges)
	for _, r := range c.Ranges {
		if r[0] < out.After.Frontier || r[1] < r[0] || r[1] >= p.bounds.StableEnd {
			return p.stop("offsets %s cannot be skipped: all before %d is archived, and the log ends at %d. Nothing was written", ranges([]Range{r}), out.After.Frontier, p.bounds.StableEnd)
		}
		n := 0
		err := p.scan(ctx, r[0], r[1]+1, func(record *kgo.Record) error {
			if n++; n > shown {
				return nil
			}
			text, err := p.describe(ctx, record)
			out.Found = append(out.Found, text)
			return err
		})
		if err != nil {
			return err
		}
		if n != min(n, shown) || n == 0 {
			out.Found = append(out.Found, fmt.Sprintf("%d records at offsets %s", n, ranges([]Range{r})))
		}
	}
	out.After.Skip = union(all)
	return nil
}

// describe says what a record is, without what it holds.
func (p *partition) describe(ctx context.Context, r *kgo.Record) (string, error) {
	text := fmt.Sprintf("offset %d, %s, %d bytes: ", r.Offset, r.Timestamp.UTC().Format(time.RFC3339), len(r.Value))
	if r.Value == nil {
		return text + "a null value", nil
	}
	_, _, err := p.formats.value(ctx, r.Value, nil)
	var bad *badValueError
	switch {
	case errors.As(err, &bad):
		return text + bad.reason, nil
	case err != nil:
		return "", err
	}
	return text + "it could be archived", nil
}

// union sorts ranges and joins those that touch.
func union(all []Range) []Range {
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a[0], b[0]) })
	var out []Range
	for _, r := range all {
		if n := len(out); n > 0 && (out[n-1][1] == math.MaxInt64 || r[0] <= out[n-1][1]+1) {
			out[n-1][1] = max(out[n-1][1], r[1])
			continue
		}
		out = append(out, r)
	}
	return out
}

func ranges(all []Range) string {
	text := ""
	for i, r := range all {
		if i > 0 {
			text += " "
		}
		text += strconv.FormatInt(r[0], 10)
		if r[1] != r[0] {
			text += ".." + strconv.FormatInt(r[1], 10)
		}
	}
	return text
}
