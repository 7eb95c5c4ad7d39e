package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTopLevelNames(t *testing.T) {
	allowed := []string{"functions", "shared", "infra", "scripts", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE"}
	for _, name := range files(t) {
		top, _, _ := strings.Cut(name, "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(allowed, top) {
			t.Errorf("%s: the top level has only %s and dotfiles", name, strings.Join(allowed, ", "))
		}
	}
}

// What must not be in a commit. The patterns are put together from pieces so that this file does not hold what it looks
// for.
var unwanted = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"a Riot API key", regexp.MustCompile(`RGAPI-[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-`)},
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE` + ` KEY-----\s*\n[A-Za-z0-9+/=]{20}`)},
	{"a Google API key", regexp.MustCompile(`AIza[0-9A-Za-z_-]{35}`)},
	{"a service account's key", regexp.MustCompile(`"private_key"\s*:\s*"-----BEGIN [A-Z ]*PRIVATE` + ` KEY-----\\n[A-Za-z0-9+/=]{20}`)},
	{"a GitHub token", regexp.MustCompile(`gh[pousr]_[0-9A-Za-z]{36}`)},
	{"a Slack token", regexp.MustCompile(`xox[abprs]-[0-9A-Za-z-]{10}`)},
	{"an AWS access key", regexp.MustCompile(`\bAKIA[0-9A-Z]{16}\b`)},
	{"a JSON web token", regexp.MustCompile(`\beyJ[0-9A-Za-z_-]{20,}\.eyJ[0-9A-Za-z_-]{20,}\.[0-9A-Za-z_-]{20,}`)},
	{"a path of somebody's machine", regexp.MustCompile(`(^|[^\w.$}/-])/(` + strings.Join([]string{"wo" + "rk", "ro" + "ot", "fa" + "rm", "ho" + "me", "Us" + "ers"}, "|") + `)/`)},
	{"a package registry's host", regexp.MustCompile(strings.Join([]string{
		`repo1?\.` + `maven`, `py` + `pi\.org`, `python` + `hosted`, `npm` + `js\.`, `proxy\.` + `golang`, `deb\.` + `debian`, `static\.` + `crates`,
	}, "|"))},
	{"work left undone", regexp.MustCompile(`\b(` + "TO" + "DO|FIX" + "ME|XX" + `X)\b`)},
	{"a reference to something outside of the repository", regexp.MustCompile(`(?i)\.\./shared/(reference|design|examples|hooks)|\bissue #?[0-9]+\b|\bthis ` + `session\b|\bC` + `EO\b`)},
}

// exempt lists the places where a pattern is meant.
var exempt = map[string][]string{
	// A made-up key in the API's form, all zeros in its first part, is what tests and the simulated API use.
	"a Riot API key": {"RGAPI-00000000-"},
	// A container's own folders.
	"a path of somebody's machine": {"/ho" + "me/nonroot/"},
}

func TestTreeHoldsNothingUnwanted(t *testing.T) {
	for _, name := range files(t) {
		if name == "go.sum" {
			continue
		}
		path := filepath.Join(root(t), name)
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if info.Size() > 1<<20 {
			t.Errorf("%s has %d KiB; a repository is no place for that", name, info.Size()>>10)
			continue
		}
		data := read(t, name)
		if !utf8.Valid(data) {
			continue
		}
		for _, hit := range hits(string(data)) {
			t.Errorf("%s:%s", name, hit)
		}
	}
}

// hits finds what is unwanted in a text: "line: what: the text".
func hits(text string) []string {
	var found []string
	for _, u := range unwanted {
		for _, at := range u.pattern.FindAllStringIndex(text, -1) {
			end := at[1] + 20
			if i := strings.IndexByte(text[at[0]:], '\n'); i >= 0 {
				end = min(end, at[0]+i)
			}
			excerpt := text[at[0]:min(end, len(text))]
			if slices.ContainsFunc(exempt[u.what], func(e string) bool { return strings.Contains(excerpt, e) }) {
				continue
			}
			line := 1 + strings.Count(text[:at[0]], "\n")
			found = append(found, fmt.Sprintf("%d: %s: %q", line, u.what, excerpt))
		}
	}
	return found
}

func TestUnwantedIsFound(t *testing.T) {
	for _, text := range []string{
		"key = RGAPI-" + "12345678-1234-1234-1234-123456789abc",
		"-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEowIBAAKCAQEAwJalr",
		"see /ro" + "ot/.cache/x",
		"url=https://repo." + "maven.example/x",
		"// TO" + "DO: later",
		"in ../shared/refer" + "ence/x.md",
	} {
		if len(hits(text)) != 1 {
			t.Errorf("%q: found %v", text, hits(text))
		}
	}
	for _, text := range []string{
		"RGAPI-" + "00000000-0000-0000-0000-000000000000",
		"the root / of it, a/ro" + "ot/b, $HO" + "ME/x",
	} {
		if len(hits(text)) != 0 {
			t.Errorf("%q: found %v", text, hits(text))
		}
	}
}

func TestShellScripts(t *testing.T) {
	checked := 0
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".sh") && name != ".ci/run" {
			continue
		}
		checked++
		if _, all, err := command(t.Context(), t, nil, "bash", "-n", name); err != nil {
			t.Errorf("%s: %v\n%s", name, err, all)
		}
	}
	if checked < 5 {
		t.Errorf("only %d shell scripts found", checked)
	}
}

// Every download is pinned by a whole checksum.
func TestLockFiles(t *testing.T) {
	line := regexp.MustCompile(`^[a-z0-9.-]+ [0-9a-f]{64} [\w.-]+:[\w.-]+:[\w.-]+:[a-z.]+(:[a-z]+)?$`)
	for l := range strings.SplitSeq(strings.TrimSpace(string(read(t, "scripts/artifacts.lock"))), "\n") {
		if !strings.HasPrefix(l, "#") && !line.MatchString(l) {
			t.Errorf("artifacts.lock: %s", l)
		}
	}
	for _, of := range []string{"requirements", "checkov"} {
		requirements := "\n" + string(read(t, "scripts/"+of+".txt"))
		for l := range strings.SplitSeq(string(read(t, "scripts/"+of+".in")), "\n") {
			name, _, _ := strings.Cut(l, "==")
			name, _, _ = strings.Cut(name, "[")
			if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") && !strings.Contains(requirements, "\n"+name+"==") {
				t.Errorf("%s.txt lacks %s: run pip-compile --generate-hashes --strip-extras", of, name)
			}
		}
	}
}
