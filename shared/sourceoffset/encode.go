package sourceoffset

func appendPartition(dst []byte, p Partition) []byte {
	dst = append(dst, `{"connector":`...)
	dst = appendString(dst, p.Connector)
	dst = append(dst, `,"variables":{`...)
	for i, name := range sortedKeys(p.Variables) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendString(dst, p.Variables[name])
	}
	return append(dst, "}}"...)
}

const hexDigits = "0123456789abcdef"

// appendString writes s with the fewest escapes that JSON allows, so that any writer that escapes only what RFC 8259
// asks for produces the same bytes.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
