package avrofile

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

const ladder = `{"type":"record","name":"challenger","namespace":"riftline","fields":[
 {"name":"puuid","type":"string"},
 {"name":"leaguePoints","type":"long"},
 {"name":"rank","type":"string"},
 {"name":"wins","type":"long"},
 {"name":"losses","type":"long"},
 {"name":"veteran","type":"boolean"},
 {"name":"inactive","type":"boolean"},
 {"name":"freshBlood","type":"boolean"},
 {"name":"hotStreak","type":"boolean"},
 {"name":"miniSeries","type":["null",{"type":"record","name":"miniSeries","fields":[
   {"name":"target","type":"long"},{"name":"wins","type":"long"},{"name":"losses","type":"long"},{"name":"progress","type":"string"}]}],"default":null},
 {"name":"tier","type":"string"},
 {"name":"leagueId","type":"string"},
 {"name":"platform","type":"string"},
 {"name":"polled_at","type":{"type":"long","logicalType":"timestamp-millis"}}]}`

func ladderBody(t testing.TB, i int) []byte {
	t.Helper()
	codec, err := goavro.NewCodec(ladder)
	if err != nil {
		t.Fatal(err)
	}
	var mini any
	if i%10 == 0 {
		mini = goavro.Union("riftline.miniSeries", map[string]any{"target": 2, "wins": 1, "losses": i % 2, "progress": "WLN"})
	}
	b, err := codec.BinaryFromNative(nil, map[string]any{
		"puuid": puuid(i), "leaguePoints": 1000 + i, "rank": "I", "wins": i, "losses": i * 3, "veteran": true,
		"inactive": false, "freshBlood": i%2 == 0, "hotStreak": true, "miniSeries": mini, "tier": "CHALLENGER",
		"leagueId": "b9e4d6d0-5a6d-3f5c-9a3c-6c7f1a0ad001", "platform": "kr", "polled_at": int64(1764393600000 + i),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// puuid is as hard to compress as a real one.
func puuid(i int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	rng := rand.New(rand.NewSource(int64(i)))
	b := make([]byte, 78)
	for j := range b {
		b[j] = letters[rng.Intn(len(letters))]
	}
	return string(b)
}

func varint(v int64) []byte { return binary.AppendVarint(nil, v) }

func cat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func text(s string) []byte { return append(varint(int64(len(s))), s...) }

func TestCheck(t *testing.T) {
	const (
		list    = `{"type":"record","name":"List","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","List"]}]}`
		decimal = `{"type":"record","name":"P","fields":[{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},{"name":"f","type":{"type":"fixed","name":"D","size":4,"logicalType":"decimal","precision":9,"scale":2}}]}`
		spaces  = `{"type":"record","name":"R","namespace":"a.b","fields":[{"name":"x","type":{"type":"fixed","name":"F","size":2}},{"name":"y","type":"a.b.F"},{"name":"z","type":"F"},{"name":"e","type":{"type":"enum","name":"c.E","symbols":["A","B"]}},{"name":"e2","type":"c.E"}]}`
	)
	long := strings.Repeat("\xff", 9) + "\x01"
	tests := []struct {
		name, schema string
		body         []byte
		// refused is part of the reason, empty for a body that fits
		refused string
	}{
		{"null", `"null"`, nil, ""},
		{"null with a byte", `"null"`, []byte{0}, "left after"},
		{"boolean true", `"boolean"`, []byte{1}, ""},
		{"boolean that is neither", `"boolean"`, []byte{2}, "neither 0 nor 1"},
		{"boolean without its byte", `"boolean"`, nil, "ends inside"},
		{"int", `"int"`, varint(-7), ""},
		{"largest int", `"int"`, varint(math.MaxInt32), ""},
		{"smallest int", `"int"`, varint(math.MinInt32), ""},
		{"int one too large", `"int"`, varint(math.MaxInt32 + 1), "longer than its type"},
		{"int in six bytes", `"int"`, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, "longer than its type"},
		{"largest long", `"long"`, varint(math.MaxInt64), ""},
		{"smallest long", `"long"`, varint(math.MinInt64), ""},
		{"long with all bits", `"long"`, []byte(long), ""},
		{"long of 65 bits", `"long"`, []byte(strings.Repeat("\xff", 9) + "\x02"), "longer than its type"},
		{"long of eleven bytes", `"long"`, []byte(strings.Repeat("\x80", 10) + "\x00"), "longer than its type"},
		{"long cut off", `"long"`, []byte{0x80}, "ends inside"},
		{"float", `"float"`, make([]byte, 4), ""},
		{"float one short", `"float"`, make([]byte, 3), "ends inside"},
		{"double", `"double"`, make([]byte, 8), ""},
		{"double one long", `"double"`, make([]byte, 9), "left after"},
		{"bytes", `"bytes"`, text("\xff\xfe"), ""},
		{"bytes of a negative length", `"bytes"`, varint(-1), "negative length"},
		{"bytes of a huge length", `"bytes"`, varint(math.MaxInt64), "ends inside"},
		{"string", `"string"`, text("Größe"), ""},
		{"string that is not UTF-8", `"string"`, text("\xff"), "not UTF-8"},
		{"string of a negative length", `"string"`, varint(-5), "negative length"},
		{"fixed", `{"type":"fixed","name":"F","size":3}`, []byte("abc"), ""},
		{"fixed one short", `{"type":"fixed","name":"F","size":3}`, []byte("ab"), "ends inside"},
		{"fixed of no bytes", `{"type":"fixed","name":"F","size":0}`, nil, ""},
		{"enum", `{"type":"enum","name":"E","symbols":["A","B"]}`, varint(1), ""},
		{"enum beyond its symbols", `{"type":"enum","name":"E","symbols":["A","B"]}`, varint(2), "enum symbol"},
		{"enum below", `{"type":"enum","name":"E","symbols":["A","B"]}`, varint(-1), "enum symbol"},
		{"enum in five bytes", `{"type":"enum","name":"E","symbols":["A","B"]}`, []byte{0x82, 0x80, 0x80, 0x80, 0}, ""},
		{"enum in six bytes", `{"type":"enum","name":"E","symbols":["A","B"]}`, []byte{0x82, 0x80, 0x80, 0x80, 0x80, 0}, "longer than its type"},
		{"union in five bytes", `["string","null"]`, []byte{0x82, 0x80, 0x80, 0x80, 0}, ""},
		{"union in six bytes", `["string","null"]`, []byte{0x82, 0x80, 0x80, 0x80, 0x80, 0}, "longer than its type"},
		{"union", `["null","string"]`, cat(varint(1), text("x")), ""},
		{"union's null", `["null","string"]`, varint(0), ""},
		{"union beyond its branches", `["null","string"]`, varint(2), "union branch"},
		{"union with a negative branch", `["null","string"]`, varint(-1), "union branch"},
		{"array", `{"type":"array","items":"long"}`, cat(varint(2), varint(1), varint(2), varint(0)), ""},
		{"array in two blocks", `{"type":"array","items":"long"}`, cat(varint(1), varint(1), varint(1), varint(2), varint(0)), ""},
		{"array with block sizes", `{"type":"array","items":"long"}`, cat(varint(-2), varint(2), varint(1), varint(2), varint(0)), ""},
		{"array whose block is shorter than it says", `{"type":"array","items":"long"}`, cat(varint(-2), varint(3), varint(1), varint(2), varint(0)), "not as long"},
		{"array whose block is longer than it says", `{"type":"array","items":"long"}`, cat(varint(-2), varint(1), varint(1), varint(2), varint(0)), "not as long"},
		{"array with the smallest count", `{"type":"array","items":"long"}`, cat(varint(math.MinInt64), varint(0)), "out of range"},
		{"array with a count beyond the body", `{"type":"array","items":"long"}`, varint(1 << 40), "ends inside"},
		{"array without end", `{"type":"array","items":"long"}`, cat(varint(1), varint(1)), "ends inside"},
		{"array of nulls", `{"type":"array","items":"null"}`, cat(varint(1000), varint(0)), ""},
		{"array of more nulls than a reader takes", `{"type":"array","items":"null"}`, cat(varint(1<<40), varint(0)), "too many"},
		{"array of more nulls in all", `{"type":"array","items":"null"}`, cat(varint(1<<30), varint(1<<30), varint(0)), "too many"},
		{"map", `{"type":"map","values":"int"}`, cat(varint(1), text("k"), varint(5), varint(0)), ""},
		{"map with block sizes", `{"type":"map","values":"int"}`, cat(varint(-1), varint(3), text("k"), varint(5), varint(0)), ""},
		{"map whose key is not UTF-8", `{"type":"map","values":"int"}`, cat(varint(1), text("\xc3"), varint(5), varint(0)), "not UTF-8"},
		{"map of nulls", `{"type":"map","values":"null"}`, cat(varint(1), text("k"), varint(0)), ""},
		{"list by recursion", list, cat(varint(1), varint(1), varint(2), varint(0)), ""},
		{"list nested too deeply", list, []byte(strings.Repeat("\x02\x02", maxDepth+1) + "\x02\x00"), "too deeply"},
		{"record that holds itself", `{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}`, nil, "too deeply"},
		{"array of records that hold themselves", `{"type":"array","items":{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}}`, cat(varint(1), varint(0)), "too deeply"},
		{"record without fields", `{"type":"record","name":"R","fields":[]}`, nil, ""},
		{"decimals", decimal, cat(text("\x01\x02"), []byte("abcd")), ""},
		{"names in namespaces", spaces, cat([]byte("xxyyzz"), varint(1), varint(0)), ""},
		{"type in a type", `{"type":{"type":"string"}}`, text("x"), ""},
		{"ladder entry", ladder, ladderBody(t, 0), ""},
		{"ladder entry one byte short", ladder, ladderBody(t, 0)[:len(ladderBody(t, 0))-1], "polled_at"},
		{"field in a nested record", ladder, ladderBody(t, 10)[:96], "miniSeries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := Compile(tt.schema)
			if err != nil {
				t.Fatal(err)
			}
			err = w.Check(tt.body)
			switch {
			case tt.refused == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case tt.refused != "" && !errors.Is(err, ErrBody):
				t.Fatalf("got %v, want ErrBody", err)
			case tt.refused != "" && !strings.Contains(err.Error(), tt.refused):
				t.Fatalf("got %v, want it to say %q", err, tt.refused)
			}
		})
	}
}

func TestCompileRefusesWhatIsNoSchema(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                     ``,
		"not JSON":                    `{`,
		"text after the end":          `"int" "int"`,
		"a number":                    `3`,
		"null":                        `null`,
		"an object without type":      `{"name":"x"}`,
		"unknown type":                `"integer"`,
		"a name used before":          `{"type":"record","name":"R","fields":[{"name":"a","type":"F"},{"name":"b","type":{"type":"fixed","name":"F","size":1}}]}`,
		"a name of another namespace": `{"type":"record","name":"a.R","fields":[{"name":"a","type":["null","b.R"]}]}`,
		"an empty union":              `[]`,
		"a union in a union":          `["null",["int"]]`,
		"a union with a type twice":   `["int","int"]`,
		"two maps in a union":         `[{"type":"map","values":"int"},{"type":"map","values":"long"}]`,
		"a record without fields key": `{"type":"record","name":"R"}`,
		"a record without name":       `{"type":"record","fields":[]}`,
		"a field without type":        `{"type":"record","name":"R","fields":[{"name":"a"}]}`,
		"a field twice":               `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`,
		"a name with a hyphen":        `{"type":"record","name":"a-b","fields":[]}`,
		"a type defined twice":        `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":{"type":"fixed","name":"F","size":1}}]}`,
		"an enum without symbols":     `{"type":"enum","name":"E","symbols":[]}`,
		"a symbol twice":              `{"type":"enum","name":"E","symbols":["A","A"]}`,
		"a fixed without size":        `{"type":"fixed","name":"F"}`,
		"a fixed of negative size":    `{"type":"fixed","name":"F","size":-1}`,
		"an array without items":      `{"type":"array"}`,
		"endless nesting":             strings.Repeat(`{"type":"array","items":`, 300) + `"int"` + strings.Repeat(`}`, 300),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(text); !errors.Is(err, ErrSchema) {
				t.Fatalf("got %v, want ErrSchema", err)
			}
		})
	}
}

