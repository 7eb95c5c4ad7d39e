package infra

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rule is what holds of every plan. It gives what breaks it.
type rule struct {
	name   string
	broken func(p *plan) []string
}

// complaints collects what breaks a rule.
type complaints []string

func (c *complaints) add(at *change, format string, args ...any) {
	*c = append(*c, at.Address+": "+fmt.Sprintf(format, args...))
}

var rules = []rule{
	{"nobody is everybody", nobodyIsEverybody},
	{"no basic or broad role", noBroadRole},
	{"no keys, no versions of secrets, no policy that drives out others", noKeys},
	{"buckets are closed and keep what they hold", buckets},
	{"no right to delete outside of its own state", noDelete},
	{"grants go to accounts of the plan", knownAccounts},
	{"each timeout is longer than the one inside it", timeouts},
	{"the poller runs as it should", pollerService},
	{"the sinks run as they should", sinkJobs},
	{"nothing that holds no data is protected from removal", removable},
	{"schedules call with the right token", schedules},
	{"pushes call with the right token and end in the dead-letter topic", pushes},
	{"names and cron lines are those that Google Cloud takes", names},
	{"the environment has no credential and nothing unknown", environment},
	{"everything that takes labels has them", labels},
	{"alerts can fire and say what to do", alerts},
}

func nobodyIsEverybody(p *plan) []string {
	var c complaints
	for _, r := range p.resources() {
		text, _ := json.Marshal(r.Change.After)
		if strings.Contains(string(text), "allUsers") || strings.Contains(string(text), "allAuthenticatedUsers") {
			c.add(r, "is for everybody")
		}
		if r.text("invoker_iam_disabled") == "true" {
			c.add(r, "takes callers without asking for a right")
		}
	}
	return c
}

// The roles that are given at all.
var roles = []string{
	"roles/run.invoker", "roles/storage.objectCreator", "roles/storage.objectViewer", "roles/storage.objectUser",
	"roles/secretmanager.secretAccessor", "roles/secretmanager.viewer", "roles/pubsub.publisher", "roles/pubsub.subscriber", "roles/managedkafka.client",
}

func noBroadRole(p *plan) []string {
	var c complaints
	for _, r := range p.resources() {
		role := r.text("role")
		if role != "" && !slices.Contains(roles, role) {
			c.add(r, "gives %s", role)
		}
		if strings.HasPrefix(r.Type, "google_project_iam") && role != "roles/managedkafka.client" {
			c.add(r, "gives %s on the whole project", role)
		}
		if role == "roles/storage.objectUser" && r.Type != "google_storage_managed_folder_iam_member" {
			c.add(r, "gives objectUser on more than a folder")
		}
	}
	return c
}

func noKeys(p *plan) []string {
	var c complaints
	for _, r := range p.resources() {
		switch {
		case r.Type == "google_service_account_key", strings.HasPrefix(r.Type, "google_secret_manager_") && strings.HasSuffix(r.Type, "_version"),
			r.Type == "google_storage_hmac_key", r.Type == "google_apikeys_key":
			c.add(r, "puts a credential into the state")
		case strings.HasSuffix(r.Type, "_iam_policy"), strings.HasSuffix(r.Type, "_iam_binding"):
			c.add(r, "takes rights away that others gave")
		}
	}
	return c
}

func buckets(p *plan) []string {
	var c complaints
	for _, r := range p.resources("google_storage_bucket") {
		if got := r.text("public_access_prevention"); got != "enforced" {
			c.add(r, "public access prevention is %q", got)
		}
		if r.text("uniform_bucket_level_access") != "true" {
			c.add(r, "objects may have rights of their own")
		}
		if r.text("force_destroy") != "false" {
			c.add(r, "is destroyed with what is in it")
		}
		if r.text("versioning.0.enabled") != "false" {
			c.add(r, "keeps old generations")
		}
		soft := r.seconds("soft_delete_policy.0.retention_duration_seconds")
		if soft != 0 && (soft < 7*86400 || soft > 90*86400) {
			c.add(r, "soft delete of %d s is none that Cloud Storage takes", soft)
		}
		if r.Name == "state" && soft != 0 {
			c.add(r, "keeps each overwritten state object")
		}
		if r.Name == "archive" && soft == 0 {
			c.add(r, "keeps nothing that is deleted by mistake")
		}
	}
	for _, r := range p.resources("google_storage_managed_folder") {
		if r.text("force_destroy") != "true" {
			c.add(r, "cannot be removed while a state object is in it")
		}
	}
	return c
}

