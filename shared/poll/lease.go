package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/sourceoffset"
	"github.com/riftline/riftline/shared/step"
)

// leaseGrace is how long after a lease's end others still leave it alone: for clocks that differ, and requests that are
// on their way.
const leaseGrace = 30 * time.Second

// leasedTopic is where a run publishes without transactions.
type leasedTopic struct {
	topic kafka.Topic
	// watermarks are the ends of its partitions before the next intent.
	watermarks []int64
}

// choose finds out, before anything is announced, whether this run publishes in transactions. It must not take over the
// transactional id for that, which would end the transaction of a run that is publishing.
func (r *run) choose(ctx context.Context, p Producer, topic kafka.Topic) error {
	r.leasing = false
	if r.s.ExactlyOnceRequired || r.fenced {
		return nil
	}
	refusal := p.Transactions(ctx)
	if refusal == nil {
		return nil
	}
	if !errors.Is(refusal, kafka.ErrTransactionsRefused) {
		// Whatever is no refusal may pass, and nothing is announced yet.
		if o, _ := outcomeOf(refusal, r.d.Now()); o == Unknown {
			refusal = &failure{outcome: Unavailable, err: refusal}
		}
		return fmt.Errorf("finding out whether transactions are allowed: %w", refusal)
	}
	r.leasing, r.sum.ExactlyOnce = true, false
	r.log.WarnContext(ctx, "transactions are refused; publishing without them, as exactly.once.support=requested allows", slog.Any("error", refusal))
	r.leased.topic = topic
	return r.lease(ctx)
}

// lease notes where the topic ends, before an intent is written.
func (r *run) lease(ctx context.Context) (err error) {
	r.leased.watermarks, err = r.producer.Lease(ctx, r.leased.topic)
	if err != nil {
		return fmt.Errorf("finding the ends of topic %s: %w", r.leased.topic.Name, err)
	}
	step.Reached(ctx, "poll.4.leased")
	return nil
}

// publishLeased announces, publishes and closes each part without a transaction. Nothing but the time keeps others away:
// what is sent is sent before the lease ends.
func (r *run) publishLeased(ctx context.Context, b batch, parts []part) error {
	if err := r.announceFirst(ctx, kafka.Topic{}, b, parts[0]); err != nil {
		return err
	}
	for i, p := range parts {
		if err := r.send(ctx, p); err != nil {
			return err
		}
		r.st = r.st.Committed()
		r.sum.Published += len(p.records)
		r.noteOffsets(p)
		if i+1 == len(parts) {
			break
		}
		if err := r.lease(ctx); err != nil {
			r.close(ctx)
			return err
		}
		if err := r.announceNext(ctx, kafka.Topic{}, parts[i+1]); err != nil {
			return err
		}
	}
	r.st.Fields = b.fields
	r.close(ctx)
	return nil
}

// send publishes one part. The object is looked at once more right before that, so that a run whose clock stood still
// while others took its lease for over finds that out.
func (r *run) send(ctx context.Context, p part) error {
	gen, err := r.store.Generation(ctx)
	if err != nil {
		return r.release(ctx, fmt.Errorf("looking again: %w", err))
	}
	if gen != r.gen {
		return leave("it took over the intent of this run, which had been left behind")
	}
	step.Reached(ctx, "poll.7.looked")
	if !r.d.Now().Before(r.st.Intent.Until) {
		return r.release(ctx, &failure{outcome: Unavailable, err: errors.New("publishing: the time of the lease is over, nothing was sent")})
	}
	step.Reached(ctx, "poll.9.begin")
	d, err := r.producer.Send(ctx, p.records, r.deadline.Add(r.d.UntilMargin))
	if err == nil {
		step.Reached(ctx, "poll.9.produced")
		return nil
	}
	if o, _ := outcomeOf(err, r.d.Now()); o == Unknown {
		err = &failure{outcome: Unavailable, err: err}
	}
	if !d.Final {
		until := r.st.Intent.Until.Add(leaseGrace)
		return &failure{outcome: Unknown, retryAfter: until, err: fmt.Errorf("%w; a part of the records may be there: the first poll after %s finds out which", err, until.Format(time.RFC3339))}
	}
	return r.sentInPart(ctx, p, d, err)
}

