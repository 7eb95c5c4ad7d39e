package secret

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lookTimeout bounds the question when a version was created, which no run waits for longer than it wants to.
const lookTimeout = 2 * time.Second

// numbered is a version by its number; an alias such as latest may be another version tomorrow.
var numbered = regexp.MustCompile(`^projects/[^/]+(/locations/[^/]+)?/secrets/[A-Za-z0-9_-]{1,255}/versions/[0-9]+$`)

// Version is a version of a secret in Secret Manager, without what it holds.
type Version struct {
	// Secret is the secret's resource name, projects/PROJECT/secrets/NAME or
	// projects/PROJECT/locations/LOCATION/secrets/NAME. Secret Manager gives the project by its number.
	Secret string
	// Number is the version's number.
	Number string
	// Created is when the version was added.
	Created time.Time
}

// Oldest is the oldest version of Secret Manager that refs led to when they were resolved last; the zero Version when
// none of them led there, or no creation time is known. It waits for answers that are under way until ctx ends. The
// error says which versions are left out and why ([ErrDenied] where the role is missing); it is for a log, since
// nothing but an age hangs on it.
func (r *Resolver) Oldest(ctx context.Context, refs []Reference) (Version, error) {
	var looks []*look
	r.mu.Lock()
	for _, ref := range refs {
		if l := r.cache[ref].version; l != nil {
			looks = append(looks, l)
		}
	}
	r.mu.Unlock()
	var oldest Version
	var errs []error
	for _, l := range looks {
		created, err := l.wait(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if oldest.Created.IsZero() || created.Before(oldest.Created) {
			name, number, _ := strings.Cut(l.name, "/versions/")
			oldest = Version{Secret: name, Number: number, Created: created}
		}
	}
	return oldest, errors.Join(errs...)
}

// look is one question when a version was created.
type look struct {
	name string
	done chan struct{}
	// What follows is there once done is closed.
	created time.Time
	err     error
	// again is when a question that failed may be asked once more.
	again time.Time
}

func (l *look) wait(ctx context.Context) (time.Time, error) {
	select {
	case <-l.done:
		return l.created, l.err
	default:
	}
	select {
	case <-l.done:
		return l.created, l.err
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("asking when %s was created: %w", l.name, ctx.Err())
	}
}

// due reports whether l failed so long ago that it is worth another try.
func (l *look) due(now time.Time) bool {
	select {
	case <-l.done:
		return l.err != nil && !now.Before(l.again)
	default:
		return false
	}
}

// looks are the questions of one process, each version's asked once unless it failed.
type looks struct {
	mu     sync.Mutex
	now    func() time.Time
	byName map[string]*look
}

// at returns the question about the version of that name and begins it where it was not asked before. Nil is a name
// that is not a numbered version's.
func (q *looks) at(ctx context.Context, client *secretmanager.Client, name string) *look {
	if !numbered.MatchString(name) {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.byName[name]; l != nil && !l.due(q.now()) {
		return l
	}
	l := &look{name: name, done: make(chan struct{})}
	q.byName[name] = l
	go func() {
		defer close(l.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
		defer cancel()
		l.created, l.err = created(ctx, client, name)
		l.again = q.now().Add(keep)
	}()
	return l
}

func created(ctx context.Context, client *secretmanager.Client, name string) (time.Time, error) {
	v, err := client.GetSecretVersion(ctx, &secretmanagerpb.GetSecretVersionRequest{Name: name})
	switch code := status.Code(err); {
	case code == codes.PermissionDenied || code == codes.Unauthenticated:
		return time.Time{}, fmt.Errorf("this identity may not ask when %s was created; grant it roles/secretmanager.viewer on the secret: %w", name, ErrDenied)
	case err != nil:
		return time.Time{}, fmt.Errorf("asking when %s was created: %w", name, err)
	case v.GetCreateTime() == nil:
		return time.Time{}, fmt.Errorf("asking when %s was created: Secret Manager does not say", name)
	}
	return v.GetCreateTime().AsTime(), nil
}

// noteKey is where a resolver's read leaves room for the version that the reader's answer came from.
type noteKey struct{}

func withNote(ctx context.Context, to **look) context.Context {
	return context.WithValue(ctx, noteKey{}, to)
}

// note tells the resolver, if one is reading, which version its value is of.
func note(ctx context.Context, l *look) {
	if to, ok := ctx.Value(noteKey{}).(**look); ok {
		*to = l
	}
}
