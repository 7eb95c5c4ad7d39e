package poll

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/connector/timestamp"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/sourceoffset"
	"github.com/riftline/riftline/shared/step"
)

// The offset properties that castorm makes itself.
const (
	keyProperty       = "key"
	timestampProperty = "timestamp"
)

// beginCursor begins a log at http.offset.initial where nothing was published.
func (r *run) beginCursor() error {
	initial := r.s.Initial[timestampProperty]
	if r.store.Kind != sourceoffset.Timestamp || r.st.Cursor.Began() || initial == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, initial)
	if err != nil {
		return failed(Refused, "reading timestamp of http.offset.initial: %w", err)
	}
	r.st.Cursor.At = at.UTC()
	return nil
}

// offset returns the offset properties that the request's templates are filled with.
func (r *run) offset() map[string]string {
	if len(r.s.Request.OffsetNames) == 0 {
		return nil
	}
	m := maps.Clone(r.s.Initial)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, r.st.Cursor.Offset)
	if at := r.st.Cursor.At; !at.IsZero() {
		m[timestampProperty] = instant(at)
	}
	return m
}

// instant writes a time as Java's Instant.toString does: to the second, or with 3, 6 or 9 digits behind it.
func instant(t time.Time) string {
	layout := "2006-01-02T15:04:05Z"
	switch n := t.Nanosecond(); {
	case n%1e6 != 0 && n%1e3 != 0:
		layout = "2006-01-02T15:04:05.000000000Z"
	case n%1e6 != 0:
		layout = "2006-01-02T15:04:05.000000Z"
	case n != 0:
		layout = "2006-01-02T15:04:05.000Z"
	}
	return t.UTC().Format(layout)
}

// timesOf returns the timestamps of the entries, which are those of the records: what the timestamp pointer leads to,
// or the beginning of the run where there is none.
func (r *run) timesOf(answer httpsource.Answer) ([]time.Time, error) {
	times := make([]time.Time, len(answer.Entries))
	if r.s.Timestamp == "" {
		for i := range times {
			times[i] = r.start
		}
		return times, nil
	}
	parser := r.s.TimestampParser
	if parser == nil {
		parser = timestamp.Default()
	}
	for i := range times {
		item := itemOf(answer, i)
		v, ok := item.At(r.s.Timestamp)
		if !ok || v.Kind == record.Null {
			return nil, failed(Upstream, "finding timestamps: entry %d of %d has no %s (http.response.record.offset.pointer); its members are %s",
				i, len(times), r.s.Timestamp, fieldNames(item))
		}
		at, err := parser.Parse(v.AsText())
		if err != nil {
			return nil, failed(Upstream, "reading the timestamp of entry %d of %d at %s: %w; http.response.record.timestamp.parser says how", i, len(times), r.s.Timestamp, err)
		}
		times[i] = at
	}
	return times, nil
}

// itemOf is the element of the list that an entry was cut from.
func itemOf(answer httpsource.Answer, i int) *record.Value {
	if len(answer.Items) == len(answer.Entries) {
		return &answer.Items[i]
	}
	return &answer.Entries[i]
}

// order returns the places of the entries from the oldest to the newest. Those of a log are sorted by their timestamps,
// so that each transaction ends at a place from which the next poll can go on; entries with the same timestamp keep the
// order that the answer gives them.
func (r *run) order(n int, times []time.Time) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	descending := r.s.Order == connector.Descending
	if (r.s.Order == connector.ImplicitOrder || r.s.Order == "") && n > 1 {
		descending = times[0].After(times[n-1])
	}
	if descending {
		slices.Reverse(order)
	}
	if r.store.Kind == sourceoffset.Timestamp {
		slices.SortStableFunc(order, func(a, b int) int { return times[a].Compare(times[b]) })
	}
	return order
}

// compareLog takes the answer for a part of a log: what is not behind the cursor is new. With the kind None all of it
// is.
func (r *run) compareLog(b *batch, keys []string, times []time.Time, order []int) error {
	type place struct {
		at  int64
		key string
	}
	where := func(i int) place { return place{times[i].UnixNano(), keys[i]} }
	last := make(map[place]int, len(order))
	if r.store.Kind == sourceoffset.Timestamp {
		for n, i := range order {
			last[where(i)] = n
		}
	}
	unchanged, repeated, newest := 0, 0, -1
	for n, i := range order {
		if r.store.Kind == sourceoffset.Timestamp {
			if !times[i].Before(r.st.Cursor.At) {
				newest = i
			}
			switch {
			case last[where(i)] != n:
				repeated++
				continue
			case r.st.Cursor.Seen(times[i], keys[i]), r.s.Dedupe.NewerOnly && r.st.Cursor.Began() && times[i].Equal(r.st.Cursor.At):
				unchanged++
				continue
			}
		} else {
			newest = i
		}
		b.changes = append(b.changes, change{
			Changed: sourceoffset.Changed{Entry: sourceoffset.Entry{Key: keys[i]}, Index: i}, entry: &b.answer.Entries[i], at: times[i],
		})
	}
	r.count(unchanged, repeated, b.changes)
	b.cursor = r.cursorAfter(r.st.Cursor, *b, b.changes)
	if newest < 0 || len(r.s.Request.OffsetNames) == 0 {
		return r.checkOffsets(b)
	}
	if err := r.checkOffsets(b); err != nil {
		return err
	}
	properties, err := r.properties(b.answer, newest, keys[newest], times[newest])
	b.cursor.Offset = properties
	return err
}

