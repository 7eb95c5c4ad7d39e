package joda

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrPattern says that a text is no pattern that is taken.
var ErrPattern = errors.New("not a usable date pattern")

// Format is a compiled pattern. It is safe for concurrent use.
type Format struct {
	parts []part
	words bool
}

// part prints one letter's run, or a literal text (letter 0).
type part struct {
	letter  byte
	width   int
	literal string
}

// maxWidth bounds a run of one letter; wider ones are mistakes, and would only print zeros.
const maxWidth = 9

// Compile reads a pattern of Joda-Time's DateTimeFormat. These letters are taken, each as Joda-Time prints it:
//
//	G era   C century of era   Y year of era   y year   x week year   w week   e, E day of the week   D day of the year
//	M month   d day   a AM or PM   K, h hour of the half-day   H, k hour of the day   m minute   s second   S fraction
//	Z and ZZ offset of the zone
//
// Text stands between single quotes, two single quotes are one, and what is no letter of A to Z stands for itself.
// ErrPattern for any other letter, for names of zones (z, ZZZ), which depend on the machine, and for nothing at all.
func Compile(pattern string) (*Format, error) {
	f := &Format{}
	for i := 0; i < len(pattern); {
		if !isLetter(pattern[i]) {
			var text string
			text, i = literal(pattern, i)
			f.parts = append(f.parts, part{literal: text})
			continue
		}
		c, start := pattern[i], i
		for i < len(pattern) && pattern[i] == c {
			i++
		}
		p := part{letter: c, width: i - start}
		switch {
		case p.width > maxWidth:
			return nil, fmt.Errorf("%w: %d times %q in a row", ErrPattern, p.width, c)
		case c == 'z' || c == 'Z' && p.width > 2:
			return nil, fmt.Errorf("%w: %q is the name of a time zone, which differs from machine to machine; Z is its offset", ErrPattern, pattern[start:i])
		case strings.IndexByte("GCYyxweEDMdaKhHkmsSZ", c) < 0:
			return nil, fmt.Errorf("%w: the letter %q means nothing; text stands between single quotes", ErrPattern, c)
		case c == 'G' || c == 'E' || c == 'a' || c == 'M' && p.width > 2:
			f.words = true
		}
		f.parts = append(f.parts, p)
	}
	if len(f.parts) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrPattern)
	}
	return f, nil
}

func isLetter(c byte) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }

// literal reads text from byte i on, up to a letter outside quotes. A quote that is never closed holds to the end.
func literal(pattern string, i int) (string, int) {
	var b strings.Builder
	quoted := false
	for ; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\'' && i+1 < len(pattern) && pattern[i+1] == '\'':
			i++
			b.WriteByte(c)
		case c == '\'':
			quoted = !quoted
		case !quoted && isLetter(c):
			return b.String(), i
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), i
}

// Words says whether the pattern prints words (names of months and days, AM, AD), which depend on a locale.
func (f *Format) Words() bool { return f.words }

// Append prints an instant of a zone.
func (f *Format) Append(dst []byte, millis int64, zone *time.Location) []byte {
	t := time.UnixMilli(millis).In(zone)
	for _, p := range f.parts {
		dst = p.append(dst, t)
	}
	return dst
}

func (p part) append(dst []byte, t time.Time) []byte {
	switch p.letter {
	case 0:
		return append(dst, p.literal...)
	case 'G':
		if t.Year() < 1 {
			return append(dst, "BC"...)
		}
		return append(dst, "AD"...)
	case 'C':
		return padded(dst, abs(t.Year())/100, p.width)
	case 'Y':
		if p.width == 2 {
			return padded(dst, abs(t.Year())%100, 2)
		}
		return padded(dst, abs(t.Year()), p.width)
	case 'y':
		return p.year(dst, t.Year())
	case 'x':
		year, _ := t.ISOWeek()
		return p.year(dst, year)
	case 'w':
		_, week := t.ISOWeek()
		return padded(dst, week, p.width)
	case 'e':
		return padded(dst, (int(t.Weekday())+6)%7+1, p.width)
	case 'E':
		return word(dst, t.Weekday().String(), p.width)
	case 'D':
		return padded(dst, t.YearDay(), p.width)
	case 'M':
		if p.width > 2 {
			return word(dst, t.Month().String(), p.width)
		}
		return padded(dst, int(t.Month()), p.width)
	case 'd':
		return padded(dst, t.Day(), p.width)
	case 'Z':
		return offset(dst, t, p.width == 2)
	}
	return p.clock(dst, t)
}

// clock prints the letters of the time of day.
func (p part) clock(dst []byte, t time.Time) []byte {
	hour := t.Hour()
	switch p.letter {
	case 'a':
		if hour < 12 {
			return append(dst, "AM"...)
		}
		return append(dst, "PM"...)
	case 'K':
		hour %= 12
	case 'h':
		hour = (hour+11)%12 + 1
	case 'k':
		hour = (hour+23)%24 + 1
	case 'm':
		return padded(dst, t.Minute(), p.width)
	case 's':
		return padded(dst, t.Second(), p.width)
	case 'S':
		digits := fmt.Sprintf("%03d000000", t.Nanosecond()/int(time.Millisecond))
		return append(dst, digits[:p.width]...)
	}
	return padded(dst, hour, p.width)
}

// year prints a year that may be negative; two letters are its last two digits.
func (p part) year(dst []byte, year int) []byte {
	if p.width == 2 {
		return padded(dst, abs(year)%100, 2)
	}
	if year < 0 {
		dst = append(dst, '-')
	}
	return padded(dst, abs(year), p.width)
}

// word prints an English name: whole from four letters on, else the first three letters of it.
func word(dst []byte, name string, width int) []byte {
	if width < 4 {
		name = name[:3]
	}
	return append(dst, name...)
}

func offset(dst []byte, t time.Time, colon bool) []byte {
	_, seconds := t.Zone()
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	dst = padded(append(dst, sign), seconds/3600, 2)
	if colon {
		dst = append(dst, ':')
	}
	return padded(dst, seconds/60%60, 2)
}

func padded(dst []byte, n, width int) []byte {
	digits := 1
	for limit := 10; n >= limit && digits < 19; limit *= 10 {
		digits++
	}
	for range width - digits {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

func abs(n int) int { return max(n, -n) }