// Who may delete what: functions their own state, nobody the archive.
func noDelete(p *plan) []string {
	var c complaints
	var state string
	for _, r := range p.resources("google_storage_bucket") {
		if r.Name == "state" {
			state = r.text("name")
		}
	}
	own := map[string]string{}
	for _, r := range p.resources("google_cloud_run_v2_job", "google_cloud_run_v2_service") {
		account := r.text("template.0.service_account") + r.text("template.0.template.0.service_account")
		folder := "poll/"
		if r.Type == "google_cloud_run_v2_job" {
			folder = "drain/" + r.env()["RIFTLINE_CONNECTOR"] + "/"
		}
		own["serviceAccount:"+account] = strings.TrimPrefix(r.env()["RIFTLINE_STATE"], "gs://"+state+"/") + "/" + folder
	}
	for _, r := range p.resources("google_storage_managed_folder_iam_member") {
		folder, member := r.text("managed_folder"), r.text("member")
		switch role := r.text("role"); role {
		case "roles/storage.objectUser":
			if member != "" && own[member] != folder {
				c.add(r, "%s may write %s, and its state is %s", member, folder, own[member])
			}
		case "roles/storage.objectViewer":
			if folder != "connectors/" {
				c.add(r, "%s may read %s", member, folder)
			}
		default:
			c.add(r, "gives %s", role)
		}
	}
	for _, r := range p.resources("google_storage_bucket_iam_member") {
		if role := r.text("role"); role != "roles/storage.objectCreator" && role != "roles/storage.objectViewer" {
			c.add(r, "gives %s on a bucket", role)
		}
		if r.text("bucket") == state {
			c.add(r, "gives a right on all of the state bucket")
		}
	}
	return c
}

func knownAccounts(p *plan) []string {
	var c complaints
	accounts := []string{"serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com", ""}
	for _, r := range p.resources("google_service_account") {
		accounts = append(accounts, r.text("member"))
	}
	for _, r := range p.resources() {
		if strings.HasSuffix(r.Type, "_iam_member") && !slices.Contains(accounts, r.text("member")) {
			c.add(r, "%s is no account of the plan", r.text("member"))
		}
	}
	return c
}

func timeouts(p *plan) []string {
	var c complaints
	var service int
	inside := func(r *change, what string, shorter int, than string, longer, by int) {
		if shorter <= 0 || longer < shorter+by {
			c.add(r, "%s is %d s, %s %d s", what, shorter, than, longer)
		}
	}
	for _, r := range p.resources("google_cloud_run_v2_service") {
		var deadline int
		_, _ = fmt.Sscanf(r.env()["RIFTLINE_DEADLINE"], "%ds", &deadline)
		service = r.seconds("template.0.timeout")
		// A poll may take 8 s after its deadline to take back what it began.
		inside(r, "RIFTLINE_DEADLINE", deadline, "the service's timeout", service, 10)
		if got := r.env()["CLOUD_RUN_TIMEOUT_SECONDS"]; got != fmt.Sprint(service) {
			c.add(r, "CLOUD_RUN_TIMEOUT_SECONDS is %s and the timeout %d s", got, service)
		}
		if service > 3600 {
			c.add(r, "timeout of %d s", service)
		}
	}
	for _, r := range p.resources("google_cloud_run_v2_job") {
		var deadline int
		_, _ = fmt.Sscanf(r.env()["RIFTLINE_DEADLINE"], "%ds", &deadline)
		// A drain may take 30 s after its deadline to save.
		inside(r, "RIFTLINE_DEADLINE", deadline, "the task's timeout", r.seconds("template.0.template.0.timeout"), 60)
	}
	for _, r := range p.resources("google_cloud_scheduler_job") {
		if r.Name == "poll" && r.value("http_target.0") != nil {
			attempt := r.seconds("attempt_deadline")
			inside(r, "the service's timeout", service, "Scheduler's attempt deadline", attempt, 10)
			if attempt > 1800 {
				c.add(r, "an attempt deadline of %d s is none that Scheduler takes", attempt)
			}
		}
	}
	for _, r := range p.resources("google_pubsub_subscription") {
		if r.value("push_config.0") != nil {
			ack := r.seconds("ack_deadline_seconds")
			inside(r, "the service's timeout", service, "the ack deadline", ack, 10)
			if ack > 600 {
				c.add(r, "an ack deadline of %d s is none that Pub/Sub takes", ack)
			}
		}
	}
	return c
}

