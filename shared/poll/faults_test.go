package poll

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/poll/model"
)

// TestFaultsTable holds FAULTS.md to the code.
func TestFaultsTable(t *testing.T) {
	data, err := os.ReadFile("FAULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\d+) \| .* \| .* \| (.*) \|$`)
	named := regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`")
	numbered := regexp.MustCompile(`^TestFault(\d\d)[A-Z]`)
	there := testsIn(t, "functions/poller", "scripts/e2e", "shared/poll", "shared/kafka", "shared/sourceoffset", "shared/bucket")
	listed, numbers := map[string]bool{}, map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(data), -1) {
		numbers[m[1]] = true
		for _, test := range named.FindAllStringSubmatch(m[2], -1) {
			name := test[1] + "." + test[2]
			listed[name] = true
			if !there[name] {
				t.Errorf("row %s: there is no %s", m[1], name)
			}
			if n := numbered.FindStringSubmatch(test[2]); n != nil && strings.TrimLeft(n[1], "0") != m[1] {
				t.Errorf("row %s names %s", m[1], name)
			}
		}
	}
	for n := 1; n <= 32; n++ {
		if !numbers[fmt.Sprint(n)] {
			t.Errorf("there is no row %d", n)
		}
	}
	for name := range there {
		if strings.Contains(name, ".TestFault") && numbered.MatchString(name[strings.LastIndex(name, ".")+1:]) && !listed[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
}

// testsIn gives "folder.TestName" of every test in these folders of the repository.
func testsIn(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	pattern := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(t \*testing\.T\)`)
	found := map[string]bool{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no tests in %s: %v", folder, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range pattern.FindAllStringSubmatch(string(data), -1) {
				found[folder+"."+m[1]] = true
			}
		}
	}
	return found
}

// TestTheModelIsHeldToTheCode replays what runs did in the model with one mistake in it, which must not know how it can
// have happened. That the model without a mistake knows is part of every test that compares the topic.
func TestTheModelIsHeldToTheCode(t *testing.T) {
	w := leftBehind(t, "commit", true)
	w.undisturbed(t, Published)
	if unknown := w.accepted(); unknown != "" {
		t.Fatal(unknown)
	}
	for name, m := range map[string]model.Mistakes{
		"no second look":         {NoSecondLook: true},
		"no claim":               {NoClaim: true},
		"fetch before load":      {FetchBeforeLoad: true},
		"fence before intent":    {FenceBeforeIntent: true},
		"beginning without look": {GenesisWithoutLook: true},
	} {
		if n := model.Accepts(model.Options{Genesis: true, Mistakes: m}, w.events); n == len(w.events) {
			t.Errorf("%s: the model follows %d calls of runs that do not make this mistake", name, n)
		}
	}
	for n := range w.events {
		switch {
		case w.events[n].Call == model.End, w.events[n].Call == model.Kill:
			continue
		case w.events[n+1].Call == model.Kill:
			continue // it may have died before it
		}
		without := slices.Delete(slices.Clone(w.events), n, n+1)
		if model.Accepts(model.Options{Genesis: true}, without) == len(without) {
			t.Errorf("the model does not miss call %d of %v", n+1, w.events)
		}
	}
}
