package record

import "strings"

// At returns the value that a JSON pointer (RFC 6901) names inside v. "" is v itself, and so is "/", which the RFC
// reads as the member with the empty name: connector files say "/" for the root. A tilde that begins neither ~0 nor ~1
// stands for itself.
//
// It reports false when nothing is there: a missing name, an index past the end, a step into a scalar, or a pointer
// that does not begin with a slash.
func (v *Value) At(pointer string) (*Value, bool) {
	if pointer == "" || pointer == "/" {
		return v, true
	}
	if pointer[0] != '/' {
		return nil, false
	}
	for rest := pointer[1:]; ; {
		token, next, more := strings.Cut(rest, "/")
		child, found := v.Child(unescape(token))
		if !found {
			return nil, false
		}
		if !more {
			return child, true
		}
		v, rest = child, next
	}
}

// Tokens splits a JSON pointer into its reference tokens, unescaped; none for the root.
func Tokens(pointer string) []string {
	if pointer == "" || pointer == "/" {
		return nil
	}
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range tokens {
		tokens[i] = unescape(tokens[i])
	}
	return tokens
}

// Field returns the member of an object that has this name. It reports false when there is none, and for a value that
// is no object.
func (v *Value) Field(name string) (*Value, bool) {
	if i := indexOf(v.Fields, name); i >= 0 {
		return &v.Fields[i].Value, true
	}
	return nil, false
}

// Child returns what one reference token of a pointer, unescaped, finds in v: an object's member or an array's element.
func (v *Value) Child(token string) (*Value, bool) {
	switch v.Kind {
	case Object:
		return v.Field(token)
	case Array:
		i, ok := index(token)
		if !ok || i >= len(v.Items) {
			return nil, false
		}
		return &v.Items[i], true
	default:
		return nil, false
	}
}

// index reads an array index: digits without a leading zero, few enough not to overflow.
func index(token string) (int, bool) {
	if token == "" || len(token) > 9 || token[0] == '0' && len(token) > 1 {
		return 0, false
	}
	n := 0
	for i := range len(token) {
		if token[i] < '0' || token[i] > '9' {
			return 0, false
		}
		n = n*10 + int(token[i]-'0')
	}
	return n, true
}

func unescape(token string) string {
	if strings.IndexByte(token, '~') < 0 {
		return token
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}
