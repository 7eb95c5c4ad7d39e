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
	p := parser{
		text: string(data),
		dec: jsontext.NewDecoder(bytes.NewBuffer(data),
			jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(false)),
	}
	v, err := p.value(0)
	if err != nil {
		return Value{}, p.syntax(err)
	}
	switch _, err := p.dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return v, nil
	case err != nil:
		return Value{}, p.syntax(err)
	default:
		return Value{}, fmt.Errorf("%w: more text after the first value, at byte %d", ErrSyntax, p.dec.InputOffset())
	}
}

// slabFields is how many fields are allocated at once. Objects of a ladder have about ten.
const slabFields = 256

type parser struct {
	text string
	dec  *jsontext.Decoder
	// items and fields are stacks on which the members of the containers being read are collected, so that each
	// container's slice is allocated once, with its exact length.
	items  []Value
	fields []Field
	slab   []Field
}

func (p *parser) syntax(err error) error {
	if errors.Is(err, ErrSyntax) {
		return err
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) && syntactic.Err != nil {
		return fmt.Errorf("%w: %s at byte %d", ErrSyntax, reason(syntactic.Err), syntactic.ByteOffset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the text ends too early, at byte %d", ErrSyntax, len(p.text))
	}
	return fmt.Errorf("%w at byte %d", ErrSyntax, p.dec.InputOffset())
}

// reason is the library's message unless it quotes more than single characters of the text.
func reason(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the text ends too early"
	}
	message := err.Error()
	if len(message) > 100 {
		return "a malformed value"
	}
	return message
}

func (p *parser) value(depth int) (Value, error) {
	switch kind := p.dec.PeekKind(); kind {
	case '{', '[':
		if depth >= MaxDepth {
			return Value{}, fmt.Errorf("%w: nested more than %d levels deep, at byte %d", ErrSyntax, MaxDepth, p.dec.InputOffset())
		}
		if _, err := p.dec.ReadToken(); err != nil {
			return Value{}, err
		}
		if kind == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	default:
		return p.scalar()
	}
}

func (p *parser) scalar() (Value, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return Value{}, err
	}
	end := int(p.dec.InputOffset())
	literal := p.text[end-len(raw) : end]
	switch raw.Kind() {
	case '"':
		text, err := unquote(literal)
		return Value{Kind: String, Text: text}, err
	case '0':
		return Value{Kind: Number, Text: literal}, nil
	case 't', 'f':
		return Value{Kind: Bool, Text: literal}, nil
	default:
		return Value{Kind: Null}, nil
	}
}

func unquote(literal string) (string, error) {
	if strings.IndexByte(literal, '\\') < 0 {
		return literal[1 : len(literal)-1], nil
	}
	text, err := jsontext.AppendUnquote(nil, literal)
	return string(text), err
}

func (p *parser) array(depth int) (Value, error) {
	start := len(p.items)
	for p.dec.PeekKind() != ']' {
		item, err := p.value(depth)
		if err != nil {
			return Value{}, err
		}
		p.items = append(p.items, item)
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return Value{}, err
	}
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
	for p.dec.PeekKind() != '}' {
		name, err := p.scalar()
		if err != nil {
			return Value{}, err
		}
		value, err := p.value(depth)
		if err != nil {
			return Value{}, err
		}
		own := p.fields[start:]
		at := -1
		if len(own) < 16 {
			at = indexOf(own, name.Text)
		} else {
			if names == nil {
				names = make(map[string]int, 2*len(own))
				for i := range own {
					names[own[i].Name] = i
				}
			}
			if i, found := names[name.Text]; found {
				at = i
			} else {
				names[name.Text] = len(own)
			}
		}
		if at >= 0 {
			own[at].Value = value
		} else {
			p.fields = append(p.fields, Field{Name: name.Text, Value: value})
		}
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return Value{}, err
	}
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
