package kafka

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/google"

	"github.com/riftline/riftline/shared/connector"
)

// tokenTimeout bounds one request for an OAuth token.
const tokenTimeout = 10 * time.Second

func mechanism(s connector.SASL) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: s.Password.Reveal()}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: s.Password.Reveal()}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: s.Password.Reveal()}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		if s.Google {
			return bearer(&googleTokens{}), nil
		}
		if s.TokenEndpoint == "" {
			return nil, errors.New("sasl.mechanism OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url, or Google's login callback handler for Google Managed Kafka")
		}
		return bearer(clientCredentials(s)), nil
	}
	return nil, fmt.Errorf("sasl.mechanism %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", s.Mechanism)
}

// tokens gives a token for one SASL session.
type tokens interface {
	token(ctx context.Context) (string, error)
}

func bearer(t tokens) sasl.Mechanism {
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
		defer cancel()
		text, err := t.token(ctx)
		if err != nil {
			return oauth.Auth{}, fmt.Errorf("%w: getting an OAuth token: %w", ErrAuthentication, err)
		}
		return oauth.Auth{Token: text}, nil
	})
}

// endpointTokens are those of OAuth's client credentials grant (RFC 6749, section 4.4).
type endpointTokens struct {
	source oauth2.TokenSource
	url    string
}

func clientCredentials(s connector.SASL) *endpointTokens {
	c := clientcredentials.Config{ClientID: s.ClientID, ClientSecret: s.ClientSecret.Reveal(), TokenURL: s.TokenEndpoint}
	if s.Scope != "" {
		c.Scopes = []string{s.Scope}
	}
	// The source outlives the request that first needs a token, hence a client with its own timeout.
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Timeout: tokenTimeout})
	return &endpointTokens{source: c.TokenSource(ctx), url: s.TokenEndpoint}
}

func (e *endpointTokens) token(context.Context) (string, error) {
	t, err := e.source.Token()
	if err == nil {
		return t.AccessToken, nil
	}
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		// The answer's body may repeat what was sent.
		return "", fmt.Errorf("%s answered %s %s", e.url, refused.Response.Status, refused.ErrorCode)
	}
	return "", err
}

// googleTokens are those that Google's Managed Service for Apache Kafka takes: an access token of Application Default
// Credentials in the shape of a JWT (https://github.com/googleapis/managedkafka).
type googleTokens struct {
	mu sync.Mutex
	// source and principal are set by tests; otherwise they are found at the first token.
	source    oauth2.TokenSource
	principal string
	now       func() time.Time
}

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

func (g *googleTokens) token(ctx context.Context) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.source == nil {
		if err := g.find(ctx); err != nil {
			return "", err
		}
	}
	t, err := g.source.Token()
	if err != nil {
		return "", err
	}
	now := time.Now
	if g.now != nil {
		now = g.now
	}
	return googleToken(t, g.principal, now())
}

func (g *googleTokens) find(ctx context.Context) error {
	// The source outlives ctx.
	found, err := google.FindDefaultCredentials(context.WithoutCancel(ctx), cloudPlatform)
	if err != nil {
		return fmt.Errorf("finding Application Default Credentials: %w", err)
	}
	principal := os.Getenv("GOOGLE_MANAGED_KAFKA_AUTH_PRINCIPAL")
	if principal == "" {
		var file struct {
			ClientEmail string `json:"client_email"`
		}
		_ = json.Unmarshal(found.JSON, &file)
		principal = file.ClientEmail
	}
	if principal == "" && metadata.OnGCEWithContext(ctx) {
		if principal, err = metadata.EmailWithContext(ctx, "default"); err != nil {
			return fmt.Errorf("asking the metadata server for the service account: %w", err)
		}
	}
	if principal == "" {
		return errors.New("the credentials do not tell the service account; set GOOGLE_MANAGED_KAFKA_AUTH_PRINCIPAL to its e-mail address")
	}
	g.principal, g.source = principal, found.TokenSource
	return nil
}

func googleToken(t *oauth2.Token, principal string, now time.Time) (string, error) {
	expiry := t.Expiry
	if expiry.IsZero() {
		expiry = now.Add(time.Hour)
	}
	payload, err := json.Marshal(map[string]any{
		"exp": expiry.Unix(), "iat": now.Unix(), "iss": "Google", "scope": "kafka", "sub": principal,
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"typ":"JWT","alg":"GOOG_OAUTH2_TOKEN"}`)) + "." + encode(payload) + "." + encode([]byte(t.AccessToken)), nil
}

// progress counts SASL exchanges. A broker may answer wrong credentials by closing the connection; an exchange that was
// begun and did not end tells that from other lost connections.
type progress struct{ begun, done atomic.Int64 }

func (p *progress) open() bool { return p.begun.Load() > p.done.Load() }

// watched is a mechanism whose exchanges are counted.
type watched struct {
	sasl.Mechanism
	seen *progress
}

func (w watched) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := w.Mechanism.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	w.seen.begun.Add(1)
	return watchedSession{session, w.seen}, first, nil
}

type watchedSession struct {
	sasl.Session
	seen *progress
}

func (w watchedSession) Challenge(answer []byte) (bool, []byte, error) {
	done, next, err := w.Session.Challenge(answer)
	if err != nil {
		return done, next, fmt.Errorf("%w: %w", ErrAuthentication, err)
	}
	if done {
		w.seen.done.Add(1)
	}
	return done, next, nil
}
