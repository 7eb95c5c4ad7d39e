package secret

import (
	"context"
	"errors"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
)

// ErrNotFound is returned for a reference that leads to nothing: no such secret, variable, file or key. The error that
// wraps it names the reference, never a value.
var ErrNotFound = errors.New("secret not found")

// Reference is one ${provider:path} or ${provider:path:key}.
type Reference struct{ Provider, Path, Key string }

// References returns the references of s in their order.
func References(s string) []Reference { return nil }

// Reader reads what one provider's references lead to.
type Reader func(ctx context.Context, path, key string) (string, error)

// Resolver replaces references by what they lead to.
type Resolver struct{}

// NewResolver returns a resolver with the given readers, by provider name.
func NewResolver(readers map[string]Reader) *Resolver { return &Resolver{} }

// Resolve replaces every reference of s.
func (r *Resolver) Resolve(ctx context.Context, s string) (string, error) { return s, nil }

// Refresh reads the references of s once more, past the cache, and reports whether one changed.
func (r *Resolver) Refresh(ctx context.Context, s string) (changed bool, err error) { return false, nil }

// Hide makes Scrub hide v, a credential that came from elsewhere.
func (r *Resolver) Hide(v string) {}

// Scrub replaces every credential known so far by [redacted].
func (r *Resolver) Scrub(s string) string { return s }

// EnvReader reads ${env:NAME}.
func EnvReader(getenv func(string) (string, bool)) Reader {
	return func(context.Context, string, string) (string, error) { return "", ErrNotFound }
}

// FileReader reads ${file:/path} and ${file:/path:key}.
func FileReader() Reader {
	return func(context.Context, string, string) (string, error) { return "", ErrNotFound }
}

// DirReader reads ${dir:/path:file}.
func DirReader() Reader {
	return func(context.Context, string, string) (string, error) { return "", ErrNotFound }
}

// GCPReader reads ${gcpsecret:name}.
func GCPReader(newClient func(context.Context) (*secretmanager.Client, error), project string) Reader {
	return func(context.Context, string, string) (string, error) { return "", ErrNotFound }
}
