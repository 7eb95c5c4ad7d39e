package poll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/schema"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// part is what one transaction publishes.
type part struct {
	id      string
	records []*kgo.Record
	// changes are in the form of an intent.
	changes []sourceoffset.Change
	cursor  sourceoffset.Cursor
}

// recordOverhead is about what a record costs besides key and value, its id in the header included.
const recordOverhead = 80

// encode makes the records of all changes, in transactions of a bounded size.
func (r *run) encode(ctx context.Context, b batch) ([]part, error) {
	registry, err := r.d.NewRegistry(r.s.Registry)
	if err != nil {
		return nil, fmt.Errorf("preparing the schema registry: %w", err)
	}
	encoded, err := r.encoding(ctx, registry, b)
	if err != nil {
		return nil, err
	}
	var (
		parts  []part
		size   int64
		cursor = r.st.Cursor
		first  int
	)
	for i, c := range b.changes {
		key := encoded.key(nil, c.Key)
		bytes := int64(len(key) + len(encoded.values[i]) + recordOverhead)
		if r.leasing {
			bytes += int64(len(kafka.HeaderEntry) + len(c.Key))
		}
		if len(parts) == 0 || len(parts[len(parts)-1].records) == r.d.PartRecords || size+bytes > r.d.PartBytes {
			id, err := sourceoffset.NewID(r.d.Rand)
			if err != nil {
				return nil, err
			}
			if n := len(parts); n > 0 {
				cursor = r.cursorBefore(cursor, b, first, i)
				parts[n-1].cursor, first = cursor, i
			}
			most := min(len(b.changes)-i, r.d.PartRecords)
			parts = append(parts, part{id: id, records: make([]*kgo.Record, 0, most), changes: make([]sourceoffset.Change, 0, most)})
			size = 0
		}
		size += bytes
		p := &parts[len(parts)-1]
		p.records = append(p.records, &kgo.Record{
			Topic: r.s.Topic, Key: key, Value: encoded.values[i], Timestamp: recordTime(c.at), Headers: r.headers(p.id, c),
		})
		switch {
		case r.store.Kind != sourceoffset.Snapshot:
		case c.entry == nil:
			p.changes = append(p.changes, sourceoffset.Change{Key: c.Key})
		default:
			p.changes = append(p.changes, sourceoffset.Change{Key: c.Key, Fingerprint: &b.changes[i].Fingerprint})
		}
	}
	parts[len(parts)-1].cursor = b.cursor
	for i := range parts {
		parts[i].changes = sourceoffset.SortChanges(parts[i].changes)
	}
	return parts, nil
}

// headers say which intent a record is of and, where it may come to be there without the others, which entry.
func (r *run) headers(id string, c change) []kgo.RecordHeader {
	h := []kgo.RecordHeader{{Key: kafka.HeaderID, Value: []byte(id)}}
	if r.leasing && r.store.Kind != sourceoffset.None {
		h = append(h, kgo.RecordHeader{Key: kafka.HeaderEntry, Value: []byte(r.entryName(c))})
	}
	return h
}

// recordTime is the timestamp of a record: Kafka has none before 1970.
func recordTime(at time.Time) time.Time {
	if at.UnixMilli() < 0 {
		return time.UnixMilli(0)
	}
	return at
}

// encoding is what the values of a batch are and how their keys are written.
type encoding struct {
	values [][]byte
	key    func(dst []byte, key string) []byte
}

// encoding writes the values of the changed entries in the format that the connector file asks for; auto is castorm's
// where the subject's latest schema is its envelope.
func (r *run) encoding(ctx context.Context, registry Registry, b batch) (e encoding, err error) {
	castorm := r.s.RecordFormat == connector.FormatCastorm
	if !castorm {
		e.values, err = r.typedValues(ctx, registry, b)
		if castorm = r.s.RecordFormat != connector.FormatTyped && errors.Is(err, schema.ErrEnvelope); err != nil && !castorm {
			return e, err
		}
	}
	if castorm {
		subject := r.s.Registry.ValueSubject.Subject(r.s.Topic, schema.CastormValueName, false)
		envelope, err := registry.EnsureStruct(ctx, subject, schema.CastormValue)
		if err != nil {
			return e, fmt.Errorf("registering castorm's envelope under %s: %w", subject, err)
		}
		e.values = r.envelopes(envelope, b)
	}
	e.key, err = r.keyEncoder(ctx, registry, castorm)
	return e, err
}

// Values are written one behind the other into chunks, a new one of which is begun when less than chunkRest is left: they
// are all published together, and a slice for each would be most of what a poll leaves to the garbage collector.
const (
	chunkSize = 64 << 10
	chunkRest = 1 << 10
)

