package connector

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/riftline/riftline/shared/secret"
)

// readTLS reads the ssl.* properties of a Kafka client or of a registry client, in PEM as text (KIP-651), as a PEM file
// or as a PKCS#12 file. The parameter prefix is what the names in p begin with, whole what messages call a property
// that nobody gave.
func (e *examination) readTLS(p properties, prefix, whole string) TLS {
	var t TLS
	if algorithm, ok := p[prefix+"endpoint.identification.algorithm"]; ok && algorithm.known && algorithm.text == "" {
		t.SkipHostname = true
	}
	name := func(part string) string { return p.key(prefix+part, whole+part) }
	switch {
	case p.get(prefix+"truststore.certificates") != "":
		t.CA = normalizePEM(p.get(prefix + "truststore.certificates"))
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
			e.fail(name("truststore.certificates"), "holds no certificate in PEM form", "write -----BEGIN CERTIFICATE----- … -----END CERTIFICATE-----")
		}
	case p.get(prefix+"truststore.location") != "":
		t.CA = e.truststore(p, prefix, name)
	}
	switch {
	case p.get(prefix+"keystore.key") != "" || p.given(prefix+"keystore.certificate.chain"):
		e.keyPair(&t, p, prefix, name)
	case p.get(prefix+"keystore.location") != "":
		e.keystore(&t, p, prefix, name)
	}
	return t
}

func (e *examination) keyPair(t *TLS, p properties, prefix string, name func(string) string) {
	chain, key := p[prefix+"keystore.certificate.chain"], p[prefix+"keystore.key"]
	if chain.key == "" || key.key == "" {
		missing := "keystore.key"
		if chain.key == "" {
			missing = "keystore.certificate.chain"
		}
		e.fail(name(missing), "is missing: a client's certificate and its key go together", "give both, or neither")
		return
	}
	if !chain.known || !key.known {
		return
	}
	e.setPair(t, normalizePEM(chain.text), normalizePEM(key.text), name("keystore.key"))
}

// setPair keeps a certificate and its key if they fit. Errors of the key pair are not shown as they are: they are
// reduced to what is wrong.
func (e *examination) setPair(t *TLS, certificate, key, name string) {
	if strings.Contains(key, "ENCRYPTED") {
		e.fail(name, "is an encrypted private key, which is not read", "decrypt it: openssl pkcs8 -in KEY -out KEY.pem, and keep it in Secret Manager")
		return
	}
	if _, err := tls.X509KeyPair([]byte(certificate), []byte(key)); err != nil {
		e.fail(name, "and its certificate are not a usable pair: "+pairReason(err), "both in PEM form, the key unencrypted and the certificate's own")
		return
	}
	t.Certificate, t.Key = certificate, secret.New(key)
	if e.running() {
		e.resolver.Hide(key)
	}
}

func pairReason(err error) string {
	text := strings.TrimPrefix(err.Error(), "tls: ")
	if len(text) > 120 || strings.Contains(text, "BEGIN") {
		return "they cannot be parsed"
	}
	return text
}

// jks is how a file in Java's own keystore format begins.
var jks = []byte{0xfe, 0xed, 0xfe, 0xed}

// storeKind says what a store is: its type when that is said, else by what is in it.
func storeKind(kind string, data []byte) string {
	switch {
	case bytes.HasPrefix(data, jks):
		return "JKS"
	case bytes.Contains(data, []byte("-----BEGIN")):
		return "PEM"
	case kind == "":
		return "PKCS12"
	}
	return strings.ToUpper(kind)
}

func (e *examination) readStore(location property, password property) ([]byte, bool) {
	if !location.known || password.key != "" && !password.known {
		return nil, false
	}
	if !e.running() {
		if strings.HasSuffix(strings.ToLower(location.text), ".jks") {
			e.warn(location.key, "ends in .jks: if it is in Java's own format it will be refused", keytool)
		}
		return nil, false
	}
	f, err := os.Open(location.text)
	if err != nil {
		e.fail(location.key, "cannot be opened: "+plainError(err), "give the path of a file that this process can read")
		return nil, false
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, largest))
	if err != nil {
		e.fail(location.key, "cannot be read: "+plainError(err), "give the path of a file that this process can read")
		return nil, false
	}
	return data, true
}

