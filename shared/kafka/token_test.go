package kafka

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
)

func TestGoogleToken(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	g := &googleTokens{
		source:    oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "ya29.token", Expiry: now.Add(30 * time.Minute)}),
		principal: "riftline@project.iam.gserviceaccount.com", now: func() time.Time { return now },
	}
	text, err := g.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for part := range strings.SplitSeq(text, ".") {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(b))
	}
	want := []string{
		`{"typ":"JWT","alg":"GOOG_OAUTH2_TOKEN"}`,
		`{"exp":1700001800,"iat":1700000000,"iss":"Google","scope":"kafka","sub":"riftline@project.iam.gserviceaccount.com"}`,
		`ya29.token`,
	}
	if strings.Join(parts, "\n") != strings.Join(want, "\n") {
		t.Fatalf("token %q", parts)
	}
}

func TestGoogleWithoutCredentials(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent")
	_, _, err := bearer(&googleTokens{}).Authenticate(t.Context(), "broker")
	if !errors.Is(err, ErrAuthentication) || !strings.Contains(err.Error(), "Application Default Credentials") {
		t.Fatal(err)
	}
}

func TestClientCredentials(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		user, pass, _ := r.BasicAuth()
		if user != "id" || pass != password || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s is wrong"}`, pass)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"access_token":"the-token","token_type":"Bearer","expires_in":3600}`)
	}))
	defer s.Close()
	c := connector.SASL{Mechanism: "OAUTHBEARER", TokenEndpoint: s.URL + "/token", ClientID: "id", ClientSecret: secret.New(password), Scope: "kafka"}
	m, err := mechanism(c)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, first, err := m.Authenticate(t.Context(), "broker")
		if err != nil || !strings.Contains(string(first), "auth=Bearer the-token") {
			t.Fatalf("%q, %v", first, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	c.ClientSecret = secret.New("wrong-" + password)
	m, err = mechanism(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = m.Authenticate(t.Context(), "broker"); !errors.Is(err, ErrAuthentication) || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "401") {
		t.Fatal(err)
	}
}
