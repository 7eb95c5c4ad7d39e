//go:build unix

// Package gcloud tests the scripts that work on Google Cloud, with programs in place of gcloud and terraform that write
// down how they were called, and checks each gcloud and terraform line of the README and of the scripts against those
// programs' own help.
package gcloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/riftline/riftline/scripts/internal/fakes"
	"github.com/riftline/riftline/scripts/internal/require"
)

// result is what a script did.
type result struct {
	code           int
	stdout, stderr string
	calls          []fakes.Call
}

// script runs a script of this repository with fakes on its PATH.
func script(t *testing.T, p *fakes.Programs, env []string, stdin, name string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "../"+name, args...)
	cmd.Env = append(append(os.Environ(), p.Path()), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), p.Calls()}
}

// calls are the words of each call.
func (r result) words() []string {
	var all []string
	for _, c := range r.calls {
		all = append(all, strings.Join(c.Args, "␣"))
	}
	return all
}

func (r result) want(t *testing.T, code int, calls ...[]string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s", r.code, code, r.stderr)
	}
	var all []string
	for _, c := range calls {
		all = append(all, strings.Join(c, "␣"))
	}
	if got := r.words(); !slices.Equal(got, all) {
		t.Errorf("the calls are\n  %s\nnot\n  %s\n%s", strings.Join(got, "\n  "), strings.Join(all, "\n  "), r.stderr)
	}
}

// wantShown checks that each call was printed, in a form that a shell takes for the same words.
func (r result) wantShown(t *testing.T) {
	t.Helper()
	for _, c := range r.calls {
		var shown bool
		for line := range strings.Lines(r.stderr) {
			line, ok := strings.CutPrefix(strings.TrimSpace(line), "+ ")
			shown = shown || ok && slices.Equal(shellWords(t, line), c.Args)
		}
		if !shown {
			t.Errorf("not shown: %s\n%s", c, r.stderr)
		}
	}
}

// shellWords lets a shell take a line apart.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", "-c", "printf '%s\\0' "+line).Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// connected is a gcloud with settings of its own.
func connected(t *testing.T) *fakes.Programs {
	t.Helper()
	p := fakes.New(t, "gcloud", "terraform")
	p.Answer("gcloud config list --format=value(core.project)", "my-project\n", "", 0)
	p.Answer("gcloud config list --format=value(compute.region)", "europe-west1\n", "", 0)
	return p
}

var (
	askProject       = []string{"gcloud", "config", "list", "--format=value(core.project)"}
	askRunRegion     = []string{"gcloud", "config", "list", "--format=value(run.region)"}
	askComputeRegion = []string{"gcloud", "config", "list", "--format=value(compute.region)"}
)

func TestTrigger(t *testing.T) {
	t.Parallel()
	sinkLogs := `(resource.type="cloud_run_revision" AND resource.labels.service_name="riftline-poller" AND jsonPayload.connector="gcs-sink") OR (resource.type="cloud_run_job" AND resource.labels.job_name="riftline-sink-gcs-sink")`
	format := "--format=value(timestamp, severity, jsonPayload)"
	for name, tt := range map[string]struct {
		args  []string
		calls [][]string
	}{
		"a poll, where gcloud is": {
			[]string{"poll", "challenger"},
			[][]string{askProject, askRunRegion, askComputeRegion, {"gcloud", "scheduler", "jobs", "run", "riftline-poll-challenger", "--project=my-project", "--location=europe-west1"}},
		},
		"options before all": {[]string{"--project", "p2", "poll", "challenger"}, nil},
		"a poll elsewhere": {
			[]string{"poll", "--project", "p2", "--region", "us-east1", "--prefix", "test", "challenger"},
			[][]string{{"gcloud", "scheduler", "jobs", "run", "test-poll-challenger", "--project=p2", "--location=us-east1"}},
		},
		"a name that Google Cloud does not take": {
			[]string{"poll", "Ladder.of_KR", "--project", "p2", "--region", "us-east1"},
			[][]string{{"gcloud", "scheduler", "jobs", "run", "riftline-poll-ladder-of-kr-cd64f4", "--project=p2", "--location=us-east1"}},
		},
		"a drain": {
			[]string{"drain", "gcs-sink", "--project", "p2", "--region", "us-east1"},
			[][]string{{"gcloud", "run", "jobs", "execute", "riftline-sink-gcs-sink", "--project=p2", "--region=us-east1", "--wait"}},
		},
		"logs": {
			[]string{"logs", "gcs-sink", "--project", "p2"},
			[][]string{{"gcloud", "logging", "read", sinkLogs, "--project=p2", "--freshness=1h", "--order=asc", format}},
		},
		"logs from now on": {
			[]string{"logs", "gcs-sink", "--follow", "--project", "p2"},
			[][]string{{"gcloud", "beta", "logging", "tail", sinkLogs, "--project=p2", format}},
		},
		"nothing":                  {nil, nil},
		"no name":                  {[]string{"poll"}, nil},
		"two names":                {[]string{"poll", "a", "b"}, nil},
		"a name that is none":      {[]string{"poll", "a b"}, nil},
		"something else":           {[]string{"stop", "challenger"}, nil},
		"keys of a poll":           {[]string{"poll", "challenger", "--set", "a=b"}, nil},
		"a key without a value":    {[]string{"drain", "gcs-sink", "--set", "a"}, nil},
		"following a poll":         {[]string{"poll", "challenger", "--follow"}, nil},
		"an option without a word": {[]string{"poll", "challenger", "--project"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := script(t, connected(t), nil, "", "trigger.sh", tt.args...)
			if tt.calls == nil {
				if r.code == 0 || r.stderr == "" && r.stdout == "" {
					t.Errorf("exit code %d, said %q", r.code, r.stderr)
				}
				r.want(t, r.code)
				return
			}
			r.want(t, 0, tt.calls...)
			r.wantShown(t)
		})
	}
}

