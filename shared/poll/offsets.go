package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

// OffsetsReport is what is known of a source partition, and what was done about it. It holds no credential.
type OffsetsReport struct {
	Connector string            `json:"connector"`
	Variables map[string]string `json:"variables,omitempty"`
	Topic     string            `json:"topic"`
	Object    string            `json:"object"`
	// Generation is the object's, 0 when there is none.
	Generation int64 `json:"generation"`
	// Refused says why a poll does not take the object.
	Refused string `json:"refused,omitempty"`

	Before *OffsetsState `json:"state,omitempty"`
	Marker *MarkerReport `json:"marker,omitempty"`
	// HeldUntil is up to when a run that may be alive is left alone.
	HeldUntil time.Time `json:"held_until,omitzero"`

	// After is what was written, or would be.
	After   *OffsetsState  `json:"after,omitempty"`
	Rebuilt *RebuildReport `json:"rebuilt,omitempty"`
	DryRun  bool           `json:"dry_run,omitempty"`
	Written bool           `json:"written"`
	Audit   string         `json:"audit,omitempty"`
	// Next says what a person can do.
	Next  string `json:"next,omitempty"`
	Error string `json:"error,omitempty"`
	// Units are the source partitions of a connector that has several.
	Units []OffsetsReport `json:"units,omitempty"`

	// ExitCode is that of the command: 0 done, 1 transient, 2 configuration or usage, 3 a person must decide.
	ExitCode int `json:"-"`
}

// OffsetsState is a source offset object for people.
type OffsetsState struct {
	Kind string `json:"kind"`
	// Keys counts what is known, Left the keys among them that left the snapshot.
	Keys    int           `json:"keys"`
	Left    int           `json:"left,omitempty"`
	Commits int64         `json:"commits"`
	Last    string        `json:"last,omitempty"`
	Cursor  *CursorReport `json:"cursor,omitempty"`
	Intent  *IntentReport `json:"intent,omitempty"`
	Claim   *ClaimReport  `json:"claim,omitempty"`
	Stopped string        `json:"stopped,omitempty"`
	// Known has the fingerprint of each key, when that was asked for.
	Known map[string]string `json:"known,omitempty"`
}

// IntentReport is an intent that is in flight or was left behind.
type IntentReport struct {
	ID          string    `json:"id"`
	At          time.Time `json:"at"`
	Until       time.Time `json:"until"`
	MarkerTopic string    `json:"marker_topic,omitempty"`
	Changes     int       `json:"changes"`
	// Lease is there when the intent is published without a transaction.
	Lease *LeaseReport `json:"lease,omitempty"`
}

// LeaseReport is what an intent says that is published without a transaction.
type LeaseReport struct {
	// Records counts the intent's records, Watermarks are the topic's ends, by partition, from before it.
	Records    int64   `json:"records"`
	Watermarks []int64 `json:"watermarks"`
}

// CursorReport is up to where a log is published.
type CursorReport struct {
	At time.Time `json:"at,omitzero"`
	// Keys counts the keys that were published with that timestamp, Ahead the entries that were published behind it.
	Keys   int               `json:"keys"`
	Ahead  int               `json:"ahead,omitempty"`
	Offset map[string]string `json:"offset,omitempty"`
}

