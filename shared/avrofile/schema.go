package avrofile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// ErrSchema says that a text is no Avro schema.
var ErrSchema = errors.New("not a valid Avro schema")

type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindBytes
	kindString
	kindRecord
	kindEnum
	kindArray
	kindMap
	kindUnion
	kindFixed
	// kindMark is no type: it stands before a value whose place is wanted.
	kindMark
)

var primitives = map[string]kind{
	"null": kindNull, "boolean": kindBoolean, "int": kindInt, "long": kindLong,
	"float": kindFloat, "double": kindDouble, "bytes": kindBytes, "string": kindString,
}

// schemaType is one type of a parsed schema. Named types that refer to themselves make it a graph.
type schemaType struct {
	kind kind
	// name is the full name of a record, enum or fixed.
	name   string
	fields []schemaField
	// items are the branches of a union, or the one item type of an array or map.
	items []*schemaType
	// size is a fixed's bytes or an enum's number of symbols.
	size int
	// symbols are those of an enum.
	symbols []string
	// aliases are further full names of a named type.
	aliases []string
	// symbol is an enum's default, empty for none.
	symbol string
	// logical is logicalType, or what Kafka Connect calls the same, for what is read as another type than it is written.
	logical string
	// precision and scale are a decimal's, as they stand in the text.
	precision, scale string
}

type schemaField struct {
	name string
	typ  *schemaType
	// def is the default as it stands in the text, nil for none and for null; defaulted tells these two apart.
	def       any
	defaulted bool
	aliases   []string
}

// maxSchemaDepth bounds the nesting of a schema text.
const maxSchemaDepth = 200

type schemaParser struct{ named map[string]*schemaType }

// parseSchema reads a schema (Avro 1.12 specification, "Schema Declaration"). Attributes that do not change the binary
// form (doc, order and unknown ones) are not looked at; defaults, aliases and logical types are kept for [Walk.Fields]
// and [NewProjection].
func parseSchema(text string) (*schemaType, error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: text after its end", ErrSchema)
	}
	p := schemaParser{named: map[string]*schemaType{}}
	t, err := p.parse(v, "", 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return t, nil
}

func (p *schemaParser) parse(v any, space string, depth int) (*schemaType, error) {
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxSchemaDepth)
	}
	switch v := v.(type) {
	case string:
		return p.reference(v, space)
	case []any:
		return p.union(v, space, depth)
	case map[string]any:
		return p.complex(v, space, depth)
	default:
		return nil, fmt.Errorf("a schema is a string, an array or an object, not %T", v)
	}
}

func (p *schemaParser) reference(name, space string) (*schemaType, error) {
	if k, ok := primitives[name]; ok {
		return &schemaType{kind: k}, nil
	}
	if !strings.Contains(name, ".") && space != "" {
		if t, ok := p.named[space+"."+name]; ok {
			return t, nil
		}
	}
	if t, ok := p.named[name]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("unknown type %q", name)
}

func (p *schemaParser) union(branches []any, space string, depth int) (*schemaType, error) {
	t := &schemaType{kind: kindUnion}
	if len(branches) == 0 {
		return nil, errors.New("a union without branches")
	}
	seen := map[string]bool{}
	for _, b := range branches {
		branch, err := p.parse(b, space, depth+1)
		if err != nil {
			return nil, err
		}
		if branch.kind == kindUnion {
			return nil, errors.New("a union in a union")
		}
		id := fmt.Sprint(branch.kind)
		if branch.name != "" {
			id = "named " + branch.name
		}
		if seen[id] {
			return nil, errors.New("a union with two branches of one type")
		}
		seen[id] = true
		t.items = append(t.items, branch)
	}
	return t, nil
}

func (p *schemaParser) complex(m map[string]any, space string, depth int) (*schemaType, error) {
	name, ok := m["type"].(string)
	if !ok {
		if m["type"] == nil {
			return nil, errors.New("an object without type")
		}
		return p.parse(m["type"], space, depth+1)
	}
	switch name {
	case "record", "error":
		return p.record(m, space, depth)
	case "enum":
		return p.enum(m, space)
	case "fixed":
		return p.fixed(m, space)
	case "array":
		return p.container(kindArray, m["items"], "items", space, depth)
	case "map":
		return p.container(kindMap, m["values"], "values", space, depth)
	default:
		t, err := p.reference(name, space)
		if err != nil || t.name != "" {
			return t, err
		}
		t.annotate(m)
		if s, ok := m["connect.name"].(string); ok && t.logical == "" {
			t.logical = s
		}
		return t, nil
	}
}

