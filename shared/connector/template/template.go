package template

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SyntaxError says what of a template is not understood. It shows nothing of the template but what is inside ${…}.
type SyntaxError struct {
	// Expression is the inside of the interpolation, empty for what stands outside of one.
	Expression string
	Reason     string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	if e.Expression == "" {
		return e.Reason
	}
	return fmt.Sprintf("${%s}: %s", e.Expression, e.Reason)
}

// MissingError says that a template asks for something that has no value and no default.
type MissingError struct {
	// Name is "offset.x" or "var.x".
	Name string
}

// Error implements error.
func (e *MissingError) Error() string { return e.Name + " has no value" }

// ErrValue says that a value cannot be turned into what the template makes of it, such as a text that is no date.
var ErrValue = errors.New("the value does not fit the template")

// Template is a parsed template. The zero Template is the empty text.
type Template struct{ parts []part }

// part is literal text, or an interpolation.
type part struct {
	literal string
	expr    *expression
}

// Name is something that a template asks for.
type Name struct {
	// Space is Offset or Var.
	Space Space
	Name  string
	// Optional is true where a default stands in for it.
	Optional bool
}

// String returns the name as it is written.
func (n Name) String() string { return string(n.Space) + "." + n.Name }

// Space is where a name's value comes from.
type Space string

// The spaces of names.
const (
	Offset Space = "offset"
	Var    Space = "var"
)

// Values are what a template is filled with.
type Values struct{ Offset, Var map[string]string }

func (v Values) get(space Space, name string) (string, bool) {
	m := v.Offset
	if space == Var {
		m = v.Var
	}
	text, ok := m[name]
	return text, ok
}

