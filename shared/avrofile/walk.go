package avrofile

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/riftline/riftline/shared/record"
)

// ErrBody says that a body does not fit its schema: some reader would fail on it, or read something else.
var ErrBody = errors.New("body does not fit its schema")

// maxDepth bounds how deep a body may nest through recursive types, arrays, maps and unions; readers recurse too.
const maxDepth = 500

// maxEmptyItems bounds the count of items that take no bytes (an array of null), which no length of the body bounds.
// It is the most that Java's reader takes.
const maxEmptyItems = math.MaxInt32 - 8

// Walk is a schema compiled for checking bodies. It is safe for concurrent use.
type Walk struct {
	text  string
	main  *program
	quick *quickProgram
	root  *schemaType
}

// program checks the fields of a record, or one value, one after another.
type program struct {
	ops []op
	// empty is true when the value never takes a byte.
	empty bool
}

type op struct {
	code kind
	// size is a fixed's bytes or an enum's number of symbols.
	size int64
	// call is a record that is not part of this program, or the items of an array or map.
	call *program
	// branches are those of a union.
	branches []*program
	// path is the field's path, for messages.
	path string
}

// Compile reads a schema. ErrSchema when the text is no Avro schema.
func Compile(schemaText string) (*Walk, error) {
	t, err := parseSchema(schemaText)
	if err != nil {
		return nil, err
	}
	main := newCompiler().value(t)
	return &Walk{text: schemaText, main: main, quick: quicken{}.program(main), root: t}, nil
}

// Schema is the text that the walk was compiled from.
func (w *Walk) Schema() string { return w.text }

// Name is the full name of the schema, as Confluent's subject strategies take it: that of a named type, else the kind of
// type ("string", "array", "union").
func (w *Walk) Name() string {
	if w.root.name != "" {
		return w.root.name
	}
	return kindNames[w.root.kind]
}

type compiler struct {
	records map[*schemaType]*program
	open    map[*schemaType]bool
	empties map[*schemaType]bool
}

func newCompiler() *compiler {
	return &compiler{records: map[*schemaType]*program{}, open: map[*schemaType]bool{}, empties: map[*schemaType]bool{}}
}

// Records with few fields become part of the record that holds them, up to a bound that keeps a schema which uses its
// types many times over from growing without limit.
const (
	maxInlined = 64
	maxOps     = 2048
)

func (c *compiler) emit(to *program, t *schemaType, path string) {
	switch t.kind {
	case kindNull:
		return
	case kindRecord:
		p := c.record(t)
		if c.open[t] || len(p.ops) > maxInlined || len(to.ops) > maxOps {
			to.ops = append(to.ops, op{code: kindRecord, call: p, path: path})
			return
		}
		for _, o := range p.ops {
			o.path = join(path, o.path)
			to.ops = append(to.ops, o)
		}
	case kindArray, kindMap:
		to.ops = append(to.ops, op{code: t.kind, call: c.value(t.items[0]), path: path})
	case kindUnion:
		o := op{code: kindUnion, path: path}
		for _, b := range t.items {
			o.branches = append(o.branches, c.value(b))
		}
		to.ops = append(to.ops, o)
	default:
		to.ops = append(to.ops, op{code: t.kind, size: int64(t.size), path: path})
	}
}

// record returns the program of a record, which is not complete yet while the record is open.
func (c *compiler) record(t *schemaType) *program {
	if p, ok := c.records[t]; ok {
		return p
	}
	p := &program{empty: c.empty(t)}
	c.records[t] = p
	c.open[t] = true
	for _, f := range t.fields {
		c.emit(p, f.typ, f.name)
	}
	delete(c.open, t)
	return p
}

func (c *compiler) value(t *schemaType) *program {
	if t.kind == kindRecord {
		return c.record(t)
	}
	p := &program{empty: c.empty(t)}
	c.emit(p, t, "")
	return p
}

