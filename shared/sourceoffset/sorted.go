package sourceoffset

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// pair is a key of a map with what it holds.
type pair[V any] struct {
	key   string
	value V
}

// place stands for a pair where pairs are sorted: small, and mostly compared by one number.
type place struct {
	// prefix are the first eight bytes of the key behind what all keys begin with, zeros if it is shorter.
	prefix uint64
	at     int
}

// sorted returns what m holds, and the order in which the keys are sorted.
func sorted[V any](m map[string]V) ([]pair[V], []place) {
	pairs, order := make([]pair[V], 0, len(m)), make([]place, len(m))
	for key, value := range m {
		pairs = append(pairs, pair[V]{key, value})
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	common := len(pairs[0].key)
	for i := range pairs {
		common = commonLen(pairs[0].key[:common], pairs[i].key)
	}
	for i := range pairs {
		order[i] = place{prefixOf(pairs[i].key[common:]), i}
	}
	slices.SortFunc(order, func(a, b place) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return strings.Compare(pairs[a.at].key, pairs[b.at].key)
	})
	return pairs, order
}

// commonLen is how many bytes of a b begins with.
func commonLen(a, b string) int {
	if strings.HasPrefix(b, a) {
		return len(a)
	}
	n := 0
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func prefixOf(s string) uint64 {
	var b [8]byte
	copy(b[:], s)
	return binary.BigEndian.Uint64(b[:])
}
