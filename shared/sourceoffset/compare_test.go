package sourceoffset

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/record"
)

const month = 30 * 24 * time.Hour

func TestCompare(t *testing.T) {
	here := func(n byte) Known { return Known{Fingerprint: fp(n)} }
	gone := func(n byte, at time.Time) Known { return Known{Fingerprint: fp(n), MissingSince: at} }
	hourAgo, longAgo := noon.Add(-time.Hour), noon.Add(-month-time.Second)
	four := NewBase(map[string]Known{"a": here(1), "b": here(2), "c": here(3), "d": here(4)})
	e := func(key string, n byte) Entry { return Entry{Key: key, Fingerprint: fp(n)} }

	for _, c := range []struct {
		situation string
		base      Base
		answer    []Entry
		changes   string // key@index, + for a new key
		counts    [3]int // unchanged, repeated, left
		doubtful  bool
		noted     Base
	}{
		{"first answer", NewBase(nil), []Entry{e("b", 2), e("a", 1)}, "b@0+ a@1+", [3]int{}, false, NewBase(nil)},
		{"the same again, in another order", four, []Entry{e("d", 4), e("a", 1), e("c", 3), e("b", 2)}, "", [3]int{4, 0, 0}, false, four},
		{"one changed, one new", four, []Entry{e("a", 1), e("b", 9), e("c", 3), e("d", 4), e("e", 5)}, "b@1 e@4+", [3]int{3, 0, 0}, false, four},
		{"same key twice, the last wins", NewBase(map[string]Known{"a": here(1)}), []Entry{e("a", 7), e("a", 1)}, "", [3]int{1, 1, 0}, false, NewBase(map[string]Known{"a": here(1)})},
		{"same key twice, both new", NewBase(map[string]Known{"a": here(1)}), []Entry{e("a", 7), e("b", 2), e("a", 8)}, "b@1+ a@2", [3]int{0, 1, 0}, false, NewBase(map[string]Known{"a": here(1)})},
		{"one left", four, []Entry{e("a", 1), e("b", 2), e("c", 3)}, "", [3]int{3, 0, 1}, false, NewBase(map[string]Known{"a": here(1), "b": here(2), "c": here(3), "d": gone(4, noon)})},
		{"just half left", four, []Entry{e("a", 1), e("b", 2)}, "", [3]int{2, 0, 2}, false, NewBase(map[string]Known{"a": here(1), "b": here(2), "c": gone(3, noon), "d": gone(4, noon)})},
		{"more than half is missing", four, []Entry{e("a", 9)}, "a@0", [3]int{}, true, four},
		{"empty answer", four, nil, "", [3]int{}, true, four},
		{"all keys are foreign", four, []Entry{e("w", 1), e("x", 1)}, "w@0+ x@1+", [3]int{}, true, four},
		{"came back unchanged", NewBase(map[string]Known{"a": here(1), "b": gone(2, hourAgo)}), []Entry{e("a", 1), e("b", 2)}, "", [3]int{2, 0, 0}, false, NewBase(map[string]Known{"a": here(1), "b": here(2)})},
		{"came back changed", NewBase(map[string]Known{"a": here(1), "b": gone(2, hourAgo)}), []Entry{e("a", 1), e("b", 5)}, "b@1", [3]int{1, 0, 0}, false, NewBase(map[string]Known{"a": here(1), "b": gone(2, hourAgo)})},
		{"came back unchanged too late", NewBase(map[string]Known{"a": here(1), "b": gone(2, longAgo)}), []Entry{e("a", 1), e("b", 2)}, "b@1+", [3]int{1, 0, 0}, false, NewBase(map[string]Known{"a": here(1), "b": gone(2, longAgo)})},
		{"forgotten after a month", NewBase(map[string]Known{"a": here(1), "b": gone(2, longAgo)}), []Entry{e("a", 1)}, "", [3]int{1, 0, 0}, false, NewBase(map[string]Known{"a": here(1)})},
		{"those who left before do not count as missing", NewBase(map[string]Known{"a": here(1), "b": gone(2, hourAgo), "c": gone(3, hourAgo)}), []Entry{e("a", 1)}, "", [3]int{1, 0, 0}, false, NewBase(map[string]Known{"a": here(1), "b": gone(2, hourAgo), "c": gone(3, hourAgo)})},
	} {
		t.Run(c.situation, func(t *testing.T) {
			before := fmt.Sprint(c.base)
			d := Compare(c.base, c.answer, noon, month)
			var got []string
			for _, ch := range d.Changes {
				s := fmt.Sprintf("%s@%d", ch.Key, ch.Index)
				if ch.Before == nil {
					s += "+"
				} else if known, _ := c.base.Of(ch.Key); *ch.Before != known.Fingerprint {
					t.Errorf("%s: before %v", ch.Key, *ch.Before)
				}
				if ch.Fingerprint != c.answer[ch.Index].Fingerprint {
					t.Errorf("%s: fingerprint of another entry", ch.Key)
				}
				got = append(got, s)
			}
			if s := strings.Join(got, " "); s != c.changes {
				t.Errorf("changes %q, want %q", s, c.changes)
			}
			if counts := [3]int{d.Unchanged, d.Repeated, d.Left}; counts != c.counts || d.Doubtful != c.doubtful {
				t.Errorf("unchanged, repeated, left %v (doubtful %v), want %v (%v)", counts, d.Doubtful, c.counts, c.doubtful)
			}
			if noted := d.Noted(); !reflect.DeepEqual(noted, c.noted) {
				t.Errorf("noted %v, want %v", noted, c.noted)
			}
			if fmt.Sprint(c.base) != before {
				t.Error("base itself was changed")
			}
		})
	}
}

