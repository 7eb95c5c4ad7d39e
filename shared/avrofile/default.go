package avrofile

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

var (
	errDefault      = errors.New("it does not fit")
	errDefaultLarge = errors.New("it is too large")
)

// What a default may take, in bytes and in values: defaults inside defaults multiply.
const (
	maxDefaultBytes  = 1 << 20
	maxDefaultValues = 1 << 16
)

// defaultOf is the binary form of a field's default (Avro 1.12 specification, "Complex Types", field default values).
func defaultOf(f schemaField) ([]byte, error) {
	d := defaults{left: maxDefaultValues}
	return d.append(nil, f.typ, f.def, 0)
}

type defaults struct{ left int }

// append appends a default. That of a union is of the first branch that it fits.
func (d *defaults) append(to []byte, t *schemaType, v any, depth int) ([]byte, error) {
	if d.left--; d.left < 0 || depth > maxSchemaDepth || len(to) > maxDefaultBytes {
		return nil, errDefaultLarge
	}
	switch t.kind {
	case kindUnion:
		for i, b := range t.items {
			out, err := d.append(appendLong(slices.Clip(to), int64(i)), b, v, depth+1)
			if err == nil || errors.Is(err, errDefaultLarge) {
				return out, err
			}
		}
	case kindArray:
		if list, ok := v.([]any); ok {
			return d.array(to, t, list, depth)
		}
	case kindMap:
		if m, ok := v.(map[string]any); ok {
			return d.entries(to, t, m, depth)
		}
	case kindRecord:
		if m, ok := v.(map[string]any); ok {
			return d.record(to, t, m, depth)
		}
	default:
		if out, ok := appendScalar(to, t, v); ok {
			return out, nil
		}
	}
	return nil, fmt.Errorf("%w %s", errDefault, t.describe())
}

func (d *defaults) array(to []byte, t *schemaType, list []any, depth int) (out []byte, err error) {
	if len(list) > 0 {
		to = appendLong(to, int64(len(list)))
	}
	for _, item := range list {
		if to, err = d.append(to, t.items[0], item, depth+1); err != nil {
			return nil, err
		}
	}
	return appendLong(to, 0), nil
}

func (d *defaults) entries(to []byte, t *schemaType, m map[string]any, depth int) (out []byte, err error) {
	if len(m) > 0 {
		to = appendLong(to, int64(len(m)))
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if to, err = d.append(appendBytes(to, key), t.items[0], m[key], depth+1); err != nil {
			return nil, err
		}
	}
	return appendLong(to, 0), nil
}

func (d *defaults) record(to []byte, t *schemaType, m map[string]any, depth int) (out []byte, err error) {
	for _, f := range t.fields {
		v, given := m[f.name]
		if !given {
			if !f.defaulted {
				return nil, fmt.Errorf("%w %s: field %s is missing", errDefault, t.describe(), f.name)
			}
			v = f.def
		}
		if to, err = d.append(to, f.typ, v, depth+1); err != nil {
			return nil, err
		}
	}
	return to, nil
}

func appendScalar(to []byte, t *schemaType, v any) ([]byte, bool) {
	switch v := v.(type) {
	case nil:
		return to, t.kind == kindNull
	case bool:
		if v {
			return append(to, 1), t.kind == kindBoolean
		}
		return append(to, 0), t.kind == kindBoolean
	case json.Number:
		return appendNumber(to, t, v)
	case string:
		return appendText(to, t, v)
	}
	return nil, false
}

func appendNumber(to []byte, t *schemaType, n json.Number) ([]byte, bool) {
	switch t.kind {
	case kindInt, kindLong:
		i, err := n.Int64()
		return appendLong(to, i), err == nil && (t.kind == kindLong || i <= math.MaxInt32 && i >= math.MinInt32)
	case kindFloat:
		f, err := n.Float64()
		return binary.LittleEndian.AppendUint32(to, math.Float32bits(float32(f))), err == nil
	case kindDouble:
		f, err := n.Float64()
		return binary.LittleEndian.AppendUint64(to, math.Float64bits(f)), err == nil
	}
	return nil, false
}

func appendText(to []byte, t *schemaType, s string) ([]byte, bool) {
	switch t.kind {
	case kindString:
		return appendBytes(to, s), true
	case kindEnum:
		at := slices.Index(t.symbols, s)
		return appendLong(to, int64(at)), at >= 0
	case kindBytes, kindFixed:
		// Each character stands for the byte of its number.
		b := make([]byte, 0, len(s))
		for _, r := range s {
			if r > 255 {
				return nil, false
			}
			b = append(b, byte(r))
		}
		if t.kind == kindBytes {
			return appendBytes(to, string(b)), true
		}
		return append(to, b...), len(b) == t.size
	}
	return nil, false
}
