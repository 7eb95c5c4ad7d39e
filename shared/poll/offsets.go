package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/sourceoffset"
	"github.com/riftline/riftline/shared/step"
)

// TopicReader reads a whole topic. *kafka.Producer is one.
type TopicReader interface {
	ReadAll(ctx context.Context, topic string, open bool, each func(*kgo.Record) error) (kafka.Extent, error)
}

var _ TopicReader = (*kafka.Producer)(nil)

// Verb is what a person does with the offsets of a source partition.
type Verb string

// The verbs of an [OffsetsRequest].
const (
	// Show reads and changes nothing.
	Show Verb = "show"
	// Reset forgets everything, so that the next poll publishes the whole answer once more.
	Reset Verb = "reset"
	// Set changes what is known of single keys.
	Set Verb = "set"
	// Settle says what became of an intent that nothing else tells any more, and lifts a stop that is due to it.
	Settle Verb = "settle"
	// Rebuild takes the last record of each key in the topic for what is known.
	Rebuild Verb = "rebuild"
)

// OffsetsRequest is what a person asks to be done with the offsets of a source.
type OffsetsRequest struct {
	Verb Verb
	// Variables choose among the source partitions of a connector that has several, as a trigger's do.
	Variables map[string]string
	// All lets a change apply to several source partitions.
	All bool
	// Committed is what Settle says of the intent.
	Committed bool
	// Known replaces, for Set, all that is known: the fingerprint of each key, as Show lists them. Nil leaves it.
	Known map[string]string
	// Forget are keys that Set makes new.
	Forget []string
	// Cursor is, for Set and a log, the timestamp up to which everything is taken for published.
	Cursor time.Time
	// DryRun finds out what would be written, and writes and fences nothing.
	DryRun bool
	// Keys lists in the report what is known of each key.
	Keys bool
	// Who is named in the audit line.
	Who string
}

// operation is one request on its way.
type operation struct {
	*run
	q      OffsetsRequest
	found  sourceoffset.Found
	report OffsetsReport
	// unmarked is true when the marker may not be read, and is not needed.
	unmarked bool
}

// OperateAll does what a person asks for every source partition that the request's variables leave; a change of more
// than one must be asked for by [OffsetsRequest.All]. One that fails does not keep the others from being done.
func OperateAll(ctx context.Context, s connector.Source, d Deps, q OffsetsRequest) (OffsetsReport, error) {
	report := OffsetsReport{Connector: s.Name, Variables: q.Variables, Topic: s.Topic, DryRun: q.DryRun}
	units, err := Units(s, q.Variables)
	if err == nil && len(units) > 1 && q.Verb != Show && !q.All {
		err = failed(Refused, "connector %s has %d source partitions: choose one with --variable, or all of these with --all", s.Name, len(units))
	}
	if err != nil {
		outcome, _ := outcomeOf(err, time.Now())
		report.Error, report.ExitCode = err.Error(), outcome.ExitCode()
		return report, err
	}
	if len(units) == 1 {
		return Operate(ctx, units[0], d, q)
	}
	var errs []error
	for _, unit := range units {
		one, err := Operate(ctx, unit, d, q)
		report.Units = append(report.Units, one)
		report.ExitCode = max(report.ExitCode, one.ExitCode)
		errs = append(errs, err)
	}
	return report, errors.Join(errs...)
}

// Operate does what a person asks of the offsets of the source partition of s that has the request variables
// s.Variables. Whatever changes them follows the recovery's
// order: the object is claimed by compare-and-set, the producer fenced, and only then the marker, or the topic, read and
// the result written. So no run that is under way can publish on what was known before, and one that is alive is waited
// for by the person. An object that was absent or is refused says, while such a change is under way, that it is stopped.
//
// The report is complete as far as it came, also with an error.
func Operate(ctx context.Context, s connector.Source, d Deps, q OffsetsRequest) (OffsetsReport, error) {
	d = d.withDefaults()
	began := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = began.Add(defaultDeadline)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	partition := sourceoffset.Partition{Connector: s.Name, Variables: s.Variables}
	o := &operation{q: q, run: &run{
		s: s, d: d, start: d.Now().UTC().Truncate(time.Millisecond), deadline: deadline, total: deadline.Sub(began),
		log:   logging.From(ctx).With(slog.String("connector", s.Name)),
		store: sourceoffset.Store{Bucket: d.Offsets, Partition: partition, Topic: s.Topic, Kind: kindOf(s.Dedupe.Mode)},
	}}
	o.report = OffsetsReport{Connector: s.Name, Variables: s.Variables, Topic: s.Topic, Object: o.store.URL(), DryRun: q.DryRun}
	err := o.do(ctx)
	o.closeProducer()
	if err != nil {
		outcome, _ := outcomeOf(err, d.Now())
		if o.report.ExitCode = outcome.ExitCode(); outcome == AnotherRun {
			o.report.ExitCode = Unavailable.ExitCode()
		}
		o.report.Error = err.Error()
		return o.report, fmt.Errorf("offsets %s of %s: %w", q.Verb, s.Name, err)
	}
	return o.report, nil
}

