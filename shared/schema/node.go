package schema

import (
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/record"
)

// kind is an Avro type.
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
	kindFixed
	kindArray
	kindMap
	kindUnion
)

var kindNames = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "fixed", "array", "map", "union"}

func (k kind) String() string { return kindNames[k] }

func (k kind) named() bool { return k == kindRecord || k == kindEnum || k == kindFixed }

func (k kind) number() bool { return k >= kindInt && k <= kindDouble }

// node is one Avro schema. Named types are shared: a schema that refers to a type twice has the same node twice.
type node struct {
	kind kind
	// name is the full name of a named type.
	name    string
	fields  []field
	symbols []string
	size    int
	// items are an array's elements or a map's values.
	items    *node
	branches []*node
	// attributes are what else the schema's object has, in its order: doc, aliases, logicalType, …
	attributes []record.Field
	// small says of an inferred long that an int would hold every value seen.
	small bool
	// branch is, for a union, the branch that a JSON value of each kind goes to, or -1. Integers have their own entry.
	branch [kindsOfJSON]int16
}

// role is where a field's value comes from.
type role uint8

const (
	fromEntry role = iota
	fromStamp
	fromClock
)

// polledAt is the stamp that every record has: when the run began that polled it.
const polledAt = "polled_at"

const (
	jsonAttribute  = "json"
	stampAttribute = "stamp"
)

type field struct {
	name string
	typ  *node
	// def is the default, nil when there is none.
	def        *record.Value
	attributes []record.Field
	// role and source say which member of the entry, or which stamp, the field takes its value from.
	role   role
	source string
}

// locate sets role and source from the field's attributes.
func (f *field) locate() {
	f.role, f.source = fromEntry, f.name
	for i := range f.attributes {
		a := &f.attributes[i]
		switch {
		case a.Value.Kind != record.String:
		case a.Name == jsonAttribute:
			f.source = a.Value.Text
		case a.Name == stampAttribute:
			f.role, f.source = fromStamp, a.Value.Text
			if f.source == polledAt {
				f.role = fromClock
			}
		}
	}
}

// marked reports whether the field says itself where its value comes from.
func (f *field) marked() bool { return f.role != fromEntry || f.source != f.name }

func text(name, value string) record.Field {
	return record.Field{Name: name, Value: record.Value{Kind: record.String, Text: value}}
}

// nullBranch returns the position of null in a union, or -1.
func (n *node) nullBranch() int {
	if n.kind != kindUnion {
		return -1
	}
	return slices.IndexFunc(n.branches, func(b *node) bool { return b.kind == kindNull })
}

func (n *node) takesNull() bool { return n.kind == kindNull || n.nullBranch() >= 0 }

// nullable returns n with null as its first branch.
func nullable(n *node) *node {
	switch {
	case n.takesNull():
		return n
	case n.kind == kindUnion:
		n.branches = append([]*node{{kind: kindNull}}, n.branches...)
		return n
	default:
		return &node{kind: kindUnion, branches: []*node{{kind: kindNull}, n}}
	}
}

// makeNullable lets a field be null. The first branch of a union is the one that the default belongs to, so a default
// that is there already keeps its place and null comes last.
func (f *field) makeNullable() {
	switch {
	case f.typ.takesNull():
	case f.def == nil || f.def.Kind == record.Null:
		f.typ, f.def = nullable(f.typ), &record.Value{}
	case f.typ.kind == kindUnion:
		f.typ.branches = append(f.typ.branches, &node{kind: kindNull})
	default:
		f.typ = &node{kind: kindUnion, branches: []*node{f.typ, {kind: kindNull}}}
	}
}

// clone copies a schema. Named types are looked up in seen, so that sharing and recursion stay.
func (n *node) clone(seen map[*node]*node) *node {
	if n == nil {
		return nil
	}
	if c, found := seen[n]; found {
		return c
	}
	c := new(node)
	*c = *n
	if n.kind.named() {
		seen[n] = c
	}
	c.items = n.items.clone(seen)
	c.branches = slices.Clone(n.branches)
	for i := range c.branches {
		c.branches[i] = c.branches[i].clone(seen)
	}
	c.attributes = slices.Clone(n.attributes)
	c.fields = slices.Clone(n.fields)
	for i := range c.fields {
		c.fields[i].typ = c.fields[i].typ.clone(seen)
	}
	return c
}

// walk calls visit for every schema below and including n, named types once.
func (n *node) walk(visit func(*node)) { n.walkOnce(visit, map[*node]bool{}) }

func (n *node) walkOnce(visit func(*node), seen map[*node]bool) {
	if n == nil || seen[n] {
		return
	}
	if n.kind.named() {
		seen[n] = true
	}
	visit(n)
	n.items.walkOnce(visit, seen)
	for _, b := range n.branches {
		b.walkOnce(visit, seen)
	}
	for i := range n.fields {
		n.fields[i].typ.walkOnce(visit, seen)
	}
}

// namespace and short split a full name at its last dot.
func namespace(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i]
	}
	return ""
}

func short(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func qualify(space, name string) string {
	if space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}
