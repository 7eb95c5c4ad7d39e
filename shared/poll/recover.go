package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/sourceoffset"
	"github.com/riftline/riftline/shared/step"
)

// recover finds out what became of the intent that was loaded, and leaves the result in r.st for the next write. It
// holds the transactional id afterwards.
func (r *run) recover(ctx context.Context) error {
	if err := r.claim(ctx); err != nil {
		return err
	}
	step.Reached(ctx, "poll.R1.claimed")
	p, err := r.openProducer()
	if err != nil {
		return err
	}
	if err := p.Fence(ctx); err != nil {
		return r.unfenced(ctx, err)
	}
	r.fenced = true
	step.Reached(ctx, "poll.R2.fenced")
	if r.st.Intent == nil {
		r.st, r.settled = r.st.Released(), true
		return nil
	}
	committed, err := r.ask(ctx, p)
	if err != nil {
		return err
	}
	step.Reached(ctx, "poll.R3.asked")
	r.settle(ctx, committed)
	return nil
}

// unfenced ends a recovery that could not take over the transactional id. A claim without an intent is that of a person's
// command, which writes nothing any more once it is claimed itself, so there was nobody to fence.
func (r *run) unfenced(ctx context.Context, err error) error {
	refused := errors.Is(err, kafka.ErrTransactionsRefused)
	switch {
	case refused && r.st.Intent == nil && !r.s.ExactlyOnceRequired:
		r.st, r.settled = r.st.Released(), true
		r.log.InfoContext(ctx, "settled a command that did not end")
		return nil
	case refused && r.st.Intent != nil && !r.s.ExactlyOnceRequired:
		err = fmt.Errorf("%w; intent %s was announced when transactions were allowed, and without them nothing tells what became of it: allow them again, or decide: %s",
			err, r.st.Intent.ID, settleCommands(r.store.Partition))
	}
	return fmt.Errorf("recovering: taking over transactional id %s: %w", r.store.Partition.TransactionalID(), err)
}

func (r *run) claim(ctx context.Context) error {
	id, err := sourceoffset.NewID(r.d.Rand)
	if err != nil {
		return err
	}
	st := r.st
	st.Claim = &sourceoffset.Claim{ID: id, At: r.d.Now(), Until: r.until()}
	step.Reached(ctx, "poll.R1.begin")
	gen, err := r.store.Write(ctx, st, r.gen, sourceoffset.OwnClaim(id))
	if errors.Is(err, bucket.ErrLost) {
		return leave("it claimed the intent or settled it first")
	}
	if err != nil {
		return fmt.Errorf("recovering: claiming the intent: %w", err)
	}
	r.st, r.gen = st, gen
	return nil
}

// ask tells whether the intent's transaction committed. It is final, as the owner is fenced and finds the claim when
// it looks again.
func (r *run) ask(ctx context.Context, p Producer) (committed bool, err error) {
	intent := r.st.Intent
	m, ok, err := p.Marker(ctx, intent.MarkerTopic)
	switch {
	case errors.Is(err, kafka.ErrTopicMissing):
		// It was there when the intent was written. A broker may not know yet of a topic that was made a moment ago.
		return false, failed(Unavailable, "recovering: reading the marker of group %s: %w; if the topic was deleted: %s",
			r.store.Partition.TransactionalID(), err, r.store.Partition.WaysToForget())
	case err != nil:
		return false, fmt.Errorf("recovering: reading the marker of group %s: %w", r.store.Partition.TransactionalID(), err)
	case ok && m.ID == intent.ID:
		return true, nil
	case ok && m.ID == r.st.Last:
		return false, nil
	case ok:
		return false, r.stop(ctx, r.st, fmt.Sprintf("group %s holds the marker %s on topic %s, and the source offset object knows only of %s and of the intent %s: the object was restored or replaced by hand; %s",
			r.store.Partition.TransactionalID(), m.ID, intent.MarkerTopic, orNone(r.st.Last), intent.ID, r.store.Partition.WaysToForget()))
	}
	if r.d.Now().Sub(intent.At) < r.s.MarkerAge {
		return false, nil
	}
	return r.search(ctx, p)
}

// markerOf reads a marker as p.Marker does, and takes a topic that is missing for one that holds none: offsets go with
// their topic. That must not decide what became of an intent.
func markerOf(ctx context.Context, p Producer, topic string) (m kafka.Marker, ok bool, err error) {
	m, ok, err = p.Marker(ctx, topic)
	if errors.Is(err, kafka.ErrTopicMissing) {
		return kafka.Marker{}, false, nil
	}
	return m, ok, err
}

