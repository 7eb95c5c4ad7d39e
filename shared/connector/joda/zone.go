package joda

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrZone says that a text is no id of a time zone.
var ErrZone = errors.New("not a time zone")

var fixedOffset = regexp.MustCompile(`^([+-])(\d\d)(?::([0-5]\d)(?::([0-5]\d))?)?$`)

// Zone finds a time zone by an id that Joda-Time knows: one of the IANA time zone database ("Europe/Berlin"), "UTC", or
// an offset ("+01:00"). ErrZone.
func Zone(id string) (*time.Location, error) {
	if id == "UTC" {
		return time.UTC, nil
	}
	if m := fixedOffset.FindStringSubmatch(id); m != nil {
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi("0" + m[3])
		seconds, _ := strconv.Atoi("0" + m[4])
		all := hours*3600 + minutes*60 + seconds
		switch {
		case hours > 23:
			return nil, fmt.Errorf("%w: %q", ErrZone, id)
		case all == 0:
			return time.UTC, nil
		case m[1] == "-":
			all = -all
		}
		return time.FixedZone(id, all), nil
	}
	// Go takes the empty name for UTC and "Local" for that of the machine; Joda-Time takes neither.
	if strings.TrimSpace(id) == "" || id == "Local" {
		return nil, fmt.Errorf("%w: %q", ErrZone, id)
	}
	zone, err := time.LoadLocation(id)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrZone, id)
	}
	return zone, nil
}

// Truncate returns the instant at which the piece of length duration begins that an instant is in. Pieces begin at
// multiples of duration in the zone's local time; both in milliseconds, and duration is above 0.
//
// Where the clock is set back, the same local time comes twice and is one piece.
func Truncate(millis, duration int64, zone *time.Location) int64 {
	local := millis + offsetAt(millis, zone)
	return toUTC(local/duration*duration, zone)
}

// toUTC returns the instant of a local time, as Joda-Time's DateTimeZone.convertLocalToUTC does when it is not strict:
// of a local time that comes twice one of both, and for one that never comes, an instant beside the gap.
func toUTC(local int64, zone *time.Location) int64 {
	first := offsetAt(local, zone)
	second := offsetAt(local-first, zone)
	if first != second && first < 0 && nextTransition(local-first, zone) != nextTransition(local-second, zone) {
		second = first
	}
	return local - second
}

// offsetAt is what is to be added to UTC at an instant, in milliseconds.
func offsetAt(millis int64, zone *time.Location) int64 {
	_, seconds := time.UnixMilli(millis).In(zone).Zone()
	return int64(seconds) * 1000
}

// nextTransition is when the zone's offset changes next; 0 for never.
func nextTransition(millis int64, zone *time.Location) int64 {
	_, end := time.UnixMilli(millis).In(zone).ZoneBounds()
	// One beyond all numbers would wrap around, and who looks for it would go back to it for ever.
	if end.IsZero() || end.UnixMilli() <= millis {
		return 0
	}
	return end.UnixMilli()
}

// Next returns the first instant after millis that is a multiple of period milliseconds after midnight in the zone; the
// next midnight at the latest. Times are counted as they pass, so a day of 23 hours has fewer.
func Next(millis, period int64, zone *time.Location) int64 {
	t := time.UnixMilli(millis).In(zone)
	start := startOfDay(t.Year(), t.Month(), t.Day(), zone)
	end := startOfDay(t.Year(), t.Month(), t.Day()+1, zone)
	next := ((millis-start)/period + 1) * period
	// A period that reaches past all numbers reaches past midnight.
	if next <= 0 {
		return end
	}
	return start + min(next, end-start)
}

// startOfDay is the first instant of a day: midnight, the first of two, or the end of the gap that midnight falls into.
func startOfDay(year int, month time.Month, day int, zone *time.Location) int64 {
	local := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).UnixMilli()
	// No offset is as long as this, so it is the day before.
	at := local - 26*hour
	for {
		end := nextTransition(at, zone)
		found := max(at, local-offsetAt(at, zone))
		if end == 0 || found < end {
			return found
		}
		at = end
	}
}
