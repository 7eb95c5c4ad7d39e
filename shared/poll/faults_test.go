package poll

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
