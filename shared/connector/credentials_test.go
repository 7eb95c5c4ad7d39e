package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

// credentialCases is testdata/credentials.json, which Terraform's tests read too.
type credentialCases struct {
	About                string            `json:"about"`
	Patterns             map[string]string `json:"patterns"`
	HarmlessHeaders      []string          `json:"harmless_headers"`
	HarmlessLoginOptions []string          `json:"harmless_login_options"`
	Cases                []credentialCase  `json:"cases"`
}

type credentialCase struct {
	Name    string `json:"name"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Refused bool   `json:"refused"`
}

const credentialFile = "testdata/credentials.json"

func readCredentialCases(t *testing.T) credentialCases {
	t.Helper()
	data, err := os.ReadFile(credentialFile)
	if err != nil {
		t.Fatal(err)
	}
	var file credentialCases
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCredentialPatterns keeps the file that others read in step with the patterns of the code.
func TestCredentialPatterns(t *testing.T) {
	file := readCredentialCases(t)
	want := file
	want.Patterns = map[string]string{
		"closed_key":        closedKey.String(),
		"part_name":         secretPartName.String(),
		"credential_form":   credentialForm.String(),
		"body_member":       bodyMember.String(),
		"scheme":            scheme.String(),
		"foreign_reference": foreign.String(),
	}
	want.HarmlessHeaders = slices.Sorted(maps.Keys(harmlessHeaders))
	want.HarmlessLoginOptions = slices.Sorted(maps.Keys(harmlessOptions))
	got, wanted := encodeCases(t, file), encodeCases(t, want)
	if *update {
		if err := os.WriteFile(credentialFile, wanted, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got, wanted) {
		t.Errorf("%s is not in step with the code: go test -run %s ./shared/connector -update", credentialFile, t.Name())
	}
}

func encodeCases(t *testing.T, file credentialCases) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(file); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCredentialsAreFound(t *testing.T) {
	refused := 0
	for _, c := range readCredentialCases(t).Cases {
		conn := Connector{Name: "challenger", Kind: SourceKind, Config: map[string]string{c.Key: c.Value}}
		found := conn.Credentials()
		if (len(found) > 0) != c.Refused {
			t.Errorf("%s: %d found in %s=%s", c.Name, len(found), c.Key, c.Value)
		}
		if c.Refused {
			refused++
		}
		after := conn.Replace(func(Credential) string { return "n" })
		if left := after.Credentials(); len(left) > 0 {
			t.Errorf("%s: %s still has %d", c.Name, after.Config[c.Key], len(left))
		}
		for _, one := range found {
			if strings.Contains(after.Config[c.Key], one.Value.Reveal()) {
				t.Errorf("%s: %s still holds it", c.Name, after.Config[c.Key])
			}
		}
		if !c.Refused && after.Config[c.Key] != c.Value {
			t.Errorf("%s: %q became %q", c.Name, c.Value, after.Config[c.Key])
		}
	}
	if refused < 25 {
		t.Errorf("only %d cases are refused", refused)
	}
}

// TestShapesByNameAgreeWithTheTable keeps the names' patterns true for every key that is known.
func TestShapesByNameAgreeWithTheTable(t *testing.T) {
	// Wider or narrower on purpose: what the table hides as a whole when it is shown.
	otherwise := map[string]shape{
		"http.request.body":                    bodyShape,
		"value.converter.basic.auth.user.info": userInfoShape,
		"key.converter.basic.auth.user.info":   userInfoShape,
	}
	for _, kind := range []Kind{SourceKind, SinkKind} {
		for _, key := range names(kind) {
			m, ok := find(kind, key)
			if !ok {
				t.Fatalf("%s is not found", key)
			}
			want := m.shape
			if s, ok := otherwise[key]; ok {
				want = s
			}
			if got := shapeByName(key); got != want {
				t.Errorf("%s of a %s: shape %d by its name, %d in the table", key, kind, got, want)
			}
		}
	}
}

// TestReferencesLeadToTheSame starts connectors with their credentials in the file and with them behind references.
func TestReferencesLeadToTheSame(t *testing.T) {
	const plain = "org.apache.kafka.common.security.plain.PlainLoginModule required "
	sasl := func(prefix, password string) map[string]string {
		return map[string]string{
			prefix + ".override.security.protocol": "SASL_SSL", prefix + ".override.sasl.mechanism": "PLAIN",
			prefix + ".override.sasl.jaas.config": plain + "username=u password=" + password + ";",
		}
	}
	for name, c := range map[string]struct {
		file string
		set  map[string]string
		want int
	}{
		"headers":        {"challenger.json", map[string]string{"http.request.headers": `X-Riot-Token: RGAPI-1, Authorization: Bearer ab\,cd, Accept: text/html\,text/plain, X-Api-Key: v1-${var.platform}-x`, "riftline.request.variables": "platform=kr"}, 4},
		"a dollar":       {"challenger.json", map[string]string{"http.request.headers": `X-Api-Key: a$b<c`}, 1},
		"URL and params": {"challenger.json", map[string]string{"http.request.url": "https://u:p%40w@h/x?api_key=a%2Fb&page=1", "http.request.params": "page=1 & access_token = a%26b "}, 3},
		"body":           {"challenger.json", map[string]string{"http.request.method": "POST", "http.request.body": `{"client_secret": "a\"b\\", "x": 1}`}, 1},
		"basic":          {"challenger.json", map[string]string{"http.auth.type": "Basic", "http.auth.user": "u", "http.auth.password": ` hun,ter "2" `}, 1},
		"bare word":      {"challenger.json", sasl("producer", "hunter2"), 1},
		"quotes":         {"challenger.json", sasl("producer", `"hun\"ter\\2;"`), 1},
		"single quotes":  {"challenger.json", sasl("producer", `'hun"ter'`), 1},
		"registry":       {"gcs-sink.json", map[string]string{"value.converter.basic.auth.credentials.source": "USER_INFO", "value.converter.basic.auth.user.info": "u:p:w"}, 1},
		"registry's URL": {"gcs-sink.json", map[string]string{"value.converter.schema.registry.url": "http://u:p%3Aw@a:8081, http://u:p%3Aw@b:8081"}, 2},
		"key file":       {"gcs-sink.json", map[string]string{"gcs.credentials.json": `{"type":"service_account","private_key":"-----BEGIN MADE-UP KEY-----\nAA==\n-----END MADE-UP KEY-----\n"}`}, 1},
		"sink's broker":  {"gcs-sink.json", sasl("consumer", `"${env:PW}x"`), 1},
	} {
		conn := read(t, infra+c.file)
		for key, value := range c.set {
			conn.Config[key] = value
		}
		stored := map[string]string{}
		var names SecretNames
		replaced := conn.Replace(func(one Credential) string {
			if one.Key == "http.request.headers" && c.set[one.Key] == "" {
				t.Errorf("%s: the shipped reference is taken for a credential", name)
			}
			n := names.Name(conn.Name, one)
			stored[n] = one.Value.Reveal()
			return n
		})
		if found := conn.Credentials(); len(found) != c.want {
			t.Errorf("%s: %d credentials, want %d", name, len(found), c.want)
		}
		want, wantErr := started(t, conn, stored)
		got, gotErr := started(t, replaced, stored)
		if wantErr != nil || gotErr != nil {
			t.Errorf("%s: %v, %v", name, wantErr, gotErr)
			continue
		}
		if want != got {
			t.Errorf("%s: in the file\n%s\nbehind references\n%s", name, want, got)
		}
	}
}

// started is everything that a start makes of a connector, credentials as well.
func started(t *testing.T, c Connector, stored map[string]string) (string, error) {
	t.Helper()
	r := secret.NewResolver(map[string]secret.Reader{
		secret.GCPSecret: func(_ context.Context, path, _ string) (string, error) {
			if value, ok := stored[path]; ok {
				return value, nil
			}
			return "of-" + path, nil
		},
		secret.Env: func(context.Context, string, string) (string, error) { return "env", nil },
	})
	var b strings.Builder
	if c.Kind == SourceKind {
		s, err := c.Source(t.Context(), worker, r, CheckOptions{})
		q := s.Request
		fmt.Fprintln(&b, q.URL, q.Params.Reveal(), q.Body.Reveal(), q.BasicUser, q.BasicPassword.Reveal(), s.Kafka.SASL.User, s.Kafka.SASL.Password.Reveal())
		if err == nil {
			filled, ferr := template.Parse(q.URL, q.BareNames)
			text, _ := filled.Fill(template.Values{})
			fmt.Fprintln(&b, text, ferr)
		}
		for _, h := range q.Headers {
			filled, err := template.Parse(h.Value.Reveal(), q.BareNames)
			text, _ := filled.Fill(template.Values{Var: map[string]string{"platform": "kr"}})
			fmt.Fprintln(&b, h.Name, text, err)
		}
		return b.String(), err
	}
	s, err := c.Sink(t.Context(), worker, r, CheckOptions{})
	fmt.Fprintln(&b, s.Registry.URLs, s.Registry.User, s.Registry.Password.Reveal(), s.CredentialsJSON.Reveal(), s.Kafka.SASL.User, s.Kafka.SASL.Password.Reveal())
	return b.String(), err
}

func TestSecretNames(t *testing.T) {
	one := func(key, part, value string) Credential {
		return Credential{Key: key, Part: part, Value: secret.New(value)}
	}
	var n SecretNames
	n.Take("taken-kafka-password")
	n.Take("projects/p/secrets/other-kafka-password/versions/2")
	for _, c := range []struct {
		connector  string
		credential Credential
		want       string
	}{
		{"challenger", one("http.request.headers", "X-Riot-Token", "RGAPI-1"), "riot-api-key"},
		{"grandmaster", one("http.request.headers", "x-riot-token", "RGAPI-1"), "riot-api-key"},
		{"master", one("http.request.headers", "X-Riot-Token", "RGAPI-2"), "riot-api-key-2"},
		{"other", one("http.request.url", "api_key", "RGAPI-2"), "riot-api-key-2"},
		{"a.b", one("http.request.headers", "X-Api-Key", "1"), "a-b-x-api-key"},
		{"a-b", one("http.request.headers", "X-Api-Key", "2"), "a-b-x-api-key-2"},
		{"gcs-sink", one("gcs.credentials.json", "", "{}"), "gcs-sink-credentials"},
		{"gcs-sink", one("value.converter.basic.auth.user.info", "password", "3"), "gcs-sink-registry-password"},
		{"taken", one("producer.override.sasl.jaas.config", "password", "4"), "taken-kafka-password-2"},
		{"other", one("producer.override.sasl.jaas.config", "password", "5"), "other-kafka-password-2"},
		{"x", one("http.client.proxy.password", "", "6"), "x-proxy-password"},
		{"x", one("http.client.keystore.password", "", "7"), "x-keystore-password"},
		{"x", one("http.auth.password", "", "8"), "x-http-auth-password"},
		{"x", one("my own/key:token", "", "9"), "x-my-own-key-token"},
		{"x", one("한국.token", "", "10"), "x-token"},
		{strings.Repeat("n", 64), one(strings.Repeat("k", 400)+".password", "", "11"), strings.Repeat("n", 64) + "-" + strings.Repeat("k", 135)},
	} {
		if got := n.Name(c.connector, c.credential); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.connector, c.credential.Key, got, c.want)
		}
	}
	p := Credential{Key: "http.request.headers", Part: "X-Api-Key", Value: secret.New("{your key}"), Placeholder: true}
	if a, b := n.Name("p", p), n.Name("q", p); a == b {
		t.Errorf("placeholders of two connectors share %s", a)
	}
}

func FuzzCredentials(f *testing.F) {
	for _, key := range []string{"http.request.headers", "http.request.url", "http.request.params", "http.request.body", "x.sasl.jaas.config", "x.basic.auth.user.info", "http.auth.password", "schema.registry.url"} {
		f.Add(key, `A: b\,c, X-Key: Bearer ${env:A}x${offset.y!"}"}z`)
		f.Add(key, `a.B required password="a\"b" secret=c;`)
		f.Add(key, `https://u:p@h/?key=1&token=${vault:a:b}`)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		c := Connector{Name: "n", Kind: SourceKind, Config: map[string]string{key: value}}
		at := 0
		for _, one := range c.Credentials() {
			if one.start < at || one.end <= one.start || one.end > len(value) {
				t.Fatalf("%q=%q: from %d to %d after %d", key, value, one.start, one.end, at)
			}
			at = one.end
			_ = one.Describe()
		}
		after := c.Replace(func(Credential) string { return "n" })
		if left := after.Credentials(); len(left) > 0 {
			t.Errorf("%q=%q leaves %q", key, value, after.Config[key])
		}
	})
}
