package joda

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ErrTime says that a text is no time.
var ErrTime = errors.New("neither milliseconds nor an ISO 8601 time")

// Parse reads a timestamp as Confluent's RecordField extractor does: 1 to 19 digits with an optional minus are
// milliseconds, everything else has to be ISO 8601 as Joda-Time's ISODateTimeFormat.dateTimeParser takes it: a date
// (also by week or by day of the year), or "T" and a time, or both, with or without an offset. Without one it is UTC.
// ErrTime.
func Parse(text []byte) (int64, error) {
	if digits := digitsAfterSign(text); digits > 0 && digits <= 19 {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return n, nil
		}
	}
	p := isoParser{text: text}
	millis, ok := p.parse()
	if !ok {
		return 0, fmt.Errorf("%w: %.64q", ErrTime, text)
	}
	return millis, nil
}

// digitsAfterSign is how many digits the text consists of besides a minus, 0 when there is anything else.
func digitsAfterSign(text []byte) int {
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0
		}
	}
	return len(text)
}

type isoParser struct {
	text []byte
	at   int
}

// eat goes past one of the characters.
func (p *isoParser) eat(any string) bool {
	if p.at < len(p.text) {
		for i := range len(any) {
			if p.text[p.at] == any[i] {
				p.at++
				return true
			}
		}
	}
	return false
}

// number reads least to most digits.
func (p *isoParser) number(least, most int) (int, bool) {
	n, start := 0, p.at
	for p.at < len(p.text) && p.at-start < most && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		n = n*10 + int(p.text[p.at]-'0')
		p.at++
	}
	return n, p.at-start >= least
}

func (p *isoParser) parse() (int64, bool) {
	day := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	if p.at < len(p.text) && p.text[p.at] != 'T' && p.text[p.at] != 't' {
		var ok bool
		if day, ok = p.date(); !ok {
			return 0, false
		}
	}
	millis := day.UnixMilli()
	if p.eat("Tt") {
		clock, ok := p.clock()
		if !ok {
			return 0, false
		}
		offset, ok := p.offset()
		if !ok {
			return 0, false
		}
		millis += clock - offset
	}
	return millis, p.at == len(p.text) && p.at > 0
}

func (p *isoParser) date() (time.Time, bool) {
	sign := 1
	if p.eat("-") {
		sign = -1
	} else {
		p.eat("+")
	}
	year, ok := p.number(1, 9)
	if !ok {
		return time.Time{}, false
	}
	year *= sign
	if !p.eat("-") {
		return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), true
	}
	if p.eat("Ww") {
		return p.week(year)
	}
	start := p.at
	n, ok := p.number(1, 3)
	switch {
	case !ok:
		return time.Time{}, false
	case p.at-start == 3:
		t := time.Date(year, 1, n, 0, 0, 0, 0, time.UTC)
		return t, n > 0 && t.Year() == year
	case n < 1 || n > 12:
		return time.Time{}, false
	}
	day := 1
	if p.eat("-") {
		if day, ok = p.number(1, 2); !ok {
			return time.Time{}, false
		}
	}
	t := time.Date(year, time.Month(n), day, 0, 0, 0, 0, time.UTC)
	return t, t.Day() == day
}

// week reads what follows "W": the week, and perhaps the day of it.
func (p *isoParser) week(year int) (time.Time, bool) {
	week, ok := p.number(1, 2)
	if !ok || week < 1 {
		return time.Time{}, false
	}
	day := 1
	if p.eat("-") {
		if day, ok = p.number(1, 1); !ok || day < 1 || day > 7 {
			return time.Time{}, false
		}
	}
	// The 4th of January is in the first week.
	fourth := time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC)
	t := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7+(week-1)*7+day-1)
	y, w := t.ISOWeek()
	return t, y == year && w == week
}

const (
	hour   = int64(time.Hour / time.Millisecond)
	minute = int64(time.Minute / time.Millisecond)
	second = int64(time.Second / time.Millisecond)
)

// clock reads the time of day; each of its parts may be the last one and have a fraction.
func (p *isoParser) clock() (int64, bool) {
	var millis int64
	for i, unit := range []int64{hour, minute, second} {
		if i > 0 && !p.eat(":") {
			break
		}
		start := p.at
		n, ok := p.number(1, 2)
		if !ok {
			// "T" alone, or "T" and an offset, is midnight.
			return 0, i == 0 && p.at == start
		}
		if i == 0 && n > 23 || i > 0 && n > 59 {
			return 0, false
		}
		millis += int64(n) * unit
		if p.eat(".,") {
			fraction, ok := p.fraction(unit)
			return millis + fraction, ok
		}
	}
	return millis, true
}

// fraction reads digits of a fraction of unit, in milliseconds and cut there.
func (p *isoParser) fraction(unit int64) (int64, bool) {
	start, weight, sum := p.at, unit*10, int64(0)
	for ; p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9'; p.at++ {
		weight /= 10
		sum += int64(p.text[p.at]-'0') * weight
	}
	return sum / 10, p.at > start
}

// offset reads "Z", or a sign, hours and perhaps minutes and seconds.
func (p *isoParser) offset() (int64, bool) {
	if p.at == len(p.text) || p.eat("Zz") {
		return 0, true
	}
	sign := int64(1)
	if p.eat("-") {
		sign = -1
	} else if !p.eat("+") {
		return 0, false
	}
	n, ok := p.number(2, 2)
	if !ok || n > 23 {
		return 0, false
	}
	millis := int64(n) * hour
	colon := p.at < len(p.text) && p.text[p.at] == ':'
	for _, unit := range []int64{minute, second} {
		if p.at == len(p.text) {
			break
		}
		if colon && !p.eat(":") {
			return 0, false
		}
		if n, ok = p.number(2, 2); !ok || n > 59 {
			return 0, false
		}
		millis += int64(n) * unit
	}
	return sign * millis, true
}
