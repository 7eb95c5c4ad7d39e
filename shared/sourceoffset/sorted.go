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
	pairs := make([]pair[V], 0, len(m))
	for key, value := range m {
		pairs = append(pairs, pair[V]{key, value})
	}
	return pairs, inOrder(len(pairs), func(i int) string { return pairs[i].key })
}

// inOrder sorts n keys. Equal ones stay in their order.
func inOrder(n int, key func(i int) string) []place {
	if n == 0 {
		return nil
	}
	order, first := make([]place, n), key(0)
	common := len(first)
	for i := range n {
		common = commonLen(first[:common], key(i))
	}
	for i := range n {
		order[i] = place{prefixOf(key(i)[common:]), i}
	}
	slices.SortFunc(order, func(a, b place) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		if c := strings.Compare(key(a.at), key(b.at)); c != 0 {
			return c
		}
		return a.at - b.at
	})
	return order
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
