package connector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// largest is the most that a connector file may hold; Connect's REST interface takes less.
const largest = 1 << 20

// Parse reads a connector file: a flat JSON object of strings, or the form {"name": …, "config": {…}} of Connect's REST
// interface. The parameter origin is the file's path or URL; its base name is the connector's name when the file gives
// none.
//
// What people paste is taken too, each with a note: comments, "<…>" around a URL, numbers and booleans without quotes, a
// comma too many, a service account's key as a nested object. The error is an *[Invalid] with everything that is wrong
// with the form; the keys themselves are judged by [Connector.Explain].
func Parse(origin string, data []byte) (Connector, error) {
	c := Connector{Origin: origin, Config: map[string]string{}}
	p := parser{}
	top, ok := p.document(data)
	if !ok {
		return c, &Invalid{Name: nameOf(origin), Origin: origin, Problems: p.problems}
	}
	config, restName := p.rest(top)
	c.rest, c.restName, c.outside = p.isRest, restName, p.outside
	for _, m := range config {
		if m.name == "" {
			p.fail("", "a key is empty", "take it out")
			continue
		}
		text, ok := p.text(m)
		if !ok {
			continue
		}
		c.Config[m.name] = text
		c.order = append(c.order, m.name)
	}
	c.Name = p.name(restName, c.Config, origin)
	c.Kind = p.kind(c.Config)
	c.Notes = slices.DeleteFunc(slices.Clone(p.problems), func(one Problem) bool { return one.Severity == Error })
	if len(p.problems.Errors()) > 0 {
		return c, &Invalid{Name: c.Name, Origin: origin, Problems: p.problems}
	}
	return c, nil
}

type parser struct {
	problems Problems
	isRest   bool
	outside  []string
}

func (p *parser) fail(key, text, suggestion string) {
	p.problems = append(p.problems, Problem{Key: key, Severity: Error, Text: text, Suggestion: suggestion})
}

func (p *parser) note(key, text, suggestion string) {
	p.problems = append(p.problems, Problem{Key: key, Severity: Warning, Text: text, Suggestion: suggestion})
}

// member is one name and value of an object.
type member struct {
	name  string
	value jsontext.Value
}

// document reads the whole file as one object, by the rules of JSON if it keeps them, else tolerantly.
func (p *parser) document(data []byte) ([]member, bool) {
	if len(data) > largest {
		p.fail("", fmt.Sprintf("the file has %d bytes, more than the %d a connector file may have", len(data), largest), "is it the right file?")
		return nil, false
	}
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		data = rest
		p.note("", "the file begins with a byte order mark", "save it as UTF-8 without one")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		p.fail("", "the file is empty", "")
		return nil, false
	}
	members, strict := p.object(data)
	if strict == nil {
		return members, true
	}
	loose, notes := tolerate(data)
	members, err := p.object(loose)
	if err != nil {
		p.fail("", "not a JSON object: "+describe(loose, err), "a connector file is {\"key\": \"value\", …}")
		return nil, false
	}
	p.problems = append(p.problems, notes...)
	return members, true
}

// object reads one object and nothing after it. Names that are repeated are kept: they are reported with the others.
func (p *parser) object(data []byte) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadValue(); err != nil {
			return nil, err
		}
		return nil, errNoObject
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var out []member
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		out = append(out, member{key, value.Clone()})
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errMore
		}
		return nil, err
	}
	return out, nil
}

var (
	errNoObject = errors.New("it is another JSON value")
	errMore     = errors.New("something follows the object")
)

// brokenEscape finds what a message repeats of a text: up to twelve characters after a backslash.
var brokenEscape = regexp.MustCompile("(invalid (?:escape sequence|surrogate pair)) (`[^`]*`|\"(?:[^\"\\\\]|\\\\.)*\")")

// describe says where the JSON breaks. It shows nothing of the file but a character: a credential may stand there.
func describe(data []byte, err error) string {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "it ends too early"
		}
		return err.Error()
	}
	at := min(max(int(syntax.ByteOffset), 0), len(data))
	line := 1 + bytes.Count(data[:at], []byte("\n"))
	column := at - bytes.LastIndexByte(data[:at], '\n')
	what := "unexpected text"
	if errors.Is(err, io.ErrUnexpectedEOF) {
		what = "it ends too early"
	} else if syntax.Err != nil {
		what = brokenEscape.ReplaceAllString(syntax.Err.Error(), "$1")
	}
	return fmt.Sprintf("line %d, column %d: %s", line, column, what)
}

