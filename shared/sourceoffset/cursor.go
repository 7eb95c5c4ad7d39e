package sourceoffset

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Cursor is up to where the topic holds a log. A Cursor is not changed once it is part of a State.
type Cursor struct {
	// At is the timestamp of the newest entry that was published, zero when there was none.
	At time.Time
	// Keys are the sorted keys that were published with the timestamp At. Entries with the same timestamp may come in
	// different answers; those whose key is here were published.
	Keys []string
	// Offset are the offset properties of the newest entry, as request templates see them, nil when none uses any.
	Offset map[string]string
}

func (c Cursor) positioned() bool { return !c.At.IsZero() || len(c.Keys) > 0 }

// Equal reports whether two cursors say the same.
func (c Cursor) Equal(o Cursor) bool {
	return c.At.Equal(o.At) && slices.Equal(c.Keys, o.Keys) && maps.Equal(c.Offset, o.Offset)
}

// Seen reports whether the topic holds the entry: it is older than the cursor, or has the cursor's timestamp and one of
// its keys.
func (c Cursor) Seen(at time.Time, key string) bool {
	if c.At.IsZero() || at.After(c.At) {
		return false
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
	next.Keys = append(next.Keys, keys...)
	slices.Sort(next.Keys)
	next.Keys = slices.Compact(next.Keys)
	return next
}

// appendCursor writes {"cursor":…,"keysAtCursor":[…],"offset":{…}} without the members that are empty.
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
	if !c.At.IsZero() {
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
	err = d.object(func(name string, _ int64) (err error) {
		switch name {
		case "cursor":
			var text string
			if text, err = d.text(); err != nil {
				return err
			}
			if c.At, err = time.Parse(time.RFC3339Nano, text); err != nil {
				return fmt.Errorf("%w: %q is no time", ErrDamaged, text)
			}
			if c.At = c.At.UTC(); c.At.Year() < 1 || c.At.Year() > 9999 {
				return fmt.Errorf("%w: %q is no time that can be written again", ErrDamaged, text)
			}
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
	case c.At.IsZero() && len(c.Keys) > 0:
		err = fmt.Errorf("%w: keys without a cursor in %s", ErrDamaged, where)
	}
	return c, err
}
