package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

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
	if err := validate(data); err != nil {
		return Value{}, err
	}
	p := parser{text: string(data)}
	return p.value(0)
}

// validate leaves the grammar to jsontext, so that the parser below only has to cut a text that is valid.
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

// slabFields is how many fields are allocated at once. Objects of a ladder have about ten.
const slabFields = 256

// parser cuts a valid JSON text into values.
type parser struct {
	text string
	at   int
	// items and fields are stacks on which the members of the containers being read are collected, so that each
	// container's slice is allocated once, with its exact length.
	items  []Value
	fields []Field
	slab   []Field
}

// peek skips white space and returns the next byte.
func (p *parser) peek() byte {
	for {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return c
		}
	}
}

func (p *parser) value(depth int) (Value, error) {
	switch c := p.peek(); c {
	case '"':
		return Value{Kind: String, Text: p.string()}, nil
	case '{', '[':
		if depth >= MaxDepth {
			return Value{}, fmt.Errorf("%w: nested more than %d levels deep, at byte %d", ErrSyntax, MaxDepth, p.at)
		}
		p.at++
		if c == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	case 't':
		return Value{Kind: Bool, Text: p.cut(len("true"))}, nil
	case 'f':
		return Value{Kind: Bool, Text: p.cut(len("false"))}, nil
	case 'n':
		p.at += len("null")
		return Value{Kind: Null}, nil
	default:
		return Value{Kind: Number, Text: p.number()}, nil
	}
}

func (p *parser) cut(n int) string {
	p.at += n
	return p.text[p.at-n : p.at]
}

func (p *parser) number() string {
	n := 1
	for ; p.at+n < len(p.text); n++ {
		if c := p.text[p.at+n]; (c < '0' || c > '9') && c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-' {
			break
		}
	}
	return p.cut(n)
}

func (p *parser) string() string {
	rest := p.text[p.at+1:]
	n := strings.IndexByte(rest, '"')
	if strings.IndexByte(rest[:n], '\\') < 0 {
		p.at += n + len(`""`)
		return rest[:n]
	}
	for n = 0; rest[n] != '"'; n++ {
		if rest[n] == '\\' {
			n++
		}
	}
	// The text is valid, so there is no error.
	text, _ := jsontext.AppendUnquote(nil, p.cut(n+len(`""`)))
	return string(text)
}

func (p *parser) array(depth int) (Value, error) {
	start := len(p.items)
	for p.peek() != ']' {
		item, err := p.value(depth)
		if err != nil {
			return Value{}, err
		}
		p.items = append(p.items, item)
		if p.peek() == ',' {
			p.at++
		}
	}
	p.at++
	v := Value{Kind: Array}
	if n := len(p.items) - start; n > 0 {
		v.Items = make([]Value, n)
		copy(v.Items, p.items[start:])
		clear(p.items[start:])
		p.items = p.items[:start]
	}
	return v, nil
}

func (p *parser) object(depth int) (Value, error) {
	start := len(p.fields)
	// names is only used for objects with many members, where looking through all of them would be quadratic.
	var names map[string]int
	for p.peek() != '}' {
		name := p.string()
		p.peek() // the colon
		p.at++
		value, err := p.value(depth)
		if err != nil {
			return Value{}, err
		}
		own := p.fields[start:]
		at := -1
		if len(own) < 16 {
			at = indexOf(own, name)
		} else {
			if names == nil {
				names = make(map[string]int, 2*len(own))
				for i := range own {
					names[own[i].Name] = i
				}
			}
			if i, found := names[name]; found {
				at = i
			} else {
				names[name] = len(own)
			}
		}
		if at >= 0 {
			own[at].Value = value
		} else {
			p.fields = append(p.fields, Field{Name: name, Value: value})
		}
		if p.peek() == ',' {
			p.at++
		}
	}
	p.at++
	v := Value{Kind: Object}
	if n := len(p.fields) - start; n > 0 {
		v.Fields = p.take(n)
		copy(v.Fields, p.fields[start:])
		clear(p.fields[start:])
		p.fields = p.fields[:start]
	}
	return v, nil
}

// take returns n fields that nothing else can append to.
func (p *parser) take(n int) []Field {
	if n > slabFields/4 {
		return make([]Field, n)
	}
	if len(p.slab) < n {
		p.slab = make([]Field, min(slabFields, max(n, len(p.text)/16)))
	}
	taken := p.slab[:n:n]
	p.slab = p.slab[n:]
	return taken
}

func indexOf(fields []Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}