func (o *operation) do(ctx context.Context) (err error) {
	if o.found, err = o.store.Look(ctx); err != nil {
		return err
	}
	o.st, o.gen = o.found.State, o.found.Generation
	o.report.Generation = o.gen
	if o.found.Refused != nil {
		o.report.Refused = o.found.Refused.Error()
	}
	if o.gen != 0 && !o.st.Base.IsZero() {
		o.report.Before = o.describe(o.st)
	}
	// A run that stops over an intent ends with that, so nobody is left to wait for.
	ended := o.st.Stopped != "" && o.st.Intent != nil
	if until := o.heldUntil(); until.After(o.d.Now()) && !ended {
		o.report.HeldUntil = until
	}
	marker, err := o.marker(ctx)
	if o.q.Verb == Show {
		o.show(err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := o.allowed(); err != nil {
		return err
	}
	if o.q.DryRun {
		next, err := o.plan(ctx, marker)
		if err == nil {
			o.report.After = o.describe(next)
		}
		return err
	}
	return o.change(ctx)
}

// allowed refuses what no claim could make safe.
func (o *operation) allowed() error {
	switch {
	case errors.Is(o.found.Refused, sourceoffset.ErrNewer):
		return o.found.Refused
	case !o.report.HeldUntil.IsZero():
		return failed(Unavailable, "another run is publishing, or is left alone until %s: try again then", o.report.HeldUntil.Format(time.RFC3339))
	case o.q.Verb == Rebuild || o.q.Verb == Reset:
		return nil
	case o.found.Refused != nil:
		return o.found.Refused
	case o.gen == 0:
		return failed(Refused, "there is no source offset object %s: nothing is known of %s yet", o.store.URL(), o.store.Partition)
	}
	return nil
}

// showPatience is how long Show waits for the marker.
const showPatience = 20 * time.Second

// marker reads the marker that the next transaction is compared with, or that of the intent.
func (o *operation) marker(ctx context.Context) (kafka.Marker, error) {
	topic := o.markerTopic()
	if i := o.st.Intent; i != nil && i.MarkerTopic != "" && o.q.Verb != Reset && o.q.Verb != Rebuild {
		topic = i.MarkerTopic
	}
	p, err := o.openProducer()
	if err != nil {
		return kafka.Marker{}, err
	}
	group := o.store.Partition.TransactionalID()
	if o.q.Verb == Show {
		// A transaction that is being ended is waited for, but not for ever.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, showPatience)
		defer cancel()
	}
	m, ok, err := markerOf(ctx, p, topic)
	if o.unmarked = o.unreadable(err); o.unmarked {
		o.report.Marker = &MarkerReport{Group: group, Topic: topic, Means: fmt.Sprintf("it cannot be read: %v", err)}
		return kafka.Marker{}, nil
	}
	if err != nil {
		return m, fmt.Errorf("reading the marker of group %s: %w", group, err)
	}
	if !ok {
		m = kafka.Marker{}
	}
	o.report.Marker = &MarkerReport{Group: group, Topic: topic, ID: m.ID, Commits: m.Commits, Means: o.means(m, ok)}
	return m, nil
}

// change carries a plan out.
func (o *operation) change(ctx context.Context) error {
	before := o.st
	if o.q.Verb == Set {
		// Nothing that a claim brings to light could make a change possible that is refused now.
		if _, err := o.set(); err != nil {
			return err
		}
	}
	if err := o.claimIt(ctx); err != nil {
		return err
	}
	step.Reached(ctx, "offsets.claimed")
	next, err := o.decide(ctx)
	if err != nil {
		return o.unclaim(ctx, before, err)
	}
	gen, err := o.store.Write(ctx, next, o.gen, sourceoffset.Same(next))
	if errors.Is(err, bucket.ErrLost) {
		return failed(Unavailable, "another run went on meanwhile, and nothing was changed: try again")
	}
	if err != nil {
		return fmt.Errorf("%w; 'riftline offsets show' says whether it is written", err)
	}
	step.Reached(ctx, "offsets.written")
	from := o.report.Generation
	o.report.Written, o.report.Generation, o.report.After = true, gen, o.describe(next)
	o.audit(ctx, from)
	return nil
}

// decide fences and makes the plan.
func (o *operation) decide(ctx context.Context) (next sourceoffset.State, err error) {
	p, err := o.openProducer()
	if err != nil {
		return next, err
	}
	if err := p.Fence(ctx); o.withoutFence(err) {
		o.log.WarnContext(ctx, "transactions are refused: nothing but the time keeps a run from publishing that was left behind", slog.Any("error", err))
	} else if err != nil {
		return next, fmt.Errorf("taking over transactional id %s: %w", o.store.Partition.TransactionalID(), err)
	}
	step.Reached(ctx, "offsets.fenced")
	marker, err := o.marker(ctx)
	if err != nil {
		return next, err
	}
	return o.plan(ctx, marker)
}

// claimIt writes the claim. An intact object stays what it is beside it; in place of another one an empty state is
// written that says that it is stopped, and the content that is refused is kept under another name.
func (o *operation) claimIt(ctx context.Context) error {
	id, err := sourceoffset.NewID(o.d.Rand)
	if err != nil {
		return err
	}
	st := o.st
	if o.gen == 0 || o.found.Refused != nil {
		if err := o.keep(ctx); err != nil {
			return err
		}
		st = o.store.Empty()
		st.Stopped = fmt.Sprintf("'riftline offsets %s' was begun and did not end; %s", o.q.Verb, o.store.Partition.WaysToForget())
	}
	st.Claim = &sourceoffset.Claim{ID: id, At: o.d.Now(), Until: o.until()}
	gen, err := o.store.Write(ctx, st, o.gen, sourceoffset.Same(st))
	if errors.Is(err, bucket.ErrLost) {
		return failed(Unavailable, "another run was first, and nothing was changed: try again")
	}
	if err != nil {
		return fmt.Errorf("claiming the source partition: %w", err)
	}
	o.gen = gen
	return nil
}

// keep copies content that is refused before it is overwritten.
func (o *operation) keep(ctx context.Context) error {
	if o.gen == 0 {
		return nil
	}
	name := fmt.Sprintf("%s.refused-%d", o.store.Partition.Object(), o.gen)
	_, err := o.d.Offsets.CompareAndSet(ctx, name, o.found.Data, bucket.PutOptions{}, func(f bucket.Object) bool {
		return slices.Equal(f.Data, o.found.Data)
	})
	if err != nil && !errors.Is(err, bucket.ErrLost) {
		return fmt.Errorf("keeping the object that is refused as %s: %w", o.d.Offsets.URL(name), err)
	}
	return nil
}

// unclaim takes the claim back when nothing is changed, so that polls need not wait for its end.
func (o *operation) unclaim(ctx context.Context, before sourceoffset.State, cause error) error {
	if o.report.Generation == 0 || o.found.Refused != nil {
		return cause
	}
	ctx, cancel := o.linger(ctx)
	defer cancel()
	if _, err := o.store.Write(ctx, before, o.gen, sourceoffset.Same(before)); err != nil {
		o.log.WarnContext(ctx, "taking back the claim did not succeed; polls wait until it ends", slog.Any("error", err))
	}
	return cause
}

// audit says who did what, in the log and in the report.
func (o *operation) audit(ctx context.Context, from int64) {
	keys := func(s *OffsetsState) int {
		if s == nil {
			return 0
		}
		return s.Keys
	}
	o.report.Audit = fmt.Sprintf("%s: %s ran '%s': %d keys known before and %d after, %s at generation %d before and %d after",
		o.d.Now().UTC().Format(time.RFC3339), o.q.Who, o.store.Partition.Command(string(o.q.Verb), o.flags()...), keys(o.report.Before), keys(o.report.After),
		o.store.URL(), from, o.report.Generation)
	o.log.LogAttrs(ctx, slog.LevelWarn, "offsets were changed by hand", slog.String("who", o.q.Who), slog.String("verb", string(o.q.Verb)),
		slog.String("object", o.store.URL()), slog.Int("keys_before", keys(o.report.Before)), slog.Int("keys_after", keys(o.report.After)),
		slog.Int64("generation_before", from), slog.Int64("generation_after", o.report.Generation))
}

func (o *operation) flags() (flags []string) {
	switch o.q.Verb {
	case Settle:
		flags = []string{"--not-committed"}
		if o.q.Committed {
			flags = []string{"--committed"}
		}
	case Rebuild:
		flags = []string{"--from-topic"}
	case Set:
		if !o.q.Cursor.IsZero() {
			flags = append(flags, "--timestamp", instant(o.q.Cursor))
		}
		for _, key := range o.q.Forget {
			flags = append(flags, "--forget", strconv.Quote(key))
		}
		if o.q.Known != nil {
			flags = append(flags, "--from", "…")
		}
	}
	return flags
}
