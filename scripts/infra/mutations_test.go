package infra

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mutation is a deliberate fault in the configuration, and the check that must find it.
type mutation struct {
	file, from, to string
	// by is the check's name, or "wrong: NAME" for a case of wrongOnes, or "harmless".
	by string
	// in is the test file whose plan shows it; a check that has test files of its own needs none.
	in string
}

const (
	everybody  = "nobody is everybody"
	broad      = "no basic or broad role"
	noKey      = "no keys, no versions of secrets, no policy that drives out others"
	closedness = "buckets are closed and keep what they hold"
	deleting   = "no right to delete outside of its own state"
	nesting    = "each timeout is longer than the one inside it"
	service    = "the poller runs as it should"
	job        = "the sinks run as they should"
	schedule   = "schedules call with the right token"
	push       = "pushes call with the right token and end in the dead-letter topic"
	removing   = "nothing that holds no data is protected from removal"
	naming     = "names and cron lines are those that Google Cloud takes"
	settings   = "the environment has no credential and nothing unknown"
	arriving   = "tasks, images and settings arrive"
	watching   = "alerts can fire and say what to do"
	waiting    = "alerts wait as long as schedules are apart"
	aging      = "a key's age is watched as it was asked for"
	ruling     = "rules of managed_kafka"
	adding     = "a new file adds what it needs and changes nothing else"
)

