package secret

import (
	"context"
	"errors"
	"hash/crc32"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// manager is Secret Manager as far as reading goes.
type manager struct {
	secretmanagerpb.UnimplementedSecretManagerServiceServer

	mu       sync.Mutex
	payloads map[string]string
	failures map[string]codes.Code
	damaged  map[string]int
	asked    []string
	// versions are what latest stands for, by the name that is asked for; times are when versions were created.
	versions map[string]string
	times    map[string]time.Time
	looked   []string
	// hold keeps GetSecretVersion from answering until it is closed.
	hold chan struct{}
}

func (m *manager) AccessSecretVersion(_ context.Context, q *secretmanagerpb.AccessSecretVersionRequest) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, q.GetName())
	if code, ok := m.failures[q.GetName()]; ok {
		return nil, status.Error(code, "refused by the test")
	}
	text, ok := m.payloads[q.GetName()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "Secret [%s] not found or has no versions.", q.GetName())
	}
	sum := int64(crc32.Checksum([]byte(text), castagnoli))
	if m.damaged[q.GetName()] > 0 {
		m.damaged[q.GetName()]--
		sum++
	}
	name := q.GetName()
	if version, ok := m.versions[name]; ok {
		name = version
	}
	return &secretmanagerpb.AccessSecretVersionResponse{
		Name:    name,
		Payload: &secretmanagerpb.SecretPayload{Data: []byte(text), DataCrc32C: &sum},
	}, nil
}

func (m *manager) set(name, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.payloads[name] = text
}

// clientOf returns a client that talks to m.
func clientOf(t *testing.T, m *manager) *secretmanager.Client {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	secretmanagerpb.RegisterSecretManagerServiceServer(server, m)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client, err := secretmanager.NewClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// clientsOf makes clients that talk to m.
func clientsOf(t *testing.T, m *manager) func(context.Context, string) (*secretmanager.Client, error) {
	t.Helper()
	return func(context.Context, string) (*secretmanager.Client, error) { return clientOf(t, m), nil }
}

// serve returns a reader whose client talks to m, and a count of the clients that were made.
func serve(t *testing.T, m *manager, project string) (Reader, *int) {
	t.Helper()
	clients := 0
	return GCPReader(func(context.Context, string) (*secretmanager.Client, error) {
		clients++
		return clientOf(t, m), nil
	}, project), &clients
}

func TestSecretManager(t *testing.T) {
	const base = "projects/p/secrets/"
	m := &manager{
		payloads: map[string]string{
			base + "riot-api-key/versions/latest":             "RGAPI-1\n",
			base + "riot-api-key/versions/3":                  "RGAPI-0",
			"projects/other/secrets/s/versions/latest":        "elsewhere",
			"projects/p/locations/eu/secrets/s/versions/prod": "regional",
			base + "twice/versions/latest":                    "fine at the second read",
			base + "damaged/versions/latest":                  "never fine",
		},
		failures: map[string]codes.Code{
			base + "forbidden/versions/latest": codes.PermissionDenied,
			base + "disabled/versions/latest":  codes.FailedPrecondition,
			base + "odd/versions/latest":       codes.Internal,
		},
		damaged: map[string]int{base + "twice/versions/latest": 1, base + "damaged/versions/latest": 100},
	}
	read, clients := serve(t, m, "p")
	if *clients != 0 {
		t.Error("a client is made before anything is read")
	}
	for path, want := range map[string]string{
		"riot-api-key": "RGAPI-1",
		"projects/p/secrets/riot-api-key/versions/3":      "RGAPI-0",
		"projects/other/secrets/s":                        "elsewhere",
		"projects/p/locations/eu/secrets/s/versions/prod": "regional",
		"twice": "fine at the second read",
	} {
		if got, err := read(t.Context(), path, ""); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", path, got, err, want)
		}
	}
	for path, want := range map[string]struct {
		is   error
		says string
	}{
		"absent":                 {ErrNotFound, "gcloud secrets create absent"},
		"disabled":               {ErrNotFound, "disabled"},
		"forbidden":              {ErrDenied, "roles/secretmanager.secretAccessor"},
		"damaged":                {ErrCorrupt, base + "damaged"},
		"odd":                    {nil, base + "odd"},
		"":                       {ErrNotFound, "neither"},
		"a/b":                    {ErrNotFound, "neither"},
		"projects/p/secrets/":    {ErrNotFound, "neither"},
		"s/../../projects/x":     {ErrNotFound, "neither"},
		"riot-api-key:versions2": {ErrNotFound, "neither"},
	} {
		_, err := read(t.Context(), path, "")
		if err == nil || want.is != nil && !errors.Is(err, want.is) || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%q: got %v, want %q", path, err, want.says)
		}
		if err != nil && strings.Contains(err.Error(), "never fine") {
			t.Errorf("%q: the error shows the secret", path)
		}
	}
	if *clients != 2 {
		t.Errorf("%d clients were made, not one and one for the location", *clients)
	}
}

