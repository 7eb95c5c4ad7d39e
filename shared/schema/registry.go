package schema

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/singleflight"
)

// Errors of a [Registry], for errors.Is. Each comes wrapped with the request that failed and what to do.
var (
	// ErrIncompatible: the registry refuses the schema (409 or 422), or its latest one cannot be carried on. Trying
	// again does not help; a person must look at the subject's compatibility or write to another topic.
	ErrIncompatible = errors.New("the schema registry refuses the schema")
	// ErrUnavailable: the registry is down, slow, or answers 5xx or 429, after the retries. Trying again later may help.
	ErrUnavailable = errors.New("the schema registry is unavailable")
	// ErrUnauthorized: the registry answers 401 or 403. Check its credentials.
	ErrUnauthorized = errors.New("the schema registry refuses the credentials")
	// ErrUnknownID: the registry has no schema with this id.
	ErrUnknownID = errors.New("the schema registry does not know the schema id")
	// ErrUnknownVersion: the subject has no version of the schema.
	ErrUnknownVersion = errors.New("the subject does not have the schema")
	// ErrUnusable: the schema is none of Avro, or it refers to schemas that are not there, refer to each other in a circle
	// or are too many. Trying again does not help.
	ErrUnusable = errors.New("the schema cannot be used")
)

const (
	// registryTimeout bounds one request to one URL.
	registryTimeout = 5 * time.Second
	// idleTimeout is how long a connection is kept for another request.
	idleTimeout = 3 * time.Second
	// registryTries is how often a request is sent when the registry does not answer or answers 5xx.
	registryTries = 3
	// registryWait is the wait before the second try; before the third it is four times as long.
	registryWait = 250 * time.Millisecond
	// ensureTries is how often the latest schema is read and merged when registering meets a conflict.
	ensureTries = 4
	// maxReferences bounds how many schemas one schema may refer to, directly and by way of others.
	maxReferences = 100
)

// Registry is a Confluent-compatible schema registry. It is safe for concurrent use.
type Registry struct {
	client *sr.Client
	// place is the registry's address as it may be shown.
	place string
	sleep func(ctx context.Context, d time.Duration) error

	flight singleflight.Group
	mu     sync.Mutex
	byID   map[int]string
	// versions are those of [Registry.Version].
	versions map[subjectID]int
}

// Registered is a schema as the registry holds it.
type Registered struct {
	// ID is what the wire format's header carries.
	ID     int
	Schema *Schema
	// New is true when this call registered it.
	New bool
}