func pollerService(p *plan) []string {
	var c complaints
	services := p.resources("google_cloud_run_v2_service")
	if len(services) != 1 {
		return []string{fmt.Sprintf("%d services", len(services))}
	}
	for path, want := range map[string]string{
		"template.0.scaling.0.min_instance_count":                  "0",
		"template.0.containers.0.resources.0.cpu_idle":             "true",
		"template.0.containers.0.startup_probe.0.http_get.0.path":  "/ready",
		"template.0.containers.0.liveness_probe.0.http_get.0.path": "/health",
		"ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
	} {
		if got := services[0].text(path); got != want {
			(&c).add(services[0], "%s is %q, not %q", path, got, want)
		}
	}
	r := services[0]
	probe := "template.0.containers.0.startup_probe.0."
	period, timeout, times := r.seconds(probe+"period_seconds"), r.seconds(probe+"timeout_seconds"), r.seconds(probe+"failure_threshold")
	// Connecting over Direct VPC egress can take more than a minute; Cloud Run waits 240 s at most.
	if timeout > period || period*times > 240 || period*times < 120 {
		c.add(r, "startup probe: %d times every %d s, each %d s", times, period, timeout)
	}
	account := r.text("template.0.service_account")
	if account == "" || !slices.ContainsFunc(p.resources("google_service_account"), func(a *change) bool { return a.text("email") == account && a.Name == "poller" }) {
		c.add(r, "runs as %q", account)
	}
	if audience := r.env()["RIFTLINE_AUDIENCE"]; audience == "" || audience != r.text("custom_audiences.0") {
		c.add(r, "checks audience %q and is known as %q", audience, r.text("custom_audiences.0"))
	}
	var callers []string
	for _, invoker := range p.resources("google_cloud_run_v2_service_iam_member") {
		callers = append(callers, strings.TrimPrefix(invoker.text("member"), "serviceAccount:"))
	}
	checked := strings.Split(r.env()["RIFTLINE_INVOKERS"], ",")
	slices.Sort(callers)
	slices.Sort(checked)
	if !slices.Equal(callers, checked) {
		c.add(r, "%v may invoke it and %v are taken", callers, checked)
	}
	return append(c, network(p, r, "template.0.")...)
}

// Where one has VPC egress, all have.
func network(p *plan, r *change, path string) []string {
	var c complaints
	service := p.resources("google_cloud_run_v2_service")[0]
	want, got := fmt.Sprint(service.value("template.0.vpc_access.0")), fmt.Sprint(r.value(path+"vpc_access.0"))
	if want != got {
		c.add(r, "VPC egress is %s, and the poller's is %s", got, want)
	}
	if r.text(path+"vpc_access.0.connector") != "" {
		c.add(r, "a connector costs while nothing runs")
	}
	return c
}

func sinkJobs(p *plan) []string {
	var c complaints
	accounts := map[string]string{}
	for _, r := range p.resources("google_cloud_run_v2_job") {
		for path, want := range map[string]string{"template.0.template.0.max_retries": "3"} {
			if got := r.text(path); got != want {
				c.add(r, "%s is %q, not %q", path, got, want)
			}
		}
		// Nothing, or the provider's word for it.
		if n := r.text("template.0.parallelism"); n != "" && n != "0" {
			c.add(r, "its tasks do not all run at once")
		}
		name := r.env()["RIFTLINE_CONNECTOR"]
		if !strings.Contains(r.Address, `["`+name+`"]`) {
			c.add(r, "drains %q", name)
		}
		account := r.text("template.0.template.0.service_account")
		if before, ok := accounts[account]; ok && account != "" {
			c.add(r, "has the account of %s", before)
		}
		accounts[account] = r.Address
		if account != "" && !slices.ContainsFunc(p.resources("google_service_account"), func(a *change) bool { return a.text("email") == account && a.Name == "sink" }) {
			c.add(r, "runs as %q", account)
		}
		c = append(c, network(p, r, "template.0.template.0.")...)
	}
	return c
}

