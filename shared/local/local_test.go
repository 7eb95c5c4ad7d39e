package local

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/secret"
)

func read(t *testing.T, file string) connector.Connector {
	t.Helper()
	name := filepath.Join("..", "..", "infra", "connectors", file)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := connector.Parse(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func options(t *testing.T) Options {
	t.Helper()
	return Options{Dir: t.TempDir(), Source: read(t, "challenger.json"), Sink: read(t, "gcs-sink.json"), Simulate: true}
}

func start(t *testing.T, o Options) *Local {
	t.Helper()
	l, err := Start(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (l *Local) variable(name string) string {
	for _, v := range l.Environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

func (l *Local) override(t *testing.T, name, key string) (string, bool) {
	t.Helper()
	all := map[string]map[string]string{}
	if text := l.variable("RIFTLINE_OVERRIDES"); text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatal(err)
		}
	}
	v, ok := all[name][key]
	return v, ok
}

func TestEverythingIsEmbeddedUnlessItIsReal(t *testing.T) {
	l := start(t, options(t))
	if l.Broker == nil || l.Registry == nil || l.GCS == nil || l.Simulator == nil {
		t.Fatalf("not all is embedded: %+v", l)
	}
	for name, want := range map[string]string{
		"CONNECT_BOOTSTRAP_SERVERS":                   l.Broker.Addr(),
		"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL": l.Registry.URL(),
		"CONNECT_KEY_CONVERTER_SCHEMA_REGISTRY_URL":   l.Registry.URL(),
		"RIFTLINE_STATE":                              "gs://riftline-state",
		"RIFTLINE_RESOLVE":                            "kr.api.riotgames.com:443=" + l.Simulator.Addr(),
	} {
		if got := l.variable(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got, _ := l.override(t, "gcs-sink", "value.converter.schema.registry.url"); got != l.Registry.URL() {
		t.Errorf("the sink's own registry is overridden by %q, want %q", got, l.Registry.URL())
	}
	if _, ok := l.override(t, "challenger", "value.converter.schema.registry.url"); ok {
		t.Error("a key that the source's file has not is overridden")
	}
	client, err := l.NewStorage(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	for _, name := range []string{"riftline-state", "riftline-archive"} {
		if _, err := client.Bucket(name).Attrs(within(t)); err != nil {
			t.Errorf("the bucket %s: %v", name, err)
		}
	}
	if topics := topicsOf(t, l); len(topics) != 1 || len(topics["challenger"].Partitions) != 1 {
		t.Errorf("the topics are %+v", topics)
	}
}

func topicsOf(t *testing.T, l *Local) kadm.TopicDetails {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(l.Broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	topics, err := kadm.NewClient(c).ListTopics(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return topics
}

func TestALaterStartGoesOn(t *testing.T) {
	o := options(t)
	l := start(t, o)
	id := topicsOf(t, l)["challenger"].ID
	first := l.Simulator.Ladder("kr", "RANKED_SOLO_5x5", riot.Challenger)
	if _, err := l.Advance(); err != nil {
		t.Fatal(err)
	}
	second := l.Simulator.Ladder("kr", "RANKED_SOLO_5x5", riot.Challenger)
	if slices.Equal(first, second) {
		t.Fatal("the ladder did not move")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = start(t, o)
	if got := topicsOf(t, l)["challenger"].ID; got != id {
		t.Errorf("the topic was %v and is %v", id, got)
	}
	if !slices.Equal(l.Simulator.Ladder("kr", "RANKED_SOLO_5x5", riot.Challenger), second) {
		t.Error("the ladder went back")
	}
}

func TestTwoRunsDoNotShareAFolder(t *testing.T) {
	o := options(t)
	start(t, o)
	if _, err := Start(within(t), o); !errors.Is(err, ErrInUse) {
		t.Errorf("a second start: %v, want ErrInUse", err)
	}
}

func TestPartsThatAreReal(t *testing.T) {
	o := options(t)
	o.Simulate = false
	o.Environ = []string{
		"CONNECT_BOOTSTRAP_SERVERS=kafka:9092", "CONNECT_SECURITY_PROTOCOL=SASL_SSL",
		"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://registry:8081", "RIFTLINE_STATE=gs://mine/state",
	}
	l := start(t, o)
	if l.Broker != nil || l.Registry != nil || l.Simulator != nil || l.GCS == nil {
		t.Errorf("what is real is embedded too: %+v", l)
	}
	for name, want := range map[string]string{
		"CONNECT_BOOTSTRAP_SERVERS": "kafka:9092", "CONNECT_SECURITY_PROTOCOL": "SASL_SSL",
		"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL": "http://registry:8081", "RIFTLINE_STATE": "gs://mine/state", "RIFTLINE_RESOLVE": "",
	} {
		if got := l.variable(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got, _ := l.override(t, "gcs-sink", "value.converter.schema.registry.url"); got != "http://registry:8081" {
		t.Errorf("the sink's registry is %q, want the environment's", got)
	}
}

func TestAnOverrideNamesTheRegistry(t *testing.T) {
	o := options(t)
	o.Overrides = map[string]map[string]string{"gcs-sink": {"value.converter.schema.registry.url": "http://mine:1"}}
	o.Environ = []string{`RIFTLINE_OVERRIDES={"gcs-sink":{"flush.size":"7","value.converter.schema.registry.url":"http://other:1"}}`}
	l := start(t, o)
	if l.Registry != nil {
		t.Error("a registry is embedded although an override names one")
	}
	for key, want := range map[string]string{"value.converter.schema.registry.url": "http://mine:1", "flush.size": "7"} {
		if got, _ := l.override(t, "gcs-sink", key); got != want {
			t.Errorf("%s is overridden by %q, want %q", key, got, want)
		}
	}
}

func TestEmbeddedPartsAskForNoCredentials(t *testing.T) {
	o := options(t)
	o.Sink.Config["gcs.credentials.json"] = "${gcpsecret:bucket-key}"
	o.Sink.Config["consumer.override.sasl.jaas.config"] = "${gcpsecret:jaas}"
	o.Sink.Config["consumer.override.security.protocol"] = "SASL_SSL"
	o.Sink.Config["consumer.override.max.poll.records"] = "10"
	o.Sink.Config["value.converter.basic.auth.user.info"] = "${gcpsecret:registry}"
	o.Environ = []string{
		"CONNECT_SASL_MECHANISM=PLAIN", "CONNECT_CONSUMER_SSL_TRUSTSTORE_LOCATION=/ca", "CONNECT_CONSUMER_MAX_POLL_RECORDS=5",
		"CONNECT_VALUE_CONVERTER_BASIC_AUTH_USER_INFO=a:b",
	}
	l := start(t, o)
	for key, want := range map[string]string{
		"gcs.credentials.json": "", "consumer.override.sasl.jaas.config": "", "consumer.override.security.protocol": "PLAINTEXT",
		"value.converter.basic.auth.user.info": "",
	} {
		if got, ok := l.override(t, "gcs-sink", key); !ok || got != want {
			t.Errorf("%s is overridden by %q (%v), want %q", key, got, ok, want)
		}
	}
	if _, ok := l.override(t, "gcs-sink", "consumer.override.max.poll.records"); ok {
		t.Error("a key that is no credential is overridden")
	}
	for name, want := range map[string]string{
		"CONNECT_SASL_MECHANISM": "", "CONNECT_CONSUMER_SSL_TRUSTSTORE_LOCATION": "", "CONNECT_CONSUMER_MAX_POLL_RECORDS": "5",
		"CONNECT_VALUE_CONVERTER_BASIC_AUTH_USER_INFO": "",
	} {
		if got := l.variable(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		environ   []string
		simulate  bool
		reference string
		want      string
		err       error
	}{
		"from the environment":      {[]string{"RIOT_API_KEY=k"}, false, "${gcpsecret:riot-api-key}", "k", nil},
		"by its full name":          {[]string{"RIOT_API_KEY=k"}, false, "${gcpsecret:projects/p/secrets/riot-api-key/versions/3}", "k", nil},
		"the simulator's":           {nil, true, "${gcpsecret:riot-api-key}", riot.DefaultKey, nil},
		"nowhere":                   {nil, false, "${gcpsecret:riot-api-key}", "", secret.ErrNotFound},
		"a variable named directly": {[]string{"OTHER=v"}, false, "${env:OTHER}", "v", nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.Environ, o.Simulate = c.environ, c.simulate
			l := start(t, o)
			got, err := l.Secrets.Resolve(within(t), c.reference)
			if got != c.want && err == nil || !errors.Is(err, c.err) {
				t.Errorf("%q, %v; want %q, %v", got, err, c.want, c.err)
			}
			if c.err != nil && !strings.Contains(err.Error(), "RIOT_API_KEY") {
				t.Errorf("the error does not say which variable to set: %v", err)
			}
		})
	}
}

func TestTheSimulatorTakesTheKeyThatTheSourceSends(t *testing.T) {
	for name, c := range map[string]struct {
		header  string
		environ []string
		want    string
	}{
		"a reference":                    {"X-Riot-Token: ${gcpsecret:riot-api-key}", nil, riot.DefaultKey},
		"a reference to what is set":     {"X-Riot-Token: ${gcpsecret:riot-api-key}", []string{"RIOT_API_KEY=mine"}, "mine"},
		"a variable":                     {"Accept: a/b, x-riot-token: ${env:KEY}", []string{"KEY=mine"}, "mine"},
		"a key that is pasted":           {"X-Riot-Token:RGAPI-0000", nil, "RGAPI-0000"},
		"a placeholder that was left in": {"X-Riot-Token: {your token}", nil, "{your token}"},
	} {
		o := options(t)
		o.Source.Config["http.request.headers"] = c.header
		o.Environ = c.environ
		if got := start(t, o).Simulator.Key(); got != c.want {
			t.Errorf("%s: the simulator takes %q, want %q", name, got, c.want)
		}
	}
}

func TestWhatDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"another API simulated":       {func(o *Options) { o.Source.Config["http.request.url"] = "https://example.com/x" }, "--simulate"},
		"a real bucket without state": {func(o *Options) { o.RealBucket = true }, "RIFTLINE_STATE"},
		"overrides that are no JSON":  {func(o *Options) { o.Environ = []string{"RIFTLINE_OVERRIDES={secret"} }, "RIFTLINE_OVERRIDES"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			c.change(&o)
			_, err := Start(within(t), o)
			if !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want ErrConfiguration with %s", err, c.says)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats a value: %v", err)
			}
			// What was started before is gone: the folder is free.
			start(t, Options{Dir: o.Dir, Source: read(t, "challenger.json"), Sink: o.Sink, Simulate: true})
		})
	}
}

func TestDamagedProgressIsNoNewLadder(t *testing.T) {
	o := options(t)
	if err := os.MkdirAll(filepath.Join(o.Dir, ".state"), 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(o.Dir, ".state", "riot.json")
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(within(t), o); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("%v, want an error that names %s", err, name)
	}
}
