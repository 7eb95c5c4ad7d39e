package schema

import (
	"errors"
	"slices"

	"github.com/riftline/riftline/shared/record"
)

// entryValue is the member that stands for an entry which is no object.
const entryValue = "value"

// Infer finds the schema that all entries fit, as the package comment says. The stamps follow the entries' fields, and
// polled_at, a long of logical type timestamp-millis, is the last one. Nil stamps, as opposed to empty ones, mean that
// nothing is stamped, polled_at neither. name becomes the record's name, made valid.
//
// Entries are only read. Infer fails when there is nothing at all to make a field of.
func Infer(entries []*record.Value, stamps []record.Field, name string) (*Schema, error) {
	seen := newObject()
	for _, e := range entries {
		if e.Kind == record.Object {
			seen.observe(e.Fields)
		} else {
			seen.observe([]record.Field{{Name: entryValue, Value: *e}})
		}
	}
	b := builder{types: names{}}
	root := b.record(seen, b.types.take(avroName(name)))
	used := names{}
	for i := range root.fields {
		used[root.fields[i].name] = true
	}
	for i := range stamps {
		addStamp(root, used, &stamps[i])
	}
	if stamps != nil {
		addPolledAt(root, used)
	}
	if len(root.fields) == 0 {
		return nil, errors.New("inferring a schema: no entry has anything in it")
	}
	return finish(root), nil
}

func addStamp(root *node, used names, stamp *record.Field) {
	var s shape
	s.observe(&stamp.Value)
	typ := new(builder).scalar(&s)
	if typ == nil || stamp.Name == polledAt {
		return
	}
	root.fields = append(root.fields, field{
		name: used.stamp(avroName(stamp.Name)), typ: typ, attributes: []record.Field{text(stampAttribute, stamp.Name)},
		role: fromStamp, source: stamp.Name,
	})
}

func addPolledAt(root *node, used names) {
	root.fields = append(root.fields, field{
		name:       used.stamp(polledAt),
		typ:        &node{kind: kindLong, attributes: []record.Field{text("logicalType", "timestamp-millis")}},
		attributes: []record.Field{text(stampAttribute, polledAt)}, role: fromClock, source: polledAt,
	})
}

// shape is what was seen at one place of the entries.
type shape struct {
	null bool
	// order has the kinds that were seen, without null, the first one first.
	order  []record.Kind
	double bool
	// large says that an integer did not fit 32 bits.
	large  bool
	items  *shape
	object *object
}

// object is what was seen of objects at one place.
type object struct {
	count   int
	members []*member
	byName  map[string]int
}

type member struct {
	name  string
	count int
	shape shape
}

func newObject() *object { return &object{byName: map[string]int{}} }

func (o *object) observe(fields []record.Field) {
	o.count++
	for i := range fields {
		f := &fields[i]
		// Entries mostly have the same members at the same places.
		if i < len(o.members) && o.members[i].name == f.Name {
			o.members[i].count++
			o.members[i].shape.observe(&f.Value)
			continue
		}
		at, found := o.byName[f.Name]
		if !found {
			at = len(o.members)
			o.byName[f.Name] = at
			o.members = append(o.members, &member{name: f.Name})
		}
		o.members[at].count++
		o.members[at].shape.observe(&f.Value)
	}
}

func (s *shape) observe(v *record.Value) {
	if v.Kind == record.Null {
		s.null = true
		return
	}
	if !slices.Contains(s.order, v.Kind) {
		s.order = append(s.order, v.Kind)
	}
	switch v.Kind {
	case record.Number:
		n, ok := parseLong(v.Text)
		s.double = s.double || !ok
		s.large = s.large || !isInt(n)
	case record.Array:
		if s.items == nil {
			s.items = new(shape)
		}
		for i := range v.Items {
			s.items.observe(&v.Items[i])
		}
	case record.Object:
		if s.object == nil {
			s.object = newObject()
		}
		s.object.observe(v.Fields)
	}
}

// builder makes schemas of shapes.
type builder struct{ types names }

func (b *builder) record(o *object, name string) *node {
	n := &node{kind: kindRecord, name: name}
	used := names{}
	for _, m := range o.members {
		typ, null := b.shape(&m.shape, name+"_"+avroName(m.name))
		if typ == nil {
			continue
		}
		f := field{name: used.take(avroName(m.name)), typ: typ, role: fromEntry, source: m.name}
		if f.name != m.name {
			f.attributes = []record.Field{text(jsonAttribute, m.name)}
		}
		if null || m.count < o.count {
			f.makeNullable()
		}
		n.fields = append(n.fields, f)
	}
	return n
}

// shape returns the schema without null, nil when nothing with content was seen, and whether null must be allowed.
func (b *builder) shape(s *shape, path string) (*node, bool) {
	null := s.null
	var found []*node
	for _, k := range s.order {
		var n *node
		switch k {
		case record.Array:
			n = b.array(s.items, path)
		case record.Object:
			if s.object.hasContent() {
				n = b.record(s.object, b.types.take(path))
			}
		default:
			n = b.scalarOf(s, k)
		}
		if n == nil {
			// An empty array among texts, say, is written as null.
			null = true
			continue
		}
		found = append(found, n)
	}
	switch len(found) {
	case 0:
		return nil, true
	case 1:
		return found[0], null
	default:
		return &node{kind: kindUnion, branches: found}, null
	}
}

func (b *builder) array(items *shape, path string) *node {
	if !items.hasContent() {
		return nil
	}
	typ, null := b.shape(items, path)
	if null {
		typ = nullable(typ)
	}
	return &node{kind: kindArray, items: typ}
}

func (b *builder) scalar(s *shape) *node {
	if len(s.order) == 0 {
		return nil
	}
	return b.scalarOf(s, s.order[0])
}

func (b *builder) scalarOf(s *shape, k record.Kind) *node {
	switch k {
	case record.Bool:
		return &node{kind: kindBoolean}
	case record.String:
		return &node{kind: kindString}
	case record.Number:
		if s.double {
			return &node{kind: kindDouble}
		}
		return &node{kind: kindLong, small: !s.large}
	default:
		return nil
	}
}

// hasContent reports whether any scalar was seen at or below this place.
func (s *shape) hasContent() bool {
	for _, k := range s.order {
		switch k {
		case record.Array:
			if s.items.hasContent() {
				return true
			}
		case record.Object:
			if s.object.hasContent() {
				return true
			}
		default:
			return true
		}
	}
	return false
}

func (o *object) hasContent() bool {
	return slices.ContainsFunc(o.members, func(m *member) bool { return m.shape.hasContent() })
}
