package timestamp

import (
	"fmt"
	"strings"
	"time"
)

// element is one piece of a pattern: a literal (letter 0), a field, or an optional section.
type element struct {
	letter   byte
	count    int
	literal  string
	optional []element
	// reserved is how many digits the fields that follow at once need, for a field of variable width.
	reserved int
}

// compile reads a pattern of DateTimeFormatter.ofPattern.
func compile(pattern string) ([]element, error) {
	c := compiler{text: pattern}
	elements, err := c.section(0)
	if err != nil {
		return nil, err
	}
	var seen [256]bool
	collect(elements, &seen)
	if !seen['y'] && !seen['u'] || !seen['D'] && !(seen['d'] && (seen['M'] || seen['L'])) {
		return nil, fmt.Errorf("has no whole date in it: year, month and day, or year and day of the year")
	}
	if (seen['h'] || seen['K']) && !seen['a'] {
		return nil, fmt.Errorf("has an hour of twelve (h, K) without a: it is not known whether it is before noon")
	}
	return elements, nil
}

func collect(elements []element, seen *[256]bool) {
	for _, e := range elements {
		seen[e.letter] = true
		collect(e.optional, seen)
	}
}

type compiler struct {
	text string
	at   int
}

const understood = "uyMLdDHkKhamsSnANEVvzOXxZ"

func (c *compiler) section(depth int) ([]element, error) {
	var out []element
	literal := func(s string) {
		if n := len(out); n > 0 && out[n-1].letter == 0 && out[n-1].optional == nil {
			out[n-1].literal += s
			return
		}
		out = append(out, element{literal: s})
	}
	for c.at < len(c.text) {
		switch b := c.text[c.at]; {
		case b == '\'':
			text, err := c.quoted()
			if err != nil {
				return nil, err
			}
			literal(text)
		case b == '[':
			if depth >= 10 {
				return nil, fmt.Errorf("nests optional sections too deep")
			}
			c.at++
			inner, err := c.section(depth + 1)
			if err != nil {
				return nil, err
			}
			out = append(out, element{optional: inner})
		case b == ']':
			if depth == 0 {
				return nil, fmt.Errorf("has a ] that nothing opens")
			}
			c.at++
			return reserve(out), nil
		case b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z':
			e, err := c.field()
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		case strings.IndexByte("{}#", b) >= 0:
			return nil, fmt.Errorf("has %q, which Java keeps for later use", b)
		default:
			literal(c.text[c.at : c.at+1])
			c.at++
		}
	}
	// As in Java a section that is open at the end ends there.
	return reserve(out), nil
}

func (c *compiler) quoted() (string, error) {
	var b strings.Builder
	for c.at++; c.at < len(c.text); c.at++ {
		if c.text[c.at] != '\'' {
			b.WriteByte(c.text[c.at])
			continue
		}
		c.at++
		if c.at < len(c.text) && c.text[c.at] == '\'' {
			b.WriteByte('\'')
			continue
		}
		if b.Len() == 0 {
			return "'", nil
		}
		return b.String(), nil
	}
	return "", fmt.Errorf("has a ' that nothing closes")
}

func (c *compiler) field() (element, error) {
	letter, start := c.text[c.at], c.at
	for c.at < len(c.text) && c.text[c.at] == letter {
		c.at++
	}
	e := element{letter: letter, count: c.at - start}
	if strings.IndexByte(understood, letter) < 0 {
		return e, fmt.Errorf("has the letter %q, which is not understood", letter)
	}
	most := 19
	switch letter {
	case 'd', 'H', 'k', 'K', 'h', 'm', 's', 'V':
		most = 2
	case 'D':
		most = 3
	case 'S':
		most = 9
	case 'a':
		most = 1
	case 'M', 'L', 'E', 'z', 'O':
		most = 4
	case 'X', 'x', 'Z':
		most = 5
	}
	if e.count > most {
		return e, fmt.Errorf("has %q %d times, and %d is the most", letter, e.count, most)
	}
	return e, nil
}

