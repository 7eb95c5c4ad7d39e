package kafka

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
)

// TestSecureBroker needs a real broker with all its listeners and an authorizer: RIFTLINE_KAFKA_SECURE names the file
// that "scripts/kafka.sh start --secure" leaves, DIR/env.
func TestSecureBroker(t *testing.T) {
	path := os.Getenv("RIFTLINE_KAFKA_SECURE")
	if path == "" {
		t.Skip("RIFTLINE_KAFKA_SECURE (the env file of a secured broker) is not set")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[key] = value
	}
	file := func(key string) string {
		text, err := os.ReadFile(env[key])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	all := connector.TLS{CA: file("CA"), Certificate: file("CERTIFICATE"), Key: secret.New(file("KEY"))}
	as := func(mechanism, user, password string) connector.SASL {
		return connector.SASL{Mechanism: mechanism, User: user, Password: secret.New(password)}
	}
	for _, c := range []struct {
		name, listener, protocol string
		sasl                     connector.SASL
		tls                      connector.TLS
		want                     error
	}{
		{"PLAIN", "SASL_PLAINTEXT", "SASL_PLAINTEXT", as("PLAIN", env["SASL_USER"], env["SASL_PASSWORD"]), connector.TLS{}, nil},
		{"PLAIN, wrong", "SASL_PLAINTEXT", "SASL_PLAINTEXT", as("PLAIN", env["SASL_USER"], "wrong"), connector.TLS{}, ErrAuthentication},
		{"SCRAM", "SASL_SSL", "SASL_SSL", as("SCRAM-SHA-512", env["SASL_USER"], env["SASL_PASSWORD"]), all, nil},
		{"SCRAM, wrong", "SASL_SSL", "SASL_SSL", as("SCRAM-SHA-512", env["SASL_USER"], "wrong"), all, ErrAuthentication},
		{"SCRAM-SHA-256", "SASL_SSL", "SASL_SSL", as("SCRAM-SHA-256", env["SASL_USER"], env["SASL_PASSWORD"]), all, ErrAuthentication},
		{"mutual TLS, no certificate", "SSL", "SSL", connector.SASL{}, connector.TLS{CA: all.CA}, ErrUnreachable},
		{"TLS to SASL", "SASL_SSL", "SSL", connector.SASL{}, all, ErrUnreachable},
		{"TLS to plaintext", "SASL_PLAINTEXT", "SASL_SSL", as("PLAIN", env["SASL_USER"], env["SASL_PASSWORD"]), all, ErrUnreachable},
		{"plaintext to TLS", "SASL_SSL", "PLAINTEXT", connector.SASL{}, connector.TLS{}, ErrUnreachable},
		{"no right", "SASL_PLAINTEXT", "SASL_PLAINTEXT", as("PLAIN", env["LIMITED_USER"], env["LIMITED_PASSWORD"]), connector.TLS{}, ErrTransactionsRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := connector.Kafka{Brokers: []string{env[c.listener]}, Protocol: c.protocol, SASL: c.sasl, TLS: c.tls}
			err := producer(t, k, name(t, "source")).Fence(limit(t))
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatal(err)
			}
			t.Log(err)
		})
	}
	t.Run("mutual TLS", func(t *testing.T) {
		// The certificate's name may or may not have rights; that a broker judges them is what shows the connection.
		err := producer(t, connector.Kafka{Brokers: []string{env["SSL"]}, Protocol: "SSL", TLS: all}, name(t, "source")).Fence(limit(t))
		if err != nil && !errors.Is(err, ErrAuthorization) {
			t.Fatal(err)
		}
	})
	t.Run("every right", func(t *testing.T) {
		k := connector.Kafka{Brokers: []string{env["SASL_SSL"]}, Protocol: "SASL_SSL", SASL: as("SCRAM-SHA-512", env["SASL_USER"], env["SASL_PASSWORD"]), TLS: all}
		topic := makeTopic(t, k, 1, nil)
		p := producer(t, k, name(t, "source"))
		fence(t, p)
		publish(t, p, topic, Marker{"i", 1}, "a")
		wantVisible(t, k, topic, "a")
		limited := connector.Kafka{Brokers: []string{env["SASL_PLAINTEXT"]}, Protocol: "SASL_PLAINTEXT", SASL: as("PLAIN", env["LIMITED_USER"], env["LIMITED_PASSWORD"])}
		if _, err := producer(t, limited, name(t, "source")).Topic(limit(t), topic.Name); !errors.Is(err, ErrAuthorization) {
			t.Errorf("asking for a topic without a right: %v", err)
		}
		if err := consumer(t, limited, name(t, "group")).RequireIdle(limit(t)); !errors.Is(err, ErrAuthorization) {
			t.Errorf("describing a group without a right: %v", err)
		}
	})
}
