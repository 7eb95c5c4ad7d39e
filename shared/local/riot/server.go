package riot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Server is a simulator that listens on loopback with TLS. Its certificates, for whatever host it is asked as, come from
// a certificate authority that is made at the start and gone at the end.
type Server struct {
	*Simulator
	listener net.Listener
	server   *http.Server
	close    sync.Once
	authority
}

// Start makes a simulator and serves it on 127.0.0.1; port 0 takes a free one.
func Start(o Options, port int) (*Server, error) {
	sim, err := New(o)
	if err != nil {
		return nil, err
	}
	s := &Server{Simulator: sim}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("making the simulated API's certificate authority: %w", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // a local listener
	if err != nil {
		return nil, fmt.Errorf("starting the simulated Riot API: %w", err)
	}
	s.listener = l
	s.server = &http.Server{
		Handler:           sim,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(nothing{}, "", 0),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate},
	}
	go func() { _ = s.server.ServeTLS(l, "", "") }()
	return s, nil
}

// Addr is the host:port that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all connections, those that hang too. A second call does nothing.
func (s *Server) Close() (err error) {
	s.close.Do(func() {
		close(s.done)
		err = s.server.Close()
	})
	return err
}

// authority signs a certificate for each host that a client asks for.
type authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

func (a *authority) create() (err error) {
	a.leaves = map[string]*tls.Certificate{}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "riftline simulated Riot API"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(30 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		return err
	}
	a.root, err = x509.ParseCertificate(der)
	return err
}

// RootCAs trusts the server and nobody else.
func (a *authority) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// CA is the authority's certificate as PEM, for SSL_CERT_FILE.
func (a *authority) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := hello.ServerName
	if host == "" {
		host = "127.0.0.1"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.leaves[host]; ok {
		return c, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(a.leaves) + 2)),
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    a.root.NotBefore,
		NotAfter:     a.root.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der, a.root.Raw}, PrivateKey: key}
	a.leaves[host] = c
	return c, nil
}

// nothing swallows the HTTP server's own complaints about clients that hang up.
type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
