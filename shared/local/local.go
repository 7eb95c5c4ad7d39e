// Package local brings up, inside this process, the parts of the pipeline that are not real: an Apache Kafka broker, a
// schema registry, Cloud Storage and, when asked for, the Riot API. Then the functions run as they would in the cloud,
// by the same code; what differs is where their clients connect to.
//
// Each part can be the real one: the broker by CONNECT_BOOTSTRAP_SERVERS; the registry by
// CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL or an override; the bucket by STORAGE_EMULATOR_HOST or [Options].RealBucket;
// secrets by [Options].SecretManager. What is none of these is embedded, and keeps what it holds under [Options].Dir:
//
//	DIR/gcs/BUCKET/…       the objects, as plain files; the state bucket's too
//	DIR/.state/kafka       topics, records, committed offsets, transactions
//	DIR/.state/registry    schemas
//	DIR/.state/riot.json   how far the simulated ladder has moved
//
// A later start on the same folder goes on with all of it, also when the earlier process was killed.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/broker"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/local/registry"
	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/secret"
)

// ErrConfiguration says that what was asked for does not fit together; the message says what to change.
var ErrConfiguration = errors.New("local mode can't run this")

// ErrInUse says that another process works on the folder. It comes wrapped; wait for the other one, or take another
// folder.
var ErrInUse = errors.New("in use by another riftline run")

// StateBucket is the embedded bucket for source offset objects and heads, unless RIFTLINE_STATE names another.
const StateBucket = "riftline-state"

// Options says what runs where.
type Options struct {
	// Dir is the folder that holds everything that is embedded.
	Dir string
	// Environ is the process's environment ("NAME=value").
	Environ []string
	// Source and Sink are the connectors that will run, as their files have them.
	Source, Sink connector.Connector
	// Overrides are keys that win over the connector files, by connector name. They win over RIFTLINE_OVERRIDES too.
	Overrides map[string]map[string]string
	// Simulate puts the simulated Riot API behind the source's URL.
	Simulate bool
	// RealBucket uses Cloud Storage itself, with the credentials of the environment.
	RealBucket bool
	// SecretManager reads ${gcpsecret:…} from Google Secret Manager rather than from the environment.
	SecretManager secret.Reader
	// Log gets what is worth knowing; nil is silent.
	Log *slog.Logger
}

// Local is what was brought up. Its fields are what an environment for the functions is made of.
type Local struct {
	// Environ is the environment that the functions are to be given in place of the process's own.
	Environ []string
	// NewStorage makes a client of the bucket, embedded or real.
	NewStorage func(context.Context) (*storage.Client, error)
	// Secrets resolves references as local mode does.
	Secrets *secret.Resolver

	// Simulator, Broker, Registry and GCS are nil where the part is real, or not asked for.
	Simulator *riot.Server
	Broker    *broker.Broker
	Registry  *registry.Registry
	GCS       *gcs.Server

	o       Options
	seed    uint64
	closers []func() error
}

