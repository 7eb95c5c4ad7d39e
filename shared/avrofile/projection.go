package avrofile

import (
	"errors"
	"fmt"
	"slices"
)

// ErrProjection says that bodies of one schema cannot become bodies of another: the schemas do not allow it, or one value
// does not fit.
var ErrProjection = errors.New("no projection to the other schema")

// maxProjected bounds a projected body in bytes: a few bytes of a writer's array may stand for any number of items that
// take none, and each of them may become one that takes some.
const maxProjected = 64 << 20

// Projection makes bodies of a reader's schema out of bodies of a writer's schema. It is safe for concurrent use.
//
// It follows Avro's schema resolution (Avro 1.12 specification, "Schema Resolution"), at its strict end: named types
// have to have the same full name or an alias of it; each branch of a writer's union has to be readable; a symbol that
// the reader does not have needs the reader's default; logical types have to be the same, decimals with their precision
// and scale. What it takes, Java's reader takes with the same result.
//
// It is no library's decoder and encoder because those go by way of Go values, which do not say which branch of a union
// a value was, nor the order of a map, so that the same body would have other bytes each time.
type Projection struct {
	root   *change
	reader *Walk
}

// NewProjection compiles the projection from one schema to another. ErrProjection when the schemas do not allow one.
func NewProjection(writer, reader *Walk) (*Projection, error) {
	r := resolver{compiler: newCompiler(), records: map[[2]*schemaType]*reshape{}}
	root, err := r.resolve(writer.root, reader.root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProjection, err)
	}
	return &Projection{root: root, reader: reader}, nil
}

// Append appends to dst what body, which fits the writer's schema, is under the reader's schema. ErrProjection when this
// value has no counterpart there; dst is returned unchanged then.
func (p *Projection) Append(dst, body []byte) ([]byte, error) {
	x := projector{checker: checker{b: body}, out: dst, most: len(dst) + maxProjected}
	end := x.apply(p.root, 0, 0)
	switch {
	case end < 0 && x.path != "":
		return dst, fmt.Errorf("%w: field %s at byte %d: %s", ErrProjection, x.path, x.at, x.reason)
	case end < 0:
		return dst, fmt.Errorf("%w: at byte %d: %s", ErrProjection, x.at, x.reason)
	case end != len(body):
		return dst, fmt.Errorf("%w: %d bytes are left after its end", ErrProjection, len(body)-end)
	}
	// A reader's unions may nest a value more deeply than it was.
	if err := p.reader.Check(x.out[len(dst):]); err != nil {
		return dst, fmt.Errorf("%w: %w", ErrProjection, err)
	}
	return x.out, nil
}

type changeKind uint8

const (
	// changeCopy takes a value as it is: both types have the same form.
	changeCopy changeKind = iota
	changeToFloat
	changeToDouble
	changeWiden // float to double
	changeEnum
	changeRecord
	changeBlocks
	changeUnion
)

// change is how a value of a writer's type becomes one of a reader's.
type change struct {
	kind changeKind
	// prefix is written first: the branch of the reader's union.
	prefix []byte
	// copied is the writer's type; that of a map's keys is left out.
	copied *program
	// symbols are the reader's for each of the writer's, -1 for none.
	symbols []int
	record  *reshape
	// items are those of an array or a map. idle says that neither the writer's nor the reader's take a byte, empty that
	// the writer's do not.
	items       *change
	isMap       bool
	idle, empty bool
	// branches are those of the writer's union.
	branches []*change
}

// reshape is how a writer's record becomes a reader's.
type reshape struct {
	// moves are the writer's fields in their order, and slots the reader's in theirs.
	moves []move
	slots []slot
	// ordered says that the fields that both have are in the same order in both.
	ordered bool
}

// move is a field of the writer's: to is nil when the reader does not have it.
type move struct {
	name string
	to   *change
	drop *program
}

// slot is a field of the reader's: the number of the move that fills it, or -1 and the default.
type slot struct {
	move int
	def  []byte
}

// resolver compiles a projection.
type resolver struct {
	*compiler
	records map[[2]*schemaType]*reshape
}

