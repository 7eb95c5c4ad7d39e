package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/storage"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/poll"
)

func TestRead(t *testing.T) {
	e, err := Read([]string{
		"RIFTLINE_CONNECTORS=/connectors", "RIFTLINE_CONNECTOR=gs", "RIFTLINE_STATE=gs://b/p", "RIFTLINE_DEADLINE=90s",
		`RIFTLINE_OVERRIDES={"c":{"k":"v"}}`, "RIFTLINE_RESOLVE=KR.api.example:443=127.0.0.1:1, [::1]:80=localhost:8080",
		"RIFTLINE_AUDIENCE=https://a", "RIFTLINE_INVOKERS=a@b.c, d@e.f", "CONNECT_BOOTSTRAP_SERVERS=a:1, b:2", "RIFTLINE_INTENT_MARGIN=5s",
		"RIFTLINE_STATE=gs://b/q",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []any{"/connectors", "gs", "gs://b/q", 90 * time.Second, map[string]map[string]string{"c": {"k": "v"}},
		map[string]string{"kr.api.example:443": "127.0.0.1:1", "[::1]:80": "localhost:8080"}, "https://a", []string{"a@b.c", "d@e.f"},
		[]string{"a:1", "b:2"}, 5 * time.Second}
	got := []any{e.ConnectorsURL, e.ConnectorName, e.StateURL, e.Deadline, e.Overrides, e.Resolve, e.Audience, e.Invokers, e.Brokers, e.PollDeps.UntilMargin}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if err := e.Require("RIFTLINE_CONNECTORS", "RIFTLINE_STATE"); err != nil {
		t.Error(err)
	}
	if _, err := Read(nil); err != nil {
		t.Errorf("nothing is set: %v", err)
	}
}

func TestReadListsAllProblems(t *testing.T) {
	for _, c := range []struct {
		variable string
		says     string
	}{
		{"RIFTLINE_STATE=/tmp", "RIFTLINE_STATE"},
		{"RIFTLINE_STATE=gs://", "RIFTLINE_STATE"},
		{"RIFTLINE_CONNECTORS=s3://bucket", "RIFTLINE_CONNECTORS"},
		{"RIFTLINE_LOG_LEVEL=verbose", "debug, info, warn, error"},
		{"RIFTLINE_DEADLINE=60", "RIFTLINE_DEADLINE"},
		{"RIFTLINE_DEADLINE=-1s", "RIFTLINE_DEADLINE"},
		{"RIFTLINE_INTENT_MARGIN=0s", "RIFTLINE_INTENT_MARGIN"},
		{`RIFTLINE_OVERRIDES={"c":{"k":"hunter2"}`, "RIFTLINE_OVERRIDES"},
		{`RIFTLINE_OVERRIDES={"c":{"k":3}}`, "RIFTLINE_OVERRIDES"},
		{"RIFTLINE_RESOLVE=a:1", "a:1"},
		{"RIFTLINE_RESOLVE=a=b", "host:port=addr:port"},
		{"RIFTLINE_AUDIENCE=https://a", "RIFTLINE_INVOKERS"},
		{"RIFTLINE_INVOKERS=a@b.c", "RIFTLINE_AUDIENCE"},
	} {
		_, err := Read([]string{c.variable})
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.variable, err)
		}
	}
	_, err := Read([]string{"RIFTLINE_STATE=x", "RIFTLINE_DEADLINE=x", "RIFTLINE_OVERRIDES=x", "RIFTLINE_RESOLVE=x,y", "RIFTLINE_AUDIENCE=a", "RIFTLINE_INVOKERS=nobody"})
	if err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("not all six problems: %v", err)
	}
}

const source = `{"name":"%s","connector.class":"com.github.castorm.kafka.connect.http.HttpSourceConnector","kafka.topic":"t","http.request.url":"https://api.example.com/x"}`

