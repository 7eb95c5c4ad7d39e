//go:build unix

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/poll"
)

// jaas is what people put into sasl.jaas.config.
func jaas(mechanism, user, password string) string {
	module := "plain.PlainLoginModule"
	if strings.HasPrefix(mechanism, "SCRAM") {
		module = "scram.ScramLoginModule"
	}
	return fmt.Sprintf(`org.apache.kafka.common.security.%s required username="%s" password="%s";`, module, user, password)
}

func sasl(protocol, mechanism, user, password string) map[string]string {
	return map[string]string{
		"CONNECT_SECURITY_PROTOCOL": protocol,
		"CONNECT_SASL_MECHANISM":    mechanism,
		"CONNECT_SASL_JAAS_CONFIG":  jaas(mechanism, user, password),
	}
}

func join(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// Each way in which a real broker knows its clients, for both functions.
func TestSecuredBroker(t *testing.T) {
	t.Parallel()
	broker := kafka.need(t)
	user, password := broker["SASL_USER"], broker["SASL_PASSWORD"]
	trust := map[string]string{"CONNECT_SSL_TRUSTSTORE_TYPE": "PEM", "CONNECT_SSL_TRUSTSTORE_LOCATION": broker["CA"]}
	mutual := map[string]string{
		"CONNECT_SECURITY_PROTOCOL": "SSL", "CONNECT_SSL_KEYSTORE_TYPE": "PEM", "CONNECT_SSL_KEYSTORE_LOCATION": broker["KEYSTORE"],
	}
	for _, c := range []struct {
		name, listener string
		vars           map[string]string
	}{
		{"PLAIN", "SASL_PLAINTEXT", sasl("SASL_PLAINTEXT", "PLAIN", user, password)},
		{"SCRAM-SHA-512", "SASL_PLAINTEXT", sasl("SASL_PLAINTEXT", "SCRAM-SHA-512", user, password)},
		{"SCRAM-SHA-512 over TLS", "SASL_SSL", join(trust, sasl("SASL_SSL", "SCRAM-SHA-512", user, password))},
		{"PLAIN over TLS, password by reference", "SASL_SSL", join(trust, sasl("SASL_SSL", "PLAIN", user, "${env:KAFKA_PASSWORD}"), map[string]string{"KAFKA_PASSWORD": password})},
		{"client certificate", "SSL", join(trust, mutual)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, options{vars: join(c.vars, map[string]string{"CONNECT_BOOTSTRAP_SERVERS": broker[c.listener]})})
			p.api.ladder(ladder1)
			p.poller().mustPoll(p.source, poll.Published)
			p.mustDrain()
			p.wantArchive(p.wantTopic(ladder1))
			p.wantLag(0)
		})
	}
	t.Run("by the connectors' own overrides", func(t *testing.T) {
		t.Parallel()
		keys := func(prefix string) map[string]string {
			return map[string]string{
				prefix + ".override.bootstrap.servers": broker["SASL_PLAINTEXT"],
				prefix + ".override.security.protocol": "SASL_PLAINTEXT",
				prefix + ".override.sasl.mechanism":    "SCRAM-SHA-512",
				prefix + ".override.sasl.jaas.config":  jaas("SCRAM-SHA-512", user, "${env:KAFKA_PASSWORD}"),
			}
		}
		p := newPipeline(t, options{sourceKeys: keys("producer"), sinkKeys: keys("consumer"), vars: map[string]string{"KAFKA_PASSWORD": password}})
		p.api.ladder(ladder1)
		p.poller().mustPoll(p.source, poll.Published)
		p.mustDrain()
		p.wantArchive(p.wantTopic(ladder1))
	})
}

