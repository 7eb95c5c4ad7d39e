package drain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/riftline/riftline/shared/avrofile"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/schema"
)

// schemaKey is what has one current schema at a time: an encoded partition; unless a change of schema makes a flush, each
// record type in it, since types that go by other names never share a file.
type schemaKey struct{ encoded, name string }

func (a *assembly) schemaKey(encoded string, f *format) schemaKey {
	if a.p.sink.SchemaChangeRotates {
		return schemaKey{encoded: encoded}
	}
	return schemaKey{encoded: encoded, name: f.walk.Name()}
}

// watchesSchemas says whether there are current schemas: what is written depends on the schema of the records before.
func (p *partition) watchesSchemas() bool {
	return p.sink.SchemaChangeRotates || p.projects()
}

func (p *partition) projects() bool {
	return p.sink.SchemaCompatibility != "" && p.sink.SchemaCompatibility != connector.CompatibilityNone
}

// choose finds the file that the record belongs to: of its own schema, or of the current one when schema.compatibility
// has it projected. Its error is a *badValueError when the record cannot be archived.
func (a *assembly) choose(ctx context.Context) error {
	c := &a.c
	c.own, c.projection = c.format, nil
	c.key = fileKey{encoded: c.place.Encoded, schema: c.own.id}
	if a.last != nil && a.key == c.key {
		c.file, c.current = a.last, c.own
		return nil
	}
	if a.schemas != nil {
		c.current = a.schemas[a.schemaKey(c.place.Encoded, c.own)]
		if a.p.projects() {
			if err := a.chooseTarget(ctx); err != nil {
				return err
			}
		}
	}
	c.file = a.open[c.key]
	return nil
}

func (a *assembly) chooseTarget(ctx context.Context) error {
	c := &a.c
	// A schema without a version is refused also where nothing has to be projected: else the order of the records would
	// decide about it.
	if _, err := a.p.version(ctx, c.own); err != nil {
		return err
	}
	if c.current == nil || c.current == c.own {
		return nil
	}
	projection, err := a.p.projection(ctx, c.own, c.current)
	if err != nil || projection == nil {
		return err
	}
	c.format, c.projection, c.key.schema = c.current, projection, c.current.id
	return nil
}

// chooseAgain is for a record before which a flush was made: no schema is current any more.
func (c *candidate) chooseAgain() {
	c.format, c.projection, c.current, c.file = c.own, nil, nil, nil
	c.key.schema = c.own.id
}

// project makes the record's body one of its file's schema. A *badValueError when this value has no counterpart there.
func (a *assembly) project() error {
	c := &a.c
	if c.projection == nil {
		return nil
	}
	body, err := c.projection.Append(a.projected[:0], c.body)
	if err != nil {
		return &badValueError{fmt.Sprintf("schema %d to %d, as schema.compatibility %s asks: %v", c.own.id, c.format.id, a.p.sink.SchemaCompatibility, err)}
	}
	a.projected, c.body = body, body
	return nil
}

// settle makes the schema of the record that was just written the current one.
func (a *assembly) settle() {
	c := &a.c
	if c.projection != nil {
		c.file.projects(c.own.id)
	}
	if a.schemas != nil && c.current != c.format {
		a.schemas[a.schemaKey(c.place.Encoded, c.format)] = c.format
	}
}

// projects notes that the file holds projected records of a schema.
func (f *file) projects(id int) {
	from := &f.planned.ProjectedFrom
	if at, found := slices.BinarySearch(*from, id); !found {
		*from = slices.Insert(*from, at, id)
	}
}

// projection is how records of a schema go into a file of the current schema, nil when they get a file of their own: the
// versions are the wrong way round for schema.compatibility, or Avro's schema resolution does not lead from one to the
// other. This is Confluent's rule: BACKWARD and FULL never project a newer schema to an older one, FORWARD never an
// older to a newer.
func (p *partition) projection(ctx context.Context, own, current *format) (*avrofile.Projection, error) {
	key := [2]int{own.id, current.id}
	if known, ok := p.projections[key]; ok {
		return known, nil
	}
	from, err := p.version(ctx, own)
	if err != nil {
		return nil, err
	}
	to, err := p.version(ctx, current)
	if err != nil {
		return nil, err
	}
	var projection *avrofile.Projection
	if up := from <= to; up && p.sink.SchemaCompatibility != connector.CompatibilityForward ||
		from >= to && p.sink.SchemaCompatibility == connector.CompatibilityForward {
		// That there is none is an answer too.
		projection, _ = avrofile.NewProjection(own.walk, current.walk)
	}
	if p.projections == nil {
		p.projections = map[[2]int]*avrofile.Projection{}
	}
	p.projections[key] = projection
	return projection, nil
}

// unversioned stands for a schema whose subject does not have it.
const unversioned = -1

// version is a schema's version in the subject of this topic's values.
func (p *partition) version(ctx context.Context, f *format) (int, error) {
	subject := p.sink.Registry.ValueSubject.Subject(p.topic.Name, f.walk.Name(), false)
	version, known := p.versions[f.id]
	if !known {
		var err error
		version, err = p.deps.Schemas.Version(ctx, subject, f.id)
		if errors.Is(err, schema.ErrUnknownVersion) {
			version = unversioned
		} else if err != nil {
			return 0, fmt.Errorf("reading the version of schema %d: %w", f.id, err)
		}
		if p.versions == nil {
			p.versions = map[int]int{}
		}
		p.versions[f.id] = version
	}
	if version == unversioned {
		return 0, &badValueError{fmt.Sprintf("schema.compatibility %s needs the version of schema %d, and subject %s has none of it "+
			"(value.converter.value.subject.name.strategy is %s)", p.sink.SchemaCompatibility, f.id, subject, p.sink.Registry.ValueSubject)}
	}
	return version, nil
}
