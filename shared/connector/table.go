package connector

import (
	"slices"
	"strings"
)

// shape says how a value holds credentials, if it does.
type shape uint8

const (
	// open values hold none.
	open shape = iota
	// closed values are a credential as a whole.
	closed
	// The others hold some in part.
	headerShape
	urlShape
	paramShape
	jaasShape
	userInfoShape
	bodyShape
)

// entry is what is known of one key, or of a family of keys whose names begin alike ("transforms.*").
type entry struct {
	key string
	// alias is another name that is taken for key, with a warning.
	alias string
	// def is what the connector that is replaced takes when the key is absent.
	def string
	// class and reason are the verdict on an ordinary value; check may know better of a particular one.
	class    Class
	reason   string
	required bool
	shape    shape
	// check judges a value; nil takes every one.
	check check
	// sub are the keys of a family, without its prefix. A family without sub takes every key.
	sub []entry
}

func (e entry) family() (prefix string, ok bool) {
	return strings.CutSuffix(e.key, "*")
}

// match is what a table says about one key.
type match struct {
	entry
	// canonical is the key, or what it is an alias of.
	canonical string
	// unknownIn is the family of a key that the family does not know.
	unknownIn string
}

// tableOf returns the keys that a connector of this kind may have.
func tableOf(kind Kind) [][]entry {
	if kind == SinkKind {
		return [][]entry{connectKeys, connectSinkKeys, tolerateSinkKeys, gcsKeys, riftlineSinkKeys, riftlineKeys}
	}
	return [][]entry{connectKeys, connectSourceKeys, tolerateSourceKeys, castormKeys, riftlineSourceKeys, riftlineKeys}
}

// find looks a key up: by its name, as an alias, then by the longest family that it belongs to.
func find(kind Kind, key string) (match, bool) {
	return findIn(tableOf(kind), key)
}

func findIn(tables [][]entry, key string) (match, bool) {
	var best *entry
	var bestPrefix string
	for _, table := range tables {
		for i := range table {
			e := &table[i]
			if e.key == key {
				return match{entry: *e, canonical: key}, true
			}
			if e.alias != "" && e.alias == key {
				return match{entry: *e, canonical: e.key}, true
			}
			if prefix, ok := e.family(); ok && strings.HasPrefix(key, prefix) && len(prefix) > len(bestPrefix) && key != prefix {
				best, bestPrefix = e, prefix
			}
		}
	}
	if best == nil {
		return match{}, false
	}
	if best.sub == nil {
		return match{entry: *best, canonical: key}, true
	}
	inner, ok := findIn([][]entry{best.sub}, strings.TrimPrefix(key, bestPrefix))
	if !ok {
		return match{entry: *best, canonical: key, unknownIn: best.key}, true
	}
	inner.canonical = bestPrefix + inner.canonical
	return inner, true
}

// names are all keys that a connector of this kind may have, families left out but for their known members.
func names(kind Kind) []string {
	var out []string
	var walk func(prefix string, table []entry)
	walk = func(prefix string, table []entry) {
		for _, e := range table {
			if family, ok := e.family(); ok {
				walk(prefix+family, e.sub)
				continue
			}
			out = append(out, prefix+e.key)
		}
	}
	for _, table := range tableOf(kind) {
		walk("", table)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// closest returns the known key that is within two edits of key.
func closest(kind Kind, key string) (string, bool) {
	best, bestDistance := "", 3
	for _, name := range names(kind) {
		if d := distance(strings.ToLower(key), name, bestDistance-1); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best, best != ""
}

// distance is the Levenshtein distance of a and b, or most+1 when it is greater than most.
func distance(a, b string, most int) int {
	if d := len(a) - len(b); d > most || -d > most {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal, least := row[0], i
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next := min(row[j]+1, row[j-1]+1, diagonal+cost)
			diagonal, row[j] = row[j], next
			least = min(least, next)
		}
		if least > most {
			return most + 1
		}
	}
	return min(row[len(b)], most+1)
}