// sentInPart ends an intent of which it is known what the topic holds and will ever hold.
func (r *run) sentInPart(ctx context.Context, p part, d kafka.Delivery, cause error) error {
	found := newLeaseFound(r.st)
	there := part{id: p.id}
	for i, rec := range p.records {
		if d.There[i] {
			found.add(rec)
			there.records = append(there.records, rec)
		}
	}
	if len(there.records) == 0 {
		return r.release(ctx, cause)
	}
	ctx, cancel := r.linger(ctx)
	defer cancel()
	r.sum.Published += len(there.records)
	r.noteOffsets(there)
	step.Reached(ctx, "poll.10.begin")
	st := found.fold(r.st)
	gen, err := r.store.Write(ctx, st, r.gen, r.ended(st))
	if err != nil {
		r.log.WarnContext(ctx, "noting what was published did not succeed; a later poll finds out", slog.String("intent", p.id), slog.Any("error", err))
		return cause
	}
	r.st, r.gen = st, gen
	step.Reached(ctx, "poll.10.closed")
	return fmt.Errorf("%d of %d records were published: %w", len(there.records), len(p.records), cause)
}

// recoverLease finds out what the topic holds of an intent whose time is over, and leaves the result in r.st for the next
// write, which is the claim as well: nothing of the intent can come any more, so runs that do this at the same time find
// the same.
func (r *run) recoverLease(ctx context.Context) error {
	r.leasing, r.sum.ExactlyOnce = true, false
	p, err := r.openProducer()
	if err != nil {
		return err
	}
	step.Reached(ctx, "poll.R4.begin")
	i := r.st.Intent
	// A search that had little time is begun again by the next poll; one that had a poll's time would have no more then.
	ample := time.Until(r.deadline) > r.total/2
	found, err := r.readLease(ctx, p)
	switch {
	case errors.Is(err, kafka.ErrSearchUnfinished) && ample:
		found.gone = fmt.Sprintf("topic %s is too long to be searched in the time that a poll has", r.st.Topic)
	case errors.Is(err, errRecreated):
		return r.stop(ctx, r.st, fmt.Sprintf("%v; %s", err, r.store.Partition.WaysToForget()))
	case errors.Is(err, kafka.ErrTopicMissing):
		return failed(Unavailable, "recovering: %w; if the topic was deleted: %s", err, r.store.Partition.WaysToForget())
	case err != nil:
		return fmt.Errorf("recovering: %w", err)
	}
	if !found.all() && found.gone != "" {
		return r.stop(ctx, r.st, fmt.Sprintf("%d of the %d records that intent %s of %s published without a transaction were found, and whether there were more cannot be found out: %s; decide: %s",
			found.count(), i.Lease.Records, i.ID, i.At.Format(time.RFC3339), found.gone, settleCommands(r.store.Partition)))
	}
	step.Reached(ctx, "poll.R4.read")
	if r.store.Kind == sourceoffset.None && !found.all() && found.count() > 0 {
		r.log.WarnContext(ctx, "an answer was published in part, and riftline.dedupe=none knows no entries by which to publish the rest: the next answer is published in full", slog.Int("records", found.count()))
	}
	r.st, r.settled, r.sum.Recovered = found.fold(r.st), true, found.outcome()
	r.log.InfoContext(ctx, "settled the intent of a run that published without transactions", slog.String("intent", i.ID),
		slog.Int("found", found.count()), slog.Int64("records", i.Lease.Records))
	return nil
}

// errRecreated says that the topic is not the one that the lease is about.
var errRecreated = errors.New("the topic was deleted and created again: what it held is gone, and the source offset object still knows it")

// readLease reads what the topic holds of the intent.
func (r *run) readLease(ctx context.Context, p Producer) (*leaseFound, error) {
	i, found := r.st.Intent, newLeaseFound(r.st)
	since, err := p.ReadSince(ctx, r.st.Topic, i.Lease.Watermarks, i.ID, found.add)
	if found.gone == "" {
		found.gone = since.Gone
	}
	if err != nil {
		return found, fmt.Errorf("reading topic %s for the records of intent %s: %w", r.st.Topic, i.ID, err)
	}
	if known := r.st.TopicID != [16]byte{}; known && since.Topic.ID != r.st.TopicID {
		return found, fmt.Errorf("topic %s: %w", r.st.Topic, errRecreated)
	}
	return found, nil
}

// leaseFound is what the topic holds of an intent that was published without a transaction.
type leaseFound struct {
	kind   sourceoffset.Kind
	intent *sourceoffset.Intent
	// keys are those of the changes that are there, places those of a log's entries, and records counts for the kind None,
	// which knows neither.
	keys    map[string]*sourceoffset.Fingerprint
	places  map[sourceoffset.Place]bool
	records int
	// gone says why more may have been there, empty when not.
	gone string
}

func newLeaseFound(st sourceoffset.State) *leaseFound {
	return &leaseFound{kind: st.Kind, intent: st.Intent, keys: map[string]*sourceoffset.Fingerprint{}, places: map[sourceoffset.Place]bool{}}
}

// entryName names the entry of a change in its record's header: by the key, in a log behind its timestamp.
func (r *run) entryName(c change) string {
	if r.store.Kind == sourceoffset.Timestamp {
		return c.at.UTC().Format(time.RFC3339Nano) + " " + c.Key
	}
	return c.Key
}