// Start brings up what is not real, makes the buckets and topics that the connectors name, and returns what the
// functions need to find all that. The error is [ErrConfiguration], [ErrInUse] or a failure of this machine.
func Start(ctx context.Context, o Options) (_ *Local, err error) {
	l := &Local{o: o}
	if l.o.Log == nil {
		l.o.Log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := os.MkdirAll(l.state(), 0o750); err != nil {
		return nil, fmt.Errorf("making %s: %w", l.state(), err)
	}
	release, err := lock(l.state("lock"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Dir, err)
	}
	l.closers = append(l.closers, release)

	s := newSettings(o)
	l.o.Source, l.o.Sink = s.o.Source, s.o.Sink
	for _, start := range []func(context.Context, *settings) error{
		l.startBroker, l.startRegistry, l.startBucket, l.startSimulator,
	} {
		if err := start(ctx, s); err != nil {
			return nil, err
		}
	}
	l.Secrets = secret.NewResolver(l.readers(s))
	l.Environ, err = s.environ()
	return l, err
}

// Close stops what was started, in reverse order. What the parts hold stays in the folder.
func (l *Local) Close() error {
	var errs []error
	for i := len(l.closers) - 1; i >= 0; i-- {
		errs = append(errs, l.closers[i]())
	}
	l.closers = nil
	return errors.Join(errs...)
}

func (l *Local) state(names ...string) string {
	return filepath.Join(append([]string{l.o.Dir, ".state"}, names...)...)
}

func (l *Local) startBroker(ctx context.Context, s *settings) error {
	if s.get("CONNECT_BOOTSTRAP_SERVERS") != "" {
		return nil
	}
	b, err := broker.New(broker.Options{Dir: l.state("kafka")})
	if err != nil {
		return fmt.Errorf("opening the embedded broker in %s: %w", l.state("kafka"), err)
	}
	l.Broker = b
	l.closers = append(l.closers, func() error { b.Close(); return nil })
	partitions := int32(1)
	if n, err := strconv.ParseInt(l.o.Source.Config["topic.creation.default.partitions"], 10, 32); err == nil && n > 0 {
		partitions = int32(n)
	}
	for _, topic := range topics(l.o.Source, l.o.Sink) {
		if err := b.CreateTopic(ctx, topic, partitions); err != nil {
			return err
		}
	}
	s.embeddedBroker(b.Addr())
	return nil
}

func (l *Local) startRegistry(_ context.Context, s *settings) error {
	if s.registryIsReal() {
		return nil
	}
	r, err := registry.New(registry.Options{File: l.state("registry")})
	if err != nil {
		return err
	}
	l.Registry = r
	l.closers = append(l.closers, r.Close)
	s.embeddedRegistry(r.URL())
	return nil
}

func (l *Local) startBucket(ctx context.Context, s *settings) error {
	l.NewStorage = func(ctx context.Context) (*storage.Client, error) { return bucket.NewClient(ctx) }
	switch {
	case l.o.RealBucket:
		if s.get("RIFTLINE_STATE") == "" {
			return fmt.Errorf("%w: with a real bucket RIFTLINE_STATE must say where the state lies: RIFTLINE_STATE=gs://BUCKET/PREFIX", ErrConfiguration)
		}
		return nil
	case s.get("STORAGE_EMULATOR_HOST") == "":
		server, err := gcs.New(gcs.Options{Dir: filepath.Join(l.o.Dir, "gcs")})
		if err != nil {
			return err
		}
		l.GCS = server
		l.closers = append(l.closers, server.Close)
		l.NewStorage = func(ctx context.Context) (*storage.Client, error) {
			return bucket.NewClient(ctx, option.WithEndpoint(server.URL()+"/storage/v1/"), option.WithoutAuthentication())
		}
	}
	s.embeddedBucket()
	return l.createBuckets(ctx, s)
}

func (l *Local) createBuckets(ctx context.Context, s *settings) error {
	client, err := l.NewStorage(ctx)
	if err != nil {
		return fmt.Errorf("opening the bucket: %w", err)
	}
	defer func() { _ = client.Close() }()
	for _, url := range []string{s.get("RIFTLINE_STATE"), "gs://" + l.o.Sink.Config["gcs.bucket.name"]} {
		name, _, _ := strings.Cut(strings.TrimPrefix(url, "gs://"), "/")
		if name == "" {
			continue
		}
		var refused *googleapi.Error
		err := client.Bucket(name).Create(ctx, "local", nil)
		switch {
		case err == nil:
		case errors.As(err, &refused) && refused.Code == http.StatusConflict:
		case errors.As(err, &refused) && refused.Code == http.StatusBadRequest && url != s.get("RIFTLINE_STATE"):
			// The name is none: the check of the sink's settings says so, with all else that is wrong with them.
		case errors.As(err, &refused) && refused.Code == http.StatusBadRequest:
			return fmt.Errorf("%w: RIFTLINE_STATE=%s: %w", ErrConfiguration, url, err)
		default:
			return fmt.Errorf("making the bucket %s: %w", name, err)
		}
	}
	return nil
}
