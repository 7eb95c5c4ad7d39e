package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/sourceoffset"
	"github.com/riftline/riftline/shared/step"
)

// publish announces, publishes and closes each part.
func (r *run) publish(ctx context.Context, markerTopic kafka.Topic, b batch, parts []part) error {
	if r.leasing {
		return r.publishLeased(ctx, b, parts)
	}
	if err := r.announceFirst(ctx, markerTopic, b, parts[0]); err != nil {
		return err
	}
	if err := r.fence(ctx, markerTopic); err != nil {
		return err
	}
	for i, p := range parts {
		if err := r.transact(ctx, markerTopic, p); err != nil {
			return err
		}
		r.st = r.st.Committed()
		r.sum.Published += len(p.records)
		r.sum.Transactions++
		r.noteOffsets(p)
		if i+1 == len(parts) {
			break
		}
		if err := r.announceNext(ctx, markerTopic, parts[i+1]); err != nil {
			return err
		}
	}
	r.st.Fields = b.fields
	r.close(ctx)
	return nil
}

func (r *run) intent(p part, markerTopic kafka.Topic) *sourceoffset.Intent {
	now := r.d.Now()
	i := &sourceoffset.Intent{ID: p.id, At: now, Until: r.until(), Changes: p.changes, Cursor: p.cursor}
	if r.leasing {
		i.Lease = &sourceoffset.Lease{Watermarks: r.leased.watermarks, Records: int64(len(p.records))}
	} else {
		i.MarkerTopic = markerTopic.Name
	}
	return i
}

// announceFirst writes the intent of the first part over the state that was loaded.
func (r *run) announceFirst(ctx context.Context, markerTopic kafka.Topic, b batch, p part) error {
	st := r.st
	st.Base = b.noted
	st.Intent = r.intent(p, markerTopic)
	r.own[p.id] = len(p.records)
	step.Reached(ctx, "poll.5.begin")
	gen, err := r.store.Write(ctx, st, r.gen, sourceoffset.OwnIntent(p.id))
	if err != nil {
		if errors.Is(err, bucket.ErrLost) {
			r.settled = false
			return leave("it wrote its intent first")
		}
		if errors.Is(err, bucket.ErrUnknown) || ctx.Err() != nil {
			r.settled = false
			return r.takeBack(ctx, p.id, fmt.Errorf("announcing the changes: %w", err))
		}
		return fmt.Errorf("announcing the changes: %w", err)
	}
	r.st, r.gen, r.settled = st, gen, false
	step.Reached(ctx, "poll.5.intent")
	return nil
}

// announceNext closes a committed part and carries the intent of the next one in the same write.
func (r *run) announceNext(ctx context.Context, markerTopic kafka.Topic, p part) error {
	st := r.st
	st.Intent = r.intent(p, markerTopic)
	r.own[p.id] = len(p.records)
	step.Reached(ctx, "poll.5.begin")
	gen, err := r.store.Write(ctx, st, r.gen, sourceoffset.OwnIntent(p.id))
	switch {
	case errors.Is(err, bucket.ErrLost):
		return leave("it settled the part that was published")
	case err != nil:
		return r.takeBack(ctx, p.id, fmt.Errorf("announcing the next part: %w", err))
	}
	r.st, r.gen = st, gen
	step.Reached(ctx, "poll.5.intent")
	return nil
}

// fence makes sure that this run alone may commit: steps 6 to 8. A recovery in the same run holds the transactional id
// already, since before the intent was written.
func (r *run) fence(ctx context.Context, markerTopic kafka.Topic) error {
	if !r.fenced {
		if err := r.producer.Fence(ctx); err != nil {
			return r.release(ctx, fmt.Errorf("taking over transactional id %s: %w", r.store.Partition.TransactionalID(), err))
		}
		r.fenced = true
		step.Reached(ctx, "poll.6.fenced")
		gen, err := r.store.Generation(ctx)
		if err != nil {
			return r.release(ctx, fmt.Errorf("looking again: %w", err))
		}
		if gen != r.gen {
			return leave("it took over the intent of this run, which had been left behind")
		}
		step.Reached(ctx, "poll.7.looked")
	}
	m, ok, err := markerOf(ctx, r.producer, markerTopic.Name)
	if err != nil {
		return r.release(ctx, fmt.Errorf("checking the marker of group %s: %w", r.store.Partition.TransactionalID(), err))
	}
	if ok && m.ID != r.st.Last {
		return r.stop(ctx, r.st.Released(), fmt.Sprintf("group %s holds the marker %s on topic %s, and the source offset object knows of %s: the object was restored or replaced by hand; %s",
			r.store.Partition.TransactionalID(), m.ID, markerTopic.Name, orNone(r.st.Last), r.store.Partition.WaysToForget()))
	}
	step.Reached(ctx, "poll.8.checked")
	return nil
}

