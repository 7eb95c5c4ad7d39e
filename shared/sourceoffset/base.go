package sourceoffset

import (
	"iter"
	"slices"
	"strings"
	"time"
)

// Known is what the topic holds of one key.
type Known struct {
	Fingerprint Fingerprint
	// MissingSince is when the key was noted to have left the snapshot, in whole seconds; zero while it is there.
	MissingSince time.Time
}

// Base is what the topic holds, by key. It does not change. The zero Base, unlike one without keys, is none.
type Base struct {
	// list is sorted by key.
	list []knownKey
}

type knownKey struct {
	key string
	Known
}

// NewBase makes a base of what is known.
func NewBase(known map[string]Known) Base {
	list := make([]knownKey, 0, len(known))
	for key, k := range known {
		list = append(list, knownKey{key, k})
	}
	return Base{list}.sorted()
}

// sorted returns b in the order of its keys, none of which comes twice.
func (b Base) sorted() Base {
	list := make([]knownKey, len(b.list))
	for n, p := range inOrder(len(b.list), func(i int) string { return b.list[i].key }) {
		list[n] = b.list[p.at]
	}
	return Base{list}
}

// IsZero reports whether b is none.
func (b Base) IsZero() bool { return b.list == nil }

// Len counts the keys.
func (b Base) Len() int { return len(b.list) }

// Of returns what is known of a key, and whether anything is.
func (b Base) Of(key string) (Known, bool) {
	at, found := slices.BinarySearchFunc(b.list, key, func(k knownKey, key string) int { return strings.Compare(k.key, key) })
	if !found {
		return Known{}, false
	}
	return b.list[at].Known, true
}

// All gives all keys in their order, each with what is known of it.
func (b Base) All() iter.Seq2[string, Known] {
	return func(yield func(string, Known) bool) {
		for i := range b.list {
			if !yield(b.list[i].key, b.list[i].Known) {
				return
			}
		}
	}
}

// Present counts the keys that have not left the snapshot.
func (b Base) Present() int {
	n := 0
	for i := range b.list {
		if b.list[i].MissingSince.IsZero() {
			n++
		}
	}
	return n
}

// With returns a base with the changes applied, which are sorted.
func (b Base) With(changes []Change) Base {
	list := make([]knownKey, 0, max(len(b.list), len(changes)))
	old := b.list
	for i := range changes {
		change := &changes[i]
		for len(old) > 0 && old[0].key < change.Key {
			list, old = append(list, old[0]), old[1:]
		}
		key := change.Key
		if len(old) > 0 && old[0].key == key {
			// The base's own text, so that it is not that of an answer which is kept.
			key, old = old[0].key, old[1:]
		}
		if change.Fingerprint != nil {
			list = append(list, knownKey{key, Known{Fingerprint: *change.Fingerprint}})
		}
	}
	return Base{append(list, old...)}
}
