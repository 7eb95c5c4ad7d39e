package record

import "strings"

// AppendBody appends v to dst as castorm's HTTP source writes the body of a record: an object as Jackson's
// writeValueAsString gives it (compact, members in their order, decimals as Java's Double.toString, control characters as
// \u001F), anything else as [Value.AsText]. An array, which castorm turns into nothing, keeps its JSON.
func AppendBody(dst []byte, v *Value) []byte {
	if v.Kind == Object || v.Kind == Array {
		return appendJackson(dst, v)
	}
	return append(dst, v.AsText()...)
}

func appendJackson(dst []byte, v *Value) []byte {
	switch v.Kind {
	case Array:
		dst = append(dst, '[')
		for i := range v.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJackson(dst, &v.Items[i])
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i := range v.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJacksonString(dst, v.Fields[i].Name)
			dst = append(dst, ':')
			dst = appendJackson(dst, &v.Fields[i].Value)
		}
		return append(dst, '}')
	case String:
		return appendJacksonString(dst, v.Text)
	case Number:
		text := v.AsText()
		if strings.HasSuffix(text, "y") { // Infinity is no JSON number, so Jackson quotes it
			return appendJacksonString(dst, text)
		}
		return append(dst, text...)
	default:
		return append(dst, v.AsText()...)
	}
}

const upperHex = "0123456789ABCDEF"

func appendJacksonString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
		}
	}
	return append(dst, '"')
}
