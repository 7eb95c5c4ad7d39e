//go:build unix

package gcloud

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/riftline/riftline/scripts/internal/require"
)

// line is a command of gcloud or terraform that somebody is to type, or that a script makes.
type line struct {
	where string
	text  string
	words []string // up to the first option or what only a shell knows
	flags []string // without values, in order
}

var (
	continued = regexp.MustCompile(`\\\n\s*`)
	heredoc   = regexp.MustCompile(`<<'?([A-Z]+)'?$`)
	comment   = regexp.MustCompile(`(?m)(^|\s)#\s.*$`)
	quoted    = regexp.MustCompile(`"[^"\n]*"`)
	invoked   = regexp.MustCompile(`(?m)(?:^|[\s(])(gcloud|terraform) ([^|;)\n]*)`)
	word      = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	flag      = regexp.MustCompile(`^["']?(--?[a-z][a-z0-9-]*)`)
)

// commands finds the commands in text that a shell would read. What stands in a comment, in a sentence in quotation marks
// or in a file that is written begins none.
func commands(where, text string) []line {
	text = comment.ReplaceAllString(withoutFiles(continued.ReplaceAllString(text, " ")), "")
	text = quoted.ReplaceAllStringFunc(text, func(s string) string {
		if strings.Contains(s, " ") && !strings.HasPrefix(s, `"--`) {
			return `""`
		}
		return s
	})
	text = strings.ReplaceAll(text, " && ", "\n")
	var found []line
	for _, m := range invoked.FindAllStringSubmatch(text, -1) {
		l := line{where: where, text: m[1] + " " + m[2], words: []string{m[1]}}
		leading := true
		for f := range strings.FieldsSeq(m[2]) {
			if f == "--" {
				break
			}
			if is := flag.FindStringSubmatch(f); is != nil {
				l.flags = append(l.flags, is[1])
				// terraform has an option before its command.
				leading = leading && m[1] == "terraform" && is[1] == "-chdir"
				continue
			}
			leading = leading && word.MatchString(f)
			if leading {
				l.words = append(l.words, f)
			}
		}
		// "command -v gcloud >/dev/null" calls something else.
		if len(l.words) > 1 || len(l.flags) > 0 {
			found = append(found, l)
		}
	}
	return found
}

// withoutFiles leaves out the text of here-documents.
func withoutFiles(text string) string {
	var kept []string
	until := ""
	for l := range strings.Lines(text) {
		switch {
		case until != "":
			if strings.TrimSpace(l) == until {
				until = ""
			}
			continue
		case heredoc.MatchString(strings.TrimSpace(l)):
			until = heredoc.FindStringSubmatch(strings.TrimSpace(l))[1]
		}
		kept = append(kept, l)
	}
	return strings.Join(kept, "")
}

var (
	shellBlock = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$")
	inline     = regexp.MustCompile("`((?:gcloud|terraform) [^`\n]+)`")
)

// all are the lines of the READMEs, the playbooks and the scripts.
func all(t *testing.T) []line {
	t.Helper()
	var found []line
	pages, err := filepath.Glob("../../infra/playbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"../../README.md", "../../infra/README.md"}, pages...) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllSubmatch(page, -1) {
			found = append(found, commands(filepath.Base(name), string(block[1]))...)
		}
		for _, span := range inline.FindAllSubmatch(shellBlock.ReplaceAll(page, nil), -1) {
			found = append(found, commands(filepath.Base(name), strings.ReplaceAll(string(span[1]), `\|`, "|"))...)
		}
	}
	inReadme := len(found)
	if inReadme < 15 {
		t.Fatalf("only %d lines found in the pages", inReadme)
	}
	scripts, err := filepath.Glob("../*.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, commands(filepath.Base(name), string(text))...)
	}
	if n := len(found) - inReadme; n < 15 {
		t.Fatalf("only %d lines found in the scripts", n)
	}
	return found
}