var mutations = []mutation{
	{"modules/poller/main.tf", "member   = each.value\n", "member   = \"allUsers\"\n", everybody, "user_files"},
	{"modules/poller/main.tf", "  deletion_protection = false\n", "  deletion_protection = false\n  invoker_iam_disabled = true\n", everybody, "user_files"},
	{"modules/sink/main.tf", "toset([\"roles/storage.objectCreator\", \"roles/storage.objectViewer\"])", "toset([\"roles/storage.objectAdmin\"])", broad, "user_files"},
	{"modules/sink/main.tf", "toset([\"roles/storage.objectCreator\", \"roles/storage.objectViewer\"])", "toset([\"roles/storage.objectUser\"])", deleting, "user_files"},
	{"modules/sink/main.tf", "toset([\"roles/storage.objectCreator\", \"roles/storage.objectViewer\"])", "toset([\"roles/storage.objectCreator\"])", "grants of user_files", ""},
	{"modules/poller/main.tf", "role     = \"roles/run.invoker\"", "role     = \"roles/editor\"", broad, "user_files"},
	{"main.tf", "module \"storage\" {", "resource \"google_service_account_key\" \"scheduler\" {\n  service_account_id = google_service_account.scheduler.name\n}\n\nmodule \"storage\" {", noKey, "user_files"},
	{"main.tf", "module \"storage\" {", "resource \"google_secret_manager_secret_version\" \"v\" {\n  for_each    = google_secret_manager_secret.reference\n  secret      = each.value.id\n  secret_data = \"x\"\n}\n\nmodule \"storage\" {", noKey, "user_files"},
	{"modules/storage/main.tf", "public_access_prevention    = \"enforced\"", "public_access_prevention    = \"inherited\"", closedness, "user_files"},
	{"modules/storage/main.tf", "uniform_bucket_level_access = true", "uniform_bucket_level_access = false", closedness, "user_files"},
	{"modules/storage/main.tf", "force_destroy               = false", "force_destroy               = true", closedness, "user_files"},
	{"modules/storage/main.tf", "enabled = false", "enabled = true", closedness, "user_files"},
	{"modules/storage/main.tf", "retention_duration_seconds = 0", "retention_duration_seconds = 86400", closedness, "user_files"},
	{"modules/storage/main.tf", "each.value.soft_delete_days * 86400", "each.value.soft_delete_days * 3600", closedness, "user_files"},
	{"modules/storage/main.tf", "if bucket.create }", "}", arriving, ""},
	{"modules/sink/main.tf", "name   = \"${var.state_prefix}/drain/${var.connector}/\"", "name   = \"${var.state_prefix}/\"", deleting, "user_files"},
	{"modules/poller/main.tf", "name   = \"${var.state_prefix}/poll/\"", "name   = \"${var.state_prefix}/\"", deleting, "user_files"},
	{"modules/sink/main.tf", "  # The folder's policy goes, the heads stay: a sink that comes back goes on where it was.\n  force_destroy = true\n", "", closedness, "user_files"},
	{"modules/sink/main.tf", "role           = \"roles/storage.objectViewer\"", "role           = \"roles/storage.objectUser\"", deleting, "user_files"},
	{"main.tf", "toset(concat(each.value.references, local.worker_refs))", "toset(concat(each.value.references, local.source_references, local.worker_refs))", "grants of many", ""},
	{"main.tf", "toset(concat(local.source_references, local.worker_refs))", "toset(concat(flatten(values(local.references)), local.worker_refs))", "grants of many", ""},
	{"main.tf", "toset(concat(each.value.references, local.worker_refs))", "toset(each.value.references)", "grants of many", ""},
	{"modules/poller/main.tf", "timeout_seconds = var.deadline_seconds + 30", "timeout_seconds = var.deadline_seconds", nesting, "user_files"},
	{"modules/poller/main.tf", "caller_seconds  = local.timeout_seconds + 30", "caller_seconds  = var.deadline_seconds", nesting, "user_files"},
	{"modules/poller/main.tf", "tostring(local.timeout_seconds)", "tostring(local.caller_seconds)", nesting, "user_files"},
	{"modules/poller/triggers.tf", "ack_deadline_seconds = local.caller_seconds", "ack_deadline_seconds = 60", nesting, "pubsub"},
	{"modules/poller/triggers.tf", "each.value.pubsub ? null : \"${local.caller_seconds}s\"", "null", nesting, "user_files"},
	{"modules/sink/main.tf", "var.timeout_seconds - 120", "var.timeout_seconds", nesting, "user_files"},
	{"variables.tf", "var.poll_deadline_seconds <= 540", "var.poll_deadline_seconds <= 1800", "wrong: a deadline past Pub/Sub's", ""},
	{"modules/poller/main.tf", "min_instance_count = 0", "min_instance_count = 1", service, "user_files"},
	{"modules/poller/main.tf", "path = \"/ready\"", "path = \"/\"", service, "user_files"},
	{"modules/poller/main.tf", "failure_threshold = 80", "failure_threshold = 8", service, "user_files"},
	{"modules/poller/main.tf", "join(\",\", [var.scheduler_email, google_service_account.push.email])", "var.scheduler_email", service, "user_files"},
	{"modules/poller/main.tf", "  custom_audiences = [local.audience]\n", "", service, "user_files"},
	{"modules/poller/main.tf", "service_account                  = google_service_account.poller.email", "service_account                  = var.scheduler_email", service, "user_files"},
	{"modules/poller/main.tf", "ingress  = var.ingress", "ingress  = \"INGRESS_TRAFFIC_ALL\"", service, "user_files"},
	{"variables.tf", "type        = number\n  default     = 1\n", "type        = number\n  default     = 10\n", arriving, ""},
	{"modules/sink/main.tf", "max_retries           = 3", "max_retries           = 0", job, "user_files"},
	{"modules/sink/main.tf", "service_account       = google_service_account.sink.email", "service_account       = var.scheduler_email", job, "user_files"},
	{"modules/sink/main.tf", "task_count = var.tasks", "task_count = 1", arriving, ""},
	{"modules/sink/main.tf", "for_each = var.vpc == null ? [] : [var.vpc]", "for_each = []", job, "network"},
	{"modules/sink/main.tf", "deletion_protection = false", "deletion_protection = true", removing, "user_files"},
	{"modules/sink/main.tf", "  deletion_protection = false\n", "", removing, "user_files"},
	{"modules/poller/triggers.tf", "${google_cloud_run_v2_service.poller.uri}/Poll\"", "${google_cloud_run_v2_service.poller.uri}/\"", schedule, "user_files"},
	{"modules/poller/triggers.tf", "service_account_email = var.scheduler_email\n        audience              = local.audience", "service_account_email = var.scheduler_email\n        audience              = google_cloud_run_v2_service.poller.uri", schedule, "user_files"},
	{"modules/sink/main.tf", "oauth_token {\n      service_account_email = var.scheduler_email\n      scope                 = \"https://www.googleapis.com/auth/cloud-platform\"", "oidc_token {\n      service_account_email = var.scheduler_email", schedule, "user_files"},
	{"modules/sink/main.tf", "jobs/${google_cloud_run_v2_job.sink.name}:run", "jobs/${google_cloud_run_v2_job.sink.name}", schedule, "user_files"},
	{"modules/poller/triggers.tf", "data       = base64encode(jsonencode({ connector = each.key }))", "data       = jsonencode({ connector = each.key })", schedule, "pubsub"},
	{"modules/poller/triggers.tf", "  retry_config {\n    retry_count = 0", "  retry_config {\n    retry_count = 5", schedule, "user_files"},
	{"modules/poller/triggers.tf", "/PollEvent\"", "/Poll\"", push, "pubsub"},
	{"modules/poller/triggers.tf", "topics/${google_pubsub_topic.dead.name}\"", "topics/${google_pubsub_topic.triggers.name}\"", push, "pubsub"},
	{"modules/poller/triggers.tf", "  filter = \"attributes.connector = \\\"${each.key}\\\"\"\n", "", push, "pubsub"},
	{"modules/poller/triggers.tf", "for_each = google_pubsub_subscription.poll\n", "for_each = {}\n", push, "pubsub"},
	{"modules/poller/triggers.tf", "minimum_backoff = \"10s\"", "minimum_backoff = \"0s\"", push, "pubsub"},
	{"modules/poller/triggers.tf", "resource \"google_pubsub_topic_iam_member\" \"dead_letters\" {\n  topic  = google_pubsub_topic.dead.name", "resource \"google_pubsub_topic_iam_member\" \"dead_letters\" {\n  topic  = google_pubsub_topic.triggers.name", "grants of pubsub", ""},
	{"connectors.tf", "&& length(name) <= 30 ? name", "? name", naming, "names"},
	{"connectors.tf", "-${substr(sha256(name), 0, 6)}\", \"-\") }\n  room", "\", \"-\") }\n  room", "terraform test names", ""},
	{"connectors.tf", "m == 60 ? \"0 * * * *\"", "m == 60 ? \"*/60 * * * *\"", "terraform test many", ""},
	{"connectors.tf", "\"0 */${m / 60} * * *\"", "\"* */${m / 60} * * *\"", "terraform test many", ""},
	{"connectors.tf", "\"riftline.schedule.timezone\", \"\"", "\"riftline.timezone\", \"\"", "terraform test many", ""},
	{"connectors.tf", "lower(trimspace(lookup(s, \"riftline.paused\", \"false\")))", "\"false\"", "a paused connector has its schedule paused and its silence watched by nobody, and nothing else changed", ""},
	{"connectors.tf", "if m * 60000 >= ms && m > 1", "if m > 1", "wrong: seven minutes", ""},
	{"connectors.tf", "bucket     = local.own_key[f] ? null : local.bucket[f]", "bucket     = local.bucket[f]", "grants of many", ""},
	{"credentials.tf", "t.shape == \"url\" && can(regex(\"://[^/?:,]*:[^/?,]+@\", t.value)),", "", "wrong: a password in the URL", ""},
	{"credentials.tf", "contains([\"url\", \"params\"], t.shape) ?", "contains([\"url\"], t.shape) ?", "wrong: a key in the parameters", ""},
	{"credentials.tf", "startswith(t.key, prefix)", "false", "wrong: a key of a family", ""},
	{"credentials.tf", "&& !contains(keys(local.hidden.keys), t.key) && can(regex(local.hidden.key, t.key))", "&& false", "wrong: a key that nobody knows", ""},
	{"credentials.tf", "replace(t.value, \"/\\\\$\\\\{(gcpsecret|env|file|dir):[^}]*\\\\}/\", \"\")", "t.value", "harmless", ""},
	{"credentials.tf", "\"/^((producer|consumer)\\\\.)?(sasl|ssl)\\\\./\"", "\"/^(producer|consumer)\\\\.(sasl|ssl)\\\\./\"", "wrong: in a worker's settings", ""},
	{"main.tf", "contains(var.existing_secrets, r)", "contains([], r)", "terraform test many", ""},
	{"main.tf", "connector_files = { for f, name in local.good : name => file(", "connector_files = { for f, name in local.good : f => file(", arriving, ""},
	{"outputs.tf", "condition     = length(local.all_problems) == 0", "condition     = length(local.all_problems) < 100", "wrong: no class", ""},
	{"modules/poller/main.tf", "RIFTLINE_STATE            = \"gs://${var.state_bucket}/${var.state_prefix}\"", "RIFTLINE_STATE            = \"${var.state_bucket}/${var.state_prefix}\"", settings, "user_files"},
	{"modules/sink/main.tf", "    RIFTLINE_CONNECTOR   = var.connector\n", "", settings, "user_files"},
	{"modules/sink/main.tf", "labels   = var.labels\n\n  # It holds nothing", "\n  # It holds nothing", "everything that takes labels has them", "user_files"},
	{"modules/sink/main.tf", "google_storage_managed_folder.state.name\n  role           = \"roles/storage.objectUser\"\n  member         = google_service_account.sink.member", "google_storage_managed_folder.state.name\n  role           = \"roles/storage.objectUser\"\n  member         = \"serviceAccount:me@example.com\"", "grants go to accounts of the plan", "user_files"},
	{"modules/alerts/main.tf", "  enabled               = !var.connectors[each.key].paused\n", "", watching, "paused"},
	{"modules/alerts/main.tf", "longest = 84600", "longest = 864000", watching, "many"},
	{"modules/alerts/main.tf", "EXTRACT(jsonPayload.${label})", "EXTRACT(jsonPayload.${each.key})", watching, "user_files"},
	{"modules/alerts/main.tf", "floor(var.topic_retention_seconds / 120) * 60", "var.topic_retention_seconds", waiting, ""},
	{"modules/alerts/main.tf", "c.period_seconds * var.after_runs", "c.period_seconds", waiting, ""},
	{"modules/alerts/main.tf", "${local.of_drains[\"drains-complete\"]} AND ${local.of_connector[each.key]}", "${local.of_drains[\"drains-complete\"]}", watching, "user_files"},
	{"modules/alerts/main.tf", "ceil((c.period_seconds * var.after_runs + c.run_seconds) / 60) * 60", "c.period_seconds * var.after_runs + c.run_seconds", watching, "managed_kafka"},
	{"modules/alerts/main.tf", "local.rare_no_success[each.key] ? [each.value] : []", "[]", waiting, ""},
	{"modules/alerts/main.tf", "local.silence[name] <= c.period_seconds", "false", waiting, ""},
	{"modules/alerts/main.tf", "comparison      = \"COMPARISON_LT\"", "comparison      = \"COMPARISON_GT\"", watching, "user_files"},
	{"modules/alerts/main.tf", "threshold_value = var.key_max_age_days", "threshold_value = 90", aging, ""},
	{"modules/alerts/main.tf", "count = var.key_max_age_days > 0 ? 1 : 0", "count = 1", aging, ""},
	{"modules/alerts/main.tf", "drains = \"cloud_run_job\" } : kind => resource", "drains = \"cloud_run_revision\" } : kind => resource", aging, ""},
	{"modules/alerts/main.tf", "cross_series_reducer = \"REDUCE_MEAN\"", "cross_series_reducer = \"REDUCE_SUM\"", watching, "user_files"},
	{"modules/alerts/main.tf", " AND jsonPayload.oldest_key_days>=0\"", "\"", watching, "user_files"},
	{"main.tf", "var.alerts.enabled && var.alerts.key_max_age_days > 0", "var.alerts.enabled", "grants of network", ""},
	{"modules/sink/main.tf", "for name, part in local.regional_secrets : name => part if var.secret_metadata", "for name, part in local.regional_secrets : name => part if false", "grants of many", ""},
	{"variables.tf", "var.alerts.key_max_age_days >= 1", "var.alerts.key_max_age_days >= 0", "wrong: a key's age of hours", ""},
	{"modules/kafka/main.tf", "[\"READ\", \"DESCRIBE\", \"DESCRIBE_CONFIGS\"]", "[\"READ\", \"WRITE\", \"DESCRIBE\", \"DESCRIBE_CONFIGS\"]", ruling, ""},
	{"modules/kafka/main.tf", "consumerGroup/connect-${name}", "consumerGroupPrefixed/connect-", ruling, ""},
	{"modules/kafka/main.tf", "transactionalIdPrefixed/riftline-\"", "allTransactionalIds\"", ruling, ""},
	{"connectors.tf", "    local.missing_topics,\n", "", "wrong: a topic that nobody named", ""},
	{"kafka.tf", "\"SASL_SSL\"", "\"PLAINTEXT\"", "managed_kafka is reached by identity and kept", ""},
	{"main.tf", "notification_channels   = var.alerts.notification_channels", "notification_channels   = []", waiting, ""},
	{"modules/storage/main.tf", "for_each = var.connector_files\n", "for_each = { for name, text in var.connector_files : name => text if name != \"other\" }\n", adding, ""},
}

