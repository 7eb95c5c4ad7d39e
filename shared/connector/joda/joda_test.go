package joda

import (
	"errors"
	"math"
	"testing"
	"time"
	_ "time/tzdata"
)

func zone(t testing.TB, id string) *time.Location {
	t.Helper()
	z, err := Zone(id)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func at(t testing.TB, text string) int64 {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return v.UnixMilli()
}

func TestPatterns(t *testing.T) {
	tests := []struct{ pattern, at, zone, want string }{
		{"'year'=YYYY/'month'=MM/'day'=dd", "2026-03-07T08:05:09.043Z", "UTC", "year=2026/month=03/day=07"},
		{"'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", "2026-03-07T08:05:09.043Z", "UTC", "year=2026/month=03/day=07/hour=08"},
		{"YYYY-MM-dd'T'HH:mm:ss.SSSZ", "2026-03-07T08:05:09.043Z", "UTC", "2026-03-07T08:05:09.043+0000"},
		{"y yy yyy yyyy yyyyyy", "2026-03-07T00:00:00Z", "UTC", "2026 26 2026 2026 002026"},
		{"Y YY YYYYY", "2005-03-07T00:00:00Z", "UTC", "2005 05 02005"},
		{"C CCC", "2005-03-07T00:00:00Z", "UTC", "20 020"},
		{"M MM MMM MMMM d ddd", "2026-09-07T00:00:00Z", "UTC", "9 09 Sep September 7 007"},
		{"E EEE EEEE e", "2026-03-08T00:00:00Z", "UTC", "Sun Sun Sunday 7"},
		{"e", "2026-03-09T00:00:00Z", "UTC", "1"},
		{"xxxx-'W'ww", "2027-01-01T00:00:00Z", "UTC", "2026-W53"},
		{"xx w", "2026-01-05T00:00:00Z", "UTC", "26 2"},
		{"D DDD", "2026-02-01T00:00:00Z", "UTC", "32 032"},
		{"H k K h a", "2026-02-01T00:30:00Z", "UTC", "0 24 0 12 AM"},
		{"H k K h a", "2026-02-01T12:30:00Z", "UTC", "12 12 0 12 PM"},
		{"HH kk KK hh a", "2026-02-01T23:30:00Z", "UTC", "23 23 11 11 PM"},
		{"S SS SSS SSSSSS", "2026-02-01T00:00:00.987Z", "UTC", "9 98 987 987000"},
		{"Z ZZ", "2026-07-01T00:00:00Z", "Asia/Kolkata", "+0530 +05:30"},
		{"Z ZZ", "2026-07-01T00:00:00Z", "-03:30", "-0330 -03:30"},
		{"G", "2026-07-01T00:00:00Z", "UTC", "AD"},
		{"''yyyy'o''clock'", "2026-07-01T00:00:00Z", "UTC", "'2026o'clock"},
		{"yyyy'open", "2026-07-01T00:00:00Z", "UTC", "2026open"},
		{"ü=yyyy", "2026-07-01T00:00:00Z", "UTC", "ü=2026"},
		{"YYYYMMddHH", "2026-01-01T02:00:00Z", "America/Los_Angeles", "2025123118"},
		{"YYYY-MM-dd", "1969-12-31T23:59:59.999Z", "UTC", "1969-12-31"},
		{"YYYY", "12026-01-01T00:00:00Z", "UTC", "12026"},
	}
	for _, tt := range tests {
		f, err := Compile(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		millis := time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		if tt.at != "12026-01-01T00:00:00Z" {
			millis = at(t, tt.at)
		}
		if got := string(f.Append(nil, millis, zone(t, tt.zone))); got != tt.want {
			t.Errorf("%s at %s: %q, want %q", tt.pattern, tt.at, got, tt.want)
		}
	}
}

func TestYearsBeforeChrist(t *testing.T) {
	millis := time.Date(-43, 3, 15, 0, 0, 0, 0, time.UTC).UnixMilli()
	f, err := Compile("YYYY yyyy yy G C")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.Append(nil, millis, time.UTC)); got != "0043 -0043 43 BC 0" {
		t.Error(got)
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	for _, pattern := range []string{"", "YYYY/MM/ddTHH", "year=YYYY", "z", "zzzz", "ZZZ", "b", "YYYYYYYYYY", "'day' o"} {
		if f, err := Compile(pattern); !errors.Is(err, ErrPattern) {
			t.Errorf("%q: %+v, %v", pattern, f, err)
		}
	}
}

func TestWords(t *testing.T) {
	for pattern, want := range map[string]bool{
		"YYYY/MM/dd/HH": false, "'MMM'": false, "Z": false, "MMM": true, "E": true, "a": true, "G": true, "HH'h'": false,
	} {
		f, err := Compile(pattern)
		if err != nil || f.Words() != want {
			t.Errorf("%s: %v, %v", pattern, f, err)
		}
	}
}

func TestZones(t *testing.T) {
	for id, want := range map[string]int64{
		"UTC": 0, "+00:00": 0, "Europe/Berlin": 2 * hour, "America/Los_Angeles": -7 * hour, "+01:00": hour, "-09:30": -9*hour - 30*minute, "+02": 2 * hour,
		"+01:00:30": hour + 30*second, "Asia/Kathmandu": 5*hour + 45*minute, "EST": -5 * hour, "Etc/GMT+5": -5 * hour,
	} {
		if got := offsetAt(at(t, "2026-07-01T00:00:00Z"), zone(t, id)); got != want {
			t.Errorf("%s: %d, want %d", id, got, want)
		}
	}
	for _, id := range []string{"", " ", "Local", "Berlin", "europe/berlin", "UTC+1", "+1:00", "+25:00", "+01:60", "../etc/passwd", "/etc/localtime"} {
		if z, err := Zone(id); !errors.Is(err, ErrZone) {
			t.Errorf("%q: %v, %v", id, z, err)
		}
	}
}

// TestTruncateOverDaylightSaving: the hour that comes twice is one piece, and the day of 23 or 25 hours is one.
func TestTruncateOverDaylightSaving(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	tests := []struct {
		name, zone, at string
		duration       int64
		want           string
	}{
		{"a half hour zone", "Asia/Kolkata", "2026-01-01T00:29:59Z", hour, "2025-12-31T23:30:00Z"},
		{"before the spring change", "Europe/Berlin", "2026-03-29T00:59:59Z", hour, "2026-03-29T00:00:00Z"},
		{"after the spring change", "Europe/Berlin", "2026-03-29T01:00:00Z", hour, "2026-03-29T01:00:00Z"},
		{"the first two o'clock in autumn", "Europe/Berlin", "2026-10-25T00:30:00Z", hour, "2026-10-25T01:00:00Z"},
		{"the second two o'clock in autumn", "Europe/Berlin", "2026-10-25T01:30:00Z", hour, "2026-10-25T01:00:00Z"},
		{"after the autumn change", "Europe/Berlin", "2026-10-25T02:10:00Z", hour, "2026-10-25T02:00:00Z"},
		{"the first one o'clock in New York", "America/New_York", "2026-11-01T05:30:00Z", hour, "2026-11-01T05:00:00Z"},
		{"the second one o'clock in New York", "America/New_York", "2026-11-01T06:30:00Z", hour, "2026-11-01T05:00:00Z"},
		{"a short day", "Europe/Berlin", "2026-03-29T20:00:00Z", day, "2026-03-28T23:00:00Z"},
		{"a long day", "Europe/Berlin", "2026-10-25T20:00:00Z", day, "2026-10-24T22:00:00Z"},
		{"before 1970 it is cut towards 1970", "UTC", "1969-12-31T23:30:00Z", hour, "1970-01-01T00:00:00Z"},
		{"one millisecond", "UTC", "2026-03-29T00:59:59.123Z", 1, "2026-03-29T00:59:59.123Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Truncate(at(t, tt.at), tt.duration, zone(t, tt.zone))
			if want := at(t, tt.want); got != want {
				t.Errorf("%s, want %s", time.UnixMilli(got).UTC(), tt.want)
			}
		})
	}
}

func TestNextIsAlignedToMidnight(t *testing.T) {
	tests := []struct {
		name, zone, at string
		period         int64
		want           string
	}{
		{"every ten minutes", "UTC", "2026-01-01T10:03:00Z", 10 * minute, "2026-01-01T10:10:00Z"},
		{"at a boundary the next one", "UTC", "2026-01-01T10:10:00Z", 10 * minute, "2026-01-01T10:20:00Z"},
		{"seven hours do not fill the day", "UTC", "2026-01-01T22:00:00Z", 7 * hour, "2026-01-02T00:00:00Z"},
		{"longer than a day", "UTC", "2026-01-01T22:00:00Z", 48 * hour, "2026-01-02T00:00:00Z"},
		{"longer than all time", "UTC", "2026-01-01T22:00:00Z", 1<<63 - 1, "2026-01-02T00:00:00Z"},
		{"local midnight", "Europe/Berlin", "2026-07-01T20:00:00Z", 24 * hour, "2026-07-01T22:00:00Z"},
		{"a short day", "Europe/Berlin", "2026-03-29T10:00:00Z", 24 * hour, "2026-03-29T22:00:00Z"},
		{"six hours after midnight on a short day", "Europe/Berlin", "2026-03-29T00:00:00Z", 6 * hour, "2026-03-29T05:00:00Z"},
		{"a long day", "Europe/Berlin", "2026-10-25T21:30:00Z", 12 * hour, "2026-10-25T22:00:00Z"},
		{"the end of a long day", "Europe/Berlin", "2026-10-25T22:30:00Z", 24 * hour, "2026-10-25T23:00:00Z"},
		{"midnight that does not come", "America/Sao_Paulo", "2017-10-15T10:00:00Z", hour, "2017-10-15T11:00:00Z"},
		{"midnight that comes twice", "America/Havana", "2026-11-01T10:00:00Z", 24 * hour, "2026-11-02T04:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Next(at(t, tt.at), tt.period, zone(t, tt.zone))
			if want := at(t, tt.want); got != want {
				t.Errorf("%s, want %s", time.UnixMilli(got).UTC(), tt.want)
			}
		})
	}
}

