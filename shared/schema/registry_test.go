package schema

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

const subject = "challenger-value"

// backward is srfake with what it lacks: it refuses a schema that cannot read what the latest one wrote.
func backward(t *testing.T) *srfake.Registry {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/versions") {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var request sr.Schema
		if json.Unmarshal(body, &request) != nil {
			return false
		}
		name := strings.Split(r.URL.Path, "/")[2]
		latest, found := latestOf(fake, name)
		if !found {
			return false
		}
		reader, err := avro.Parse(request.Schema)
		if err != nil {
			return answer(w, 422, 42201, err.Error())
		}
		writer, err := avro.Parse(latest.Schema.Schema)
		if err == nil {
			err = avro.CheckCompatibility(writer, reader)
		}
		if err != nil {
			return answer(w, 409, 409, err.Error())
		}
		return false
	})
	return fake
}

func latestOf(fake *srfake.Registry, subject string) (latest sr.SubjectSchema, found bool) {
	for version := 1; ; version++ {
		next, ok := fake.GetSchema(subject, version)
		if !ok {
			return latest, found
		}
		latest, found = next, true
	}
}

func answer(w http.ResponseWriter, status, code int, message string) bool {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error_code": code, "message": message})
	return true
}

func newRegistry(t *testing.T, urls ...string) *Registry {
	t.Helper()
	r, err := NewRegistry(connector.Registry{URLs: urls})
	if err != nil {
		t.Fatal(err)
	}
	r.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return r
}

func TestEnsure(t *testing.T) {
	fake := backward(t)
	r := newRegistry(t, fake.URL())
	var registrations atomic.Int32
	fake.Intercept(func(_ http.ResponseWriter, q *http.Request) bool {
		if q.Method == http.MethodPost {
			registrations.Add(1)
		}
		return false
	})
	ensure := func(list string) Registered {
		t.Helper()
		got, err := r.Ensure(t.Context(), subject, infer(t, list, `{"tier":"T"}`))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := ensure(`[{"puuid":"a","lp":1}]`)
	if !first.New || first.ID == 0 {
		t.Errorf("the first registration is %+v", first)
	}
	again := ensure(`[{"puuid":"b","lp":2}]`)
	if again.New || again.ID != first.ID || !again.Schema.Equal(first.Schema) || registrations.Load() != 1 {
		t.Errorf("the same shape is registered again: %+v", again)
	}
	grown := ensure(`[{"puuid":"b","lp":2.5,"mini":{"wins":1}},{"lp":1}]`)
	if !grown.New || grown.ID == first.ID {
		t.Errorf("a new shape is %+v", grown)
	}
	back := ensure(`[{"puuid":"b","lp":2}]`)
	if back.New || back.ID != grown.ID {
		t.Errorf("the old shape after the new one is %+v", back)
	}
	latest, _ := latestOf(fake, subject)
	if latest.Version != 2 || latest.Schema.Schema != grown.Schema.Text() {
		t.Errorf("the subject's latest is %+v", latest)
	}
}

// TestEnsureMeetsAnotherWriter registers another schema between the look and the registration.
func TestEnsureMeetsAnotherWriter(t *testing.T) {
	fake := backward(t)
	r := newRegistry(t, fake.URL())
	var once sync.Once
	fake.ClearInterceptors()
	fake.Intercept(func(w http.ResponseWriter, q *http.Request) bool {
		conflict := false
		if q.Method == http.MethodPost {
			once.Do(func() {
				conflict = true
				if _, _, err := fake.RegisterSchema(subject, sr.Schema{Schema: infer(t, `[{"b":"x"}]`, "").Text()}); err != nil {
					t.Error(err)
				}
			})
		}
		return conflict && answer(w, 409, 409, "incompatible")
	})
	got, err := r.Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, ""))
	if err != nil || !got.New {
		t.Fatalf("got %+v, %v", got, err)
	}
	if want := `{"type":"record","name":"challenger","fields":[{"name":"b","type":["null","string"],"default":null},{"name":"a","type":["null","long"],"default":null}]}`; got.Schema.Text() != want {
		t.Errorf("got %s", got.Schema.Text())
	}
}

