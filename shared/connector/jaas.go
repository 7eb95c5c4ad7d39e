package connector

import (
	"errors"
	"fmt"
	"strings"
)

// jaas is one login module of a sasl.jaas.config: `module flag name="value" …;`.
type jaas struct {
	module, flag string
	options      []option
}

// option is an option of a login module, and where its value stands in the text, quotes included.
type option struct {
	name, value string
	start, end  int
}

func (j jaas) option(name string) string {
	for _, o := range j.options {
		if o.name == name {
			return o.value
		}
	}
	return ""
}

var errJAAS = errors.New(`is not of the form module required name="value" …;`)

// parseJAAS reads a sasl.jaas.config (the format of Java's login configuration files, as Kafka's JaasConfig takes it:
// exactly one module). Errors show nothing of the text.
func parseJAAS(text string) (jaas, error) {
	t := jaasTokens{rest: text}
	var out jaas
	var ok bool
	if out.module, ok = t.word(); !ok {
		return jaas{}, errJAAS
	}
	if out.flag, ok = t.word(); !ok {
		return jaas{}, errJAAS
	}
	switch strings.ToLower(out.flag) {
	case "required", "requisite", "sufficient", "optional":
	default:
		return jaas{}, fmt.Errorf("%w the word after the module has to be required", errJAAS)
	}
	for {
		if t.take(';') {
			break
		}
		name, ok := t.word()
		if !ok || !t.take('=') {
			if strings.TrimSpace(t.rest) == "" && !ok {
				return jaas{}, fmt.Errorf("%w the \";\" at its end is missing", errJAAS)
			}
			return jaas{}, errJAAS
		}
		t.skip()
		start := len(text) - len(t.rest)
		value, ok := t.word()
		if !ok {
			return jaas{}, errJAAS
		}
		out.options = append(out.options, option{name, value, start, len(text) - len(t.rest)})
	}
	if strings.TrimSpace(t.rest) != "" {
		return jaas{}, errors.New("has more than one login module")
	}
	return out, nil
}

type jaasTokens struct{ rest string }

func (t *jaasTokens) skip() { t.rest = strings.TrimLeft(t.rest, " \t\r\n\\") }

func (t *jaasTokens) take(c byte) bool {
	t.skip()
	if t.rest == "" || t.rest[0] != c {
		return false
	}
	t.rest = t.rest[1:]
	return true
}

// word reads a quoted text, or what reaches to the next blank, "=" or ";". A reference is kept whole.
func (t *jaasTokens) word() (string, bool) {
	t.skip()
	if t.rest == "" {
		return "", false
	}
	if c := t.rest[0]; c == '"' || c == '\'' {
		var b strings.Builder
		for i := 1; i < len(t.rest); i++ {
			switch t.rest[i] {
			case c:
				t.rest = t.rest[i+1:]
				return b.String(), true
			case '\\':
				i++
				if i < len(t.rest) {
					b.WriteByte(unescapeJava(t.rest[i]))
				}
			default:
				b.WriteByte(t.rest[i])
			}
		}
		return "", false
	}
	end := 0
	for end < len(t.rest) && !strings.ContainsRune(" \t\r\n=;", rune(t.rest[end])) {
		if strings.HasPrefix(t.rest[end:], "${") {
			if n := strings.IndexByte(t.rest[end:], '}'); n >= 0 {
				end += n
			}
		}
		end++
	}
	word := t.rest[:end]
	t.rest = t.rest[end:]
	return word, word != ""
}

// unescapeWord takes the backslashes out of what stands between quotes.
func unescapeWord(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		if i++; i < len(text) {
			b.WriteByte(unescapeJava(text[i]))
		}
	}
	return b.String()
}

func unescapeJava(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	}
	return c
}
