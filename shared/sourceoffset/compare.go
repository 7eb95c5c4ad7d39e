package sourceoffset

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/record"
)

// Fingerprinter makes fingerprints. It is not safe for concurrent use.
type Fingerprinter struct {
	ignore    [][]string
	canonical record.Canonical
	scratch   []byte
}

// NewFingerprinter leaves out what the given JSON pointers (RFC 6901) name inside each entry.
func NewFingerprinter(ignore []string) *Fingerprinter {
	f := &Fingerprinter{}
	for _, pointer := range ignore {
		if tokens := record.Tokens(pointer); len(tokens) > 0 {
			f.ignore = append(f.ignore, tokens)
		}
	}
	// What is taken out of an array moves the elements behind it, so those are taken out first.
	slices.SortFunc(f.ignore, func(a, b []string) int { return slices.CompareFunc(b, a, compareTokens) })
	f.ignore = slices.CompactFunc(f.ignore, slices.Equal)
	return f
}

// compareTokens compares two tokens. Those that are an array's indices come first, by their numbers.
func compareTokens(a, b string) int {
	i, first := elementIndex(a)
	j, second := elementIndex(b)
	switch {
	case first && second:
		return i - j
	case first:
		return -1
	case second:
		return 1
	}
	return strings.Compare(a, b)
}

// elementIndex reads an array's index as RFC 6901 writes it.
func elementIndex(token string) (int, bool) {
	i, err := strconv.Atoi(token)
	return i, err == nil && i >= 0 && token == strconv.Itoa(i)
}

// Of returns the fingerprint of an entry.
func (f *Fingerprinter) Of(entry *record.Value) Fingerprint {
	v := *entry
	for _, tokens := range f.ignore {
		v = without(v, tokens)
	}
	f.scratch = f.canonical.Append(f.scratch[:0], &v)
	sum := sha256.Sum256(f.scratch)
	return Fingerprint(sum[:16])
}

// without returns v without what tokens name, copying only the containers on the way there.
func without(v record.Value, tokens []string) record.Value {
	switch v.Kind {
	case record.Object:
		i := slices.IndexFunc(v.Fields, func(f record.Field) bool { return f.Name == tokens[0] })
		if i < 0 {
			return v
		}
		fields := slices.Clone(v.Fields)
		if len(tokens) == 1 {
			fields = slices.Delete(fields, i, i+1)
		} else {
			fields[i].Value = without(fields[i].Value, tokens[1:])
		}
		v.Fields = fields
	case record.Array:
		i, ok := elementIndex(tokens[0])
		if !ok || i >= len(v.Items) {
			return v
		}
		items := slices.Clone(v.Items)
		if len(tokens) == 1 {
			items = slices.Delete(items, i, i+1)
		} else {
			items[i] = without(items[i], tokens[1:])
		}
		v.Items = items
	}
	return v
}

// Entry is an entry of an answer as Compare sees it.
type Entry struct {
	Key         string
	Fingerprint Fingerprint
}

// Changed is an entry that the topic does not hold.
type Changed struct {
	Entry
	// Index is the place of the entry in the answer.
	Index int
	// Before is what the topic holds under the key, nil for a key that is not known.
	Before *Fingerprint
}

// Difference is what an answer has that base has not, and the other way round.
type Difference struct {
	// Changes are the entries to publish, in the order of the answer, one for each key.
	Changes []Changed
	// Unchanged counts keys that the topic holds as they are, Repeated the entries whose key came again later in the
	// answer, Left the keys that the topic holds, that were there at last and are no more.
	Unchanged, Repeated, Left int
	// Stale is true when a key came back as it was so long after it left that another poll must not find it so: soon it
	// would be taken for one that stayed away.
	Stale bool
	// Doubtful is true for an answer that is empty or lacks more than half of the keys that were there at last. Nobody
	// is taken to have left by it.
	Doubtful bool

	base Base
	// left, returned and expired are places in base.
	left     []int
	returned []int
	expired  []int
	absent   []string
	now      time.Time
}

