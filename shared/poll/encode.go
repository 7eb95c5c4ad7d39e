package poll

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

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
	changes map[string]*sourceoffset.Fingerprint
}

// recordOverhead is about what a record costs besides key and value, its id in the header included.
const recordOverhead = 80

// encode makes the records of all changes, in transactions of a bounded size.
func (r *run) encode(ctx context.Context, b batch) ([]part, error) {
	registry, err := r.d.NewRegistry(r.s.Registry)
	if err != nil {
		return nil, fmt.Errorf("preparing the schema registry: %w", err)
	}
	values, err := r.values(ctx, registry, b)
	if err != nil {
		return nil, err
	}
	appendKey, err := r.keyEncoder(ctx, registry)
	if err != nil {
		return nil, err
	}
	var (
		parts []part
		size  int64
	)
	for i, c := range b.changes {
		key := appendKey(nil, c.Key)
		bytes := int64(len(key) + len(values[i]) + recordOverhead)
		if len(parts) == 0 || len(parts[len(parts)-1].records) == r.d.PartRecords || size+bytes > r.d.PartBytes {
			id, err := sourceoffset.NewID(r.d.Rand)
			if err != nil {
				return nil, err
			}
			parts = append(parts, part{id: id, changes: map[string]*sourceoffset.Fingerprint{}})
			size = 0
		}
		size += bytes
		p := &parts[len(parts)-1]
		p.records = append(p.records, &kgo.Record{
			Topic: r.s.Topic, Key: key, Value: values[i], Timestamp: r.start,
			Headers: []kgo.RecordHeader{{Key: kafka.HeaderID, Value: []byte(p.id)}},
		})
		if r.store.Kind != sourceoffset.None {
			p.changes[c.Key] = &c.Fingerprint
		}
	}
	return parts, nil
}

// values encodes the changed entries with the schema that the whole answer asks for, merged with the subject's latest.
func (r *run) values(ctx context.Context, registry Registry, b batch) ([][]byte, error) {
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
	subject := r.s.Topic + "-value"
	registered, err := registry.Ensure(ctx, subject, inferred)
	if err != nil {
		return nil, fmt.Errorf("registering the schema of %s: %w", subject, err)
	}
	values := make([][]byte, len(b.changes))
	for i, c := range b.changes {
		value := schema.AppendHeader(make([]byte, 0, 512), registered.ID)
		if values[i], err = registered.Schema.AppendBody(value, c.entry, stamps, r.start); err != nil {
			return nil, failed(Upstream, "encoding the entry with key %q as schema %d of %s: %w", c.Key, registered.ID, subject, err)
		}
	}
	return values, nil
}

// keySchema is the schema of castorm's key struct as Confluent's Avro converter writes it.
const keySchema = `{"type":"record","name":"Key","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"key","type":["null",{"type":"string","connect.doc":"HTTP Record Key"}],"default":null}],"connect.doc":"Message Key","connect.name":"com.github.castorm.kafka.connect.http.Key"}`

// keyEncoder makes the Kafka key of a source offset key: its bare text, or castorm's struct in Avro.
func (r *run) keyEncoder(ctx context.Context, registry Registry) (func(dst []byte, key string) []byte, error) {
	switch r.s.KeyConverter {
	case connector.StringConverter:
		return func(dst []byte, key string) []byte { return append(dst, key...) }, nil
	case connector.AvroConverter:
		subject := r.s.Topic + "-key"
		id, err := registry.EnsureKey(ctx, subject, keySchema)
		if err != nil {
			return nil, fmt.Errorf("registering the schema of %s: %w", subject, err)
		}
		return func(dst []byte, key string) []byte {
			dst = schema.AppendHeader(dst, id)
			dst = append(dst, 2) // the union's second branch, as a zigzag varint
			dst = binary.AppendVarint(dst, int64(len(key)))
			return append(dst, key...)
		}, nil
	}
	return nil, failed(Refused, "key converter %s is not built for a source", r.s.KeyConverter)
}

// maxFields bounds how many member names are remembered.
const maxFields = 2000

// fieldsOf returns the sorted names of the members that the entries have, together with those that are known.
func fieldsOf(entries []record.Value, known []string) []string {
	seen := make(map[string]struct{}, len(known))
	for _, name := range known {
		seen[name] = struct{}{}
	}
	for i := range entries {
		for j := range entries[i].Fields {
			name := entries[i].Fields[j].Name
			if _, ok := seen[name]; !ok && len(seen) < maxFields {
				seen[name] = struct{}{}
			}
		}
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
		if c.Before != nil && prints.Of(c.entry) == *c.Before {
			n++
		}
	}
	return n
}
