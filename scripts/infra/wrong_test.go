package infra

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// wrong are connector files and settings that must be refused at plan time, each with what the message must say.
type wrong struct {
	name string
	// files are the connector files, by name; the keys of a good source or sink are filled in.
	files map[string]string
	// set are variables, as Terraform's language writes them.
	set  string
	want []string
	// variable: a variable's validation refuses it, before files are looked at. alone: it shares no folder with others.
	variable, alone bool
}

func source(keys string) string {
	return `{"connector.class": "HttpSourceConnector", "kafka.topic": "t", "http.request.url": "https://kr.api.riotgames.com/x"` + more(keys) + `}`
}

func sink(keys string) string {
	return `{"connector.class": "GcsSinkConnector", "topics": "t", "flush.size": "3", "gcs.bucket.name": "riftline-archive"` + more(keys) + `}`
}

func more(keys string) string {
	if keys == "" {
		return ""
	}
	return ", " + keys
}

func one(text string) map[string]string { return map[string]string{"x.json": text} }

// hidden is the credential of the wrong ones, which no message may show.
const hidden = "hunter2"

const importLine = "Run: riftline import ./tests/wrong/wrong_files_0/"

var wrongOnes = []wrong{
	{"comments", one("{\n// mine\n" + source("")[1:]), "", []string{"x.json: is no strict JSON object", "Run: riftline fmt "}, false, false},
	{"a list", one(`["a"]`), "", []string{"is no strict JSON object"}, false, false},
	{"cut off", one(`{"connector.class": "HttpSou`), "", []string{"is no strict JSON object"}, false, false},
	{"nothing", map[string]string{"x.txt": ""}, "", []string{"there is no *.json in "}, false, true},
	{"no class", one(`{"kafka.topic": "t"}`), "", []string{"connector.class is missing"}, false, false},
	{"another class", one(`{"connector.class": "io.confluent.connect.s3.S3SinkConnector"}`), "", []string{`connector.class "io.confluent.connect.s3.S3SinkConnector" is not one that riftline stands in for`}, false, false},
	{"an object for a text", one(sink(`"gcs.credentials.json": {"type": "service_account"}`)), "", []string{"gcs.credentials.json is not a text", "Run: riftline fmt "}, false, false},
	{"two of one name", map[string]string{"x.json": source(`"name": "same"`), "y.json": sink(`"name": "same"`)}, "", []string{`x.json: the name "same" is that of y.json too`, `y.json: the name "same" is that of x.json too`}, false, false},
	{"a bad name", one(source(`"name": "a b"`)), "", []string{`the name "a b" is not usable`}, false, false},
	{"seven minutes", one(source(`"http.timer.interval.millis": "420000"`)), "", []string{"http.timer.interval.millis=420000 is no interval that cron can say: the nearest are 360000 (6 min) and 600000 (10 min)"}, false, false},
	{"half a minute", one(source(`"http.timer.interval.millis": "30000"`)), "", []string{"the nearest are 60000 (1 min) and 120000 (2 min)"}, false, false},
	{"five hours", one(source(`"http.timer.interval.millis": "18000000"`)), "", []string{"the nearest are 14400000 (240 min) and 21600000 (360 min)"}, false, false},
	{"two days", one(source(`"http.timer.interval.millis": "172800000"`)), "", []string{"the nearest are 86400000 (1440 min)"}, false, false},
	{"no number", one(source(`"http.timer.interval.millis": "often"`)), "", []string{"http.timer.interval.millis=often is no interval"}, false, false},
	{"cron of six fields", one(source(`"riftline.schedule": "0 * * * * *"`)), "", []string{"is no cron line of five fields"}, false, false},
	{"cron of another minute", one(source(`"riftline.schedule": "61 * * * *"`)), "", []string{"is no cron line of five fields"}, false, false},
	{"no time zone", one(source(`"riftline.schedule.timezone": "MEZ"`)), "", []string{`riftline.schedule.timezone "MEZ" is no time zone`}, false, false},
	{"paused how", one(source(`"riftline.paused": "maybe"`)), "", []string{"riftline.paused is true or false"}, false, false},
	{"triggered how", one(source(`"riftline.trigger": "eventarc"`)), "", []string{"riftline.trigger is http or pubsub"}, false, false},
	{"a sink by Pub/Sub", one(sink(`"riftline.trigger": "pubsub"`)), "", []string{"riftline.trigger=pubsub is for sources"}, false, false},
	{"half a task", one(sink(`"tasks.max": "1.5"`)), "", []string{"tasks.max is a whole number"}, false, false},
	{"a bucket that nobody named", map[string]string{"z.json": sink("")}, `archive_buckets = {}`, []string{"gcs.bucket.name is riftline-archive, which archive_buckets does not have", `archive_buckets = { "riftline-archive" = {} }`}, false, false},
	{"a reference to nothing", one(source(`"http.request.headers": "X-Riot-Token: ${gcpsecret:my key}"`)), "", []string{"${gcpsecret:my key} names no secret"}, false, false},
	{"a reference to a host", one(source(`"http.request.headers": "X-Riot-Token: ${gcpsecret:projects/p/locations/evil.example/secrets/s}"`)), "", []string{"${gcpsecret:projects/p/locations/evil.example/secrets/s} names no secret"}, false, false},
	{"a reference to a variable", one(source(`"http.request.headers": "X-Riot-Token: ${env:KEY}"`)), "", []string{"http.request.headers has a reference to a variable or a file"}, false, false},
	{"overrides of nobody", one(source("")), `overrides = { y = { "kafka.topic" = "u" } }`, []string{"overrides: there is no connector y"}, false, false},
	{"no brokers", one(source("")), `worker_settings = {}`, []string{"CONNECT_BOOTSTRAP_SERVERS is missing"}, false, false},

	// Credentials in clear text, in each form that the tables of connector keys know.
	{"a key in a header", one(source(`"http.request.headers": "X-Riot-Token: RGAPI-00000000-0000-0000-0000-000000000000"`)), "", []string{"http.request.headers holds a credential in clear text", importLine, "/x.json"}, false, false},
	{"a bearer token", one(source(`"http.request.headers": "Accept: application/json, Authorization: Bearer hunter2"`)), "", []string{"http.request.headers holds a credential"}, false, false},
	{"a key in the URL", one(strings.Replace(source(""), "riotgames.com/x", "riotgames.com/x?region=kr&api_key=hunter2", 1)), "", []string{"http.request.url holds a credential"}, false, false},
	{"a password in the URL", one(strings.Replace(source(""), "https://kr", "https://me:hunter2@kr", 1)), "", []string{"http.request.url holds a credential"}, false, false},
	{"a key in the parameters", one(source(`"http.request.params": "region=kr & api_key=hunter2"`)), "", []string{"http.request.params holds a credential"}, false, false},
	{"a password", one(source(`"http.auth.password": "hunter2"`)), "", []string{"http.auth.password holds a credential"}, false, false},
	{"a login module", one(source(`"producer.override.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"me\" password=\"hunter2\";"`)), "", []string{"producer.override.sasl.jaas.config holds a credential"}, false, false},
	{"a service account's key", one(sink(`"gcs.credentials.json": "{\"type\": \"service_account\"}"`)), "", []string{"gcs.credentials.json holds a credential"}, false, false},
	{"the registry's user", one(sink(`"value.converter.basic.auth.user.info": "me:hunter2"`)), "", []string{"value.converter.basic.auth.user.info holds a credential"}, false, false},
	{"the registry's URL", one(sink(`"value.converter.schema.registry.url": "http://me:hunter2@registry:8081"`)), "", []string{"value.converter.schema.registry.url holds a credential"}, false, false},
	{"a licence's broker", one(sink(`"confluent.topic.sasl.jaas.config": "PlainLoginModule required username=\"me\" password=\"hunter2\";"`)), "", []string{"confluent.topic.sasl.jaas.config holds a credential"}, false, false},
	{"a key that nobody knows", one(sink(`"my.api.key": "hunter2"`)), "", []string{"my.api.key holds a credential"}, false, false},
	{"a key of a family", one(sink(`"value.converter.bearer.auth.logical": "hunter2"`)), "", []string{"value.converter.bearer.auth.logical holds a credential"}, false, false},
	{"a placeholder", one(source(`"http.request.headers": "X-Riot-Token: {your token}"`)), "", []string{"http.request.headers holds a credential"}, false, false},
	{"in an override", one(source("")), `overrides = { x = { "http.auth.password" = "hunter2" } }`, []string{"http.auth.password (in overrides) holds a credential"}, false, false},
	{"in a worker's settings", one(source("")), `worker_settings = { CONNECT_BOOTSTRAP_SERVERS = "b:1", CONNECT_SASL_JAAS_CONFIG = "PlainLoginModule required username=\"me\" password=\"hunter2\";", CONNECT_VALUE_CONVERTER_BASIC_AUTH_USER_INFO = "me:hunter2", CONNECT_CONSUMER_SSL_KEY_PASSWORD = "hunter2", CONNECT_SSL_KEYSTORE_KEY = "hunter2" }`, []string{
		"worker_settings: CONNECT_SASL_JAAS_CONFIG holds a credential", "worker_settings: CONNECT_VALUE_CONVERTER_BASIC_AUTH_USER_INFO holds a credential",
		"worker_settings: CONNECT_CONSUMER_SSL_KEY_PASSWORD holds a credential", "worker_settings: CONNECT_SSL_KEYSTORE_KEY holds a credential",
	}, false, false},

	{"a topic that nobody named", one(source("")), `managed_kafka = { cluster = "c", subnet = "projects/p/regions/r/subnetworks/s", topics = { u = {} } }` + "\n  worker_settings = {}\n  vpc = { network = \"n\", subnetwork = \"s\" }", []string{"x.json: topic t is none of managed_kafka.topics"}, false, true},

	// Variables.
	{"a zone", one(source("")), `region = "europe-west1-b"`, []string{"region is a region such as europe-west1"}, true, false},
	{"a project's name", one(source("")), `project_id = "My Project"`, []string{"project_id is a project's id"}, true, false},
	{"an image that moves", one(source("")), `poller_image = "europe-docker.pkg.dev/p/r/poller:latest"`, []string{"and not :latest"}, true, false},
	{"an image without a tag", one(source("")), `sink_image = "europe-docker.pkg.dev/p/r/sink"`, []string{"sink_image is REGISTRY/PATH:TAG"}, true, false},
	{"a long prefix", one(source("")), `prefix = "riftline-staging"`, []string{"prefix has 1 to 13"}, true, false},
	{"soft delete of a day", one(source("")), `archive_buckets = { riftline-archive = { soft_delete_days = 1 } }`, []string{"soft_delete_days is 0 or 7 to 90"}, true, false},
	{"a bad bucket", one(source("")), `archive_buckets = { Archive = {} }`, []string{"a bucket's name has 3 to 63"}, true, false},
	{"state in the archive", one(source("")), `state_bucket = "riftline-archive"`, []string{"state_bucket is another bucket than those of archive_buckets"}, true, true},
	{"a deadline past Pub/Sub's", one(source("")), `poll_deadline_seconds = 600`, []string{"poll_deadline_seconds is a whole number from 5 to 540"}, true, false},
	{"a drain too short to save", one(source("")), `drain_timeout_seconds = 60`, []string{"drain_timeout_seconds is a whole number from 300"}, true, false},
	{"a credential for a secret's name", one(source("")), `worker_secrets = { CONNECT_SASL_JAAS_CONFIG = "PlainLoginModule required;" }`, []string{"worker_secrets name secrets"}, true, true},
	{"a setting of riftline's", one(source("")), `worker_settings = { RIFTLINE_STATE = "gs://a/b" }`, []string{"worker_settings are named CONNECT_"}, true, false},
	{"another class by override", one(source("")), `overrides = { x = { "connector.class" = "GcsSink" } }`, []string{"overrides cannot change name and connector.class"}, true, false},
	{"silent logs", one(source("")), `log_level = "error"`, []string{"log_level is debug or info"}, true, false},
	{"a channel's name", one(source("")), `alerts = { notification_channels = ["me@example.com"] }`, []string{"alerts.notification_channels are named projects/"}, true, false},
	{"a key's age of hours", one(source("")), `alerts = { key_max_age_days = 0.5 }`, []string{"alerts.key_max_age_days is 1 to 3650"}, true, false},
	{"a cluster without a network", one(source("")), `managed_kafka = { cluster = "c", subnet = "projects/p/regions/r/subnetworks/s", topics = { t = {} } }`, []string{"vpc has to say by which network it is reached", "leave CONNECT_BOOTSTRAP_SERVERS"}, true, true},
	{"a cluster too small", one(source("")), `managed_kafka = { cluster = "c", subnet = "projects/p/regions/r/subnetworks/s", vcpus = 1, topics = { t = {} } }`, []string{"a cluster has 3 vCPUs at least"}, true, true},
	{"too little memory for a poller", one(source("")), `poller_resources = { memory = "256Mi" }`, []string{"poller_resources: an instance has 512Mi of memory at least"}, true, true},
	{"too much memory for a vCPU", one(source("")), `poller_resources = { memory = "5Gi" }`, []string{"poller_resources: an instance has 512Mi"}, true, true},
	{"too little memory for vCPUs", one(source("")), `sink_resources = { cpu = "8" }`, []string{"sink_resources: an instance has 512Mi"}, true, true},
	{"more memory than there is", one(source("")), `sink_resources = { cpu = "8", memory = "33Gi" }`, []string{"sink_resources: an instance has 512Mi"}, true, true},
	{"a prefix of Google's", one(source("")), `prefix = "goog"`, []string{"and not with goog"}, true, true},
	{"a secret in a host's name", one(source("")), `worker_secrets = { CONNECT_SASL_JAAS_CONFIG = "projects/p/locations/evil.example/secrets/s" }`, []string{"worker_secrets name secrets"}, true, true},
	{"a label", one(source("")), `labels = { Team = "Data" }`, []string{"labels have lower-case letters"}, true, false},
}

