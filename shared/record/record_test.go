package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func parse(t *testing.T, text string) Value {
	t.Helper()
	v, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return v
}

func TestParseKeepsOrderAndLiterals(t *testing.T) {
	const text = `{"tier":"MASTER","n":1.0,"big":123456789012345678901234567890,"e":1e3,"on":true,"none":null,"list":[1,"two",[],{}],"a":{"z":1,"b":2},"emoji":"á😀"}`
	v := parse(t, text)
	if got := string(AppendJSON(nil, &v)); got != text {
		t.Errorf("AppendJSON gives\n%s\nwant\n%s", got, text)
	}
	spaced := parse(t, " \n{ \"a\" :\t[ 1 , 2 ] ,\r\n\"b\" : { } } \n")
	if got := string(AppendJSON(nil, &spaced)); got != `{"a":[1,2],"b":{}}` {
		t.Errorf("AppendJSON of a spaced text gives %s", got)
	}
}

func TestParseDecodesEscapes(t *testing.T) {
	v := parse(t, `{"\u006eame":"a\"\\\/\n\u00e9\ud83d\ude00"}`)
	if len(v.Fields) != 1 || v.Fields[0].Name != "name" || v.Fields[0].Value.Text != "a\"\\/\né😀" {
		t.Errorf("got %+v", v)
	}
}

func TestParseRepeatedNames(t *testing.T) {
	v := parse(t, `{"a":1,"b":2,"a":3}`)
	if got := string(AppendJSON(nil, &v)); got != `{"a":3,"b":2}` {
		t.Errorf("got %s", got)
	}
	var text strings.Builder
	text.WriteByte('{')
	for range 3 {
		for _, c := range "abcdefghijklmnopqrstuvwxyz" {
			text.WriteString(`"` + string(c) + `":1,`)
		}
	}
	text.WriteString(`"a":2}`)
	v = parse(t, text.String())
	if len(v.Fields) != 26 || v.Fields[0].Value.Text != "2" {
		t.Errorf("%d fields, the first is %+v", len(v.Fields), v.Fields[0])
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"white space only":    "  \n",
		"HTML":                "<html><body>502</body></html>",
		"cut off":             `{"entries":[{"a":1},`,
		"cut off in a string": `{"a":"b`,
		"two values":          `{} {}`,
		"trailing comma":      `[1,]`,
		"invalid UTF-8":       "\"a\xff\"",
		"half a surrogate":    `"\ud800"`,
		"leading zero":        `01`,
		"NaN":                 `NaN`,
		"too deep":            strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
		"deep and cut off":    strings.Repeat("[", 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			if v, err := Parse([]byte(text)); !errors.Is(err, ErrSyntax) {
				t.Errorf("got %+v, %v", v, err)
			} else if len(err.Error()) > 200 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
		})
	}
	if _, err := Parse([]byte(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))); err != nil {
		t.Errorf("as deep as allowed: %v", err)
	}
}

func TestAt(t *testing.T) {
	v := parse(t, `{"":"empty","a":{"b":[10,{"c":"deep"}]},"a/b":"slash","m~n":"tilde","~1":"both","0":"name"}`)
	for pointer, want := range map[string]string{
		"/a/b/0": "10", "/a/b/1/c": "deep", "/a~1b": "slash", "/m~0n": "tilde", "/~01": "both", "/0": "name", "/m~n": "tilde",
	} {
		got, ok := v.At(pointer)
		if !ok || got.Text != want {
			t.Errorf("At(%q) = %+v, %v; want %q", pointer, got, ok, want)
		}
	}
	for _, pointer := range []string{"a", "/b", "/a/b/2", "/a/b/-", "/a/b/00", "/a/b/01", "/a/b/x", "/a/b/0/c", "/a/b/99999999999999999999", "//"} {
		if got, ok := v.At(pointer); ok {
			t.Errorf("At(%q) finds %+v", pointer, got)
		}
	}
	for _, pointer := range []string{"", "/"} {
		if got, ok := v.At(pointer); !ok || got != &v {
			t.Errorf("At(%q) is not the root", pointer)
		}
	}
	if got := Tokens("/a~1b/m~0n/"); len(got) != 3 || got[0] != "a/b" || got[1] != "m~n" || got[2] != "" {
		t.Errorf("Tokens gives %q", got)
	}
}