// typedValues encodes the changed entries with the schema that the whole answer asks for, merged with the subject's
// latest.
func (r *run) typedValues(ctx context.Context, registry Registry, b batch) ([][]byte, error) {
	entries := make([]*record.Value, len(b.answer.Entries))
	for i := range b.answer.Entries {
		entries[i] = &b.answer.Entries[i]
	}
	// No stamps at all, as opposed to none in this answer, leave out polled_at too.
	stamps := b.answer.Stamps
	switch {
	case r.s.ValueFields == "none":
		stamps = nil
	case stamps == nil:
		stamps = []record.Field{}
	}
	inferred, err := schema.Infer(entries, stamps, r.s.Topic)
	if err != nil {
		return nil, failed(Upstream, "inferring the schema of the answer: %w", err)
	}
	subject := r.s.Registry.ValueSubject.Subject(r.s.Topic, inferred.Name(), false)
	registered, err := registry.Ensure(ctx, subject, inferred)
	if err != nil {
		return nil, fmt.Errorf("registering the schema of %s: %w", subject, err)
	}
	values := make([][]byte, len(b.changes))
	var chunk []byte
	for i, c := range b.changes {
		if c.entry == nil {
			continue
		}
		if cap(chunk)-len(chunk) < chunkRest {
			chunk = make([]byte, 0, chunkSize)
		}
		at := len(chunk)
		if chunk, err = registered.Schema.AppendBody(schema.AppendHeader(chunk, registered.ID), c.entry, stamps, r.start); err != nil {
			return nil, failed(Upstream, "encoding the entry with key %q as schema %d of %s: %w", c.Key, registered.ID, subject, err)
		}
		values[i] = chunk[at:len(chunk):len(chunk)]
	}
	return values, nil
}

// envelopes wraps the changed entries as castorm does: each as its JSON text, with its key and the record's timestamp.
func (r *run) envelopes(envelope schema.Struct, b batch) [][]byte {
	values := make([][]byte, len(b.changes))
	for i, c := range b.changes {
		if c.entry == nil {
			continue
		}
		values[i] = envelope.Append(nil, schema.StructRecord{
			Key: c.Key, Value: string(record.AppendBody(nil, c.entry)), Timestamp: recordTime(c.at).UnixMilli(),
		})
	}
	return values
}

// keyEncoder makes the Kafka key of a source offset key. AvroConverter writes castorm's struct. StringConverter writes
// the bare text, or, for castorm's records, what Java makes a text of the struct.
func (r *run) keyEncoder(ctx context.Context, registry Registry, castorm bool) (func(dst []byte, key string) []byte, error) {
	switch r.s.KeyConverter {
	case connector.StringConverter:
		if castorm {
			return func(dst []byte, key string) []byte {
				return append(append(append(dst, structPrefix...), key...), structSuffix...)
			}, nil
		}
		return func(dst []byte, key string) []byte { return append(dst, key...) }, nil
	case connector.AvroConverter:
		subject := r.s.Registry.KeySubject.Subject(r.s.Topic, schema.CastormKeyName, true)
		s, err := registry.EnsureStruct(ctx, subject, schema.CastormKey)
		if err != nil {
			return nil, fmt.Errorf("registering the schema of %s: %w", subject, err)
		}
		return func(dst []byte, key string) []byte { return s.Append(dst, schema.StructRecord{Key: key}) }, nil
	}
	return nil, failed(Refused, "key converter %s is not built for a source", r.s.KeyConverter)
}

// Java's text of a Connect struct with the one field "key".
const (
	structPrefix = "Struct{key="
	structSuffix = "}"
)

// maxFields bounds how many member names are remembered.
const maxFields = 2000

// fieldsOf returns the sorted names of the members that the entries have, together with those that are known.
func fieldsOf(entries []record.Value, known []string) []string {
	seen := make(map[string]struct{}, len(known))
	for _, name := range known {
		seen[name] = struct{}{}
	}
	var before []record.Field
	for i := range entries {
		fields := entries[i].Fields
		for j, f := range fields {
			name := f.Name
			if j < len(before) && before[j].Name == name {
				continue // seen with the entry before
			}
			if _, ok := seen[name]; !ok && len(seen) < maxFields {
				seen[name] = struct{}{}
			}
		}
		before = fields
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// escapePointer escapes a member name as a reference token of a JSON pointer (RFC 6901).
var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// countOnlyNewFields counts the changed entries that are what they were but for members that no entry had before.
func (r *run) countOnlyNewFields(b batch) int {
	if len(r.st.Fields) == 0 {
		return 0
	}
	ignore := slices.Clone(r.s.Dedupe.Ignore)
	for _, name := range b.fields {
		if _, known := slices.BinarySearch(r.st.Fields, name); !known {
			ignore = append(ignore, "/"+escapePointer.Replace(name))
		}
	}
	if len(ignore) == len(r.s.Dedupe.Ignore) {
		return 0
	}
	prints, n := sourceoffset.NewFingerprinter(ignore), 0
	for _, c := range b.changes {
		if c.entry != nil && c.Before != nil && prints.Of(c.entry) == *c.Before {
			n++
		}
	}
	return n
}
