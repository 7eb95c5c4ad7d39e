package infra

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/scripts/internal/require"
)

// report is what checkov writes with -o json.
type report struct {
	Summary struct {
		Passed        int `json:"passed"`
		ParsingErrors int `json:"parsing_errors"`
	} `json:"summary"`
	Results struct {
		Failed  []finding `json:"failed_checks"`
		Skipped []finding `json:"skipped_checks"`
	} `json:"results"`
}

type finding struct {
	ID       string `json:"check_id"`
	Name     string `json:"check_name"`
	Resource string `json:"resource"`
	Result   struct {
		Comment string `json:"suppress_comment"`
	} `json:"check_result"`
}

func checkov(t *testing.T, dir string) report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	script, err := filepath.Abs("../checkov.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, script, "--directory", ".", "--framework", "terraform", "--skip-download", "--quiet", "--output", "json", "--soft-fail")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CHECKOV_RUN_SCA_PACKAGE_SCAN_V2=false", "LOG_LEVEL=ERROR")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 75 {
		require.Skip(t, "python", errs.String())
	}
	var r report
	if err != nil || json.Unmarshal(out.Bytes(), &r) != nil {
		t.Fatalf("checkov: %v\n%s%s", err, out.String(), errs.String())
	}
	return r
}

// TestCheckov lets checkov look at the configuration, and at one with a fault that it must find.
func TestCheckov(t *testing.T) {
	dir := t.TempDir()
	copyTree(t, folder, dir)
	r := checkov(t, dir)
	for _, f := range r.Results.Failed {
		t.Errorf("%s: %s: %s", f.Resource, f.ID, f.Name)
	}
	for _, f := range r.Results.Skipped {
		if len(strings.TrimSpace(f.Result.Comment)) < 30 {
			t.Errorf("%s: %s is left out for no reason: %q", f.Resource, f.ID, f.Result.Comment)
		}
	}
	if r.Summary.Passed < 6 || r.Summary.ParsingErrors > 0 {
		t.Errorf("%d checks passed, %d files could not be read", r.Summary.Passed, r.Summary.ParsingErrors)
	}

	fault := mutation{file: "modules/storage/main.tf", from: "public_access_prevention    = \"enforced\"", to: "public_access_prevention    = \"inherited\""}
	fault.apply(t, dir)
	if bad := checkov(t, dir); len(bad.Results.Failed) == 0 {
		t.Error("checkov finds nothing wrong with a bucket that may become public")
	}
}
