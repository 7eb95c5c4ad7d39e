package sourceoffset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCursor(t *testing.T) {
	var c Cursor
	if c.Seen(noon, "a") {
		t.Error("nothing is seen before the first entry")
	}
	c = c.With(noon, "b", "a", "b")
	for _, one := range []struct {
		situation string
		at        time.Time
		key       string
		seen      bool
	}{
		{"older", noon.Add(-time.Nanosecond), "z", true},
		{"the same timestamp and key", noon, "b", true},
		{"the same timestamp and another key", noon, "c", false},
		{"newer by a nanosecond", noon.Add(time.Nanosecond), "a", false},
	} {
		if got := c.Seen(one.at, one.key); got != one.seen {
			t.Errorf("%s: %v", one.situation, got)
		}
	}
	if tie := c.With(noon, "c"); !slices.Equal(tie.Keys, []string{"a", "b", "c"}) || len(c.Keys) != 2 {
		t.Errorf("%v, and before %v", tie.Keys, c.Keys)
	}
	if next := c.With(noon.Add(time.Hour), "c"); !slices.Equal(next.Keys, []string{"c"}) || next.Seen(noon, "never") != true {
		t.Errorf("%+v", next)
	}
}

// TestCursorAtTheFirstOfAllTimes has entries whose timestamp is the zero time, which is that of a cursor before the first
// entry too.
func TestCursorAtTheFirstOfAllTimes(t *testing.T) {
	first := time.Time{}
	for situation, c := range map[string]Cursor{
		"published":         Cursor{}.With(first, "a"),
		"published in part": Cursor{}.WithAhead(Place{first, "a"}),
		"and another":       Cursor{}.WithAhead(Place{first, "a"}, Place{noon, "b"}),
	} {
		if !c.Seen(first, "a") || c.Seen(first, "c") || c.Seen(noon, "a") || c.Seen(noon, "b") != (situation == "and another") {
			t.Errorf("%s: %+v", situation, c)
		}
		if next := c.With(first, "c"); !next.Seen(first, "a") || !next.Seen(first, "c") || next.Seen(noon, "a") {
			t.Errorf("%s: %+v", situation, next)
		}
		s := states()["a log"]
		s.Cursor = c
		data, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Decode(data); err != nil || !back.Cursor.Equal(c) {
			t.Errorf("%s: %v, %+v", situation, err, back.Cursor)
		}
	}
}

func TestCommittedMovesTheCursor(t *testing.T) {
	s := states()["a log"]
	if c := s.Committed(); !c.Cursor.Equal(s.Intent.Cursor) || c.Base.Len() != 0 || c.Last != idA {
		t.Errorf("%+v", c)
	}
	if r := s.Released(); !r.Cursor.Equal(s.Cursor) {
		t.Errorf("%+v", r)
	}
}

func TestDamagedCursorsAreRefused(t *testing.T) {
	whole := string(encodeState(states()["a log"]))
	for situation, c := range map[string][2]string{
		"no time":               {"2026-11-29T12:00:00.123456789Z", "noon"},
		"keys without a cursor": {`"cursor":"2026-11-29T12:00:00.123456789Z",`, ``},
		"keys not sorted":       {`["a\"","b"]`, `["b","a\""]`},
		"another member":        {`"keysAtCursor"`, `"keysAtNight"`},
		"a position, kind none": {`"kind":"timestamp"`, `"kind":"none"`},
		"a year out of range":   {"2026-11-29T12:00:00.123456789Z", "9999-12-31T23:59:59-05:00"},
	} {
		if !strings.Contains(whole, c[0]) {
			t.Fatalf("%s: %s is not in %s", situation, c[0], whole)
		}
		if s, err := Decode(reSum(t, strings.Replace(whole, c[0], c[1], 1))); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, %+v", situation, err, s)
		}
	}
}

func TestCursorKnowsWhatIsAhead(t *testing.T) {
	second := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	c := Cursor{At: second(1), Keys: []string{"a"}, Offset: map[string]string{"page": "7"}}
	ahead := c.WithAhead(Place{second(4), "d"}, Place{second(1), "b"}, Place{second(3), "c"}, Place{second(4), "d"}, Place{second(0), "x"}, Place{second(1), "a"})
	if got := fmt.Sprint(ahead.Keys, len(ahead.Ahead), ahead.Offset); got != "[a b] 2 map[page:7]" || !ahead.At.Equal(c.At) || len(c.Keys) != 1 {
		t.Fatalf("%+v", ahead)
	}
	for _, p := range []struct {
		at   int
		key  string
		seen bool
	}{{0, "z", true}, {1, "a", true}, {1, "b", true}, {1, "z", false}, {2, "c", false}, {3, "c", true}, {3, "d", false}, {4, "d", true}, {5, "d", false}} {
		if ahead.Seen(second(p.at), p.key) != p.seen {
			t.Errorf("%d %s: seen is not %v", p.at, p.key, p.seen)
		}
	}
	next := ahead.With(second(3), "e")
	if got := fmt.Sprint(next.Keys, len(next.Ahead)); got != "[c e] 1" || !next.Seen(second(4), "d") {
		t.Errorf("%+v", next)
	}
	if last := next.With(second(5), "f"); len(last.Ahead) != 0 || fmt.Sprint(last.Keys) != "[f]" {
		t.Errorf("%+v", last)
	}
	if ahead.Equal(c) || !ahead.Equal(ahead.WithAhead()) || ahead.Equal(next) {
		t.Error("cursors are taken for equal that are not, or the other way round")
	}
	// A log that has no cursor yet.
	if first := (Cursor{}).WithAhead(Place{second(1), "a"}); !first.Seen(second(1), "a") || first.Seen(second(1), "b") || !first.At.IsZero() {
		t.Errorf("%+v", first)
	}
}
