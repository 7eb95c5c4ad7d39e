package connector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/riftline/riftline/shared/secret"
)

func TestTheUsersFilesAreExplained(t *testing.T) {
	for _, path := range []string{infra + "challenger.json", infra + "gcs-sink.json"} {
		c := read(t, path)
		verdicts, problems := c.Explain(Worker{}, CheckOptions{Strict: true})
		for _, p := range problems {
			if p.Severity != Advice {
				t.Errorf("%s: %v", path, p)
			}
		}
		seen := map[string]Verdict{}
		for _, v := range verdicts {
			if v.Reason == "" || v.From == "" || v.Class == Refused || v.Class == Unknown || v.Class == 0 {
				t.Errorf("%s: %+v", path, v)
			}
			seen[v.Key] = v
		}
		for key, value := range c.Config {
			if v, ok := seen[key]; !ok || v.Value != value || v.From != "file" {
				t.Errorf("%s: %s is not explained: %+v", path, key, v)
			}
		}
	}
}

func TestFiveMistakes(t *testing.T) {
	c := read(t, "testdata/five-mistakes.json")
	_, problems := c.Explain(Worker{}, CheckOptions{})
	errs := problems.Errors()
	if len(errs) != 5 {
		t.Fatalf("%d mistakes: %v", len(errs), errs)
	}
	for i, p := range problems {
		if i < 5 && p.Severity != Error {
			t.Errorf("%v stands before an error", p)
		}
	}
	_, err := c.Sink(t.Context(), worker, nil, CheckOptions{})
	var invalid *Invalid
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "5 problems") {
		t.Fatal(err)
	}
	for _, p := range errs {
		if p.Key == "" || p.Suggestion == "" || !strings.Contains(err.Error(), p.Key) {
			t.Errorf("%+v", p)
		}
	}
}

func TestAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		path     string
		set      map[string]string
		severity Severity
		key      string
		says     string
	}{
		"two tasks of a source":       {"challenger.json", map[string]string{"tasks.max": "2"}, Advice, "tasks.max", "published 2 times"},
		"a key that is gone":          {"challenger.json", nil, Advice, "http.response.record.offset.pointer", "/puuid"},
		"a key that is gone, joined":  {"challenger.json", map[string]string{"http.response.record.key.pointer": "/summonerId,/x"}, Advice, "http.response.record.key.pointer", "/puuid"},
		"and no fallback":             {"challenger.json", map[string]string{"riftline.key.fallback": "false"}, Warning, "http.response.record.offset.pointer", "forbids"},
		"no key":                      {"challenger.json", map[string]string{"http.response.record.offset.pointer": ""}, Advice, "http.response.record.offset.pointer", "key=/puuid"},
		"small files":                 {"gcs-sink.json", nil, Advice, "flush.size", "800 objects a day"},
		"an inline token":             {"challenger.json", map[string]string{"http.request.headers": "X-Riot-Token: RGAPI-123"}, Advice, "http.request.headers", "${gcpsecret:riot-api-key}"},
		"an inline bearer":            {"challenger.json", map[string]string{"http.request.headers": "X-Riot-Token: ${env:A}, Authorization: Bearer abc"}, Advice, "http.request.headers", "${gcpsecret:challenger-authorization}"},
		"a token in the query":        {"challenger.json", map[string]string{"http.request.url": "https://h/x?page=1&api_key=RGAPI-1"}, Advice, "http.request.url", "clear text"},
		"a token in the parameters":   {"challenger.json", map[string]string{"http.request.params": "page=1 & access_token=abc"}, Advice, "http.request.params", "clear text"},
		"a placeholder":               {"challenger.json", map[string]string{"http.request.headers": "X-Riot-Token: {your token}"}, Advice, "http.request.headers", "placeholder"},
		"another placeholder":         {"challenger.json", map[string]string{"http.request.headers": "X-Riot-Token: YOUR_API_KEY"}, Advice, "http.request.headers", "placeholder"},
		"a placeholder in the URL":    {"challenger.json", map[string]string{"http.request.url": "https://h/{queue}"}, Advice, "http.request.url", "placeholder"},
		"no token at all":             {"challenger.json", map[string]string{"http.request.headers": ""}, Warning, "http.request.headers", "401"},
		"twice a minute":              {"challenger.json", map[string]string{"http.timer.interval.millis": "30000"}, Advice, "http.timer.interval.millis", "finest"},
		"a credential in clear":       {"challenger.json", map[string]string{"http.request.url": "http://example.com/x"}, Warning, "http.request.url", "not encrypted"},
		"a body with GET":             {"challenger.json", map[string]string{"http.request.body": "x"}, Warning, "http.request.body", "not sent"},
		"requested":                   {"challenger.json", map[string]string{"exactly.once.support": "requested"}, Advice, "exactly.once.support", "required"},
		"basic without user":          {"challenger.json", map[string]string{"http.auth.type": "Basic"}, Error, "http.auth.user", "is missing"},
		"a user without basic":        {"challenger.json", map[string]string{"http.auth.user": "u"}, Warning, "http.auth.type", "not sent"},
		"half a topic creation":       {"challenger.json", map[string]string{"topic.creation.default.partitions": "3"}, Warning, "topic.creation.default.replication.factor", "missing"},
		"an inline key":               {"gcs-sink.json", map[string]string{"gcs.credentials.json": `{"type":"service_account","private_key":"x"}`}, Advice, "gcs.credentials.json", "clear text"},
		"a key that is no key":        {"gcs-sink.json", map[string]string{"gcs.credentials.json": "{your key}"}, Error, "gcs.credentials.json", "not JSON"},
		"a key file":                  {"gcs-sink.json", map[string]string{"gcs.credentials.path": "/k.json"}, Advice, "gcs.credentials.path", "identity"},
		"two keys":                    {"gcs-sink.json", map[string]string{"gcs.credentials.path": "/k.json", "gcs.credentials.json": "${env:K}"}, Warning, "gcs.credentials.path", "both"},
		"no topics":                   {"gcs-sink.json", map[string]string{"topics": ""}, Error, "topics", "is missing"},
		"no format":                   {"gcs-sink.json", map[string]string{"format.class": ""}, Warning, "format.class", "Connect requires it"},
		"a registry's password":       {"gcs-sink.json", map[string]string{"value.converter.schema.registry.url": "http://u:hunter2@h"}, Advice, "value.converter.schema.registry.url", "clear text"},
		"uncommitted":                 {"gcs-sink.json", map[string]string{"consumer.override.isolation.level": "read_uncommitted"}, Warning, "consumer.override.isolation.level", "read_committed"},
		"missing url":                 {"challenger.json", map[string]string{"http.request.url": " "}, Error, "http.request.url", ""},
		"an offset pointer repeated":  {"challenger.json", map[string]string{"http.response.record.offset.pointer": "key=/a, key=/b"}, Error, "http.response.record.offset.pointer", "twice"},
		"a pointer without its slash": {"challenger.json", map[string]string{"http.response.list.pointer": "entries"}, Error, "http.response.list.pointer", "not a JSON pointer"},
		"a comma in a header":         {"challenger.json", map[string]string{"http.request.headers": "Accept: a, b"}, Error, "http.request.headers", `\,`},
	} {
		conn := read(t, infra+c.path).With(c.set)
		verdicts, problems := conn.Explain(Worker{}, CheckOptions{})
		found := false
		for _, p := range problems {
			found = found || p.Key == c.key && p.Severity == c.severity && strings.Contains(p.String(), c.says)
		}
		if !found {
			t.Errorf("%s:\n%s", name, list(problems))
		}
		if c.severity != Advice {
			continue
		}
		for _, v := range verdicts {
			if v.Key == c.key && v.Class != Advised {
				t.Errorf("%s: the class is %v", name, v.Class)
			}
		}
	}
	if _, problems := read(t, infra+"challenger.json").With(map[string]string{"http.request.url": "https://h/x", "http.request.headers": "X-Mine: ${gcpsecret:k}"}).Explain(Worker{}, CheckOptions{}); len(problems) > 0 {
		t.Errorf("an API that is not Riot's gets Riot's advice: %v", problems)
	}
}

