package poller

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/api/option"
)

// google signs tokens and serves the key that they are checked with.
type google struct {
	key *rsa.PrivateKey
}

func (g google) RoundTrip(*http.Request) (*http.Response, error) {
	n := base64.RawURLEncoding.EncodeToString(g.key.N.Bytes())
	e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(g.key.E)).Bytes())
	body, err := json.Marshal(map[string]any{"keys": []map[string]string{{"kid": "1", "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e}}})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, err
}

func (g google) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	text := part(map[string]string{"alg": "RS256", "kid": "1", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, g.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestTokens(t *testing.T) {
	newGoogle := func() google {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return google{key}
	}
	real, other := newGoogle(), newGoogle()
	const invoker = "scheduler@project.iam.gserviceaccount.com"
	tokens := &tokens{
		audience: "https://poller.example", invokers: []string{"pubsub@project.iam.gserviceaccount.com", invoker},
		options: []option.ClientOption{option.WithHTTPClient(&http.Client{Transport: real})},
	}
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{
			"iss": "https://accounts.google.com", "aud": "https://poller.example", "email": invoker, "email_verified": true,
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		}
		for name, value := range change {
			c[name] = value
		}
		return c
	}
	for _, c := range []struct {
		situation string
		header    string
		ok        bool
		forbidden bool
	}{
		{"an invoker's token", "Bearer " + real.token(t, claims(nil)), true, false},
		{"scheme in lower case", "bearer " + real.token(t, claims(nil)), true, false},
		{"the short issuer", "Bearer " + real.token(t, claims(map[string]any{"iss": "accounts.google.com"})), true, false},
		{"no header", "", false, false},
		{"another scheme", "Basic dTpw", false, false},
		{"no token", "Bearer ", false, false},
		{"not a token", "Bearer a.b.c", false, false},
		{"signed by somebody else", "Bearer " + other.token(t, claims(nil)), false, false},
		{"made for another audience", "Bearer " + real.token(t, claims(map[string]any{"aud": "https://other.example"})), false, false},
		{"expired", "Bearer " + real.token(t, claims(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})), false, false},
		{"another issuer", "Bearer " + real.token(t, claims(map[string]any{"iss": "https://evil.example"})), false, false},
		{"an account that is no invoker", "Bearer " + real.token(t, claims(map[string]any{"email": "evil@other.iam.gserviceaccount.com"})), false, true},
		{"an e-mail address that is not verified", "Bearer " + real.token(t, claims(map[string]any{"email_verified": false})), false, true},
		{"no e-mail address", "Bearer " + real.token(t, claims(map[string]any{"email": nil})), false, true},
	} {
		t.Run(c.situation, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/Poll", http.NoBody)
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
			err := tokens.authenticate(r)
			if (err == nil) != c.ok || errors.Is(err, errForbidden) != c.forbidden {
				t.Errorf("got %v", err)
			}
		})
	}
}

type refuse struct{ err error }

func (r refuse) authenticate(*http.Request) error { return r.err }

func TestTriggersWithoutATokenAreRefused(t *testing.T) {
	w := newWorld(t)
	s := w.service("RIFTLINE_AUDIENCE=https://poller.example", "RIFTLINE_INVOKERS=scheduler@project.iam.gserviceaccount.com")
	for _, h := range []http.HandlerFunc{s.poll, s.pollEvent} {
		if status, summary, _ := post(t, h, trig); status != http.StatusUnauthorized || summary.Error == "" {
			t.Errorf("without a token: %d", status)
		}
	}
	s.auth = refuse{errForbidden}
	for _, h := range []http.HandlerFunc{s.poll, s.pollEvent} {
		if status, _, _ := post(t, h, trig); status != http.StatusForbidden {
			t.Errorf("no invoker: %d", status)
		}
	}
	if n := len(w.riot.Served()); n != 0 {
		t.Errorf("the API was asked %d times", n)
	}
	s.auth = refuse{nil}
	if status, _, _ := post(t, s.poll, trig); status != http.StatusOK {
		t.Errorf("an invoker: %d", status)
	}
}
