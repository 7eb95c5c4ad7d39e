package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// action is what a request other than GET does.
type action uint8

const (
	changesIt action = iota
	registers
	checks
	looks
)

// route says what a request does, and to which subject and version.
func route(req *http.Request) (kind action, subject, version string) {
	parts := strings.Split(strings.Trim(req.URL.EscapedPath(), "/"), "/")
	for i, p := range parts {
		if u, err := url.PathUnescape(p); err == nil {
			parts[i] = u
		}
	}
	if req.Method != http.MethodPost {
		return changesIt, "", ""
	}
	switch {
	case len(parts) == 3 && parts[0] == "subjects" && parts[2] == "versions":
		return registers, parts[1], ""
	case len(parts) == 2 && parts[0] == "subjects":
		return looks, parts[1], ""
	case len(parts) == 5 && parts[0] == "compatibility":
		return checks, parts[2], parts[4]
	case len(parts) == 4 && parts[0] == "compatibility":
		return checks, parts[2], ""
	}
	return changesIt, "", ""
}

func escape(subject string) string { return url.PathEscape(subject) }

func decodeSchema(body string) (sr.Schema, error) {
	var s sr.Schema
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		return s, fmt.Errorf("reading the request: %w", err)
	}
	if s.Type != sr.TypeAvro {
		return s, errors.New("the embedded registry holds Avro schemas only")
	}
	return s, nil
}

// incompatible lists what the subject's level forbids about schema. An empty version means as many of the subject's
// versions as the level looks at: the latest, or all of them for the transitive levels.
func (r *Registry) incompatible(subject, version string, schema sr.Schema) ([]string, error) {
	parsed, err := r.parse(schema)
	if err != nil {
		return nil, err
	}
	level, err := r.level(subject)
	if err != nil {
		return nil, err
	}
	if level == sr.CompatNone {
		return nil, nil
	}
	versions, err := r.versions(subject, version, level)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, earlier := range versions {
		old, err := r.parse(earlier.Schema)
		if err != nil {
			return nil, err
		}
		var verdict error
		switch level {
		case sr.CompatBackward, sr.CompatBackwardTransitive:
			verdict = avro.CheckCompatibility(old, parsed)
		case sr.CompatForward, sr.CompatForwardTransitive:
			verdict = avro.CheckCompatibility(parsed, old)
		default:
			verdict = errors.Join(avro.CheckCompatibility(old, parsed), avro.CheckCompatibility(parsed, old))
		}
		if verdict != nil {
			problems = append(problems, fmt.Sprintf("version %d, %v: %v", earlier.Version, level, verdict))
		}
	}
	return problems, nil
}

// versions are those that a new schema is compared with, the latest first.
func (r *Registry) versions(subject, version string, level sr.CompatibilityLevel) ([]sr.SubjectSchema, error) {
	base := "/subjects/" + escape(subject) + "/versions"
	names := []string{version}
	if version == "" {
		status, answer := r.do(http.MethodGet, base, "")
		if status == http.StatusNotFound {
			return nil, nil
		}
		var numbers []int
		if err := json.Unmarshal([]byte(answer), &numbers); err != nil {
			return nil, fmt.Errorf("listing the versions of %s: %w", subject, err)
		}
		names = names[:0]
		for i := len(numbers) - 1; i >= 0; i-- {
			names = append(names, strconv.Itoa(numbers[i]))
		}
		transitive := level == sr.CompatBackwardTransitive || level == sr.CompatForwardTransitive || level == sr.CompatFullTransitive
		if !transitive && len(names) > 1 {
			names = names[:1]
		}
	}
	out := make([]sr.SubjectSchema, 0, len(names))
	for _, name := range names {
		status, answer := r.do(http.MethodGet, base+"/"+url.PathEscape(name), "")
		var s sr.SubjectSchema
		if err := json.Unmarshal([]byte(answer), &s); err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("reading version %s of %s: %s", name, subject, answer)
		}
		out = append(out, s)
	}
	return out, nil
}

func (r *Registry) level(subject string) (sr.CompatibilityLevel, error) {
	_, answer := r.do(http.MethodGet, "/config/"+escape(subject)+"?defaultToGlobal=true", "")
	var c struct {
		Level sr.CompatibilityLevel `json:"compatibilityLevel"`
	}
	if err := json.Unmarshal([]byte(answer), &c); err != nil {
		return c.Level, fmt.Errorf("reading the compatibility level of %s: %w", subject, err)
	}
	return c.Level, nil
}

// parse reads a schema together with those that it refers to.
func (r *Registry) parse(schema sr.Schema) (*avro.Schema, error) {
	var cache avro.SchemaCache
	if err := r.parseReferences(&cache, schema, 0); err != nil {
		return nil, err
	}
	parsed, err := cache.Parse(schema.Schema)
	if err != nil {
		return nil, fmt.Errorf("the Avro schema is not valid: %w", err)
	}
	return parsed, nil
}

// maxReferenceDepth ends a chain of references that srfake let through although it is a circle.
const maxReferenceDepth = 32

func (r *Registry) parseReferences(cache *avro.SchemaCache, schema sr.Schema, depth int) error {
	if depth > maxReferenceDepth {
		return errors.New("the schema's references are nested too deeply")
	}
	for _, ref := range schema.References {
		status, answer := r.do(http.MethodGet, "/subjects/"+escape(ref.Subject)+"/versions/"+strconv.Itoa(ref.Version), "")
		var s sr.SubjectSchema
		if err := json.Unmarshal([]byte(answer), &s); err != nil || status != http.StatusOK {
			return fmt.Errorf("the schema refers to version %d of %s, which is not there", ref.Version, ref.Subject)
		}
		if err := r.parseReferences(cache, s.Schema, depth+1); err != nil {
			return err
		}
		if _, err := cache.Parse(s.Schema.Schema); err != nil {
			return fmt.Errorf("parsing version %d of %s: %w", ref.Version, ref.Subject, err)
		}
	}
	return nil
}
