package registry

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
)

const (
	one       = `{"type":"record","name":"Entry","fields":[{"name":"points","type":"long"}]}`
	withName  = `{"type":"record","name":"Entry","fields":[{"name":"points","type":"long"},{"name":"who","type":["null","string"],"default":null}]}`
	needsName = `{"type":"record","name":"Entry","fields":[{"name":"points","type":"long"},{"name":"who","type":"string"}]}`
	asText    = `{"type":"record","name":"Entry","fields":[{"name":"points","type":"string"}]}`
)

func start(t *testing.T, o Options) (*Registry, *sr.Client) {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	opts := []sr.ClientOpt{sr.URLs(r.URL())}
	if o.User != "" {
		opts = append(opts, sr.BasicAuth(o.User, o.Password))
	}
	c, err := sr.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// code is what the registry refused with: the HTTP status and its own error code.
func code(t *testing.T, err error) (status, number int) {
	t.Helper()
	var refused *sr.ResponseError
	if !errors.As(err, &refused) {
		t.Fatalf("the error is %v, want an answer of the registry", err)
	}
	return refused.StatusCode, refused.ErrorCode
}

func TestSchemasAreKeptByIDAndVersion(t *testing.T) {
	_, c := start(t, Options{})
	ctx := t.Context()
	first, err := c.CreateSchema(ctx, "challenger-value", sr.Schema{Schema: one})
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.CreateSchema(ctx, "challenger-value", sr.Schema{Schema: one})
	if err != nil || again.ID != first.ID || again.Version != 1 {
		t.Errorf("registering the same schema again: %+v, %v", again, err)
	}
	second, err := c.CreateSchema(ctx, "challenger-value", sr.Schema{Schema: withName})
	if err != nil || second.ID == first.ID || second.Version != 2 {
		t.Errorf("registering a compatible schema: %+v, %v", second, err)
	}
	elsewhere, err := c.CreateSchema(ctx, "other-value", sr.Schema{Schema: one})
	if err != nil || elsewhere.ID != first.ID {
		t.Errorf("a schema has id %d under one subject and %d under another", first.ID, elsewhere.ID)
	}
	latest, err := c.SchemaByVersion(ctx, "challenger-value", -1)
	if err != nil || latest.Schema.Schema != withName {
		t.Errorf("the latest is %+v, %v", latest, err)
	}
	byID, err := c.SchemaByID(ctx, first.ID)
	if err != nil || byID.Schema != one {
		t.Errorf("by id: %+v, %v", byID, err)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	_, c := start(t, Options{})
	ctx := t.Context()
	_, err := c.SchemaByVersion(ctx, "nobody-value", -1)
	if status, number := code(t, err); status != 404 || number != 40401 {
		t.Errorf("missing subject: %d %d", status, number)
	}
	if _, err := c.CreateSchema(ctx, "challenger-value", sr.Schema{Schema: one}); err != nil {
		t.Fatal(err)
	}
	_, err = c.SchemaByVersion(ctx, "challenger-value", 9)
	if status, number := code(t, err); status != 404 || number != 40402 {
		t.Errorf("missing version: %d %d", status, number)
	}
	_, err = c.SchemaByID(ctx, 99)
	if status, number := code(t, err); status != 404 || number != 40403 {
		t.Errorf("missing id: %d %d", status, number)
	}
}

func TestIncompatibleSchemasAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		level   sr.CompatibilityLevel
		schema  string
		refused bool
	}{
		"backward, type changed":            {sr.CompatBackward, asText, true},
		"backward, field without default":   {sr.CompatBackward, needsName, true},
		"backward, nullable field":          {sr.CompatBackward, withName, false},
		"forward, field without default":    {sr.CompatForward, needsName, false},
		"full, field without default":       {sr.CompatFull, needsName, true},
		"full, nullable field":              {sr.CompatFull, withName, false},
		"none, type changed":                {sr.CompatNone, asText, false},
		"backward transitive, type changed": {sr.CompatBackwardTransitive, asText, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, client := start(t, Options{Compatibility: c.level.String()})
			ctx := t.Context()
			if _, err := client.CreateSchema(ctx, "s", sr.Schema{Schema: one}); err != nil {
				t.Fatal(err)
			}
			check, err := client.CheckCompatibility(ctx, "s", -1, sr.Schema{Schema: c.schema})
			if err != nil || check.Is == c.refused {
				t.Errorf("the check says %+v, %v", check, err)
			}
			_, err = client.CreateSchema(ctx, "s", sr.Schema{Schema: c.schema})
			if !c.refused {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if status, number := code(t, err); status != 409 || number != 409 {
				t.Errorf("refused with %d %d, want 409", status, number)
			}
			if versions, err := client.SubjectVersions(ctx, "s"); err != nil || len(versions) != 1 {
				t.Errorf("after the refusal there are versions %v, %v", versions, err)
			}
			_ = r
		})
	}
}