func TestEnsureAtTheSameTime(t *testing.T) {
	fake := backward(t)
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			r := newRegistry(t, fake.URL())
			list := fmt.Sprintf(`[{"puuid":"a","f%d":1}]`, i%2)
			s, err := Infer(entries(t, list), nil, "challenger")
			if err != nil {
				t.Error(err)
				return
			}
			got, err := r.Ensure(t.Context(), subject, s)
			if errors.Is(err, ErrIncompatible) {
				// The fake checks and registers in two steps, so a registry that never refuses two is not promised.
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := got.Schema.AppendBody(nil, value(t, list[1:len(list)-1]), nil, polled); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestEnsureRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		status, code int
		want         error
		requests     int32
	}{
		"incompatible for ever": {409, 409, ErrIncompatible, 3},
		"invalid":               {422, 42201, ErrIncompatible, 2},
		"no credentials":        {401, 40101, ErrUnauthorized, 2},
		"no right":              {403, 40301, ErrUnauthorized, 2},
		"down":                  {503, 0, ErrUnavailable, 4},
		"too many":              {429, 42901, ErrUnavailable, 4},
		"no registry":           {404, 0, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			fake := backward(t)
			var requests atomic.Int32
			fake.Intercept(func(w http.ResponseWriter, q *http.Request) bool {
				requests.Add(1)
				return q.Method == http.MethodPost && answer(w, c.status, c.code, "said no")
			})
			r := newRegistry(t, fake.URL())
			_, err := r.Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, ""))
			if err == nil || c.want != nil && !errors.Is(err, c.want) || requests.Load() != c.requests {
				t.Fatalf("got %v after %d requests", err, requests.Load())
			}
			for _, want := range []string{subject, fake.URL(), "said no"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %s", err, want)
				}
			}
		})
	}
}

func TestEnsureOverWhatCannotBeCarriedOn(t *testing.T) {
	for name, s := range map[string]sr.Schema{
		"no record": {Schema: `"string"`},
		"no Avro":   {Schema: `{"type":"object"}`, Type: sr.TypeJSON},
		"castorm's": {Schema: `{"type":"record","name":"Value","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"value","type":"string"}]}`},
	} {
		fake := srfake.New()
		t.Cleanup(fake.Close)
		fake.SeedSchema(subject, 1, 1, s)
		_, err := newRegistry(t, fake.URL()).Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, ""))
		if !errors.Is(err, ErrIncompatible) || !errors.Is(err, ErrUnmergeable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRegistryIsDown(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	for name, urls := range map[string][]string{"nobody answers": {server.URL}, "nor the second": {server.URL, server.URL}} {
		_, err := newRegistry(t, urls...).Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, ""))
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fake := backward(t)
	if _, err := newRegistry(t, server.URL, fake.URL()).Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, "")); err != nil {
		t.Errorf("the second of two is up: %v", err)
	}
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }))
	t.Cleanup(html.Close)
	if _, err := newRegistry(t, html.URL).ByID(t.Context(), 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("HTML: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newRegistry(t, html.URL).Ensure(ctx, subject, infer(t, `[{"a":1}]`, "")); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("a run that ended: %v", err)
	}
	if _, err := newRegistry(t, html.URL).ByID(ctx, 2); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a run that ended: %v", err)
	}
}

func TestRegistryComesBack(t *testing.T) {
	fake := backward(t)
	var failures atomic.Int32
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		return failures.Add(1) <= 2 && answer(w, 503, 50003, "no leader")
	})
	if _, err := newRegistry(t, fake.URL()).Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, "")); err != nil {
		t.Error(err)
	}
}

func TestEnsureKey(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	r := newRegistry(t, fake.URL())
	const key = `{"type":"record","name":"Key","fields":[{"name":"key","type":"string"}]}`
	first, err := r.EnsureKey(t.Context(), "challenger-key", key)
	if err != nil {
		t.Fatal(err)
	}
	fake.Intercept(func(w http.ResponseWriter, q *http.Request) bool {
		return strings.HasSuffix(q.URL.Path, "/versions") && answer(w, 403, 40301, "read only")
	})
	again, err := r.EnsureKey(t.Context(), "challenger-key", key)
	if err != nil || again != first {
		t.Errorf("without the right to register: %d, %v; it was %d", again, err, first)
	}
}

