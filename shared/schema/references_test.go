package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// shelf answers as a registry that holds these schemas: by id, and by "subject/version". Nothing is checked, so it may
// hold what no registry would take.
func shelf(t *testing.T, byID map[int]sr.Schema, versions map[string]sr.Schema) *Registry {
	t.Helper()
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /schemas/ids/{id}", func(w http.ResponseWriter, r *http.Request) {
		var id int
		_, _ = fmt.Sscan(r.PathValue("id"), &id)
		if s, ok := byID[id]; ok {
			reply(w, http.StatusOK, s)
			return
		}
		reply(w, http.StatusNotFound, map[string]any{"error_code": 40403, "message": "Schema not found"})
	})
	mux.HandleFunc("GET /subjects/{subject}/versions/{version}", func(w http.ResponseWriter, r *http.Request) {
		var version int
		_, _ = fmt.Sscan(r.PathValue("version"), &version)
		if s, ok := versions[r.PathValue("subject")+"/"+r.PathValue("version")]; ok {
			reply(w, http.StatusOK, sr.SubjectSchema{Subject: r.PathValue("subject"), Version: version, ID: 1, Schema: s})
			return
		}
		reply(w, http.StatusNotFound, map[string]any{"error_code": 40402, "message": "Version not found"})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return newRegistry(t, server.URL)
}

func refers(text string, subjects ...string) sr.Schema {
	s := sr.Schema{Schema: text}
	for _, subject := range subjects {
		name, version, _ := strings.Cut(subject, "/")
		var n int
		_, _ = fmt.Sscan(version, &n)
		s.References = append(s.References, sr.SchemaReference{Name: "whatever", Subject: name, Version: n})
	}
	return s
}

const (
	money   = `{"type":"record","name":"Money","namespace":"common","doc":"an amount","fields":[{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},{"name":"currency","type":{"type":"enum","name":"Currency","symbols":["EUR","KRW"],"default":"EUR"}}]}`
	address = `{"type":"record","name":"Address","fields":[{"name":"city","type":"string","aliases":["town"]}]}`
	person  = `{"type":"record","name":"Person","namespace":"people","fields":[{"name":"home","type":"Address"},{"name":"purse","type":"common.Money"},{"name":"other","type":["null","common.Currency"],"default":null}]}`
	order   = `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"buyer","type":"people.Person"},{"name":"price","type":"common.Money"},{"name":"to","type":"Address"},{"name":"again","type":["null","Order"],"default":null}]}`
)

// TestReferencesMakeOneText: what a file's header gets needs no registry, and each type is in it once.
func TestReferencesMakeOneText(t *testing.T) {
	t.Parallel()
	r := shelf(t, map[int]sr.Schema{7: refers(order, "person/3", "money/1", "address/2"), 8: refers(`["common.Money","Address"]`, "money/1", "address/2")},
		map[string]sr.Schema{"money/1": refers(money), "address/2": refers(address), "person/3": refers(person, "address/2", "money/1")})
	for id, want := range map[int]string{
		7: `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"buyer","type":` +
			`{"type":"record","name":"Person","namespace":"people","fields":[{"name":"home","type":{"type":"record","name":"Address","namespace":"","fields":[{"name":"city","type":"string","aliases":["town"]}]}},` +
			`{"name":"purse","type":{"type":"record","name":"Money","namespace":"common","fields":[{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},` +
			`{"name":"currency","type":{"type":"enum","name":"Currency","symbols":["EUR","KRW"],"default":"EUR"}}],"doc":"an amount"}},` +
			`{"name":"other","type":["null","common.Currency"],"default":null}]}},{"name":"price","type":"common.Money"},{"name":"to","type":"Address"},{"name":"again","type":["null","Order"],"default":null}]}`,
		8: `[{"type":"record","name":"Money","namespace":"common","fields":[{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},` +
			`{"name":"currency","type":{"type":"enum","name":"Currency","symbols":["EUR","KRW"],"default":"EUR"}}],"doc":"an amount"},{"type":"record","name":"Address","fields":[{"name":"city","type":"string","aliases":["town"]}]}]`,
	} {
		got, err := r.ByID(t.Context(), id)
		if err != nil || got != want {
			t.Errorf("schema %d is\n%s, want\n%s: %v", id, got, want, err)
		}
		if _, err := avro.Parse(got); err != nil {
			t.Errorf("schema %d: %v", id, err)
		}
	}
}

func TestReferencesThatCannotBeFollowed(t *testing.T) {
	t.Parallel()
	many := map[string]sr.Schema{}
	for i := range maxReferences + 2 {
		many[fmt.Sprintf("s%d/1", i)] = refers(fmt.Sprintf(`{"type":"fixed","name":"F%d","size":1}`, i), fmt.Sprintf("s%d/1", i+1))
	}
	for name, tt := range map[string]struct {
		schema   sr.Schema
		versions map[string]sr.Schema
		says     string
	}{
		"missing":              {refers(order, "person/3"), nil, "reading version 3 of subject person"},
		"missing further down": {refers(order, "person/3"), map[string]sr.Schema{"person/3": refers(person, "money/1")}, "reading version 1 of subject money"},
		"a circle":             {refers(order, "a/1"), map[string]sr.Schema{"a/1": refers(money, "b/1"), "b/1": refers(address, "a/1")}, "version 1 of subject a refers to itself"},
		"itself":               {refers(order, "a/1"), map[string]sr.Schema{"a/1": refers(money, "a/1")}, "refers to itself"},
		"too many":             {refers(order, "s0/1"), many, "more than 100"},
		"not the type":         {refers(order, "money/1"), map[string]sr.Schema{"money/1": refers(money)}, `the type "people.Person" is not defined`},
		"no schema":            {refers(order, "money/1"), map[string]sr.Schema{"money/1": refers(`{"type":`)}, "subject money"},
		"a type twice":         {refers(order, "a/1", "b/1"), map[string]sr.Schema{"a/1": refers(money), "b/1": refers(money)}, "defined twice"},
		"Protobuf":             {sr.Schema{Schema: "message M {}", Type: sr.TypeProtobuf}, nil, "PROTOBUF"},
	} {
		_, err := shelf(t, map[int]sr.Schema{7: tt.schema}, tt.versions).ByID(t.Context(), 7)
		if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "schema 7") {
			t.Errorf("%s: %v, want one that says %q", name, err, tt.says)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Query().Get("deleted") != "true" {
			t.Errorf("%s does not ask for deleted versions", r.URL)
		}
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		switch r.URL.Path {
		case "/schemas/ids/7/versions":
			_, _ = w.Write([]byte(`[{"subject":"a","version":2},{"subject":"a","version":4},{"subject":"b","version":9}]`))
		case "/schemas/ids/8/versions":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error_code":40403,"message":"Schema not found"}`))
		}
	}))
	defer server.Close()
	r := newRegistry(t, server.URL)
	for range 2 {
		if got, err := r.Version(t.Context(), "a", 7); err != nil || got != 4 {
			t.Errorf("version %d, %v", got, err)
		}
	}
	if asked != 1 {
		t.Errorf("%d requests", asked)
	}
	if _, err := r.Version(t.Context(), "c", 7); !errors.Is(err, ErrUnknownVersion) || !strings.Contains(err.Error(), "c") {
		t.Errorf("of a subject that does not have it: %v", err)
	}
	if _, err := r.Version(t.Context(), "a", 9); !errors.Is(err, ErrUnknownVersion) {
		t.Errorf("of an unknown id: %v", err)
	}
	if _, err := r.Version(t.Context(), "a", 8); !errors.Is(err, ErrUnavailable) {
		t.Errorf("while the registry is down: %v", err)
	}
}