func (e *examination) truststore(p properties, prefix string, name func(string) string) string {
	location := p[prefix+"truststore.location"]
	data, ok := e.readStore(location, p[prefix+"truststore.password"])
	if !ok {
		return ""
	}
	switch storeKind(p.get(prefix+"truststore.type"), data) {
	case "PEM":
		if !x509.NewCertPool().AppendCertsFromPEM(data) {
			e.fail(location.key, "holds no certificate in PEM form", "write -----BEGIN CERTIFICATE----- … -----END CERTIFICATE-----")
		}
		return string(data)
	case "PKCS12":
		certificates, err := pkcs12.DecodeTrustStore(data, p.get(prefix+"truststore.password"))
		if err != nil {
			// A store with a key entry is no trust store by the strict reading, and Java takes it all the same.
			_, leaf, chain, chainErr := pkcs12.DecodeChain(data, p.get(prefix+"truststore.password"))
			if chainErr != nil {
				e.fail(location.key, "is not a PKCS#12 truststore that can be opened: "+plainError(err), "check "+name("truststore.password"))
				return ""
			}
			certificates = append([]*x509.Certificate{leaf}, chain...)
		}
		return certificatesPEM(certificates)
	}
	e.fail(location.key, "is in Java's own keystore format (JKS), which is not read", keytoolFor(location.text, name("truststore.type")))
	return ""
}

func (e *examination) keystore(t *TLS, p properties, prefix string, name func(string) string) {
	location := p[prefix+"keystore.location"]
	data, ok := e.readStore(location, p[prefix+"keystore.password"])
	if !ok {
		return
	}
	switch storeKind(p.get(prefix+"keystore.type"), data) {
	case "PEM":
		var certificate, key strings.Builder
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if strings.HasSuffix(block.Type, "PRIVATE KEY") {
				key.Write(pem.EncodeToMemory(block))
			} else {
				certificate.Write(pem.EncodeToMemory(block))
			}
		}
		e.setPair(t, certificate.String(), key.String(), location.key)
	case "PKCS12":
		certificate, key, err := readPKCS12(data, p.get(prefix+"keystore.password"))
		if err != nil {
			e.fail(location.key, plainError(err), "check "+name("keystore.password"))
			return
		}
		e.setPair(t, certificate, key.Reveal(), location.key)
	default:
		e.fail(location.key, "is in Java's own keystore format (JKS), which is not read", keytoolFor(location.text, name("keystore.type")))
	}
}

// readPKCS12 reads a PKCS#12 file with a private key and its certificate chain (RFC 7292) and returns both as PEM texts,
// the chain leaf first. The error shows nothing of the file.
func readPKCS12(data []byte, password string) (certificate string, key secret.Value, err error) {
	private, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return "", secret.Value{}, fmt.Errorf("opening the PKCS#12 keystore: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", secret.Value{}, fmt.Errorf("the PKCS#12 keystore has a key of a kind that is not known: %w", err)
	}
	return certificatesPEM(append([]*x509.Certificate{leaf}, chain...)),
		secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), nil
}

func certificatesPEM(all []*x509.Certificate) string {
	var b strings.Builder
	for _, one := range all {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.Raw}))
	}
	return b.String()
}

func keytoolFor(file, typeKey string) string {
	base := strings.TrimSuffix(file, ".jks")
	return fmt.Sprintf("convert it: keytool -importkeystore -srckeystore %s -destkeystore %s.p12 -deststoretype PKCS12; then give that file, and %s=PKCS12", file, base, typeKey)
}

// plainError is an error without the wrapping that repeats a path.
func plainError(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

var pemBlock = regexp.MustCompile(`-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END [A-Z0-9 ]+-----`)

// normalizePEM gives PEM its line breaks back. Properties are one line, so people write blocks with blanks or with \n
// in place of the breaks, as Kafka allows (KIP-651).
func normalizePEM(text string) string {
	blocks := pemBlock.FindAllStringSubmatch(strings.NewReplacer(`\n`, "\n", `\r`, "").Replace(text), -1)
	if len(blocks) == 0 {
		return text
	}
	var b strings.Builder
	for _, block := range blocks {
		body := strings.Join(strings.Fields(block[2]), "")
		fmt.Fprintf(&b, "-----BEGIN %s-----\n", block[1])
		for len(body) > 64 {
			b.WriteString(body[:64] + "\n")
			body = body[64:]
		}
		fmt.Fprintf(&b, "%s\n-----END %s-----\n", body, block[1])
	}
	return b.String()
}
