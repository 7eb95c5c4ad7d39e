package sourceoffset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Cursor is up to where the topic holds a log. A Cursor is not changed once it is part of a State.
type Cursor struct {
	// At is the timestamp of the newest entry that was published, zero when there was none. An entry may have the zero
	// time itself; there are Keys then.
	At time.Time
	// Keys are the sorted keys that were published with the timestamp At. Entries with the same timestamp may come in
	// different answers; those whose key is here were published.
	Keys []string
	// Ahead are entries behind At, sorted, that were published although not all that lies between was: what is left of an
	// intent that was published in part, or ties that the next transaction goes on with where the cursor's own are dropped.
	// A cursor that passes them forgets them.
	Ahead []Place
	// Offset are the offset properties of the newest entry, as request templates see them, nil when none uses any.
	Offset map[string]string
}

// Place is where an entry stands in a log.
type Place struct {
	At  time.Time
	Key string
}

func (p Place) compare(o Place) int {
	if n := p.At.Compare(o.At); n != 0 {
		return n
	}
	return strings.Compare(p.Key, o.Key)
}

func (c Cursor) positioned() bool { return c.Began() || len(c.Ahead) > 0 }

// Began reports whether the cursor stands anywhere: something was published, or it was told where to begin.
func (c Cursor) Began() bool { return !c.At.IsZero() || len(c.Keys) > 0 }

// Equal reports whether two cursors say the same.
func (c Cursor) Equal(o Cursor) bool {
	ahead := slices.EqualFunc(c.Ahead, o.Ahead, func(p, q Place) bool { return p.compare(q) == 0 })
	return ahead && c.At.Equal(o.At) && slices.Equal(c.Keys, o.Keys) && maps.Equal(c.Offset, o.Offset)
}

// Seen reports whether the topic holds the entry: it is older than the cursor, or has the cursor's timestamp and one of
// its keys, or is known to be there ahead of the cursor.
func (c Cursor) Seen(at time.Time, key string) bool {
	if at.After(c.At) {
		_, found := slices.BinarySearchFunc(c.Ahead, Place{at, key}, Place.compare)
		return found
	}
	if at.Before(c.At) {
		return true
	}
	_, found := slices.BinarySearch(c.Keys, key)
	return found
}

// With returns the cursor after entries with these keys and this timestamp, which is not before the cursor's, were
// published.
func (c Cursor) With(at time.Time, keys ...string) Cursor {
	next := Cursor{At: at.UTC(), Offset: c.Offset}
	if at.Equal(c.At) {
		next.Keys = append(next.Keys, c.Keys...)
	}
	for _, p := range c.Ahead {
		switch n := p.At.Compare(at); {
		case n == 0:
			next.Keys = append(next.Keys, p.Key)
		case n > 0:
			next.Ahead = append(next.Ahead, p)
		}
	}
	next.Keys = append(next.Keys, keys...)
	slices.Sort(next.Keys)
	next.Keys = slices.Compact(next.Keys)
	return next
}

// WithAhead returns the cursor that also knows these entries to be published.
func (c Cursor) WithAhead(places ...Place) Cursor {
	next := c
	next.Keys, next.Ahead = slices.Clone(c.Keys), slices.Clone(c.Ahead)
	for _, p := range places {
		p.At = p.At.UTC()
		switch {
		case c.Seen(p.At, p.Key):
		case p.At.Equal(c.At):
			next.Keys = append(next.Keys, p.Key)
		default:
			next.Ahead = append(next.Ahead, p)
		}
	}
	slices.Sort(next.Keys)
	next.Keys = slices.Compact(next.Keys)
	slices.SortFunc(next.Ahead, Place.compare)
	next.Ahead = slices.CompactFunc(next.Ahead, func(p, q Place) bool { return p.compare(q) == 0 })
	return next
}

// appendCursor writes {"ahead":[["time","key"],…],"cursor":…,"keysAtCursor":[…],"offset":{…}} without the members that
// are empty.
func appendCursor(dst []byte, c Cursor) []byte {
	dst = append(dst, '{')
	begin := len(dst)
	member := func(name string) {
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
	}
	if len(c.Ahead) > 0 {
		member("ahead")
		for i, p := range c.Ahead {
			dst = append(dst, "[,"[min(i, 1)], '[', '"')
			dst = p.At.UTC().AppendFormat(dst, time.RFC3339Nano)
			dst = append(dst, '"', ',')
			dst = appendString(dst, p.Key)
			dst = append(dst, ']')
		}
		dst = append(dst, ']')
	}
	if c.Began() {
		member("cursor")
		dst = append(dst, '"')
		dst = c.At.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	if len(c.Keys) > 0 {
		member("keysAtCursor")
		for i, key := range c.Keys {
			dst = append(dst, "[,"[min(i, 1)])
			dst = appendString(dst, key)
		}
		dst = append(dst, ']')
	}
	if len(c.Offset) > 0 {
		member("offset")
		dst = appendVariables(dst, c.Offset)
	}
	return append(dst, '}')
}

// cursor reads what appendCursor writes. A time that cannot be read is damage: unlike the other times of an object it
// says what is true.
func (d *decoder) cursor(where string) (c Cursor, err error) {
	at := false
	err = d.object(func(name string, _ int64) (err error) {
		switch name {
		case "ahead":
			c.Ahead, err = d.ahead()
		case "cursor":
			at = true
			c.At, err = d.time()
		case "keysAtCursor":
			c.Keys, err = d.texts()
		case "offset":
			c.Offset, err = d.variables()
		default:
			err = fmt.Errorf("%w: %s.%q does not fit the kind %s", ErrDamaged, where, name, d.kind)
		}
		return err
	})
	switch {
	case err != nil:
	case !slices.IsSorted(c.Keys):
		err = fmt.Errorf("%w: the keys of %s are not sorted", ErrDamaged, where)
	case !at && len(c.Keys) > 0:
		err = fmt.Errorf("%w: keys without a cursor in %s", ErrDamaged, where)
	case !slices.IsSortedFunc(c.Ahead, Place.compare):
		err = fmt.Errorf("%w: the entries ahead of %s are not sorted", ErrDamaged, where)
	case len(c.Ahead) > 0 && !c.Ahead[0].At.After(c.At):
		err = fmt.Errorf("%w: an entry ahead of %s is not ahead of it", ErrDamaged, where)
	}
	return c, err
}

// time reads a time that says what is true; one that cannot be read, or written again, is damage.
func (d *decoder) time() (time.Time, error) {
	text, err := d.text()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %q is no time", ErrDamaged, text)
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%w: %q is no time that can be written again", ErrDamaged, text)
	}
	return t, nil
}

// ahead reads [["time","key"],…].
func (d *decoder) ahead() (list []Place, err error) {
	if err := d.delimiter('['); err != nil {
		return nil, err
	}
	for d.in.PeekKind() == '[' {
		var p Place
		if err := d.delimiter('['); err != nil {
			return nil, err
		}
		if p.At, err = d.time(); err != nil {
			return nil, err
		}
		if p.Key, err = d.text(); err != nil {
			return nil, err
		}
		if err := d.delimiter(']'); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, d.delimiter(']')
}

// delimiter reads one of [ and ].
func (d *decoder) delimiter(want jsontext.Kind) error {
	t, err := d.in.ReadToken()
	if err == nil && t.Kind() != want {
		err = fmt.Errorf("%w: %v where %v belongs", ErrDamaged, t.Kind(), want)
	}
	return err
}