func TestDeviationsAreSaid(t *testing.T) {
	verdicts, _ := read(t, infra+"challenger.json").Explain(Worker{}, CheckOptions{})
	for key, says := range map[string]string{"http.client.read.timeout.millis": "2000", "exactly.once.support": "KIP-618", "bootstrap.servers": "CONNECT_BOOTSTRAP_SERVERS"} {
		found := false
		for _, v := range verdicts {
			found = found || v.Key == key && v.From == "default" && v.Class == Advised && strings.Contains(v.Reason, says)
		}
		if !found {
			t.Errorf("%s is not mentioned", key)
		}
	}
}

// TestNoCredentialIsWritten puts a credential into every place that may hold one and looks for it in everything that
// validate and a start could print.
func TestNoCredentialIsWritten(t *testing.T) {
	const s = "hunter2x"
	account := fmt.Sprintf(`{"type":"service_account","private_key":"%s10-----","private_key_id":"%s11-----"}`, s, s)
	sourceKeys := map[string]string{
		"http.request.headers":                          "X-Riot-Token: " + s + "01-----, Authorization: Bearer " + s + "02-----, Cookie: " + s + "03-----",
		"http.request.url":                              "https://user:" + s + "04-----@h/x?api_key=" + s + "05-----",
		"http.request.params":                           "token=" + s + "06-----",
		"http.auth.type":                                "Basic",
		"http.auth.user":                                "u",
		"http.auth.password":                            s + "07-----",
		"http.client.proxy.host":                        "p",
		"http.client.proxy.password":                    s + "08-----",
		"http.client.keystore":                          "/k",
		"http.client.keystore.password":                 s + "09-----",
		"producer.override.security.protocol":           "SASL_SSL",
		"producer.override.sasl.mechanism":              "PLAIN",
		"producer.override.sasl.jaas.config":            `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="` + s + `12-----";`,
		"producer.override.ssl.truststore.password":     s + "13-----",
		"value.converter.basic.auth.credentials.source": "USER_INFO",
		"value.converter.basic.auth.user.info":          "u:" + s + "14-----",
		"value.converter.schema.registry.url":           "http://u:" + s + "15-----@registry",
		"http.auth.passwrd":                             s + "16-----",
		"unknown.key":                                   s + "17-----",
		"flush.size":                                    s + "18-----",
	}
	sinkKeys := map[string]string{
		"gcs.credentials.json":                account,
		"confluent.license":                   s + "19-----",
		"confluent.topic.sasl.jaas.config":    s + "20-----",
		"consumer.override.security.protocol": "SASL_SSL",
		"consumer.override.sasl.mechanism":    "SCRAM-SHA-512",
		"consumer.override.sasl.jaas.config":  `broken "` + s + `21-----`,
		"kafka.api.secret":                    s + "22-----",
		"gcs.proxy.password":                  s + "23-----",
		"gcs.credentials.config":              s + "24-----",
	}
	environ := []string{"CONNECT_SASL_JAAS_CONFIG=" + `X required password="` + s + `25-----";`, "CONNECT_PRODUCER_SASL_PASSWORD=" + s + "26-----",
		"CONNECT_SECURITY_PROTOCOL=SASL_SSL", "CONNECT_SASL_MECHANISM=PLAIN", "CONNECT_SSL_KEYSTORE_KEY=" + s + "27-----", "CONNECT_SSL_KEYSTORE_CERTIFICATE_CHAIN=x"}
	var out strings.Builder
	for _, c := range []Connector{
		read(t, infra+"challenger.json").With(sourceKeys), read(t, infra+"gcs-sink.json").With(sinkKeys),
		read(t, infra+"challenger.json"), read(t, infra+"gcs-sink.json"),
		read(t, "testdata/challenger-pasted.json"), read(t, "testdata/gcs-sink-pasted.json"),
	} {
		for _, o := range []CheckOptions{{}, {Strict: true}, {Local: true}} {
			w := NewWorker(environ)
			verdicts, problems := c.Explain(w, o)
			Render(&out, c, verdicts, problems)
			fmt.Fprintf(&out, "%+v\n%+v\n", verdicts, problems)
			source, err := c.Source(t.Context(), w, nil, o)
			fmt.Fprintf(&out, "%v\n", err)
			source.Request.URL = "" // holds what the user wrote, and is documented so
			fmt.Fprintf(&out, "%+v\n", source)
			sink, err := c.Sink(t.Context(), w, nil, o)
			fmt.Fprintf(&out, "%+v %v\n", sink, err)
		}
	}
	for line := range strings.Lines(out.String()) {
		for _, leak := range []string{s, "RGAPI-0", "0123456789abcdef0123", "Tm90QUtleU"} {
			if strings.Contains(line, leak) {
				t.Errorf("%s", line)
			}
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing was shown at all")
	}
}

// TestNoCredentialIsWrittenWhereItIsMisplaced has credentials where they do not belong, or which break what they stand in.
func TestNoCredentialIsWrittenWhereItIsMisplaced(t *testing.T) {
	const s, riot = "Hunter2", "RGAPI-Hunter2-01"
	for i, keys := range []map[string]string{
		{"http.request.url": "https://user:pa/" + s + "@h/"},
		{"http.request.url": "https://user:pa?" + s + "@h/"},
		{"http.request.url": "https://user:" + s + "#x@h/"},
		{"http.request.url": "user:" + s + "@h/x"},
		{"http.request.url": "//user:" + s + "@h/x"},
		{"http.request.url": "https:/user:" + s + "@h/x"},
		{"http.request.url": "https://h/x#access_token=" + s},
		{"http.request.url": "https://h/x?a=1;api_key=" + s},
		{"http.request.url": "https://h/x?api%5Fkey=" + s},
		{"http.request.url": "https://h/x?api_key:" + s},
		{"http.request.url": "https://h/" + riot + "/x"},
		{"http.request.params": "token:" + s},
		{"http.request.params": "q=a " + riot},
		{"http.request.headers": "Referer: https://h/?api_key=" + s},
		{"http.request.headers": "Accept: Bearer " + s},
		{"http.client.proxy.host": "user:" + s + "@proxy"},
		{"http.client.proxy.host": "http://user:" + s + "@proxy:8080"},
		{"bootstrap.servers": "SASL_SSL://user:" + s + "@b:9092"},
		{"producer.override.bootstrap.servers": "a:9092, user:" + s + "@b:9092"},
		{"riftline.request.hosts": "user:" + s + "@h"},
		{"value.converter.schema.registry.url": "http://u:" + s + ",pa@registry"},
		{"value.converter.schema.registry.url": "http://u:pa," + s + "@registry"},
		{"producer.override.security.protocol": "SASL_SSL", "producer.override.sasl.mechanism": "PLAIN",
			"producer.override.sasl.jaas.config": s + ` required username="u" password="p";`},
		{"tasks.max": riot}, {"kafka.topic": "a " + riot}, {"http.response.list.pointer": riot}, {"http.offset.initial": "token=" + riot},
		{"http.request.variables": riot}, {"riftline.request.variables": riot},
	} {
		var out strings.Builder
		c := read(t, infra+"challenger.json").With(keys)
		verdicts, problems := c.Explain(worker, CheckOptions{})
		Render(&out, c, verdicts, problems)
		r := secret.NewResolver(map[string]secret.Reader{"gcpsecret": func(context.Context, string, string) (string, error) { return "a-key-of-riot", nil }})
		_, err := c.Source(t.Context(), worker, r, CheckOptions{})
		fmt.Fprintf(&out, "%v\n", err)
		if strings.Contains(out.String(), s) {
			for line := range strings.Lines(out.String()) {
				if strings.Contains(line, s) {
					t.Errorf("%d, %v: %s", i, keys, line)
				}
			}
		}
	}
	for _, text := range []string{`{"connector.class": "` + riot + `"}`, `{"connector.class": "` + SinkClass + `", "name": "a ` + riot + `"}`} {
		if _, err := Parse("c.json", []byte(text)); err == nil || strings.Contains(err.Error(), s) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestJSONThatBreaksInACredential shows that the place is told, and nothing of what stands there but a character.
func TestJSONThatBreaksInACredential(t *testing.T) {
	for _, text := range []string{
		`{"http.auth.password": "ab\uHunter2"}`, `{"http.auth.password": "ab\ud83d\uHunter2"}`, `{"http.auth.password": "ab\Hunter2"}`, `{"http.auth.password": Hunter2}`,
		`{"http.auth.password": "ab` + "\n" + `Hunter2"}`, `{"http.auth.password" "Hunter2"}`, `{"http.auth.password": trHunter2}`, `{"http.auth.password": 1Hunter2}`,
	} {
		if _, err := Parse("c.json", []byte(text)); err == nil || !strings.Contains(err.Error(), "column") || strings.Contains(err.Error(), "Hunt") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestWhatIsNoCredentialIsShown has what only resembles one.
func TestWhatIsNoCredentialIsShown(t *testing.T) {
	for key, values := range map[string][]string{
		"http.request.url": {"https://h:8443/users/@me?count=2&start=1", "https://[::1]:8080/@x", "https://[::1]/@x", "https://h/a:b/@me",
			"https://${var.platform}.h:${var.port}/@x", "https://${env:HOST}/@x", "http://h:/@me#top"},
		"bootstrap.servers":                   {"SASL_SSL://a:9092,b:9093"},
		"value.converter.schema.registry.url": {"http://a:8081,https://b/x"},
		"http.request.headers":                {"Referer: https://h/x?page=1, Accept: application/json"},
		"http.request.params":                 {"count=20&api-version=2"},
		"http.client.proxy.host":              {"proxy.example", "::1", "10.0.0.1"},
	} {
		for _, value := range values {
			m, ok := find(SourceKind, key)
			if !ok {
				t.Fatalf("%s is not known", key)
			}
			if got := show(m.entry, value); got != value {
				t.Errorf("%s: %s is shown as %s", key, value, got)
			}
			if found := locate(key, value); len(found) > 0 {
				t.Errorf("%s: %s is taken for a credential in %s", key, found[0].Value.Reveal(), value)
			}
		}
	}
}

func TestInlineCredentialsAreHidden(t *testing.T) {
	r := secret.NewResolver(nil)
	c := read(t, "testdata/challenger-pasted.json").With(map[string]string{
		"producer.override.security.protocol": "SASL_PLAINTEXT", "producer.override.sasl.mechanism": "PLAIN",
		"producer.override.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="inline-jaas-password";`,
		"http.request.params":                "key=inline%2Fparam",
	})
	s, err := c.Source(t.Context(), worker, r, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Kafka.SASL.Password.Reveal() != "inline-jaas-password" {
		t.Errorf("%+v", s.Kafka.SASL)
	}
	for _, credential := range []string{"RGAPI-00000000-1111-2222-3333-444444444444", "inline-jaas-password", "inline%2Fparam", "inline/param"} {
		if got := r.Scrub("x " + credential); got != "x [redacted]" {
			t.Errorf("Scrub leaves %q", got)
		}
	}
	r = secret.NewResolver(nil)
	if _, err := read(t, "testdata/gcs-sink-pasted.json").Sink(t.Context(), worker, r, CheckOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := r.Scrub("0123456789abcdef0123456789abcdef01234567"); got != "[redacted]" {
		t.Errorf("Scrub leaves %q", got)
	}
}

// TestCredentialsBehindReferencesAreHidden has references that lead to more than the credential, and to a part of a path.
func TestCredentialsBehindReferencesAreHidden(t *testing.T) {
	const key = "env-credential-1"
	values := map[string]string{
		"KEY": key, "URL": "https://user:" + key + "@h/x", "QUERY": "https://h/x?a=b&api_key=" + key, "PARAMS": "api_key=" + key + "&a=b",
		"BODY": `{"a": 1, "password": "` + key + `"}`, "HOST": "kr.api.riotgames.com",
	}
	env := func(_ context.Context, name, _ string) (string, error) { return values[name], nil }
	for name, keys := range map[string]map[string]string{
		"a URL with a user":     {"http.request.url": "${env:URL}"},
		"a URL with a query":    {"http.request.url": "${env:QUERY}"},
		"parameters":            {"http.request.params": "${env:PARAMS}"},
		"a body":                {"http.request.body": "${env:BODY}", "http.request.method": "POST"},
		"a part of a path":      {"http.request.url": "https://${env:HOST}/bot${env:KEY}/updates"},
		"a path of a registry":  {"value.converter.schema.registry.url": "http://a, http://${env:HOST}/${env:KEY}"},
		"after a comma":         {"http.request.url": "https://${env:HOST}/a,${env:KEY}"},
		"a fragment":            {"http.request.url": "https://${env:HOST}/x#${env:KEY}"},
		"after the user's part": {"http.request.url": "https://user@${env:HOST}/x?a=${env:KEY}"},
	} {
		r := secret.NewResolver(map[string]secret.Reader{secret.Env: env, secret.GCPSecret: func(context.Context, string, string) (string, error) { return "another-key", nil }})
		if _, err := read(t, infra+"challenger.json").With(keys).Source(t.Context(), worker, r, CheckOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := r.Scrub("refused: " + key); got != "refused: [redacted]" {
			t.Errorf("%s: Scrub leaves %q", name, got)
		}
		if got := r.Scrub(values["HOST"]); name == "a part of a path" && got != values["HOST"] {
			t.Errorf("%s: the host is shown as %q", name, got)
		}
	}
}

func TestRender(t *testing.T) {
	for _, path := range []string{infra + "challenger.json", infra + "gcs-sink.json", "testdata/five-mistakes.json", "testdata/gcs-sink-pasted.json"} {
		c := read(t, path).With(map[string]string{"topics.dir": "über\n" + strings.Repeat("x", 300)})
		verdicts, problems := c.Explain(NewWorker([]string{"CONNECT_BOOTSTRAP_SERVERS=kafka:9092"}), CheckOptions{})
		var out strings.Builder
		Render(&out, c, verdicts, problems)
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 120 && !strings.Contains(line, "://") {
				t.Errorf("%s: a line of %d: %s", path, n, line)
			}
			if strings.Contains(line, "\x1b") {
				t.Errorf("%s: colour", path)
			}
		}
		for _, v := range verdicts {
			if !strings.Contains(out.String(), v.Key) {
				t.Errorf("%s: %s is not shown", path, v.Key)
			}
		}
		if !strings.Contains(out.String(), "(override)") || !strings.Contains(out.String(), "(CONNECT_BOOTSTRAP_SERVERS)") {
			t.Errorf("%s: where values come from is not shown", path)
		}
	}
	var out strings.Builder
	Render(&out, Connector{Name: "x", Kind: SinkKind, Origin: "x.json"}, nil, nil)
	if !strings.Contains(out.String(), "nothing to object to") {
		t.Error(out.String())
	}
}

func TestInfraFilesAreStrictJSON(t *testing.T) {
	for _, path := range []string{infra + "challenger.json", infra + "gcs-sink.json"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p := parser{}
		if _, err := p.object(data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if strings.Contains(string(data), "RGAPI") || !strings.Contains(path, "sink") && !strings.Contains(string(data), "${gcpsecret:riot-api-key}") {
			t.Errorf("%s: the token is not a reference", path)
		}
	}
}
