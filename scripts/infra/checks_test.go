package infra

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// check is one thing that must hold of what terraform test did. It has a name, so that a deliberate fault can say which
// check must find it.
type check struct {
	name string
	// files are the test files that it needs; none are all.
	files []string
	// broken gives what is wrong; nothing when all is well.
	broken func(r runs) []string
}

// scenarios are the test files of the configuration.
var scenarios = sync.OnceValue(func() []string {
	paths, err := filepath.Glob(folder + "/tests/*.tftest.hcl")
	if err != nil {
		panic(err)
	}
	var names []string
	for _, path := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".tftest.hcl"))
	}
	return names
})

func checks() []check {
	all := slices.Concat(changeChecks(), alertChecks(), kafkaChecks())
	for _, file := range scenarios() {
		all = append(all, check{"terraform test " + file, []string{file}, passes(file)})
	}
	for _, one := range rules {
		all = append(all, check{one.name, nil, one.holds})
	}
	for _, file := range slices.Sorted(maps.Keys(granted)) {
		all = append(all, check{"grants of " + file, []string{file}, grantsAre(file)})
	}
	return all
}

// passes tells what terraform test said of a file.
func passes(file string) func(runs) []string {
	return func(r runs) []string {
		var out []string
		found := false
		for _, one := range r {
			if one.file != file {
				continue
			}
			found = found || one.name != ""
			if one.status != "pass" {
				out = append(out, fmt.Sprintf("run %q: %s: %s", one.name, one.status, strings.Join(one.said, "\n")))
			}
		}
		if !found {
			out = append(out, "no run of "+file)
		}
		return out
	}
}

// holds applies a rule to every plan.
func (one rule) holds(r runs) []string {
	var out []string
	seen := 0
	for _, run := range r {
		if run.plan == nil {
			continue
		}
		seen++
		for _, text := range one.broken(run.plan) {
			out = append(out, run.file+"/"+run.name+": "+text)
		}
	}
	if seen == 0 {
		out = append(out, "nothing was planned")
	}
	return out
}

