package connector

import (
	"bytes"
)

// tolerate turns what people paste into JSON where it can: comments and commas before a closing bracket become blanks,
// <…> becomes "…". Nothing moves, so that a position in the result is the position in the file.
func tolerate(data []byte) ([]byte, Problems) {
	t := tolerator{out: bytes.Clone(data), comma: -1}
	for t.at < len(t.out) {
		t.step()
	}
	var notes Problems
	add := func(seen bool, text, suggestion string) {
		if seen {
			notes = append(notes, Problem{Severity: Warning, Text: text, Suggestion: suggestion})
		}
	}
	add(t.comments, "the file has comments, which JSON does not", "take them out: Terraform refuses them")
	add(t.commas, "a comma stands before a closing bracket", "take it out")
	add(t.brackets, "a value stands in <…> instead of quotes", "write the value in quotes, without < and >")
	return t.out, notes
}

type tolerator struct {
	out []byte
	at  int
	// comma is the position of the last comma that nothing but blanks and comments followed, or -1.
	comma                      int
	comments, commas, brackets bool
}

func (t *tolerator) step() {
	rest := t.out[t.at:]
	switch c := rest[0]; {
	case c == '"':
		t.comma = -1
		t.at += stringLength(rest)
	case bytes.HasPrefix(rest, []byte("//")):
		n := bytes.IndexByte(rest, '\n')
		if n < 0 {
			n = len(rest)
		}
		t.blank(n)
	case bytes.HasPrefix(rest, []byte("/*")):
		n := bytes.Index(rest[2:], []byte("*/"))
		if n < 0 {
			t.at++
			return
		}
		t.blank(n + 4)
	case c == ',':
		t.comma = t.at
		t.at++
	case c == '}' || c == ']':
		if t.comma >= 0 {
			t.out[t.comma] = ' '
			t.commas = true
		}
		t.comma = -1
		t.at++
	case c == '<':
		t.comma = -1
		n := bytes.IndexAny(rest[1:], "<>\"\\\n")
		if n >= 0 && rest[n+1] == '>' {
			rest[0], rest[n+1] = '"', '"'
			t.brackets = true
			t.at += n + 2
			return
		}
		t.at++
	default:
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			t.comma = -1
		}
		t.at++
	}
}

// blank overwrites a comment, line breaks excepted.
func (t *tolerator) blank(n int) {
	for i := t.at; i < t.at+n; i++ {
		if t.out[i] != '\n' {
			t.out[i] = ' '
		}
	}
	t.at += n
	t.comments = true
}

// stringLength is the length of the JSON string at the start of data, quotes included; all of data when it does not end.
func stringLength(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}
