// Package infra holds the tests of the Terraform configuration in infra: its own tests are run by terraform test with
// made-up answers of Google Cloud, and the plans that come of it are held against rules that no single test can say.
package infra

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riftline/riftline/scripts/internal/require"
)

// folder is where the configuration is.
const folder = "../../infra"

// terraform runs Terraform in dir. TF_WRAPPER names a command that runs it so that it finds the google provider's schema
// where no registry can be reached.
func terraform(t *testing.T, dir string, args ...string) (stdout, stderr []byte, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	line := append([]string{"terraform"}, args...)
	if wrapper := os.Getenv("TF_WRAPPER"); wrapper != "" {
		line = append([]string{wrapper}, line...)
	}
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.Bytes(), errs.Bytes(), err
}

var initialised = struct {
	sync.Once
	dir    string
	reason string
}{}

// workspace gives a copy of the configuration that is ready to be planned, or skips the test where this machine has no
// Terraform or reaches no provider.
func workspace(t *testing.T) string {
	t.Helper()
	initialised.Do(func() { initialise(t) })
	if initialised.reason != "" {
		require.Skip(t, "terraform", initialised.reason)
	}
	dir := t.TempDir()
	copyTree(t, initialised.dir, dir)
	return dir
}

func initialise(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		initialised.reason = "there is no terraform here"
		return
	}
	dir, err := os.MkdirTemp("", "riftline-infra-")
	if err != nil {
		t.Fatal(err)
	}
	initialised.dir = dir
	copyTree(t, folder, dir)
	if out, errs, err := terraform(t, dir, "init", "-input=false", "-no-color"); err != nil {
		initialised.reason = "terraform init reaches no provider (TF_WRAPPER can name a stand-in): " + err.Error() + "\n" + string(out) + string(errs)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if initialised.dir != "" {
		_ = os.RemoveAll(initialised.dir)
	}
	os.Exit(code)
}

// copyTree copies files and links; what an earlier terraform left in the configuration's own folder stays there.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case from == folder && (d.Name() == ".terraform" || strings.HasSuffix(d.Name(), ".tfstate")):
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, info.Mode().Perm()|0o200)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// run is one run block of a test file: its outcome, what Terraform said, and what it planned.
type run struct {
	file, name, status string
	said               []string
	plan               *plan
}

// runs are the outcomes of a terraform test, in its order.
type runs []*run

func (r runs) of(file, name string) *run {
	i := slices.IndexFunc(r, func(one *run) bool { return one.file == file && one.name == name })
	if i < 0 {
		return nil
	}
	return r[i]
}

// test runs the test files that are named (without path and ending), all unless some are.
func test(t *testing.T, dir string, files ...string) runs {
	t.Helper()
	args := []string{"test", "-json", "-verbose"}
	for _, file := range files {
		args = append(args, "-filter=tests/"+file+".tftest.hcl")
	}
	out, errs, err := terraform(t, dir, args...)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("terraform test: %v", err)
	}
	found := parse(t, out)
	if len(found) == 0 {
		t.Fatalf("terraform test ran nothing: %v\n%s%s", err, out, errs)
	}
	return found
}

// parse reads the lines of terraform test -json.
func parse(t *testing.T, out []byte) runs {
	t.Helper()
	var found runs
	get := func(file, name string) *run {
		file = strings.TrimSuffix(filepath.Base(file), ".tftest.hcl")
		if one := found.of(file, name); one != nil {
			return one
		}
		one := &run{file: file, name: name}
		found = append(found, one)
		return one
	}
	for line := range bytes.Lines(out) {
		var e struct {
			Type       string `json:"type"`
			File       string `json:"@testfile"`
			Run        string `json:"@testrun"`
			Diagnostic *struct{ Severity, Summary, Detail string }
			TestRun    *struct{ Path, Run, Status string } `json:"test_run"`
			Plan       *plan                               `json:"test_plan"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			continue
		}
		switch {
		case e.TestRun != nil && e.TestRun.Status != "":
			get(e.TestRun.Path, e.TestRun.Run).status = e.TestRun.Status
		case e.Plan != nil:
			e.Plan.ready()
			get(e.File, e.Run).plan = e.Plan
		case e.Diagnostic != nil && e.Diagnostic.Severity == "error":
			one := get(e.File, e.Run)
			one.said = append(one.said, strings.TrimSpace(e.Diagnostic.Summary+": "+e.Diagnostic.Detail))
			if one.status == "" {
				one.status = "error"
			}
		}
	}
	return found
}
