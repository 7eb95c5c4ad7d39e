//go:build linux

package images

import (
	"bufio"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riftline/riftline/scripts/internal/fakes"
)

// registryServer is a container registry on loopback, in memory.
func registryServer(t *testing.T, crane string) string {
	t.Helper()
	cmd := exec.Command(crane, "registry", "serve", "--address", "127.0.0.1:0")
	said, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if _, port, ok := strings.Cut(lines.Text(), "serving on port "); ok {
			go func() {
				for lines.Scan() {
				}
			}()
			return "127.0.0.1:" + port
		}
	}
	t.Fatal("the registry says no port")
	return ""
}

// Another clone of the same commit, in another folder, is deployed: the images that are pushed are those that were built
// before, to the byte, and Terraform is given them.
func TestDeployedImagesAreTheSame(t *testing.T) {
	b := need(t)
	crane, err := command("../..", nil, "scripts/tools.sh", "crane")
	must(t, err)
	crane = strings.TrimSpace(crane)
	other, err := clone("some/where else")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(other.clone) })
	if other.commit != b.commit {
		t.Fatalf("the clones are %s and %s", b.commit, other.commit)
	}
	repository := registryServer(t, crane) + "/project/riftline"
	programs := fakes.New(t, "gcloud", "terraform")
	out, err := command(other.clone, []string{programs.Path(), "GOFLAGS=-ldflags=-X=main.x=1", "GOAMD64=v2", "KO_DEFAULTPLATFORMS=linux/arm64"},
		"scripts/deploy.sh", "--project", "my-project", "--region", "europe-west1", "--repository", repository, "--", "-auto-approve")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	before, after := contents(t, b.folder), contents(t, filepath.Join(other.clone, "bin/images"))
	if len(before) < 12 || !slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
		t.Fatalf("the files are %q and %q", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
	for name, data := range before {
		if after[name] != data {
			t.Errorf("%s differs", name)
		}
	}
	for _, name := range names {
		ref := repository + "/" + name + ":" + b.commit
		digest, err := command(".", nil, crane, "digest", ref)
		must(t, err)
		if want := b.image(t, name).digest; strings.TrimSpace(digest) != want {
			t.Errorf("pushed is %s, built was %s", digest, want)
		}
	}

	var calls []string
	for _, c := range programs.Calls() {
		calls = append(calls, c.String())
	}
	if !slices.Equal(calls, []string{"terraform -chdir=infra apply -auto-approve"}) {
		t.Errorf("called were %q", calls)
	}
	settings, err := os.ReadFile(filepath.Join(other.clone, "infra/deploy.auto.tfvars"))
	must(t, err)
	for _, want := range []string{
		`project_id   = "my-project"`, `region       = "europe-west1"`,
		`poller_image = "` + repository + "/poller:" + b.commit + `"`, `sink_image   = "` + repository + "/sink:" + b.commit + `"`,
	} {
		if !slices.Contains(strings.Split(string(settings), "\n"), want) {
			t.Errorf("the settings lack %s:\n%s", want, settings)
		}
	}
}

// What is not committed is not deployed, and not pushed.
func TestUncommittedChangesAreRefused(t *testing.T) {
	need(t)
	b, err := clone("changed")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(b.clone) })
	must(t, os.WriteFile(filepath.Join(b.clone, "functions/sink/more.go"), []byte("package sink\n"), 0o600))
	programs := fakes.New(t, "gcloud", "terraform")
	for _, args := range [][]string{
		{"scripts/deploy.sh", "--project", "my-project", "--region", "europe-west1"},
		{"scripts/deploy.sh", "--project", "my-project", "--region", "europe-west1", "--dry-run"},
		{"scripts/images.sh", "--push", "127.0.0.1:1/none"},
	} {
		out, err := command(b.clone, []string{programs.Path()}, args[0], args[1:]...)
		if err == nil || !strings.Contains(out, "commit") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	if calls := programs.Calls(); len(calls) > 0 {
		t.Errorf("called were %v", calls)
	}
}