// add takes note of a record of the intent.
func (f *leaseFound) add(rec *kgo.Record) {
	name, named := "", false
	for _, h := range rec.Headers {
		if h.Key == kafka.HeaderEntry {
			name, named = string(h.Value), true
		}
	}
	switch f.kind {
	case sourceoffset.None:
		f.records++
		return
	case sourceoffset.Timestamp:
		text, key, _ := strings.Cut(name, " ")
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			f.places[sourceoffset.Place{At: at.UTC(), Key: key}] = true
			return
		}
	default:
		if change, ok := f.intent.Change(name); ok && named {
			f.keys[name] = change
			return
		}
	}
	f.gone = fmt.Sprintf("the record at %s/%d, offset %d, has the intent's id, and its header %s names no entry of it", rec.Topic, rec.Partition, rec.Offset, kafka.HeaderEntry)
}

func (f *leaseFound) count() int { return len(f.keys) + len(f.places) + f.records }

func (f *leaseFound) all() bool { return int64(f.count()) >= f.intent.Lease.Records }

func (f *leaseFound) outcome() string {
	switch {
	case f.all():
		return "committed"
	case f.count() == 0:
		return "not_committed"
	}
	return "partly"
}

// fold is the state that knows what was found. Of the kind None, which knows no entries, a part is as good as nothing: it
// is published again with the next answer, as an entry that comes twice is no harm there and one that is lost would be.
func (f *leaseFound) fold(st sourceoffset.State) sourceoffset.State {
	switch {
	case f.all():
		return st.Committed()
	case f.kind == sourceoffset.Snapshot && len(f.keys) > 0:
		changes := make([]sourceoffset.Change, 0, len(f.keys))
		for key, change := range f.keys {
			changes = append(changes, sourceoffset.Change{Key: key, Fingerprint: change})
		}
		st.Base = st.Base.With(sourceoffset.SortChanges(changes))
	case f.kind == sourceoffset.Timestamp:
		places := make([]sourceoffset.Place, 0, len(f.places))
		for p := range f.places {
			places = append(places, p)
		}
		st.Cursor = st.Cursor.WithAhead(places...)
	}
	return st.Released()
}

// settleLease is what a person says of a lease that stopped the source partition. What reading tells is not asked for.
func (o *operation) settleLease(ctx context.Context) (sourceoffset.State, error) {
	p, err := o.openProducer()
	if err != nil {
		return o.st, err
	}
	i := o.st.Intent
	found, err := o.readLease(ctx, p)
	switch {
	case errors.Is(err, kafka.ErrSearchUnfinished):
		found.gone = "the topic could not be read in time"
	case errors.Is(err, errRecreated), errors.Is(err, kafka.ErrTopicMissing):
		return o.st, failed(Stopped, "%w; %s", err, o.store.Partition.WaysToForget())
	case err != nil:
		return o.st, err
	}
	switch {
	case found.all() && !o.q.Committed:
		return o.st, failed(Stopped, "topic %s holds all %d records of intent %s: '%s'", o.st.Topic, i.Lease.Records, i.ID, o.store.Partition.Command("settle", "--committed"))
	case !found.all() && found.gone == "" && o.q.Committed:
		return o.st, failed(Stopped, "topic %s holds %d of the %d records of intent %s: '%s', which takes these for published", o.st.Topic, found.count(), i.Lease.Records, i.ID, o.store.Partition.Command("settle", "--not-committed"))
	}
	st := o.st
	if o.q.Committed {
		st = st.Committed()
	} else {
		st = found.fold(st)
	}
	st.Stopped = ""
	return st, nil
}

// leaseLeft tells whether a log was published in part, in which case its records do not say up to where all is there.
func leaseLeft(st sourceoffset.State) bool {
	return st.Kind == sourceoffset.Timestamp && (len(st.Cursor.Ahead) > 0 || st.Intent != nil && st.Intent.Lease != nil)
}

// withoutFence tells whether a person's command goes on where the brokers refuse the transactional id: where publishing
// goes on too, or has. Nothing but the time keeps a run that was left behind from publishing then, as ever without
// transactions.
func (o *operation) withoutFence(err error) bool {
	lease := o.st.Intent != nil && o.st.Intent.Lease != nil
	return (lease || !o.s.ExactlyOnceRequired) && errors.Is(err, kafka.ErrTransactionsRefused)
}

// unreadable tells whether it is the missing right to read the marker that keeps a command from going on which does not
// need the marker.
func (o *operation) unreadable(err error) bool {
	lease := o.st.Intent != nil && o.st.Intent.Lease != nil
	return (lease || !o.s.ExactlyOnceRequired) && errors.Is(err, kafka.ErrAuthorization)
}