// NewRegistry prepares a client; no request is made. It fails when no URL is given or the certificates cannot be read.
// A user and a password in a URL are used when the settings have none.
func NewRegistry(c connector.Registry) (*Registry, error) {
	var addresses []string
	user, password := c.User, c.Password.Reveal()
	for _, address := range c.URLs {
		u, err := url.Parse(strings.TrimSpace(address))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("preparing the schema registry's client: value.converter.schema.registry.url has something that is no http or https URL")
		}
		if u.User != nil && user == "" {
			user = u.User.Username()
			password, _ = u.User.Password()
		}
		u.User = nil
		addresses = append(addresses, u.String())
	}
	if len(addresses) == 0 {
		return nil, errors.New("preparing the schema registry's client: value.converter.schema.registry.url is not set")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// Whoever asks a registry asks at once what there is to ask; a connection kept for longer only adds up.
	transport.IdleConnTimeout = idleTimeout
	var err error
	if transport.TLSClientConfig, err = tlsConfig(c.TLS); err != nil {
		return nil, fmt.Errorf("preparing the schema registry's client: %w", err)
	}
	options := []sr.ClientOpt{
		sr.URLs(addresses...), sr.UserAgent("riftline"), sr.HTTPClient(&http.Client{
			Transport: transport, Timeout: registryTimeout,
			// A redirect could carry the credentials to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
	}
	switch {
	case user != "":
		options = append(options, sr.BasicAuth(user, password))
	case !c.Token.Empty():
		options = append(options, sr.BearerToken(c.Token.Reveal()))
	}
	client, err := sr.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("preparing the schema registry's client: %w", err)
	}
	return &Registry{client: client, place: strings.Join(addresses, ","), sleep: sleep, byID: map[int]string{}, versions: map[subjectID]int{}}, nil
}

// Ensure makes sure that the subject's latest schema takes every entry that inferred takes, and returns it. It reads the
// latest schema and merges the two; when that changes nothing, nothing is registered. When another writer registers at
// the same time (409), it starts over, at most three times.
//
// Its errors wrap [ErrIncompatible], [ErrUnavailable] or [ErrUnauthorized]; [ErrUnmergeable] comes with ErrIncompatible.
func (r *Registry) Ensure(ctx context.Context, subject string, inferred *Schema) (Registered, error) {
	seen := 0
	var conflict error
	for range ensureTries {
		latest, found, err := r.latest(ctx, subject)
		if err != nil {
			return Registered{}, err
		}
		if conflict != nil && latest.number == seen {
			// Nobody else registered anything, so the registry refuses this schema and would do so again.
			return Registered{}, fmt.Errorf("%w (the schema only grows as BACKWARD allows: set the subject's compatibility to that or to NONE, or let the connector write to a new topic)", conflict)
		}
		seen = latest.number
		merged := inferred
		if found {
			if merged, err = inferred.Merge(latest.schema); err != nil {
				return Registered{}, fmt.Errorf("merging the answer's schema into version %d of subject %s at %s: %w: %w",
					latest.number, subject, r.place, ErrIncompatible, err)
			}
			if merged.Equal(latest.schema) {
				return Registered{ID: latest.id, Schema: merged}, nil
			}
		}
		id, err := r.register(ctx, subject, merged.Text())
		if err == nil {
			return Registered{ID: id, Schema: merged, New: true}, nil
		}
		if conflict = err; !isConflict(err) {
			return Registered{}, err
		}
	}
	return Registered{}, conflict
}

// EnsureKey makes sure that text, any Avro schema, is registered under subject and returns its id. A schema that is
// registered already is found without the right to register. Its errors are Ensure's.
func (r *Registry) EnsureKey(ctx context.Context, subject, text string) (id int, err error) {
	err = r.ask(ctx, "looking up the schema of subject "+subject, func(ctx context.Context) error {
		found, err := r.client.LookupSchema(ctx, subject, sr.Schema{Schema: text, Type: sr.TypeAvro})
		id = found.ID
		return err
	})
	if err == nil {
		return id, nil
	}
	if !isNotFound(err) {
		return 0, err
	}
	return r.register(ctx, subject, text)
}

// ByID returns the text of the Avro schema with this id. Types that other subjects hold (schema references) are written
// into it. Schemas never change, so each is asked for once, also by callers at the same time.
//
// Its errors wrap [ErrUnknownID], [ErrUnusable], [ErrUnavailable] or [ErrUnauthorized].
func (r *Registry) ByID(ctx context.Context, id int) (text string, err error) {
	r.mu.Lock()
	text, found := r.byID[id]
	r.mu.Unlock()
	if found {
		return text, nil
	}
	// The request goes on when the caller that began it gives up, since others may wait for it too. It ends by itself.
	result := r.flight.DoChan(strconv.Itoa(id), func() (any, error) { return r.fetch(context.WithoutCancel(ctx), id) })
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("reading schema %d at %s: %w: %w", id, r.place, ErrUnavailable, ctx.Err())
	case got := <-result:
		if got.Err != nil {
			return "", got.Err
		}
		return got.Val.(string), nil
	}
}

func (r *Registry) fetch(ctx context.Context, id int) (string, error) {
	var s sr.Schema
	what := fmt.Sprintf("reading schema %d", id)
	err := r.ask(ctx, what, func(ctx context.Context) (err error) {
		s, err = r.client.SchemaByID(ctx, id)
		return err
	})
	if isNotFound(err) {
		return "", fmt.Errorf("%s at %s: %w", what, r.place, ErrUnknownID)
	}
	if err != nil {
		return "", err
	}
	if s.Type != sr.TypeAvro {
		return "", fmt.Errorf("%s at %s: %w: it is a %s schema, and only Avro is read", what, r.place, ErrUnusable, s.Type)
	}
	text := s.Schema
	if len(s.References) > 0 {
		n, err := r.resolve(ctx, s)
		if err != nil {
			return "", fmt.Errorf("%s at %s: %w", what, r.place, err)
		}
		text = render(n)
	}
	r.mu.Lock()
	r.byID[id] = text
	r.mu.Unlock()
	return text, nil
}

// Version is the version that the schema with this id has in a subject, also when it was deleted there since; the
// highest one, should there be several. Versions never change, so each is asked for once.
//
// Its errors wrap [ErrUnknownVersion], [ErrUnavailable] or [ErrUnauthorized].
func (r *Registry) Version(ctx context.Context, subject string, id int) (int, error) {
	key := subjectID{subject, id}
	r.mu.Lock()
	number, found := r.versions[key]
	r.mu.Unlock()
	if found {
		return number, nil
	}
	var all []sr.SubjectVersion
	what := fmt.Sprintf("reading the versions of schema %d", id)
	err := r.ask(ctx, what, func(ctx context.Context) (err error) {
		all, err = r.client.SchemaVersionsByID(sr.WithParams(ctx, sr.ShowDeleted), id)
		return err
	})
	if err != nil && !isNotFound(err) {
		return 0, err
	}
	for _, v := range all {
		if v.Subject == subject {
			number = max(number, v.Version)
		}
	}
	if number == 0 {
		return 0, fmt.Errorf("%s at %s: %w: %s", what, r.place, ErrUnknownVersion, subject)
	}
	r.mu.Lock()
	r.versions[key] = number
	r.mu.Unlock()
	return number, nil
}