// some are the mutations that this run tries: all with RIFTLINE_LONG, else ten that change with every commit.
func some(t *testing.T) []mutation {
	t.Helper()
	if os.Getenv("RIFTLINE_LONG") != "" {
		return mutations
	}
	seed, err := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD").Output()
	if err != nil {
		seed = []byte(time.Now().UTC().Format(time.DateOnly))
	}
	h := fnv.New64a()
	_, _ = h.Write(seed)
	some := slices.Clone(mutations)
	random := rand.New(rand.NewPCG(h.Sum64(), 0))
	random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some[:10]
}

// TestFaultsAreFound puts a fault into a copy of the configuration and runs the check that must find it, and only that.
func TestFaultsAreFound(t *testing.T) {
	if len(mutations) < 40 {
		t.Errorf("only %d deliberate faults", len(mutations))
	}
	workspace(t)
	for _, m := range some(t) {
		from, _, _ := strings.Cut(strings.TrimSpace(m.from), "\n")
		t.Run(strings.ReplaceAll(m.file+": "+from+" → "+m.by, "/", "."), func(t *testing.T) {
			dir := workspace(t)
			m.apply(t, dir)
			done, broken := m.find(t, dir)
			if len(broken) == 0 {
				t.Error("the fault is not found")
			}
			if text := stumbled(done); text != "" {
				t.Errorf("the fault is one that terraform validate finds: %s", text)
			}
			t.Logf("%s", strings.Join(broken, "\n"))
		})
	}
}

