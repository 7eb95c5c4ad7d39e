package schema

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/riftline/riftline/shared/connector"
)

func tlsConfig(t connector.TLS) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("reading the trust store: it holds no certificate")
		}
	}
	if t.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key.Reveal()))
		if err != nil {
			return nil, errors.New("reading the key store: the certificate and the private key are unreadable or do not belong together")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if t.SkipHostname {
		// The chain is checked below, as an empty ssl.endpoint.identification.algorithm asks for; the name is not.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(s tls.ConnectionState) error {
			options := x509.VerifyOptions{Roots: config.RootCAs, Intermediates: x509.NewCertPool()}
			for _, c := range s.PeerCertificates[1:] {
				options.Intermediates.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(options)
			return err
		}
	}
	return config, nil
}