// Who may do what, all of it: nothing more and nothing less.
var granted = map[string][]string{
	"user_files": {
		"riftline-poller secretmanager.secretAccessor secret riot-api-key",
		"riftline-poller secretmanager.viewer secret riot-api-key",
		"riftline-poller storage.objectUser folder my-project-riftline-state/riftline/poll/",
		"riftline-poller storage.objectViewer folder my-project-riftline-state/connectors/",
		"riftline-push run.invoker service riftline-poller",
		"riftline-scheduler run.invoker job riftline-sink-gcs-sink",
		"riftline-scheduler run.invoker service riftline-poller",
		"riftline-sink-gcs-sink storage.objectCreator bucket riftline-archive",
		"riftline-sink-gcs-sink storage.objectUser folder my-project-riftline-state/riftline/drain/gcs-sink/",
		"riftline-sink-gcs-sink storage.objectViewer bucket riftline-archive",
		"riftline-sink-gcs-sink storage.objectViewer folder my-project-riftline-state/connectors/",
		"service-123456789012 pubsub.publisher topic riftline-triggers-dead",
	},
	// No age of a key is asked for there.
	"network": {
		"riftline-poller secretmanager.secretAccessor secret riot-api-key",
		"riftline-poller storage.objectUser folder my-project-riftline-state/riftline/poll/",
		"riftline-poller storage.objectViewer folder my-project-riftline-state/connectors/",
		"riftline-push run.invoker service riftline-poller",
		"riftline-scheduler run.invoker job riftline-sink-gcs-sink",
		"riftline-scheduler run.invoker service riftline-poller",
		"riftline-sink-gcs-sink storage.objectCreator bucket riftline-archive",
		"riftline-sink-gcs-sink storage.objectUser folder my-project-riftline-state/riftline/drain/gcs-sink/",
		"riftline-sink-gcs-sink storage.objectViewer bucket riftline-archive",
		"riftline-sink-gcs-sink storage.objectViewer folder my-project-riftline-state/connectors/",
		"service-123456789012 pubsub.publisher topic riftline-triggers-dead",
	},
	"many": {
		"riftline-poller secretmanager.secretAccessor secret kafka-jaas",
		"riftline-poller secretmanager.secretAccessor secret key-project/shared-key",
		"riftline-poller secretmanager.secretAccessor secret my-project/europe-west1/regional-key",
		"riftline-poller secretmanager.secretAccessor secret riot-api-key",
		"riftline-poller secretmanager.viewer secret kafka-jaas",
		"riftline-poller secretmanager.viewer secret key-project/shared-key",
		"riftline-poller secretmanager.viewer secret my-project/europe-west1/regional-key",
		"riftline-poller secretmanager.viewer secret riot-api-key",
		"riftline-poller storage.objectUser folder my-project-riftline-state/riftline/poll/",
		"riftline-poller storage.objectViewer folder my-project-riftline-state/connectors/",
		"riftline-push run.invoker service riftline-poller",
		"riftline-scheduler run.invoker job riftline-sink-gcs-sink",
		"riftline-scheduler run.invoker job riftline-sink-other",
		"riftline-scheduler run.invoker job riftline-sink-own-key",
		"riftline-scheduler run.invoker service riftline-poller",
		"riftline-sink-gcs-sink secretmanager.secretAccessor secret kafka-jaas",
		"riftline-sink-gcs-sink secretmanager.secretAccessor secret registry-user",
		"riftline-sink-gcs-sink secretmanager.viewer secret kafka-jaas",
		"riftline-sink-gcs-sink secretmanager.viewer secret registry-user",
		"riftline-sink-gcs-sink storage.objectCreator bucket riftline-archive",
		"riftline-sink-gcs-sink storage.objectUser folder my-project-riftline-state/riftline/drain/gcs-sink/",
		"riftline-sink-gcs-sink storage.objectViewer bucket riftline-archive",
		"riftline-sink-gcs-sink storage.objectViewer folder my-project-riftline-state/connectors/",
		"riftline-sink-other secretmanager.secretAccessor secret kafka-jaas",
		"riftline-sink-other secretmanager.secretAccessor secret key-project/registry-user",
		"riftline-sink-other secretmanager.secretAccessor secret my-project/europe-west1/other-password",
		"riftline-sink-other secretmanager.viewer secret kafka-jaas",
		"riftline-sink-other secretmanager.viewer secret key-project/registry-user",
		"riftline-sink-other secretmanager.viewer secret my-project/europe-west1/other-password",
		"riftline-sink-other storage.objectCreator bucket existing-archive",
		"riftline-sink-other storage.objectUser folder my-project-riftline-state/riftline/drain/other/",
		"riftline-sink-other storage.objectViewer bucket existing-archive",
		"riftline-sink-other storage.objectViewer folder my-project-riftline-state/connectors/",
		"riftline-sink-own-key secretmanager.secretAccessor secret archive-key",
		"riftline-sink-own-key secretmanager.secretAccessor secret kafka-jaas",
		"riftline-sink-own-key secretmanager.viewer secret archive-key",
		"riftline-sink-own-key secretmanager.viewer secret kafka-jaas",
		"riftline-sink-own-key storage.objectUser folder my-project-riftline-state/riftline/drain/own-key/",
		"riftline-sink-own-key storage.objectViewer folder my-project-riftline-state/connectors/",
		"service-123456789012 pubsub.publisher topic riftline-triggers-dead",
	},
	"pubsub": {
		"riftline-poller secretmanager.secretAccessor secret riot-api-key",
		"riftline-poller secretmanager.viewer secret riot-api-key",
		"riftline-poller storage.objectUser folder my-project-riftline-state/riftline/poll/",
		"riftline-poller storage.objectViewer folder my-project-riftline-state/connectors/",
		"riftline-push run.invoker service riftline-poller",
		"riftline-scheduler run.invoker service riftline-poller",
		"service-123456789012 pubsub.publisher topic riftline-triggers-dead",
		"service-123456789012 pubsub.subscriber subscription riftline-poll-challenger",
		"service-123456789012 pubsub.subscriber subscription riftline-poll-master",
	},
}

func grantsAre(file string) func(runs) []string {
	return func(r runs) []string {
		one := r.of(file, "plan")
		if one == nil || one.plan == nil {
			return []string{"nothing was planned"}
		}
		return differences(one.plan.grants(), granted[file])
	}
}

// differences between two sorted lists.
func differences(got, want []string) []string {
	var out []string
	for _, text := range got {
		if !slices.Contains(want, text) {
			out = append(out, "there is, and should not be: "+text)
		}
	}
	for _, text := range want {
		if !slices.Contains(got, text) {
			out = append(out, "is missing: "+text)
		}
	}
	return out
}

// What one more source, with a secret of its own, and one more sink add.
var ofTwoMore = []string{
	`google_secret_manager_secret.reference["riot-match-key"]`,
	`module.alerts[0].google_monitoring_alert_policy.no_success["matches"]`,
	`module.alerts[0].google_monitoring_alert_policy.no_success["other"]`,
	`module.alerts[0].google_monitoring_alert_policy.undrained["other"]`,
	`module.poller.google_cloud_scheduler_job.poll["matches"]`,
	`module.poller.google_secret_manager_secret_iam_member.bare["riot-match-key"]`,
	`module.poller.google_secret_manager_secret_iam_member.bare_metadata["riot-match-key"]`,
	`module.sink["other"].google_cloud_run_v2_job.sink`,
	`module.sink["other"].google_cloud_run_v2_job_iam_member.scheduler`,
	`module.sink["other"].google_cloud_scheduler_job.drain`,
	`module.sink["other"].google_service_account.sink`,
	`module.sink["other"].google_storage_bucket_iam_member.archive["roles/storage.objectCreator"]`,
	`module.sink["other"].google_storage_bucket_iam_member.archive["roles/storage.objectViewer"]`,
	`module.sink["other"].google_storage_managed_folder.state`,
	`module.sink["other"].google_storage_managed_folder_iam_member.connectors`,
	`module.sink["other"].google_storage_managed_folder_iam_member.state`,
	`module.storage.google_storage_bucket_object.connector["matches"]`,
	`module.storage.google_storage_bucket_object.connector["other"]`,
}

