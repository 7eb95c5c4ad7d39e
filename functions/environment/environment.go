// Package environment makes a run's surroundings from the process's environment variables: which connector files there
// are, where state lies, how secrets are read, which clients exist.
//
// Everything is lazy: a process that answers a health check has read variables and opened nothing.
package environment

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/storage"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/poll"
	"github.com/riftline/riftline/shared/ratelimit"
	"github.com/riftline/riftline/shared/secret"
)

// Environment is what the environment variables say, and the clients that come of it. The exported fields may be
// replaced before the first run: local mode swaps endpoints by it. It is safe for concurrent use from then on.
type Environment struct {
	// ConnectorsURL is RIFTLINE_CONNECTORS: a folder or gs://bucket/prefix with connector files.
	ConnectorsURL string
	// ConnectorName is RIFTLINE_CONNECTOR: the sink that a job drains.
	ConnectorName string
	// StateURL is RIFTLINE_STATE: gs://bucket/prefix for source offset objects and heads.
	StateURL string
	// Deadline is RIFTLINE_DEADLINE, zero when it is not set.
	Deadline time.Duration
	// Overrides is RIFTLINE_OVERRIDES: keys that win over the file's, by connector name.
	Overrides map[string]map[string]string
	// Resolve is RIFTLINE_RESOLVE: the address that is dialled for a "host:port" of a request URL.
	Resolve map[string]string
	// Audience and Invokers are RIFTLINE_AUDIENCE and RIFTLINE_INVOKERS: for whom a trigger's token must be made, and
	// the accounts that may trigger. Both are empty when no token is asked for.
	Audience string
	Invokers []string

	// Worker holds the CONNECT_* settings, Brokers is CONNECT_BOOTSTRAP_SERVERS.
	Worker  connector.Worker
	Brokers []string
	// Secrets resolves references.
	Secrets *secret.Resolver
	// Local says that an embedded broker, registry and bucket stand in where none is configured.
	Local bool
	// RootCAs are the certificates that HTTP sources are checked against; nil means the system's.
	RootCAs *x509.CertPool
	// NewStorage makes the storage client of the state bucket and of connector files, once.
	NewStorage func(context.Context) (*storage.Client, error)
	// PollDeps is what polls work with besides: fields that are set are kept, the others are filled in for each poll.
	PollDeps poll.Deps
	// DrainDeps is the same for drains.
	DrainDeps drain.Deps
	// Log is the logger of runs. It hides what Secrets knows.
	Log *slog.Logger
	// Getenv looks up a variable of the environment that was read.
	Getenv func(string) string

	// limits are the rate limits of the APIs that polls ask.
	limits ratelimit.Limiter
	// ballast is what makes room in the heap.
	ballast []byte

	mu      sync.Mutex
	client  *storage.Client
	files   map[string]held
	closers []func() error
}

// Version is what User-Agent headers say; the build sets it.
var Version = "dev"

// finish makes what the variables describe.
func (e *Environment) finish(lookup func(string) (string, bool)) {
	e.Getenv = func(name string) string { v, _ := lookup(name); return v }
	e.NewStorage = func(ctx context.Context) (*storage.Client, error) { return bucket.NewClient(ctx) }
	e.Secrets = secret.NewResolver(map[string]secret.Reader{
		"env":       secret.EnvReader(lookup),
		"file":      secret.FileReader(),
		"dir":       secret.DirReader(),
		"gcpsecret": secret.GCPReader(e.secretManager, e.Getenv("GOOGLE_CLOUD_PROJECT")),
	})
	e.Log = logging.FromEnv(os.Stderr, e.Getenv, e.Secrets.Scrub)
}

func (e *Environment) secretManager(ctx context.Context, location string) (*secretmanager.Client, error) {
	c, err := secret.NewGCPClient(ctx, location)
	if err != nil {
		return nil, err
	}
	e.atClose(c.Close)
	return c, nil
}

func (e *Environment) atClose(f func() error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closers = append(e.closers, f)
}

// Storage is the client of the state bucket and of connector files, made at the first call.
func (e *Environment) Storage(ctx context.Context) (*storage.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client != nil {
		return e.client, nil
	}
	// The client outlives the run that asked for it first.
	c, err := e.NewStorage(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("making the storage client: %w", err)
	}
	e.client = c
	e.closers = append(e.closers, c.Close)
	return c, nil
}

// State is the bucket of source offset objects and heads.
func (e *Environment) State(ctx context.Context) (*bucket.Bucket, error) {
	if e.StateURL == "" {
		return nil, poll.Fail(poll.Refused, errors.New("RIFTLINE_STATE is not set: it names the bucket for state, gs://bucket/prefix"))
	}
	return e.bucket(ctx, e.StateURL)
}

func (e *Environment) bucket(ctx context.Context, url string) (*bucket.Bucket, error) {
	c, err := e.Storage(ctx)
	if err != nil {
		return nil, err
	}
	return bucket.Open(c, url)
}

// Close closes the clients that were made.
func (e *Environment) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, f := range e.closers {
		errs = append(errs, f())
	}
	e.closers, e.client = nil, nil
	return errors.Join(errs...)
}

// scrub returns err with every known credential hidden in its text. errors.Is and errors.As see what they saw before.
func (e *Environment) scrub(err error) error {
	if err == nil {
		return nil
	}
	return &scrubbed{text: e.Secrets.Scrub(err.Error()), err: err}
}

// scrubbed has no Unwrap, as the texts inside are not scrubbed.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string        { return s.text }
func (s *scrubbed) Is(target error) bool { return errors.Is(s.err, target) }
func (s *scrubbed) As(target any) bool   { return errors.As(s.err, target) }
