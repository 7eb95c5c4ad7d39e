// Command certificates writes a certificate authority, a server's and a client's certificate for tests on this machine.
//
//	go run ./scripts/certificates DIR [HOST…]
//
// The server's certificate is for localhost, 127.0.0.1 and the HOSTs; the client's has the common name "riftline". DIR
// gets ca.pem, server.pem and client.pem (certificate), server.key and client.key (PKCS #8), and server.both.pem and
// client.both.pem (key and certificate in one file, as Kafka's PEM key stores want them). The authority's own key is not kept. Files that
// are there already are left alone.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: certificates DIR [HOST…]")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "certificates:", err)
		os.Exit(1)
	}
}

func write(dir string, hosts []string) error {
	if _, err := os.Stat(filepath.Join(dir, "ca.pem")); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	authority := template("riftline test authority")
	authority.IsCA, authority.BasicConstraintsValid = true, true
	authority.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	caKey, err := newKey()
	if err != nil {
		return err
	}

	server := template("localhost")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	server.DNSNames = append([]string{"localhost"}, hosts...)
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	client := template("riftline")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

	for name, leaf := range map[string]*x509.Certificate{"server": server, "client": client} {
		key, err := newKey()
		if err != nil {
			return err
		}
		certificate, err := sign(leaf, authority, key.Public(), caKey)
		if err != nil {
			return fmt.Errorf("signing the %s's certificate: %w", name, err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return fmt.Errorf("encoding the %s's key: %w", name, err)
		}
		private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := save(dir, name+".pem", certificate); err != nil {
			return err
		}
		if err := save(dir, name+".key", private); err != nil {
			return err
		}
		if err := save(dir, name+".both.pem", append(private, certificate...)); err != nil {
			return err
		}
	}
	// Last, as it says that the others are there.
	certificate, err := sign(authority, authority, caKey.Public(), caKey)
	if err != nil {
		return fmt.Errorf("signing the authority's certificate: %w", err)
	}
	return save(dir, "ca.pem", certificate)
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand does not fail on the systems that Go supports
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

func sign(leaf, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, public, key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func save(dir, name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