// transact publishes one part.
func (r *run) transact(ctx context.Context, markerTopic kafka.Topic, p part) error {
	step.Reached(ctx, "poll.9.begin")
	m := kafka.Marker{ID: p.id, Commits: r.st.Commits + 1}
	err := r.producer.Publish(ctx, p.records, markerTopic, m, r.deadline.Add(r.d.UntilMargin))
	if err == nil {
		return nil
	}
	// Only an error that says so means that nothing can be committed any more; every other one is a commit whose
	// outcome is not known.
	if errors.Is(err, kafka.ErrNotCommitted) && !errors.Is(err, kafka.ErrUnknownOutcome) {
		r.closeProducer()
		return r.release(ctx, fmt.Errorf("publishing %d records: %w", len(p.records), err))
	}
	r.unsettled = p.id
	return fmt.Errorf("publishing %d records: %w", len(p.records), err)
}

// noteOffsets notes where the records of a committed part lie.
func (r *run) noteOffsets(p part) {
	if r.sum.FirstOffsets == nil {
		r.sum.FirstOffsets, r.sum.LastOffsets = map[int32]int64{}, map[int32]int64{}
	}
	for _, rec := range p.records {
		if first, ok := r.sum.FirstOffsets[rec.Partition]; !ok || rec.Offset < first {
			r.sum.FirstOffsets[rec.Partition] = rec.Offset
		}
		if last, ok := r.sum.LastOffsets[rec.Partition]; !ok || rec.Offset > last {
			r.sum.LastOffsets[rec.Partition] = rec.Offset
		}
	}
}

// close writes the new base without the intent. Whatever becomes of it, the changes are published: another run may
// have settled it, and if nobody did the next one does.
func (r *run) close(ctx context.Context) {
	ctx, cancel := r.linger(ctx)
	defer cancel()
	step.Reached(ctx, "poll.10.begin")
	gen, err := r.store.Write(ctx, r.st, r.gen, r.ended(r.st))
	if err != nil {
		r.log.InfoContext(ctx, "closing the intent did not succeed; it is published, and another poll settles it", slog.Any("error", err))
		return
	}
	r.gen = gen
	step.Reached(ctx, "poll.10.closed")
}

// ended recognises the write that ends an intent. Without a transaction it has no id to go by, only all that it says.
func (r *run) ended(st sourceoffset.State) func(sourceoffset.State) bool {
	if r.leasing {
		return sourceoffset.Same(st)
	}
	return sourceoffset.Settled(st.Last)
}

// release takes back an intent that can never commit because of cause, also when the run's own context has ended. It
// returns how the run ends: by its cause, or because another run has taken the intent over, which explains the cause.
func (r *run) release(ctx context.Context, cause error) error {
	ctx, cancel := r.linger(ctx)
	defer cancel()
	step.Reached(ctx, "poll.release.begin")
	id, st := r.st.Intent.ID, r.st.Released()
	gen, err := r.store.Write(ctx, st, r.gen, r.ended(st))
	switch {
	case errors.Is(err, bucket.ErrLost):
		return leave(fmt.Sprintf("it took over the intent of this run (%v)", cause))
	case err != nil:
		r.log.WarnContext(ctx, "taking back the intent did not succeed; the next poll settles it", slog.String("intent", id), slog.Any("error", err))
		return cause
	}
	r.st, r.gen = st, gen
	step.Reached(ctx, "poll.release.written")
	return cause
}

// takeBack releases an intent whose write has an unknown outcome: if it is there, and nobody claimed it, it goes.
func (r *run) takeBack(ctx context.Context, id string, cause error) error {
	linger, cancel := r.linger(ctx)
	defer cancel()
	st, gen, err := r.store.Load(linger)
	if err != nil || !sourceoffset.OwnIntent(id)(st) {
		return cause
	}
	r.st, r.gen = st, gen
	return r.release(ctx, cause)
}