// Escape returns a template that stands for the text itself.
func Escape(text string) string {
	if !strings.ContainsAny(text, "$#<") {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if opens(text[i:]) {
			b.WriteString(`${"` + text[i:i+1] + `"}`)
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// opens reports whether FreeMarker takes the beginning of the text for its own.
func opens(text string) bool {
	for _, mark := range []string{"${", "#{", "<#", "</#", "<@", "</@"} {
		if strings.HasPrefix(text, mark) {
			return true
		}
	}
	return false
}

// Parse reads a template. With bare, names without a space are offset properties. The error is a [*SyntaxError].
func Parse(text string, bare bool) (Template, error) {
	var t Template
	start := 0
	for i := 0; i < len(text); {
		if !opens(text[i:]) {
			i++
			continue
		}
		if text[i] != '$' {
			what := "directives (<#…>, <@…>)"
			if text[i] == '#' {
				what = "numeric interpolations (#{…})"
			}
			return Template{}, &SyntaxError{Reason: what + " are not among what is understood of FreeMarker"}
		}
		t.text(text[start:i])
		p := parser{text: text[i+2:], bare: bare}
		expr, err := p.interpolation()
		if err != nil {
			return Template{}, err
		}
		if expr.constant != nil {
			t.text(*expr.constant)
		} else {
			t.parts = append(t.parts, part{expr: expr})
		}
		i += 2 + p.at
		start = i
	}
	t.text(text[start:])
	return t, nil
}

// text appends literal text, in one piece with what is literal before it.
func (t *Template) text(s string) {
	if s == "" {
		return
	}
	if n := len(t.parts); n > 0 && t.parts[n-1].expr == nil {
		t.parts[n-1].literal += s
		return
	}
	t.parts = append(t.parts, part{literal: s})
}

// Names returns what the template asks for, each name once; one that is asked for with and without a default is not
// optional.
func (t Template) Names() []Name {
	var names []Name
	for _, p := range t.parts {
		if p.expr == nil {
			continue
		}
		for _, n := range p.expr.names(false, nil) {
			at := slices.IndexFunc(names, func(o Name) bool { return o.Space == n.Space && o.Name == n.Name })
			if at < 0 {
				names = append(names, n)
			} else if !n.Optional {
				names[at].Optional = false
			}
		}
	}
	return names
}

// IsLiteral reports whether the template asks for nothing.
func (t Template) IsLiteral() bool {
	return len(t.parts) == 0 || len(t.parts) == 1 && t.parts[0].expr == nil
}

// Piece is a stretch of a filled template.
type Piece struct {
	Text string
	// Filled is true for text that came from a value or a default, false for the template's own.
	Filled bool
	// Encoded is true when the template percent-encoded the text itself (?url).
	Encoded bool
	// Raw is the text before it was percent-encoded.
	Raw string
	// Var is true when a request variable is part of it.
	Var bool
}

// Pieces fills the template in. The error is a [*MissingError], or wraps [ErrValue].
func (t Template) Pieces(v Values) ([]Piece, error) {
	pieces := make([]Piece, 0, len(t.parts))
	for _, p := range t.parts {
		if p.expr == nil {
			pieces = append(pieces, Piece{Text: p.literal, Raw: p.literal})
			continue
		}
		got, err := p.expr.eval(v)
		if err != nil {
			return nil, fmt.Errorf("filling in ${%s}: %w", p.expr.source, err)
		}
		names := p.expr.names(false, nil)
		pieces = append(pieces, Piece{
			Text: got.text, Filled: true, Encoded: got.encoded, Raw: got.raw,
			Var: slices.ContainsFunc(names, func(n Name) bool { return n.Space == Var }),
		})
	}
	return pieces, nil
}

// Fill fills the template in without any escaping. Errors as in [Template.Pieces].
func (t Template) Fill(v Values) (string, error) {
	pieces, err := t.Pieces(v)
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.Text)
	}
	return b.String(), err
}

// kind is the type of an expression's value, known when it is parsed.
type kind uint8

const (
	textKind kind = iota
	dateKind
	numberKind
)

// expression is one of: a constant, a name, an operand with a default, an operand with a built-in.
type expression struct {
	source string
	kind   kind

	constant *string
	name     *Name

	operand  *expression
	fallback *expression
	builtin  builtin
	pattern  string
}

type builtin uint8

const (
	noBuiltin builtin = iota
	datetimeISO
	dateString
	isoString
	sameString
	long
	urlEncode
)

// result is a value on its way: text, or a date for the kinds that are one.
type result struct {
	text    string
	raw     string
	encoded bool
	date    time.Time
}

// names appends the names of the expression; optional says whether a default stands behind it.
func (e *expression) names(optional bool, to []Name) []Name {
	switch {
	case e.name != nil:
		return append(to, Name{Space: e.name.Space, Name: e.name.Name, Optional: optional})
	case e.fallback != nil:
		// What a default needs is needed only where the operand is missing, and there it is needed.
		return e.fallback.names(optional, e.operand.names(true, to))
	case e.operand != nil:
		return e.operand.names(optional, to)
	}
	return to
}

func (e *expression) eval(v Values) (result, error) {
	switch {
	case e.constant != nil:
		return result{text: *e.constant, raw: *e.constant}, nil
	case e.name != nil:
		text, ok := v.get(e.name.Space, e.name.Name)
		if !ok {
			return result{}, &MissingError{Name: e.name.String()}
		}
		return result{text: text, raw: text}, nil
	case e.fallback != nil:
		got, err := e.operand.eval(v)
		var missing *MissingError
		if errors.As(err, &missing) {
			return e.fallback.eval(v)
		}
		return got, err
	}
	got, err := e.operand.eval(v)
	if err != nil {
		return got, err
	}
	return e.apply(got)
}

func (e *expression) apply(got result) (result, error) {
	plain := func(text string) result { return result{text: text, raw: text} }
	switch e.builtin {
	case datetimeISO:
		date, err := parseISO(got.text)
		if err != nil {
			return got, err
		}
		return result{date: date}, nil
	case dateString:
		text, err := format(e.pattern, got.date)
		return plain(text), err
	case isoString:
		return plain(got.date.UTC().Format("2006-01-02T15:04:05.999Z07:00")), nil
	case long:
		return plain(strconv.FormatInt(got.date.UnixMilli(), 10)), nil
	case urlEncode:
		return result{text: percentEncode(got.text), raw: got.text, encoded: true}, nil
	}
	return got, nil
}

// percentEncode leaves what FreeMarker's ?url leaves: letters, digits and "_-.!~'()*" less what a URL may trip over.
func percentEncode(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// parseISO reads what FreeMarker's ?datetime.iso reads: the extended and the basic format of ISO 8601.
func parseISO(text string) (time.Time, error) {
	for _, layout := range []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05",
		"2006-01-02T15:04Z07:00", "2006-01-02T15:04Z0700", "2006-01-02T15:04",
		"20060102T150405Z0700", "20060102T150405Z07:00", "20060102T150405",
	} {
		if date, err := time.Parse(layout, text); err == nil {
			return date, nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: %s is no ISO 8601 date and time", ErrValue, quote(text))
}

// quote quotes a value for a message.
func quote(text string) string {
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	return strconv.Quote(text)
}

// BeforePath returns what the template of a URL asks for before the URL's path: in its scheme, user and host.
func (t Template) BeforePath() []Name {
	var seen strings.Builder
	for i, p := range t.parts {
		if p.expr != nil {
			seen.WriteByte('x')
			continue
		}
		seen.WriteString(p.literal)
		if _, after, ok := strings.Cut(seen.String(), "://"); ok && strings.ContainsAny(after, "/?#") {
			return Template{parts: t.parts[:i]}.Names()
		}
	}
	return t.Names()
}

// Cut replaces every interpolation of text by a word without any character that means something to lists, headers and
// URLs, and returns what puts them back. What is not understood stays as it is.
func Cut(text string) (masked string, restore func(string) string) {
	var out strings.Builder
	var pairs []string
	start := 0
	for i, at := range Spans(text) {
		word := fmt.Sprintf("\ue000%d\ue001", i)
		pairs = append(pairs, word, text[at[0]:at[1]])
		out.WriteString(text[start:at[0]])
		out.WriteString(word)
		start = at[1]
	}
	out.WriteString(text[start:])
	return out.String(), strings.NewReplacer(pairs...).Replace
}

// Spans returns where the interpolations of text begin and end, in their order. What is not understood is none.
func Spans(text string) [][2]int {
	var out [][2]int
	for i := 0; i < len(text); {
		if !strings.HasPrefix(text[i:], "${") {
			i++
			continue
		}
		p := parser{text: text[i+2:], bare: true}
		if _, err := p.interpolation(); err != nil {
			i += 2
			continue
		}
		end := i + 2 + p.at
		out = append(out, [2]int{i, end})
		i = end
	}
	return out
}

// Without returns text without its interpolations.
func Without(text string) string {
	masked, _ := Cut(text)
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(masked, "\ue000")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		_, masked, _ = strings.Cut(after, "\ue001")
	}
}