type subjectID struct {
	subject string
	id      int
}

// version is one version of a subject.
type version struct {
	id, number int
	schema     *Schema
}

func (r *Registry) latest(ctx context.Context, subject string) (version, bool, error) {
	var s sr.SubjectSchema
	what := "reading the latest schema of subject " + subject
	err := r.ask(ctx, what, func(ctx context.Context) (err error) {
		s, err = r.client.SchemaByVersion(ctx, subject, -1)
		return err
	})
	if isNotFound(err) {
		return version{}, false, nil
	}
	if err != nil {
		return version{}, false, err
	}
	refuse := func(err error) (version, bool, error) {
		return version{}, false, fmt.Errorf("%s at %s: version %d: %w: %w: %w", what, r.place, s.Version, ErrIncompatible, ErrUnmergeable, err)
	}
	if s.Type != sr.TypeAvro {
		return refuse(fmt.Errorf("it is a %s schema; let the connector write to a new topic", s.Type))
	}
	n, err := r.resolve(ctx, s.Schema)
	if err != nil {
		return refuse(err)
	}
	if n.kind != kindRecord {
		return refuse(fmt.Errorf("it is %s and no record; let the connector write to a new topic", n.kind))
	}
	return version{id: s.ID, number: s.Version, schema: finish(n)}, true, nil
}

func (r *Registry) register(ctx context.Context, subject, text string) (id int, err error) {
	err = r.ask(ctx, "registering a schema for subject "+subject, func(ctx context.Context) (err error) {
		id, err = r.client.RegisterSchema(ctx, subject, sr.Schema{Schema: text, Type: sr.TypeAvro}, -1, -1)
		return err
	})
	return id, err
}

// resolve parses a schema after the schemas that it refers to.
func (r *Registry) resolve(ctx context.Context, s sr.Schema) (*node, error) {
	p := &parser{types: map[string]*node{}}
	if err := r.references(ctx, p, s, map[sr.SchemaReference]resolution{}); err != nil {
		return nil, err
	}
	n, err := p.text(s.Schema)
	if err != nil && len(s.References) > 0 {
		return nil, fmt.Errorf("%w: with the schemas that it refers to, %w", ErrUnusable, err)
	}
	return n, err
}

// resolution is how far a reference is followed.
type resolution uint8

const (
	following resolution = iota + 1
	followed
)

func (r *Registry) references(ctx context.Context, p *parser, s sr.Schema, seen map[sr.SchemaReference]resolution) error {
	for _, ref := range s.References {
		key := sr.SchemaReference{Subject: ref.Subject, Version: ref.Version}
		switch seen[key] {
		case followed:
			continue
		case following:
			return fmt.Errorf("%w: version %d of subject %s refers to itself, by way of others", ErrUnusable, ref.Version, ref.Subject)
		}
		if seen[key] = following; len(seen) > maxReferences {
			return fmt.Errorf("%w: it refers to more than %d other schemas", ErrUnusable, maxReferences)
		}
		var found sr.SubjectSchema
		what := fmt.Sprintf("reading version %d of subject %s, which the schema refers to", ref.Version, ref.Subject)
		err := r.ask(ctx, what, func(ctx context.Context) (err error) {
			found, err = r.client.SchemaByVersion(sr.WithParams(ctx, sr.ShowDeleted), ref.Subject, ref.Version)
			return err
		})
		if isNotFound(err) {
			return fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		if err != nil {
			return err
		}
		if err := r.references(ctx, p, found.Schema, seen); err != nil {
			return err
		}
		if _, err := p.text(found.Schema.Schema); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnusable, what, err)
		}
		seen[key] = followed
	}
	return nil
}

// ask sends a request, again when it may help, and names what failed.
func (r *Registry) ask(ctx context.Context, what string, send func(context.Context) error) error {
	wait := registryWait
	for try := 1; ; try++ {
		err := send(ctx)
		if err == nil {
			return nil
		}
		retry, kind := classify(err)
		if retry && try < registryTries && ctx.Err() == nil && r.sleep(ctx, wait) == nil {
			wait *= 4
			continue
		}
		if kind == nil {
			return fmt.Errorf("%s at %s: %w", what, r.place, plain(err))
		}
		return fmt.Errorf("%s at %s: %w: %w", what, r.place, kind, plain(err))
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
