package schema

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/riftline/riftline/shared/record"
)

// errSchema is wrapped by errors about the text of a schema.
var errSchema = errors.New("not an Avro schema")

// parser reads schema texts. Types that earlier texts defined are known to later ones.
type parser struct{ types map[string]*node }

var primitives = map[string]kind{
	"null": kindNull, "boolean": kindBoolean, "int": kindInt, "long": kindLong, "float": kindFloat, "double": kindDouble,
	"bytes": kindBytes, "string": kindString,
}

func (p *parser) text(schema string) (*node, error) {
	v, err := record.Parse([]byte(schema))
	if err != nil {
		// Registries also hand out a primitive's bare name.
		if k, found := primitives[schema]; found {
			return &node{kind: k}, nil
		}
		return nil, fmt.Errorf("%w: %w", errSchema, err)
	}
	if p.types == nil {
		p.types = map[string]*node{}
	}
	return p.schema(&v, "")
}

func (p *parser) schema(v *record.Value, space string) (*node, error) {
	switch v.Kind {
	case record.String:
		return p.reference(v.Text, space)
	case record.Array:
		return p.union(v, space)
	case record.Object:
		return p.object(v, space)
	default:
		return nil, fmt.Errorf("%w: %s where a type was expected", errSchema, record.AppendJSON(nil, v))
	}
}

func (p *parser) reference(name, space string) (*node, error) {
	if k, found := primitives[name]; found {
		return &node{kind: k}, nil
	}
	if n, found := p.types[qualify(space, name)]; found {
		return n, nil
	}
	if n, found := p.types[name]; found {
		return n, nil
	}
	return nil, fmt.Errorf("%w: the type %q is not defined", errSchema, name)
}

func (p *parser) union(v *record.Value, space string) (*node, error) {
	n := &node{kind: kindUnion}
	for i := range v.Items {
		b, err := p.schema(&v.Items[i], space)
		if err != nil {
			return nil, err
		}
		same := func(o *node) bool { return o.kind == b.kind && o.name == b.name }
		if b.kind == kindUnion || slices.ContainsFunc(n.branches, same) {
			return nil, fmt.Errorf("%w: a union that holds %s twice, or another union", errSchema, b.kind)
		}
		n.branches = append(n.branches, b)
	}
	if len(n.branches) == 0 {
		return nil, fmt.Errorf("%w: a union without branches", errSchema)
	}
	return n, nil
}

func (p *parser) object(v *record.Value, space string) (*node, error) {
	typ, found := v.Field("type")
	if !found {
		return nil, fmt.Errorf("%w: an object without a type", errSchema)
	}
	if typ.Kind != record.String {
		// {"type": {…}} is the inner schema.
		return p.schema(typ, space)
	}
	switch typ.Text {
	case "record", "error":
		return p.record(v, space)
	case "enum", "fixed":
		return p.enumOrFixed(v, typ.Text, space)
	case "array", "map":
		return p.container(v, typ.Text, space)
	}
	n, err := p.reference(typ.Text, space)
	if err != nil || n.kind.named() {
		return n, err
	}
	n.attributes = others(v, "type")
	return n, nil
}

func (p *parser) define(n *node, v *record.Value, space string) (inner string, err error) {
	name, ok := v.Field("name")
	if !ok || name.Kind != record.String || name.Text == "" {
		return "", fmt.Errorf("%w: a %s without a name", errSchema, n.kind)
	}
	if own, ok := v.Field("namespace"); ok && own.Kind == record.String {
		space = own.Text
	}
	n.name = qualify(space, name.Text)
	if _, found := p.types[n.name]; found {
		return "", fmt.Errorf("%w: the type %q is defined twice", errSchema, n.name)
	}
	p.types[n.name] = n
	return namespace(n.name), nil
}

func (p *parser) record(v *record.Value, space string) (*node, error) {
	n := &node{kind: kindRecord, attributes: others(v, "type", "name", "namespace", "fields")}
	space, err := p.define(n, v, space)
	if err != nil {
		return nil, err
	}
	list, ok := v.Field("fields")
	if !ok || list.Kind != record.Array {
		return nil, fmt.Errorf("%w: the record %s has no list of fields", errSchema, n.name)
	}
	used := names{}
	for i := range list.Items {
		v := &list.Items[i]
		name, ok := v.Field("name")
		if !ok || name.Kind != record.String || used[name.Text] {
			return nil, fmt.Errorf("%w: field %d of %s has no name, or one that is taken", errSchema, i, n.name)
		}
		used[name.Text] = true
		typ, ok := v.Field("type")
		if !ok {
			return nil, fmt.Errorf("%w: field %s of %s has no type", errSchema, name.Text, n.name)
		}
		f := field{name: name.Text, attributes: others(v, "name", "type", "default")}
		if f.typ, err = p.schema(typ, space); err != nil {
			return nil, err
		}
		if def, ok := v.Field("default"); ok {
			f.def = def
		}
		f.locate()
		n.fields = append(n.fields, f)
	}
	return n, nil
}

func (p *parser) enumOrFixed(v *record.Value, typ, space string) (*node, error) {
	n := &node{kind: kindEnum, attributes: others(v, "type", "name", "namespace", "symbols")}
	if typ == "fixed" {
		n = &node{kind: kindFixed, attributes: others(v, "type", "name", "namespace", "size")}
	}
	if _, err := p.define(n, v, space); err != nil {
		return nil, err
	}
	if n.kind == kindFixed {
		size, ok := v.Field("size")
		if ok && size.Kind == record.Number {
			var err error
			if n.size, err = strconv.Atoi(size.Text); err == nil && n.size >= 0 {
				return n, nil
			}
		}
		return nil, fmt.Errorf("%w: the fixed %s has no size", errSchema, n.name)
	}
	symbols, _ := v.Field("symbols")
	if symbols == nil || symbols.Kind != record.Array {
		return nil, fmt.Errorf("%w: the enum %s has no symbols", errSchema, n.name)
	}
	for i := range symbols.Items {
		n.symbols = append(n.symbols, symbols.Items[i].Text)
	}
	return n, nil
}

func (p *parser) container(v *record.Value, typ, space string) (*node, error) {
	n, key := &node{kind: kindArray}, "items"
	if typ == "map" {
		n, key = &node{kind: kindMap}, "values"
	}
	items, ok := v.Field(key)
	if !ok {
		return nil, fmt.Errorf("%w: an %s without %s", errSchema, typ, key)
	}
	var err error
	n.items, err = p.schema(items, space)
	n.attributes = others(v, "type", key)
	return n, err
}

// others are the members of a schema's object that its structure does not use.
func others(v *record.Value, used ...string) []record.Field {
	var rest []record.Field
	for _, f := range v.Fields {
		if !slices.Contains(used, f.Name) {
			rest = append(rest, f)
		}
	}
	return rest
}