// TestFaultsStillFit shows that each fault can be put into the configuration as it is, and names a check that there is;
// TestFaultsAreFound tries some of them only.
func TestFaultsStillFit(t *testing.T) {
	dir := t.TempDir()
	copyTree(t, folder, dir)
	for _, m := range mutations {
		text, err := os.ReadFile(filepath.Join(dir, m.file))
		if err != nil || !strings.Contains(string(text), m.from) || m.from == m.to {
			t.Errorf("%s does not have %q: %v", m.file, m.from, err)
		}
		wrongName, isWrong := strings.CutPrefix(m.by, "wrong: ")
		switch {
		case m.by == "harmless":
		case isWrong:
			if !slices.ContainsFunc(wrongOnes, func(w wrong) bool { return w.name == wrongName }) {
				t.Errorf("there is no wrong one called %q", wrongName)
			}
		default:
			i := slices.IndexFunc(checks(), func(c check) bool { return c.name == m.by })
			if i < 0 {
				t.Errorf("there is no check called %q", m.by)
			} else if len(checks()[i].files) == 0 && !slices.Contains(scenarios(), m.in) {
				t.Errorf("%q needs a test file, and %q is none", m.by, m.in)
			}
		}
	}
}

func (m mutation) apply(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, m.file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.from); n == 0 || m.from == m.to {
		t.Fatalf("%s does not have %q: the configuration has changed, and this fault has to change with it", m.file, m.from)
	}
	write(t, dir, map[string]string{m.file: strings.Replace(string(text), m.from, m.to, 1)})
}

