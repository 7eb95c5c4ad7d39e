package secret

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/compute/metadata"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrCorrupt is returned when Secret Manager's answer does not have the checksum that it came with, twice in a row.
var ErrCorrupt = errors.New("the secret arrived damaged")

var (
	bareSecret = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	// A location becomes a part of a host's name.
	fullSecret = regexp.MustCompile(`^projects/[^/]+(?:/locations/([a-z](?:[-a-z0-9]{0,61}[a-z0-9])?))?/secrets/[A-Za-z0-9_-]{1,255}(?:/versions/[A-Za-z0-9_-]+)?$`)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// GCPReader reads ${gcpsecret:…} from Google Secret Manager: a bare secret's name stands for
// projects/<project>/secrets/<name>/versions/latest, a full resource name for itself, with versions/latest unless it
// names a version. Without a project, the one of the machine is asked for (metadata server). A line break at the end of
// a secret is not part of it, since most are stored by a command that adds one.
//
// With each value Secret Manager is asked when its version was created, beside the read, which does not wait for the
// answer: see [Resolver.Oldest].
//
// A secret of a location (projects/PROJECT/locations/LOCATION/secrets/NAME) is kept there and read there: newClient gets
// the location, or nothing for secrets without one; see [NewGCPClient]. The client of each location is made at the first
// read from it and kept; one that cannot be made is tried again at the next read. Errors: [ErrNotFound], [ErrDenied],
// [ErrCorrupt].
func GCPReader(newClient func(ctx context.Context, location string) (*secretmanager.Client, error), project string) Reader {
	return gcpReader(&gcp{newClient: newClient, project: project, looks: looks{now: time.Now, byName: map[string]*look{}}})
}

// NewGCPClient makes a client of Secret Manager as it stands in a location, or of the global one when location is empty.
// Neither knows the other's secrets.
func NewGCPClient(ctx context.Context, location string, options ...option.ClientOption) (*secretmanager.Client, error) {
	if location != "" {
		options = append(options, option.WithEndpoint("secretmanager."+location+".rep.googleapis.com:443"))
	}
	return secretmanager.NewClient(ctx, options...)
}

func gcpReader(g *gcp) Reader {
	return func(ctx context.Context, path, _ string) (string, error) {
		name, err := g.resource(ctx, path)
		if err != nil {
			return "", err
		}
		client, err := g.connect(ctx, locationOf(name))
		if err != nil {
			return "", err
		}
		value, version, err := access(ctx, client, name)
		if err != nil {
			return "", err
		}
		note(ctx, g.looks.at(ctx, client, version))
		return value, nil
	}
}

type gcp struct {
	newClient func(context.Context, string) (*secretmanager.Client, error)
	looks     looks

	mu      sync.Mutex
	clients map[string]*secretmanager.Client
	project string
}

// locationOf is the location in a secret's resource name, empty where there is none.
func locationOf(name string) string {
	if part := fullSecret.FindStringSubmatch(name); part != nil {
		return part[1]
	}
	return ""
}

func (g *gcp) connect(ctx context.Context, location string) (*secretmanager.Client, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if client := g.clients[location]; client != nil {
		return client, nil
	}
	client, err := g.newClient(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("connecting to Secret Manager (is there a login? see gcloud auth application-default login): %w", err)
	}
	if g.clients == nil {
		g.clients = map[string]*secretmanager.Client{}
	}
	g.clients[location] = client
	return client, nil
}

func (g *gcp) resource(ctx context.Context, path string) (string, error) {
	if fullSecret.MatchString(path) {
		if strings.Contains(path, "/versions/") {
			return path, nil
		}
		return path + "/versions/latest", nil
	}
	if !bareSecret.MatchString(path) {
		return "", fmt.Errorf("%q is neither a secret's name nor projects/PROJECT/secrets/NAME[/versions/VERSION]: %w", path, ErrNotFound)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.project == "" {
		project, err := metadata.ProjectIDWithContext(ctx)
		if err != nil {
			return "", fmt.Errorf("finding the project of secret %s (set GOOGLE_CLOUD_PROJECT, or write projects/PROJECT/secrets/%s): %w", path, path, err)
		}
		g.project = project
	}
	return "projects/" + g.project + "/secrets/" + path + "/versions/latest", nil
}

// access returns what name holds and the name of the version that it is.
func access(ctx context.Context, client *secretmanager.Client, name string) (value, version string, err error) {
	for range 2 {
		answer, err := client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: name})
		if err != nil {
			return "", "", explain(name, err)
		}
		payload := answer.GetPayload()
		if payload.DataCrc32C != nil && int64(crc32.Checksum(payload.GetData(), castagnoli)) != payload.GetDataCrc32C() {
			continue
		}
		return trimLineBreak(string(payload.GetData())), answer.GetName(), nil
	}
	return "", "", fmt.Errorf("reading %s: %w", name, ErrCorrupt)
}

func explain(name string, err error) error {
	secret, _, _ := strings.Cut(name, "/versions/")
	switch status.Code(err) {
	case codes.NotFound:
		flag := ""
		if location := locationOf(name); location != "" {
			flag = " --location=" + location
		}
		return fmt.Errorf("there is no %s in Secret Manager; create it with gcloud secrets create %s%s --data-file=-: %w",
			name, secret[strings.LastIndexByte(secret, '/')+1:], flag, ErrNotFound)
	case codes.FailedPrecondition:
		return fmt.Errorf("%s is disabled or destroyed; enable it or add a version: %w", name, ErrNotFound)
	case codes.PermissionDenied, codes.Unauthenticated:
		return fmt.Errorf("this identity may not read %s; grant it roles/secretmanager.secretAccessor on the secret: %w", name, ErrDenied)
	}
	return fmt.Errorf("reading %s from Secret Manager: %w", name, err)
}
