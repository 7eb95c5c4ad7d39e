package sourceoffset

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// place stands for one of several things that are sorted by keys: small, and mostly compared by one number.
type place struct {
	// prefix are the first eight bytes of its key behind what all keys begin with, zeros if it is shorter.
	prefix uint64
	at     int
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
