package poll

import (
	"testing"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// operateOn operates with a changed source and fails the test unless that ends with the exit code.
func (w *world) operateOn(t *testing.T, want int, q OffsetsRequest, change func(*connector.Source, *Deps)) OffsetsReport {
	t.Helper()
	out, _, err := w.operate("operator", nil, q, change)
	if out.ExitCode != want {
		t.Fatalf("%s: exit %d, want %d: %v", q.Verb, out.ExitCode, want, err)
	}
	return out
}

func TestOffsetsOfALog(t *testing.T) {
	w := newWorld(t)
	w.serve("a=1000 b=2000 c=2000")
	w.undisturbed(t, Published, logged)
	cursor := w.state().Cursor
	w.deleted, w.generation, w.object = w.generation, 0, nil
	out := w.operateOn(t, 0, OffsetsRequest{Verb: Rebuild}, logged)
	if got := w.state().Cursor; !got.Equal(cursor) || out.After.Cursor.Keys != 2 || out.After.Keys != 0 {
		t.Errorf("rebuilt %+v, want %+v", got, cursor)
	}
	w.serve("b=2000 c=2000 d=2000 e=3000")
	w.undisturbed(t, Published, logged)
	if got, want := w.lines(), "a=1000 b=2000 c=2000 d=2000 e=3000"; got != want {
		t.Errorf("the topic holds %s, want %s", got, want)
	}
	w.operateOn(t, 2, OffsetsRequest{Verb: Set, Forget: []string{"a"}}, logged)
	w.operateOn(t, 0, OffsetsRequest{Verb: Set, Cursor: time.UnixMilli(3000)}, logged)
	w.undisturbed(t, Published, logged)
	if got, want := w.lines(), "a=1000 b=2000 c=2000 d=2000 e=3000 e=3000"; got != want {
		t.Errorf("after set the topic holds %s, want %s", got, want)
	}
	w.operateOn(t, 0, OffsetsRequest{Verb: Reset}, logged)
	if st := w.state(); !st.Cursor.Equal(sourceoffset.Cursor{}) || st.Last == "" {
		t.Errorf("%+v", st)
	}
	w.serve("z=1")
	w.undisturbed(t, Published, logged)
}

func TestRebuildOfALogWithoutTimestampsInItsEntries(t *testing.T) {
	w := newWorld(t)
	w.serve("a=1000 b=2000")
	w.undisturbed(t, Published, logged)
	elsewhere := func(s *connector.Source, d *Deps) { logged(s, d); s.Timestamp = "/outside" }
	w.operateOn(t, 0, OffsetsRequest{Verb: Rebuild}, elsewhere)
	if got := w.state().Cursor; !got.At.Equal(time.UnixMilli(2000)) || len(got.Keys) != 1 || got.Keys[0] != "b" {
		t.Errorf("%+v", got)
	}
}

func TestTimestampOfASnapshotCannotBeSet(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A")
	w.undisturbed(t, Published)
	w.done(t, 2, OffsetsRequest{Verb: Set, Cursor: time.UnixMilli(3000)})
}
