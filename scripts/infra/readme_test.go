package infra

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var row = regexp.MustCompile("(?m)^\\| `((?:module\\.[a-z]+\\.)?google_[a-z0-9_.]+)` \\| ([^|]+) \\|([^|]*)\\|$")

// listed is what infra/README.md says of every resource: its roles, by address without what is in brackets.
func listed(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(folder + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(data), -1) {
		if len(strings.TrimSpace(m[2])) < 10 {
			t.Errorf("README.md does not say why %s is there", m[1])
		}
		if _, twice := out[m[1]]; twice {
			t.Errorf("README.md lists %s twice", m[1])
		}
		roles := regexp.MustCompile("roles/[A-Za-z.]+").FindAllString(m[3], -1)
		slices.Sort(roles)
		out[m[1]] = roles
	}
	return out
}

// TestReadmeListsEveryResource compares the list with the plans of all test files.
func TestReadmeListsEveryResource(t *testing.T) {
	planned := map[string]map[string]bool{}
	for _, one := range allRuns(t) {
		if one.plan == nil {
			continue
		}
		for _, r := range one.plan.resources() {
			if planned[r.general()] == nil {
				planned[r.general()] = map[string]bool{}
			}
			if role := r.text("role"); role != "" {
				planned[r.general()][role] = true
			}
		}
	}
	list := listed(t)
	for _, address := range slices.Sorted(maps.Keys(planned)) {
		roles, ok := list[address]
		if !ok {
			t.Errorf("README.md does not list %s", address)
			continue
		}
		if want := slices.Sorted(maps.Keys(planned[address])); !slices.Equal(roles, want) {
			t.Errorf("README.md says that %s grants %v, and it grants %v", address, roles, want)
		}
	}
	for _, address := range slices.Sorted(maps.Keys(list)) {
		if _, ok := planned[address]; !ok {
			t.Errorf("README.md lists %s, which no plan has", address)
		}
	}
}

// TestReadmeNamesVariablesThatExist keeps the examples usable.
func TestReadmeNamesVariablesThatExist(t *testing.T) {
	data, err := os.ReadFile(folder + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	variables, err := os.ReadFile(folder + "/variables.tf")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^([a-z_]+) += `).FindAllStringSubmatch(string(data), -1)
	for _, name := range []string{"poll_deadline_seconds", "drain_timeout_seconds", "existing_secrets", "vpc", "prefix"} {
		found = append(found, []string{"", name})
	}
	if len(found) < 10 {
		t.Errorf("only %d variables found", len(found))
	}
	for _, m := range found {
		if !strings.Contains(string(variables), `variable "`+m[1]+`"`) {
			t.Errorf("there is no variable %s", m[1])
		}
	}
}