// harmless are files that look a little like wrong ones and must be taken.
var harmless = map[string]string{
	"a":  source(`"http.request.headers": "X-Riot-Token: ${gcpsecret:riot-api-key}, Accept: application/json, User-Agent: abcdefghijklmnopqrstuvwxyz0123456789"`),
	"b":  source(`"http.request.headers": "Authorization: Bearer ${gcpsecret:token}"`),
	"c":  source(`"http.request.params": "queue=RANKED_SOLO_5x5&start=${offset.page!\"1\"}&api_key=${gcpsecret:k}"`),
	"d":  strings.Replace(source(""), "https://kr", "https://me:${gcpsecret:password}@kr", 1),
	"e":  strings.Replace(source(""), "riotgames.com/x", "riotgames.com:443/x?a=1&b=${var.platform}", 1),
	"f":  source(`"producer.override.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"me\" password=\"${gcpsecret:kafka}\";"`),
	"g":  source(`"http.request.body": "{\"password\": \"not one\"}", "http.request.method": "POST"`),
	"h":  sink(`"value.converter.basic.auth.credentials.source": "USER_INFO", "value.converter.basic.auth.user.info": "me:${gcpsecret:registry}"`),
	"i":  sink(`"confluent.topic.bootstrap.servers": "kafka:9092", "confluent.topic.security.protocol": "SASL_SSL", "key.converter.schemas.enable": "false"`),
	"j":  sink(`"consumer.override.sasl.oauthbearer.token.endpoint.url": "https://idp.example/token", "consumer.override.ssl.truststore.certificates": "-----BEGIN CERTIFICATE-----"`),
	"k":  sink(`"riftline.schedule": "0,30 6-18/2 1-15 jan-mar mon,wed", "tasks.max": "10000"`),
	"l":  source(`"http.timer.interval.millis": 600000, "riftline.paused": false`),
	"m":  source(`"http.throttler.interval.millis": "43200000", "riftline.schedule.timezone": "America/Argentina/Buenos_Aires"`),
	"n.": source(`"http.request.headers": "If-None-Match: abcdefghijklmnopqrstuvwxyz0123456789"`),
}

