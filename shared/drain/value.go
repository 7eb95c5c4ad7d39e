package drain

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/avrofile"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/schema"
)

// format is what is known of a schema id: the compiled check and the files of its schema.
type format struct {
	id    int
	walk  *avrofile.Walk
	files *avrofile.Format
	// fields check a body and read what the partitioner wants of it; noFields says why the schema has none such.
	fields   *avrofile.Fields
	noFields error
}

// formats are the schemas that a drain has met, for one codec.
type formats struct {
	schemas Schemas
	codec   string
	// paths are the fields that the partitioner reads; timed says that they are times.
	paths []string
	timed bool

	mu    sync.Mutex
	known map[int]*format
	// missing are ids that the registry did not know a moment ago: many records may have the same one.
	missing map[int]missing
}

type missing struct {
	err error
	at  time.Time
}

// missingFor is how long a schema id that the registry does not know is not asked for again.
const missingFor = 10 * time.Second

// get returns the format of a schema id. schema.ErrUnknownID, avrofile.ErrSchema and errors of the registry.
func (f *formats) get(ctx context.Context, id int) (*format, error) {
	found, err := f.look(id)
	if found != nil || err != nil {
		return found, err
	}
	// Not under the lock: a registry that does not answer would have each partition wait for all others' tries.
	text, err := f.schemas.ByID(ctx, id)
	if err != nil {
		err = fmt.Errorf("reading schema %d: %w", id, err)
		if errors.Is(err, schema.ErrUnknownID) || errors.Is(err, schema.ErrUnusable) {
			f.miss(id, err)
		}
		return nil, err
	}
	walk, err := avrofile.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	files, err := avrofile.NewFormat(text, f.codec)
	if err != nil {
		return nil, err
	}
	found = &format{id: id, walk: walk, files: files}
	if len(f.paths) > 0 {
		var times []string
		if f.timed {
			times = f.paths
		}
		found.fields, found.noFields = walk.Fields(f.paths, times...)
	}
	return f.keep(found), nil
}

// look returns what is known of a schema id: its format, or that the registry did not know it a moment ago.
func (f *formats) look(id int) (*format, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m, ok := f.missing[id]; ok && f.known[id] == nil && time.Since(m.at) < missingFor {
		return nil, m.err
	}
	return f.known[id], nil
}

func (f *formats) miss(id int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.missing == nil {
		f.missing = map[int]missing{}
	}
	f.missing[id] = missing{err: err, at: time.Now()}
}

// keep returns the one format of a schema id, which another partition may have found meanwhile.
func (f *formats) keep(found *format) *format {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first, ok := f.known[found.id]; ok {
		return first
	}
	f.known[found.id] = found
	return found
}

// badValueError is a record that cannot be archived as it is. Its text says why.
type badValueError struct{ reason string }

func (e *badValueError) Error() string { return e.reason }

// value reads a record's value: its schema and the body, which fits. last is the format of the record before, nil for
// none. A *badValueError, or a passing failure of the registry.
func (f *formats) value(ctx context.Context, value []byte, last *format) (*format, []byte, error) {
	return f.valueAndFields(ctx, value, last, nil)
}

// valueAndFields is value; unless fields is nil, the partitioner's fields are read into it, which has a place for each.
func (f *formats) valueAndFields(ctx context.Context, value []byte, last *format, fields []record.Scalar) (*format, []byte, error) {
	id, body, ok := schema.ParseHeader(value)
	if !ok {
		return nil, nil, &badValueError{fmt.Sprintf("the value (%d bytes) does not start with Confluent's magic byte and schema id; it was not written by an Avro serializer", len(value))}
	}
	if last == nil || last.id != id {
		found, err := f.schema(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		last = found
	}
	var err error
	switch {
	case len(fields) == 0:
		err = last.walk.Check(body)
	case last.noFields != nil:
		err = last.noFields
	default:
		err = last.fields.Check(body, fields)
	}
	if err != nil {
		bad := &badValueError{fmt.Sprintf("schema %d: %v", id, err)}
		if errors.Is(err, avrofile.ErrField) {
			return nil, nil, placeError{bad}
		}
		return nil, nil, bad
	}
	return last, body, nil
}

// schema is get; a *badValueError when no value of this schema can be archived.
func (f *formats) schema(ctx context.Context, id int) (*format, error) {
	found, err := f.get(ctx, id)
	switch {
	case errors.Is(err, schema.ErrUnknownID):
		return nil, &badValueError{fmt.Sprintf("the schema registry has no schema with id %d", id)}
	case errors.Is(err, avrofile.ErrSchema), errors.Is(err, schema.ErrUnusable):
		return nil, &badValueError{err.Error()}
	}
	return found, err
}

// stopAt is the way on from a record that cannot be archived.
func (p *partition) stopAt(r *kgo.Record, reason string) error {
	all := "errors.tolerance=all"
	if r.Value == nil {
		all = "behavior.on.null.values=ignore"
	}
	return p.stop("the record at offset %d cannot be archived: %s. All before it is archived. When the cause is removed, drain again; "+
		"to go on without this record: %s; to skip all such records, set %s", r.Offset, reason, p.command("skip", strconv.FormatInt(r.Offset, 10)), all)
}
