package kafka

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
)

const password = "correct-horse-battery"

// reach connects and asks for a topic that is not there: ErrTopicMissing is success.
func reach(t *testing.T, k connector.Kafka) error {
	t.Helper()
	_, err := producer(t, k, "source").Topic(limit(t), "nowhere")
	if errors.Is(err, ErrTopicMissing) {
		return nil
	}
	if err == nil {
		t.Fatal("a topic that does not exist was found")
	}
	return err
}

func TestSASL(t *testing.T) {
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(m, func(t *testing.T) {
			_, k := brokers(t, kfake.EnableSASL(), kfake.Superuser(m, "user", password))
			k.Protocol = "SASL_PLAINTEXT"
			k.SASL = connector.SASL{Mechanism: m, User: "user", Password: secret.New(password)}
			if err := reach(t, k); err != nil {
				t.Fatalf("the right password: %v", err)
			}
			k.SASL.Password = secret.New("wrong-" + password)
			var log bytes.Buffer
			p, err := NewProducer(k, "source", slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for range 2 {
				_, err = p.Topic(limit(t), "nowhere")
				if !errors.Is(err, ErrAuthentication) || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), `"user"`) || !strings.Contains(err.Error(), k.Brokers[0]) {
					t.Fatalf("a wrong password: %v", err)
				}
			}
			if strings.Contains(err.Error()+log.String(), password) {
				t.Error("the password was written")
			}
			if err := p.Fence(limit(t)); !errors.Is(err, ErrAuthentication) {
				t.Fatalf("fencing: %v", err)
			}
			k.SASL = connector.SASL{Mechanism: "OAUTHBEARER", TokenEndpoint: "http://127.0.0.1:1/token", ClientID: "id", ClientSecret: secret.New(password)}
			if err := reach(t, k); !errors.Is(err, ErrAuthentication) {
				t.Errorf("another mechanism: %v", err)
			}
			k.Protocol = "PLAINTEXT"
			if err := reach(t, k); !errors.Is(err, ErrUnreachable) {
				t.Errorf("without SASL: %v", err)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	serve := func(name string, client *authority) connector.Kafka {
		c := &tls.Config{Certificates: []tls.Certificate{ca.pair(t, name)}}
		if client != nil {
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			c.ClientCAs.AddCert(client.certificate)
		}
		_, k := brokers(t, kfake.TLS(c))
		k.Protocol = "SSL"
		return k
	}
	right, misnamed, mutual := serve("127.0.0.1", nil), serve("broker.example", nil), serve("127.0.0.1", ca)
	certificate, key := ca.issue(t, "client")
	wrongCertificate, wrongKey := other.issue(t, "client")
	for _, c := range []struct {
		name string
		k    connector.Kafka
		tls  connector.TLS
		ok   bool
		hint string
	}{
		{"trusted", right, connector.TLS{CA: ca.pem}, true, ""},
		{"not trusted", right, connector.TLS{CA: other.pem}, false, "not trusted"},
		{"system roots", right, connector.TLS{}, false, "not trusted"},
		{"another name", misnamed, connector.TLS{CA: ca.pem}, false, "another name"},
		{"another name, name not checked", misnamed, connector.TLS{CA: ca.pem, SkipHostname: true}, true, ""},
		{"not trusted, name not checked", misnamed, connector.TLS{CA: other.pem, SkipHostname: true}, false, "not trusted"},
		{"mutual", mutual, connector.TLS{CA: ca.pem, Certificate: certificate, Key: secret.New(key)}, true, ""},
		{"mutual, no certificate", mutual, connector.TLS{CA: ca.pem}, false, "client certificate"},
		{"mutual, a stranger's certificate", mutual, connector.TLS{CA: ca.pem, Certificate: wrongCertificate, Key: secret.New(wrongKey)}, false, "client certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.k.TLS = c.tls
			err := reach(t, c.k)
			if c.ok && err != nil || !c.ok && (!errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), c.hint)) {
				t.Fatal(err)
			}
		})
	}
	t.Run("TLS to a listener without", func(t *testing.T) {
		_, k := brokers(t)
		k.Protocol = "SSL"
		// A real broker closes the connection; the in-process one waits for more.
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := producer(t, k, "source").Fence(ctx); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "security.protocol") {
			t.Fatal(err)
		}
	})
	t.Run("no TLS to a listener with", func(t *testing.T) {
		k := right
		k.Protocol = "PLAINTEXT"
		if err := reach(t, k); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "security.protocol") {
			t.Fatal(err)
		}
	})
	t.Run("settings that cannot be read", func(t *testing.T) {
		for _, bad := range []connector.TLS{{CA: "x"}, {Certificate: "x"}, {Certificate: certificate, Key: secret.New(wrongKey)}} {
			k := right
			k.TLS = bad
			if _, err := NewProducer(k, "source", nil); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
	})
}

func TestUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	// Below the ports that systems give out by themselves, so that nobody gets it while nothing listens there.
	var closed net.Listener
	for port := 10240 + mathrand.IntN(10000); closed == nil && port < 32768; port++ {
		closed, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for what, address := range map[string]string{
		"nothing listens": closed.Addr().String(), "no answer": silent.Addr().String(), "no such host": "broker.invalid:9092",
	} {
		t.Run(what, func(t *testing.T) {
			p := producer(t, connector.Kafka{Brokers: []string{address}}, "source")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if what == "no answer" {
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			if err := p.Fence(ctx); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), address) {
				t.Fatal(err)
			}
		})
	}
	t.Run("one of three answers", func(t *testing.T) {
		_, k := brokers(t)
		k.Brokers = append([]string{closed.Addr().String(), silent.Addr().String()}, k.Brokers...)
		if err := reach(t, k); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("it comes up later", func(t *testing.T) {
		p := producer(t, connector.Kafka{Brokers: []string{closed.Addr().String()}}, "source")
		if err := p.Fence(limit(t)); !errors.Is(err, ErrUnreachable) {
			t.Fatal(err)
		}
		port := closed.Addr().(*net.TCPAddr).Port
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port))
		if err != nil {
			t.Skip("the port is taken by now: ", err)
		}
		defer c.Close()
		if err := p.Fence(limit(t)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSettings(t *testing.T) {
	good := connector.Kafka{Brokers: []string{"broker:9092"}, ClientID: "riftline-x", Client: map[string]string{
		"linger.ms": "5", "batch.size": "16384", "compression.type": "zstd", "max.request.size": "2097152", "request.timeout.ms": "30000",
		"delivery.timeout.ms": "120000", "transaction.timeout.ms": "60000", "fetch.max.wait.ms": "100", "fetch.min.bytes": "1",
		"fetch.max.bytes": "104857600", "max.partition.fetch.bytes": "1048576", "connections.max.idle.ms": "540000", "auto.offset.reset": "earliest",
	}}
	if _, err := NewProducer(good, "source", nil); err != nil {
		t.Error(err)
	}
	if _, err := NewConsumer(good, "group", nil); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		k    connector.Kafka
		want string
	}{
		{connector.Kafka{}, "CONNECT_BOOTSTRAP_SERVERS"},
		{connector.Kafka{Brokers: []string{"b:1"}, Protocol: "TLS"}, "security.protocol"},
		{connector.Kafka{Brokers: []string{"b:1"}, Protocol: "SASL_SSL"}, "sasl.mechanism"},
		{connector.Kafka{Brokers: []string{"b:1"}, Protocol: "SASL_SSL", SASL: connector.SASL{Mechanism: "GSSAPI"}}, "GSSAPI"},
		{connector.Kafka{Brokers: []string{"b:1"}, Protocol: "SASL_SSL", SASL: connector.SASL{Mechanism: "OAUTHBEARER"}}, "sasl.oauthbearer.token.endpoint.url"},
		{connector.Kafka{Brokers: []string{"b:1"}, Client: map[string]string{"linger.ms": "soon"}}, "linger.ms"},
		{connector.Kafka{Brokers: []string{"b:1"}, Client: map[string]string{"fetch.max.bytes": "-1"}}, "fetch.max.bytes"},
		{connector.Kafka{Brokers: []string{"b:1"}, Client: map[string]string{"compression.type": "rar"}}, "compression.type"},
	} {
		if _, err := NewProducer(c.k, "source", nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.k, err)
		}
		if _, err := Options(c.k, nil); err == nil {
			t.Errorf("%+v was taken", c.k)
		}
	}
}

// authority is a certificate authority of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: fmt.Sprint("authority ", unique.Add(1))},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue returns a certificate for a name and its key, both in PEM form.
func (a *authority) issue(t *testing.T, name string) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

func (a *authority) pair(t *testing.T, name string) tls.Certificate {
	t.Helper()
	certificate, key := a.issue(t, name)
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