// ClaimReport is a claim.
type ClaimReport struct {
	ID    string    `json:"id"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
}

// MarkerReport is the marker as Kafka has it.
type MarkerReport struct {
	Group   string `json:"group"`
	Topic   string `json:"topic"`
	ID      string `json:"id,omitempty"`
	Commits int64  `json:"commits,omitempty"`
	// Means says what it tells of the object.
	Means string `json:"means"`
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

func (o *operation) means(m kafka.Marker, ok bool) string {
	switch i := o.st.Intent; {
	case i != nil && i.Lease != nil:
		return "the intent is published without a transaction and leaves none: its records in the topic tell what became of it"
	case !ok && i != nil:
		return "there is none: the intent was not committed, or its marker has expired"
	case !ok:
		return "there is none: nothing was published yet, or it has expired"
	case i != nil && m.ID == i.ID:
		return "the intent was committed"
	case m.ID == o.st.Last && i != nil:
		return "the intent was not committed"
	case m.ID == o.st.Last:
		return "it is that of the last transaction that is known"
	}
	return "it is none that the object knows of: the object was deleted, restored or replaced by hand"
}

// show adds to the report what a person may do, and that there is something to decide.
func (o *operation) show(err error) {
	p := o.store.Partition
	if err != nil {
		o.report.Error = err.Error()
		outcome, _ := outcomeOf(err, o.d.Now())
		o.report.ExitCode = outcome.ExitCode()
	}
	switch m := o.report.Marker; {
	case errors.Is(o.found.Refused, sourceoffset.ErrNewer):
		o.report.Next, o.report.ExitCode = "update riftline", Stopped.ExitCode()
	case o.found.Refused != nil:
		o.report.Next, o.report.ExitCode = p.WaysToForget(), Stopped.ExitCode()
	case o.st.Stopped != "":
		o.report.Next, o.report.ExitCode = o.waysOn(), Stopped.ExitCode()
	case !o.report.HeldUntil.IsZero():
		o.report.Next = "a run is publishing, or is left alone until then; nothing is to be done"
	case o.st.Intent != nil:
		o.report.Next = "the next poll settles the intent; nothing is to be done"
	case o.gen == 0 && m != nil && m.ID == "":
		o.report.Next = "the next poll publishes everything; where castorm's source has filled the topic, '" + p.Command("rebuild", "--from-topic") + "' takes that for known"
	case m != nil && m.ID != "" && m.ID != o.st.Last:
		o.report.Next, o.report.ExitCode = p.WaysToForget(), Stopped.ExitCode()
	}
}

// waysOn are the commands that lift a stop.
func (o *operation) waysOn() string {
	p := o.store.Partition
	if i := o.st.Intent; i != nil && (i.Lease != nil || o.report.Marker == nil || o.report.Marker.ID == "") {
		return settleCommands(p) + "; else " + p.WaysToForget()
	}
	return p.WaysToForget()
}

func settleCommands(p sourceoffset.Partition) string {
	return "'" + p.Command("settle", "--committed") + "' if the topic holds the records of the intent, '" + p.Command("settle", "--not-committed") + "' if not"
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

func (o *operation) describe(st sourceoffset.State) *OffsetsState {
	s := &OffsetsState{
		Kind: string(st.Kind), Keys: st.Base.Len(), Left: st.Base.Len() - st.Base.Present(), Commits: st.Commits, Last: st.Last, Stopped: st.Stopped,
	}
	if c := st.Cursor; st.Kind != sourceoffset.Snapshot {
		s.Cursor = &CursorReport{At: c.At, Keys: len(c.Keys), Ahead: len(c.Ahead), Offset: c.Offset}
	}
	if i := st.Intent; i != nil {
		s.Intent = &IntentReport{ID: i.ID, At: i.At, Until: i.Until, MarkerTopic: i.MarkerTopic, Changes: len(i.Changes)}
		if l := i.Lease; l != nil {
			s.Intent.Lease = &LeaseReport{Records: l.Records, Watermarks: l.Watermarks}
		}
	}
	if c := st.Claim; c != nil {
		s.Claim = &ClaimReport{ID: c.ID, At: c.At, Until: c.Until}
	}
	if o.q.Keys {
		s.Known = make(map[string]string, st.Base.Len())
		for key, known := range st.Base.All() {
			s.Known[key] = known.Fingerprint.String()
		}
	}
	return s
}

// plan is the state that the request asks for, given the marker as it is once nobody else can commit.
func (o *operation) plan(ctx context.Context, m kafka.Marker) (sourceoffset.State, error) {
	switch o.q.Verb {
	case Reset:
		return o.begin(m), nil
	case Rebuild:
		if o.found.Refused == nil && leaseLeft(o.st) {
			return o.st, failed(Refused, "only a part of an answer was published, and its last record does not say that all before it is there: let a poll publish the rest first; an intent that stops polls is settled by %s", settleCommands(o.store.Partition))
		}
		return o.rebuild(ctx, m)
	case Settle:
		if i := o.st.Intent; i != nil && i.Lease != nil {
			return o.settleLease(ctx)
		}
		return o.settled(m)
	case Set:
		return o.set()
	}
	return sourceoffset.State{}, failed(Refused, "%q is nothing that can be done with offsets", o.q.Verb)
}

// begin is the state of a new beginning after what the marker says.
func (o *operation) begin(m kafka.Marker) sourceoffset.State {
	st := o.store.Empty()
	st.Commits = o.st.Commits
	switch {
	case m.ID != "":
		st.Last, st.LastMarkerTopic, st.Commits = m.ID, o.markerTopic(), m.Commits
	case o.unmarked:
		st.Last, st.LastMarkerTopic = o.st.Last, o.st.LastMarkerTopic
	}
	return st
}

func (o *operation) settled(m kafka.Marker) (sourceoffset.State, error) {
	i, p := o.st.Intent, o.store.Partition
	if i == nil {
		return o.st, failed(Refused, "there is no intent to settle; %s", p.WaysToForget())
	}
	young := m.ID == "" && o.d.Now().Sub(i.At) < o.s.MarkerAge
	switch {
	case m.ID == i.ID && !o.q.Committed:
		return o.st, failed(Stopped, "the marker of group %s says that intent %s was committed: '%s'", p.TransactionalID(), i.ID, p.Command("settle", "--committed"))
	case (m.ID != "" && m.ID == o.st.Last || young) && o.q.Committed:
		return o.st, failed(Stopped, "the marker of group %s says that intent %s was not committed: '%s'", p.TransactionalID(), i.ID, p.Command("settle", "--not-committed"))
	case m.ID != "" && m.ID != i.ID && m.ID != o.st.Last:
		return o.st, failed(Stopped, "group %s holds the marker %s, which the object does not know of, so what it knows is not what the topic holds, whatever became of the intent; %s",
			p.TransactionalID(), m.ID, p.WaysToForget())
	}
	st := o.st
	if o.q.Committed {
		st = st.Committed()
	} else {
		st = st.Released()
	}
	st.Stopped = ""
	return st, nil
}

func (o *operation) set() (sourceoffset.State, error) {
	st := o.st
	keys, cursor := o.q.Known != nil || len(o.q.Forget) > 0, !o.q.Cursor.IsZero()
	switch {
	case st.Intent != nil:
		return st, failed(Refused, "an intent is open: let a poll settle it first, or %s", settleCommands(o.store.Partition))
	case st.Stopped != "":
		return st, failed(Stopped, "it is stopped: %s", st.Stopped)
	case keys && st.Kind != sourceoffset.Snapshot:
		return st, failed(Refused, "single keys are known with riftline.dedupe=snapshot, and this is %s", st.Kind)
	case cursor && st.Kind != sourceoffset.Timestamp:
		return st, failed(Refused, "there is a timestamp to set with riftline.dedupe=timestamp, and this is %s", st.Kind)
	case cursor:
		st.Cursor, st.Claim = sourceoffset.Cursor{At: o.q.Cursor.UTC(), Offset: st.Cursor.Offset}, nil
		return st, nil
	case !keys:
		return st, failed(Refused, "nothing to set was given")
	}
	base := maps.Collect(st.Base.All())
	if o.q.Known != nil {
		base = map[string]sourceoffset.Known{}
		for key, text := range o.q.Known {
			f, err := sourceoffset.ParseFingerprint(text)
			if err != nil {
				return st, failed(Refused, "key %q: %q is no fingerprint", key, text)
			}
			base[key] = sourceoffset.Known{Fingerprint: f}
		}
	}
	for _, key := range o.q.Forget {
		if _, ok := base[key]; !ok {
			return st, failed(Refused, "nothing is known of key %q", key)
		}
		delete(base, key)
	}
	st.Base, st.Claim = sourceoffset.NewBase(base), nil
	return st, nil
}
