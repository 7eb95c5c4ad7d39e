package connector

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// width is how wide Render writes.
const width = 110

// Render writes what validate prints of one connector: each key with its class, its value (credentials redacted), where
// the value comes from and the reason; then the problems. It uses no colour.
func Render(w io.Writer, c Connector, v []Verdict, p Problems) {
	fmt.Fprintf(w, "%s  (%s, %s)\n\n", c.Name, c.Kind, c.Origin)
	for _, one := range v {
		from := one.From
		if from == fromFile {
			from = ""
		} else {
			from = "  (" + from + ")"
		}
		fmt.Fprintf(w, "  %-9s %s", one.Class, one.Key)
		if one.Value != "" || one.From == fromFile || one.From == fromOverride {
			room := max(width-14-utf8.RuneCountInString(one.Key)-utf8.RuneCountInString(from), 24)
			fmt.Fprintf(w, " = %s", cut(one.Value, room))
		}
		fmt.Fprintln(w, from)
		wrap(w, "            ", "            ", one.Reason)
	}
	fmt.Fprintln(w)
	if len(p) == 0 {
		fmt.Fprintln(w, "  nothing to object to")
		return
	}
	fmt.Fprintf(w, "  %s\n", tally(p))
	for _, one := range p {
		wrap(w, fmt.Sprintf("  %-9s ", one.Severity), "            ", one.sentence())
		if one.Suggestion != "" {
			wrap(w, "            > ", "              ", one.Suggestion)
		}
	}
}

// tally counts the problems: "2 errors, 1 warning, 3 pieces of advice".
func tally(p Problems) string {
	count := map[Severity]int{}
	for _, one := range p {
		count[one.Severity]++
	}
	var parts []string
	for _, s := range []struct {
		severity  Severity
		one, many string
	}{{Error, "error", "errors"}, {Warning, "warning", "warnings"}, {Advice, "piece of advice", "pieces of advice"}} {
		switch n := count[s.severity]; n {
		case 0:
		case 1:
			parts = append(parts, "1 "+s.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, s.many))
		}
	}
	return strings.Join(parts, ", ")
}

// cut shortens a value to one line of n runes.
func cut(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

// wrap writes text in lines of at most width, broken at blanks.
func wrap(w io.Writer, first, rest, text string) {
	line, indent := first, first
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			fmt.Fprintln(w, line)
			line, indent, empty = rest, rest, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	if line != indent || !empty {
		fmt.Fprintln(w, line)
	}
}