// rest returns the keys of the configuration, and the name when the file has the REST form.
func (p *parser) rest(top []member) (config []member, name string) {
	top = p.once(top)
	at := slices.IndexFunc(top, func(m member) bool { return m.name == "config" && m.value.Kind() == '{' })
	if at < 0 {
		return top, ""
	}
	p.isRest = true
	for _, m := range top {
		switch m.name {
		case "config":
		case "name":
			name, _ = p.text(m)
		case "tasks", "type", "initial_state", "initial_offsets":
			p.note(m.name, "belongs to Connect's REST interface and means nothing here", "take it out")
		default:
			p.outside = append(p.outside, m.name)
			p.note(m.name, "stands outside \"config\" and is not read", "move it into \"config\", or take it out")
		}
	}
	inner, err := p.object(top[at].value)
	if err != nil {
		p.fail("config", describe(top[at].value, err), "")
		return nil, name
	}
	return p.once(inner), name
}

// once reports names that are repeated.
func (p *parser) once(all []member) []member {
	count := map[string]int{}
	var out []member
	for _, m := range all {
		count[m.name]++
		switch count[m.name] {
		case 1:
			out = append(out, m)
		case 2:
			p.fail(m.name, "stands in the file more than once", "keep one of them")
		}
	}
	return out
}

var bracketed = regexp.MustCompile(`^\s*<\s*([A-Za-z][A-Za-z0-9+.-]*://[^<>\s]*)\s*>\s*$`)

// text returns a value as Connect would have it: a string.
func (p *parser) text(m member) (string, bool) {
	switch m.value.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, m.value)
		if err != nil {
			p.fail(m.name, "is not a JSON string", "")
			return "", false
		}
		if inside := bracketed.FindSubmatch(text); inside != nil {
			p.note(m.name, "has <…> around the URL", "write the URL alone")
			return string(inside[1]), true
		}
		return string(text), true
	case '0':
		suggestion := fmt.Sprintf("write \"%s\"", m.value)
		if shapeByName(m.name) != open {
			suggestion = "write it in quotes"
		}
		p.note(m.name, "is a number without quotes", suggestion)
		return string(m.value), true
	case 't', 'f':
		p.note(m.name, "is a boolean without quotes", fmt.Sprintf("write \"%s\"", m.value))
		return string(m.value), true
	case 'n':
		p.note(m.name, "is null, which is the same as leaving it out", "take it out")
		return "", false
	case '{':
		if m.name == "gcs.credentials.json" {
			var compact bytes.Buffer
			if err := json.Compact(&compact, m.value); err == nil {
				p.note(m.name, "is an object instead of a string", "better leave the credential out of the file: ${gcpsecret:NAME}")
				return compact.String(), true
			}
		}
	}
	p.fail(m.name, "is not a string", "put the value into quotes")
	return "", false
}

func (p *parser) name(restName string, config map[string]string, origin string) string {
	inner, has := config["name"]
	name, source := nameOf(origin), "the file's name"
	switch {
	case restName != "":
		name, source = restName, "the name"
		if has && inner != restName {
			p.note("name", fmt.Sprintf("is %s inside \"config\" and %s outside; the outer one is taken, Connect refuses the file", quote(inner), quote(restName)), "make them equal")
		}
	case has && inner != "":
		name, source = inner, "the name"
	}
	if !ValidName(name) {
		p.fail("name", fmt.Sprintf("%s %q is not usable: a name has 1 to 64 letters, digits, \".\", \"_\" and \"-\"", source, shorten(name)), "give the connector a \"name\"")
	}
	return name
}

func (p *parser) kind(config map[string]string) Kind {
	class := strings.TrimSpace(config["connector.class"])
	if class == "" {
		p.fail("connector.class", "is missing", "write "+SourceClass+" or "+SinkClass)
		return 0
	}
	kind, ok := kindOf(class)
	if !ok {
		suggestion := SourceClass + " and " + SinkClass + " are replaced by riftline"
		for _, known := range []string{SourceClass, SinkClass} {
			if distance(class, known, 4) <= 4 || distance(simpleClass(class), simpleClass(known), 2) <= 2 {
				suggestion = "did you mean " + known + "?"
			}
		}
		p.fail("connector.class", fmt.Sprintf("%q is not a connector that riftline stands in for", shorten(class)), suggestion)
	}
	return kind
}

// shorten keeps a value that a message quotes to a readable length, and takes out what is a credential by its form.
func shorten(s string) string {
	const most = 80
	s = maskUsers(maskForms(s))
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}
