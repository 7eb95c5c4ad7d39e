package infra

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The settings of the README's walk-through are such that its steps do what it says: first the secrets alone, then all.
func TestWalkThrough(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)cat >infra/terraform\.tfvars <<END\n(.*?)\nEND\n`).FindSubmatch(readme)
	if m == nil {
		t.Fatal("README.md writes no infra/terraform.tfvars")
	}
	settings := strings.NewReplacer("$PROJECT", "my-project", "$REGION", "europe-west1").Replace(string(m[1]))
	dir := workspace(t)
	write(t, dir, map[string]string{
		"terraform.tfvars": settings,
		// As scripts/deploy.sh writes it.
		"deploy.auto.tfvars": `project_id   = "my-project"
region       = "europe-west1"
poller_image = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123456789abcdef0123456789abcdef01234567"
sink_image   = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123456789abcdef0123456789abcdef01234567"
`,
		"tests/walkthrough.tftest.hcl": `mock_provider "google" {
  source = "./tests/mocks/plan"
}

run "secrets" {
  command = plan
  plan_options {
    target = [google_secret_manager_secret.reference]
  }
}

run "all" {
  command = plan
}
`,
	})
	found := test(t, dir, "walkthrough")
	for _, name := range []string{"secrets", "all"} {
		if one := found.of("walkthrough", name); one == nil || one.status != "pass" || one.plan == nil {
			t.Fatalf("%s: %+v", name, one)
		}
	}
	want := []string{`create google_secret_manager_secret.reference["kafka-jaas"]`, `create google_secret_manager_secret.reference["riot-api-key"]`}
	if got := found.of("walkthrough", "secrets").plan.actions(); !slices.Equal(got, want) {
		t.Errorf("the first step does %q", got)
	}
	all := found.of("walkthrough", "all").plan.actions()
	for _, want := range []string{
		`create module.storage.google_storage_bucket.archive["my-project-archive"]`, `create module.sink["gcs-sink"].google_cloud_run_v2_job.sink`,
		`create module.poller.google_cloud_scheduler_job.poll["challenger"]`,
	} {
		if !slices.Contains(all, want) {
			t.Errorf("the second step does not %s", want)
		}
	}
}
