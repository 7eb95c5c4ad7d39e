package schema

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Schema is an Avro record schema, ready to encode entries. It does not change and is safe for concurrent use.
type Schema struct {
	root *node
	text string
}

// ParseSchema reads the JSON text of an Avro record schema. Other types of schema are an error, as are references to
// types that the text does not define.
func ParseSchema(text string) (*Schema, error) {
	n, err := new(parser).text(text)
	if err != nil {
		return nil, fmt.Errorf("parsing a schema: %w", err)
	}
	if n.kind != kindRecord {
		return nil, fmt.Errorf("parsing a schema: %w: a record was expected, this is %s", errSchema, n.kind)
	}
	return finish(n), nil
}

// Text returns the schema as compact JSON. Two schemas that differ in nothing but white space, the order of attributes
// or the way of writing a type have the same text; documentation and other attributes count.
func (s *Schema) Text() string { return s.text }

// Equal reports whether both are the same schema, by their texts.
func (s *Schema) Equal(o *Schema) bool { return o != nil && s.text == o.text }

// Name returns the full name of the record.
func (s *Schema) Name() string { return s.root.name }

func finish(root *node) *Schema {
	root.walk((*node).compile)
	return &Schema{root: root, text: render(root)}
}

// magic is the first byte of Confluent's wire format.
const magic = 0

// AppendHeader appends the header of Confluent's wire format to dst: a zero byte and the schema id in four bytes,
// big-endian.
func AppendHeader(dst []byte, id int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, magic), uint32(id))
}

// ParseHeader splits a value in Confluent's wire format into the schema id and the Avro body. ok is false when the value
// is shorter than the header, does not begin with a zero byte, or has an id that no registry gives out.
func ParseHeader(value []byte) (id int, body []byte, ok bool) {
	if len(value) < 5 || value[0] != magic {
		return 0, nil, false
	}
	n := binary.BigEndian.Uint32(value[1:5])
	if n > math.MaxInt32 {
		return 0, nil, false
	}
	return int(n), value[5:], true
}