// TestTheEndOfTime: a transition beyond the last millisecond that is counted is none.
func TestTheEndOfTime(t *testing.T) {
	for _, millis := range []int64{math.MaxInt64 - 48*hour, math.MaxInt64 - 24*hour, math.MaxInt64 - 400*24*hour} {
		for _, id := range []string{"Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Tokyo"} {
			if end := nextTransition(millis, zone(t, id)); end != 0 && end <= millis {
				t.Fatalf("%s: the offset changes at %d, before %d", id, end, millis)
			}
			if next := Next(millis, hour, zone(t, id)); next <= millis {
				t.Errorf("%s: %d comes after %d", id, next, millis)
			}
		}
	}
}

func TestStartOfDay(t *testing.T) {
	for _, c := range []struct{ zone, day, want string }{
		{"America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00:00Z"},
		{"America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"},
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"},
		{"Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z"},
	} {
		d, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		if got := startOfDay(d.Year(), d.Month(), d.Day(), zone(t, c.zone)); got != at(t, c.want) {
			t.Errorf("%s in %s: %s", c.day, c.zone, time.UnixMilli(got).UTC())
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"2026-03-07T08:05:09.043Z":          "2026-03-07T08:05:09.043Z",
		"2026-03-07t08:05:09,5z":            "2026-03-07T08:05:09.5Z",
		"2026-03-07T08:05:09.0439999+01:00": "2026-03-07T07:05:09.043Z",
		"2026-03-07T08:05:09-0330":          "2026-03-07T11:35:09Z",
		"2026-03-07T08:05:09+01":            "2026-03-07T07:05:09Z",
		"2026-03-07T08:05":                  "2026-03-07T08:05:00Z",
		"2026-03-07T08.5":                   "2026-03-07T08:30:00Z",
		"2026-03-07T08:30.25":               "2026-03-07T08:30:15Z",
		"2026-03-07T":                       "2026-03-07T00:00:00Z",
		"2026-03-07T+02:00":                 "2026-03-06T22:00:00Z",
		"2026-03-07":                        "2026-03-07T00:00:00Z",
		"2026-3-7":                          "2026-03-07T00:00:00Z",
		"2026-03":                           "2026-03-01T00:00:00Z",
		"2026-066":                          "2026-03-07T00:00:00Z",
		"2026-W10-6":                        "2026-03-07T00:00:00Z",
		"2026-W10":                          "2026-03-02T00:00:00Z",
		"T01:00":                            "1970-01-01T01:00:00Z",
		"1772870709043":                     "2026-03-07T08:05:09.043Z",
		"2026":                              "1970-01-01T00:00:02.026Z",
		"-1":                                "1969-12-31T23:59:59.999Z",
	} {
		got, err := Parse([]byte(text))
		if err != nil || got != at(t, want) {
			t.Errorf("%s: %s, %v; want %s", text, time.UnixMilli(got).UTC().Format(time.RFC3339Nano), err, want)
		}
	}
	for _, text := range []string{
		"", " ", "x", "2026-13-01", "2026-02-30", "2026-02-00", "2026-000", "2025-366", "2026-W54", "2026-W53-8", "2026-03-07 08:05", "2026-03-07T24:00",
		"2026-03-07T08:60", "2026-03-07T08:05:60", "2026-03-07T08:05:09.", "2026-03-07T08:05:09Zx", "2026-03-07T08:05:09+1", "2026-03-07T08:05:09+24:00",
		"2026-03-07T08:05:09+01:6", "99999999999999999999", "-", "Sat, 07 Mar 2026", "2026-03-07T08:05:09+01:00:00.5", "12345678901-01-01",
	} {
		if got, err := Parse([]byte(text)); !errors.Is(err, ErrTime) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("'year'=YYYY/'month'=MM", int64(0))
	f.Add("''E a G xx SSSSSSSSS Z", int64(-1))
	f.Fuzz(func(t *testing.T, pattern string, millis int64) {
		c, err := Compile(pattern)
		if err != nil {
			return
		}
		if again := string(c.Append(nil, millis, time.UTC)); again != string(c.Append(nil, millis, time.UTC)) {
			t.Fatal(again)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("2026-03-07T08:05:09.0439999+01:00"))
	f.Add([]byte("2026-W10-6"))
	f.Add([]byte("-1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Parse(text)
		if want, strict := time.Parse(time.RFC3339, string(text)); strict == nil && want.Year() > 0 && (err != nil || got != want.UnixMilli()) {
			t.Fatalf("%q: %d, %v; want %d", text, got, err, want.UnixMilli())
		}
	})
}
