package secret

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// ErrNotFound is returned for a reference that leads to nothing: no such secret, variable, file or key, or no reader for
// its provider. The error that wraps it names the reference, never a value.
var ErrNotFound = errors.New("secret not found")

// ErrDenied is returned when a reference leads to something that this identity must not read. The error that wraps it
// names the reference and the role that is missing.
var ErrDenied = errors.New("access to the secret denied")

const (
	// keep is how long a value is held before it is read again.
	keep = 5 * time.Minute
	// readTimeout bounds one read of one reference, whoever waits for it.
	readTimeout = 30 * time.Second
)

// Reader reads what one provider's references lead to. An error wraps [ErrNotFound] when there is nothing, and never
// contains a value.
type Reader func(ctx context.Context, path, key string) (string, error)

// Resolver replaces references by what they lead to, holds each for five minutes, and knows every credential that went
// through it. Many goroutines may use one resolver; a reference that several ask for at once is read once.
type Resolver struct {
	readers map[string]Reader
	now     func() time.Time
	flight  singleflight.Group

	mu    sync.Mutex
	cache map[Reference]held
	// credentials are the references that were resolved as credentials.
	credentials map[Reference]bool

	hidden   sync.Mutex
	known    map[string]bool
	scrubber atomic.Pointer[strings.Replacer]
}

type held struct {
	value string
	until time.Time
	// version is nil for what did not come from Secret Manager.
	version *look
}

// NewResolver returns a resolver with the given readers, by provider name ([GCPSecret], [Env], [File], [Dir]).
func NewResolver(readers map[string]Reader) *Resolver {
	return &Resolver{readers: readers, now: time.Now, cache: map[Reference]held{}, credentials: map[Reference]bool{}, known: map[string]bool{}}
}

// Resolve replaces every reference of s and makes Scrub hide what they lead to. A text without references is returned
// as it is. The error wraps [ErrNotFound] or [ErrDenied] where that is the reason; with several bad references it names
// them all.
func (r *Resolver) Resolve(ctx context.Context, s string) (string, error) {
	return r.resolve(ctx, s, func(Reference) bool { return true })
}

// ResolvePlain is Resolve for a setting that is no credential, such as a bucket's name: values of the providers env,
// file and dir are not hidden by Scrub, which would otherwise take the name out of every message. What comes from
// Secret Manager is hidden all the same.
func (r *Resolver) ResolvePlain(ctx context.Context, s string) (string, error) {
	return r.resolve(ctx, s, func(ref Reference) bool { return ref.Provider == GCPSecret })
}

func (r *Resolver) resolve(ctx context.Context, s string, hide func(Reference) bool) (string, error) {
	pieces := split(s)
	var b strings.Builder
	var errs []error
	for _, p := range pieces {
		if !p.isReference {
			b.WriteString(p.text)
			continue
		}
		value, err := r.get(ctx, p.reference)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if hide(p.reference) {
			r.mu.Lock()
			r.credentials[p.reference] = true
			r.mu.Unlock()
			r.Hide(value)
		}
		b.WriteString(value)
	}
	if len(errs) > 0 {
		return "", errors.Join(errs...)
	}
	return b.String(), nil
}

// Refresh reads the references of s once more, past the cache, and reports whether one of them leads to something else
// than before (or was not held before). The new values are what Resolve gives from now on; Scrub hides those of
// references that were resolved as credentials, and the old ones still.
func (r *Resolver) Refresh(ctx context.Context, s string) (changed bool, err error) {
	var errs []error
	seen := map[Reference]bool{}
	for _, ref := range References(s) {
		if seen[ref] {
			continue
		}
		seen[ref] = true
		r.mu.Lock()
		before, had := r.cache[ref]
		credential := r.credentials[ref] || ref.Provider == GCPSecret
		r.mu.Unlock()
		value, err := r.read(ctx, "refresh ", ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if credential {
			r.Hide(value)
		}
		changed = changed || !had || before.value != value
	}
	return changed, errors.Join(errs...)
}

func (r *Resolver) get(ctx context.Context, ref Reference) (string, error) {
	r.mu.Lock()
	h, ok := r.cache[ref]
	r.mu.Unlock()
	if ok && r.now().Before(h.until) {
		return h.value, nil
	}
	return r.read(ctx, "", ref)
}

// read reads ref in one flight for all that ask at the same time. The read outlives a caller that gives up, so that the
// others still get its value.
func (r *Resolver) read(ctx context.Context, purpose string, ref Reference) (string, error) {
	reader, ok := r.readers[ref.Provider]
	if !ok {
		return "", fmt.Errorf("resolving %s: nothing here reads %q references: %w", ref, ref.Provider, ErrNotFound)
	}
	done := r.flight.DoChan(purpose+ref.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		var version *look
		value, err := reader(withNote(ctx, &version), ref.Path, ref.Key)
		if err != nil {
			return "", fmt.Errorf("resolving %s: %w", ref, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cache[ref] = held{value: value, until: r.now().Add(keep), version: version}
		return value, nil
	})
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("resolving %s: %w", ref, ctx.Err())
	case result := <-done:
		return result.Val.(string), result.Err
	}
}