func TestTransitiveLevelsLookAtAllVersions(t *testing.T) {
	for level, refused := range map[sr.CompatibilityLevel]bool{sr.CompatBackward: false, sr.CompatBackwardTransitive: true} {
		_, client := start(t, Options{Compatibility: "NONE"})
		ctx := t.Context()
		for _, s := range []string{asText, one} {
			if _, err := client.CreateSchema(ctx, "s", sr.Schema{Schema: s}); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range client.SetCompatibility(ctx, sr.SetCompatibility{Level: level}, "s") {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		_, err := client.CreateSchema(ctx, "s", sr.Schema{Schema: withName})
		if (err != nil) != refused {
			t.Errorf("%v: %v", level, err)
		}
	}
}

func TestWhatIsNoSchema(t *testing.T) {
	_, c := start(t, Options{})
	for _, s := range []sr.Schema{
		{Schema: `{"type":"recor"}`},
		{Schema: `message M {}`, Type: sr.TypeProtobuf},
	} {
		_, err := c.CreateSchema(t.Context(), "s", s)
		if status, number := code(t, err); status != 422 || number != 42201 {
			t.Errorf("%s: refused with %d %d, want 422 and 42201", s.Schema, status, number)
		}
	}
}

func TestReferences(t *testing.T) {
	_, c := start(t, Options{})
	ctx := t.Context()
	if _, err := c.CreateSchema(ctx, "league", sr.Schema{Schema: `{"type":"record","name":"League","fields":[{"name":"id","type":"string"}]}`}); err != nil {
		t.Fatal(err)
	}
	refers := sr.Schema{
		Schema:     `{"type":"record","name":"Entry","fields":[{"name":"league","type":"League"}]}`,
		References: []sr.SchemaReference{{Name: "League", Subject: "league", Version: 1}},
	}
	if _, err := c.CreateSchema(ctx, "entry", refers); err != nil {
		t.Errorf("a schema with a reference: %v", err)
	}
	refers.References[0].Version = 2
	if _, err := c.CreateSchema(ctx, "entry2", refers); err == nil {
		t.Error("a reference to nothing was accepted")
	}
}

func TestCredentials(t *testing.T) {
	r, c := start(t, Options{User: "key", Password: "secret"})
	if _, err := c.CreateSchema(t.Context(), "s", sr.Schema{Schema: one}); err != nil {
		t.Errorf("with the right credentials: %v", err)
	}
	for name, opts := range map[string][]sr.ClientOpt{
		"none":  {sr.URLs(r.URL())},
		"wrong": {sr.URLs(r.URL()), sr.BasicAuth("key", "Secret")},
	} {
		other, err := sr.NewClient(opts...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.SchemaByVersion(t.Context(), "s", -1)
		if status, _ := code(t, err); status != 401 {
			t.Errorf("%s: %d, want 401", name, status)
		}
	}
}

func TestRegistryGoesOnWhereItStopped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "registry")
	r, c := start(t, Options{File: file})
	ctx := t.Context()
	for subject, schema := range map[string]string{"a": one, "b": withName, "c": one} {
		if _, err := c.CreateSchema(ctx, subject, sr.Schema{Schema: schema}); err != nil {
			t.Fatal(err)
		}
	}
	for _, res := range c.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatNone}, "a") {
		if res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	if _, err := c.CreateSchema(ctx, "a", sr.Schema{Schema: asText}); err != nil {
		t.Fatal(err)
	}
	before := map[string]sr.SubjectSchema{}
	for _, s := range []string{"a", "b", "c"} {
		latest, err := c.SchemaByVersion(ctx, s, -1)
		if err != nil {
			t.Fatal(err)
		}
		before[s] = latest
	}
	size := fileSize(t, file)
	if _, err := c.CreateSchema(ctx, "a", sr.Schema{Schema: asText}); err != nil || fileSize(t, file) != size {
		t.Errorf("registering a known schema changed the journal (%v)", err)
	}
	_ = r.Close()

	// What a kill in the middle of a write leaves.
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"method":"POST","path":"/subj`)
	_ = f.Close()

	_, c = start(t, Options{File: file})
	for s, want := range before {
		got, err := c.SchemaByVersion(ctx, s, -1)
		if err != nil || got.ID != want.ID || got.Version != want.Version || got.Schema.Schema != want.Schema.Schema {
			t.Errorf("%s was %+v and is %+v, %v", s, want, got, err)
		}
	}
	next, err := c.CreateSchema(ctx, "a", sr.Schema{Schema: needsName})
	if err != nil || next.Version != 3 {
		t.Errorf("the compatibility level was forgotten, or the version: %+v, %v", next, err)
	}
}