// The expected texts are Java's: JsonNodeFactory's numbers printed by Double.toString and BigInteger.toString.
func TestAsText(t *testing.T) {
	for literal, want := range map[string]string{
		`"a b"`: "a b", `""`: "", `true`: "true", `false`: "false", `null`: "null", `[1]`: "", `{"a":1}`: "",
		`0`: "0", `-0`: "0", `42`: "42", `-7`: "-7", `123456789012345678901234567890`: "123456789012345678901234567890",
		`1.0`: "1.0", `1.10`: "1.1", `1e3`: "1000.0", `-0.0`: "-0.0", `0.001`: "0.001", `0.00123`: "0.00123", `1E-4`: "1.0E-4",
		`9999999.5`: "9999999.5", `1e7`: "1.0E7", `12345678.9`: "1.23456789E7", `1.5e-10`: "1.5E-10", `1e999`: "Infinity", `-1e999`: "-Infinity",
		`24.805309734513273`: "24.805309734513273", `100.25`: "100.25",
	} {
		v := parse(t, literal)
		if got := v.AsText(); got != want {
			t.Errorf("AsText of %s is %q, want %q", literal, got, want)
		}
	}
}

func TestCanonicalNumbers(t *testing.T) {
	for want, literals := range map[string][]string{
		"0":                      {"0", "-0", "0.0", "-0.0", "0e5", "0e999999999999999999999", "0.000e-7"},
		"1":                      {"1", "1.0", "1e0", "10e-1", "0.1e1", "1E+0", "1.000", "0.00001e5", "1e00000000000000000000"},
		"-1.5":                   {"-1.5", "-15e-1", "-1.50", "-0.15e1"},
		"100":                    {"100", "1e2", "100.0", "1.00e2"},
		"0.001":                  {"0.001", "1e-3", "0.0010", "1e-00000000000000000003"},
		"9007199254740993":       {"9007199254740993", "9007199254740993.0", "9007199254740993e0"},
		"9007199254740992":       {"9007199254740992"},
		"100000000000000000000":  {"1e20", "100000000000000000000", "100000000000000000000.0"},
		"1e21":                   {"1e21", "1000000000000000000000", "1000000000000000000000.0"},
		"1.5e30":                 {"1500000000000000000000000000000", "1.5e30", "15E+29"},
		"1e-30":                  {"0.000000000000000000000000000001", "1e-30"},
		"1e1000000000000000000":  {"1e1000000000000000000", "10e999999999999999999", "0.1e1000000000000000001"},
		"1e-1000000000000000000": {"1e-1000000000000000000", "0.1e-999999999999999999"},
		"3.14159265358979323846": {"3.14159265358979323846", "314159265358979323846e-20"},
		"1.2345678901234567890123456789": {
			"1.2345678901234567890123456789", "12345678901234567890123456789e-28", "0.12345678901234567890123456789e1",
		},
	} {
		// A canonical number may have more digits than are written plainly; then the form is scientific.
		for _, literal := range literals {
			v := parse(t, literal)
			got := string(AppendCanonical(nil, &v))
			if got != want && got != want+"e0" {
				t.Errorf("canonical form of %s is %s, want %s", literal, got, want)
			}
			first := parse(t, literals[0])
			if same := string(AppendCanonical(nil, &first)); got != same {
				t.Errorf("%s and %s differ: %s, %s", literals[0], literal, same, got)
			}
		}
	}
}

