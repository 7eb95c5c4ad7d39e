package connector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/riftline/riftline/shared/secret"
)

const plain = "org.apache.kafka.common.security.plain.PlainLoginModule required "

// kafkaOf starts the user's source with these producer.override.* and worker settings.
func kafkaOf(t *testing.T, override map[string]string, environ []string, r *secret.Resolver) (Kafka, error) {
	t.Helper()
	set := map[string]string{}
	for name, value := range override {
		set["producer.override."+name] = value
	}
	c := read(t, infra+"challenger.json").With(set)
	if _, problems := c.Explain(NewWorker(environ), CheckOptions{}); problems == nil {
		t.Error("Explain says nothing")
	}
	s, err := c.Source(t.Context(), NewWorker(environ), r, CheckOptions{Local: true})
	return s.Kafka, err
}

func TestJAAS(t *testing.T) {
	for text, want := range map[string]struct {
		module, flag string
		options      []pair
	}{
		`a.B required;`: {"a.B", "required", nil},
		`a.B required username="u" password='p w' ;`:                {"a.B", "required", []pair{{"username", "u"}, {"password", "p w"}}},
		`a.B required username=u password="a\"b\\c;=";`:             {"a.B", "required", []pair{{"username", "u"}, {"password", `a"b\c;=`}}},
		"a.B REQUIRED \\\n username = \"u\" \\\n password=\"p\";\n": {"a.B", "REQUIRED", []pair{{"username", "u"}, {"password", "p"}}},
		`a.B required password=${gcpsecret:k};`:                     {"a.B", "required", []pair{{"password", "${gcpsecret:k}"}}},
		`a.B required password="${file:/a b:c}";`:                   {"a.B", "required", []pair{{"password", "${file:/a b:c}"}}},
	} {
		got, err := parseJAAS(text)
		var options []pair
		for _, o := range got.options {
			options = append(options, pair{o.name, o.value})
			if stands := text[o.start:o.end]; strings.Trim(stands, `"'`) != o.value && !strings.Contains(stands, `\`) {
				t.Errorf("%q: %s stands in %q", text, o.name, stands)
			}
		}
		if err != nil || got.module != want.module || got.flag != want.flag || !reflect.DeepEqual(options, want.options) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "a.B", "a.B required", `a.B required password="hunter2`, `a.B required password`, `a.B required =x;`, "a.B sometimes;", "a.B required; c.D required;", `a.B required username="u" password="hunter2"`} {
		_, err := parseJAAS(text)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzJAAS(f *testing.F) {
	for _, text := range []string{`a.B required username="u" password='p';`, `a.B required p=${env:A};`, `"\`, "a b\\", "a b c=\"\\"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		login, err := parseJAAS(text)
		if err == nil && (login.module == "" || login.flag == "") {
			t.Errorf("%q gives %+v", text, login)
		}
		_ = show(entry{shape: jaasShape}, text)
		_ = show(entry{shape: headerShape}, text)
		_ = show(entry{shape: urlShape}, text)
		_ = inline(entry{shape: urlShape}, text)
		_ = normalizePEM(text)
	})
}

func TestSASL(t *testing.T) {
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required "
	const oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
	for name, c := range map[string]struct {
		override map[string]string
		environ  []string
		protocol string
		want     SASL
	}{
		"plain": {map[string]string{"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.jaas.config": plain + `username="u" password="${gcpsecret:p}";`}, nil,
			"SASL_SSL", SASL{Mechanism: "PLAIN", User: "u", Password: secret.New("secret-of-p")}},
		"a password with quotes behind a reference": {map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": plain + `username="${env:U}" password="${env:QUOTED}";`}, nil,
			"SASL_PLAINTEXT", SASL{Mechanism: "PLAIN", User: "user", Password: secret.New(`a"b;c`)}},
		"all of it behind a reference": {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.jaas.config": "${env:JAAS}"}, nil,
			"SASL_SSL", SASL{Mechanism: "PLAIN", User: "u", Password: secret.New("whole-jaas-password")}},
		"scram from the worker": {nil, []string{"CONNECT_SECURITY_PROTOCOL=SASL_SSL", "CONNECT_SASL_MECHANISM=SCRAM-SHA-512", "CONNECT_SASL_JAAS_CONFIG=" + scram + `username="w" password="${env:P}";`},
			"SASL_SSL", SASL{Mechanism: "SCRAM-SHA-512", User: "w", Password: secret.New("worker-password")}},
		"the producer's before the worker's": {map[string]string{"sasl.mechanism": "SCRAM-SHA-256"}, []string{"CONNECT_SECURITY_PROTOCOL=PLAINTEXT", "CONNECT_PRODUCER_SECURITY_PROTOCOL=SASL_PLAINTEXT", "CONNECT_PRODUCER_SASL_MECHANISM=PLAIN", "CONNECT_CONSUMER_SASL_MECHANISM=GSSAPI",
			"CONNECT_PRODUCER_SASL_JAAS_CONFIG=" + scram + `username="p" password="x";`},
			"SASL_PLAINTEXT", SASL{Mechanism: "SCRAM-SHA-256", User: "p", Password: secret.New("x")}},
		"Google Managed Kafka": {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.login.callback.handler.class": "com.google.cloud.hosted.kafka.auth.GcpLoginCallbackHandler", "sasl.jaas.config": oauth + ";"}, nil,
			"SASL_SSL", SASL{Mechanism: "OAUTHBEARER", Google: true}},
		"client credentials": {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url": "https://idp/token",
			"sasl.login.callback.handler.class": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
			"sasl.jaas.config":                  oauth + `clientId="id" clientSecret="${gcpsecret:cs}" scope="kafka";`}, nil,
			"SASL_SSL", SASL{Mechanism: "OAUTHBEARER", TokenEndpoint: "https://idp/token", ClientID: "id", ClientSecret: secret.New("secret-of-cs"), Scope: "kafka"}},
		"client credentials as properties": {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url": "https://idp/token",
			"sasl.oauthbearer.client.credentials.client.id": "id", "sasl.oauthbearer.client.credentials.client.secret": "${gcpsecret:cs}", "sasl.oauthbearer.scope": "k"}, nil,
			"SASL_SSL", SASL{Mechanism: "OAUTHBEARER", TokenEndpoint: "https://idp/token", ClientID: "id", ClientSecret: secret.New("secret-of-cs"), Scope: "k"}},
	} {
		r := resolver(map[string]string{"U": "user", "P": "worker-password", "QUOTED": `a"b;c`, "JAAS": plain + `username="u" password="whole-jaas-password";`})
		k, err := kafkaOf(t, c.override, c.environ, r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(k.SASL, c.want) || k.Protocol != c.protocol {
			t.Errorf("%s: %s %+v (%s)", name, k.Protocol, k.SASL, k.SASL.Password.Reveal())
		}
		for _, one := range []secret.Value{k.SASL.Password, k.SASL.ClientSecret} {
			if v := one.Reveal(); len(v) >= 4 && r.Scrub(v) != "[redacted]" {
				t.Errorf("%s: %s is not hidden", name, v)
			}
		}
	}
}

func TestWrongSASL(t *testing.T) {
	for name, c := range map[string]struct {
		override map[string]string
		says     string
	}{
		"no mechanism":          {map[string]string{"security.protocol": "SASL_SSL"}, "no sasl.mechanism"},
		"Kerberos":              {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}, notBuilt},
		"no JAAS":               {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "is missing"},
		"no password":           {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.jaas.config": plain + `username="u";`}, "no password"},
		"no semicolon":          {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.jaas.config": plain + `username="u" password="hunter2"`}, `";"`},
		"another module":        {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-256", "sasl.jaas.config": plain + `username="u" password="hunter2";`}, "does not go with"},
		"a delegation token":    {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-256", "sasl.jaas.config": `x.ScramLoginModule required username="u" password="p" tokenauth="true";`}, notBuilt},
		"a protocol of no kind": {map[string]string{"security.protocol": "TLS"}, "not one of"},
		"unsecured tokens":      {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.jaas.config": `x.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="x";`}, "unsecured"},
		"tokens from nowhere":   {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.jaas.config": `x.OAuthBearerLoginModule required;`}, "GcpLoginCallbackHandler"},
		"no client id":          {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url": "https://idp"}, "no clientId"},
		"a broker of no form":   {map[string]string{"bootstrap.servers": "kafka"}, "host:port"},
		"a number of no form":   {map[string]string{"linger.ms": "soon"}, "not an integer"},
	} {
		_, err := kafkaOf(t, c.override, nil, resolver(nil))
		var invalid *Invalid
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := read(t, infra+"challenger.json").With(map[string]string{"producer.override.sasl.jaas.config": plain + `username="u" password="p";`})
	if _, problems := c.Explain(Worker{}, CheckOptions{}); !strings.Contains(list(problems), "is not used") {
		t.Errorf("credentials without SASL pass in silence: %v", problems)
	}
	w := NewWorker([]string{"CONNECT_PRODUCER_NO_SUCH_THING=hunter2", "CONNECT_PRODUCER_LINGER_MS=5", "CONNECT_CONSUMER_FETCH_MIN_BYTES=x", "CONNECT_SSL_TRUSTSTORE_TYPE=PEM"})
	verdicts, problems := c.Explain(w, CheckOptions{})
	if !strings.Contains(list(problems), "CONNECT_PRODUCER_NO_SUCH_THING is no client property") || strings.Contains(list(problems), "CONNECT_CONSUMER") {
		t.Errorf("%v", problems)
	}
	want := Verdict{Key: "producer.linger.ms", Value: "5", From: "CONNECT_PRODUCER_LINGER_MS", Class: Honoured, Reason: "how long a batch waits for more records"}
	if !slices.Contains(verdicts, want) {
		t.Errorf("the worker's setting is not explained: %+v", verdicts)
	}
}

// pki is a certificate authority and a client certificate of it.
type pki struct {
	ca, leaf        *x509.Certificate
	key             *ecdsa.PrivateKey
	caPEM, leafPEM  string
	keyPEM          string
	truststore, p12 []byte
}

const storePassword = "store-password"

func newPKI(t *testing.T) pki {
	t.Helper()
	sign := func(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := pki{}
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	p.ca = sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true},
		&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}}, &caKey.PublicKey, caKey)
	p.leaf = sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "client"}, NotBefore: from, NotAfter: to}, p.ca, &p.key.PublicKey, caKey)
	p.caPEM, p.leafPEM = certificatesPEM([]*x509.Certificate{p.ca}), certificatesPEM([]*x509.Certificate{p.leaf})
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	p.keyPEM = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if p.truststore, err = pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{p.ca}, storePassword); err != nil {
		t.Fatal(err)
	}
	if p.p12, err = pkcs12.Modern.Encode(p.key, p.leaf, []*x509.Certificate{p.ca}, storePassword); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p pki) write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", " ") }

func TestTLS(t *testing.T) {
	p := newPKI(t)
	escaped := strings.ReplaceAll(p.caPEM, "\n", `\n`)
	for name, c := range map[string]struct {
		set    map[string]string
		ca     bool
		client bool
	}{
		"the system's roots":           {map[string]string{}, false, false},
		"PEM as text":                  {map[string]string{"truststore.type": "PEM", "truststore.certificates": p.caPEM}, true, false},
		"PEM on one line":              {map[string]string{"truststore.type": "PEM", "truststore.certificates": oneLine(p.caPEM)}, true, false},
		"PEM with \\n":                 {map[string]string{"truststore.type": "PEM", "truststore.certificates": escaped}, true, false},
		"PEM as a file":                {map[string]string{"truststore.type": "PEM", "truststore.location": p.write(t, "ca.pem", []byte(p.caPEM))}, true, false},
		"PKCS#12":                      {map[string]string{"truststore.type": "PKCS12", "truststore.location": p.write(t, "t.p12", p.truststore), "truststore.password": storePassword}, true, false},
		"a key store as a trust store": {map[string]string{"truststore.location": p.write(t, "k.p12", p.p12), "truststore.password": storePassword}, true, false},
		"no type said":                 {map[string]string{"truststore.location": p.write(t, "t.jks", p.truststore), "truststore.password": storePassword}, true, false},
		"mutual, PEM as text":          {map[string]string{"keystore.type": "PEM", "keystore.certificate.chain": oneLine(p.leafPEM), "keystore.key": oneLine(p.keyPEM)}, false, true},
		"mutual, key by reference":     {map[string]string{"keystore.certificate.chain": p.leafPEM, "keystore.key": "${env:KEY}"}, false, true},
		"mutual, PEM as a file":        {map[string]string{"keystore.type": "PEM", "keystore.location": p.write(t, "client.pem", []byte(p.keyPEM+p.leafPEM))}, false, true},
		"mutual, PKCS#12":              {map[string]string{"keystore.type": "PKCS12", "keystore.location": p.write(t, "c.p12", p.p12), "keystore.password": "${env:STORE}"}, false, true},
	} {
		set := map[string]string{"security.protocol": "SSL"}
		for key, value := range c.set {
			set["ssl."+key] = value
		}
		r := resolver(map[string]string{"KEY": p.keyPEM, "STORE": storePassword})
		k, err := kafkaOf(t, set, nil, r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (k.TLS.CA != "") != c.ca || (k.TLS.Certificate != "") != c.client || k.TLS.SkipHostname {
			t.Errorf("%s: %+v", name, k.TLS)
		}
		if c.ca && !x509.NewCertPool().AppendCertsFromPEM([]byte(k.TLS.CA)) {
			t.Errorf("%s: no certificate in %q", name, k.TLS.CA)
		}
		if c.client {
			if _, err := tls.X509KeyPair([]byte(k.TLS.Certificate), []byte(k.TLS.Key.Reveal())); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			middle := strings.Split(k.TLS.Key.Reveal(), "\n")[1]
			if r.Scrub(middle) != "[redacted]" {
				t.Errorf("%s: the private key is not hidden", name)
			}
		}
	}
	for value, want := range map[string]bool{"": true, " ": true, "https": false} {
		k, err := kafkaOf(t, map[string]string{"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": value}, nil, resolver(nil))
		if err != nil || k.TLS.SkipHostname != want {
			t.Errorf("endpoint identification %q: %v, %v", value, k.TLS.SkipHostname, err)
		}
	}
	if k, err := kafkaOf(t, nil, []string{"CONNECT_SECURITY_PROTOCOL=SSL", "CONNECT_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM= "}, resolver(nil)); err != nil || !k.TLS.SkipHostname {
		t.Errorf("the images' way to say empty: %+v, %v", k.TLS, err)
	}
}

func TestWrongTLS(t *testing.T) {
	p, other := newPKI(t), newPKI(t)
	javas := append([]byte{0xfe, 0xed, 0xfe, 0xed}, "hunter2"...)
	for name, c := range map[string]struct {
		set  map[string]string
		says string
	}{
		"JKS said":                  {map[string]string{"truststore.type": "JKS", "truststore.location": "/x.jks"}, "keytool -importkeystore"},
		"JKS found":                 {map[string]string{"truststore.location": p.write(t, "x.jks", javas)}, "keytool -importkeystore"},
		"a JKS keystore":            {map[string]string{"keystore.location": p.write(t, "x.jks", javas)}, "ssl.keystore.type=PKCS12"},
		"no such file":              {map[string]string{"truststore.location": "/no/such/file"}, "no such file"},
		"a file of something else":  {map[string]string{"truststore.type": "PEM", "truststore.location": p.write(t, "x.pem", []byte("hunter2"))}, "no certificate"},
		"a wrong password":          {map[string]string{"truststore.location": p.write(t, "t.p12", p.truststore), "truststore.password": "hunter2"}, "ssl.truststore.password"},
		"a wrong keystore password": {map[string]string{"keystore.location": p.write(t, "k.p12", p.p12), "keystore.password": "hunter2"}, "ssl.keystore.password"},
		"text that is no PEM":       {map[string]string{"truststore.certificates": "hunter2"}, "no certificate"},
		"a certificate alone":       {map[string]string{"keystore.certificate.chain": p.leafPEM}, "go together"},
		"a key alone":               {map[string]string{"keystore.key": p.keyPEM}, "go together"},
		"another's key":             {map[string]string{"keystore.certificate.chain": p.leafPEM, "keystore.key": other.keyPEM}, "not a usable pair"},
		"an encrypted key":          {map[string]string{"keystore.certificate.chain": p.leafPEM, "keystore.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n-----END ENCRYPTED PRIVATE KEY-----"}, "openssl pkcs8"},
		"no way to check a name":    {map[string]string{"endpoint.identification.algorithm": "ldap"}, "not a way"},
		"an engine of one's own":    {map[string]string{"engine.factory.class": "x.Y"}, notBuilt},
	} {
		set := map[string]string{"security.protocol": "SSL"}
		for key, value := range c.set {
			set["ssl."+key] = value
		}
		_, err := kafkaOf(t, set, nil, resolver(nil))
		var invalid *Invalid
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), strings.Split(p.keyPEM, "\n")[1]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := read(t, infra+"challenger.json").With(map[string]string{"producer.override.security.protocol": "SSL", "producer.override.ssl.truststore.location": "/x.jks"})
	if _, problems := c.Explain(Worker{}, CheckOptions{}); !strings.Contains(list(problems), "warning: producer.override.ssl.truststore.location ends in .jks") {
		t.Errorf("validate says nothing of a .jks: %v", problems)
	}
}

func TestRegistry(t *testing.T) {
	p := newPKI(t)
	const url = "schema.registry.url"
	for name, c := range map[string]struct {
		set     map[string]string
		environ []string
		want    Registry
	}{
		"several":                {map[string]string{url: "http://a:1, http://b:2/"}, nil, Registry{URLs: []string{"http://a:1", "http://b:2"}}},
		"user info":              {map[string]string{url: "http://a", "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "u:${gcpsecret:r}"}, nil, Registry{URLs: []string{"http://a"}, User: "u", Password: secret.New("secret-of-r")}},
		"user info, old names":   {map[string]string{url: "http://a", "schema.registry.basic.auth.credentials.source": "USER_INFO", "schema.registry.basic.auth.user.info": "u:a:b"}, nil, Registry{URLs: []string{"http://a"}, User: "u", Password: secret.New("a:b")}},
		"in the URL":             {map[string]string{url: "https://u:p%40ss@a/x"}, nil, Registry{URLs: []string{"https://a/x"}, User: "u", Password: secret.New("p@ss")}},
		"from the worker":        {map[string]string{}, []string{"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://w", "CONNECT_VALUE_CONVERTER_BASIC_AUTH_CREDENTIALS_SOURCE=USER_INFO", "CONNECT_VALUE_CONVERTER_BASIC_AUTH_USER_INFO=w:${env:P}"}, Registry{URLs: []string{"http://w"}, User: "w", Password: secret.New("worker-password")}},
		"the worker's old names": {map[string]string{}, []string{"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://w", "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_BASIC_AUTH_CREDENTIALS_SOURCE=USER_INFO", "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO=w:x"}, Registry{URLs: []string{"http://w"}, User: "w", Password: secret.New("x")}},
		"the file's before":      {map[string]string{url: "http://f"}, []string{"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://w"}, Registry{URLs: []string{"http://f"}}},
		"the converter's SASL": {map[string]string{url: "http://a", "basic.auth.credentials.source": "SASL_INHERIT",
			"sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="${env:P}";`}, nil,
			Registry{URLs: []string{"http://a"}, User: "u", Password: secret.New("worker-password")}},
		"the Kafka client's SASL": {map[string]string{url: "http://a", "basic.auth.credentials.source": "SASL_INHERIT"},
			[]string{"CONNECT_BOOTSTRAP_SERVERS=b:9092", "CONNECT_SECURITY_PROTOCOL=SASL_SSL", "CONNECT_SASL_MECHANISM=SCRAM-SHA-512",
				`CONNECT_SASL_JAAS_CONFIG=org.apache.kafka.common.security.scram.ScramLoginModule required username="k" password="${env:P}";`},
			Registry{URLs: []string{"http://a"}, User: "k", Password: secret.New("worker-password")}},
		"a bearer token": {map[string]string{url: "http://a", "bearer.auth.credentials.source": "STATIC_TOKEN", "bearer.auth.token": "${env:P}"}, nil,
			Registry{URLs: []string{"http://a"}, Token: secret.New("worker-password")}},
		"TLS": {map[string]string{url: "https://a", "schema.registry.ssl.truststore.certificates": p.caPEM, "schema.registry.ssl.keystore.location": p.write(t, "k.p12", p.p12), "schema.registry.ssl.keystore.password": storePassword}, nil, Registry{URLs: []string{"https://a"}}},
	} {
		set := map[string]string{}
		for key, value := range c.set {
			set["value.converter."+key] = value
		}
		s, err := read(t, infra+"challenger.json").With(set).Source(t.Context(), NewWorker(c.environ), resolver(map[string]string{"P": "worker-password"}), CheckOptions{Local: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "TLS" {
			if s.Registry.TLS.CA == "" || s.Registry.TLS.Certificate == "" || s.Registry.TLS.Key.Empty() {
				t.Errorf("%s: %+v", name, s.Registry.TLS)
			}
			s.Registry.TLS = TLS{}
		}
		if !reflect.DeepEqual(s.Registry, c.want) {
			t.Errorf("%s: %+v", name, s.Registry)
		}
	}
	for name, c := range map[string]struct {
		set  map[string]string
		says string
	}{
		"no URL":               {map[string]string{url: "registry:8081"}, "not an http or https URL"},
		"no user info":         {map[string]string{url: "http://a", "basic.auth.credentials.source": "USER_INFO"}, "basic.auth.user.info is missing"},
		"half a user info":     {map[string]string{url: "http://a", "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "hunter2"}, "not user:password"},
		"SASL_INHERIT":         {map[string]string{url: "http://a", "basic.auth.credentials.source": "SASL_INHERIT"}, "the Kafka client has no user"},
		"no bearer token":      {map[string]string{url: "http://a", "bearer.auth.credentials.source": "STATIC_TOKEN"}, "bearer.auth.token is missing"},
		"a token and a user":   {map[string]string{url: "http://a", "bearer.auth.credentials.source": "STATIC_TOKEN", "bearer.auth.token": "hunter2", "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "u:p"}, "and a user and a password too"},
		"another one for keys": {map[string]string{url: "http://a"}, "two registries"},
	} {
		set := map[string]string{"key.converter": "io.confluent.connect.avro.AvroConverter", "key.converter.schema.registry.url": "http://keys"}
		for key, value := range c.set {
			set["value.converter."+key] = value
		}
		_, err := read(t, infra+"challenger.json").With(set).Source(t.Context(), Worker{}, resolver(nil), CheckOptions{Local: true})
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConverters(t *testing.T) {
	for name, c := range map[string]struct {
		set     map[string]string
		environ []string
		key     Converter
		says    string
	}{
		"none anywhere":           {nil, nil, StringConverter, ""},
		"the worker's":            {nil, []string{"CONNECT_KEY_CONVERTER=io.confluent.connect.avro.AvroConverter"}, AvroConverter, ""},
		"the file's before":       {map[string]string{"key.converter": "StringConverter"}, []string{"CONNECT_KEY_CONVERTER=org.apache.kafka.connect.json.JsonConverter"}, StringConverter, ""},
		"the worker's, not built": {nil, []string{"CONNECT_VALUE_CONVERTER=org.apache.kafka.connect.json.JsonConverter"}, "", "CONNECT_VALUE_CONVERTER"},
		"a key's, not built":      {map[string]string{"key.converter": "org.apache.kafka.connect.json.JsonConverter"}, nil, "", "org.apache.kafka.connect.json.JsonConverter"},
		"one that nobody has":     {map[string]string{"key.converter": "com.example.Own"}, nil, "", "no counterpart"},
	} {
		s, err := read(t, infra+"challenger.json").With(c.set).Source(t.Context(), NewWorker(c.environ), resolver(nil), CheckOptions{Local: true})
		switch {
		case c.says == "" && (err != nil || s.KeyConverter != c.key || s.ValueConverter != AvroConverter):
			t.Errorf("%s: %s, %v", name, s.KeyConverter, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v", name, err)
		}
	}
	c := read(t, infra+"gcs-sink.json").With(map[string]string{"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false"})
	if _, problems := c.Explain(Worker{}, CheckOptions{}); len(problems.Errors()) > 0 {
		t.Errorf("a sink reads no keys: %v", problems)
	}
}
