// Package timestamp reads the timestamps of an API's entries as castorm's HTTP source does: epoch milliseconds, a
// pattern of java.time.format.DateTimeFormatter, what a regular expression cuts out, and the dates that its Natty
// parser knows.
//
// Where castorm's parser would take a part of the answer from the clock, as Natty does for a date without a year, the
// text is refused: the same entry must have the same timestamp at every poll.
package timestamp

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones are known by name on an image without a zone database

	"github.com/markusmobius/go-dateutil/v2/parser"
)

// ErrTimestamp says that a text is no timestamp for the parser that is configured.
var ErrTimestamp = errors.New("not a timestamp")

// Parser reads timestamps. It is safe for concurrent use. Parse's error wraps [ErrTimestamp].
type Parser interface {
	Parse(text string) (time.Time, error)
}

// The simple names of castorm's classes.
const (
	EpochMillis           = "EpochMillisTimestampParser"
	EpochMillisOrDelegate = "EpochMillisOrDelegateTimestampParser"
	DateTimeFormatter     = "DateTimeFormatterTimestampParser"
	Natty                 = "NattyTimestampParser"
	Regex                 = "RegexTimestampParser"
)

// The settings' defaults, which are castorm's.
const (
	DefaultPattern = "yyyy-MM-dd'T'HH:mm:ss[.SSS]X"
	DefaultZone    = "UTC"
)

// Config is http.response.record.timestamp.parser and what belongs to it. Classes are full or simple names; an empty
// field is its default.
type Config struct {
	Class         string
	Delegate      string
	Pattern       string
	Zone          string
	Regex         string
	RegexDelegate string
}

// Setting is a field of [Config].
type Setting uint8

// The fields of [Config].
const (
	ClassSetting Setting = iota
	DelegateSetting
	PatternSetting
	ZoneSetting
	RegexSetting
	RegexDelegateSetting
)

// ConfigError says which setting cannot be used and why.
type ConfigError struct {
	Setting Setting
	Reason  string
}

// Error implements error.
func (e *ConfigError) Error() string { return e.Reason }

// New makes the parser that c describes. The error is a [*ConfigError].
func New(c Config) (Parser, error) {
	return c.parser(or(simple(c.Class), EpochMillisOrDelegate), ClassSetting, 0)
}

// Default is the parser of an empty [Config].
func Default() Parser {
	p, err := New(Config{})
	if err != nil {
		panic(err) // the defaults are constants
	}
	return p
}

func (c Config) parser(class string, setting Setting, depth int) (Parser, error) {
	if depth > 2 {
		return nil, &ConfigError{setting, class + " hands on to itself"}
	}
	switch class {
	case EpochMillis:
		return epochMillis{}, nil
	case EpochMillisOrDelegate:
		next, err := c.parser(or(simple(c.Delegate), DateTimeFormatter), DelegateSetting, depth+1)
		return epochOr{next}, err
	case DateTimeFormatter:
		zone, err := c.zone()
		if err != nil {
			return nil, err
		}
		elements, err := compile(or(c.Pattern, DefaultPattern))
		if err != nil {
			return nil, &ConfigError{PatternSetting, err.Error()}
		}
		return &formatter{pattern: or(c.Pattern, DefaultPattern), elements: elements, zone: zone}, nil
	case Natty:
		zone, err := c.zone()
		return natty{zone}, err
	case Regex:
		next, err := c.parser(or(simple(c.RegexDelegate), DateTimeFormatter), RegexDelegateSetting, depth+1)
		if err != nil {
			return nil, err
		}
		return c.regex(next)
	}
	return nil, &ConfigError{setting, strconv.Quote(class) + " is a class that riftline has no counterpart of"}
}

func (c Config) regex(next Parser) (Parser, error) {
	expr, err := regexp.Compile(or(c.Regex, ".*"))
	if err != nil {
		return nil, &ConfigError{RegexSetting, fmt.Sprintf("is not a regular expression of RE2, which has no look-around and no back references: %v", err)}
	}
	if expr.NumSubexp() == 0 {
		return nil, &ConfigError{RegexSetting, "has no group: the timestamp is what its first (…) finds"}
	}
	return regex{expr, next}, nil
}

func (c Config) zone() (*time.Location, error) {
	zone, ok := loadZone(or(c.Zone, DefaultZone))
	if !ok {
		return nil, &ConfigError{ZoneSetting, strconv.Quote(c.Zone) + " is no time zone"}
	}
	return zone, nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// simple is a class's name without its package.
func simple(class string) string { return class[strings.LastIndexByte(class, '.')+1:] }

// within refuses what RFC 3339 cannot write.
func within(t time.Time, text string) (time.Time, error) {
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%w: %s is outside of the years 1 to 9999", ErrTimestamp, quote(text))
	}
	return t, nil
}

func quote(text string) string {
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:60], "") + "…"
	}
	return strconv.Quote(text)
}

type epochMillis struct{}

// Parse implements Parser.
func (epochMillis) Parse(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s is no number of milliseconds since 1970", ErrTimestamp, quote(text))
	}
	return within(time.UnixMilli(n), text)
}

type epochOr struct{ next Parser }

// Parse implements Parser.
func (p epochOr) Parse(text string) (time.Time, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return within(time.UnixMilli(n), text)
	}
	return p.next.Parse(text)
}

type regex struct {
	expr *regexp.Regexp
	next Parser
}

// Parse implements Parser.
func (p regex) Parse(text string) (time.Time, error) {
	found := p.expr.FindStringSubmatch(text)
	if found == nil {
		return time.Time{}, fmt.Errorf("%w: http.response.record.timestamp.parser.regex finds nothing in %s", ErrTimestamp, quote(text))
	}
	return p.next.Parse(found[1])
}

// natty reads the absolute dates of Natty's documentation by python-dateutil's rules, which read "5/6/2020" as the
// Americans do, as Natty does. A date without a time is midnight.
type natty struct{ zone *time.Location }

// longestDate bounds what is handed to the library.
const longestDate = 100

// Parse implements Parser.
func (p natty) Parse(text string) (time.Time, error) {
	refused := fmt.Errorf("%w: %s is no date with year, month and day", ErrTimestamp, quote(text))
	if len(text) > longestDate || strings.TrimSpace(text) == "" {
		return time.Time{}, refused
	}
	// What the text does not say is taken from the default. Two defaults that differ in everything tell whether the
	// date is whole.
	one, err := parser.Parse(text, time.Date(2004, 1, 1, 0, 0, 0, 0, time.UTC), 2026)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", refused, err)
	}
	two, err := parser.Parse(text, time.Date(2005, 2, 2, 0, 0, 0, 0, time.UTC), 2026)
	if err != nil || !one.Time.Equal(two.Time) {
		return time.Time{}, refused
	}
	if one.Aware {
		return within(one.Instant(), text)
	}
	t := one.Time
	return within(time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), p.zone), text)
}
