package template

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var values = Values{
	Offset: map[string]string{"timestamp": "2020-05-12T10:03:04.005Z", "key": "a b/&", "x": "1", "empty": "", "odd name": "odd"},
	Var:    map[string]string{"platform": "kr"},
}

func TestFill(t *testing.T) {
	for situation, c := range map[string]struct{ template, want string }{
		"no interpolation":             {"https://h/a?b=c#d $ { } <b> # $x", "https://h/a?b=c#d $ { } <b> # $x"},
		"empty":                        {"", ""},
		"an offset property":           {"after=${offset.x}&", "after=1&"},
		"a bare one":                   {"${ x }${x}", "11"},
		"in brackets":                  {`${offset["odd name"]}${var['platform']}`, "oddkr"},
		"a request variable":           {"https://${var.platform}.api/", "https://kr.api/"},
		"a text":                       {`${"a}b"}${'c"\'d\n'}`, "a}bc\"'d\n"},
		"a number":                     {"${12}", "12"},
		"a default that is not needed": {`${x!"d"}`, "1"},
		"a default that is":            {`${offset.y!"d"}`, "d"},
		"a default of nothing":         {"[${offset.y!}]", "[]"},
		"a default of a default":       {`${offset.y!offset.z!"e"}`, "e"},
		"an empty value is no default": {`[${empty!"d"}]`, "[]"},
		"the default takes the rest":   {`${key!"a b"?url}`, "a b/&"},
		"unless parenthesised":         {`${(key!"a b")?url}`, "a%20b%2F%26"},
		"percent-encoded":              {"${offset.key?url}", "a%20b%2F%26"},
		"a date in milliseconds":       {"[${offset.timestamp?datetime.iso?long}]", "[1589277784005]"},
		"castorm's Jira example":       {`updated>="${offset.timestamp?datetime.iso?string['yyyy/MM/dd HH:mm']}"`, `updated>="2020/05/12 10:03"`},
		"a pattern with quotes":        {`${timestamp?datetime.iso?string("yyyy-MM-dd'T'HH:mm:ss.SSS'Z' '' ''")}`, "2020-05-12T10:03:04.005Z ' '"},
		"month and day by name":        {`${timestamp?datetime.iso?string("EEE EEEE d MMM MMMM yy h a k K D u Z z X")}`, "Tue Tuesday 12 May May 20 10 AM 10 10 133 2 +0000 UTC Z"},
		"a date as ISO 8601":           {"${timestamp?datetime.iso?string.iso}", "2020-05-12T10:03:04.005Z"},
		"a text as a text":             {"${x?string}", "1"},
		"an encoded date":              {`${timestamp?datetime.iso?string("HH:mm")?url}`, "10%3A03"},
		"a default date":               {`${(offset.y!"2020-01-01T00:00:00Z")?datetime.iso?long}`, "1577836800000"},
	} {
		parsed, err := Parse(c.template, true)
		if err != nil {
			t.Errorf("%s: %v", situation, err)
			continue
		}
		if got, err := parsed.Fill(values); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", situation, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for template, says := range map[string]string{
		"${offset.timestamp?datetime.iso}":    "?long",
		"${offset.timestamp?datetime}":        "datetime.iso",
		"${offset.x?upper_case}":              "?upper_case",
		"${offset.x?long}":                    "?datetime.iso?long",
		"${offset.x + 1}":                     "at +",
		"${offset.x":                          "missing",
		"${}":                                 "empty",
		"${offset}":                           "no name",
		"${offset.}":                          "no name",
		"${other.x}":                          "only offset",
		`${"${x}"}`:                           "inside a text",
		`${"x`:                                "nothing closes",
		`${"\q"}`:                             "escape",
		"${(x}":                               "nothing closes",
		"${x!\"d\")}":                         "at )",
		"${.now}":                             "at .",
		"#{x}":                                "numeric",
		"<#if x>":                             "directives",
		"</@x>":                               "directives",
		`${x?string("yyyy")}`:                 "no date",
		`${x?datetime.iso?string("yyyy Q")}`:  "letter",
		`${x?datetime.iso?string("'")}`:       "quote",
		`${x?datetime.iso?string}`:            "pattern",
		`${x?datetime.iso?string.short}`:      "?string.iso",
		`${x?datetime.iso?url}`:               "date",
		`${x?url("UTF-16")}`:                  "argument",
		`${x?datetime.iso!"d"}`:               "default",
		"${" + strings.Repeat("(", 50) + "x":  "deep",
		"${x?datetime.iso?datetime.iso?long}": "no text",
		"${offset[x]}":                        "quoted",
		`${offset["x"}`:                       "nothing closes",
		"${x?}":                               "no name",
		"${x!(offset.y?datetime.iso)}":        "date",
		`${x?datetime.iso?string("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")}`: "letter",
	} {
		_, err := Parse(template, true)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q in it", template, err, says)
		}
	}
	if _, err := Parse("${x}", false); err == nil || !strings.Contains(err.Error(), "offset.x") {
		t.Errorf("a bare name is taken: %v", err)
	}
}

