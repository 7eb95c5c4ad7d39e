package poll

import (
	"context"
	"maps"

	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/sourceoffset"
)

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