func TestByID(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	const text = `{ "type" : "record", "name": "R", "fields": [ {"name":"a","type":"long"} ] }`
	fake.SeedSchema("s", 1, 7, sr.Schema{Schema: text})
	fake.SeedSchema("inner", 1, 8, sr.Schema{Schema: `{"type":"record","name":"Inner","namespace":"com.example","fields":[{"name":"x","type":"long"}]}`})
	fake.SeedSchema("middle", 1, 9, sr.Schema{
		Schema:     `{"type":"record","name":"Middle","namespace":"com.example","fields":[{"name":"i","type":"Inner"}]}`,
		References: []sr.SchemaReference{{Name: "com.example.Inner", Subject: "inner", Version: 1}},
	})
	fake.SeedSchema("outer", 1, 10, sr.Schema{
		Schema: `{"type":"record","name":"Outer","fields":[{"name":"m","type":"com.example.Middle"},{"name":"i","type":"com.example.Inner"}]}`,
		References: []sr.SchemaReference{
			{Name: "com.example.Middle", Subject: "middle", Version: 1}, {Name: "com.example.Inner", Subject: "inner", Version: 1},
		},
	})
	fake.SeedSchema("json", 1, 11, sr.Schema{Schema: `{"type":"object"}`, Type: sr.TypeJSON})
	var requests atomic.Int32
	fake.Intercept(func(http.ResponseWriter, *http.Request) bool { requests.Add(1); return false })
	r := newRegistry(t, fake.URL())
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if got, err := r.ByID(t.Context(), 7); err != nil || strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(text), "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wait.Wait()
	before := requests.Load()
	if _, err := r.ByID(t.Context(), 7); err != nil || requests.Load() != before {
		t.Errorf("asked again for what is known: %v", err)
	}
	got, err := r.ByID(t.Context(), 10)
	const want = `{"type":"record","name":"Outer","fields":[{"name":"m","type":{"type":"record","name":"Middle","namespace":"com.example","fields":[{"name":"i","type":{"type":"record","name":"Inner","fields":[{"name":"x","type":"long"}]}}]}},{"name":"i","type":"com.example.Inner"}]}`
	if err != nil || got != want {
		t.Errorf("with references: %s, %v", got, err)
	}
	if _, err := avro.Parse(got); err != nil {
		t.Error(err)
	}
	if _, err := r.ByID(t.Context(), 99); !errors.Is(err, ErrUnknownID) {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := r.ByID(t.Context(), 11); err == nil || !strings.Contains(err.Error(), "JSON") {
		t.Errorf("a schema of another kind: %v", err)
	}
}

func TestRegistryCredentials(t *testing.T) {
	fake := srfake.New(srfake.WithAuth("Basic bWU6cGFzcy13b3Jk"))
	t.Cleanup(fake.Close)
	inURL := strings.Replace(fake.URL(), "http://", "http://me:pass-word@", 1)
	for name, c := range map[string]struct {
		settings connector.Registry
		ok       bool
	}{
		"settings":  {connector.Registry{URLs: []string{fake.URL()}, User: "me", Password: secret.New("pass-word")}, true},
		"in a URL":  {connector.Registry{URLs: []string{inURL}}, true},
		"wrong":     {connector.Registry{URLs: []string{fake.URL()}, User: "me", Password: secret.New("wrong-word")}, false},
		"none":      {connector.Registry{URLs: []string{fake.URL()}}, false},
		"wrong one": {connector.Registry{URLs: []string{inURL}, User: "me", Password: secret.New("wrong-word")}, false},
	} {
		r, err := NewRegistry(c.settings)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, ""))
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "pass-word") || strings.Contains(err.Error(), "wrong-word")) {
			t.Errorf("%s: the error shows a password: %v", name, err)
		}
	}
}

func TestRegistryToken(t *testing.T) {
	fake := srfake.New(srfake.WithAuth("Bearer pass-word"))
	t.Cleanup(fake.Close)
	for token, ok := range map[string]bool{"pass-word": true, "wrong-word": false, "": false} {
		r, err := NewRegistry(connector.Registry{URLs: []string{fake.URL()}, Token: secret.New(token)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, ""))
		if ok != (err == nil) || !ok && (!errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "wrong-word")) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func TestRegistryTLS(t *testing.T) {
	fake := backward(t)
	server := httptest.NewUnstartedServer(fake.Handler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	other := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for name, c := range map[string]struct {
		url string
		tls connector.TLS
		ok  bool
	}{
		"trusted":               {server.URL, connector.TLS{CA: ca}, true},
		"unknown authority":     {server.URL, connector.TLS{}, false},
		"another name":          {other, connector.TLS{CA: ca}, false},
		"another name, skipped": {other, connector.TLS{CA: ca, SkipHostname: true}, true},
		"skipped, not trusted":  {other, connector.TLS{SkipHostname: true}, false},
	} {
		r, err := NewRegistry(connector.Registry{URLs: []string{c.url}, TLS: c.tls})
		if err != nil {
			t.Fatal(err)
		}
		r.sleep = func(context.Context, time.Duration) error { return nil }
		if _, err = r.Ensure(t.Context(), subject, infer(t, `[{"a":1}]`, "")); c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, settings := range map[string]connector.Registry{
		"no URL": {}, "no scheme": {URLs: []string{"registry:8081"}}, "bad CA": {URLs: []string{server.URL}, TLS: connector.TLS{CA: "x"}},
		"bad key": {URLs: []string{server.URL}, TLS: connector.TLS{Certificate: ca, Key: secret.New("private-words")}},
	} {
		if _, err := NewRegistry(settings); err == nil || strings.Contains(err.Error(), "private-words") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