// trigger.sh makes of a name what Terraform makes of it.
func TestSlugsAreTerraforms(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("terraform"); err != nil {
		require.Skip(t, "terraform", err.Error())
	}
	infra, err := os.ReadFile("../../infra/connectors.tf")
	if err != nil {
		t.Fatal(err)
	}
	formulas := regexp.MustCompile(`(?m)^ +(plain|slug) += \{ for f, name in local\.names .*$`).FindAllString(string(infra), -1)
	if len(formulas) != 2 {
		t.Fatalf("infra/connectors.tf has these formulas: %q", formulas)
	}
	names := []string{
		"challenger", "gcs-sink", "7", "a--b", "Ladder.of_KR", "-begins", "ends-", "_", "..a..", "a_b", "UPPER",
		"a-name-of-thirty-characters-00", "a-name-of-thirty-one-character1", "a-name-of-many-characters.and-more-than-fit-into-it-at-all",
		"a-name-cut-at-a-dash-00-and-more-of-it",
	}
	quoted, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	module := "locals {\n  names = { for n in " + string(quoted) + " : n => n }\n" + strings.Join(formulas, "\n") + "\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(module), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "terraform", "console")
	cmd.Dir, cmd.Stdin, cmd.Env = dir, strings.NewReader("jsonencode(local.slug)\n"), append(os.Environ(), "CHECKPOINT_DISABLE=1")
	var warnings bytes.Buffer
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("terraform console: %v\n%s", err, warnings.String())
	}
	var text string
	slugs := map[string]string{}
	if err := errors.Join(json.Unmarshal(out, &text), json.Unmarshal([]byte(text), &slugs)); err != nil || len(slugs) != len(names) {
		t.Fatalf("terraform console: %v\n%s", err, out)
	}
	for name, slug := range slugs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(name, "-") {
				// It could not be told from an option.
				script(t, connected(t), nil, "", "trigger.sh", "poll", name, "--project", "p", "--region", "us-east1").want(t, 2)
				return
			}
			script(t, connected(t), nil, "", "trigger.sh", "poll", name, "--project", "p", "--region", "us-east1").want(t, 0,
				[]string{"gcloud", "scheduler", "jobs", "run", "riftline-poll-" + slug, "--project=p", "--location=us-east1"})
		})
	}
}

