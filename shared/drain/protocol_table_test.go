package drain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// faultTable lists the situations that the protocol must stand, by number. The tests of number N are those named
// TestFaultNN…; each of them kills, pauses or disturbs drains, lets a clean one follow, and judges by the bucket and the
// topic alone.
var faultTable = []struct {
	number    int
	situation string
}{
	{number: 1, situation: "two schema ids interleaved, kill after the first of two objects"},
	{number: 2, situation: "group offsets deleted and records deleted into the middle of an object"},
	{number: 3, situation: "records deleted alone, before the first commit"},
	{number: 4, situation: "marker at the frontier, compaction removes the next file's first record"},
	{number: 5, situation: "null policy changed between kill and replay"},
	{number: 6, situation: "schema id unknown at plan time, known at replay"},
	{number: 7, situation: "partitioner default, then time, with a zombie paused before its head write"},
	{number: 8, situation: "the same, paused after the head write, before the first create"},
	{number: 9, situation: "field list changed between plan and replay: the plan's names"},
	{number: 10, situation: "topics.dir changed with a plan in flight"},
	{number: 11, situation: "flush.size 3, 100, 3, overlapping"},
	{number: 12, situation: "wall clock partitioner, replay an hour later: the same names"},
	{number: 13, situation: "codec and version changed between plan and replay"},
	{number: 14, situation: "head write applied, answer lost"},
	{number: 15, situation: "head write lands after the task has read the head again"},
	{number: 16, situation: "head write throttled ten times, also with a competitor"},
	{number: 17, situation: "create applied, answer lost; a create lands after its plan is gone"},
	{number: 18, situation: "a client's retry turns success into 412"},
	{number: 19, situation: "foreign object under a planned name: stops, nothing is overwritten"},
	{number: 20, situation: "all records of a planned object are compacted away: progress, no empty object"},
	{number: 21, situation: "retention eats half a planned object that a zombie still holds"},
	{number: 22, situation: "a zombie commits an older offset; offsets set forward by hand: both without effect"},
	{number: 23, situation: "two tasks race genesis with different committed offsets"},
	{number: 24, situation: "take-over from Connect"},
	{number: 25, situation: "head removed: stops"},
	{number: 26, situation: "topic created again; log end below the frontier"},
	{number: 27, situation: "records appended during the drain; open transaction at the end"},
	{number: 28, situation: "unfinished files left at the drain's end: the next run takes the tail once"},
	{number: 29, situation: "parallel uploads in a plan, kill after any subset"},
	{number: 30, situation: "streamed object larger than gcs.part.size: a lost head write leaves no object"},
	{number: 31, situation: "reading the head answers 5xx, 403 or falsely 404: never genesis"},
	{number: 32, situation: "task counts 2 and 3 overlapping: one partition in two tasks"},
	{number: 33, situation: "drain with markers only: no phantom lag, no write but the closing one"},
	{number: 34, situation: "topic created again, stop, offsets reset, drain"},
	{number: 35, situation: "Connect's sink is started again: stop"},
}

var faultTest = regexp.MustCompile(`^TestFault(\d\d)[A-Z]\w+$`)

// TestEveryFaultHasItsTest keeps the table true.
func TestEveryFaultHasItsTest(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[int][]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "TestFault") {
				continue
			}
			m := faultTest.FindStringSubmatch(f.Name.Name)
			if m == nil {
				t.Errorf("%s has no number of two digits and no situation", f.Name.Name)
				continue
			}
			n, _ := strconv.Atoi(m[1])
			tests[n] = append(tests[n], f.Name.Name)
		}
	}
	for i, f := range faultTable {
		if f.number != i+1 {
			t.Fatalf("number %d stands where %d is to stand", f.number, i+1)
		}
		slices.Sort(tests[f.number])
		t.Logf("%2d. %s: %s", f.number, f.situation, strings.Join(tests[f.number], ", "))
		if len(tests[f.number]) == 0 {
			t.Errorf("number %d (%s) has no test", f.number, f.situation)
		}
		delete(tests, f.number)
	}
	if len(faultTable) != 35 || len(tests) > 0 {
		t.Errorf("%d situations in the table; not in it: %v", len(faultTable), tests)
	}
}