func removable(p *plan) []string {
	var c complaints
	for _, r := range p.resources() {
		if r.text("deletion_protection") == "true" || strings.HasPrefix(r.Type, "google_cloud_run_v2_") && !strings.HasSuffix(r.Type, "_member") && r.text("deletion_protection") != "false" {
			c.add(r, "cannot be removed with its connector file")
		}
	}
	return c
}

func schedules(p *plan) []string {
	var c complaints
	service := p.resources("google_cloud_run_v2_service")[0]
	audience, uri := service.text("custom_audiences.0"), service.text("uri")
	for _, r := range p.resources("google_cloud_scheduler_job") {
		oidc, oauth := "http_target.0.oidc_token.0", "http_target.0.oauth_token.0"
		target := r.text("http_target.0.uri")
		account := r.text(oidc+".service_account_email") + r.text(oauth+".service_account_email") // one of them is there
		switch {
		case r.value("pubsub_target.0") != nil:
			var trigger map[string]string
			data, _ := base64.StdEncoding.DecodeString(r.text("pubsub_target.0.data"))
			_ = json.Unmarshal(data, &trigger)
			name := fmt.Sprint(r.Index)
			if trigger["connector"] != name || r.text("pubsub_target.0.attributes.connector") != name {
				c.add(r, "triggers %q", data)
			}
			if !regexp.MustCompile(`^projects/[^/]+/topics/[^/]+$`).MatchString(r.text("pubsub_target.0.topic_name")) {
				c.add(r, "publishes to %q", r.text("pubsub_target.0.topic_name"))
			}
			continue
		case r.Name == "poll":
			var trigger map[string]string
			data, _ := base64.StdEncoding.DecodeString(r.text("http_target.0.body"))
			_ = json.Unmarshal(data, &trigger)
			if trigger["connector"] != fmt.Sprint(r.Index) || r.text("http_target.0.headers.Content-Type") != "application/json" {
				c.add(r, "triggers %q", data)
			}
			if target != uri+"/Poll" || r.value(oauth) != nil || r.text(oidc+".audience") != audience {
				c.add(r, "calls %s with %v", target, r.value("http_target.0"))
			}
			if r.text("retry_config.0.retry_count") != "0" {
				c.add(r, "a retry can swallow the next run")
			}
		default:
			if !regexp.MustCompile(`^https://run\.googleapis\.com/v2/projects/[^/]+/locations/[^/]+/jobs/[^/]+:run$`).MatchString(target) || r.value(oidc) != nil {
				c.add(r, "calls %s with %v", target, r.value("http_target.0"))
			}
		}
		if r.text("http_target.0.http_method") != "POST" {
			c.add(r, "does not POST")
		}
		if !slices.ContainsFunc(p.resources("google_service_account"), func(a *change) bool { return a.Name == "scheduler" && a.text("email") == account && account != "" }) {
			c.add(r, "calls as %q", account)
		}
	}
	return c
}

