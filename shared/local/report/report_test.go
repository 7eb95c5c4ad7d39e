package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func page1(t *testing.T, r *Report) string {
	t.Helper()
	text, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReportIsReadAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	empty, err := Read(dir)
	if err != nil || len(empty.Polls) != 0 {
		t.Fatalf("a folder without a report: %+v, %v", empty, err)
	}
	r := sample(4, 3)
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(r)
	b, _ := json.Marshal(got)
	if !reflect.DeepEqual(a, b) {
		t.Error("the report is not what was written")
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 2 {
		t.Errorf("the folder holds %v, want the two files only", files)
	}
}

func TestReportThatCannotBeContinued(t *testing.T) {
	for name, text := range map[string]string{"newer": `{"format":2}`, "torn": `{"format":1,`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, JSONFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
}

func TestPageNeedsNothingElse(t *testing.T) {
	text := page1(t, sample(5, 3))
	for _, what := range []string{`https?://`, `\ssrc=`, `\shref=`, `@import`, `url\(`, `<script`, `ZgotmplZ`} {
		if found := regexp.MustCompile(what).FindString(text); found != "" {
			t.Errorf("the page holds %q", found)
		}
	}
}

func TestPageShowsWhatTheReportHolds(t *testing.T) {
	r := sample(5, 3)
	text := html.UnescapeString(page1(t, r))
	totals := r.Totals()
	for _, want := range []string{
		"Each record is in exactly one object", fmt.Sprintf("<b>%d</b>", totals.Published), "300 of 300 players",
		"challenger+0+0000000000.avro", "offset 300: no record", ">poll 5<", ">player 0<",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// An object that a row's end cuts is drawn in two parts.
	blocks := strings.Count(text, `class="block"`)
	if n := len(r.Objects); blocks < n || blocks > n+len(drawTapes(r)[0].Rows) {
		t.Errorf("%d blocks are drawn for %d objects", blocks, n)
	}
}

func TestPageSaysWhatWentWrong(t *testing.T) {
	r := sample(2, 3)
	r.Polls[1].Error, r.Polls[1].Outcome = "the API answered 502 <html>", "upstream"
	r.Check = &Check{Topic: 10, Records: 9, Objects: 3, Missing: 1}
	text := page1(t, r)
	for _, want := range []string{"The archive is not what the topic holds", "1 missing", "upstream: the API answered 502 &lt;html&gt;", "1 failed"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	r.Check = &Check{Error: "no bucket"}
	if !strings.Contains(page1(t, r), "could not be read back") {
		t.Error("the page does not say that nothing was read back")
	}
}

func TestPageOfNothing(t *testing.T) {
	if text := page1(t, &Report{Source: "a", Sink: "b", Topic: "c"}); !strings.Contains(text, "</html>") {
		t.Error("a report without polls has no whole page")
	}
	r := sample(1, 3)
	r.Ladders = []Ladder{{Poll: 1}}
	page1(t, r)
}

func TestPageStaysSmall(t *testing.T) {
	r := sample(40, 3)
	for n := range int64(20_000) {
		r.Objects = append(r.Objects, Object{Name: "x", Topic: "challenger", First: 100_000 + 3*n, Records: 3, Bytes: 1, Drain: 41})
	}
	if size := len(page1(t, r)); size > 3<<20 {
		t.Errorf("the page has %d bytes", size)
	}
}

func TestBumpFollowsPlayers(t *testing.T) {
	ladder := func(poll int, keys ...string) Ladder {
		l := Ladder{Poll: poll, Entries: len(keys)}
		for i, k := range keys {
			l.Top = append(l.Top, Standing{k, int64(100 - i)})
		}
		return l
	}
	b := drawBump([]Ladder{ladder(1, "a", "b", "c"), ladder(2, "b", "a", "d")})
	lines := map[string]line{}
	for _, l := range b.Lines {
		lines[l.Key] = l
	}
	switch {
	case len(lines) != 4:
		t.Fatalf("%d lines, want 4", len(lines))
	case lines["b"].End.Climbed != 1 || lines["a"].End.Fell != 1:
		t.Errorf("b: %+v, a: %+v; want one up and one down", lines["b"].End, lines["a"].End)
	case lines["c"].End != nil || lines["c"].Start == nil || len(lines["c"].Dots) != 1:
		t.Errorf("c left and is drawn as %+v", lines["c"])
	case lines["d"].Start != nil || !lines["d"].End.New:
		t.Errorf("d is new and is drawn as %+v", lines["d"])
	}
}

func TestTapeLeavesGapsWhereThereIsNoRecord(t *testing.T) {
	r := &Report{Objects: []Object{
		{Topic: "t", First: 0, Records: 3, Drain: 1}, {Topic: "t", First: 4, Records: 2, Drain: 2},
	}, Drains: []Drain{{Number: 2, Partitions: []Partition{{Topic: "t", To: 7, Committed: 7}}}}}
	tapes := drawTapes(r)
	if len(tapes) != 1 || tapes[0].End != 7 || len(tapes[0].Blocks) != 2 {
		t.Fatalf("the tape is %+v", tapes)
	}
	var gaps []int64
	for _, g := range tapes[0].Gaps {
		gaps = append(gaps, g.First, g.Last)
	}
	if !reflect.DeepEqual(gaps, []int64{3, 3, 6, 6}) {
		t.Errorf("the gaps are %v, want 3 and 6", gaps)
	}
}

func TestNumbersAreReadable(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567"} {
		if got := count(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{12: "12 B", 1500: "1.5 kB", 2_000_000: "2.0 MB", 3_000_000_000: "3.0 GB"} {
		if got := byteSize(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
	for key, want := range map[string]string{
		"simulated-00012-abc": "player 12", "simulated-00000-x": "player 0", "short": "short", "8lcZpmVY9J4D5r": "8lcZpmVY9…",
	} {
		if got := short(key); got != want {
			t.Errorf("%s is called %q, want %q", key, got, want)
		}
	}
}
