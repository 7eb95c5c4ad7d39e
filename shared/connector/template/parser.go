package template

import (
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep parentheses and defaults may nest.
const maxDepth = 20

// parser reads one interpolation, from behind its "${".
type parser struct {
	text  string
	at    int
	bare  bool
	depth int
}

func (p *parser) interpolation() (*expression, error) {
	expr, err := p.expression()
	if err != nil {
		return nil, err
	}
	if p.peek() != '}' {
		return nil, p.fail("ends before it is understood: " + p.rest())
	}
	source := strings.TrimSpace(p.text[:p.at])
	if expr.kind == dateKind {
		return nil, p.fail(`is a date, which is written in the server's own way; write ?string("yyyy-MM-dd'T'HH:mm:ss'Z'") or ?long behind it`)
	}
	p.at++
	expr.source = source
	return expr, nil
}

// fail names the interpolation as far as it goes.
func (p *parser) fail(reason string) error {
	inside := p.text
	if end := strings.IndexByte(inside, '}'); end >= 0 {
		inside = inside[:end]
	}
	if len(inside) > 80 {
		cut := 80
		for cut > 0 && !utf8.RuneStart(inside[cut]) {
			cut--
		}
		inside = inside[:cut] + "…"
	}
	return &SyntaxError{Expression: inside, Reason: reason}
}

func (p *parser) rest() string {
	rest := p.text[p.at:]
	if rest == "" {
		return "the closing } is missing"
	}
	_, n := utf8.DecodeRuneInString(rest)
	return "at " + rest[:n]
}

func (p *parser) blank() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// peek returns the next byte that is not blank, 0 at the end.
func (p *parser) peek() byte {
	p.blank()
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

// take skips the byte if it comes next.
func (p *parser) take(c byte) bool {
	if p.peek() != c || p.at == len(p.text) {
		return false
	}
	p.at++
	return true
}

func (p *parser) expression() (*expression, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail("is nested too deep")
	}
	defer func() { p.depth-- }()
	expr, err := p.primary()
	for err == nil {
		switch {
		case p.take('?'):
			expr, err = p.builtin(expr)
		case p.take('!'):
			if expr.kind != textKind {
				return nil, p.fail("has a default behind what is never missing")
			}
			expr, err = p.fallback(expr)
		default:
			return expr, nil
		}
	}
	return nil, err
}

func (p *parser) fallback(operand *expression) (*expression, error) {
	fallback := &expression{constant: new(string)}
	if c := p.peek(); c != '}' && c != ')' && c != '?' && c != 0 {
		var err error
		if fallback, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if fallback.kind == dateKind {
		return nil, p.fail("has a date for a default; write a text")
	}
	return &expression{operand: operand, fallback: fallback}, nil
}

func (p *parser) primary() (*expression, error) {
	switch c := p.peek(); {
	case c == '(':
		p.at++
		expr, err := p.expression()
		if err == nil && !p.take(')') {
			err = p.fail("has a ( that nothing closes")
		}
		return expr, err
	case c == '"' || c == '\'':
		text, err := p.quoted()
		return &expression{constant: &text}, err
	case c >= '0' && c <= '9':
		start := p.at
		for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
			p.at++
		}
		text := p.text[start:p.at]
		return &expression{constant: &text}, nil
	case isLetter(c):
		return p.name()
	case c == '}' || c == 0:
		return nil, p.fail("is empty")
	}
	return nil, p.fail("is not understood " + p.rest())
}

func (p *parser) name() (*expression, error) {
	space := p.word()
	if p.peek() == '.' {
		if space != string(Offset) && space != string(Var) {
			return nil, p.fail("asks for " + space + ", and there are only offset.… and var.…")
		}
		p.at++
		if !isLetter(p.peek()) {
			return nil, p.fail("has no name behind " + space + ".")
		}
		return &expression{name: &Name{Space: Space(space), Name: p.word()}}, nil
	}
	switch {
	case p.take('['):
		if space != string(Offset) && space != string(Var) {
			return nil, p.fail("asks for " + space + ", and there are only offset[…] and var[…]")
		}
		if c := p.peek(); c != '"' && c != '\'' {
			return nil, p.fail("has no quoted name inside [ ]")
		}
		name, err := p.quoted()
		if err == nil && !p.take(']') {
			err = p.fail("has a [ that nothing closes")
		}
		return &expression{name: &Name{Space: Space(space), Name: name}}, err
	case space == string(Offset) || space == string(Var):
		return nil, p.fail("has no name behind " + space)
	case !p.bare:
		return nil, p.fail("has a bare name; write offset." + space)
	}
	return &expression{name: &Name{Space: Offset, Name: space}}, nil
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '@' || c == '$'
}

func (p *parser) word() string {
	start := p.at
	for p.at < len(p.text) && (isLetter(p.text[p.at]) || p.text[p.at] >= '0' && p.text[p.at] <= '9') {
		p.at++
	}
	return p.text[start:p.at]
}

// quoted reads a string literal. An interpolation inside one is not understood.
func (p *parser) quoted() (string, error) {
	quote := p.text[p.at]
	p.at++
	var b strings.Builder
	for ; p.at < len(p.text); p.at++ {
		c := p.text[p.at]
		switch {
		case c == quote:
			p.at++
			return b.String(), nil
		case c == '\\':
			p.at++
			if p.at == len(p.text) {
				return "", p.fail("has a text that nothing closes")
			}
			unescaped, ok := escapes[p.text[p.at]]
			if !ok {
				return "", p.fail(`has an escape in a text that is not understood: \` + p.text[p.at:p.at+1])
			}
			b.WriteByte(unescaped)
		case opens(p.text[p.at:]) && (c == '$' || c == '#'):
			return "", p.fail("has an interpolation inside a text")
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail("has a text that nothing closes")
}

var escapes = map[byte]byte{'"': '"', '\'': '\'', '\\': '\\', '{': '{', 'n': '\n', 'r': '\r', 't': '\t', 'l': '<', 'g': '>', 'a': '&'}

// builtin reads what follows a "?".
func (p *parser) builtin(operand *expression) (*expression, error) {
	if !isLetter(p.peek()) {
		return nil, p.fail("has no name behind ?")
	}
	switch name := p.word(); name {
	case "datetime":
		if !p.take('.') || p.word() != "iso" {
			return nil, p.fail("has ?datetime without .iso, which reads dates in the server's own way; write ?datetime.iso")
		}
		if operand.kind != textKind {
			return nil, p.fail("has ?datetime.iso behind what is no text")
		}
		return p.built(operand, datetimeISO, dateKind), nil
	case "string":
		return p.toString(operand)
	case "long":
		if operand.kind != dateKind {
			return nil, p.fail("has ?long behind a text; write ?datetime.iso?long")
		}
		return p.built(operand, long, numberKind), nil
	case "url":
		if operand.kind == dateKind {
			return nil, p.fail(`has ?url behind a date; write ?string("…")?url`)
		}
		if p.peek() == '(' {
			return nil, p.fail("has an argument for ?url, which is always UTF-8 here; write ?url")
		}
		return p.built(operand, urlEncode, textKind), nil
	default:
		return nil, p.fail("has ?" + name + ", and only ?datetime.iso, ?string(…), ?long and ?url are understood")
	}
}

func (p *parser) built(operand *expression, b builtin, k kind) *expression {
	return &expression{operand: operand, builtin: b, kind: k}
}

// toString reads what follows "?string".
func (p *parser) toString(operand *expression) (*expression, error) {
	var closing byte
	switch {
	case p.take('('):
		closing = ')'
	case p.take('['):
		closing = ']'
	case p.take('.'):
		if operand.kind != dateKind || p.word() != "iso" {
			return nil, p.fail("has a form of ?string that is not understood; write ?string.iso behind a date")
		}
		return p.built(operand, isoString, textKind), nil
	case operand.kind == dateKind:
		return nil, p.fail(`has ?string without a pattern behind a date; write ?string("yyyy-MM-dd")`)
	default:
		return p.built(operand, sameString, textKind), nil
	}
	if operand.kind != dateKind {
		return nil, p.fail("has ?string with a pattern behind what is no date; write ?datetime.iso?string(…)")
	}
	if c := p.peek(); c != '"' && c != '\'' {
		return nil, p.fail("has ?string without a quoted pattern")
	}
	pattern, err := p.quoted()
	if err != nil {
		return nil, err
	}
	if !p.take(closing) {
		return nil, p.fail("has a ?string( that nothing closes")
	}
	if err := checkPattern(pattern); err != nil {
		return nil, p.fail(err.Error())
	}
	expr := p.built(operand, dateString, textKind)
	expr.pattern = pattern
	return expr, nil
}
