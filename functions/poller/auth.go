package poller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/api/idtoken"
	"google.golang.org/api/option"
)

// errForbidden says that a token is genuine, and not that of an account that may trigger.
var errForbidden = errors.New("not an invoker")

type authenticator interface {
	authenticate(r *http.Request) error
}

// tokens takes Google's OIDC tokens, as Pub/Sub push subscriptions and Cloud Scheduler send them. Audience and
// signature alone prove little, since anyone with a service account can have a token made for any audience: the
// account itself must be one of the invokers.
type tokens struct {
	audience string
	invokers []string
	// options are those of the client that fetches Google's keys.
	options []option.ClientOption

	mu        sync.Mutex
	validator *idtoken.Validator
}

// keysTimeout bounds fetching Google's public keys, which are cached afterwards.
const keysTimeout = 10 * time.Second

func (t *tokens) authenticate(r *http.Request) error {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return errors.New("checking the token: there is none")
	}
	v, err := t.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), keysTimeout)
	defer cancel()
	payload, err := v.Validate(ctx, token, t.audience)
	if err != nil {
		return fmt.Errorf("checking the token: %w", err)
	}
	if payload.Issuer != "https://accounts.google.com" && payload.Issuer != "accounts.google.com" {
		return fmt.Errorf("checking the token: issuer %q", payload.Issuer)
	}
	email, _ := payload.Claims["email"].(string)
	if verified, _ := payload.Claims["email_verified"].(bool); !verified {
		return fmt.Errorf("checking the token: its e-mail address is not verified: %w", errForbidden)
	}
	if !slices.Contains(t.invokers, email) {
		return fmt.Errorf("checking the token: account %q is not in RIFTLINE_INVOKERS: %w", email, errForbidden)
	}
	return nil
}

func (t *tokens) open() (*idtoken.Validator, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.validator == nil {
		v, err := idtoken.NewValidator(context.Background(), t.options...)
		if err != nil {
			return nil, fmt.Errorf("preparing to check tokens: %w", err)
		}
		t.validator = v
	}
	return t.validator, nil
}