// search reads the topic for an intent whose marker may have expired.
func (r *run) search(ctx context.Context, p Producer) (committed bool, err error) {
	intent := r.st.Intent
	r.log.WarnContext(ctx, "the intent is older than riftline.marker.age and there is no marker; searching the topic",
		slog.String("intent", intent.ID), slog.Time("at", intent.At), slog.String("topic", r.st.Topic))
	since := intent.At
	if r.s.Timestamp != "" {
		// The records have the entries' timestamps, which do not say how far back the topic reaches: only one from which
		// nothing was removed does.
		since = time.Time{}
	}
	// A search that had little time is begun again by the next poll; one that had a poll's time would have no more then.
	ample := time.Until(r.deadline) > r.total/2
	found, err := p.FindIntent(ctx, r.st.Topic, intent.ID, since)
	if errors.Is(err, kafka.ErrSearchUnfinished) && ample {
		return false, r.stop(ctx, r.st, fmt.Sprintf("whether intent %s of %s was committed could not be found out: its marker has expired and topic %s is too long to be searched in the time that a poll has; decide: %s",
			intent.ID, intent.At.Format(time.RFC3339), r.st.Topic, settleCommands(r.store.Partition)))
	}
	if err != nil {
		return false, fmt.Errorf("recovering: searching topic %s for the records of intent %s: %w", r.st.Topic, intent.ID, err)
	}
	switch found {
	case kafka.Committed:
		return true, nil
	case kafka.NotCommitted:
		return false, nil
	}
	return false, r.stop(ctx, r.st, fmt.Sprintf("whether intent %s of %s was committed cannot be found out any more: its marker has expired and topic %s no longer reaches back to it; decide: %s",
		intent.ID, intent.At.Format(time.RFC3339), r.st.Topic, settleCommands(r.store.Partition)))
}

func (r *run) settle(ctx context.Context, committed bool) {
	id := r.st.Intent.ID
	records, mine := r.own[id]
	if committed {
		r.st, r.sum.Recovered = r.st.Committed(), "committed"
	} else {
		r.st, r.sum.Recovered = r.st.Released(), "not_committed"
	}
	if mine && committed {
		r.sum.Published += records
		r.sum.Transactions++
	}
	if r.unsettled == id {
		r.unsettled = ""
	}
	r.settled = true
	r.log.InfoContext(ctx, "settled the intent of an unfinished run", slog.String("intent", id), slog.Bool("committed", committed), slog.Bool("own", mine))
}

// writeSettled writes the result of a recovery that no other write carried. Its failure costs the next run another
// recovery, with the same result.
func (r *run) writeSettled(ctx context.Context) {
	ctx, cancel := r.linger(ctx)
	defer cancel()
	r.settled = false
	step.Reached(ctx, "poll.R5.begin")
	if _, err := r.store.Write(ctx, r.st, r.gen, r.ended(r.st)); err != nil {
		r.log.InfoContext(ctx, "writing the result of a recovery did not succeed; the next poll settles it", slog.Any("error", err))
		return
	}
	step.Reached(ctx, "poll.R5.written")
}

// stop writes the reason for which no run may go on, at the generation that is held, and returns it as the failure. An
// intent and its claim stay as they are: an owner that wakes up must not take the intent for its own.
//
// What contradicts the state that this run holds contradicts nothing when another run has moved on since, so a reason
// counts only if the object is still the one that was loaded.
func (r *run) stop(ctx context.Context, st sourceoffset.State, reason string) error {
	ctx, cancel := r.linger(ctx)
	defer cancel()
	r.settled = false
	// What others have written may be part of it, and an object holds nothing but UTF-8.
	reason = strings.ToValidUTF8(reason, "\ufffd")
	st.Stopped = reason
	err := r.stillHeld(ctx, st)
	switch {
	case errors.Is(err, bucket.ErrLost):
		return leave("it went on while this run was behind")
	case err != nil:
		return fmt.Errorf("%s; writing that it is stopped: %w", reason, err)
	}
	return failed(Stopped, "%s: %s", r.store.URL(), reason)
}

// stillHeld writes the stopped state. Where there is no object nothing is created: its absence is looked at once more.
func (r *run) stillHeld(ctx context.Context, st sourceoffset.State) error {
	if r.gen != 0 {
		_, err := r.store.Write(ctx, st, r.gen, sourceoffset.StoppedFor(st.Stopped))
		return err
	}
	gen, err := r.store.Generation(ctx)
	if err == nil && gen != 0 {
		return bucket.ErrLost
	}
	return err
}

// linger returns a context for what must still be done when ctx has ended: it lasts ReleaseTimeout longer.
func (r *run) linger(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithDeadline(context.WithoutCancel(ctx), r.deadline.Add(r.d.ReleaseTimeout))
	stop := context.AfterFunc(ctx, func() {
		late, done := context.WithTimeout(out, r.d.ReleaseTimeout)
		defer done()
		<-late.Done()
		cancel()
	})
	return out, func() { stop(); cancel() }
}

func orNone(id string) string {
	if id == "" {
		return "none"
	}
	return id
}