func TestMissingValuesAndMisfits(t *testing.T) {
	parsed, err := Parse(`a${offset.nowhere}`, true)
	if err != nil {
		t.Fatal(err)
	}
	var missing *MissingError
	if _, err := parsed.Fill(values); !errors.As(err, &missing) || missing.Name != "offset.nowhere" {
		t.Errorf("%v", err)
	}
	parsed, err = Parse(`${x?datetime.iso?long}`, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.Fill(values); !errors.Is(err, ErrValue) {
		t.Errorf("%v", err)
	}
}

func TestNames(t *testing.T) {
	parsed, err := Parse(`${x!"d"}${var.platform}${offset.x}${var.q!offset.r!}${"c"}`, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range parsed.Names() {
		text := n.String()
		if n.Optional {
			text += "?"
		}
		got = append(got, text)
	}
	if want := "offset.x var.platform var.q? offset.r?"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if parsed.IsLiteral() {
		t.Error("it is no literal")
	}
	if parsed, _ := Parse(`a${"b"}c`, true); !parsed.IsLiteral() {
		t.Error("a text is a literal")
	}
}

func TestEscape(t *testing.T) {
	for _, text := range []string{"", "plain", "RGAPI-${x}", "$${x", "<#if>", "a#{b}c", "<@x></#x>", `"\`, "$", "#<"} {
		parsed, err := Parse(Escape(text), true)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := parsed.Fill(Values{}); err != nil || got != text || !parsed.IsLiteral() {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}

func TestISODates(t *testing.T) {
	for _, text := range []string{"2020-05-12T10:03:04.005Z", "2020-05-12T12:03:04.005+02:00", "2020-05-12T12:03:04.005+0200", "2020-05-12T10:03:04.005", "20200512T100304.005Z"} {
		got, err := parseISO(text)
		if err != nil || !got.Equal(time.Date(2020, 5, 12, 10, 3, 4, 5e6, time.UTC)) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := parseISO("12 May 2020"); !errors.Is(err, ErrValue) {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a${x}b", `${offset.timestamp?datetime.iso?string['yyyy/MM/dd HH:mm']}`, `${(x!"d")?url}`, `${"\n"}`, "<#if>", "${x!y!z}", `${var["a"]}`, "${(((x)))}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text, true)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		// All that it asks for is enough to fill it in, unless a value does not fit.
		v := Values{Offset: map[string]string{}, Var: map[string]string{}}
		for _, n := range parsed.Names() {
			if n.Optional {
				continue
			}
			if n.Space == Var {
				v.Var[n.Name] = "2020-05-12T10:03:04Z"
			} else {
				v.Offset[n.Name] = "2020-05-12T10:03:04Z"
			}
		}
		if _, err := parsed.Fill(v); err != nil && !errors.Is(err, ErrValue) {
			t.Errorf("%q asks for more than its names %v: %v", text, parsed.Names(), err)
		}
		again, err := Parse(Escape(text), true)
		if err != nil {
			t.Fatalf("%q, escaped: %v", text, err)
		}
		if got, err := again.Fill(Values{}); err != nil || got != text {
			t.Errorf("%q, escaped, is %q, %v", text, got, err)
		}
	})
}
