package avrofile

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/record"
)

// ErrField says that a schema has no such field, or that the field is of a type that is no scalar.
var ErrField = errors.New("no usable field")

// Fields is a schema compiled for checking bodies and reading some of their fields in the same walk. It is safe for
// concurrent use.
type Fields struct {
	main   *program
	quick  *quickProgram
	leaves []leaf
}

// leaf is a field that is read.
type leaf struct {
	kind kind
	// branch is the union branch of the value, -1 when it is no union; null is the other one.
	branch int64
	// symbols are those of an enum.
	symbols [][]byte
	// def stands in for null, as Kafka Connect has it.
	def record.Scalar
}

// Fields compiles the reading of fields, each by its path through nested records ("tier", "miniSeries.progress").
//
// Values are those that Kafka Connect's Avro converter gives, with its rules: a record or a value may be in a union with
// null, of another union nothing is read; a null becomes the field's default, if it has one; an enum is the text of its
// symbol. ErrField for a path that leads nowhere, or to what is no whole number, boolean, string or enum: floating point
// numbers, bytes, dates and times of day are none. A timestamp (milliseconds) is a whole number for timestamps, the
// list of the paths that may be one.
func (w *Walk) Fields(paths []string, timestamps ...string) (*Fields, error) {
	f := &Fields{main: &program{}, leaves: make([]leaf, len(paths))}
	targets := make([]target, len(paths))
	for i, path := range paths {
		targets[i] = target{slot: i, path: path, rest: strings.Split(path, "."), timestamp: slices.Contains(timestamps, path)}
	}
	if len(targets) == 0 {
		f.main, f.quick = w.main, w.quick
		return f, nil
	}
	c := marker{compiler: newCompiler(), leaves: f.leaves}
	if err := c.enter(f.main, w.root, "", targets); err != nil {
		return nil, err
	}
	f.quick = quicken{}.program(f.main)
	return f, nil
}

// target is a field that is looked for, and what is left of its path.
type target struct {
	slot      int
	path      string
	rest      []string
	timestamp bool
}

// marker compiles the records on the way to a field apart from other uses of their types, with marks in them.
type marker struct {
	*compiler
	leaves []leaf
}

// enter compiles a record, or a union of one with null, in which fields are looked for.
func (c *marker) enter(to *program, t *schemaType, path string, targets []target) error {
	if t.kind == kindUnion {
		at, ok := optional(t)
		if !ok {
			return fmt.Errorf("%w %s: a union is on the way to it", ErrField, targets[0].path)
		}
		o := op{code: kindUnion, path: path}
		for i, b := range t.items {
			branch := &program{}
			if int64(i) != at {
				c.emit(branch, b, "")
			} else if err := c.enter(branch, b, "", targets); err != nil {
				return err
			}
			o.branches = append(o.branches, branch)
		}
		to.ops = append(to.ops, o)
		return nil
	}
	if t.kind != kindRecord {
		return fmt.Errorf("%w %s: %s is not a record", ErrField, targets[0].path, cmpPath(path))
	}
	found := make(map[string][]target)
	for _, x := range targets {
		found[x.rest[0]] = append(found[x.rest[0]], x)
	}
	for _, field := range t.fields {
		if err := c.field(to, field, join(path, field.name), found[field.name]); err != nil {
			return err
		}
		delete(found, field.name)
	}
	for _, x := range targets {
		if _, missing := found[x.rest[0]]; missing {
			return fmt.Errorf("%w %s: the schema has no field %s", ErrField, x.path, x.rest[0])
		}
	}
	return nil
}

func cmpPath(path string) string {
	if path == "" {
		return "the value"
	}
	return path
}