// Compare compares an answer that is the whole truth with base. Of entries with the same key the last one wins. A key
// that left is known for keep after that was noted, and is new again from then on.
func Compare(base Base, entries []Entry, now time.Time, keep time.Duration) Difference {
	d := Difference{base: base, now: now.UTC().Truncate(time.Second)}
	places := d.departures(entries, keep)
	for i, e := range entries {
		at := places[i]
		if at == repeated {
			d.Repeated++
			continue
		}
		var known Known
		ok := at >= 0
		if ok {
			known = base.list[at].Known
			ok = known.MissingSince.IsZero() || now.Sub(known.MissingSince) <= keep
		}
		if d.Changes == nil && (!ok || known.Fingerprint != e.Fingerprint) {
			d.Changes = make([]Changed, 0, len(entries)-i)
		}
		switch {
		case !ok:
			d.Changes = append(d.Changes, Changed{Entry: e, Index: i})
		case known.Fingerprint != e.Fingerprint:
			d.Changes = append(d.Changes, Changed{Entry: e, Index: i, Before: &base.list[at].Fingerprint})
		default:
			d.Unchanged++
			if !known.MissingSince.IsZero() {
				d.returned = append(d.returned, at)
				d.Stale = d.Stale || now.Sub(known.MissingSince) > keep/2
			}
		}
	}
	return d
}

// What stands for a place in base: an entry whose key is not in it, and one whose key comes again.
const (
	unknown  = -1
	repeated = -2
)

// departures goes through base and the answer by their keys, both sorted. It notes who left, and returns the place in
// base of each entry's key.
func (d *Difference) departures(entries []Entry, keep time.Duration) []int {
	places := make([]int, len(entries))
	order := inOrder(len(entries), func(i int) string { return entries[i].Key })
	at, present := 0, 0
	for n, p := range order {
		key := entries[p.at].Key
		if n+1 < len(order) && entries[order[n+1].at].Key == key {
			places[p.at] = repeated
			continue
		}
		for at < len(d.base.list) && d.base.list[at].key < key {
			present += d.absence(at, keep)
			at++
		}
		places[p.at] = unknown
		if at < len(d.base.list) && d.base.list[at].key == key {
			if places[p.at] = at; d.base.list[at].MissingSince.IsZero() {
				present++
			}
			at++
		}
	}
	for ; at < len(d.base.list); at++ {
		present += d.absence(at, keep)
	}
	if d.Doubtful = len(entries) == 0 || 2*len(d.left) > present; d.Doubtful {
		d.left, d.absent = nil, nil
	}
	d.Left = len(d.left)
	return places
}

// absence notes a key that the answer lacks and returns 1 if it was there at last.
func (d *Difference) absence(at int, keep time.Duration) int {
	known := &d.base.list[at]
	d.absent = append(d.absent, known.key)
	switch {
	case known.MissingSince.IsZero():
		d.left = append(d.left, at)
		return 1
	case d.now.Sub(known.MissingSince) > keep:
		d.expired = append(d.expired, at)
	}
	return 0
}

// Absent are the sorted keys that the topic holds and the answer lacks, those that left earlier too. There are none by a
// doubtful answer.
func (d Difference) Absent() []string { return d.absent }

// Noted returns base with the departures and returns of this answer noted and keys forgotten that left long ago. It
// says nothing else of what the topic holds than base does, so it is written with whatever write comes next and is no
// reason for one, unless the answer is Stale.
func (d Difference) Noted() Base {
	if len(d.left)+len(d.returned)+len(d.expired) == 0 {
		return d.base
	}
	next := slices.Clone(d.base.list)
	for _, at := range d.left {
		next[at].MissingSince = d.now
	}
	for _, at := range d.returned {
		next[at].MissingSince = time.Time{}
	}
	kept := next[:0]
	for i := range next {
		if _, expired := slices.BinarySearch(d.expired, i); !expired {
			kept = append(kept, next[i])
		}
	}
	return Base{kept}
}