// width is how many digits a numeric field has: exactly least, or from least to most. It is no number when most is 0.
func (e element) width() (least, most int) {
	switch e.letter {
	case 'u', 'y':
		switch e.count {
		case 2:
			return 2, 2
		case 1:
			return 1, 9
		}
		return e.count, max(e.count, 9)
	case 'S':
		return e.count, e.count
	case 'M', 'L':
		if e.count > 2 {
			return 0, 0
		}
		fallthrough
	case 'd', 'H', 'k', 'K', 'h', 'm', 's':
		if e.count == 1 {
			return 1, 2
		}
		return 2, 2
	case 'D':
		return e.count, 3
	case 'n', 'A', 'N':
		return e.count, 18
	}
	return 0, 0
}

// reserve notes what a field of variable width must leave to the fixed fields behind it ("yyyyMMdd").
func reserve(elements []element) []element {
	for i := range elements {
		if least, most := elements[i].width(); least == most {
			continue
		}
		for _, next := range elements[i+1:] {
			least, most := next.width()
			if most == 0 || least != most {
				break
			}
			elements[i].reserved += least
		}
	}
	return elements
}

// formatter reads texts by a pattern.
type formatter struct {
	pattern  string
	elements []element
	zone     *time.Location
}

// fields are what was read; -1 is nothing.
type fields struct {
	year, month, day, yearDay    int
	hour, half, minute, second   int
	nano, milliOfDay, nanosOfDay int
	afternoon                    int
	zone                         *time.Location
}

// Parse implements Parser.
func (p *formatter) Parse(text string) (time.Time, error) {
	f := fields{year: -1, month: -1, day: -1, yearDay: -1, hour: -1, half: -1, minute: -1, second: -1, nano: -1, milliOfDay: -1, nanosOfDay: -1, afternoon: -1}
	end, ok := f.read(p.elements, text, 0)
	if !ok || end != len(text) {
		return time.Time{}, fmt.Errorf("%w: %s does not fit the pattern %s", ErrTimestamp, quote(text), p.pattern)
	}
	t, ok := f.time(p.zone)
	if !ok {
		return time.Time{}, fmt.Errorf("%w: %s has no such date or time in it (%s)", ErrTimestamp, quote(text), p.pattern)
	}
	return within(t, text)
}

func (f *fields) read(elements []element, text string, at int) (int, bool) {
	for _, e := range elements {
		switch {
		case e.optional != nil:
			before := *f
			if end, ok := f.read(e.optional, text, at); ok {
				at = end
			} else {
				*f = before
			}
			continue
		case e.letter == 0:
			if !strings.HasPrefix(text[at:], e.literal) {
				return at, false
			}
			at += len(e.literal)
			continue
		}
		end, ok := f.field(e, text, at)
		if !ok {
			return at, false
		}
		at = end
	}
	return at, true
}

func (f *fields) field(e element, text string, at int) (int, bool) {
	least, most := e.width()
	if most > 0 {
		return f.number(e, text, at, least, most)
	}
	rest := text[at:]
	switch e.letter {
	case 'M', 'L':
		for m := time.January; m <= time.December; m++ {
			if n, ok := named(rest, m.String(), e.count); ok {
				f.month = int(m)
				return at + n, true
			}
		}
	case 'E':
		for d := time.Sunday; d <= time.Saturday; d++ {
			if n, ok := named(rest, d.String(), e.count); ok {
				return at + n, true
			}
		}
	case 'a':
		if len(rest) >= 2 {
			switch strings.ToUpper(rest[:2]) {
			case "AM":
				f.afternoon = 0
				return at + 2, true
			case "PM":
				f.afternoon = 1
				return at + 2, true
			}
		}
	case 'X', 'x', 'Z':
		if e.letter != 'x' && strings.HasPrefix(rest, "Z") {
			f.zone = time.UTC
			return at + 1, true
		}
		if seconds, n, ok := offset(strings.TrimPrefix(rest, "GMT")); ok {
			f.zone = time.FixedZone("", seconds)
			return at + len(rest) - len(strings.TrimPrefix(rest, "GMT")) + n, true
		}
	case 'V', 'v', 'z', 'O':
		n := 0
		for n < len(rest) && (isDigit(rest[n]) || rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z' || strings.IndexByte("/_+-:", rest[n]) >= 0) {
			n++
		}
		if hours, ok := names[rest[:n]]; ok {
			f.zone = time.FixedZone(rest[:n], hours*3600)
			return at + n, true
		}
		zone, ok := loadZone(rest[:n])
		f.zone = zone
		return at + n, ok
	}
	return at, false
}

