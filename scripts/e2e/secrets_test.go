//go:build unix

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/poll"
)

// No credential is in any log line (at debug level), answer, state object, archive object or Kafka record, whatever
// fails.
func TestCredentialsAreWrittenNowhere(t *testing.T) {
	t.Parallel()
	broker := kafka.need(t)
	secrets := map[string]string{
		"the API key":              "simulated/api+key 5d0e&x",
		"a parameter":              "param-credential-91c4",
		"a body":                   "body-credential-77aa",
		"the registry's password":  "registry-credential:2b",
		"a wrong password":         "wrong-broker-credential-e1",
		"the broker's password":    broker["SASL_PASSWORD"],
		"the basic login's":        "basic-credential-3f90",
		"one pasted into the file": "pasted-credential-c0de",
	}
	user := map[string]string{"CONNECT_BOOTSTRAP_SERVERS": broker["SASL_PLAINTEXT"]}
	p := newPipeline(t, options{
		sourceKeys: map[string]string{
			"http.request.method":  "POST",
			"http.request.headers": "X-Riot-Token: ${env:API_KEY}, X-Other: " + secrets["one pasted into the file"],
			"http.request.params":  "token=${env:PARAM}",
			"http.request.body":    `{"login":"${env:BODY}"}`,
			"http.auth.type":       "Basic",
			"http.auth.user":       "user",
			"http.auth.password":   "${env:BASIC}",
		},
		vars: join(sasl("SASL_PLAINTEXT", "PLAIN", broker["SASL_USER"], "${env:KAFKA_PASSWORD}"), user, map[string]string{
			"API_KEY": secrets["the API key"], "PARAM": secrets["a parameter"], "BODY": secrets["a body"], "BASIC": secrets["the basic login's"],
			"KAFKA_PASSWORD": broker["SASL_PASSWORD"],
			"CONNECT_VALUE_CONVERTER_BASIC_AUTH_CREDENTIALS_SOURCE": "USER_INFO",
			"CONNECT_VALUE_CONVERTER_BASIC_AUTH_USER_INFO":          "somebody:${env:REGISTRY_PASSWORD}",
			"REGISTRY_PASSWORD": secrets["the registry's password"],
		}),
	})
	// Each text in which a credential could be found.
	found := map[string]string{}
	keep := func(what string, a answer, q *process) {
		found["the answer: "+what] = a.body
		found["the log: "+what] = q.output()
	}
	p.api.ladder(ladder1)
	poller := p.poller()
	keep("published", poller.mustPoll(p.source, poll.Published), poller)
	p.mustDrain()

	// Failures, with answers that repeat what they were sent.
	echo, err := json.Marshal(secrets)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		status int
		env    []string
	}{
		{"401", 401, nil},
		{"403", 403, nil},
		{"500", 500, []string{"RIFTLINE_DEADLINE=8s"}},
		{"400", 400, nil},
		{"not the list", 200, nil},
		{"a redirect", 302, nil},
	} {
		p.api.headers = map[string]string{"Location": "https://127.0.0.1:9/?token=" + url.QueryEscape(secrets["a parameter"])}
		p.api.answer(c.status, "application/json", echo)
		q := p.poller(c.env...)
		a, err := q.poll(p.source)
		if err != nil {
			t.Fatal(err)
		}
		if c.what != "a redirect" && !a.Outcome.Failed() {
			t.Errorf("%s: %s", c.what, a.body)
		}
		keep(c.what, a, q)
	}
	p.api.headers = nil
	p.api.ladder(ladder2)
	for what, env := range map[string][]string{
		"Kafka is down":                  {"CONNECT_BOOTSTRAP_SERVERS=127.0.0.1:9", "RIFTLINE_DEADLINE=8s"},
		"the broker's password is wrong": {"KAFKA_PASSWORD=" + secrets["a wrong password"]},
		"the registry is down":           {"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://127.0.0.1:9", "RIFTLINE_DEADLINE=8s"},
		"a reference leads nowhere":      {"API_KEY="},
	} {
		q := p.poller(env...)
		a, err := q.poll(p.source)
		if err != nil {
			t.Fatal(err)
		}
		if what != "a reference leads nowhere" && !a.Outcome.Failed() {
			t.Errorf("%s: %s", what, a.body)
		}
		keep(what, a, q)
		s := p.drain(env...)
		found["the sink's log: "+what] = s.output()
	}
	good := p.poller()
	keep("at the end", good.settle(p.source), good)
	s := p.drain()
	found["the sink's log at the end"] = s.output()
	p.wantArchive(p.wantTopic(ladder1, changes))

	for _, bucket := range []string{p.state, p.archive} {
		objects := p.storage.Objects(bucket, "")
		if len(objects) == 0 {
			t.Errorf("nothing in bucket %s", bucket)
		}
		for _, o := range objects {
			found["object "+o.Name] = inflate(t, o.Data)
			for k, v := range o.Metadata {
				found["metadata of "+o.Name+", "+k] = v
			}
		}
	}
	for _, m := range p.messages() {
		text := string(m.raw.Key) + string(m.raw.Value)
		for _, h := range m.headers {
			text += h.Key + string(h.Value)
		}
		found["record "+m.key] += text
	}
	if len(found) < 25 {
		t.Errorf("only %d texts were searched", len(found))
	}
	for what, text := range found {
		for name, secret := range secrets {
			for _, form := range forms(secret) {
				if strings.Contains(text, form) {
					t.Errorf("%s is in %s", name, what)
				}
			}
		}
	}
}

// forms are the texts as which a credential could appear.
func forms(secret string) []string {
	quoted, _ := json.Marshal(secret)
	return []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		base64.StdEncoding.EncodeToString([]byte("somebody:" + secret)),
	}
}
