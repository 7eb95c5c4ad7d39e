package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

const (
	dialTimeout = 5 * time.Second
	// retryTimeout bounds the library's own attempts at one request; the caller's context bounds them too.
	retryTimeout = 20 * time.Second
	// requestTimeout is what a broker has for an answer unless request.timeout.ms is set; Java's default of 30 s is
	// longer than a poll has.
	requestTimeout = 15 * time.Second
	// TransactionTimeout is transaction.timeout.ms unless it is set: how long a dead run's open transaction can hold
	// back the readers of a partition.
	TransactionTimeout = 60 * time.Second
)

// Options are the client options for settings: brokers, TLS, SASL and the Java client's properties that have a meaning
// here (client.id, linger.ms, batch.size, compression.type, max.request.size, request.timeout.ms, delivery.timeout.ms,
// transaction.timeout.ms, connections.max.idle.ms; fetch.* act in [Consumer.Read]). The client's own log goes to log at
// level debug. A setting that cannot be understood is an error that names it.
func Options(k connector.Kafka, log *slog.Logger) ([]kgo.Opt, error) {
	c, err := newSettings(k)
	if err != nil {
		return nil, err
	}
	opts, _, err := c.options(log)
	return opts, err
}

// settings are the connector's Kafka settings, read.
type settings struct {
	connector.Kafka
	properties
}

func newSettings(k connector.Kafka) (settings, error) {
	if len(k.Brokers) == 0 {
		return settings{}, errors.New("no Kafka brokers are configured (CONNECT_BOOTSTRAP_SERVERS)")
	}
	p, err := readProperties(k.Client)
	return settings{Kafka: k, properties: p}, err
}

func (s settings) encrypted() bool { return s.Protocol == "SSL" || s.Protocol == "SASL_SSL" }

func (s settings) authenticated() bool {
	return s.Protocol == "SASL_PLAINTEXT" || s.Protocol == "SASL_SSL"
}

// options are what both producer and consumer need. progress tells how far authentication came.
func (s settings) options(log *slog.Logger) ([]kgo.Opt, *progress, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		kgo.DialTimeout(dialTimeout),
		kgo.RetryTimeout(retryTimeout),
		kgo.RequestTimeoutOverhead(s.requestTimeout),
		// The library's 5 s would be felt by the first records of a topic that was made a moment ago.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.WithLogger(adapter{log}),
		kgo.SoftwareNameAndVersion("riftline", "1"),
		// A client lives for one run: there is nothing to push, and asking the brokers what they want costs requests.
		kgo.DisableClientMetrics(),
	}
	if s.ClientID != "" {
		opts = append(opts, kgo.ClientID(s.ClientID))
	}
	if s.idle > 0 {
		opts = append(opts, kgo.ConnIdleTimeout(s.idle))
	}
	switch s.Protocol {
	case "", "PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL":
	default:
		return nil, nil, fmt.Errorf("security.protocol %q is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", s.Protocol)
	}
	if s.encrypted() {
		c, err := tlsConfig(s.TLS)
		if err != nil {
			return nil, nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	seen := &progress{}
	if s.authenticated() {
		m, err := mechanism(s.SASL)
		if err != nil {
			return nil, nil, err
		}
		opts = append(opts, kgo.SASL(watched{m, seen}))
	}
	return opts, seen, nil
}

func tlsConfig(t connector.TLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("the Kafka trust store holds no certificate in PEM form")
		}
	}
	if t.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key.Reveal()))
		if err != nil {
			return nil, fmt.Errorf("reading the Kafka client certificate and its key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if t.SkipHostname {
		roots := c.RootCAs
		// The chain is verified below, which VerifyConnection does for resumed connections too.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, roots) }
	}
	return c, nil
}

func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("broker shows no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}

// properties are the Java client's properties.
type properties struct {
	requestTimeout, idle     time.Duration
	linger                   time.Duration
	delivery                 time.Duration
	transaction              time.Duration
	maxRequest               int32
	compression              kgo.CompressionCodec
	fetchWait                time.Duration
	fetchMin, fetchMax, part int32
}

const (
	defaultFetchMax  = 4 << 20
	defaultFetchWait = 500 * time.Millisecond
)

func readProperties(m map[string]string) (properties, error) {
	r := propertyReader{m: m}
	p := properties{
		requestTimeout: r.millis("request.timeout.ms", requestTimeout),
		idle:           r.millis("connections.max.idle.ms", 0),
		linger:         r.millis("linger.ms", 0),
		delivery:       r.millis("delivery.timeout.ms", 0),
		transaction:    r.millis("transaction.timeout.ms", TransactionTimeout),
		maxRequest:     r.bytes("max.request.size", 0),
		fetchWait:      r.millis("fetch.max.wait.ms", defaultFetchWait),
		fetchMin:       r.bytes("fetch.min.bytes", 1),
		fetchMax:       r.bytes("fetch.max.bytes", defaultFetchMax),
		part:           r.bytes("max.partition.fetch.bytes", 0),
		compression:    kgo.NoCompression(),
	}
	if p.part == 0 {
		p.part = p.fetchMax
	}
	switch c := m["compression.type"]; c {
	case "", "none":
	case "gzip":
		p.compression = kgo.GzipCompression()
	case "snappy":
		p.compression = kgo.SnappyCompression()
	case "lz4":
		p.compression = kgo.Lz4Compression()
	case "zstd":
		p.compression = kgo.ZstdCompression()
	default:
		r.errs = append(r.errs, fmt.Errorf("compression.type %q is none of none, gzip, snappy, lz4, zstd", c))
	}
	return p, errors.Join(r.errs...)
}

type propertyReader struct {
	m    map[string]string
	errs []error
}

func (r *propertyReader) number(key string, limit int64) (int64, bool) {
	text, ok := r.m[key]
	if !ok || text == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > limit {
		r.errs = append(r.errs, fmt.Errorf("%s %q is no number from 0 to %d", key, text, limit))
		return 0, false
	}
	return n, true
}

func (r *propertyReader) millis(key string, otherwise time.Duration) time.Duration {
	if n, ok := r.number(key, 1<<31-1); ok {
		return time.Duration(n) * time.Millisecond
	}
	return otherwise
}

func (r *propertyReader) bytes(key string, otherwise int32) int32 {
	if n, ok := r.number(key, 1<<30); ok {
		return int32(n)
	}
	return otherwise
}

// adapter sends the client library's log to slog. What it finds worth a warning is often routine here (a fence, a
// broker that restarts), and riftline reports what matters itself, so all of it is debug.
type adapter struct{ log *slog.Logger }

func (a adapter) Level() kgo.LogLevel {
	if a.log == nil || !a.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelNone
	}
	return kgo.LogLevelInfo
}

func (a adapter) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	a.log.DebugContext(context.Background(), "kafka client", append([]any{slog.String("event", msg)}, keyvals...)...)
}