// checkOffsets makes sure that every change has the offset properties that templates use, as a transaction may end at
// any of them.
func (r *run) checkOffsets(b *batch) error {
	for _, c := range b.changes {
		if _, err := r.properties(b.answer, c.Index, c.Key, c.at); err != nil {
			return err
		}
	}
	return nil
}

// properties are the offset properties of an entry that the request's templates use, nil when they use none.
func (r *run) properties(answer httpsource.Answer, i int, key string, at time.Time) (map[string]string, error) {
	var m map[string]string
	for _, name := range r.s.Request.OffsetNames {
		var text string
		pointer, has := r.s.Offset[name]
		switch {
		case name == keyProperty:
			text = key
		case name == timestampProperty && r.store.Kind == sourceoffset.Timestamp:
			// It is the cursor itself.
			continue
		case name == timestampProperty && r.s.Timestamp != "":
			text = instant(at)
		case !has:
			continue
		default:
			v, ok := itemOf(answer, i).At(pointer)
			if !ok || v.Kind == record.Null {
				return nil, failed(Upstream, "finding the offset property %s: entry %d of %d has no %s (http.response.record.offset.pointer); its members are %s",
					name, i, len(answer.Entries), pointer, fieldNames(itemOf(answer, i)))
			}
			text = v.AsText()
		}
		if m == nil {
			m = map[string]string{}
		}
		m[name] = text
	}
	return m, nil
}

// cursorAfter is the cursor after the changes, which are sorted by their timestamps, were published.
func (r *run) cursorAfter(c sourceoffset.Cursor, b batch, changes []change) sourceoffset.Cursor {
	if len(changes) == 0 || r.store.Kind == sourceoffset.Snapshot {
		return c
	}
	newest := changes[len(changes)-1]
	if r.store.Kind == sourceoffset.Timestamp {
		var keys []string
		for i := len(changes) - 1; i >= 0 && changes[i].at.Equal(newest.at); i-- {
			keys = append(keys, changes[i].Key)
		}
		c = c.With(newest.at, keys...)
	}
	// compareLog has made sure that they are there.
	if properties, err := r.properties(b.answer, newest.Index, newest.Key, newest.at); err == nil {
		c.Offset = properties
	}
	return c
}

// cursorBefore is the cursor after the changes from first to before next were published, behind which others are to come.
func (r *run) cursorBefore(c sourceoffset.Cursor, b batch, first, next int) sourceoffset.Cursor {
	newest := b.changes[next-1].at
	if r.store.Kind != sourceoffset.Timestamp || !r.s.Dedupe.NewerOnly || !b.changes[next].at.Equal(newest) {
		return r.cursorAfter(c, b, b.changes[first:next])
	}
	// A cursor at a timestamp of which entries are still to come would have the next poll drop these.
	tie := next - 1
	for tie > first && b.changes[tie-1].at.Equal(newest) {
		tie--
	}
	var ahead []sourceoffset.Place
	for _, one := range b.changes[tie:next] {
		ahead = append(ahead, sourceoffset.Place{At: one.at, Key: one.Key})
	}
	return r.cursorAfter(c, b, b.changes[first:tie]).WithAhead(ahead...)
}

// moveCursor notes a cursor that moved although there is nothing to publish: the newest entry has other offset
// properties. Where there is no object yet nothing is made, as the request is the same again.
func (r *run) moveCursor(ctx context.Context, c sourceoffset.Cursor) error {
	if r.gen == 0 || c.Equal(r.st.Cursor) {
		return nil
	}
	st := r.st
	st.Cursor = c
	step.Reached(ctx, "poll.3.begin")
	gen, err := r.store.Write(ctx, st, r.gen, func(s sourceoffset.State) bool {
		return sourceoffset.Settled(st.Last)(s) && s.Cursor.Equal(c)
	})
	switch {
	case errors.Is(err, bucket.ErrLost):
		r.settled = false
		return leave("it went on while this run compared")
	case err != nil:
		return fmt.Errorf("noting the cursor: %w", err)
	}
	r.st, r.gen, r.settled = st, gen, false
	step.Reached(ctx, "poll.3.moved")
	return nil
}
