package timestamp

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	at := time.Date(2020, 5, 12, 10, 3, 4, 0, time.UTC)
	pattern := func(p string) Config { return Config{Class: DateTimeFormatter, Pattern: p} }
	for situation, c := range map[string]struct {
		config Config
		text   string
		want   time.Time
	}{
		"milliseconds by default":            {Config{}, "1589277784000", at},
		"before 1970":                        {Config{Class: EpochMillis}, "-1", time.UnixMilli(-1)},
		"the default pattern":                {Config{}, "2020-05-12T10:03:04Z", at},
		"with its optional part":             {Config{}, "2020-05-12T10:03:04.005Z", at.Add(5 * time.Millisecond)},
		"with a zone, as Jira writes it":     {Config{}, "2020-05-12T12:03:04.000+0200", at},
		"with hours only":                    {Config{}, "2020-05-12T07:03:04-03", at},
		"full class names":                   {Config{Class: "com.github.castorm.kafka.connect.http.response.timestamp.EpochMillisOrDelegateTimestampParser", Delegate: "com.github.castorm.kafka.connect.http.response.timestamp.NattyTimestampParser"}, "12 May 2020 10:03:04", at},
		"no zone in the text":                {Config{Class: DateTimeFormatter, Pattern: "yyyy-MM-dd HH:mm:ss", Zone: "Europe/Berlin"}, "2020-05-12 12:03:04", at},
		"in winter":                          {Config{Class: DateTimeFormatter, Pattern: "yyyy-MM-dd HH:mm:ss", Zone: "Europe/Berlin"}, "2020-01-12 11:03:04", time.Date(2020, 1, 12, 10, 3, 4, 0, time.UTC)},
		"an offset for a zone":               {Config{Class: DateTimeFormatter, Pattern: "yyyy-MM-dd HH:mm:ss", Zone: "UTC+2"}, "2020-05-12 12:03:04", at},
		"no separators":                      {pattern("yyyyMMddHHmmss"), "20200512100304", at},
		"no separators, milliseconds":        {pattern("yyyyMMddHHmmssSSS"), "20200512100304005", at.Add(5 * time.Millisecond)},
		"names, as in e-mail":                {pattern("EEE, d MMM yyyy HH:mm:ss Z"), "Tue, 12 May 2020 10:03:04 +0000", at},
		"whole names":                        {pattern("EEEE d MMMM yyyy HH:mm:ss"), "tuesday 12 MAY 2020 10:03:04", at},
		"before noon":                        {pattern("M/d/yy h:mm:ss a"), "5/12/20 10:03:04 AM", at},
		"after noon":                         {pattern("M/d/yy h:mm:ss a"), "5/12/20 12:03:04 pm", at.Add(2 * time.Hour)},
		"midnight of twelve hours":           {pattern("M/d/yy h:mm:ss a"), "5/12/20 12:03:04 AM", at.Add(-10 * time.Hour)},
		"a region in the text":               {pattern("yyyy-MM-dd HH:mm:ss VV"), "2020-05-12 12:03:04 Europe/Berlin", at},
		"a zone's name":                      {pattern("yyyy-MM-dd HH:mm:ss z"), "2020-05-12 06:03:04 EDT", at},
		"a day of the year":                  {pattern("uuuu-DDD HH:mm:ss"), "2020-133 10:03:04", at},
		"quotes":                             {pattern("yyyy'y'MM''dd HH:mm:ss"), "2020y05'12 10:03:04", at},
		"optional parts, nested and missing": {pattern("yyyy-MM-dd[ HH:mm[:ss]]"), "2020-05-12", time.Date(2020, 5, 12, 0, 0, 0, 0, time.UTC)},
		"optional parts, one of them":        {pattern("yyyy-MM-dd[ HH:mm[:ss]]"), "2020-05-12 10:03", at.Add(-4 * time.Second)},
		"an hour of 24":                      {pattern("yyyy-MM-dd kk:mm:ss"), "2020-05-12 24:03:04", at.Add(-10 * time.Hour)},
		"milliseconds of the day":            {pattern("yyyy-MM-dd A"), "2020-05-12 36184000", at},
		"a leap day":                         {pattern("yyyy-MM-dd"), "2020-02-29", time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC)},
		"what an expression cuts out":        {Config{Class: Regex, Regex: `\((\d+)\)`, RegexDelegate: EpochMillis}, "/Date(1589277784000)/", at},
		"what it hands to the default":       {Config{Class: Regex, Regex: `at (\S+)`}, "seen at 2020-05-12T10:03:04Z by us", at},
		"Natty's Java date":                  {Config{Class: Natty}, "Tue May 12 10:03:04 UTC 2020", at},
		"Natty's ISO date":                   {Config{Class: Natty}, "2020-05-12T12:03:04+02:00", at},
		"Natty's American date":              {Config{Class: Natty}, "5/12/2020 10:03:04", at},
		"Natty's words":                      {Config{Class: Natty}, "May 12th, 2020 at 10:03:04 AM", at},
		"Natty's date by itself":             {Config{Class: Natty}, "12 May 2020", time.Date(2020, 5, 12, 0, 0, 0, 0, time.UTC)},
		"Natty in a zone":                    {Config{Class: Natty, Zone: "Asia/Seoul"}, "2020-05-12 19:03:04", at},
	} {
		p, err := New(c.config)
		if err != nil {
			t.Errorf("%s: %v", situation, err)
			continue
		}
		if got, err := p.Parse(c.text); err != nil || !got.Equal(c.want) {
			t.Errorf("%s: %s is %v, %v, want %v", situation, c.text, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for situation, c := range map[string]struct {
		config Config
		text   string
	}{
		"nothing":                     {Config{}, ""},
		"a word":                      {Config{}, "yesterday"},
		"more than the pattern":       {Config{}, "2020-05-12T10:03:04Z."},
		"less than the pattern":       {Config{}, "2020-05-12T10:03Z"},
		"a month too many":            {Config{}, "2020-13-12T10:03:04Z"},
		"a day too many":              {Config{}, "2021-02-29T10:03:04Z"},
		"an hour too many":            {Config{}, "2020-05-12T24:03:04Z"},
		"a second too many":           {Config{}, "2020-05-12T10:03:60Z"},
		"a fraction that is longer":   {Config{}, "2020-05-12T10:03:04.005006Z"},
		"an offset out of the world":  {Config{}, "2020-05-12T10:03:04+99:00"},
		"a number with a fraction":    {Config{Class: EpochMillis}, "1589277784000.5"},
		"a year of six digits":        {Config{}, "999999999999999999"},
		"an expression without a hit": {Config{Class: Regex, Regex: "x(.)"}, "y"},
		"an unknown zone":             {Config{Class: DateTimeFormatter, Pattern: "yyyy-MM-dd VV"}, "2020-05-12 Here/There"},
		"thirteen o'clock of twelve":  {Config{Class: DateTimeFormatter, Pattern: "yyyy-MM-dd h a"}, "2020-05-12 13 AM"},
		"a day of the year too many":  {Config{Class: DateTimeFormatter, Pattern: "yyyy-DDD"}, "2021-366"},
		"Natty: relative to now":      {Config{Class: Natty}, "two hours ago"},
		"Natty: without a year":       {Config{Class: Natty}, "May 12"},
		"Natty: a time alone":         {Config{Class: Natty}, "10:03"},
		"Natty: a weekday":            {Config{Class: Natty}, "Tuesday"},
		"Natty: nothing":              {Config{Class: Natty}, " "},
		"Natty: a long text":          {Config{Class: Natty}, strings.Repeat("1 ", 100)},
	} {
		p, err := New(c.config)
		if err != nil {
			t.Errorf("%s: %v", situation, err)
			continue
		}
		if got, err := p.Parse(c.text); !errors.Is(err, ErrTimestamp) {
			t.Errorf("%s: %s is %v, %v", situation, c.text, got, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for situation, c := range map[string]struct {
		config  Config
		setting Setting
	}{
		"another class":                {Config{Class: "com.example.Own"}, ClassSetting},
		"another delegate":             {Config{Delegate: "Own"}, DelegateSetting},
		"a delegate that is itself":    {Config{Delegate: EpochMillisOrDelegate}, DelegateSetting},
		"two that are each other's":    {Config{Class: Regex, Regex: "(.)", RegexDelegate: EpochMillisOrDelegate, Delegate: Regex}, RegexDelegateSetting},
		"a letter of Java's":           {Config{Pattern: "yyyy-MM-dd Q"}, PatternSetting},
		"a pattern without a day":      {Config{Pattern: "yyyy-MM HH:mm"}, PatternSetting},
		"twelve hours without noon":    {Config{Pattern: "yyyy-MM-dd hh:mm"}, PatternSetting},
		"an open quote":                {Config{Pattern: "yyyy-MM-dd'T"}, PatternSetting},
		"a section that nothing opens": {Config{Pattern: "yyyy-MM-dd]"}, PatternSetting},
		"a reserved character":         {Config{Pattern: "yyyy-MM-dd{"}, PatternSetting},
		"too many letters":             {Config{Pattern: "yyyy-MM-ddd"}, PatternSetting},
		"a zone that is none":          {Config{Zone: "Mars/Olympus"}, ZoneSetting},
		"the machine's zone":           {Config{Zone: "Local"}, ZoneSetting},
		"Natty in no zone":             {Config{Class: Natty, Zone: "?"}, ZoneSetting},
		"an expression without groups": {Config{Class: Regex}, RegexSetting},
		"an expression of Java's":      {Config{Class: Regex, Regex: "(?=x)(.)"}, RegexSetting},
	} {
		_, err := New(c.config)
		var bad *ConfigError
		if !errors.As(err, &bad) || bad.Setting != c.setting || bad.Reason == "" {
			t.Errorf("%s: %v", situation, err)
		}
	}
}

func FuzzTimestamps(f *testing.F) {
	for _, text := range []string{"", "1589277784000", "2020-05-12T10:03:04.005Z", "12 May 2020 10:03:04 PM", "2020-02-30T25:61:61+99", "99999999999999999999", "Tue, 12 May 2020", "\xff", "2020-05-12T10:03:04+02:00:00"} {
		f.Add(text, DefaultPattern)
		f.Add(text, "EEE, d MMM yyyy[ HH:mm[:ss[.SSS]]][ z]")
		f.Add(text, "yyyyMMddHHmmssSSS")
	}
	fixed := []Parser{Default()}
	for _, class := range []string{EpochMillis, Natty} {
		p, err := New(Config{Class: class})
		if err != nil {
			f.Fatal(err)
		}
		fixed = append(fixed, p)
	}
	f.Fuzz(func(t *testing.T, text, pattern string) {
		parsers := fixed
		if p, err := New(Config{Class: DateTimeFormatter, Pattern: pattern}); err == nil {
			parsers = append(parsers[:len(parsers):len(parsers)], p)
		} else if bad := (*ConfigError)(nil); !errors.As(err, &bad) {
			t.Errorf("pattern %q: %v", pattern, err)
		}
		for _, p := range parsers {
			got, err := p.Parse(text)
			if err != nil {
				if !errors.Is(err, ErrTimestamp) {
					t.Errorf("%T of %q: %v", p, text, err)
				}
				continue
			}
			again, err := p.Parse(text)
			if err != nil || !again.Equal(got) {
				t.Errorf("%T of %q: %v and then %v, %v", p, text, got, again, err)
			}
			// What is written into a source offset object comes back.
			if back, err := time.Parse(time.RFC3339Nano, got.Format(time.RFC3339Nano)); err != nil || !back.Equal(got) {
				t.Errorf("%T of %q: %v comes back as %v, %v", p, text, got, back, err)
			}
		}
	})
}