// named matches an English name in any case: whole for four letters of the pattern, else its first three letters.
func named(text, name string, count int) (int, bool) {
	if count < 4 {
		name = name[:3]
	}
	return len(name), len(text) >= len(name) && strings.EqualFold(text[:len(name)], name)
}

func (f *fields) number(e element, text string, at, least, most int) (int, bool) {
	run := 0
	for at+run < len(text) && isDigit(text[at+run]) {
		run++
	}
	if least != most {
		most = min(most, max(least, run-e.reserved))
	}
	value, end := digits(text, at, most)
	if end-at < least {
		return at, false
	}
	switch e.letter {
	case 'u', 'y':
		if e.count == 2 {
			value += 2000
		}
		f.year = value
	case 'M', 'L':
		f.month = value
	case 'd':
		f.day = value
	case 'D':
		f.yearDay = value
	case 'H':
		f.hour = value
	case 'k':
		if value < 1 || value > 24 {
			return at, false
		}
		f.hour = value % 24
	case 'h', 'K':
		if e.letter == 'h' && (value < 1 || value > 12) || value > 12 {
			return at, false
		}
		f.half = value % 12
	case 'm':
		f.minute = value
	case 's':
		f.second = value
	case 'S':
		for i := e.count; i < 9; i++ {
			value *= 10
		}
		f.nano = value
	case 'n':
		f.nano = value
	case 'A':
		f.milliOfDay = value
	case 'N':
		f.nanosOfDay = value
	}
	return end, true
}

// time makes a time of the fields; what of the time of day is missing is zero, and a missing zone is the given one.
func (f *fields) time(zone *time.Location) (time.Time, bool) {
	if f.zone != nil {
		zone = f.zone
	}
	if f.half >= 0 {
		if f.afternoon < 0 {
			return time.Time{}, false
		}
		f.hour = f.half + 12*f.afternoon
	}
	hour, minute, second, nano := max(f.hour, 0), max(f.minute, 0), max(f.second, 0), max(f.nano, 0)
	switch {
	case f.nanosOfDay >= 0:
		hour, minute, second, nano = 0, 0, f.nanosOfDay/1e9, f.nanosOfDay%1e9
	case f.milliOfDay >= 0:
		hour, minute, second, nano = 0, 0, f.milliOfDay/1e3, f.milliOfDay%1e3*1e6
	case hour > 23 || minute > 59 || second > 59 || nano > 999_999_999:
		return time.Time{}, false
	}
	if second >= 24*3600 {
		return time.Time{}, false
	}
	month, day := f.month, f.day
	if month < 0 && day < 0 && f.yearDay > 0 {
		month, day = 1, f.yearDay
	}
	if f.year < 0 || month < 1 || month > 12 || day < 1 {
		return time.Time{}, false
	}
	date := time.Date(f.year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if date.Year() != f.year || f.day >= 0 && (date.Day() != f.day || int(date.Month()) != month) {
		return time.Time{}, false
	}
	return time.Date(date.Year(), date.Month(), date.Day(), hour, minute, second, nano, zone), true
}
