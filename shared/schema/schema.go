// Package schema infers an Avro record schema from JSON entries, evolves it with what a registry holds, and writes
// entries as Avro in Confluent's wire format.
package schema

import (
	"errors"
	"time"

	"github.com/riftline/riftline/shared/record"
)

// ErrUnmergeable is wrapped by [Schema.Merge] when no schema holds both.
var ErrUnmergeable = errors.New("schemas cannot be merged")

// Schema is an Avro record schema and the compiled form that encodes entries.
type Schema struct{}

// ParseSchema reads the JSON text of an Avro record schema.
func ParseSchema(text string) (*Schema, error) { return nil, errors.New("not built") }

// Infer finds the schema that all entries fit, with the stamps and polled_at as its last fields.
func Infer(entries []*record.Value, stamps []record.Field, name string) (*Schema, error) {
	return nil, errors.New("not built")
}

// Merge returns the schema that follows latest and also takes what s takes.
func (s *Schema) Merge(latest *Schema) (*Schema, error) { return nil, ErrUnmergeable }

// Text returns the schema as JSON.
func (s *Schema) Text() string { return "" }

// Equal reports whether both are the same schema.
func (s *Schema) Equal(o *Schema) bool { return s.Text() == o.Text() }

// AppendBody appends entry with its stamps as Avro binary to dst.
func (s *Schema) AppendBody(dst []byte, entry *record.Value, stamps []record.Field, polledAt time.Time) ([]byte, error) {
	return dst, errors.New("not built")
}

// AppendHeader appends Confluent's wire format header: a zero byte and the schema id in four bytes, big-endian.
func AppendHeader(dst []byte, id int) []byte { return dst }

// ParseHeader splits a value in Confluent's wire format; ok is false when it has no such header.
func ParseHeader(value []byte) (id int, body []byte, ok bool) { return 0, nil, false }