func (m mutation) find(t *testing.T, dir string) (runs, []string) {
	t.Helper()
	if m.by == "harmless" {
		writeHarmless(t, dir)
		done := test(t, dir, "harmless")
		return nil, taken(done)
	}
	if name, ok := strings.CutPrefix(m.by, "wrong: "); ok {
		i := slices.IndexFunc(wrongOnes, func(w wrong) bool { return w.name == name })
		if i < 0 {
			t.Fatalf("there is no wrong one called %q", name)
		}
		w := wrongOnes[i]
		b := &batch{file: "wrong_files_0", ones: []int{i}, set: map[string]string{}}
		if w.set != "" {
			name, _, _ := strings.Cut(w.set, " = ")
			b.set[name] = w.set
		}
		b.write(t, dir)
		done := test(t, dir, b.file)
		return nil, w.refused(done, b, i)
	}
	all := checks()
	i := slices.IndexFunc(all, func(c check) bool { return c.name == m.by })
	if i < 0 {
		t.Fatalf("there is no check called %q", m.by)
	}
	files := all[i].files
	if len(files) == 0 {
		files = []string{m.in}
	}
	done := test(t, dir, files...)
	return done, all[i].broken(done)
}

// stumbled tells whether the configuration itself became unusable, which is no proof of a check.
func stumbled(r runs) string {
	for _, one := range r {
		for _, text := range one.said {
			for _, own := range []string{"Unsupported argument", "Unsupported block", "Missing required argument", "Reference to undeclared", "Invalid expression", "Invalid character", "Argument or block definition", "Unclosed"} {
				if strings.Contains(text, own) {
					return text
				}
			}
		}
	}
	return ""
}
