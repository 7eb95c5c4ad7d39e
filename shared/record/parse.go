package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deeply arrays and objects may be nested in a text that [Parse] takes.
const MaxDepth = 200

// ErrSyntax is wrapped by every error of [Parse]: the text is not one JSON value, is not UTF-8, or is nested more than
// [MaxDepth] levels deep. Reading the same text again gives the same error.
var ErrSyntax = errors.New("not valid JSON")

// Parse reads one JSON value (RFC 8259) with nothing but white space around it. Numbers keep their literal and objects
// the order of their members; of a name that repeats the last value stays, at the first one's place.
//
// The value shares memory with a copy of data, so holding on to any part of it holds the whole text. The error, which
// wraps [ErrSyntax], gives the offset and never repeats the text.
func Parse(data []byte) (Value, error) {
	p := parser{text: string(data)}
	var v Value
	p.value(&v, 0)
	if p.skipSpace(); !p.failed && p.at == len(data) {
		return v, nil
	}
	// What is wrong is said by another parser, which takes the same texts but for their depth.
	if err := validate(data); err != nil {
		return Value{}, err
	}
	return Value{}, fmt.Errorf("%w: nested more than %d levels deep, at byte %d", ErrSyntax, MaxDepth, p.at)
}

// validate finds what is wrong with a text and where.
func validate(data []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(false))
	if _, err := dec.ReadValue(); err != nil {
		return syntax(err, len(data))
	}
	end := dec.InputOffset()
	switch _, err := dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	default:
		return fmt.Errorf("%w: more text after the first value, at byte %d", ErrSyntax, end)
	}
}

func syntax(err error, length int) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the text ends too early, at byte %d", ErrSyntax, length)
	case errors.As(err, &syntactic) && syntactic.Err != nil && len(syntactic.Err.Error()) < 100:
		return fmt.Errorf("%w: %w at byte %d", ErrSyntax, syntactic.Err, syntactic.ByteOffset)
	default:
		return fmt.Errorf("%w: a malformed value", ErrSyntax)
	}
}

// keptStack is how many items an array may have before it takes the stack of items with it.
const keptStack = 256

// slabFields is how many fields are allocated at once. Objects of a ladder have about ten.
const slabFields = 256

// parser cuts a JSON text into values. It checks the grammar as it goes; from the first byte that is wrong on, failed is
// set and what it returns means nothing.
type parser struct {
	text   string
	at     int
	failed bool
	// items and fields are stacks on which the members of the containers being read are collected, so that each
	// container's slice is allocated once, with its exact length.
	items  []Value
	fields []Field
	// slab is where the fields of small objects lie, the first taken ones of it. takes counts how often some were taken.
	slab  []Field
	taken int
	takes int
	// last are the members of the object that was read before at a depth, its lowest three bits. Most objects have the
	// same names in the same order.
	last [8][]Field
}