func TestFindingCommands(t *testing.T) {
	t.Parallel()
	got := commands("x", `
# gcloud none at all
gcloud a b --c=d \
    --e "f" g && gcloud h
run terraform -chdir=infra state show -no-color "$x"
x=$(run gcloud i "--j=$k") || die "gcloud is missing"
command -v gcloud >/dev/null || die "no gcloud here"
cat >x <<END
gcloud none --here
END
printf x | gcloud l --m
`)
	var said []string
	for _, l := range got {
		said = append(said, fmt.Sprint(l.words, l.flags))
	}
	if want := []string{
		"[gcloud a b] [--c --e]", "[gcloud h] []", "[terraform state show] [-chdir -no-color]", "[gcloud i] [--j]", "[gcloud l] [--m]",
	}; !slices.Equal(said, want) {
		t.Errorf("found\n%s\nnot\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

var escape = regexp.MustCompile("\x1b\\[[0-9;]*m|.\b")

// help gives what a program says of a command, once for each.
var help = struct {
	sync.Mutex
	said map[string]func() (string, error)
}{said: map[string]func() (string, error){}}

func helpOf(args ...string) (string, error) {
	key := strings.Join(args, " ")
	help.Lock()
	ask, ok := help.said[key]
	if !ok {
		ask = sync.OnceValues(func() (string, error) {
			kept := keptHelp(args)
			if data, err := os.ReadFile(kept); err == nil {
				return string(data), nil
			}
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "PAGER=cat", "COLUMNS=200", "CHECKPOINT_DISABLE=1")
			out, err := cmd.CombinedOutput()
			said := escape.ReplaceAllString(string(out), "")
			if err == nil && kept != "" {
				keep(kept, said)
			}
			return said, err
		})
		help.said[key] = ask
	}
	help.Unlock()
	return ask()
}

// keptHelp is where the help of a command is kept for later runs, since gcloud takes more than a second for each; "" where
// the version of gcloud is not known.
func keptHelp(args []string) string {
	path, err := exec.LookPath(args[0])
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	cache, err2 := os.UserCacheDir()
	version, err3 := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "VERSION"))
	if err != nil || err2 != nil || err3 != nil || args[0] != "gcloud" {
		return ""
	}
	return filepath.Join(cache, "riftline", "gcloud-help-"+strings.TrimSpace(string(version)), strings.Join(args[1:], " "))
}

// keep writes the file whole or not at all; without it the next run only takes longer.
func keep(name, text string) {
	if os.MkdirAll(filepath.Dir(name), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return
	}
	_, err = f.WriteString(text)
	if f.Close() != nil || err != nil || os.Rename(f.Name(), name) != nil {
		_ = os.Remove(f.Name())
	}
}

var (
	named    = regexp.MustCompile(`(?m)^NAME\n\s+(gcloud[a-z0-9 -]*?) - `)
	synopsis = regexp.MustCompile(`(?s)SYNOPSIS\n(.*?)\n\n`)
	group    = regexp.MustCompile(`(?m)^\s+(COMMAND|GROUP) is one of the following:$`)
)

// wrongGcloud says what gcloud would refuse of a line, by its own help.
func wrongGcloud(l line) string {
	said, err := helpOf(append(slices.Clone(l.words), "--help")...)
	if err != nil {
		return "there is no such command: " + strings.TrimSpace(said)
	}
	name := named.FindStringSubmatch(said)
	if name == nil || group.MatchString(said) {
		return "it names a group, not a command"
	}
	for _, f := range l.flags {
		if !regexp.MustCompile(regexp.QuoteMeta(f) + `([^a-z0-9-]|$)`).MatchString(said) {
			return name[1] + " has no " + f
		}
	}
	m := synopsis.FindStringSubmatch(said)
	if m == nil {
		return "no synopsis of " + name[1]
	}
	for _, f := range required(m[1]) {
		if !slices.Contains(l.flags, f) {
			return name[1] + " wants " + f
		}
	}
	return ""
}

