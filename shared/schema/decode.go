package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/riftline/riftline/shared/record"
)

// ErrBody is wrapped by errors about an Avro body that is none of the schema it is read with.
var ErrBody = errors.New("the value is not what its schema says")

// maxDepth bounds how deep values may lie in one another, as a schema may refer to itself.
const maxDepth = 200

// Entry reads an Avro body (Avro 1.12 specification, Binary Encoding) back into the entry that [Schema.AppendBody] was
// given, and the stamps. It is not all that the entry was:
//
//   - a null member of an object is left out, as the schema has null for a member that was missing too;
//   - so is what had no content when the schema was made;
//   - a number that is a double in the schema has the digits that a double keeps;
//   - an entry that was no object is an object with the one member "value".
//
// Its errors wrap [ErrBody], or name a type that no JSON becomes (bytes, fixed).
func (s *Schema) Entry(body []byte) (entry record.Value, stamps []record.Field, err error) {
	d := decoder{rest: body}
	entry = record.Value{Kind: record.Object}
	for i := range s.root.fields {
		f := &s.root.fields[i]
		v, err := d.value(f.typ, 0)
		if err != nil {
			return record.Value{}, nil, fmt.Errorf("reading field %s: %w", f.name, err)
		}
		switch {
		case v.Kind == record.Null:
		case f.role == fromEntry:
			entry.Fields = append(entry.Fields, record.Field{Name: f.source, Value: v})
		default:
			stamps = append(stamps, record.Field{Name: f.source, Value: v})
		}
	}
	if len(d.rest) > 0 {
		return record.Value{}, nil, fmt.Errorf("%w: %d bytes are left over", ErrBody, len(d.rest))
	}
	return entry, stamps, nil
}

type decoder struct{ rest []byte }

func (d *decoder) varint() (int64, error) {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		return 0, fmt.Errorf("%w: it ends in a number, or has one of more than 64 bits", ErrBody)
	}
	d.rest = d.rest[n:]
	return v, nil
}

func (d *decoder) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(d.rest)) {
		return nil, fmt.Errorf("%w: it is shorter than it says", ErrBody)
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b, nil
}

func (d *decoder) text() (string, error) {
	n, err := d.varint()
	if err != nil {
		return "", err
	}
	b, err := d.take(n)
	return string(b), err
}

func number(literal string) record.Value { return record.Value{Kind: record.Number, Text: literal} }

func (d *decoder) value(n *node, depth int) (v record.Value, err error) {
	if depth > maxDepth {
		return v, fmt.Errorf("%w: it is nested too deep", ErrBody)
	}
	switch n.kind {
	case kindNull:
		return v, nil
	case kindBoolean:
		b, err := d.take(1)
		if err != nil {
			return v, err
		}
		return record.Value{Kind: record.Bool, Text: strconv.FormatBool(b[0] != 0)}, nil
	case kindInt, kindLong:
		i, err := d.varint()
		return number(strconv.FormatInt(i, 10)), err
	case kindFloat, kindDouble:
		return d.float(n.kind)
	case kindString:
		s, err := d.text()
		return record.Value{Kind: record.String, Text: s}, err
	case kindEnum:
		i, err := d.varint()
		if err == nil && (i < 0 || i >= int64(len(n.symbols))) {
			err = fmt.Errorf("%w: it has no symbol %d", ErrBody, i)
		}
		if err != nil {
			return v, err
		}
		return record.Value{Kind: record.String, Text: n.symbols[i]}, nil
	case kindUnion:
		i, err := d.varint()
		if err == nil && (i < 0 || i >= int64(len(n.branches))) {
			err = fmt.Errorf("%w: it has no branch %d", ErrBody, i)
		}
		if err != nil {
			return v, err
		}
		return d.value(n.branches[i], depth+1)
	case kindRecord:
		return d.record(n, depth)
	case kindArray, kindMap:
		return d.blocks(n, depth)
	}
	return v, fmt.Errorf("%s is a type that no JSON becomes", n.kind)
}

func (d *decoder) float(k kind) (v record.Value, err error) {
	bits := 64
	if k == kindFloat {
		bits = 32
	}
	b, err := d.take(int64(bits / 8))
	if err != nil {
		return v, err
	}
	var f float64
	if k == kindFloat {
		f = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	} else {
		f = math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return v, fmt.Errorf("%w: %v is no JSON number", ErrBody, f)
	}
	return number(strconv.FormatFloat(f, 'e', -1, bits)), nil
}

func (d *decoder) record(n *node, depth int) (record.Value, error) {
	v := record.Value{Kind: record.Object}
	for i := range n.fields {
		f := &n.fields[i]
		member, err := d.value(f.typ, depth+1)
		if err != nil {
			return v, err
		}
		if member.Kind != record.Null {
			v.Fields = append(v.Fields, record.Field{Name: f.source, Value: member})
		}
	}
	return v, nil
}

// blocks reads an array or a map. A negative count is followed by the block's size in bytes.
func (d *decoder) blocks(n *node, depth int) (record.Value, error) {
	v := record.Value{Kind: record.Array}
	if n.kind == kindMap {
		v.Kind = record.Object
	}
	for {
		count, err := d.varint()
		if err == nil && count < 0 {
			count = -count
			_, err = d.varint()
		}
		if err != nil || count == 0 {
			return v, err
		}
		for range count {
			before := len(d.rest)
			var name string
			if n.kind == kindMap {
				if name, err = d.text(); err != nil {
					return v, err
				}
			}
			item, err := d.value(n.items, depth+1)
			if err != nil {
				return v, err
			}
			if len(d.rest) == before && count > maxEmpty {
				return v, fmt.Errorf("%w: it has %d items of no size", ErrBody, count)
			}
			if n.kind == kindMap {
				v.Fields = append(v.Fields, record.Field{Name: name, Value: item})
			} else {
				v.Items = append(v.Items, item)
			}
		}
	}
}

// maxEmpty bounds how many items without a size an array may have, which its length in bytes does not.
const maxEmpty = 1 << 16