// Whoever cannot prove who he is, or has no rights, is told so long before the run's deadline, and nothing is
// published, nothing lost.
func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	broker := kafka.need(t)
	const wrong = "a-wrong-password-7f3a"
	trust := map[string]string{"CONNECT_SSL_TRUSTSTORE_TYPE": "PEM", "CONNECT_SSL_TRUSTSTORE_LOCATION": broker["CA"]}
	for _, c := range []struct {
		name, listener string
		vars           map[string]string
		// says is any of what the message must name.
		says []string
	}{
		{"PLAIN, wrong password", "SASL_PLAINTEXT", sasl("SASL_PLAINTEXT", "PLAIN", broker["SASL_USER"], wrong), []string{"authenticat"}},
		{"SCRAM, wrong password", "SASL_PLAINTEXT", sasl("SASL_PLAINTEXT", "SCRAM-SHA-512", broker["SASL_USER"], wrong), []string{"authenticat"}},
		{"no credentials", "SASL_PLAINTEXT", nil, []string{"authenticat", "sasl", "security.protocol"}},
		{"unknown authority", "SASL_SSL", sasl("SASL_SSL", "PLAIN", broker["SASL_USER"], broker["SASL_PASSWORD"]), []string{"certificate"}},
		{"no client certificate", "SSL", join(trust, map[string]string{"CONNECT_SECURITY_PROTOCOL": "SSL"}), []string{"certificate", "ssl.keystore", "tls"}},
		{"no rights", "SASL_PLAINTEXT", sasl("SASL_PLAINTEXT", "PLAIN", broker["LIMITED_USER"], broker["LIMITED_PASSWORD"]), []string{"authoriz", "acl"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, options{})
			p.api.ladder(ladder1)
			vars := join(c.vars, map[string]string{"CONNECT_BOOTSTRAP_SERVERS": broker[c.listener], "RIFTLINE_DEADLINE": "10m"})
			var env []string
			for name, value := range vars {
				env = append(env, name+"="+value)
			}
			poller := p.poller(env...)
			began := time.Now()
			a, err := poller.poll(p.source)
			if err != nil {
				t.Fatal(err)
			}
			// The deadline is ten minutes off, and no machine is so slow.
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("it took %v", took)
			}
			if !a.Outcome.Failed() || a.Outcome == poll.Unknown {
				t.Errorf("the answer: %d %s", a.status, a.body)
			}
			says(t, "the answer", a.Error, c.says)
			s := p.drain(env...)
			if code := s.cmd.ProcessState.ExitCode(); code != 1 && code != 2 {
				t.Errorf("the sink's exit code: %d", code)
			}
			says(t, "the sink's log", s.output(), c.says)
			for what, text := range map[string]string{"answer": a.body, "poller's log": poller.output(), "sink's log": s.output()} {
				if strings.Contains(text, wrong) || strings.Contains(text, broker["SASL_PASSWORD"]) || strings.Contains(text, broker["LIMITED_PASSWORD"]) {
					t.Errorf("the password is in the %s", what)
				}
			}
			// With the right ones, everything is still there to be done.
			good := p.poller()
			good.settle(p.source)
			p.mustDrain()
			p.wantArchive(p.wantTopic(ladder1))
		})
	}
}

func says(t *testing.T, where, text string, wanted []string) {
	t.Helper()
	for _, want := range wanted {
		if strings.Contains(strings.ToLower(text), want) {
			return
		}
	}
	t.Errorf("%s says none of %q:\n%s", where, wanted, tail(text, 20))
}

// A file that a setting names and that is not there is a mistake of the configuration.
func TestKeystoreFilesMustExist(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, options{vars: map[string]string{
		"CONNECT_SECURITY_PROTOCOL": "SSL", "CONNECT_SSL_TRUSTSTORE_TYPE": "PEM", "CONNECT_SSL_TRUSTSTORE_LOCATION": os.DevNull + "/none.pem",
	}})
	p.api.ladder(ladder1)
	a, err := p.poller().poll(p.source)
	if err != nil {
		t.Fatal(err)
	}
	if a.Outcome != poll.Refused || !strings.Contains(a.Error, "CONNECT_SSL_TRUSTSTORE_LOCATION") {
		t.Errorf("the answer: %d %s", a.status, a.body)
	}
}
