package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/sourceoffset"
	"github.com/riftline/riftline/shared/step"
)

const (
	// defaultDeadline is how long a poll may take when the context does not say.
	defaultDeadline = 60 * time.Second
	// fetchMargin is what a fetch leaves of the deadline for publishing, at most a quarter of it.
	fetchMargin = 10 * time.Second
	// publishMargin is the least time in which a transaction is begun, at most a sixth of the deadline.
	publishMargin = 5 * time.Second
)

// Run polls the source partition of s that has the request variables s.Variables, once.
//
// Without a deadline in ctx it takes 60 s. When ctx ends, what was begun is taken back within Deps.ReleaseTimeout. The
// error is nil exactly when Summary.Outcome is not a failure; the summary is complete in both cases.
func Run(ctx context.Context, s connector.Source, d Deps) (Summary, error) {
	d = d.withDefaults()
	began := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = began.Add(defaultDeadline)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	r := &run{
		s: s, d: d, start: d.Now().UTC().Truncate(time.Millisecond), deadline: deadline, total: deadline.Sub(began),
		own: map[string]int{},
		sum: Summary{Connector: s.Name, Variables: s.Variables, Topic: s.Topic, ExactlyOnce: true},
		store: sourceoffset.Store{
			Bucket: d.Offsets, Partition: sourceoffset.Partition{Connector: s.Name, Variables: s.Variables}, Topic: s.Topic, Kind: kindOf(s.Dedupe.Mode),
		},
	}
	err := r.begin(ctx)
	if err == nil {
		err = r.poll(ctx)
	}
	r.closeProducer()
	return r.finish(err, time.Since(began))
}

func kindOf(m connector.Mode) sourceoffset.Kind {
	switch m {
	case connector.None:
		return sourceoffset.None
	case connector.Timestamp:
		return sourceoffset.Timestamp
	}
	return sourceoffset.Snapshot
}

// run is one poll on its way.
type run struct {
	s     connector.Source
	d     Deps
	log   *slog.Logger
	store sourceoffset.Store

	// start is the clock's time at the beginning, the timestamp of every record.
	start time.Time
	// deadline is in real time, as it is that of the context.
	deadline time.Time
	total    time.Duration

	// st is the state at generation gen, or what it will be with the next write.
	st  sourceoffset.State
	gen int64
	// settled is true while st holds the result of a recovery that is not written yet.
	settled bool
	// own are the intents of this run with the number of their records, unsettled is the one whose outcome is unknown.
	own       map[string]int
	unsettled string

	producer Producer
	// fenced is true once producer holds the transactional id.
	fenced bool
	// leasing is true when this run publishes without transactions, or has settled an intent that was.
	leasing bool
	// leased is where it publishes then.
	leased leasedTopic

	sum Summary
}

func (r *run) begin(ctx context.Context) error {
	id, err := sourceoffset.NewID(r.d.Rand)
	if err != nil {
		return err
	}
	r.sum.Run = id[:16]
	r.log = logging.From(ctx).With(slog.String("connector", r.s.Name), slog.String("run", r.sum.Run))
	if len(r.s.Variables) > 0 {
		r.log = r.log.With(slog.Any("variables", r.s.Variables))
	}
	if r.s.ValueConverter != connector.AvroConverter {
		return failed(Refused, "value converter %s is not built for a source", r.s.ValueConverter)
	}
	return nil
}

// poll runs the protocol, and once more from the load when the outcome of its own commit is not known.
func (r *run) poll(ctx context.Context) error {
	err := r.attempt(ctx)
	if r.unsettled == "" {
		return err
	}
	r.log.WarnContext(ctx, "the outcome of the commit is not known; finding out", slog.String("intent", r.unsettled), slog.Any("error", err))
	r.closeProducer()
	first := err
	err = r.attempt(ctx)
	if err != nil && r.unsettled != "" && !errors.Is(err, errLeave) {
		return &failure{outcome: Unknown, err: fmt.Errorf("%w; then %w; the next poll settles it", first, err)}
	}
	return err
}

// attempt goes through the steps once.
func (r *run) attempt(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	err := r.proceed(ctx)
	if r.settled {
		r.writeSettled(ctx)
	}
	return err
}

func (r *run) load(ctx context.Context) (err error) {
	if r.st, r.gen, err = r.store.Load(ctx); err != nil {
		return err
	}
	step.Reached(ctx, "poll.1.loaded")
	if err := r.beginCursor(); err != nil {
		return err
	}
	if r.st.Stopped != "" {
		return failed(Stopped, "%s is stopped: %s", r.store.URL(), r.st.Stopped)
	}
	if r.st.Intent == nil && r.st.Claim == nil {
		return nil
	}
	if until := r.heldUntil(); until.After(r.d.Now()) {
		return leave("it is publishing, or is left alone until " + until.Format(time.RFC3339))
	}
	if i := r.st.Intent; i != nil && i.Lease != nil {
		return r.recoverLease(ctx)
	}
	return r.recover(ctx)
}

