package avrofile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func projection(t *testing.T, writer, reader string) (*Projection, error) {
	t.Helper()
	w, err := Compile(writer)
	if err != nil {
		t.Fatalf("%s: %v", writer, err)
	}
	r, err := Compile(reader)
	if err != nil {
		t.Fatalf("%s: %v", reader, err)
	}
	return NewProjection(w, r)
}

// rec is a record schema; its fields are written without their braces.
func rec(name string, fields ...string) string {
	if len(fields) > 0 {
		return fmt.Sprintf(`{"type":"record","name":%q,"fields":[{%s}]}`, name, strings.Join(fields, "},{"))
	}
	return fmt.Sprintf(`{"type":"record","name":%q,"fields":[]}`, name)
}

func enum(name, symbols, more string) string {
	return fmt.Sprintf(`{"type":"enum","name":%q,"symbols":[%s]%s}`, name, symbols, more)
}

func TestProjection(t *testing.T) {
	t.Parallel()
	const list = `{"type":"record","name":"L","fields":[{"name":"v","type":%q},{"name":"next","type":["null","L"]}%s]}`
	for _, tt := range []struct {
		name, writer, reader string
		body, want           []byte
	}{
		{"the same", `"string"`, `{"type":"string"}`, text("a"), text("a")},
		{"int to long", `"int"`, `"long"`, varint(-7), varint(-7)},
		{"int to float", `"int"`, `"float"`, varint(3), []byte{0, 0, 64, 64}},
		{"long to float, rounded", `"long"`, `"float"`, varint(1<<24 + 1), []byte{0, 0, 128, 75}},
		{"long to double", `"long"`, `"double"`, varint(-2), []byte{0, 0, 0, 0, 0, 0, 0, 192}},
		{"float to double", `"float"`, `"double"`, []byte{0, 0, 192, 63}, []byte{0, 0, 0, 0, 0, 0, 248, 63}},
		{"string to bytes", `"string"`, `"bytes"`, text("a"), text("a")},
		{"bytes to string", `"bytes"`, `"string"`, text("ä"), text("ä")},
		{"a field added", rec("r", `"name":"a","type":"int"`), rec("r", `"name":"a","type":"int"`, `"name":"b","type":"string","default":"x"`), varint(1), cat(varint(1), text("x"))},
		{"a field added in front", rec("r", `"name":"a","type":"int"`), rec("r", `"name":"b","type":["null","int"],"default":null`, `"name":"a","type":"int"`), varint(1), cat(varint(0), varint(1))},
		{"a field left out", rec("r", `"name":"a","type":"int"`, `"name":"b","type":{"type":"array","items":"string"}`, `"name":"c","type":"int"`), rec("r", `"name":"a","type":"int"`, `"name":"c","type":"int"`),
			cat(varint(1), varint(-1), varint(2), text("x"), varint(0), varint(3)), cat(varint(1), varint(3))},
		{"another order", rec("r", `"name":"a","type":"int"`, `"name":"b","type":"string"`, `"name":"c","type":"int"`), rec("r", `"name":"c","type":"long"`, `"name":"d","type":"int","default":9`, `"name":"a","type":"int"`, `"name":"b","type":"string"`),
			cat(varint(1), text("b"), varint(3)), cat(varint(3), varint(9), varint(1), text("b"))},
		{"a field's alias", rec("r", `"name":"old","type":"int"`), rec("r", `"name":"new","type":"int","aliases":["older","old"]`), varint(1), varint(1)},
		{"a name is before an alias", rec("r", `"name":"a","type":"int"`, `"name":"b","type":"int"`), rec("r", `"name":"x","type":"int","aliases":["b"],"default":5`, `"name":"b","type":"int"`), cat(varint(1), varint(2)), cat(varint(5), varint(2))},
		{"a record's alias", `{"type":"record","name":"n.old","fields":[{"name":"a","type":"int"}]}`, `{"type":"record","name":"new","namespace":"n","aliases":["old"],"fields":[{"name":"a","type":"long"}]}`, varint(1), varint(1)},
		{"an enum's default", enum("e", `"A","B","C"`, ""), enum("e", `"C","X"`, `,"default":"X"`), varint(1), varint(1)},
		{"an enum's other order", enum("e", `"A","B","C"`, ""), enum("e", `"C","B","A"`, ""), varint(0), varint(2)},
		{"a union made", `"int"`, `["null","string","long"]`, varint(5), cat(varint(2), varint(5))},
		{"a union prefers the same type", `"int"`, `["long","int"]`, varint(5), cat(varint(1), varint(5))},
		{"a union's first promotion", `"int"`, `["null","double","long"]`, varint(1), cat(varint(1), []byte{0, 0, 0, 0, 0, 0, 240, 63})},
		{"a union's other order", `["null","string"]`, `["string","null"]`, cat(varint(1), text("s")), cat(varint(0), text("s"))},
		{"a union undone", `["int","long"]`, `"long"`, cat(varint(1), varint(9)), varint(9)},
		{"a union with one branch more", `["null","int"]`, `["null","string","int"]`, cat(varint(1), varint(4)), cat(varint(2), varint(4))},
		{"records in a union, by name", `["null",` + rec("a", `"name":"v","type":"int"`) + `,` + rec("b", `"name":"v","type":"int"`) + `]`,
			`[` + rec("b", `"name":"v","type":"int"`) + `,` + rec("a", `"name":"v","type":"int"`) + `,"null"]`, cat(varint(2), varint(7)), cat(varint(0), varint(7))},
		{"an array", `{"type":"array","items":"int"}`, `{"type":"array","items":"double"}`, cat(varint(-1), varint(1), varint(1), varint(1), varint(0), varint(0)),
			cat(varint(1), []byte{0, 0, 0, 0, 0, 0, 240, 63}, varint(1), make([]byte, 8), varint(0))},
		{"a map keeps its order", `{"type":"map","values":"int"}`, `{"type":"map","values":["null","int"]}`, cat(varint(2), text("b"), varint(1), text("a"), varint(2), varint(0)),
			cat(varint(2), text("b"), varint(1), varint(1), text("a"), varint(1), varint(2), varint(0))},
		{"recursion", fmt.Sprintf(list, "int", ""), fmt.Sprintf(list, "long", `,{"name":"more","type":"int","default":3}`), cat(varint(1), varint(1), varint(2), varint(0)),
			cat(varint(1), varint(1), varint(2), varint(0), varint(3), varint(3))},
		{"nothing becomes something", `{"type":"array","items":"null"}`, `{"type":"array","items":["null","int"]}`, cat(varint(3), varint(0)), cat(varint(3), varint(0), varint(0), varint(0), varint(0))},
		{"nothing stays nothing", `{"type":"array","items":` + rec("e", `"name":"a","type":"null"`) + `}`, `{"type":"array","items":` + rec("e") + `}`, cat(varint(math.MaxInt32-8), varint(0)), cat(varint(math.MaxInt32-8), varint(0))},
	} {
		p, err := projection(t, tt.writer, tt.reader)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got, err := p.Append([]byte("before"), tt.body)
		if err != nil || !bytes.Equal(got, append([]byte("before"), tt.want...)) {
			t.Errorf("%s: %x became %x, want %x: %v", tt.name, tt.body, got, tt.want, err)
		}
		for cut := range tt.body {
			if got, err := p.Append([]byte("before"), tt.body[:cut]); !errors.Is(err, ErrProjection) || string(got) != "before" {
				t.Errorf("%s: %d bytes of it became %x: %v", tt.name, cut, got, err)
			}
		}
		if _, err := p.Append(nil, append(bytes.Clone(tt.body), 0)); !errors.Is(err, ErrProjection) {
			t.Errorf("%s: with a byte too many: %v", tt.name, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for typ, def := range map[string]string{
		`"boolean"`: `true`, `"int"`: `-3`, `"long"`: `9223372036854775807`, `"string"`: `"añ"`, `["string","null"]`: `"x"`,
		`["null","string"]`: `null`, `{"type":"array","items":"int"}`: `[1,2]`, `{"type":"map","values":"int"}`: `{"b":2,"a":1}`,
		enum("e", `"A","B"`, ""): `"B"`, `{"type":"fixed","name":"f","size":2}`: `"\u00ff\u0000"`, `"bytes"`: `"\u00ff"`,
		rec("in", `"name":"x","type":"int","default":4`, `"name":"y","type":"int"`): `{"y":5}`,
	} {
		want := map[string][]byte{
			`true`: {1}, `-3`: varint(-3), `9223372036854775807`: varint(math.MaxInt64), `"añ"`: text("añ"), `"x"`: cat(varint(0), text("x")), `null`: varint(0),
			`[1,2]`: cat(varint(2), varint(1), varint(2), varint(0)), `{"b":2,"a":1}`: cat(varint(2), text("a"), varint(1), text("b"), varint(2), varint(0)),
			`"B"`: varint(1), `"\u00ff\u0000"`: {255, 0}, `"\u00ff"`: {2, 255}, `{"y":5}`: cat(varint(4), varint(5)),
		}[def]
		p, err := projection(t, rec("r"), rec("r", `"name":"d","type":`+typ+`,"default":`+def))
		if err != nil {
			t.Errorf("%s of %s: %v", def, typ, err)
			continue
		}
		if got, err := p.Append(nil, nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of %s is %x, want %x: %v", def, typ, got, want, err)
		}
	}
	doubling := `"name":"l","type":"r0","default":{}`
	for typ, def := range map[string]string{
		`"int"`: `2147483648`, `"long"`: `1.5`, `"string"`: `1`, `"boolean"`: `"true"`, `"bytes"`: `"日"`, `{"type":"fixed","name":"f","size":2}`: `"a"`,
		enum("e", `"A"`, ""): `"B"`, `["null","int"]`: `"x"`, `{"type":"array","items":"int"}`: `["x"]`, rec("in", `"name":"x","type":"int"`): `{}`,
		// A default that holds itself, and one that would be larger than any memory.
		rec("r0", doubling): `{}`,
	} {
		if _, err := projection(t, rec("r"), rec("r", `"name":"d","type":`+typ+`,"default":`+def)); !errors.Is(err, ErrProjection) {
			t.Errorf("%s of %s: %v", def, typ, err)
		}
	}
	inner := `{"type":"string"}`
	def := `"` + strings.Repeat("x", 1000) + `"`
	for i := range 40 {
		inner = rec(fmt.Sprintf("d%d", i), `"name":"a","type":`+inner+`,"default":`+def, fmt.Sprintf(`"name":"b","type":%s,"default":%s`, map[bool]string{true: `"string"`, false: fmt.Sprintf("%q", fmt.Sprintf("d%d", i-1))}[i == 0], def))
		def = `{}`
	}
	if _, err := projection(t, rec("r"), rec("r", `"name":"d","type":`+inner+`,"default":{}`)); !errors.Is(err, ErrProjection) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a default of 2^40 values: %v", err)
	}
}

func TestProjectionsThatThereAreNot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string][2]string{
		"a narrower number":     {`"long"`, `"int"`},
		"text to a number":      {`"string"`, `"long"`},
		"null to text":          {`["null","string"]`, `"string"`},
		"no branch":             {`["null","int"]`, `["null","string"]`},
		"a field without":       {rec("r"), rec("r", `"name":"a","type":"int"`)},
		"another name":          {rec("r"), rec("s")},
		"another namespace":     {rec("a.r", `"name":"x","type":"int"`), rec("b.r", `"name":"x","type":"long"`)},
		"another enum":          {enum("e", `"A"`, ""), enum("f", `"A"`, "")},
		"a symbol too many":     {enum("e", `"A","B"`, ""), enum("e", `"A"`, "")},
		"another size":          {`{"type":"fixed","name":"f","size":2}`, `{"type":"fixed","name":"f","size":3}`},
		"an array to a map":     {`{"type":"array","items":"int"}`, `{"type":"map","values":"int"}`},
		"items":                 {`{"type":"array","items":"string"}`, `{"type":"array","items":"int"}`},
		"another scale":         {`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}`},
		"a scale left out":      {`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `{"type":"bytes","logicalType":"decimal","precision":9}`},
		"millis to micros":      {`{"type":"long","logicalType":"timestamp-millis"}`, `{"type":"long","logicalType":"timestamp-micros"}`},
		"a date to a number":    {`{"type":"int","logicalType":"date"}`, `"long"`},
		"a field inside":        {rec("r", `"name":"a","type":`+rec("s", `"name":"b","type":"string"`)), rec("r", `"name":"a","type":`+rec("s", `"name":"b","type":"int"`))},
		"a recursive one":       {`{"type":"record","name":"L","fields":[{"name":"v","type":"string"},{"name":"next","type":["null","L"]}]}`, `{"type":"record","name":"L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}`},
		"one branch of several": {`["int","string"]`, `"long"`},
	} {
		if _, err := projection(t, tt[0], tt[1]); !errors.Is(err, ErrProjection) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same in other words is the same.
	if _, err := projection(t, `{"type":"bytes","logicalType":"decimal","precision":9}`, `{"type":"bytes","logicalType":"decimal","precision":9,"scale":0}`); err != nil {
		t.Error(err)
	}
}

// TestValuesThatHaveNoCounterpart: the schemas allow a projection, these bodies do not.
func TestValuesThatHaveNoCounterpart(t *testing.T) {
	t.Parallel()
	deep := func(n int) []byte { return cat(bytes.Repeat(varint(1), n), varint(0)) }
	const node, wrapped = `{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]}]}`, `{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]},{"name":"x","type":"int","default":1}]}`
	for name, tt := range map[string]struct {
		writer, reader string
		body           []byte
		says           string
	}{
		"bytes that are no text": {rec("r", `"name":"a","type":"bytes"`), rec("r", `"name":"a","type":"string"`), cat(varint(1), []byte{0xff}), "field a at byte 1: " + reasonUTF8},
		"too deep":               {node, wrapped, deep(maxDepth + 1), reasonDepth},
		"too large":              {`{"type":"array","items":"null"}`, `{"type":"array","items":["null","int"]}`, cat(varint(math.MaxInt32-8), varint(0)), reasonLarge},
		"far too large":          {`{"type":"array","items":` + rec("e") + `}`, `{"type":"array","items":` + rec("e", `"name":"s","type":"string","default":"`+strings.Repeat("x", 5000)+`"`) + `}`, cat(varint(math.MaxInt32-8), varint(0)), reasonLarge},
	} {
		p, err := projection(t, tt.writer, tt.reader)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := p.Append(nil, tt.body); !errors.Is(err, ErrProjection) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
	p, err := projection(t, node, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Append(nil, deep(maxDepth-1)); err != nil {
		t.Errorf("as deep as a value may be: %v", err)
	}
}

// TestProjectionIsBounded: schemas whose types are used again and again.
func TestProjectionIsBounded(t *testing.T) {
	t.Parallel()
	schema := func(typ string) string {
		inner := fmt.Sprintf("%q", typ)
		for i := range 60 {
			name := fmt.Sprintf("R%d", i)
			again := inner
			if i > 0 {
				again = fmt.Sprintf(`"R%d"`, i-1)
			}
			inner = rec(name, `"name":"a","type":`+inner, `"name":"b","type":["null",`+again+`]`)
		}
		return inner
	}
	if _, err := projection(t, schema("int"), schema("long")); err != nil {
		t.Error(err)
	}
}

func BenchmarkProjection(b *testing.B) {
	in := bodies(b, 2500)
	w, err := Compile(ladder)
	if err != nil {
		b.Fatal(err)
	}
	r, err := Compile(strings.Replace(ladder, `{"name":"tier"`, `{"name":"more","type":["null","string"],"default":null},{"name":"tier"`, 1))
	if err != nil {
		b.Fatal(err)
	}
	p, err := NewProjection(w, r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var out []byte
	i := 0
	for b.Loop() {
		if out, err = p.Append(out[:0], in[i%len(in)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