func (r *resolver) resolve(w, to *schemaType) (*change, error) {
	if alike(w, to, map[[2]*schemaType]bool{}) {
		return &change{kind: changeCopy, copied: r.value(w)}, nil
	}
	switch {
	case w.kind == kindUnion:
		c := &change{kind: changeUnion}
		for _, branch := range w.items {
			b, err := r.resolve(branch, to)
			if err != nil {
				return nil, err
			}
			c.branches = append(c.branches, b)
		}
		return c, nil
	case to.kind == kindUnion:
		at := branchFor(w, to)
		if at < 0 {
			return nil, fmt.Errorf("the union has no branch for %s", w.describe())
		}
		c, err := r.resolve(w, to.items[at])
		if err != nil {
			return nil, err
		}
		prefixed := *c
		prefixed.prefix = append(appendLong(nil, int64(at)), c.prefix...)
		return &prefixed, nil
	case !sameMeaning(w, to):
		return nil, fmt.Errorf("%s and %s have different logical types", w.describe(), to.describe())
	case w.kind != to.kind:
		return r.promote(w, to)
	}
	switch w.kind {
	case kindRecord:
		return r.fields(w, to)
	case kindEnum:
		return enums(w, to)
	case kindFixed:
		if !named(to, w.name) || w.size != to.size {
			return nil, fmt.Errorf("%s of %d bytes is not %s of %d", w.describe(), w.size, to.describe(), to.size)
		}
		return &change{kind: changeCopy, copied: r.value(w)}, nil
	case kindArray, kindMap:
		items, err := r.resolve(w.items[0], to.items[0])
		if err != nil {
			return nil, err
		}
		c := &change{kind: changeBlocks, items: items, isMap: w.kind == kindMap}
		c.empty = !c.isMap && r.empty(w.items[0])
		c.idle = c.empty && r.empty(to.items[0])
		return c, nil
	default:
		return nil, fmt.Errorf("%s is not %s", w.describe(), to.describe())
	}
}

// promote is for types that are not the same and are read as one another.
func (r *resolver) promote(w, to *schemaType) (*change, error) {
	c := &change{}
	switch {
	case w.kind == kindInt && to.kind == kindLong:
		// Both are written alike.
		c.copied = r.value(w)
	case (w.kind == kindInt || w.kind == kindLong) && to.kind == kindFloat:
		c.kind = changeToFloat
	case (w.kind == kindInt || w.kind == kindLong) && to.kind == kindDouble:
		c.kind = changeToDouble
	case w.kind == kindFloat && to.kind == kindDouble:
		c.kind = changeWiden
	case w.kind == kindString && to.kind == kindBytes:
		c.copied = r.value(w)
	case w.kind == kindBytes && to.kind == kindString:
		// The reader's check tells whether the bytes are text.
		c.copied = r.value(to)
	default:
		return nil, fmt.Errorf("%s is not %s", w.describe(), to.describe())
	}
	return c, nil
}

func enums(w, to *schemaType) (*change, error) {
	if !named(to, w.name) {
		return nil, fmt.Errorf("%s is not %s", w.describe(), to.describe())
	}
	c := &change{kind: changeEnum}
	instead := slices.Index(to.symbols, to.symbol)
	for _, symbol := range w.symbols {
		at := slices.Index(to.symbols, symbol)
		if at < 0 {
			at = instead
		}
		if at < 0 {
			return nil, fmt.Errorf("%s has a symbol %s and the reader's has neither it nor a default", w.describe(), symbol)
		}
		c.symbols = append(c.symbols, at)
	}
	return c, nil
}