// environments are one whose connector files lie in a folder, and one with a bucket.
func environments(t *testing.T, files map[string]string) map[string]*Environment {
	t.Helper()
	dir := t.TempDir()
	server, err := gcs.New(gcs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.CreateBucket("files"); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Put(gcs.Stored{Bucket: "files", Name: "connectors/" + name, Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	m := map[string]*Environment{}
	for name, url := range map[string]string{"folder": dir, "bucket": "gs://files/connectors"} {
		e, err := Read([]string{"RIFTLINE_CONNECTORS=" + url, `RIFTLINE_OVERRIDES={"a":{"kafka.topic":"other"}}`})
		if err != nil {
			t.Fatal(err)
		}
		e.NewStorage = func(ctx context.Context) (*storage.Client, error) {
			return bucket.NewClient(ctx, bucket.At(server.URL())...)
		}
		t.Cleanup(func() { _ = e.Close() })
		m[name] = e
	}
	return m
}

func TestConnectorFiles(t *testing.T) {
	files := map[string]string{
		"a.json": fmt.Sprintf(source, "a"), "b.json": strings.Replace(fmt.Sprintf(source, "b"), `"name":"b",`, "", 1),
		"c.json": fmt.Sprintf(source, "d"), "broken.json": "{", "below/e.json": fmt.Sprintf(source, "e"), "notes.txt": "no connector",
	}
	for kind, e := range environments(t, files) {
		t.Run(kind, func(t *testing.T) {
			a, err := e.Connector(t.Context(), "a")
			if err != nil || a.Name != "a" || a.Kind != connector.SourceKind {
				t.Fatalf("%+v, %v", a, err)
			}
			if b, err := e.Connector(t.Context(), "b"); err != nil || b.Name != "b" {
				t.Errorf("a file without a name in it: %+v, %v", b, err)
			}
			for _, name := range []string{"c", "missing", "", "../a", "a/b", "below/e", strings.Repeat("x", 65)} {
				if _, err := e.Connector(t.Context(), name); !errors.Is(err, ErrNoConnector) {
					t.Errorf("%q: %v", name, err)
				}
			}
			var invalid *connector.Invalid
			if _, err := e.Connector(t.Context(), "broken"); !errors.As(err, &invalid) {
				t.Errorf("a broken file: %v", err)
			}
			if _, err := e.Connectors(t.Context()); !errors.As(err, &invalid) {
				t.Errorf("all, with a broken one: %v", err)
			}
		})
	}
}

func TestAllConnectors(t *testing.T) {
	for kind, e := range environments(t, map[string]string{"a.json": fmt.Sprintf(source, "a"), "z.json": fmt.Sprintf(source, "z")}) {
		t.Run(kind, func(t *testing.T) {
			given, err := connector.Parse("given.json", []byte(fmt.Sprintf(source, "m")))
			if err != nil {
				t.Fatal(err)
			}
			e.Hold(given)
			all, err := e.Connectors(t.Context())
			var names []string
			for _, c := range all {
				names = append(names, c.Name)
			}
			if err != nil || strings.Join(names, " ") != "a m z" {
				t.Errorf("%v, %v", names, err)
			}
			if c, err := e.Connector(t.Context(), "m"); err != nil || c.Name != "m" {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}

func TestConnectorFileIsHeld(t *testing.T) {
	e := environments(t, map[string]string{"a.json": fmt.Sprintf(source, "a")})["folder"]
	if _, err := e.Connector(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(e.ConnectorsURL, "a.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Connector(t.Context(), "a"); err != nil {
		t.Errorf("it was read again at once: %v", err)
	}
	e.mu.Lock()
	for name, h := range e.files {
		h.until = time.Now().Add(-time.Second)
		e.files[name] = h
	}
	e.mu.Unlock()
	if _, err := e.Connector(t.Context(), "a"); !errors.Is(err, ErrNoConnector) {
		t.Errorf("it is held for ever: %v", err)
	}
}

func TestPollThatCannotBegin(t *testing.T) {
	sink := `{"name":"s","connector.class":"io.confluent.connect.gcs.GcsSinkConnector","topics":"t"}`
	e := environments(t, map[string]string{"a.json": fmt.Sprintf(source, "a"), "s.json": sink, "broken.json": "{"})["folder"]
	for name, c := range map[string]struct {
		variables map[string]string
		says      string
	}{
		"missing": {nil, "missing"},
		"s":       {nil, "sink"},
		"broken":  {nil, "broken.json"},
		"a":       {map[string]string{"platform": "kr"}, "platform"},
	} {
		before := maps.Clone(c.variables)
		s, err := e.Poll(t.Context(), name, c.variables)
		if err == nil || s.Outcome != poll.Refused || s.Outcome.HTTPStatus() != http.StatusBadRequest || !strings.Contains(s.Error, c.says) || s.Connector != name {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if !maps.Equal(before, s.Variables) {
			t.Errorf("%s: variables %v", name, s.Variables)
		}
	}
}

func TestErrorsAreScrubbed(t *testing.T) {
	e, err := Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Secrets.Hide("correct-horse-battery-staple")
	err = e.scrub(fmt.Errorf("asking with correct-horse-battery-staple: %w", &connector.Invalid{Name: "c"}))
	var invalid *connector.Invalid
	if strings.Contains(err.Error(), "horse") || !errors.As(err, &invalid) || invalid.Name != "c" {
		t.Errorf("%v", err)
	}
	if e.scrub(nil) != nil {
		t.Error("nil is an error")
	}
}