const defaults = `
  project_id      = "my-project"
  region          = "europe-west1"
  poller_image    = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc"
  sink_image      = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc"
  worker_settings = { CONNECT_BOOTSTRAP_SERVERS = "broker:9092" }
  archive_buckets = { riftline-archive = {} }
`

// testFile is a test file with one run that plans.
func testFile(connectors string, set ...string) string {
	lines := strings.Split(defaults, "\n")
	for _, one := range set {
		for part := range strings.SplitSeq(one, "\n") {
			name, _, _ := strings.Cut(strings.TrimSpace(part), " = ")
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), name+" ") })
		}
	}
	slices.Sort(set)
	return "mock_provider \"google\" {\n  source = \"./tests/mocks/plan\"\n}\n\nvariables {" + strings.Join(lines, "\n") +
		"  connectors_dir = \"" + connectors + "\"\n  " + strings.Join(set, "\n  ") + "\n}\n\nrun \"plan\" {\n  command = plan\n}\n"
}

// batch is a test file that several wrong ones share, since Terraform says all that is wrong at once.
type batch struct {
	file string
	ones []int
	set  map[string]string
}

// batches puts those together that set no variable alike. What a variable's own validation refuses comes before anything
// else is looked at, so those stay among themselves.
func batches() []*batch {
	var out []*batch
	for i, w := range wrongOnes {
		name, _, _ := strings.Cut(w.set, " = ")
		class := "files"
		switch {
		case w.alone:
			class = fmt.Sprint("alone_", i)
		case w.variable:
			class = "variables"
		}
		at := slices.IndexFunc(out, func(b *batch) bool {
			_, taken := b.set[name]
			return strings.HasPrefix(b.file, "wrong_"+class) && !taken
		})
		if at < 0 {
			out = append(out, &batch{file: fmt.Sprintf("wrong_%s_%d", class, len(out)), set: map[string]string{}})
			at = len(out) - 1
		}
		out[at].ones = append(out[at].ones, i)
		if w.set != "" {
			out[at].set[name] = w.set
		}
	}
	return out
}

