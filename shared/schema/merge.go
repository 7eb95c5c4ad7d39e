package schema

import (
	"errors"
	"fmt"
	"slices"

	"github.com/riftline/riftline/shared/record"
)

// ErrUnmergeable is wrapped by [Schema.Merge] when the subject's latest schema cannot be carried on by typed records. A
// person must decide: another topic, or another subject.
var ErrUnmergeable = errors.New("the latest schema cannot be carried on")

// Merge returns the schema that follows latest and also takes every entry that s takes, as the package comment says
// under Evolution. It is equal to latest when latest takes them already, and s itself when latest is nil. Neither s nor
// latest is changed.
//
// The result finds members and stamps as s does, so encode with the result.
func (s *Schema) Merge(latest *Schema) (*Schema, error) {
	if latest == nil {
		return s, nil
	}
	if latest.root.name == CastormValueName {
		return nil, fmt.Errorf("%w: it is %s: %w; set riftline.record.format to auto or castorm, or let the connector write to a new topic",
			ErrUnmergeable, CastormValueName, ErrEnvelope)
	}
	root := latest.root.clone(map[*node]*node{})
	m := merger{types: names{}, space: namespace(root.name)}
	root.walk(func(n *node) {
		if n.kind.named() {
			m.types[n.name] = true
		}
	})
	m.record(root, s.root)
	return finish(root), nil
}

// merger changes a copy of the latest schema so that it takes what an inferred one takes.
type merger struct {
	types names
	space string
}

// record lets old take the objects that inferred takes.
func (m *merger) record(old, inferred *node) {
	matches := match(old.fields, inferred.fields)
	used, kept := names{}, make([]bool, len(old.fields))
	for i := range old.fields {
		used[old.fields[i].name] = true
	}
	for i := range inferred.fields {
		in := &inferred.fields[i]
		if matches[i] < 0 {
			old.fields = append(old.fields, m.newField(in, used))
			continue
		}
		kept[matches[i]] = true
		f := &old.fields[matches[i]]
		if f.role != in.role {
			// Said in the schema from now on, or the next one would not know it.
			f.attributes = append(f.attributes, text(stampAttribute, in.source))
			f.role, f.source = in.role, in.source
		}
		typ, null := withoutNull(in.typ)
		if typ != nil {
			f.typ = m.absorb(f.typ, typ)
		}
		if null {
			f.makeNullable()
		}
	}
	for i, k := range kept {
		if !k {
			old.fields[i].makeNullable()
		}
	}
}

// match returns, for each inferred field, the index of the old field that carries it on, or -1. Fields belong together
// when they take their values from the same member or stamp. In a schema that somebody else registered no field says
// that it is a stamp, so there a stamp also belongs to the field of its name when no entry has such a member.
func match(old, inferred []field) []int {
	ours := slices.ContainsFunc(old, func(f field) bool { return f.role != fromEntry })
	matches, taken := make([]int, len(inferred)), make([]bool, len(old))
	for i := range inferred {
		in := &inferred[i]
		matches[i] = slices.IndexFunc(old, func(f field) bool { return f.role == in.role && f.source == in.source })
		if matches[i] >= 0 {
			taken[matches[i]] = true
		}
	}
	for i := range inferred {
		if matches[i] >= 0 || ours {
			continue
		}
		at := slices.IndexFunc(old, func(f field) bool { return f.name == inferred[i].name })
		if at >= 0 && !taken[at] && !old[at].marked() && inferred[i].role != fromEntry {
			matches[i], taken[at] = at, true
		}
	}
	return matches
}

// newField is nullable with default null: earlier data does not have it.
func (m *merger) newField(in *field, used names) field {
	f := field{role: in.role, source: in.source, typ: m.adopt(in.typ), def: in.def}
	if in.role == fromEntry {
		f.name = used.take(avroName(in.source))
		if f.name != in.source {
			f.attributes = []record.Field{text(jsonAttribute, in.source)}
		}
	} else {
		f.name = used.stamp(in.name)
		f.attributes = []record.Field{text(stampAttribute, in.source)}
	}
	f.makeNullable()
	return f
}

