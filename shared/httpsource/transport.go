package httpsource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector"
	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// maxRedirects is how many hops one request may take.
const maxRedirects = 10

func newTransport(s connector.HTTPClient, o Options) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs}
	if s.Keystore != "" {
		certificate, err := clientCertificate(s)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	connect := s.ConnectTimeout
	if connect <= 0 {
		connect = 2 * time.Second
	}
	dialer := &net.Dialer{Timeout: connect}
	return &http.Transport{
		Proxy: proxy(s, o.Resolve),
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if to, found := o.Resolve[address]; found {
				address = to
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig:     config,
		TLSHandshakeTimeout: max(connect, 5*time.Second),
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        max(s.MaxIdle, 1),
		MaxIdleConnsPerHost: max(s.MaxIdle, 1),
		IdleConnTimeout:     s.KeepAlive,
		// The body is decompressed here and not by the transport, so that its decompressed size is bounded in one place
		// and a server that compresses without being asked is understood.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 256 << 10,
	}, nil
}

// proxy is the connector's proxy, else what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.
func proxy(s connector.HTTPClient, resolve map[string]string) func(*http.Request) (*url.URL, error) {
	find := http.ProxyFromEnvironment
	if s.ProxyHost != "" {
		port := s.ProxyPort
		if port == 0 {
			port = 3128
		}
		fixed := &url.URL{Scheme: "http", Host: net.JoinHostPort(s.ProxyHost, strconv.Itoa(port))}
		if s.ProxyUser != "" {
			fixed.User = url.UserPassword(s.ProxyUser, s.ProxyPassword.Reveal())
		}
		find = http.ProxyURL(fixed)
	}
	return func(r *http.Request) (*url.URL, error) {
		if _, found := resolve[hostPort(r.URL)]; found {
			return nil, nil
		}
		return find(r)
	}
}

func clientCertificate(s connector.HTTPClient) (tls.Certificate, error) {
	data, err := os.ReadFile(s.Keystore)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading http.client.keystore: %w", err)
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, s.KeystorePassword.Reveal())
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return tls.Certificate{}, fmt.Errorf("opening http.client.keystore %s: http.client.keystore.password is wrong", s.Keystore)
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("opening http.client.keystore %s, which must be a PKCS#12 file with one private key: %w", s.Keystore, err)
	}
	certificate := tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
	for _, ca := range chain {
		certificate.Certificate = append(certificate.Certificate, ca.Raw)
	}
	return certificate, nil
}

// ErrRedirected says that the API redirects to another scheme, host or port, where no request was sent.
var ErrRedirected = errors.New("the answer leads elsewhere")

// redirectError ends a chain of redirects that leaves the connector's host.
type redirectError struct{ to string }

func (e *redirectError) Error() string {
	return "the answer redirects to " + e.to + ", and redirects are followed on one scheme, host and port only; if that is where the API is, put it in http.request.url"
}

func (e *redirectError) Is(target error) bool { return target == ErrRedirected }

func (c *Client) checkRedirect(next *http.Request, via []*http.Request) error {
	if next.URL.Scheme != c.url.Scheme || hostPort(next.URL) != hostPort(c.url) {
		return &redirectError{to: next.URL.Scheme + "://" + next.URL.Host}
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("the answer redirects more than %d times", maxRedirects)
	}
	// The connector's query may hold a credential, and a Referer is likely to be logged.
	next.Header.Del("Referer")
	return nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// requestCounter counts requests per Fetch, the hops of redirects included. A redirect to what is no URL ends there:
// http.Client has no error for it that could be told from a broken connection, which is tried again.
type requestCounter struct{ next *http.Transport }

type countKey struct{}

// RoundTrip implements http.RoundTripper.
func (t *requestCounter) RoundTrip(r *http.Request) (*http.Response, error) {
	if n, ok := r.Context().Value(countKey{}).(*int); ok {
		*n++
	}
	response, err := t.next.RoundTrip(r)
	if err != nil || response.StatusCode/100 != 3 {
		return response, err
	}
	if _, err := r.URL.Parse(response.Header.Get("Location")); err != nil {
		_ = response.Body.Close()
		return nil, &redirectError{to: "what is no URL"}
	}
	return response, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func randomFraction() float64 { return rand.Float64() } //nolint:gosec // it only spreads waits

func longestFirst(texts []string) []string {
	kept := slices.DeleteFunc(texts, func(s string) bool { return len(s) < 4 })
	slices.SortFunc(kept, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(kept)
}