// own is the name of a case's file where many share a folder.
func (w wrong) own(i int, file string) string {
	if w.set != "" {
		return file
	}
	return fmt.Sprintf("%d_%s", i, file)
}

// write makes the batch's test file and its folder of connector files.
func (b *batch) write(t *testing.T, dir string) {
	t.Helper()
	files := map[string]string{"tests/" + b.file + ".tftest.hcl": testFile("./tests/wrong/"+b.file, slices.Collect(maps.Values(b.set))...)}
	for _, i := range b.ones {
		for file, text := range wrongOnes[i].files {
			files["tests/wrong/"+b.file+"/"+wrongOnes[i].own(i, file)] = text
		}
	}
	write(t, dir, files)
}

// refused tells what is missing of the refusal of a wrong one.
func (w wrong) refused(r runs, b *batch, i int) []string {
	var said []string
	for _, one := range r {
		if one.file == b.file {
			said = append(said, one.said...)
			if one.status == "pass" {
				return []string{"it is taken"}
			}
		}
	}
	all := strings.Join(said, "\n")
	text := all
	if w.set == "" && !w.alone {
		// Only what is said of its own files.
		lines := slices.DeleteFunc(strings.Split(all, "\n"), func(line string) bool {
			return !slices.ContainsFunc(slices.Collect(maps.Keys(w.files)), func(file string) bool { return strings.Contains(line, "/"+w.own(i, file)+": ") })
		})
		text = strings.Join(lines, "\n")
	}
	var out []string
	for _, want := range w.want {
		for file := range w.files {
			want = strings.ReplaceAll(want, file, w.own(i, file))
		}
		if !strings.Contains(text, want) {
			out = append(out, fmt.Sprintf("nobody says %q, but:\n%s", want, text))
		}
	}
	// What Terraform says itself where a value is not what an expression takes is no message to a user.
	for _, own := range []string{"Invalid function argument", "Unsupported attribute", "Invalid index", "Inconsistent conditional"} {
		if strings.Contains(all, own) {
			out = append(out, "Terraform stumbles: "+all)
		}
	}
	if strings.Contains(all, hidden) {
		out = append(out, "the message shows a credential: "+all)
	}
	return out
}