// empty says whether a value of t takes no bytes. A record that holds itself has no value at all, so it is not.
func (c *compiler) empty(t *schemaType) bool {
	switch t.kind {
	case kindNull:
		return true
	case kindFixed:
		return t.size == 0
	case kindRecord:
		known, ok := c.empties[t]
		if ok {
			return known
		}
		c.empties[t] = false
		for _, f := range t.fields {
			if !c.empty(f.typ) {
				return false
			}
		}
		c.empties[t] = true
		return true
	default:
		return false
	}
}

func join(outer, inner string) string {
	if outer == "" || inner == "" {
		return outer + inner
	}
	return outer + "." + inner
}

// Check says whether body is one value of the schema, to its last byte. It allocates nothing unless it fails; the
// error is ErrBody and names the field and the byte.
func (w *Walk) Check(body []byte) error {
	if w.quick.fits(body, nil) {
		return nil
	}
	c := checker{b: body}
	return c.check(w.main)
}

func (c *checker) check(p *program) error {
	body := c.b
	at := c.run(p, 0, 0)
	if at == len(body) {
		return nil
	}
	if at >= 0 {
		return fmt.Errorf("%w: %d bytes are left after its end at byte %d", ErrBody, len(body)-at, at)
	}
	if c.path == "" {
		return fmt.Errorf("%w: at byte %d: %s", ErrBody, c.at, c.reason)
	}
	return fmt.Errorf("%w: field %s at byte %d: %s", ErrBody, c.path, c.at, c.reason)
}

type checker struct {
	b []byte
	// what failed, where, and in which field
	reason string
	at     int
	path   string
	// marks are the values that are wanted; each is only the place where it begins while the walk goes on.
	marks []record.Scalar
}

// failed is what a step returns instead of the offset after the value.
const failed = -1

func (c *checker) fail(at int, reason string) int {
	c.reason, c.at = reason, at
	return failed
}

const (
	reasonShort    = "the body ends inside the value"
	reasonVarint   = "the number is longer than its type"
	reasonLength   = "negative length"
	reasonUTF8     = "the text is not UTF-8"
	reasonBoolean  = "a boolean is neither 0 nor 1"
	reasonEnum     = "there is no such enum symbol"
	reasonBranch   = "there is no such union branch"
	reasonDepth    = "nested too deeply"
	reasonCount    = "too many items"
	reasonBlock    = "a block is not as long as it says"
	reasonNegative = "a block count is out of range"
)

// run checks the values of a program from byte i on and returns the byte after them, or failed.
func (c *checker) run(p *program, i, depth int) int {
	b := c.b
	for k := range p.ops {
		o := &p.ops[k]
		start := i
		switch o.code {
		case kindLong:
			if i < len(b) && b[i] < 0x80 {
				i++
			} else {
				_, i = c.long(i)
			}
		case kindString:
			var n int64
			if i < len(b) && b[i] < 0x80 {
				n = int64(b[i]>>1) ^ -int64(b[i]&1)
				i++
			} else {
				n, i = c.long(i)
			}
			i = c.text(n, i)
		case kindUnion:
			i = c.union(o, i, depth)
		case kindInt:
			i = c.int(i)
		case kindBoolean:
			switch {
			case i >= len(b):
				i = c.fail(i, reasonShort)
			case b[i] > 1:
				i = c.fail(i, reasonBoolean)
			default:
				i++
			}
		case kindDouble:
			i = c.skip(8, i)
		case kindFloat:
			i = c.skip(4, i)
		case kindFixed:
			i = c.skip(o.size, i)
		case kindBytes:
			var n int64
			n, i = c.long(i)
			i = c.skip(n, i)
		case kindEnum:
			var n int64
			if n, i = c.index(i); i >= 0 && (n < 0 || n >= o.size) {
				i = c.fail(start, reasonEnum)
			}
		case kindRecord:
			if depth >= maxDepth {
				i = c.fail(i, reasonDepth)
			} else {
				i = c.run(o.call, i, depth+1)
			}
		case kindArray, kindMap:
			i = c.blocks(o, i, depth)
		case kindMark:
			c.marks[o.size].Int = int64(i)
		}
		if i < 0 {
			c.path = join(o.path, c.path)
			return failed
		}
	}
	return i
}

