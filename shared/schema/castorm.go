package schema

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// The structs that castorm's HTTP source writes (its SchemedKvSourceRecordMapper), as Confluent's AvroData makes Avro
// schemas of Connect's: an optional field is a union of null and its type with default null, documentation and the
// struct's name are the attributes connect.doc and connect.name.
const (
	// CastormKey is the struct of a record's key.
	CastormKey = `{"type":"record","name":"Key","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"key","type":["null",{"type":"string","connect.doc":"HTTP Record Key"}],"default":null}],"connect.doc":"Message Key","connect.name":"com.github.castorm.kafka.connect.http.Key"}`
	// CastormValue is the envelope of a record's value.
	CastormValue = `{"type":"record","name":"Value","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"value","type":{"type":"string","connect.doc":"HTTP Record Value"}},{"name":"key","type":["null",{"type":"string","connect.doc":"HTTP Record Key"}],"default":null},{"name":"timestamp","type":["null",{"type":"long","connect.doc":"HTTP Record Timestamp"}],"default":null}],"connect.doc":"Message Value","connect.name":"com.github.castorm.kafka.connect.http.Value"}`

	// CastormKeyName and CastormValueName are their full names.
	CastormKeyName   = "com.github.castorm.kafka.connect.http.Key"
	CastormValueName = "com.github.castorm.kafka.connect.http.Value"
)

// ErrEnvelope is wrapped by [Schema.Merge] and [Registry.Ensure] when the subject's latest schema is the envelope of
// castorm's HTTP source, which typed records cannot carry on. It comes with [ErrUnmergeable].
var ErrEnvelope = errors.New("castorm's source wrapped each entry as text in it")

// Struct is one of castorm's structs as a subject has it, ready to write.
type Struct struct {
	// ID is what the wire format's header carries.
	ID     int
	fields []structField
}

// structField says which property a field holds, and its place in a union with null, -1 where there is no union.
type structField struct {
	name   string
	branch int
}

// StructRecord has the properties of a record that castorm's structs hold.
type StructRecord struct {
	Key, Value string
	// Timestamp is in milliseconds since 1970.
	Timestamp int64
}

// Append appends the record to dst in Confluent's wire format.
func (s Struct) Append(dst []byte, r StructRecord) []byte {
	dst = AppendHeader(dst, s.ID)
	for _, f := range s.fields {
		if f.branch >= 0 {
			dst = binary.AppendVarint(dst, int64(f.branch))
		}
		text := r.Key
		switch f.name {
		case "timestamp":
			dst = binary.AppendVarint(dst, r.Timestamp)
			continue
		case "value":
			text = r.Value
		}
		dst = append(binary.AppendVarint(dst, int64(len(text))), text...)
	}
	return dst
}

// IsEnvelope reports whether s is the schema of castorm's envelope.
func (s *Schema) IsEnvelope() bool { return s.root.name == CastormValueName }

// structOf reads one of castorm's structs. It takes what the converter's settings change (no attributes, another order)
// and refuses a struct with other fields, as nothing would tell what belongs there.
func structOf(n *node, id int) (Struct, error) {
	want := map[string]kind{"key": kindString}
	if n.name == CastormValueName {
		want["value"], want["timestamp"] = kindString, kindLong
	}
	s := Struct{ID: id}
	for i := range n.fields {
		f := &n.fields[i]
		branch, typ := -1, f.typ
		if null := typ.nullBranch(); null >= 0 && len(typ.branches) == 2 {
			branch, typ = 1-null, typ.branches[1-null]
		}
		if k, ok := want[f.name]; !ok || k != typ.kind {
			return s, fmt.Errorf("%w: it is called %s and has a field %s that castorm's has not", ErrUnmergeable, n.name, f.name)
		}
		delete(want, f.name)
		s.fields = append(s.fields, structField{f.name, branch})
	}
	if len(want) > 0 {
		return s, fmt.Errorf("%w: it is called %s and lacks fields of castorm's", ErrUnmergeable, n.name)
	}
	return s, nil
}

// EnsureStruct makes sure that the subject holds the struct that text is, [CastormKey] or [CastormValue], and returns it.
// Where the latest schema is that struct already it is the one, however castorm's converter was set, so that the bytes of
// a key stay what they were. Its errors are Ensure's.
func (r *Registry) EnsureStruct(ctx context.Context, subject, text string) (Struct, error) {
	own, err := ParseSchema(text)
	if err != nil {
		return Struct{}, err
	}
	latest, found, err := r.latest(ctx, subject)
	switch {
	case errors.Is(err, ErrUnmergeable):
		// It is no record, or none of Avro: whether another schema may follow it is the registry's to say.
	case err != nil:
		return Struct{}, err
	case found && latest.schema.root.name == own.root.name:
		s, err := structOf(latest.schema.root, latest.id)
		if err != nil {
			return s, fmt.Errorf("reading version %d of subject %s at %s: %w: %w", latest.number, subject, r.place, ErrIncompatible, err)
		}
		return s, nil
	}
	id, err := r.EnsureKey(ctx, subject, text)
	if err != nil {
		return Struct{}, err
	}
	return structOf(own.root, id)
}