func pushes(p *plan) []string {
	var c complaints
	service := p.resources("google_cloud_run_v2_service")[0]
	dead := p.resources("google_pubsub_topic")
	dead = slices.DeleteFunc(dead, func(r *change) bool { return r.Name != "dead" })
	for _, r := range p.resources("google_pubsub_subscription") {
		if r.text("expiration_policy.0.ttl") != "" || r.value("expiration_policy.0") == nil {
			c.add(r, "expires when it is not used for a month")
		}
		if r.Name == "dead" {
			if len(dead) != 1 || r.text("topic") != dead[0].text("name") {
				c.add(r, "is a subscription of %q", r.text("topic"))
			}
			continue
		}
		if got, want := r.text("push_config.0.push_endpoint"), service.text("uri")+"/PollEvent"; got != want {
			c.add(r, "pushes to %s", got)
		}
		if got := r.text("push_config.0.oidc_token.0.audience"); got != service.text("custom_audiences.0") {
			c.add(r, "has tokens for %q", got)
		}
		account := r.text("push_config.0.oidc_token.0.service_account_email")
		if !slices.ContainsFunc(p.resources("google_service_account"), func(a *change) bool { return a.Name == "push" && a.text("email") == account && account != "" }) {
			c.add(r, "pushes as %q", account)
		}
		if len(dead) != 1 || !strings.HasSuffix(r.text("dead_letter_policy.0.dead_letter_topic"), "/topics/"+dead[0].text("name")) {
			c.add(r, "dead letters go to %q", r.text("dead_letter_policy.0.dead_letter_topic"))
		}
		if n := r.seconds("dead_letter_policy.0.max_delivery_attempts"); n < 5 || n > 100 {
			c.add(r, "%d delivery attempts", n)
		}
		if r.seconds("retry_policy.0.minimum_backoff") < 10 || r.seconds("retry_policy.0.maximum_backoff") > 600 {
			c.add(r, "retry policy %v", r.value("retry_policy.0"))
		}
		if r.text("filter") != fmt.Sprintf(`attributes.connector = "%v"`, r.Index) {
			c.add(r, "takes the messages of %q", r.text("filter"))
		}
		if !slices.ContainsFunc(p.resources("google_pubsub_subscription_iam_member"), func(m *change) bool { return m.text("subscription") == r.text("name") }) {
			c.add(r, "Pub/Sub may not take messages from it to the dead-letter topic")
		}
	}
	return c
}

var (
	environmentName = regexp.MustCompile(`^(CONNECT_[A-Z0-9_]+|RIFTLINE_(CONNECTORS|CONNECTOR|STATE|DEADLINE|OVERRIDES|AUDIENCE|INVOKERS|LOG_LEVEL)|CLOUD_RUN_TIMEOUT_SECONDS|GOOGLE_CLOUD_PROJECT)$`)
	credential      = regexp.MustCompile(`RGAPI-|-----BEGIN|AIza|://[^/]*:[^/]*@|(?i)password="[^$]`)
)

func environment(p *plan) []string {
	var c complaints
	for _, r := range p.resources("google_cloud_run_v2_service", "google_cloud_run_v2_job") {
		env := r.env()
		need := []string{"RIFTLINE_CONNECTORS", "RIFTLINE_STATE", "RIFTLINE_DEADLINE", "GOOGLE_CLOUD_PROJECT", "CONNECT_BOOTSTRAP_SERVERS"}
		if r.Type == "google_cloud_run_v2_service" {
			need = append(need, "RIFTLINE_AUDIENCE", "RIFTLINE_INVOKERS", "CLOUD_RUN_TIMEOUT_SECONDS")
		} else {
			need = append(need, "RIFTLINE_CONNECTOR")
		}
		for _, name := range need {
			if env[name] == "" {
				c.add(r, "has no %s", name)
			}
		}
		for name, value := range env {
			if !environmentName.MatchString(name) {
				c.add(r, "has %s, which nothing reads", name)
			}
			if credential.MatchString(value) {
				c.add(r, "%s holds a credential", name)
			}
		}
		for _, name := range []string{"RIFTLINE_CONNECTORS", "RIFTLINE_STATE"} {
			if !regexp.MustCompile(`^gs://[a-z0-9._-]+/[a-z]+$`).MatchString(env[name]) {
				c.add(r, "%s is %q", name, env[name])
			}
		}
	}
	for _, r := range p.resources("google_storage_bucket_object") {
		if credential.MatchString(r.text("content")) {
			c.add(r, "holds a credential")
		}
	}
	return c
}

func labels(p *plan) []string {
	var c complaints
	for _, r := range p.resources("google_cloud_run_v2_service", "google_cloud_run_v2_job", "google_storage_bucket", "google_pubsub_topic", "google_pubsub_subscription", "google_secret_manager_secret") {
		all, _ := r.value("labels").(map[string]any)
		if len(all) == 0 {
			c.add(r, "has no labels")
		}
		for key, value := range all {
			if !labelText.MatchString(key) || !labelText.MatchString(fmt.Sprint(value)) {
				c.add(r, "label %s=%v", key, value)
			}
		}
	}
	return c
}