// TestCompileIsBounded: types that use one another many times over must not make the program grow without limit.
func TestCompileIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"type":"record","name":"R0","fields":[{"name":"a","type":"int"}]}`)
	inner := b.String()
	for i := 1; i < 60; i++ {
		name := "R" + string(rune('A'+i/26)) + string(rune('a'+i%26))
		prev := "R0"
		if i > 1 {
			prev = "R" + string(rune('A'+(i-1)/26)) + string(rune('a'+(i-1)%26))
		}
		inner = `{"type":"record","name":"` + name + `","fields":[{"name":"x","type":` + inner + `},{"name":"y","type":"` + prev + `"}]}`
	}
	w, err := Compile(inner)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.main.ops); n > 2*maxOps {
		t.Fatalf("%d operations", n)
	}
	if err := w.Check([]byte{0}); !errors.Is(err, ErrBody) {
		t.Fatalf("got %v, want ErrBody", err)
	}
}

// TestCheckRefusesEveryCut: a body that lacks bytes at its end, or has more, never passes.
func TestCheckRefusesEveryCut(t *testing.T) {
	w, err := Compile(ladder)
	if err != nil {
		t.Fatal(err)
	}
	body := ladderBody(t, 0)
	for n := range body {
		if err := w.Check(body[:n]); !errors.Is(err, ErrBody) {
			t.Fatalf("%d of %d bytes: got %v, want ErrBody", n, len(body), err)
		}
	}
	if err := w.Check(append(body, 0)); !errors.Is(err, ErrBody) {
		t.Fatalf("one byte more: got %v, want ErrBody", err)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	w, err := Compile(ladder)
	if err != nil {
		t.Fatal(err)
	}
	body := ladderBody(t, 0)
	if n := testing.AllocsPerRun(100, func() {
		if err := w.Check(body); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations per body", n)
	}
}

var fuzzSchemas = []string{
	ladder,
	`{"type":"record","name":"List","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","List"]}]}`,
	`{"type":"record","name":"M","fields":[{"name":"m","type":{"type":"map","values":["null","double",{"type":"array","items":"string"}]}},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B","C"]}},{"name":"f","type":{"type":"fixed","name":"F","size":3}},{"name":"b","type":"bytes"}]}`,
	`{"type":"array","items":{"type":"record","name":"P","fields":[{"name":"a","type":"boolean"},{"name":"b","type":"float"},{"name":"c","type":"long"}]}}`,
}

// FuzzCheck: what Check takes, goavro must read to the last byte.
func FuzzCheck(f *testing.F) {
	f.Add(uint8(0), ladderBody(f, 0))
	f.Add(uint8(0), ladderBody(f, 1))
	f.Add(uint8(1), []byte{2, 2, 4, 0})
	f.Add(uint8(2), cat(varint(1), text("k"), varint(2), varint(1), text("x"), varint(0), varint(0), varint(1), []byte("abc"), text("b")))
	f.Add(uint8(3), cat(varint(-1), varint(6), []byte{1, 0, 0, 0, 0, 2}, varint(0)))
	var walks []*Walk
	var codecs []*goavro.Codec
	for _, s := range fuzzSchemas {
		w, err := Compile(s)
		if err != nil {
			f.Fatal(err)
		}
		c, err := goavro.NewCodec(s)
		if err != nil {
			f.Fatal(err)
		}
		walks, codecs = append(walks, w), append(codecs, c)
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		i := int(which) % len(walks)
		wantQuickRight(t, walks[i], body)
		if err := walks[i].Check(body); err != nil {
			if !errors.Is(err, ErrBody) {
				t.Fatalf("got %v, want ErrBody", err)
			}
			return
		}
		_, rest, err := codecs[i].NativeFromBinary(body)
		if err != nil || len(rest) != 0 {
			t.Fatalf("Check took %x for schema %d, goavro says %v with %d bytes left", body, i, err, len(rest))
		}
	})
}

// FuzzCompile: no text makes Compile or a walk of it fail otherwise than with an error.
func FuzzCompile(f *testing.F) {
	for _, s := range fuzzSchemas {
		f.Add(s, []byte{0})
	}
	f.Fuzz(func(t *testing.T, schema string, body []byte) {
		w, err := Compile(schema)
		if err != nil {
			if !errors.Is(err, ErrSchema) {
				t.Fatalf("got %v, want ErrSchema", err)
			}
			return
		}
		if err := w.Check(body); err != nil && !errors.Is(err, ErrBody) {
			t.Fatalf("got %v, want ErrBody", err)
		}
		wantQuickRight(t, w, body)
	})
}