var holdsData = regexp.MustCompile(`google_storage_bucket\.|_topic\.`)

func changeChecks() []check {
	each := func(action string, addresses []string) []string {
		var out []string
		for _, a := range addresses {
			out = append(out, action+" "+a)
		}
		return out
	}
	planned := func(file, name string, want []string) func(runs) []string {
		return func(r runs) []string {
			one := r.of(file, name)
			if one == nil || one.plan == nil {
				return []string{"nothing was planned"}
			}
			return differences(one.plan.actions(), want)
		}
	}
	return []check{
		{"a new file adds what it needs and changes nothing else", []string{"change"}, planned("change", "added", each("create", ofTwoMore))},
		{"a removed file removes what it had, no bucket and no topic", []string{"change"}, func(r runs) []string {
			out := planned("change", "removed", each("delete", ofTwoMore))(r)
			for _, action := range slices.DeleteFunc(slices.Clone(ofTwoMore), func(a string) bool { return !holdsData.MatchString(a) }) {
				out = append(out, "removes "+action)
			}
			return out
		}},
		{"a second plan has nothing to do", []string{"change"}, planned("change", "nothing_left_to_do", nil)},
		{"a paused connector has its schedule paused and its silence watched by nobody, and nothing else changed", []string{"paused"}, func(r runs) []string {
			out := planned("paused", "paused", each("update", []string{
				`module.alerts[0].google_monitoring_alert_policy.no_success["challenger"]`,
				`module.alerts[0].google_monitoring_alert_policy.no_success["gcs-sink"]`,
				`module.alerts[0].google_monitoring_alert_policy.undrained["gcs-sink"]`,
				`module.poller.google_cloud_scheduler_job.poll["challenger"]`,
				`module.sink["gcs-sink"].google_cloud_scheduler_job.drain`,
				`module.storage.google_storage_bucket_object.connector["challenger"]`,
				`module.storage.google_storage_bucket_object.connector["gcs-sink"]`,
			}))(r)
			if one := r.of("paused", "paused"); one != nil && one.plan != nil {
				for _, s := range one.plan.resources("google_cloud_scheduler_job") {
					if s.text("paused") != "true" {
						out = append(out, s.Address+" is not paused")
					}
				}
			}
			return out
		}},
		{"tasks, images and settings arrive", []string{"many", "network"}, func(r runs) []string {
			many, network := r.of("many", "plan"), r.of("network", "plan")
			if many == nil || many.plan == nil || network == nil || network.plan == nil {
				return []string{"nothing was planned"}
			}
			return append(arrives(many.plan), inNetwork(network.plan)...)
		}},
	}
}

// arrives looks at what particular settings of the many connectors became.
func arrives(p *plan) []string {
	var c complaints
	want := func(r *change, path, text string) {
		if got := r.text(path); got != text {
			c.add(r, "%s is %q, not %q", path, got, text)
		}
	}
	objects := map[string]string{}
	for _, r := range p.resources() {
		if r.Type == "google_storage_bucket_object" {
			objects[r.text("name")] = r.text("content")
		}
		switch r.Address {
		case `module.sink["gcs-sink"].google_cloud_run_v2_job.sink`:
			want(r, "template.0.task_count", "4")
			want(r, "template.0.template.0.containers.0.image", "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc")
			if got := r.env()["RIFTLINE_OVERRIDES"]; got != `{"gcs-sink":{"value.converter.schema.registry.url":"https://registry.example:8081"}}` {
				c.add(r, "RIFTLINE_OVERRIDES is %s", got)
			}
		case `module.sink["other"].google_cloud_run_v2_job.sink`:
			want(r, "template.0.task_count", "1")
			if r.env()["RIFTLINE_OVERRIDES"] != "" {
				c.add(r, "has overrides of others")
			}
		case "module.poller.google_cloud_run_v2_service.poller":
			want(r, "template.0.containers.0.image", "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc")
			want(r, "template.0.scaling.0.max_instance_count", "1")
			for name, text := range map[string]string{
				"RIFTLINE_OVERRIDES":        `{"challenger":{"http.client.read.timeout.millis":"5000"}}`,
				"CONNECT_SASL_JAAS_CONFIG":  "${gcpsecret:kafka-jaas}",
				"CONNECT_SECURITY_PROTOCOL": "SASL_SSL",
				"RIFTLINE_CONNECTORS":       "gs://my-project-riftline-state/connectors",
				"RIFTLINE_STATE":            "gs://my-project-riftline-state/riftline",
			} {
				if got := r.env()[name]; got != text {
					c.add(r, "%s is %q, not %q", name, got, text)
				}
			}
		case `module.storage.google_storage_bucket.archive["riftline-archive"]`:
			want(r, "location", "EU")
			want(r, "storage_class", "NEARLINE")
			want(r, "soft_delete_policy.0.retention_duration_seconds", "2592000")
			want(r, "labels.team", "data")
		case `module.storage.google_storage_bucket.archive["existing-archive"]`:
			c.add(r, "is there already and would be created")
		}
	}
	// The functions read <name>.json, whatever the file was called.
	file, err := os.ReadFile(folder + "/tests/connectors/many/rest.json")
	if err != nil || objects["connectors/grandmaster.json"] != string(file) {
		c = append(c, fmt.Sprintf("connectors/grandmaster.json is not rest.json: %v", err))
	}
	return c
}