// fields matches the fields of two records by name, else by the reader's aliases.
func (r *resolver) fields(w, to *schemaType) (*change, error) {
	if !named(to, w.name) {
		return nil, fmt.Errorf("%s is not %s", w.describe(), to.describe())
	}
	key := [2]*schemaType{w, to}
	if known, ok := r.records[key]; ok {
		return &change{kind: changeRecord, record: known}, nil
	}
	shape := &reshape{ordered: true}
	r.records[key] = shape
	taken := make(map[int]int) // the reader's field that takes a writer's
	source := matchFields(w, to)
	last := -1
	for i, f := range to.fields {
		from := source[i]
		if from >= 0 {
			taken[from] = i
			shape.slots = append(shape.slots, slot{move: from})
			shape.ordered = shape.ordered && from > last
			last = from
			continue
		}
		if !f.defaulted {
			return nil, fmt.Errorf("record %s: the writer has no field %s, which has no default", to.name, f.name)
		}
		def, err := defaultOf(f)
		if err != nil {
			return nil, fmt.Errorf("record %s: the default of field %s: %w", to.name, f.name, err)
		}
		shape.slots = append(shape.slots, slot{move: -1, def: def})
	}
	for i, f := range w.fields {
		m := move{name: f.name}
		if at, ok := taken[i]; ok {
			c, err := r.resolve(f.typ, to.fields[at].typ)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", f.name, err)
			}
			m.to = c
		} else {
			m.drop = r.value(f.typ)
		}
		shape.moves = append(shape.moves, m)
	}
	return &change{kind: changeRecord, record: shape}, nil
}

// matchFields is the number of the writer's field for each of the reader's, -1 for none.
func matchFields(w, to *schemaType) []int {
	numbers := make(map[string]int, len(w.fields))
	for i, f := range w.fields {
		numbers[f.name] = i
	}
	source := make([]int, len(to.fields))
	taken := map[int]bool{}
	for i, f := range to.fields {
		at, ok := numbers[f.name]
		if !ok {
			at = -1
		}
		source[i], taken[at] = at, true
	}
	for i, f := range to.fields {
		for _, alias := range f.aliases {
			if at, ok := numbers[alias]; ok && source[i] < 0 && !taken[at] {
				source[i], taken[at] = at, true
			}
		}
	}
	return source
}

// branchFor is the branch of a reader's union that a writer's type goes to, -1 for none: of the same type, else the first
// that it is promoted to.
func branchFor(w, to *schemaType) int {
	for i, b := range to.items {
		if b.kind == w.kind && (w.name == "" || b.name == w.name) {
			return i
		}
	}
	for i, b := range to.items {
		if b.kind == w.kind && w.name != "" && named(b, w.name) {
			return i
		}
	}
	for i, b := range to.items {
		switch {
		case w.kind == kindInt && (b.kind == kindLong || b.kind == kindFloat || b.kind == kindDouble),
			w.kind == kindLong && (b.kind == kindFloat || b.kind == kindDouble),
			w.kind == kindFloat && b.kind == kindDouble,
			w.kind == kindString && b.kind == kindBytes,
			w.kind == kindBytes && b.kind == kindString:
			return i
		}
	}
	return -1
}

// named says whether a reader's type goes by a name.
func named(t *schemaType, name string) bool {
	return t.name == name || slices.Contains(t.aliases, name)
}

func sameMeaning(a, b *schemaType) bool {
	return a.logical == b.logical && a.precision == b.precision && a.scale == b.scale
}

// alike says whether two types have the same form and meaning, so that a body of one is a body of the other. assumed are
// pairs that are being compared further up.
func alike(a, b *schemaType, assumed map[[2]*schemaType]bool) bool {
	if a == b {
		return true
	}
	if a.kind != b.kind || a.name != b.name || a.size != b.size || !sameMeaning(a, b) ||
		len(a.fields) != len(b.fields) || len(a.items) != len(b.items) || !slices.Equal(a.symbols, b.symbols) {
		return false
	}
	key := [2]*schemaType{a, b}
	if assumed[key] {
		return true
	}
	assumed[key] = true
	for i := range a.fields {
		if a.fields[i].name != b.fields[i].name || !alike(a.fields[i].typ, b.fields[i].typ, assumed) {
			return false
		}
	}
	for i := range a.items {
		if !alike(a.items[i], b.items[i], assumed) {
			return false
		}
	}
	return true
}

var kindNames = [...]string{
	kindNull: "null", kindBoolean: "boolean", kindInt: "int", kindLong: "long", kindFloat: "float", kindDouble: "double",
	kindBytes: "bytes", kindString: "string", kindRecord: "record", kindEnum: "enum", kindArray: "array", kindMap: "map",
	kindUnion: "union", kindFixed: "fixed",
}

func (t *schemaType) describe() string {
	if t.name != "" {
		return kindNames[t.kind] + " " + t.name
	}
	return kindNames[t.kind]
}
