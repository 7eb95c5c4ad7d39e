package infra

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// policies are the alert policies of a plan, and the pages that they link.
func policies(p *plan) map[string]string {
	out := map[string]string{}
	for _, r := range p.resources("google_monitoring_alert_policy") {
		page := regexp.MustCompile(`/([a-z-]+)\.md$`).FindStringSubmatch(r.text("documentation.0.content"))
		if page == nil {
			page = []string{"", ""}
		}
		out[r.Address] = page[1]
	}
	return out
}

// TestEachAlertHasItsPage and each page an alert.
func TestEachAlertHasItsPage(t *testing.T) {
	linked := map[string]bool{}
	for _, one := range allRuns(t) {
		if one.plan == nil {
			continue
		}
		for address, page := range policies(one.plan) {
			linked[page] = true
			if _, err := os.Stat(folder + "/playbooks/" + page + ".md"); err != nil || page == "" {
				t.Errorf("%s links %q: %v", address, page, err)
			}
		}
	}
	index, err := os.ReadFile(folder + "/playbooks/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := playbooks(t)
	if len(pages) < 8 {
		t.Errorf("only %d pages", len(pages))
	}
	for name := range pages {
		page := strings.TrimSuffix(name, ".md")
		if page != "README" && !linked[page] {
			t.Errorf("no alert links %s", name)
		}
		if page != "README" && !strings.Contains(string(index), "("+name+")") {
			t.Errorf("README.md does not list %s", name)
		}
	}
}

func playbooks(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(folder + "/playbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = string(data)
	}
	return out
}

var commandLine = regexp.MustCompile("(?m)(?:^ *|`)riftline ((?:[a-z]+ ?)+)([^`\n]*)")

// TestPlaybookCommandsExist asks the command itself for each line that a page has of it.
func TestPlaybookCommandsExist(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "riftline")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../riftline").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	helps := map[string]string{}
	found := 0
	for name, text := range playbooks(t) {
		for _, m := range commandLine.FindAllStringSubmatch(text, -1) {
			found++
			words := strings.Fields(m[1])
			if words[0] == "offsets" && len(words) > 1 {
				words = words[:2]
			} else {
				words = words[:1]
			}
			line := strings.Join(words, " ")
			if _, ok := helps[line]; !ok {
				out, err := exec.CommandContext(t.Context(), binary, append(words, "--help")...).CombinedOutput()
				if err != nil {
					t.Errorf("%s: riftline %s: %v", name, line, err)
				}
				helps[line] = string(out)
			}
			if !strings.Contains(helps[line], "riftline "+line) {
				t.Errorf("%s: there is no riftline %s", name, line)
			}
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(m[0], -1) {
				if !slices.Contains(regexp.MustCompile(`--[a-z-]+`).FindAllString(helps[line], -1), flag) {
					t.Errorf("%s: riftline %s has no %s", name, line, flag)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d command lines found", found)
	}
}

// TestPlaybookLinksExist keeps the links between the pages.
func TestPlaybookLinksExist(t *testing.T) {
	pages := playbooks(t)
	for name, text := range pages {
		for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, ok := pages[m[1]]; !ok {
				t.Errorf("%s links %s", name, m[1])
			}
		}
	}
}