// heldUntil is up to when another run's intent or claim is left alone, the zero time when there is none but this run's.
func (r *run) heldUntil() time.Time {
	var until time.Time
	if c := r.st.Claim; c != nil {
		until = c.Until
	}
	if i := r.st.Intent; i != nil {
		_, mine := r.own[i.ID]
		if i.Lease != nil {
			// What was sent may be on its way for longer than its run has lived, its own run's too.
			until = later(until, i.Until.Add(leaseGrace))
		} else if !mine {
			until = later(until, i.Until)
		}
	}
	return until
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// until is up to when other runs leave this one's intent or claim alone, in the clock's time.
func (r *run) until() time.Time { return r.d.Now().Add(time.Until(r.deadline) + r.d.UntilMargin) }

// proceed goes on with a state that is the whole truth.
func (r *run) proceed(ctx context.Context) error {
	answer, err := r.fetch(ctx)
	if err != nil {
		return err
	}
	step.Reached(ctx, "poll.2.fetched")
	b, err := r.compare(ctx, answer)
	if err != nil {
		return err
	}
	step.Reached(ctx, "poll.3.compared")
	if len(b.changes) == 0 {
		if b.stale {
			r.noteReturns(ctx, b.noted)
		}
		return r.moveCursor(ctx, b.cursor)
	}
	if left := time.Until(r.deadline); left < min(publishMargin, r.total/6) {
		return &failure{outcome: Deferred, retryAfter: r.d.Now(), err: fmt.Errorf("publishing %d changes: only %s of the deadline are left, nothing was begun", len(b.changes), left.Round(time.Millisecond))}
	}
	markerTopic, err := r.connect(ctx)
	if err != nil {
		return err
	}
	parts, err := r.encode(ctx, b)
	if err != nil {
		return err
	}
	step.Reached(ctx, "poll.4.connected")
	return r.publish(ctx, markerTopic, b, parts)
}

// fetch asks the API, and once more with credentials read afresh if it refuses the ones that are held.
func (r *run) fetch(ctx context.Context) (httpsource.Answer, error) {
	ctx, cancel := context.WithDeadline(ctx, r.deadline.Add(-min(fetchMargin, r.total/4)))
	defer cancel()
	answer, err := r.fetchWith(ctx, r.s)
	var unauthorized *httpsource.UnauthorizedError
	if !errors.As(err, &unauthorized) || r.d.Refresh == nil {
		return answer, err
	}
	s, changed, rerr := r.d.Refresh(ctx)
	if rerr != nil {
		return answer, fmt.Errorf("%w; reading the secret once more: %w", err, rerr)
	}
	if !changed {
		return answer, fmt.Errorf("%w; the secret was read once more and is the same", err)
	}
	r.log.InfoContext(ctx, "the API refused the credentials; the secret has changed and is tried", slog.Int("status", unauthorized.Status))
	s.Variables = r.s.Variables
	r.s = s
	return r.fetchWith(ctx, s)
}

func (r *run) fetchWith(ctx context.Context, s connector.Source) (httpsource.Answer, error) {
	s.Request.Values = template.Values{Offset: r.offset(), Var: r.store.Partition.Variables}
	f, err := r.d.NewFetcher(s)
	if err != nil {
		return httpsource.Answer{}, fmt.Errorf("preparing the request: %w", err)
	}
	defer f.Close()
	answer, err := f.Fetch(ctx)
	r.sum.Fetched, r.sum.Bytes = len(answer.Entries), answer.Bytes
	r.sum.Requests += answer.Requests
	return answer, err
}

// change is an entry to publish.
type change struct {
	sourceoffset.Changed
	// entry is nil for a key that left, whose record has no value.
	entry *record.Value
	// at is the record's timestamp.
	at time.Time
}

// batch is what an answer asks to publish.
type batch struct {
	changes []change
	answer  httpsource.Answer
	// noted is base with departures noted, fields are the member names of the entries.
	noted  sourceoffset.Base
	fields []string
	// stale is true when noted must be written, whether or not there are changes.
	stale bool
	// cursor is what the cursor is when all is published.
	cursor sourceoffset.Cursor
}

func (r *run) compare(ctx context.Context, answer httpsource.Answer) (batch, error) {
	b := batch{answer: answer, noted: r.st.Base, cursor: r.st.Cursor}
	r.sum.Keyless = 0
	keys, err := r.keysOf(ctx, answer)
	if err != nil {
		return b, err
	}
	times, err := r.timesOf(answer)
	if err != nil {
		return b, err
	}
	order := r.order(len(keys), times)
	if r.store.Kind != sourceoffset.Snapshot {
		return b, r.compareLog(&b, keys, times, order)
	}
	r.compareSnapshot(ctx, &b, keys, times, order)
	return b, nil
}

// compareSnapshot takes the answer for the whole truth.
func (r *run) compareSnapshot(ctx context.Context, b *batch, keys []string, times []time.Time, order []int) {
	entries := make([]sourceoffset.Entry, len(keys))
	prints := sourceoffset.NewFingerprinter(r.s.Dedupe.Ignore)
	for i, at := range order {
		entries[i] = sourceoffset.Entry{Key: keys[at], Fingerprint: prints.Of(&b.answer.Entries[at])}
	}
	d := sourceoffset.Compare(r.st.Base, entries, r.start, r.s.Dedupe.Keep)
	b.changes = slices.Grow(b.changes, len(d.Changes))
	for _, c := range d.Changes {
		at := order[c.Index]
		b.changes = append(b.changes, change{Changed: c, entry: &b.answer.Entries[at], at: times[at]})
	}
	b.noted, b.stale = d.Noted(), d.Stale
	if d.Doubtful && r.st.Base.Present() > 0 {
		r.log.WarnContext(ctx, "the answer lacks more than half of the keys of the last one; nobody is taken to have left",
			slog.Int("entries", len(entries)), slog.Int("known", r.st.Base.Present()))
	}
	r.sum.Left = d.Left
	r.count(d.Unchanged, d.Repeated, b.changes)
	r.addTombstones(ctx, b, d.Absent())
	if len(b.changes) > 0 {
		b.fields = fieldsOf(b.answer.Entries, r.st.Fields)
		r.sum.OnlyNewFields += r.countOnlyNewFields(*b)
	}
}

// noteReturns writes that keys are back which were noted to have left, where nothing else has been written for so long
// that they would be forgotten. Its failure is none of the poll's: the next one writes it.
func (r *run) noteReturns(ctx context.Context, noted sourceoffset.Base) {
	st := r.st
	st.Base = noted
	step.Reached(ctx, "poll.3.begin")
	gen, err := r.store.Write(ctx, st, r.gen, sourceoffset.Same(st))
	if err != nil {
		r.log.InfoContext(ctx, "noting that keys are back did not succeed; another poll notes it", slog.Any("error", err))
		return
	}
	r.st, r.gen, r.settled = st, gen, false
	step.Reached(ctx, "poll.3.noted")
}

// count adds up: what an earlier attempt of this run published is unchanged by now and counts once, as what it was.
func (r *run) count(unchanged, repeated int, changes []change) {
	r.sum.Unchanged = max(0, unchanged-(r.sum.Published-r.sum.Tombstones))
	r.sum.Repeated = repeated
	if r.sum.Published == 0 {
		r.sum.New, r.sum.Changed, r.sum.OnlyNewFields, r.sum.Tombstones = 0, 0, 0, 0
	}
	for _, c := range changes {
		if c.Before == nil {
			r.sum.New++
		} else {
			r.sum.Changed++
		}
	}
}

// addTombstones makes changes without a value of the keys that left. An answer in which an entry has no key says nothing
// of who left: the key may be that entry's.
func (r *run) addTombstones(ctx context.Context, b *batch, absent []string) {
	if !r.s.Dedupe.Tombstones || len(absent) == 0 {
		return
	}
	if r.sum.Keyless > 0 {
		r.log.WarnContext(ctx, "entries of the answer have no key; nobody is taken to have left", slog.Int("keyless", r.sum.Keyless))
		return
	}
	for _, key := range absent {
		b.changes = append(b.changes, change{Changed: sourceoffset.Changed{Entry: sourceoffset.Entry{Key: key}, Index: -1}, at: r.start})
	}
	r.sum.Tombstones += len(absent)
}

func (r *run) openProducer() (Producer, error) {
	if r.producer != nil {
		return r.producer, nil
	}
	p, err := r.d.NewProducer(r.s.Kafka, r.store.Partition.TransactionalID(), r.log)
	if err != nil {
		return nil, fmt.Errorf("preparing the Kafka producer: %w", err)
	}
	r.producer = p
	return p, nil
}

func (r *run) closeProducer() {
	if r.producer != nil {
		r.producer.Close()
	}
	r.producer, r.fenced = nil, false
}

// markerTopic is the topic under which the next transaction leaves its marker.
func (r *run) markerTopic() string {
	if r.s.MarkerTopic != "" {
		return r.s.MarkerTopic
	}
	return r.s.Topic
}

// connect makes sure that the topic is the one the state knows and that nobody published before the state began. It
// returns the topic under which the marker goes.
func (r *run) connect(ctx context.Context) (kafka.Topic, error) {
	p, err := r.openProducer()
	if err != nil {
		return kafka.Topic{}, err
	}
	topic, err := r.topic(ctx, p)
	if err != nil {
		return kafka.Topic{}, err
	}
	known := r.st.TopicID != [16]byte{}
	if known && topic.ID != r.st.TopicID {
		return kafka.Topic{}, r.stop(ctx, r.st, fmt.Sprintf("topic %s was deleted and created again: what it held is gone, and the source offset object still knows it; %s", topic.Name, r.store.Partition.WaysToForget()))
	}
	if err := r.choose(ctx, p, topic); err != nil {
		return kafka.Topic{}, err
	}
	markerTopic := topic
	if name := r.markerTopic(); name != topic.Name && !r.leasing {
		if markerTopic, err = p.Topic(ctx, name); err != nil {
			return kafka.Topic{}, fmt.Errorf("finding riftline.marker.topic: %w", err)
		}
	}
	if err := r.checkBegin(ctx, p, markerTopic.Name); err != nil {
		return kafka.Topic{}, err
	}
	r.st.TopicID = topic.ID
	return markerTopic, nil
}

// checkBegin looks at the marker before the first transaction under a marker topic, without taking over the
// transactional id: there must be none.
func (r *run) checkBegin(ctx context.Context, p Producer, markerTopic string) error {
	genesis := r.gen == 0
	if !genesis && (r.leasing || r.st.Last == "" || r.st.LastMarkerTopic == markerTopic) {
		return nil
	}
	m, ok, err := markerOf(ctx, p, markerTopic)
	if r.leasing && errors.Is(err, kafka.ErrAuthorization) {
		r.log.WarnContext(ctx, "the group of the marker may not be read: whether transactions were published before is not known", slog.Any("error", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the marker of group %s: %w", r.store.Partition.TransactionalID(), err)
	}
	switch {
	case !ok:
		return nil
	case genesis:
		return r.stop(ctx, r.st, fmt.Sprintf("there is no such object, and yet group %s holds the marker of transaction %d (%s) on topic %s: the object was deleted or RIFTLINE_STATE has changed; restore the object; else %s",
			r.store.Partition.TransactionalID(), m.Commits, m.ID, markerTopic, r.store.Partition.WaysToForget()))
	case m.ID == r.st.Last:
		return nil
	}
	return failed(Refused, "riftline.marker.topic: topic %s holds a marker of an earlier time (%s); choose another topic", markerTopic, m.ID)
}

// topic finds the topic, or makes it where the connector file or the broker allows that.
func (r *run) topic(ctx context.Context, p Producer) (kafka.Topic, error) {
	topic, err := p.Topic(ctx, r.s.Topic)
	if !errors.Is(err, kafka.ErrTopicMissing) {
		return topic, err
	}
	if r.st.TopicID != [16]byte{} {
		return topic, failed(Refused, "%w, although %d transactions were published to it: nothing was published", err, r.st.Commits)
	}
	how := "topic.creation.default.* says"
	if r.s.TopicCreation != nil {
		topic, err = p.CreateTopic(ctx, r.s.Topic, *r.s.TopicCreation)
	} else {
		how = "the broker's auto.create.topics.enable says"
		topic, err = p.AutoCreateTopic(ctx, r.s.Topic)
	}
	if errors.Is(err, kafka.ErrTopicMissing) {
		return topic, failed(Refused, "%w; or set topic.creation.default.partitions and topic.creation.default.replication.factor", err)
	}
	if err != nil {
		return topic, fmt.Errorf("creating topic %s as %s: %w", r.s.Topic, how, err)
	}
	r.log.InfoContext(ctx, "created the topic", slog.String("topic", topic.Name), slog.String("as", how), slog.Int("partitions", int(topic.Partitions)))
	return topic, nil
}

// finish makes the summary of a run that ended with err.
func (r *run) finish(err error, took time.Duration) (Summary, error) {
	r.sum.Duration, r.sum.DurationMS = took, took.Milliseconds()
	if err == nil {
		r.sum.Outcome = NothingNew
		if r.sum.Published > 0 {
			r.sum.Outcome = Published
		}
		return r.sum, nil
	}
	r.sum.Outcome, r.sum.RetryAfter = outcomeOf(err, r.d.Now())
	r.sum.Error = err.Error()
	if !r.sum.Outcome.Failed() {
		if r.sum.Published > 0 {
			r.sum.Outcome = Published
		}
		return r.sum, nil
	}
	return r.sum, fmt.Errorf("polling %s: %w", r.s.Name, err)
}
