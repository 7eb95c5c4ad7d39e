package cost

import (
	"fmt"
	"strings"
)

// Month is a month of some connectors.
type Month struct {
	Sources     []Source
	Sinks       []Sink
	SecretCount float64
	Assumptions Assumptions
}

// Use is what the month takes.
func (m Month) Use() Usage {
	u := Usage{SecretVersions: m.SecretCount}
	for _, s := range m.Sources {
		u = u.Plus(s.Use(m.Assumptions))
	}
	for _, s := range m.Sinks {
		u = u.Plus(s.Use(m.Assumptions))
	}
	return u
}

// Due is what is to be paid for the month.
func (m Month) Due() float64 {
	_, due := Sum(Bill(m.Use()))
	return due
}

// worthwhile is from how many dollars a month on a change is advised.
const worthwhile = 0.10

// betterFlush is the flush.size that is advised.
const betterFlush = 1000

// Advise names the changes that pay, each with what it saves in a month; and what is small on purpose although it does
// not pay in money.
func (m Month) Advise() []string {
	var out []string
	due := m.Due()
	try := func(saves string, change func(*Month)) bool {
		other := m
		other.Sources = append([]Source{}, m.Sources...)
		other.Sinks = append([]Sink{}, m.Sinks...)
		change(&other)
		saved := due - other.Due()
		if saved < worthwhile {
			return false
		}
		out = append(out, fmt.Sprintf("%s saves %s a month", saves, Dollars(saved)))
		return true
	}
	for i, s := range m.Sinks {
		if s.FlushSize < betterFlush {
			change := func(o *Month) { o.Sinks[i].FlushSize = betterFlush }
			if !try(fmt.Sprintf("%s: flush.size=%d instead of %.0f", s.Name, betterFlush, s.FlushSize), change) {
				now, _ := s.Objects()
				s.FlushSize = betterFlush
				then, _ := s.Objects()
				out = append(out, fmt.Sprintf("%s: flush.size=%d makes %s objects a month of what now are %s; it pays in reading them, hardly in money", s.Name, betterFlush, Count(then), Count(now)))
			}
		}
		if s.Drains > 2*Days {
			try(fmt.Sprintf("%s: draining once a day instead of %.0f times", s.Name, s.Drains/Days), func(o *Month) { o.Sinks[i].Drains = Days })
		}
	}
	for i, s := range m.Sources {
		if s.Runs > Minutes/5 {
			try(fmt.Sprintf("%s: polling every five minutes", s.Name), func(o *Month) { o.Sources[i].Runs = Minutes / 5 })
		}
	}
	return out
}

// Dollars writes an amount: "$0.43", and "under $0.01" for what is less and not nothing.
func Dollars(d float64) string {
	if d > 0 && d < 0.005 {
		return "under $0.01"
	}
	return fmt.Sprintf("$%.2f", d)
}

// Count writes a number of things with commas: "43,200". What is below ten and no whole number gets a digit more.
func Count(n float64) string {
	if n > 0 && n < 10 && n != float64(int64(n)) {
		return fmt.Sprintf("%.2g", n)
	}
	text := fmt.Sprintf("%.0f", n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// Units is a unit for so many of it: "request", "requests". Symbols have one form.
func Units(unit string, n float64) string {
	if n == 1 || strings.HasSuffix(unit, "B") {
		return unit
	}
	return unit + "s"
}
