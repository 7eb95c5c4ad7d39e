package schema

import (
	"strconv"
	"strings"
)

// avroName makes a valid Avro name ([A-Za-z_][A-Za-z0-9_]*) of any text: each other character becomes "_", and a digit
// at the beginning gets one in front.
func avroName(text string) string {
	if isAvroName(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_':
		case r >= '0' && r <= '9':
			if b.Len() == 0 {
				b.WriteByte('_')
			}
		default:
			r = '_'
		}
		b.WriteRune(r)
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

func isAvroName(text string) bool {
	for i := range len(text) {
		c := text[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return text != ""
}

// names are those in use.
type names map[string]bool

// take returns base, or base with the first of _2, _3, … that is free, and marks it as used.
func (n names) take(base string) string {
	name := base
	for i := 2; n[name]; i++ {
		name = base + "_" + strconv.Itoa(i)
	}
	n[name] = true
	return name
}

// stamp returns base with as many underscores in front as make it free, and marks it as used.
func (n names) stamp(base string) string {
	for n[base] {
		base = "_" + base
	}
	n[base] = true
	return base
}