var (
	bracketed = regexp.MustCompile(`\[[^\[\]]*\]`)
	resource  = regexp.MustCompile(`\([A-Z_]+ :[^()]*\)`)
	either    = regexp.MustCompile(`\([^()]*\)`)
	needed    = regexp.MustCompile(`--[a-z][a-z0-9-]*`)
)

// required are the options of a synopsis that stand in no brackets. Of alternatives, none is by itself.
func required(synopsis string) []string {
	for bracketed.MatchString(synopsis) {
		synopsis = bracketed.ReplaceAllString(synopsis, "")
	}
	return needed.FindAllString(either.ReplaceAllString(resource.ReplaceAllString(synopsis, ""), ""), -1)
}

// accepted are the commands whose options another one takes too, as its help says without naming them.
var accepted = map[string][]string{"apply": {"plan"}}

func wrongTerraform(l line) string {
	all, err := helpOf("terraform", "-help")
	if err != nil {
		return strings.TrimSpace(all)
	}
	path := l.words[1:]
	if len(path) == 0 {
		return "it names no command"
	}
	// What stands behind the command may look like one: "terraform apply plan".
	var said string
	for ; ; path = path[:len(path)-1] {
		if len(path) == 0 {
			return "there is no such command"
		}
		said, err = helpOf(append(append([]string{"terraform"}, path...), "-help")...)
		if err == nil && strings.Contains(said, "Usage: terraform [global options] "+strings.Join(path, " ")) {
			break
		}
	}
	if strings.Contains(said, "<subcommand>") {
		return "it names a group, not a command"
	}
	for _, more := range accepted[path[0]] {
		text, err := helpOf("terraform", more, "-help")
		if err != nil {
			return strings.TrimSpace(text)
		}
		said += text
	}
	for _, f := range l.flags {
		in := said
		if f == "-chdir" {
			in = all
		}
		if f != "-no-color" && !regexp.MustCompile(`(?m)(^|\s)`+regexp.QuoteMeta(f)+`([^a-z0-9-]|$)`).MatchString(in) {
			return "terraform " + strings.Join(path, " ") + " has no " + f
		}
	}
	return ""
}

// What is written for people to type, and what the scripts call, exists.
func TestLinesAreAsTheHelpSays(t *testing.T) {
	t.Parallel()
	checks := map[string]func(line) string{"gcloud": wrongGcloud, "terraform": wrongTerraform}
	for _, program := range slices.Sorted(maps.Keys(checks)) {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(program); err != nil {
				require.Skip(t, program, err.Error())
			}
			var wait sync.WaitGroup
			slots := make(chan struct{}, 2)
			for _, l := range all(t) {
				if l.words[0] != program {
					continue
				}
				wait.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					if wrong := checks[program](l); wrong != "" {
						t.Errorf("%s: %s: %s", l.where, l.text, wrong)
					}
				})
			}
			wait.Wait()
		})
	}
}

// The check itself must be able to fail.
func TestWrongLinesAreFound(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"gcloud scheduler jobs start x --location=y":           "no such command",
		"gcloud scheduler jobs --location=y":                   "a group",
		"gcloud scheduler jobs run x --region=y":               "has no --region",
		"gcloud secrets versions add x":                        "wants --data-file",
		"gcloud artifacts repositories create x":               "wants --repository-format",
		"terraform -chdir=infra aply":                          "no such command",
		"terraform state lst":                                  "a group",
		"terraform apply plan":                                 "",
		"terraform -chdir=infra apply -auto-aprove":            "has no -auto-aprove",
		"terraform -chdir=infra apply -auto-approve -target=x": "",
		"gcloud scheduler jobs run x --location=y":             "",
	} {
		program, _, _ := strings.Cut(text, " ")
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(program); err != nil {
				require.Skip(t, program, err.Error())
			}
			found := commands("here", text)
			if len(found) != 1 {
				t.Fatalf("found %v", found)
			}
			check := wrongTerraform
			if program == "gcloud" {
				check = wrongGcloud
			}
			if got := check(found[0]); !strings.Contains(got, says) || says == "" && got != "" {
				t.Errorf("it says %q, not %q", got, says)
			}
		})
	}
}