// adopt copies an inferred schema into the merged one, with record names that are free there.
func (m *merger) adopt(n *node) *node {
	c := n.clone(map[*node]*node{})
	c.walk(func(n *node) {
		if n.kind.named() {
			n.name = m.types.take(qualify(m.space, n.name))
		}
	})
	return c
}

// absorb returns old, changed so that it also takes what inferred takes.
func (m *merger) absorb(old, inferred *node) *node {
	switch {
	case inferred.kind == kindUnion:
		for _, b := range inferred.branches {
			old = m.absorb(old, b)
		}
		return old
	case inferred.kind == kindNull:
		return nullable(old)
	case old.kind == kindUnion:
		at := m.branchFor(old, inferred)
		if at < 0 {
			old.branches = append(old.branches, m.adopt(inferred))
		} else {
			m.same(old.branches[at], inferred)
		}
		return old
	case sameClass(old.kind, inferred.kind):
		m.same(old, inferred)
		return old
	default:
		return &node{kind: kindUnion, branches: []*node{old, m.adopt(inferred)}}
	}
}

// branchFor finds the branch of a union that inferred goes to: one that needs no change before one that does.
func (m *merger) branchFor(union, inferred *node) int {
	if !inferred.kind.number() {
		return slices.IndexFunc(union.branches, func(b *node) bool { return sameClass(b.kind, inferred.kind) })
	}
	at := slices.IndexFunc(union.branches, func(b *node) bool { return b.kind.number() && promoted(b.kind, inferred) == b.kind })
	if at >= 0 {
		return at
	}
	// The widest number there is becomes wider, so that no two branches become the same.
	for i, b := range union.branches {
		if b.kind.number() && (at < 0 || b.kind > union.branches[at].kind) {
			at = i
		}
	}
	return at
}

// sameClass reports whether values of the two types go to one type.
func sameClass(old, inferred kind) bool {
	return old == inferred || old.number() && inferred.number() || old == kindMap && inferred == kindRecord
}

// same lets old take what inferred, of the same class, takes.
func (m *merger) same(old, inferred *node) {
	switch {
	case old.kind == kindRecord:
		m.record(old, inferred)
	case old.kind == kindMap:
		for i := range inferred.fields {
			old.items = m.absorb(old.items, inferred.fields[i].typ)
		}
	case old.kind == kindArray:
		old.items = m.absorb(old.items, inferred.items)
	case old.kind.number():
		if k := promoted(old.kind, inferred); k != old.kind {
			// A logical type says how to read the old number and has no meaning for the wider one.
			old.kind, old.attributes = k, slices.DeleteFunc(old.attributes, func(a record.Field) bool { return a.Name == "logicalType" })
		}
	}
}

// promoted is the number type that old must become to take inferred's numbers.
func promoted(old kind, inferred *node) kind {
	switch {
	case inferred.kind == kindLong && inferred.small && old == kindInt:
		return kindInt
	case inferred.kind == kindLong && (old == kindInt || old == kindLong):
		return kindLong
	case inferred.kind == old:
		return old
	default:
		// A float holds neither every long nor every double that the JSON text can mean.
		return kindDouble
	}
}

// withoutNull splits an inferred schema into what is not null, nil when nothing is, and whether null is allowed.
func withoutNull(n *node) (*node, bool) {
	at := n.nullBranch()
	switch {
	case n.kind == kindNull:
		return nil, true
	case at < 0:
		return n, false
	case len(n.branches) == 2:
		return n.branches[1-at], true
	default:
		rest := slices.Concat(n.branches[:at], n.branches[at+1:])
		return &node{kind: kindUnion, branches: rest}, true
	}
}
