package httpsource

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

func TestRequestHasTheConnectorsSettings(t *testing.T) {
	var seen shared[*http.Request]
	var sent shared[string]
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		seen.set(r.Clone(t.Context()))
		sent.set(string(data))
		_, _ = io.WriteString(w, ladder)
	})
	for _, method := range []string{"POST", "PUT", "PATCH", "GET"} {
		_, err := fetchOnce(t, source(server.URL, func(s *connector.Source) {
			s.Request.URL += "?x=1"
			s.Request.Method = method
			s.Request.Params = secret.New("a=b%20c&d=e+f")
			s.Request.Body = secret.New(`{"since":0}`)
			s.Request.Headers = append(s.Request.Headers,
				connector.Header{Name: "Accept", Value: secret.New("application/json")},
				connector.Header{Name: "X-Twice", Value: secret.New("one")},
				connector.Header{Name: "x-twice", Value: secret.New("two\n")})
			s.Request.BasicUser, s.Request.BasicPassword = "me", secret.New("pass word")
		}), newClock())
		if err != nil {
			t.Fatal(err)
		}
		got, body := seen.get(), sent.get()
		if got.Method != method || got.URL.RawQuery != "x=1&a=b%20c&d=e+f" {
			t.Errorf("%s asks %s %s", method, got.Method, got.URL)
		}
		if want := map[bool]string{true: "", false: `{"since":0}`}[method == "GET"]; body != want {
			t.Errorf("%s sends the body %q", method, body)
		}
		if got.Header.Get("X-Riot-Token") != token || strings.Join(got.Header.Values("X-Twice"), ",") != "one,two" {
			t.Errorf("headers are %v", got.Header)
		}
		if user, password, _ := got.BasicAuth(); user != "me" || password != "pass word" {
			t.Errorf("basic authentication is %q", user)
		}
		if got.Header.Get("User-Agent") != "riftline" {
			t.Errorf("user agent is %q", got.Header.Get("User-Agent"))
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*connector.Source){
		"a URL without a scheme": func(s *connector.Source) { s.Request.URL = "kr.api.riotgames.com/?k=" + token },
		"another scheme":         func(s *connector.Source) { s.Request.URL = "ftp://host/" + token },
		"no URL at all":          func(s *connector.Source) { s.Request.URL = "http://[" + token },
		"a break in a header": func(s *connector.Source) {
			s.Request.Headers[0].Value = secret.New(token + "\r\nX-Evil: 1")
		},
		"a bad header name":    func(s *connector.Source) { s.Request.Headers[0].Name = "X Riot" },
		"a break in the query": func(s *connector.Source) { s.Request.Params = secret.New("key=" + token + "\n") },
		"a missing keystore":   func(s *connector.Source) { s.Client.Keystore = filepath.Join(t.TempDir(), "none.p12") },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(source("http://127.0.0.1", change), Options{})
			if err == nil || strings.Contains(err.Error(), token) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestUnmodifiedURLReachesATestServer keeps the promise of RIFTLINE_RESOLVE: neither the URL nor TLS changes.
func TestUnmodifiedURLReachesATestServer(t *testing.T) {
	certificate, pool := selfSigned(t, "kr.api.riotgames.com")
	var host shared[string]
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.set(r.Host)
		_, _ = io.WriteString(w, ladder)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)

	o := newClock().options()
	o.Resolve = map[string]string{"kr.api.riotgames.com:443": server.Listener.Addr().String()}
	o.RootCAs = pool
	// A proxy that nobody answers at shows that a resolved host is asked directly.
	s := source("https://kr.api.riotgames.com", func(s *connector.Source) { s.Client.ProxyHost, s.Client.ProxyPort = "127.0.0.1", 1 })
	a, err := newClient(t, s, o).Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if host.get() != "kr.api.riotgames.com" || !strings.HasSuffix(names(a.Stamps), " platform=kr") {
		t.Errorf("host %q, stamps %s", host.get(), names(a.Stamps))
	}

	o.RootCAs = x509.NewCertPool()
	_, err = newClient(t, s, o).Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "checking the server's certificate") {
		t.Errorf("an unknown certificate gives %v", err)
	}
}

func TestClientCertificate(t *testing.T) {
	certificate, pool := selfSigned(t, "api.example")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, ladder) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	data, err := pkcs12.Modern.Encode(certificate.PrivateKey, certificate.Leaf, nil, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	keystore := filepath.Join(t.TempDir(), "client.p12")
	if err := os.WriteFile(keystore, data, 0o600); err != nil {
		t.Fatal(err)
	}
	o := newClock().options()
	o.RootCAs = pool
	o.Resolve = map[string]string{"api.example:443": server.Listener.Addr().String()}
	with := func(password string) connector.Source {
		return source("https://api.example", func(s *connector.Source) {
			s.Client.Keystore, s.Client.KeystorePassword = keystore, secret.New(password)
		})
	}
	if _, err := newClient(t, with("changeit"), o).Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := New(with("wrong-password"), o); err == nil || strings.Contains(err.Error(), "wrong-password") || !strings.Contains(err.Error(), "keystore.password is wrong") {
		t.Errorf("a wrong password gives %v", err)
	}
	if a, err := newClient(t, source("https://api.example"), o).Fetch(t.Context()); err == nil {
		t.Errorf("without a certificate: %+v", a)
	}
}

func TestProxy(t *testing.T) {
	var target, authorization shared[string]
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		target.set(r.URL.String())
		authorization.set(r.Header.Get("Proxy-Authorization"))
		_, _ = io.WriteString(w, ladder)
	})
	address, _ := url.Parse(proxy.URL)
	port, _ := strconv.Atoi(address.Port())
	_, err := fetchOnce(t, source("http://api.example", func(s *connector.Source) {
		s.Client.ProxyHost, s.Client.ProxyPort = address.Hostname(), port
		s.Client.ProxyUser, s.Client.ProxyPassword = "me", secret.New("secret-word")
	}), newClock())
	if err != nil || !strings.HasPrefix(target.get(), "http://api.example/lol/") || !strings.HasPrefix(authorization.get(), "Basic ") {
		t.Errorf("target %q, authorization %t, error %v", target.get(), authorization.get() != "", err)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var address shared[string]
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		address.set(r.RemoteAddr)
		_, _ = io.WriteString(w, ladder)
	})
	c := newClient(t, source(server.URL), newClock().options())
	first := ""
	for range 3 {
		if _, err := c.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = address.get()
		} else if address.get() != first {
			t.Error("a poll made a new connection")
		}
	}
}

func selfSigned(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