// taken tells what is wrong with how harmless files are taken.
func taken(r runs) []string {
	one := r.of("harmless", "plan")
	if one == nil || one.status != "pass" || one.plan == nil {
		return []string{fmt.Sprintf("%+v", one)}
	}
	if got := len(one.plan.resources("google_storage_bucket_object")); got != len(harmless) {
		return []string{fmt.Sprintf("%d of %d files became connectors", got, len(harmless))}
	}
	return nil
}

func writeHarmless(t *testing.T, dir string) {
	t.Helper()
	files := map[string]string{"tests/harmless.tftest.hcl": testFile("./tests/wrong/harmless")}
	for name, text := range harmless {
		files["tests/wrong/harmless/"+name+".json"] = text
	}
	write(t, dir, files)
}

func TestWrongFilesAreRefused(t *testing.T) {
	for name, text := range harmless {
		if !json.Valid([]byte(text)) {
			t.Fatalf("harmless %s: %s", name, text)
		}
	}
	dir := workspace(t)
	writeHarmless(t, dir)
	files := []string{"harmless"}
	all := batches()
	for _, b := range all {
		b.write(t, dir)
		files = append(files, b.file)
	}
	done := test(t, dir, files...)
	for _, b := range all {
		for _, i := range b.ones {
			t.Run(wrongOnes[i].name, func(t *testing.T) {
				for _, text := range wrongOnes[i].refused(done, b, i) {
					t.Error(text)
				}
			})
		}
	}
	t.Run("harmless ones are taken", func(t *testing.T) {
		for _, text := range taken(done) {
			t.Error(text)
		}
	})
}