// TestEachLocationHasItsClient: Secret Manager keeps the secrets of a location there, and its global address knows none
// of them.
func TestEachLocationHasItsClient(t *testing.T) {
	const west = "projects/p/locations/europe-west1/secrets/"
	managers := map[string]*manager{
		"": {payloads: map[string]string{"projects/p/secrets/s/versions/latest": "global"}},
		"europe-west1": {
			payloads: map[string]string{west + "s/versions/latest": "from the west", west + "s/versions/2": "from the west too"},
			versions: map[string]string{west + "s/versions/latest": "projects/1/locations/europe-west1/secrets/s/versions/3"},
			times:    map[string]time.Time{"projects/1/locations/europe-west1/secrets/s/versions/3": time.Unix(1_700_000_000, 0)},
		},
		"us-east4": {payloads: map[string]string{"projects/p/locations/us-east4/secrets/s/versions/latest": "from the east"}},
	}
	var made []string
	broken := true
	read := GCPReader(func(_ context.Context, location string) (*secretmanager.Client, error) {
		if location == "us-east4" && broken {
			return nil, errors.New("no route to the east")
		}
		made = append(made, location)
		m, ok := managers[location]
		if !ok {
			t.Fatalf("a client for %q", location)
		}
		return clientOf(t, m), nil
	}, "p")
	r := NewResolver(map[string]Reader{GCPSecret: read})
	resolve := func(path, want string) {
		t.Helper()
		if got, err := r.Resolve(t.Context(), "${gcpsecret:"+path+"}"); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", path, got, err, want)
		}
	}
	resolve(west+"s", "from the west")
	if !slices.Equal(made, []string{"europe-west1"}) {
		t.Errorf("clients of %q were made before anything was read there", made)
	}
	resolve("s", "global")
	resolve(west+"s/versions/2", "from the west too")
	if _, err := read(t.Context(), "projects/p/locations/us-east4/secrets/s", ""); err == nil || !strings.Contains(err.Error(), "no route to the east") {
		t.Errorf("got %v", err)
	}
	broken = false
	resolve("projects/p/locations/us-east4/secrets/s", "from the east")
	if !slices.Equal(made, []string{"europe-west1", "", "us-east4"}) {
		t.Errorf("clients were made for %q", made)
	}
	refs := References("${gcpsecret:" + west + "s}")
	if v, err := r.Oldest(t.Context(), refs); err != nil || v.Number != "3" || v.Secret != "projects/1/locations/europe-west1/secrets/s" {
		t.Errorf("the age is not asked where the secret is: %v, %v", v, err)
	}
	if _, err := read(t.Context(), west+"absent", ""); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "gcloud secrets create absent --location=europe-west1 ") {
		t.Errorf("got %v", err)
	}
	// A location is a part of a host's name, and a token goes there.
	for _, location := range []string{"evil.example", "x:1", "x@y", "x#", "x?", "X", ".", "-"} {
		if _, err := read(t.Context(), "projects/p/locations/"+location+"/secrets/s", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: got %v", location, err)
		}
	}
}

func TestAddressOfALocation(t *testing.T) {
	for location, want := range map[string]string{
		"":             "secretmanager.googleapis.com:443",
		"europe-west1": "secretmanager.europe-west1.rep.googleapis.com:443",
	} {
		client, err := NewGCPClient(t.Context(), location, option.WithoutAuthentication())
		if err != nil {
			t.Fatal(err)
		}
		//nolint:staticcheck // Every connection of the pool has the same target.
		if got := client.Connection().Target(); got != want && !strings.HasSuffix(got, "/"+want) {
			t.Errorf("%q: %s, not %s", location, got, want)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRotationOfLatest(t *testing.T) {
	const name = "projects/p/secrets/k/versions/latest"
	m := &manager{payloads: map[string]string{name: "old-key"}}
	read, _ := serve(t, m, "p")
	r := NewResolver(map[string]Reader{GCPSecret: read})
	const s = "X-Riot-Token: ${gcpsecret:k}"
	if got, err := r.Resolve(t.Context(), s); got != "X-Riot-Token: old-key" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	m.set(name, "new-key")
	if got, _ := r.Resolve(t.Context(), s); got != "X-Riot-Token: old-key" {
		t.Errorf("the value is not held: %q", got)
	}
	if changed, err := r.Refresh(t.Context(), s); !changed || err != nil {
		t.Errorf("changed is %v, %v", changed, err)
	}
	if got, _ := r.Resolve(t.Context(), s); got != "X-Riot-Token: new-key" {
		t.Errorf("after the refresh: %q", got)
	}
	if len(m.asked) != 2 {
		t.Errorf("%d reads: %v", len(m.asked), m.asked)
	}
	if got := r.Scrub("old-key new-key"); got != "[redacted] [redacted]" {
		t.Errorf("Scrub leaves %q", got)
	}
}

func TestProjectOfTheMachine(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/computeMetadata/v1/project/project-id" || q.Header.Get("Metadata-Flavor") != "Google" {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("Metadata-Flavor", "Google")
		_, _ = w.Write([]byte("from-metadata"))
	}))
	t.Cleanup(server.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	m := &manager{payloads: map[string]string{"projects/from-metadata/secrets/k/versions/latest": "found"}}
	read, _ := serve(t, m, "")
	if got, err := read(t.Context(), "k", ""); got != "found" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestClientThatCannotBeMade(t *testing.T) {
	read := GCPReader(func(context.Context, string) (*secretmanager.Client, error) {
		return nil, errors.New("could not find default credentials")
	}, "p")
	if _, err := read(t.Context(), "k", ""); err == nil || !strings.Contains(err.Error(), "application-default login") {
		t.Errorf("got %v", err)
	}
}
