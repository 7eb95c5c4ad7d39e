package connector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/secret"
)

// resolver answers env references from pairs and gcpsecret references with "secret-of-<name>".
func resolver(pairs map[string]string) *secret.Resolver {
	return secret.NewResolver(map[string]secret.Reader{
		secret.Env: secret.EnvReader(func(name string) (string, bool) { v, ok := pairs[name]; return v, ok }),
		secret.GCPSecret: func(_ context.Context, path, _ string) (string, error) {
			switch path {
			case "absent":
				return "", fmt.Errorf("no %s: %w", path, secret.ErrNotFound)
			case "down":
				return "", errors.New("connection refused")
			}
			return "secret-of-" + path, nil
		},
		secret.File: secret.FileReader(),
		secret.Dir:  secret.DirReader(),
	})
}

var worker = NewWorker([]string{
	"CONNECT_BOOTSTRAP_SERVERS=PLAINTEXT://a:9092, b:9093",
	"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://registry:8081/",
	"CONNECT_GROUP_ID=ignored", "PATH=/bin", "CONNECT_EMPTY=", "CONNECT_=x", "no pair",
})

func source(t *testing.T, c Connector, w Worker, r *secret.Resolver) Source {
	t.Helper()
	s, err := c.Source(t.Context(), w, r, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheUsersSource(t *testing.T) {
	r := resolver(nil)
	s := source(t, read(t, infra+"challenger.json"), worker, r)
	want := Source{
		Name: "challenger", Topic: "challenger", RecordFormat: FormatAuto, Order: ImplicitOrder,
		Request: Request{
			URL: "https://kr.api.riotgames.com/lol/league/v4/challengerleagues/by-queue/RANKED_SOLO_5x5", Method: "GET", BareNames: true,
			Headers: []Header{{"X-Riot-Token", secret.New("secret-of-riot-api-key")}},
		},
		Response:       Response{ListPointer: "/entries", RecordPointer: "/", Process: []CodeRange{{200, 299}}, Skip: []CodeRange{{300, 399}}, MaxBytes: 64 << 20},
		Client:         HTTPClient{ConnectTimeout: 2 * time.Second, ReadTimeout: 10 * time.Second, KeepAlive: 5 * time.Minute, MaxIdle: 1},
		RateLimitShare: 1,
		Key:            []string{"/summonerId"},
		KeyFallback:    true, Dedupe: Dedupe{Mode: Snapshot, Keep: 30 * 24 * time.Hour},
		KeyConverter: StringConverter, ValueConverter: AvroConverter,
		Registry:    Registry{URLs: []string{"http://registry:8081"}},
		ValueFields: "auto", ExactlyOnceRequired: true, MarkerAge: 12 * time.Hour,
		Kafka: Kafka{Brokers: []string{"a:9092", "b:9093"}, Protocol: "PLAINTEXT", ClientID: "riftline-challenger", Client: map[string]string{}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("\n got %+v\nwant %+v", s, want)
	}
	if got := r.Scrub("secret-of-riot-api-key"); got != "[redacted]" {
		t.Errorf("the token is not hidden: %s", got)
	}
}

func TestTheUsersSink(t *testing.T) {
	s, err := read(t, infra+"gcs-sink.json").Sink(t.Context(), worker, resolver(nil), CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := Sink{
		Name: "gcs-sink", Topics: []string{"challenger"}, Bucket: "riftline-archive", TopicsDir: "topics", DirectoryDelim: "/", FileDelim: "+",
		ZeroPad: 10, Codec: "null", Partitioner: Partitioner{Class: DefaultPartitioner}, FlushSize: 3, PartSize: 5242880, FlushOnDrainEnd: true, MemoryMax: 32 << 20,
		SchemaCompatibility: CompatibilityNone,
		Errors:              ErrorPolicy{DeadLetterReplication: 3, NullDeadLetters: true},
		OffsetReset:         "earliest", TasksMax: 1, ValueConverter: AvroConverter,
		Registry: Registry{URLs: []string{"http://schema-registry:8081"}},
		Kafka:    Kafka{Brokers: []string{"a:9092", "b:9093"}, Protocol: "PLAINTEXT", ClientID: "riftline-gcs-sink", Client: map[string]string{}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("\n got %+v\nwant %+v", s, want)
	}
	if s.Group() != "connect-gcs-sink" {
		t.Error(s.Group())
	}
}

func TestOfTheOtherKind(t *testing.T) {
	if _, err := read(t, infra+"gcs-sink.json").Source(t.Context(), worker, nil, CheckOptions{}); err == nil {
		t.Error("a sink is taken for a source")
	}
	if _, err := read(t, infra+"challenger.json").Sink(t.Context(), worker, nil, CheckOptions{}); err == nil {
		t.Error("a source is taken for a sink")
	}
}

func TestEverySourceSettingArrives(t *testing.T) {
	c := read(t, infra+"challenger.json").With(map[string]string{
		"http.request.url":                          "https://h/x?q=${env:Q}",
		"http.request.method":                       "POST",
		"http.request.headers":                      `Accept: text/a\, text/b, X-Key: ${gcpsecret:k}, Accept: c, Authorization: Bearer ${env:WITH_COMMA}`,
		"http.request.params":                       "a=b & c = ${gcpsecret:p}&d=",
		"http.request.body":                         `{"k":"${gcpsecret:b}"}`,
		"http.auth.type":                            "basic",
		"http.auth.user":                            "me",
		"http.auth.password":                        "${gcpsecret:basic}",
		"http.client.connection.timeout.millis":     "1500",
		"http.client.read.timeout.millis":           " 2500 ",
		"http.client.max-idle":                      "4",
		"http.client.proxy.host":                    "proxy",
		"http.client.proxy.username":                "pu",
		"http.client.proxy.password":                "${gcpsecret:pp}",
		"http.client.keystore":                      "/k.p12",
		"http.client.keystore.password":             "${gcpsecret:kp}",
		"http.response.list.pointer":                "/",
		"http.response.record.pointer":              "/a~1b",
		"http.response.record.offset.pointer":       "id=/id, key=/k, n=/n",
		"http.response.record.key.pointer":          "/a, /b",
		"http.response.policy.codes.process":        "200, 210..205",
		"http.response.policy.codes.skip":           "404",
		"riftline.dedupe.ignore":                    "/x, /y/z",
		"riftline.dedupe.keep":                      "36h",
		"riftline.key.fallback":                     "false",
		"riftline.response.max.bytes":               "1000",
		"riftline.ratelimit.share":                  "0.25",
		"riftline.value.fields":                     "none",
		"riftline.marker.topic":                     "markers",
		"riftline.marker.age":                       "2d",
		"exactly.once.support":                      "requested",
		"key.converter":                             "AvroConverter",
		"topic.creation.default.partitions":         "6",
		"topic.creation.default.replication.factor": "-1",
		"topic.creation.default.cleanup.policy":     "compact",
		"producer.override.linger.ms":               "20",
		"producer.override.client.id":               "me",
		"producer.override.compression.type":        "zstd",
		"producer.override.acks":                    "all",
		"producer.override.bootstrap.servers":       "own:1",
	})
	s := source(t, c, worker, resolver(map[string]string{"Q": "1", "WITH_COMMA": "a,b: c"}))
	if s.Request.URL != "https://h/x?q=1" || s.Request.Method != "POST" || s.Request.Params.Reveal() != "a=b&c=secret-of-p&d=" || s.Request.Body.Reveal() != `{"k":"secret-of-b"}` {
		t.Errorf("request: %+v %s %s", s.Request, s.Request.Params.Reveal(), s.Request.Body.Reveal())
	}
	var sent []string
	for _, h := range s.Request.Headers {
		sent = append(sent, h.Name+"="+h.Value.Reveal())
	}
	if got := strings.Join(sent, "|"); got != "Accept=text/a, text/b|X-Key=secret-of-k|Accept=c|Authorization=Bearer a,b: c" {
		t.Errorf("headers: %s", got)
	}
	if s.Request.BasicUser != "me" || s.Request.BasicPassword.Reveal() != "secret-of-basic" {
		t.Errorf("basic: %+v", s.Request)
	}
	wantClient := HTTPClient{ConnectTimeout: 1500 * time.Millisecond, ReadTimeout: 2500 * time.Millisecond, KeepAlive: 5 * time.Minute, MaxIdle: 4,
		ProxyHost: "proxy", ProxyPort: 3128, ProxyUser: "pu", ProxyPassword: secret.New("secret-of-pp"), Keystore: "/k.p12", KeystorePassword: secret.New("secret-of-kp")}
	if !reflect.DeepEqual(s.Client, wantClient) {
		t.Errorf("client: %+v", s.Client)
	}
	if want := (Response{ListPointer: "/", RecordPointer: "/a~1b", Process: []CodeRange{{200, 200}, {205, 210}}, Skip: []CodeRange{{404, 404}}, MaxBytes: 1000}); !reflect.DeepEqual(s.Response, want) {
		t.Errorf("response: %+v", s.Response)
	}
	if !reflect.DeepEqual(s.Key, []string{"/a", "/b"}) || !reflect.DeepEqual(s.Offset, map[string]string{"id": "/id", "n": "/n"}) {
		t.Errorf("key %v, offset %v", s.Key, s.Offset)
	}
	if want := (Dedupe{Mode: Snapshot, Ignore: []string{"/x", "/y/z"}, Keep: 36 * time.Hour}); !reflect.DeepEqual(s.Dedupe, want) {
		t.Errorf("dedupe: %+v", s.Dedupe)
	}
	if s.RateLimitShare != 0.25 || s.KeyFallback || s.ExactlyOnceRequired || s.ValueFields != "none" || s.MarkerTopic != "markers" || s.MarkerAge != 48*time.Hour || s.KeyConverter != AvroConverter {
		t.Errorf("%+v", s)
	}
	if want := (&TopicCreation{Partitions: 6, Replication: -1, Configs: map[string]string{"cleanup.policy": "compact"}}); !reflect.DeepEqual(s.TopicCreation, want) {
		t.Errorf("topic creation: %+v", s.TopicCreation)
	}
	if want := map[string]string{"linger.ms": "20", "compression.type": "zstd"}; !reflect.DeepEqual(s.Kafka.Client, want) || s.Kafka.ClientID != "me" || !reflect.DeepEqual(s.Kafka.Brokers, []string{"own:1"}) {
		t.Errorf("kafka: %+v", s.Kafka)
	}
}

func TestEverySinkSettingArrives(t *testing.T) {
	key := `{"type":"service_account","private_key":"hunter2-hunter2"}`
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	c := read(t, infra+"gcs-sink.json").With(map[string]string{
		"topics": "a, b", "topics.dir": "", "directory.delim": "|", "file.delim": "-", "filename.offset.zero.pad.width": "0", "avro.codec": "snappy",
		"flush.size": "1000", "gcs.part.size": "8388608", "riftline.flush.on.drain.end": "false", "riftline.schema.change": "rotate",
		"riftline.memory.max.bytes": "16777216", "behavior.on.null.values": "IGNORE", "consumer.override.auto.offset.reset": "none",
		"consumer.override.fetch.max.bytes": "1000000", "tasks.max": "4", "gcs.credentials.path": file, "schema.compatibility": "forward",
		"errors.tolerance": "ALL", "errors.deadletterqueue.topic.name": "dead", "errors.deadletterqueue.topic.replication.factor": "1",
		"errors.deadletterqueue.context.headers.enable": "true", "report.null.values.to.dlq": "false", "errors.log.enable": "true",
		"errors.log.include.messages": "true",
	})
	r := resolver(nil)
	s, err := c.Sink(t.Context(), worker, r, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := Sink{
		Name: "gcs-sink", Topics: []string{"a", "b"}, Bucket: "riftline-archive", DirectoryDelim: "|", FileDelim: "-", Codec: "snappy",
		Partitioner: Partitioner{Class: DefaultPartitioner},
		FlushSize:   1000, PartSize: 8388608, SchemaChangeRotates: true, SchemaCompatibility: CompatibilityForward, MemoryMax: 16 << 20, NullIgnore: true, OffsetReset: "none", TasksMax: 4,
		Errors: ErrorPolicy{
			Tolerate: true, DeadLetterTopic: "dead", DeadLetterReplication: 1, DeadLetterHeaders: true, Log: true, LogRecord: true,
		},
		CredentialsJSON: secret.New(key), ValueConverter: AvroConverter, Registry: s.Registry,
		Kafka: Kafka{Brokers: []string{"a:9092", "b:9093"}, Protocol: "PLAINTEXT", ClientID: "riftline-gcs-sink", Client: map[string]string{"auto.offset.reset": "none", "fetch.max.bytes": "1000000"}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("\n got %+v\nwant %+v", s, want)
	}
	if got := r.Scrub("hunter2-hunter2"); got != "[redacted]" {
		t.Errorf("the key is not hidden: %s", got)
	}

	local, err := c.With(map[string]string{"gcs.credentials.path": "/no/such/file", "gcs.credentials.json": "${gcpsecret:absent}"}).
		Sink(t.Context(), Worker{}, r, CheckOptions{Local: true})
	if err != nil || !local.CredentialsJSON.Empty() {
		t.Errorf("an embedded bucket's credentials are asked for: %v", err)
	}
	_, err = c.With(map[string]string{"gcs.credentials.json": "${gcpsecret:absent}"}).Sink(t.Context(), worker, r, CheckOptions{})
	if !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("a real bucket's credentials are not asked for: %v", err)
	}
	for name, path := range map[string]string{"no file": "/no/such/file", "no key": filepath.Join("testdata", "five-mistakes.json")} {
		_, err := c.With(map[string]string{"gcs.credentials.path": path}).Sink(t.Context(), worker, r, CheckOptions{})
		var invalid *Invalid
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "gcs.credentials.path") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARunNeedsBrokersAndRegistry(t *testing.T) {
	c := read(t, infra+"challenger.json")
	for name, c2 := range map[string]struct {
		w    Worker
		o    CheckOptions
		want []string
	}{
		"nothing":           {Worker{}, CheckOptions{}, []string{"CONNECT_BOOTSTRAP_SERVERS", "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL"}},
		"no registry":       {NewWorker([]string{"CONNECT_BOOTSTRAP_SERVERS=a:1"}), CheckOptions{}, []string{"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL"}},
		"local":             {Worker{}, CheckOptions{Local: true}, nil},
		"all of them":       {worker, CheckOptions{}, nil},
		"validate --worker": {Worker{}, CheckOptions{Worker: true}, []string{"CONNECT_BOOTSTRAP_SERVERS", "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL"}},
	} {
		_, err := c.Source(t.Context(), c2.w, resolver(nil), c2.o)
		if (err != nil) != (c2.want != nil) {
			t.Errorf("%s: %v", name, err)
		}
		_, problems := c.Explain(c2.w, c2.o)
		if got := len(problems.Errors()) > 0; got != c2.o.Worker {
			t.Errorf("%s: validate has errors: %v", name, problems)
		}
		for _, want := range c2.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not name %s", name, err, want)
			}
		}
	}
}

func TestReferencesThatLeadNowhere(t *testing.T) {
	c := read(t, infra+"challenger.json").With(map[string]string{
		"http.request.headers": "X-Riot-Token: ${gcpsecret:absent}", "http.client.proxy.host": "p", "http.client.proxy.password": "${env:NONE}", "kafka.topic": "${file:/no/such/file}",
	})
	_, err := c.Source(t.Context(), worker, resolver(nil), CheckOptions{})
	var invalid *Invalid
	if !errors.As(err, &invalid) || !errors.Is(err, secret.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"${gcpsecret:absent}", "${env:NONE}", "${file:/no/such/file}"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	_, err = c.With(map[string]string{"http.request.headers": "X-Riot-Token: ${gcpsecret:down}", "http.client.proxy.password": "", "kafka.topic": "t"}).
		Source(t.Context(), worker, resolver(nil), CheckOptions{})
	if err == nil || errors.As(err, &invalid) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("what may pass is not a mistake of the file: %v", err)
	}
}

func TestResolvedValuesAreChecked(t *testing.T) {
	c := read(t, infra+"gcs-sink.json").With(map[string]string{"flush.size": "${env:N}", "gcs.bucket.name": "${env:B}", "riftline.schedule": "${env:NOT_ASKED_FOR}"})
	if _, problems := c.Explain(worker, CheckOptions{}); len(problems.Errors()) > 0 {
		t.Errorf("validate judges what it can not know: %v", problems)
	}
	_, err := c.With(map[string]string{"riftline.schedule": "* * * * *"}).Sink(t.Context(), worker, resolver(map[string]string{"N": "hunter2", "B": "UPPER"}), CheckOptions{})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "${env:N}") || !strings.Contains(err.Error(), "gcs.bucket.name") {
		t.Errorf("got %v", err)
	}
	r := resolver(map[string]string{"N": "7", "B": "my-bucket"})
	s, err := c.With(map[string]string{"riftline.schedule": "* * * * *"}).Sink(t.Context(), worker, r, CheckOptions{})
	if err != nil || s.FlushSize != 7 || s.Bucket != "my-bucket" {
		t.Errorf("%+v, %v", s, err)
	}
	if got := r.Scrub("my-bucket"); got != "my-bucket" {
		t.Errorf("a bucket's name is taken for a credential: %s", got)
	}
}

func TestHeadersBehindOneReference(t *testing.T) {
	file := filepath.Join(t.TempDir(), "headers")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := read(t, infra+"challenger.json").With(map[string]string{"http.request.headers": "${file:" + file + "}"})
	write("X-Riot-Token: hunter2-hunter2, Accept: x\n")
	r := resolver(nil)
	s := source(t, c, worker, r)
	if len(s.Request.Headers) != 2 || s.Request.Headers[0].Value.Reveal() != "hunter2-hunter2" || s.Request.Headers[1].Name != "Accept" {
		t.Errorf("%+v", s.Request.Headers)
	}
	if got := r.Scrub("token hunter2-hunter2"); got != "token [redacted]" {
		t.Errorf("the token alone is not hidden: %s", got)
	}
	write("no header at all: but, hunter2-hunter2")
	if _, err := c.Source(t.Context(), worker, resolver(nil), CheckOptions{}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestHeaderValuesThatNoHeaderMayHave(t *testing.T) {
	c := read(t, infra+"challenger.json").With(map[string]string{"http.request.headers": "X-Riot-Token: ${env:T}"})
	for _, value := range []string{"two\nlines-hunter2", "", " ", "nul\x00hunter2"} {
		_, err := c.Source(t.Context(), worker, resolver(map[string]string{"T": value}), CheckOptions{})
		var invalid *Invalid
		if !errors.As(err, &invalid) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "X-Riot-Token") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestNoTemplateFactoryTakesTheTextAsItIs(t *testing.T) {
	c := read(t, infra+"challenger.json").With(map[string]string{"http.request.method": "POST", "http.request.body": "price ${offset.x}",
		"http.request.template.factory": "com.github.castorm.kafka.connect.http.request.template.NoTemplateFactory"})
	q, err := source(t, c, worker, resolver(nil)).Request.Fill()
	if err != nil || q.Body.Reveal() != "price ${offset.x}" {
		t.Errorf("%q, %v", q.Body.Reveal(), err)
	}
}

func TestRefreshSecrets(t *testing.T) {
	value := map[string]string{"T": "old-token", "P": "old-pass"}
	r := resolver(value)
	c := read(t, infra+"challenger.json").With(map[string]string{"http.request.headers": "X-Riot-Token: ${env:T}", "http.client.proxy.host": "p", "http.client.proxy.password": "${env:P}"})
	if s := source(t, c, worker, r); s.Request.Headers[0].Value.Reveal() != "old-token" {
		t.Fatal("not resolved")
	}
	if changed, err := c.RefreshSecrets(t.Context(), r); changed || err != nil {
		t.Errorf("nothing changed: %v, %v", changed, err)
	}
	value["T"] = "new-token"
	if s := source(t, c, worker, r); s.Request.Headers[0].Value.Reveal() != "old-token" {
		t.Error("the value is not held")
	}
	if changed, err := c.RefreshSecrets(t.Context(), r); !changed || err != nil {
		t.Errorf("the token changed: %v, %v", changed, err)
	}
	if s := source(t, c, worker, r); s.Request.Headers[0].Value.Reveal() != "new-token" {
		t.Error("the fresh value is not used")
	}
	delete(value, "T")
	if _, err := c.RefreshSecrets(t.Context(), r); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