// inNetwork looks at what the larger settings and the network became.
func inNetwork(p *plan) []string {
	var c complaints
	for _, r := range p.resources("google_cloud_run_v2_service", "google_cloud_run_v2_job", "google_storage_bucket", "google_secret_manager_secret") {
		want := map[string]string{}
		switch r.Type {
		case "google_cloud_run_v2_service":
			want = map[string]string{
				"template.0.vpc_access.0.network_interfaces.0.subnetwork": "projects/host-project/regions/europe-west1/subnetworks/kafka",
				"template.0.vpc_access.0.network_interfaces.0.network":    "default",
				"template.0.vpc_access.0.network_interfaces.0.tags.0":     "kafka-client",
				"template.0.vpc_access.0.egress":                          "PRIVATE_RANGES_ONLY",
				"template.0.timeout":                                      "570s",
				"template.0.scaling.0.max_instance_count":                 "3",
				"template.0.containers.0.resources.0.limits.memory":       "1Gi",
			}
		case "google_cloud_run_v2_job":
			want = map[string]string{
				"template.0.template.0.vpc_access.0.egress": "PRIVATE_RANGES_ONLY",
				"template.0.template.0.timeout":             "86400s",
			}
		case "google_storage_bucket":
			want = map[string]string{"location": "EU"}
		case "google_secret_manager_secret":
			want = map[string]string{"replication.0.user_managed.0.replicas.1.location": "europe-west4"}
		}
		for path, text := range want {
			if got := r.text(path); got != text {
				c.add(r, "%s is %q, not %q", path, got, text)
			}
		}
	}
	return c
}

var ran = struct {
	sync.Once
	runs
}{}

// allRuns runs the configuration's own tests, once for all who ask.
func allRuns(t *testing.T) runs {
	t.Helper()
	dir := workspace(t)
	ran.Do(func() { ran.runs = test(t, dir) })
	return ran.runs
}

// TestTerraform holds all checks against what the configuration's own tests did.
func TestTerraform(t *testing.T) {
	done := allRuns(t)
	planned := 0
	for _, one := range done {
		if one.plan != nil {
			planned++
		}
	}
	if planned < len(scenarios()) {
		t.Errorf("%d plans of %d test files", planned, len(scenarios()))
	}
	for _, one := range checks() {
		t.Run(one.name, func(t *testing.T) {
			for _, text := range one.broken(done) {
				t.Error(text)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	dir := workspace(t)
	if out, errs, err := terraform(t, dir, "fmt", "-check", "-recursive", "-diff"); err != nil {
		t.Errorf("terraform fmt would change (run terraform fmt -recursive infra): %v\n%s%s", err, out, errs)
	}
}

func TestValidate(t *testing.T) {
	dir := workspace(t)
	modules, err := filepath.Glob(folder + "/modules/*")
	if err != nil || len(modules) < 3 {
		t.Fatalf("modules: %v %v", modules, err)
	}
	for _, module := range append([]string{"."}, modules...) {
		name, _ := filepath.Rel(folder, module)
		if module == "." {
			name = "."
		}
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(dir, name)
			if name != "." {
				if out, errs, err := terraform(t, at, "init", "-input=false", "-no-color"); err != nil {
					t.Fatalf("%v\n%s%s", err, out, errs)
				}
			}
			if out, errs, err := terraform(t, at, "validate", "-no-color"); err != nil {
				t.Errorf("%v\n%s%s", err, out, errs)
			}
		})
	}
}