// field compiles one field, with marks before it for those targets that it is, and in it for the others.
func (c *marker) field(to *program, f schemaField, path string, targets []target) error {
	var inside []target
	for _, x := range targets {
		if x.rest = x.rest[1:]; len(x.rest) > 0 {
			inside = append(inside, x)
			continue
		}
		l, err := newLeaf(f, x)
		if err != nil {
			return err
		}
		c.leaves[x.slot] = l
		to.ops = append(to.ops, op{code: kindMark, size: int64(x.slot)})
	}
	if len(inside) > 0 {
		return c.enter(to, f.typ, path, inside)
	}
	c.emit(to, f.typ, path)
	return nil
}

// optional is the branch of a union of a type with null that is not null.
func optional(t *schemaType) (int64, bool) {
	if len(t.items) != 2 {
		return 0, false
	}
	for i, b := range t.items {
		if b.kind == kindNull {
			return int64(1 - i), true
		}
	}
	return 0, false
}

func newLeaf(f schemaField, x target) (leaf, error) {
	l, t := leaf{branch: -1}, f.typ
	if t.kind == kindUnion {
		at, ok := optional(t)
		if !ok {
			return l, fmt.Errorf("%w %s: it is a union", ErrField, x.path)
		}
		l.branch, t = at, t.items[at]
	}
	l.kind = t.kind
	switch t.kind {
	case kindInt, kindLong:
		switch t.logical {
		case "date", "time-millis", "org.apache.kafka.connect.data.Date", "org.apache.kafka.connect.data.Time":
			return l, fmt.Errorf("%w %s: it is a date or a time of day", ErrField, x.path)
		case "timestamp-millis", "org.apache.kafka.connect.data.Timestamp":
			if !x.timestamp {
				return l, fmt.Errorf("%w %s: it is a timestamp, and not a plain number", ErrField, x.path)
			}
		}
	case kindEnum:
		for _, s := range t.symbols {
			l.symbols = append(l.symbols, []byte(s))
		}
	case kindBoolean, kindString:
	default:
		return l, fmt.Errorf("%w %s: it is neither a whole number nor a boolean, a string or an enum", ErrField, x.path)
	}
	l.def = scalarOf(f.def)
	return l, nil
}

// scalarOf is a default as it stands in a schema's text.
func scalarOf(v any) record.Scalar {
	switch v := v.(type) {
	case string:
		return record.Scalar{Kind: record.TextScalar, Text: []byte(v)}
	case bool:
		s := record.Scalar{Kind: record.BoolScalar}
		if v {
			s.Int = 1
		}
		return s
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return record.Scalar{Kind: record.IntScalar, Int: n}
		}
	}
	return record.Scalar{}
}

// Check says whether body is one value of the schema, as [Walk.Check] does, and reads the fields into values, which has
// one place for each path. A field that is null, or in a record that is null, and has no default is a NullScalar. Texts
// lie inside body. It allocates nothing unless it fails.
func (f *Fields) Check(body []byte, values []record.Scalar) error {
	const unseen = -1
	for i := range values {
		values[i] = record.Scalar{Int: unseen}
	}
	c := checker{b: body, marks: values}
	if !f.quick.fits(body, values) {
		if err := c.check(f.main); err != nil {
			return err
		}
	}
	for i := range values {
		if at := values[i].Int; at == unseen {
			values[i] = record.Scalar{}
		} else {
			values[i] = f.leaves[i].read(&c, int(at))
		}
	}
	return nil
}

// read reads a value of a body that is checked already.
func (l *leaf) read(c *checker, i int) record.Scalar {
	if l.branch >= 0 {
		var branch int64
		if branch, i = c.long(i); branch != l.branch {
			return l.def
		}
	}
	switch l.kind {
	case kindInt, kindLong:
		n, _ := c.long(i)
		return record.Scalar{Kind: record.IntScalar, Int: n}
	case kindBoolean:
		return record.Scalar{Kind: record.BoolScalar, Int: int64(c.b[i])}
	case kindEnum:
		n, _ := c.long(i)
		return record.Scalar{Kind: record.TextScalar, Text: l.symbols[n]}
	default:
		n, start := c.long(i)
		return record.Scalar{Kind: record.TextScalar, Text: c.b[start : start+int(n)]}
	}
}