func TestFingerprint(t *testing.T) {
	of := func(text string, ignore ...string) Fingerprint {
		t.Helper()
		v, err := record.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return NewFingerprinter(ignore).Of(&v)
	}
	for _, c := range []struct {
		situation, a, b string
		ignore          []string
		same            bool
	}{
		{"order of members, space, number form", `{"a":1,"b":[1,2.50]}`, ` { "b" : [1.0, 2.5], "a":1e0 } `, nil, true},
		{"order of an array", `{"b":[1,2]}`, `{"b":[2,1]}`, nil, false},
		{"null is not missing", `{"a":null}`, `{}`, nil, false},
		{"text is not number", `{"a":"1"}`, `{"a":1}`, nil, false},
		{"big integers differ in the last digit", `{"a":9007199254740993}`, `{"a":9007199254740992}`, nil, false},
		{"ignored member differs", `{"a":1,"t":5}`, `{"a":1,"t":6}`, []string{"/t"}, true},
		{"ignored member is missing", `{"a":1,"t":5}`, `{"a":1}`, []string{"/t"}, true},
		{"another member differs", `{"a":1,"t":5}`, `{"a":2,"t":5}`, []string{"/t"}, false},
		{"ignored inside an object", `{"m":{"x":1,"y":2}}`, `{"m":{"x":1,"y":3}}`, []string{"/m/y"}, true},
		{"ignored inside an object, sibling differs", `{"m":{"x":1,"y":2}}`, `{"m":{"x":2,"y":2}}`, []string{"/m/y"}, false},
		{"ignored element of an array", `{"l":[1,2,3]}`, `{"l":[1,9,3]}`, []string{"/l/1"}, true},
		{"element past the end", `{"l":[1]}`, `{"l":[2]}`, []string{"/l/1"}, false},
		{"index that is none", `{"l":[1]}`, `{"l":[2]}`, []string{"/l/00"}, false},
		{"two elements of an array", `{"l":[1,2,3]}`, `{"l":[8,9,3]}`, []string{"/l/0", "/l/1"}, true},
		{"two elements of an array, sibling differs", `{"l":[1,2,3]}`, `{"l":[1,2,9]}`, []string{"/l/0", "/l/1"}, false},
		{"elements with indices of different length", `{"l":[0,1,2,3,4,5,6,7,8,9,10,11]}`, `{"l":[0,1,9,3,4,5,6,7,8,9,9,11]}`, []string{"/l/2", "/l/10"}, true},
		{"an element and a part of it", `{"l":[{"x":1},{"x":2}]}`, `{"l":[{"x":1},{"x":9}]}`, []string{"/l/0", "/l/0/x"}, false},
		{"an element and a part of a later one", `{"l":[1,{"x":2}]}`, `{"l":[8,{"x":9}]}`, []string{"/l/0", "/l/1/x"}, true},
		{"the same element twice", `{"l":[1,2,3]}`, `{"l":[1,9,3]}`, []string{"/l/0", "/l/0"}, false},
		{"escaped name", `{"a/b":1,"c":1}`, `{"a/b":2,"c":1}`, []string{"/a~1b"}, true},
		{"the root is not ignored", `{"a":1}`, `{"a":2}`, []string{"/", ""}, false},
		{"several ignored", `{"a":1,"b":2,"c":3}`, `{"a":4,"b":5,"c":3}`, []string{"/a", "/b"}, true},
	} {
		t.Run(c.situation, func(t *testing.T) {
			if got := of(c.a, c.ignore...) == of(c.b, c.ignore...); got != c.same {
				t.Errorf("same = %v, want %v", got, c.same)
			}
		})
	}
}

func TestFingerprinterLeavesEntriesAlone(t *testing.T) {
	v, err := record.Parse([]byte(`{"m":{"x":1,"y":[1,2]},"z":3}`))
	if err != nil {
		t.Fatal(err)
	}
	before := string(record.AppendJSON(nil, &v))
	NewFingerprinter([]string{"/m/y/0", "/z", "/m/x"}).Of(&v)
	if after := string(record.AppendJSON(nil, &v)); after != before {
		t.Errorf("got %s, want %s", after, before)
	}
}
