package template

import (
	"fmt"
	"strings"
	"time"
)

// checkPattern refuses letters of SimpleDateFormat that are not understood.
func checkPattern(pattern string) error {
	_, err := format(pattern, time.Unix(0, 0))
	return err
}

// format writes a date as java.text.SimpleDateFormat does, in UTC and in English.
func format(pattern string, date time.Time) (string, error) {
	date = date.UTC()
	var b strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			n, text, err := quotedPattern(pattern[i:])
			if err != nil {
				return "", err
			}
			b.WriteString(text)
			i += n
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			text, ok := field(c, n, date)
			if !ok {
				return "", fmt.Errorf("has the letter %q in a date's pattern, which is not understood", c)
			}
			b.WriteString(text)
			i += n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), nil
}

// quotedPattern reads '…', in which two quotes are one, and two quotes by themselves.
func quotedPattern(pattern string) (n int, text string, err error) {
	if strings.HasPrefix(pattern, "''") {
		return 2, "'", nil
	}
	var b strings.Builder
	for i := 1; i < len(pattern); i++ {
		switch {
		case pattern[i] != '\'':
			b.WriteByte(pattern[i])
		case strings.HasPrefix(pattern[i:], "''"):
			b.WriteByte('\'')
			i++
		default:
			return i + 1, b.String(), nil
		}
	}
	return 0, "", fmt.Errorf("has a quote in a date's pattern that nothing closes")
}

// field writes one field of a date; n is how often its letter stands there.
func field(c byte, n int, d time.Time) (string, bool) {
	number := func(v int) (string, bool) {
		if n > 20 {
			return "", false
		}
		return fmt.Sprintf("%0*d", n, v), true
	}
	switch c {
	case 'y':
		if n == 2 {
			return fmt.Sprintf("%02d", d.Year()%100), true
		}
		return number(d.Year())
	case 'M', 'L':
		switch {
		case n >= 4:
			return d.Month().String(), true
		case n == 3:
			return d.Format("Jan"), true
		}
		return number(int(d.Month()))
	case 'd':
		return number(d.Day())
	case 'D':
		return number(d.YearDay())
	case 'H':
		return number(d.Hour())
	case 'k':
		return number((d.Hour()+23)%24 + 1)
	case 'h':
		return number((d.Hour()+11)%12 + 1)
	case 'K':
		return number(d.Hour() % 12)
	case 'm':
		return number(d.Minute())
	case 's':
		return number(d.Second())
	case 'S':
		// A count of milliseconds in SimpleDateFormat, and not a fraction of a second.
		return number(d.Nanosecond() / 1e6)
	case 'a':
		return d.Format("PM"), true
	case 'E':
		if n >= 4 {
			return d.Weekday().String(), true
		}
		return d.Format("Mon"), true
	case 'u':
		return number((int(d.Weekday())+6)%7 + 1)
	case 'Z':
		return "+0000", true
	case 'z':
		return "UTC", true
	case 'X':
		return "Z", n <= 3
	}
	return "", false
}