// Keys of a drain are put over those that the job has, which stay.
func TestDrainWithOverrides(t *testing.T) {
	t.Parallel()
	job := func(variables string) string {
		return `{"spec":{"template":{"spec":{"template":{"spec":{"containers":[{"image":"i","env":[{"name":"RIFTLINE_CONNECTOR","value":"gcs-sink"}` + variables + `]}]}}}}}}`
	}
	for name, tt := range map[string]struct{ job, want string }{
		"a job with none":      {job(""), `{"gcs-sink":{"flush.size":"100","topics.dir":"a\u0040b,\"c\"=d"}}`},
		"a job with some":      {job(`,{"name":"RIFTLINE_OVERRIDES","value":"{\"gcs-sink\":{\"flush.size\":\"3\",\"gcs.bucket.name\":\"mine\"}}"}`), `{"gcs-sink":{"flush.size":"100","gcs.bucket.name":"mine","topics.dir":"a\u0040b,\"c\"=d"}}`},
		"a variable elsewhere": {job(`,{"name":"FROM","valueFrom":{"secretKeyRef":{"name":"s","key":"1"}}}`), `{"gcs-sink":{"flush.size":"100","topics.dir":"a\u0040b,\"c\"=d"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := connected(t)
			p.Answer("gcloud run jobs describe", tt.job, "", 0)
			r := script(t, p, nil, "", "trigger.sh", "drain", "gcs-sink", "--project", "p", "--region", "us-east1", "--set", "flush.size=100", "--set", `topics.dir=a@b,"c"=d`)
			r.want(t, 0,
				[]string{"gcloud", "run", "jobs", "describe", "riftline-sink-gcs-sink", "--project=p", "--region=us-east1", "--format=json"},
				[]string{"gcloud", "run", "jobs", "execute", "riftline-sink-gcs-sink", "--project=p", "--region=us-east1", "--wait", "--update-env-vars=^@^RIFTLINE_OVERRIDES=" + tt.want})
			r.wantShown(t)
		})
	}
	t.Run("no job", func(t *testing.T) {
		t.Parallel()
		p := connected(t)
		p.Answer("gcloud run jobs describe", "", "ERROR: no such job\n", 4)
		r := script(t, p, nil, "", "trigger.sh", "drain", "gcs-sink", "--project", "p", "--region", "us-east1", "--set", "a=b")
		if r.code == 0 || len(r.calls) != 1 {
			t.Errorf("exit code %d, calls %v", r.code, r.calls)
		}
	})
}

// What gcloud says and how it ends is what the script says and how it ends.
func TestFailuresArePassedOn(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		words, script string
		args          []string
	}{
		"poll":             {"gcloud scheduler jobs run", "trigger.sh", []string{"poll", "a", "--region", "us-east1"}},
		"drain":            {"gcloud run jobs execute", "trigger.sh", []string{"drain", "a", "--region", "us-east1"}},
		"logs":             {"gcloud logging read", "trigger.sh", []string{"logs", "a"}},
		"secret":           {"gcloud secrets versions add", "secret.sh", []string{"a"}},
		"teardown, state":  {"terraform -chdir=infra state list", "teardown.sh", []string{"--yes"}},
		"teardown, plan":   {"terraform -chdir=infra plan", "teardown.sh", nil},
		"teardown, apply":  {"terraform -chdir=infra apply", "teardown.sh", []string{"--yes"}},
		"teardown, bucket": {"gcloud storage rm", "teardown.sh", []string{"--yes", "--delete-data", "my-archive"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := connected(t)
			if tt.words != "terraform -chdir=infra state list" {
				state(p)
			}
			p.Answer(tt.words, "", "ERROR: the reason\n", 7)
			r := script(t, p, nil, "value", tt.script, append(tt.args, "--project", "p")...)
			if r.code != 7 || !strings.Contains(r.stderr, "ERROR: the reason") {
				t.Errorf("exit code %d\n%s", r.code, r.stderr)
			}
			if last := r.calls[len(r.calls)-1].String(); !strings.HasPrefix(last, tt.words) {
				t.Errorf("it went on: %s", last)
			}
		})
	}
}

const credential = "RGAPI-00000000-a-credential-4f1d"

// A value goes to gcloud's standard input and nowhere else, less the line break at its end.
func TestSecret(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ stdin, want string }{
		"as it is":              {credential, credential},
		"with a line break":     {credential + "\n", credential},
		"with Windows' one":     {credential + "\r\n", credential},
		"with two":              {credential + "\n\n", credential + "\n"},
		"of several lines":      {"one\n " + credential + "\nthree \n", "one\n " + credential + "\nthree "},
		"with what shells read": {`$(echo ` + credential + `) 'a' "b" \n %s`, `$(echo ` + credential + `) 'a' "b" \n %s`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Variables that the caller exports under the names that the script uses.
			r := script(t, connected(t), []string{"value=x", "name=y", "project=z", "REPLY=r"}, tt.stdin, "secret.sh", "riot-api-key", "--project", "p")
			r.want(t, 0, []string{"gcloud", "secrets", "versions", "add", "riot-api-key", "--project=p", "--data-file=-"})
			r.wantShown(t)
			if got := r.calls[0].Stdin; got != tt.want {
				t.Errorf("gcloud was given %q, not %q", got, tt.want)
			}
			for where, text := range map[string]string{
				"output": r.stdout + r.stderr, "arguments": strings.Join(r.words(), " "), "environment": strings.Join(r.calls[0].Environ, "\n"),
			} {
				if strings.Contains(text, credential) {
					t.Errorf("it is in the %s:\n%s", where, text)
				}
			}
		})
	}
	for name, tt := range map[string]struct {
		stdin string
		args  []string
		says  string
	}{
		"nothing":                {"", []string{"riot-api-key", "--project", "p"}, "no value"},
		"a line break":           {"\n", []string{"riot-api-key", "--project", "p"}, "no value"},
		"a zero byte":            {"a\x00b", []string{"riot-api-key", "--project", "p"}, "zero byte"},
		"the value as argument":  {"", []string{"riot-api-key", "value", "--project", "p"}, "standard input"},
		"no name":                {"x", nil, "secret.sh NAME"},
		"a name that is none":    {"x", []string{"projects/p/secrets/a"}, "no name of a secret"},
		"an option that is none": {"x", []string{"riot-api-key", "--value=x"}, "secret.sh NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := script(t, connected(t), nil, tt.stdin, "secret.sh", tt.args...)
			if r.code == 0 || !strings.Contains(r.stdout+r.stderr, tt.says) {
				t.Errorf("exit code %d\n%s", r.code, r.stdout+r.stderr)
			}
			r.want(t, r.code)
		})
	}
}

// state is a state of Terraform with all kinds of things in it.
func state(p *fakes.Programs) {
	p.Answer("terraform -chdir=infra state list", `data.google_project.this
google_secret_manager_secret.reference["riot-api-key"]
module.poller.google_cloud_run_v2_service.poller
module.sink["gcs-sink"].google_cloud_run_v2_job.sink
module.sink["gcs-sink"].data.google_storage_bucket.other
module.storage.google_storage_bucket.archive["my-archive"]
module.storage.google_storage_bucket.archive["myxarchive"]
module.storage.google_storage_bucket.state
module.storage.google_storage_bucket_object.connector["challenger"]
module.kafka[0].google_managed_kafka_cluster.this
module.kafka[0].google_managed_kafka_topic.topic["challenger"]
`, "", 0)
	for address, name := range map[string]string{
		`archive["my-archive"]`: "my-archive", `archive["myxarchive"]`: "myxarchive", "state": "my-project-riftline-state",
	} {
		p.Answer("terraform -chdir=infra state show -no-color module.storage.google_storage_bucket."+address,
			"# module.storage.google_storage_bucket."+address+":\nresource \"google_storage_bucket\" \"x\" {\n    labels                      = {\n        \"name\" = \"other\"\n    }\n    name                        = \""+name+"\"\n}\n", "", 0)
	}
}

var targets = []string{
	`-target=google_secret_manager_secret.reference["riot-api-key"]`,
	"-target=module.poller.google_cloud_run_v2_service.poller",
	`-target=module.sink["gcs-sink"].google_cloud_run_v2_job.sink`,
	`-target=module.storage.google_storage_bucket_object.connector["challenger"]`,
}

func TestTeardown(t *testing.T) {
	t.Parallel()
	list := []string{"terraform", "-chdir=infra", "state", "list"}
	shows := func(address string) []string {
		return []string{"terraform", "-chdir=infra", "state", "show", "-no-color", "module.storage.google_storage_bucket." + address}
	}
	look := [][]string{list, shows(`archive["my-archive"]`), shows(`archive["myxarchive"]`), shows("state")}
	plan := append([]string{"terraform", "-chdir=infra", "plan", "-destroy"}, targets...)
	apply := append([]string{"terraform", "-chdir=infra", "apply", "-destroy", "-auto-approve"}, targets...)
	remove := []string{"gcloud", "storage", "rm", "--recursive", "gs://my-archive", "--project=p"}
	for name, tt := range map[string]struct {
		args  []string
		code  int
		calls [][]string
		says  string
	}{
		"by itself it only shows":      {nil, 0, [][]string{list, plan}, "nothing was changed"},
		"all but data":                 {[]string{"--yes"}, 0, [][]string{list, apply}, ""},
		"data is only shown":           {[]string{"--delete-data", "my-archive", "--project", "p"}, 0, append(slices.Clone(look), plan), "+ gcloud storage rm --recursive gs://my-archive --project=p"},
		"data":                         {[]string{"--delete-data", "my-archive", "--yes", "--project", "p"}, 0, append(slices.Clone(look), apply, remove), ""},
		"another's bucket":             {[]string{"--yes", "--delete-data", "my.archive", "--project", "p"}, 1, look, "there is no bucket my.archive"},
		"one that only looks like one": {[]string{"--yes", "--delete-data", "other", "--project", "p"}, 1, look, "there is no bucket other"},
		"data of no bucket":            {[]string{"--yes", "--delete-data"}, 1, nil, "the name of each bucket"},
		"data of no bucket, options":   {[]string{"--delete-data", "--yes"}, 1, nil, "the name of each bucket"},
		"a word":                       {[]string{"all"}, 2, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := connected(t)
			state(p)
			r := script(t, p, nil, "", "teardown.sh", tt.args...)
			r.want(t, tt.code, tt.calls...)
			r.wantShown(t)
			if !strings.Contains(r.stderr, tt.says) {
				t.Errorf("it does not say %q:\n%s", tt.says, r.stderr)
			}
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		t.Parallel()
		r := script(t, fakes.New(t, "gcloud", "terraform"), nil, "", "teardown.sh", "--yes")
		r.want(t, 0, list)
	})
}

// repository is a clone with nothing in it but the scripts, so that it is clean.
func repository(t *testing.T) (dir, commit string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"cloud.sh", "lib.sh", "deploy.sh"} {
		data, err := os.ReadFile("../" + name)
		if err == nil {
			err = os.MkdirAll(filepath.Join(dir, "scripts"), 0o755)
		}
		if err == nil {
			err = fakes.WriteProgram(filepath.Join(dir, "scripts", name), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "--quiet")
	git("add", "--all")
	git("commit", "--quiet", "--message", "all")
	return dir, git("rev-parse", "HEAD")
}

// A dry run of a deploy shows everything and does nothing, not even ask gcloud. What a deploy does is tested with the
// images, which it builds.
func TestDeployDryRun(t *testing.T) {
	t.Parallel()
	dir, commit := repository(t)
	relative, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	relative, err = filepath.Rel(relative, filepath.Join(dir, "scripts/deploy.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"with all given": {
			[]string{"--dry-run", "--project", "p", "--region", "us-east1", "--prefix", "test", "--", "-auto-approve", "-target=a[\"b\"]"},
			[]string{
				"+ scripts/images.sh --push us-east1-docker.pkg.dev/p/test", `poller_image = "us-east1-docker.pkg.dev/p/test/poller:` + commit + `"`,
				`sink_image   = "us-east1-docker.pkg.dev/p/test/sink:` + commit + `"`, `prefix       = "test"`,
				`+ terraform -chdir=infra apply -auto-approve '-target=a["b"]'`,
			},
		},
		"with nothing given": {
			[]string{"--dry-run"},
			[]string{
				"+ gcloud config list '--format=value(core.project)'", "+ gcloud config list '--format=value(run.region)'", "+ scripts/images.sh --push REGION-docker.pkg.dev/PROJECT/riftline",
				"+ terraform -chdir=infra apply",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := connected(t)
			r := script(t, p, nil, "", relative, tt.args...)
			r.want(t, 0)
			lines := strings.Split(r.stderr, "\n")
			for _, want := range tt.want {
				if !slices.Contains(lines, want) {
					t.Errorf("not shown: %s\n%s", want, r.stderr)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "infra")); err == nil {
				t.Error("it wrote to infra")
			}
		})
	}
	t.Run("nothing is set", func(t *testing.T) {
		p := fakes.New(t, "gcloud", "terraform")
		r := script(t, p, nil, "", relative)
		r.want(t, 1, askProject)
		if !strings.Contains(r.stderr, "gcloud config set project PROJECT") {
			t.Errorf("it does not say what to do:\n%s", r.stderr)
		}
	})
	t.Run("not committed", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r := script(t, connected(t), nil, "", relative, "--project", "p", "--region", "us-east1")
		r.want(t, 1)
		if !strings.Contains(r.stderr, "?? new") {
			t.Errorf("it does not say what is not committed:\n%s", r.stderr)
		}
	})
}