// annotate keeps what a schema says of a value's meaning.
func (t *schemaType) annotate(m map[string]any) {
	t.logical, _ = m["logicalType"].(string)
	if t.logical == "decimal" {
		// A scale that is left out is 0.
		t.precision, t.scale = fmt.Sprint(m["precision"]), "0"
		if m["scale"] != nil {
			t.scale = fmt.Sprint(m["scale"])
		}
	}
}

// aliasesOf are the aliases of a type or field; those of a type are full names, in its namespace unless they name one.
func aliasesOf(m map[string]any, space string) []string {
	list, _ := m["aliases"].([]any)
	var names []string
	for _, a := range list {
		name, ok := a.(string)
		if !ok || name == "" {
			continue
		}
		if space != "" && !strings.Contains(name, ".") {
			name = space + "." + name
		}
		names = append(names, name)
	}
	return names
}

func (p *schemaParser) container(k kind, of any, key, space string, depth int) (*schemaType, error) {
	if of == nil {
		return nil, fmt.Errorf("an array or a map without %s", key)
	}
	item, err := p.parse(of, space, depth+1)
	if err != nil {
		return nil, err
	}
	return &schemaType{kind: k, items: []*schemaType{item}}, nil
}

// define registers a named type and returns it with the namespace that its inner names are in.
func (p *schemaParser) define(k kind, m map[string]any, space string) (*schemaType, string, error) {
	name, _ := m["name"].(string)
	if at := strings.LastIndexByte(name, '.'); at >= 0 {
		space = name[:at]
	} else {
		if s, ok := m["namespace"].(string); ok {
			space = s
		}
		if space != "" {
			name = space + "." + name
		}
	}
	for part := range strings.SplitSeq(name, ".") {
		if !validName(part) {
			return nil, "", fmt.Errorf("invalid name %q", name)
		}
	}
	if _, ok := primitives[name]; ok {
		return nil, "", fmt.Errorf("a type is named like the primitive %q", name)
	}
	if p.named[name] != nil {
		return nil, "", fmt.Errorf("type %q is defined twice", name)
	}
	t := &schemaType{kind: k, name: name, aliases: aliasesOf(m, space)}
	p.named[name] = t
	return t, space, nil
}

func (p *schemaParser) record(m map[string]any, space string, depth int) (*schemaType, error) {
	t, space, err := p.define(kindRecord, m, space)
	if err != nil {
		return nil, err
	}
	fields, ok := m["fields"].([]any)
	if !ok {
		return nil, fmt.Errorf("record %q without fields", t.name)
	}
	seen := map[string]bool{}
	for _, f := range fields {
		field, _ := f.(map[string]any)
		name, _ := field["name"].(string)
		if !validName(name) {
			return nil, fmt.Errorf("record %q: invalid field name %q", t.name, name)
		}
		if seen[name] {
			return nil, fmt.Errorf("record %q: field %q is defined twice", t.name, name)
		}
		seen[name] = true
		if field["type"] == nil {
			return nil, fmt.Errorf("record %q: field %q without type", t.name, name)
		}
		typ, err := p.parse(field["type"], space, depth+1)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", name, err)
		}
		def, defaulted := field["default"]
		t.fields = append(t.fields, schemaField{name: name, typ: typ, def: def, defaulted: defaulted, aliases: aliasesOf(field, "")})
	}
	return t, nil
}

func (p *schemaParser) enum(m map[string]any, space string) (*schemaType, error) {
	t, _, err := p.define(kindEnum, m, space)
	if err != nil {
		return nil, err
	}
	symbols, _ := m["symbols"].([]any)
	if len(symbols) == 0 {
		return nil, fmt.Errorf("enum %q without symbols", t.name)
	}
	seen := map[string]bool{}
	for _, s := range symbols {
		symbol, _ := s.(string)
		if !validName(symbol) || seen[symbol] {
			return nil, fmt.Errorf("enum %q: symbol %q is invalid or there twice", t.name, symbol)
		}
		seen[symbol] = true
		t.symbols = append(t.symbols, symbol)
	}
	t.size = len(symbols)
	t.symbol, _ = m["default"].(string)
	return t, nil
}

func (p *schemaParser) fixed(m map[string]any, space string) (*schemaType, error) {
	t, _, err := p.define(kindFixed, m, space)
	if err != nil {
		return nil, err
	}
	number, _ := m["size"].(json.Number)
	size, err := number.Int64()
	if err != nil || size < 0 || size > math.MaxInt32 {
		return nil, fmt.Errorf("fixed %q: invalid size %q", t.name, number)
	}
	t.size = int(size)
	t.annotate(m)
	return t, nil
}

// validName is the specification's rule for names, except that letters of every alphabet are taken, as Java's reader
// takes them.
func validName(s string) bool {
	for i, r := range s {
		switch {
		case r == '_', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r > 127:
		case i > 0 && r >= '0' && r <= '9':
		default:
			return false
		}
	}
	return s != ""
}