func (p *parser) skipSpace() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next skips white space and returns the byte behind it, 0 at the end, which begins and ends nothing.
func (p *parser) next() byte {
	if p.at < len(p.text) && p.text[p.at] > ' ' {
		return p.text[p.at]
	}
	if p.skipSpace(); p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// value reads a value into v, which is the zero Value.
func (p *parser) value(v *Value, depth int) {
	switch c := p.next(); c {
	case '"':
		v.Kind, v.Text = String, p.string()
	case '{', '[':
		if depth >= MaxDepth {
			p.failed = true
			return
		}
		p.at++
		if c == '{' {
			v.Kind, v.Fields = Object, p.object(depth+1)
		} else {
			v.Kind, v.Items = Array, p.array(depth+1)
		}
	case 't':
		v.Kind, v.Text = Bool, p.word("true")
	case 'f':
		v.Kind, v.Text = Bool, p.word("false")
	case 'n':
		p.word("null")
	default:
		v.Kind, v.Text = Number, p.number()
	}
}

func (p *parser) cut(n int) string {
	p.at += n
	return p.text[p.at-n : p.at]
}

func (p *parser) word(word string) string {
	if !strings.HasPrefix(p.text[p.at:], word) {
		p.failed = true
		return ""
	}
	return p.cut(len(word))
}

// number reads -? ( 0 | [1-9] digits ) ( . digits )? ( [eE] [+-]? digits )?, where digits are at least one.
func (p *parser) number() string {
	rest, n := p.text[p.at:], 0
	if rest != "" && rest[0] == '-' {
		n++
	}
	whole := n
	n = skipDigits(rest, n)
	if n == whole || rest[whole] == '0' && n > whole+1 {
		p.failed = true
		return ""
	}
	if n < len(rest) && rest[n] == '.' {
		fraction := n + 1
		if n = skipDigits(rest, fraction); n == fraction {
			p.failed = true
		}
	}
	if n < len(rest) && rest[n]|0x20 == 'e' {
		exponent := n + 1
		if exponent < len(rest) && (rest[exponent] == '+' || rest[exponent] == '-') {
			exponent++
		}
		if n = skipDigits(rest, exponent); n == exponent {
			p.failed = true
		}
	}
	return p.cut(n)
}

func skipDigits(s string, n int) int {
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// string reads a text that begins at the quote where the parser is.
func (p *parser) string() string {
	rest := p.text[p.at+1:]
	n := PlainLen(rest)
	if n < len(rest) && rest[n] == '"' {
		p.at += n + len(`""`)
		return rest[:n]
	}
	escaped := false
	for ; ; n++ {
		switch {
		case n >= len(rest) || rest[n] < ' ':
			p.failed = true
			return ""
		case rest[n] == '\\':
			escaped = true
			n++
			continue
		case rest[n] != '"':
			continue
		}
		break
	}
	quoted := p.cut(n + len(`""`))
	if !escaped {
		p.failed = p.failed || !utf8.ValidString(rest[:n])
		return rest[:n]
	}
	// The error says that there is a wrong escape or no UTF-8.
	text, err := jsontext.AppendUnquote(nil, quoted)
	p.failed = p.failed || err != nil
	return string(text)
}

// comma skips what separates two members of a container and reports whether the container goes on.
func (p *parser) comma(end byte) bool {
	switch c := p.next(); {
	case c == ',' && !p.failed:
		p.at++
		return true
	case c != end:
		p.failed = true
	}
	return false
}

func (p *parser) array(depth int) []Value {
	if p.next() == ']' {
		p.at++
		return nil
	}
	start, begin := len(p.items), p.at
	for more := true; more; more = p.comma(']') {
		var item Value
		p.value(&item, depth)
		if n := len(p.items); n == cap(p.items) {
			p.items = slices.Grow(p.items, p.room(n-start, begin))
		}
		p.items = append(p.items, item)
	}
	if p.failed {
		return nil
	}
	p.at++
	n := len(p.items)
	if start == 0 && n > keptStack {
		// The stack itself, as nothing else is on it.
		items := p.items[:n:n]
		p.items = nil
		return items
	}
	items := make([]Value, n-start)
	copy(items, p.items[start:])
	clear(p.items[start:])
	p.items = p.items[:start]
	return items
}

// room is for how many items more the stack is made larger, when an array that began at begin has n items besides the one
// just read: for the rest of the text, if it is all such items, and at most three times as many as there are.
func (p *parser) room(n, begin int) int {
	rest := (len(p.text)-p.at)/((p.at-begin)/(n+1)+1) + 1
	return max(min(rest, max(3*n, keptStack)), 16)
}

func (p *parser) object(depth int) []Field {
	if p.next() == '}' {
		p.at++
		return nil
	}
	last := &p.last[depth%len(p.last)]
	// The names of the object before, none of which repeats, are expected, and its members are read into their place.
	expected := *last
	fields := p.take(len(expected))
	take := p.takes
	for i := range expected {
		name := p.name()
		if p.failed {
			return nil
		}
		if name != expected[i].Name {
			return p.unlike(fields, i, take, name, depth)
		}
		// The same text and not only an equal one, which is compared at once wherever it is compared.
		fields[i].Name = expected[i].Name
		p.value(&fields[i].Value, depth)
		if p.comma('}') {
			continue
		}
		if p.failed {
			return nil
		}
		p.at++
		p.giveBack(fields, len(fields)-i-1, take)
		*last = fields[: i+1 : i+1]
		return *last
	}
	name := p.name()
	if p.failed {
		return nil
	}
	return p.unlike(fields, len(fields), take, name, depth)
}

// name reads the name of a member and the colon behind it.
func (p *parser) name() string {
	if p.next() != '"' {
		p.failed = true
		return ""
	}
	name := p.string()
	if p.next() != ':' {
		p.failed = true
		return ""
	}
	p.at++
	return name
}

// unlike reads on in an object which has other names than the one before behind its first n fields. The name of the next
// one was read.
func (p *parser) unlike(fields []Field, n, take int, name string, depth int) []Field {
	start := len(p.fields)
	p.fields = append(p.fields, fields[:n]...)
	p.giveBack(fields, len(fields), take)
	// names is only used for objects with many members, where looking through all of them would be quadratic.
	var names map[string]int
	for {
		var value Value
		p.value(&value, depth)
		var at int
		own := p.fields[start:]
		if at, names = place(own, names, name); at >= 0 {
			own[at].Value = value
		} else {
			p.fields = append(p.fields, Field{Name: name, Value: value})
		}
		if !p.comma('}') {
			break
		}
		name = p.name()
	}
	if p.failed {
		return nil
	}
	p.at++
	fields = p.take(len(p.fields) - start)
	copy(fields, p.fields[start:])
	clear(p.fields[start:])
	p.fields = p.fields[:start]
	p.last[depth%len(p.last)] = fields
	return fields
}

// place finds a name among the members so far, -1 when it is a new one, which is noted in names if there are many.
func place(own []Field, names map[string]int, name string) (int, map[string]int) {
	if len(own) < 16 {
		return indexOf(own, name), nil
	}
	if names == nil {
		names = make(map[string]int, 2*len(own))
		for i := range own {
			names[own[i].Name] = i
		}
	}
	if i, found := names[name]; found {
		return i, names
	}
	names[name] = len(own)
	return -1, names
}

// take returns n fields that nothing else can append to.
func (p *parser) take(n int) []Field {
	p.takes++
	if n > slabFields/4 {
		return make([]Field, n)
	}
	if len(p.slab)-p.taken < n {
		p.slab, p.taken = make([]Field, min(slabFields, max(n, len(p.text)/16))), 0
	}
	p.taken += n
	return p.slab[p.taken-n : p.taken : p.taken]
}

// giveBack takes back the last n of the fields that were taken by the take of that number, unless it was not the last one.
func (p *parser) giveBack(fields []Field, n, take int) {
	if len(fields) <= slabFields/4 && p.takes == take {
		clear(fields[len(fields)-n:])
		p.taken -= n
	}
}

func indexOf(fields []Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}