func (c *checker) union(o *op, i, depth int) int {
	start := i
	var n int64
	if i < len(c.b) && c.b[i] < 0x80 {
		n = int64(c.b[i]>>1) ^ -int64(c.b[i]&1)
		i++
	} else if n, i = c.index(i); i < 0 {
		return failed
	}
	if n < 0 || n >= int64(len(o.branches)) {
		return c.fail(start, reasonBranch)
	}
	if depth >= maxDepth {
		return c.fail(start, reasonDepth)
	}
	return c.run(o.branches[n], i, depth+1)
}

// blocks checks an array or a map: blocks of a count and as many items, ended by a count of 0. A negative count is
// followed by the block's size in bytes.
func (c *checker) blocks(o *op, i, depth int) int {
	if depth >= maxDepth {
		return c.fail(i, reasonDepth)
	}
	empty := o.code == kindArray && o.call.empty
	total := int64(0)
	for {
		start := i
		var n int64
		if n, i = c.long(i); i < 0 {
			return failed
		}
		if n == 0 {
			return i
		}
		end := -1
		if n < 0 {
			if n == math.MinInt64 {
				return c.fail(start, reasonNegative)
			}
			n = -n
			var size int64
			if size, i = c.long(i); i < 0 {
				return failed
			}
			if size < 0 || size > int64(len(c.b)-i) {
				return c.fail(start, reasonBlock)
			}
			end = i + int(size)
		}
		if empty {
			if total += n; n > maxEmptyItems || total > maxEmptyItems {
				return c.fail(start, reasonCount)
			}
		} else if n > int64(len(c.b)-i) {
			// Every item takes a byte at least.
			return c.fail(start, reasonShort)
		} else {
			for range n {
				if o.code == kindMap {
					var length int64
					length, i = c.long(i)
					if i = c.text(length, i); i < 0 {
						return failed
					}
				}
				if i = c.run(o.call, i, depth+1); i < 0 {
					return failed
				}
			}
		}
		if end >= 0 && i != end {
			return c.fail(start, reasonBlock)
		}
	}
}

func (c *checker) skip(n int64, i int) int {
	if i < 0 {
		return failed
	}
	if n < 0 {
		return c.fail(i, reasonLength)
	}
	if n > int64(len(c.b)-i) {
		return c.fail(i, reasonShort)
	}
	return i + int(n)
}

// text checks a string of n bytes whose length ended before byte i.
func (c *checker) text(n int64, i int) int {
	end := c.skip(n, i)
	if end < 0 {
		return failed
	}
	if !utf8.Valid(c.b[i:end]) {
		return c.fail(i, reasonUTF8)
	}
	return end
}

// long reads a zig-zag number of at most 64 bits.
func (c *checker) long(i int) (int64, int) {
	if i < 0 {
		return 0, failed
	}
	var v uint64
	for shift := uint(0); ; shift += 7 {
		if i >= len(c.b) {
			return 0, c.fail(i, reasonShort)
		}
		x := c.b[i]
		i++
		if shift == 63 && x > 1 {
			return 0, c.fail(i-1, reasonVarint)
		}
		v |= uint64(x&0x7f) << shift
		if x < 0x80 {
			return int64(v>>1) ^ -int64(v&1), i
		}
	}
}

func (c *checker) int(i int) int {
	if i < len(c.b) && c.b[i] < 0x80 {
		return i + 1
	}
	_, i = c.index(i)
	return i
}

// index reads the number of a symbol or a branch, which is an int: Java's reader takes no more than five bytes for it.
func (c *checker) index(i int) (int64, int) {
	start := i
	v, i := c.long(i)
	if i >= 0 && (v > math.MaxInt32 || v < math.MinInt32 || i-start > 5) {
		return 0, c.fail(start, reasonVarint)
	}
	return v, i
}