func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestDamagedJournalIsNoEmptyRegistry(t *testing.T) {
	file := filepath.Join(t.TempDir(), "registry")
	if err := os.WriteFile(file, []byte("not a change\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{File: file}); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("the error is %v, want one that names the line", err)
	}
}

func TestFaults(t *testing.T) {
	r, c := start(t, Options{})
	ctx := t.Context()
	r.Intercept(func(q Request) Fault {
		if q.N == 1 {
			return Fault{Status: http.StatusServiceUnavailable, Body: `{"error_code":503,"message":"down"}`}
		}
		return Fault{}
	})
	_, err := c.CreateSchema(ctx, "s", sr.Schema{Schema: one})
	if err == nil {
		t.Error("a fault did not show")
	}
	if r.Requests() != 1 {
		t.Errorf("%d requests were counted, want 1", r.Requests())
	}
	r.Intercept(func(Request) Fault { return Fault{After: true, Drop: true} })
	if _, err := c.CreateSchema(ctx, "s", sr.Schema{Schema: one}); err == nil {
		t.Error("a lost answer did not show")
	}
	r.Intercept(nil)
	if s, err := c.SchemaByVersion(ctx, "s", 1); err != nil || s.Schema.Schema != one {
		t.Errorf("a request whose answer was lost had no effect: %v", err)
	}
}

// TestReferencesOutliveTheProcess with the schemas that they lead to.
func TestReferencesOutliveTheProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "registry")
	_, c := start(t, Options{File: file})
	ctx := t.Context()
	inner := sr.Schema{Schema: `{"type":"record","name":"Inner","namespace":"x","fields":[{"name":"a","type":"long"}]}`}
	if _, err := c.CreateSchema(ctx, "inner", inner); err != nil {
		t.Fatal(err)
	}
	outer := func(field string) sr.Schema {
		return sr.Schema{
			Schema:     `{"type":"record","name":"Outer","fields":[{"name":"in","type":"x.Inner"}` + field + `]}`,
			References: []sr.SchemaReference{{Name: "x.Inner", Subject: "inner", Version: 1}},
		}
	}
	first, err := c.CreateSchema(ctx, "outer", outer(""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateSchema(ctx, "outer", outer(`,{"name":"more","type":"int"}`)); err == nil {
		t.Error("an incompatible schema with references is taken")
	}
	if _, err := c.CreateSchema(ctx, "outer", outer(`,{"name":"more","type":"int","default":0}`)); err != nil {
		t.Errorf("a compatible schema with references is refused: %v", err)
	}
	lost := outer("")
	lost.References[0].Version = 9
	if _, err := c.CreateSchema(ctx, "other", lost); err == nil {
		t.Error("a reference that leads nowhere is taken")
	}
	if _, err := c.CreateSchema(ctx, "other", sr.Schema{Schema: outer("").Schema}); err == nil {
		t.Error("a schema that uses a type it does not refer to is taken")
	}
	_, c = start(t, Options{File: file})
	got, err := c.SchemaByID(ctx, first.ID)
	if err != nil || len(got.References) != 1 || got.References[0].Subject != "inner" {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
	versions, err := c.SchemaVersionsByID(ctx, first.ID)
	if err != nil || len(versions) != 1 || versions[0] != (sr.SubjectVersion{Subject: "outer", Version: 1}) {
		t.Errorf("versions by id: %v, %v", versions, err)
	}
}