func TestCanonicalOrder(t *testing.T) {
	a := parse(t, `{"b":1,"a":{"y":[1,{"q":1,"p":2}],"x":"\u00e9"},"é":0,"B":2}`)
	b := parse(t, `{"B":2.0,"é":-0,"a":{"x":"é","y":[1e0,{"p":2,"q":1}]},"b":10e-1}`)
	const want = `{"B":2,"a":{"x":"é","y":[1,{"p":2,"q":1}]},"b":1,"é":0}`
	for _, v := range []Value{a, b} {
		if got := string(AppendCanonical(nil, &v)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	different := parse(t, `[1,2]`)
	swapped := parse(t, `[2,1]`)
	if string(AppendCanonical(nil, &different)) == string(AppendCanonical(nil, &swapped)) {
		t.Error("the order of an array does not count")
	}
}

func TestCanonicalOfManyMembers(t *testing.T) {
	var forwards, backwards Value
	forwards.Kind, backwards.Kind = Object, Object
	for i := range 100 {
		f := Field{Name: strings.Repeat("x", i+1), Value: Value{Kind: Number, Text: "1"}}
		forwards.Fields = append(forwards.Fields, f)
		backwards.Fields = append([]Field{f}, backwards.Fields...)
	}
	if string(AppendCanonical(nil, &forwards)) != string(AppendCanonical(nil, &backwards)) {
		t.Error("the order of members counts")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.50,-0,1e400],"b":{"c":null,"d":"\u00e9\ud83d\ude00"},"a":false}`, `[{"a":1,"b":{"c":2}},{"a":3,"b":{"c":4,"a":5},"a":6}]`, `{"a":"\"\\","\u0061":01}`, "[\"a\x1f\", \"\xff\"]", `[-,1.,1e+]`, `[true,falsy]`, `{"a" 1,}`, `[[[[]]]]`, `1e-99999999999999999999`, `"\ud800"`, `{"":{"":1}}`, "\xef\xbb\xbf{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		want, valid := readByTokens(data)
		if valid != (err == nil) {
			t.Fatalf("%q: %v, and by its tokens it is valid: %t", data, err, valid)
		}
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if !reflect.DeepEqual(v, want) {
			t.Fatalf("%q is read as %+v, by its tokens as %+v", data, v, want)
		}
		if want, got := decode(t, data), decode(t, AppendJSON(nil, &v)); !reflect.DeepEqual(want, got) {
			t.Fatalf("%q is read as %v and not as %v", data, got, want)
		}
		canonical := AppendCanonical(nil, &v)
		var shapes Canonical
		for range 2 {
			if got := shapes.Append(nil, &v); string(got) != string(canonical) {
				t.Fatalf("with shapes remembered, %q is written as %q", canonical, got)
			}
		}
		again, err := Parse(canonical)
		if err != nil {
			t.Fatalf("canonical form %q does not parse: %v", canonical, err)
		}
		if second := AppendCanonical(nil, &again); string(second) != string(canonical) {
			t.Fatalf("canonical form is not stable: %q, then %q", canonical, second)
		}
		reverse(&v)
		if reversed := AppendCanonical(nil, &v); string(reversed) != string(canonical) {
			t.Fatalf("the order of members counts: %q, %q", canonical, reversed)
		}
		plain, err := Parse(AppendJSON(nil, &v))
		if err != nil {
			t.Fatalf("AppendJSON does not parse: %v", err)
		}
		if third := AppendCanonical(nil, &plain); string(third) != string(canonical) {
			t.Fatalf("AppendJSON is another value: %q, %q", canonical, third)
		}
		_ = v.AsText()
	})
}

// readByTokens reads a value from the tokens that jsontext finds, which also says what is valid.
func readByTokens(data []byte) (Value, bool) {
	if validate(data) != nil {
		return Value{}, false
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	return readToken(dec, 0)
}

func readToken(dec *jsontext.Decoder, depth int) (v Value, ok bool) {
	t, err := dec.ReadToken()
	if err != nil || depth >= MaxDepth && (t.Kind() == '{' || t.Kind() == '[') {
		return v, false
	}
	switch t.Kind() {
	case 'n':
	case 't', 'f':
		v = Value{Kind: Bool, Text: t.String()}
	case '0':
		v = Value{Kind: Number, Text: t.String()}
	case '"':
		v = Value{Kind: String, Text: t.String()}
	case '[':
		for v.Kind = Array; dec.PeekKind() != ']'; {
			item, ok := readToken(dec, depth+1)
			if !ok {
				return v, false
			}
			v.Items = append(v.Items, item)
		}
		_, err = dec.ReadToken()
	case '{':
		for v.Kind = Object; dec.PeekKind() != '}'; {
			name, _ := dec.ReadToken()
			text := name.String()
			member, ok := readToken(dec, depth+1)
			if !ok {
				return v, false
			}
			if at := indexOf(v.Fields, text); at >= 0 {
				v.Fields[at].Value = member
			} else {
				v.Fields = append(v.Fields, Field{text, member})
			}
		}
		_, err = dec.ReadToken()
	}
	return v, err == nil
}

// TestObjectsOfManyShapes reads and writes objects whose names agree with those of the one before up to some member.
func TestObjectsOfManyShapes(t *testing.T) {
	var names []string
	for i := range 90 {
		names = append(names, fmt.Sprintf("m%d", i))
	}
	random := rand.New(rand.NewPCG(1, 2))
	var shapes Canonical
	for range 300 {
		text := []byte("[")
		for i := range 12 {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, '{')
			for j := range random.IntN([]int{6, 40, 100}[random.IntN(3)]) {
				if j > 0 {
					text = append(text, ", "...)
				}
				name := names[j%len(names)]
				if random.IntN(20) == 0 {
					name = names[random.IntN(len(names))]
				}
				text = fmt.Appendf(text, `"%s":%d`, name, j)
				if random.IntN(30) == 0 {
					text = append(text, `,"n":{"a":1,"a":2}`...)
				}
			}
			text = append(text, '}')
		}
		text = append(text, ']')
		v, err := Parse(text)
		want, ok := readByTokens(text)
		if err != nil || !ok || !reflect.DeepEqual(v, want) {
			t.Fatalf("%s is read as %+v (%v), by its tokens as %+v", text, v, err, want)
		}
		for i := range v.Items {
			if got, want := shapes.Append(nil, &v.Items[i]), AppendCanonical(nil, &v.Items[i]); !bytes.Equal(got, want) {
				t.Fatalf("%s is written as %s, and not as %s", text, got, want)
			}
		}
	}
}

func TestPlainLen(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			text := []byte(strings.Repeat("~", 20))
			text[at] = byte(c)
			if at < 10 {
				text[at+5], text[at+9] = 0x1f, '"'
			}
			want := slices.IndexFunc(text, func(c byte) bool { return c < ' ' || c >= 0x80 || c == '"' || c == '\\' })
			if want < 0 {
				want = len(text)
			}
			if got := PlainLen(string(text)); got != want {
				t.Fatalf("%q: %d, want %d", text, got, want)
			}
		}
	}
}

// decode reads JSON with another parser, numbers by their literal.
func decode(t *testing.T, data []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("the standard library refuses %q: %v", data, err)
	}
	return v
}

// TestHugeExponents compares exponents of any length with those of exact arithmetic.
func TestHugeExponents(t *testing.T) {
	exponents := []string{
		"0000000000000000", "000000000000000000000000000007", "999999999999999", "1000000000000000", "1000000000000001",
		"999999999999999999", "1000000000000000000", "1000000000000000001", "9999999999999999999999999999", "0010000000000000000000000000000",
		"123000000000000000000000000000000000", "100000000000000000000000000000000000000003", strings.Repeat("9", 40),
	}
	for _, mantissa := range []string{"1", "-1", "12", "0.001", "1200000", "-98765.4321", "1" + strings.Repeat("0", 30), "0." + strings.Repeat("0", 30) + "1"} {
		for _, exponent := range exponents {
			for _, sign := range []string{"", "+", "-"} {
				literal := mantissa + "e" + sign + exponent
				got := string(appendNumber(nil, literal))
				digits, e, _ := strings.Cut(got, "e")
				if exactly(t, digits, e) != exactly(t, mantissa, sign+exponent) {
					t.Errorf("%s is written as %s", literal, got)
				}
				if again := string(appendNumber(nil, got)); again != got {
					t.Errorf("%s is written as %s, and that as %s", literal, got, again)
				}
			}
		}
	}
	// Too many digits for arithmetic with the whole of them.
	nines := strings.Repeat("9", 5_000_000)
	if got := string(appendNumber(nil, "12e"+nines)); got != "1.2e1"+strings.Repeat("0", len(nines)) {
		t.Errorf("%d digits are written as %.20s…", len(nines), got)
	}
}

// exactly is mantissa × 10^exponent as digits that end with none that is zero, and their exponent.
func exactly(t *testing.T, mantissa, exponent string) string {
	t.Helper()
	e, ok := new(big.Int).SetString("0"+strings.TrimLeft(exponent, "+-"), 10)
	if !ok {
		t.Fatalf("%q is no exponent", exponent)
	}
	if strings.HasPrefix(exponent, "-") {
		e.Neg(e)
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	e.Add(e, big.NewInt(int64(len(whole)-len(digits))))
	digits, negative := strings.CutPrefix(digits, "-")
	return fmt.Sprintf("%v %s %v", negative, strings.TrimLeft(digits, "0"), e)
}

// FuzzNumber compares canonical numbers with exact arithmetic.
func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"1", "-1.50", "1e10", "123456789012345678901234567890.10e-5", "0.00001", "1e21", "-0.0", "0.1e-999", "12e9999"} {
		f.Add(seed, "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, okX := number(a)
		y, okY := number(b)
		if !okX || !okY {
			return
		}
		ca, cb := string(appendNumber(nil, a)), string(appendNumber(nil, b))
		if (x.Cmp(y) == 0) != (ca == cb) {
			t.Fatalf("%s is %s, %s is %s", a, ca, b, cb)
		}
		if back, ok := exact(ca); !ok || back.Cmp(x) != 0 {
			t.Fatalf("%s became %s", a, ca)
		}
	})
}

// number reads a literal whose exponent is short enough for exact arithmetic.
func number(text string) (*big.Rat, bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 && len(text)-i > 5 {
		return nil, false
	}
	return exact(text)
}

func exact(text string) (*big.Rat, bool) {
	v, err := Parse([]byte(text))
	if err != nil || v.Kind != Number || v.Text != text {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

func reverse(v *Value) {
	for i := range v.Items {
		reverse(&v.Items[i])
	}
	for i, j := 0, len(v.Fields)-1; i < j; i, j = i+1, j-1 {
		v.Fields[i], v.Fields[j] = v.Fields[j], v.Fields[i]
	}
	for i := range v.Fields {
		reverse(&v.Fields[i].Value)
	}
}
