package avrofile

import (
	"errors"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/riftline/riftline/shared/record"
)

const fieldSchema = `{"type":"record","name":"r","fields":[
 {"name":"before","type":{"type":"array","items":"string"}},
 {"name":"i","type":"int"},
 {"name":"l","type":"long"},
 {"name":"b","type":"boolean"},
 {"name":"s","type":"string"},
 {"name":"e","type":{"type":"enum","name":"color","symbols":["RED","GREEN"]}},
 {"name":"u","type":["null","string"],"default":null},
 {"name":"n","type":["long","null"],"default":7},
 {"name":"in","type":{"type":"record","name":"inner","fields":[
   {"name":"a","type":"string"},{"name":"deep","type":["null",{"type":"record","name":"deeper","fields":[{"name":"x","type":"long"},{"name":"y","type":["boolean","null"],"default":true}]}],"default":null}]}},
 {"name":"again","type":"inner"},
 {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
 {"name":"connect","type":{"type":"long","connect.name":"org.apache.kafka.connect.data.Timestamp"}},
 {"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
 {"name":"micros","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"day","type":{"type":"int","logicalType":"date"}},
 {"name":"clock","type":{"type":"int","connect.name":"org.apache.kafka.connect.data.Time"}},
 {"name":"d","type":"double"},
 {"name":"y","type":"bytes"},
 {"name":"m","type":{"type":"map","values":"string"}},
 {"name":"either","type":["string","long"]},
 {"name":"three","type":["null","string","long"]},
 {"name":"self","type":["null","r"]}
]}`

func fieldBody(t testing.TB, change func(map[string]any)) []byte {
	t.Helper()
	codec, err := goavro.NewCodec(fieldSchema)
	if err != nil {
		t.Fatal(err)
	}
	inner := map[string]any{"a": "first", "deep": goavro.Union("deeper", map[string]any{"x": 5, "y": goavro.Union("boolean", false)})}
	native := map[string]any{
		"before": []any{"one", "two"}, "i": 1, "l": int64(-1) << 40, "b": true, "s": "text", "e": "GREEN", "u": goavro.Union("string", "there"),
		"n": goavro.Union("long", 3), "in": inner, "again": map[string]any{"a": "second", "deep": nil}, "at": int64(1764393600000),
		"connect": 9, "uuid": "0", "micros": int64(1764393600000000), "day": 0, "clock": 0, "d": 1.5, "y": []byte("y"), "m": map[string]any{"k": "v"},
		"either": goavro.Union("string", "x"), "three": nil, "self": nil,
	}
	change(native)
	// Logical types are written as the numbers they are.
	plain, err := goavro.NewCodec(strings.NewReplacer(`,"logicalType":"timestamp-millis"`, "", `,"logicalType":"timestamp-micros"`, "", `,"logicalType":"date"`, "").Replace(fieldSchema))
	if err != nil {
		t.Fatal(err)
	}
	_ = codec
	b, err := plain.BinaryFromNative(nil, native)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func textOf(s string) record.Scalar  { return record.Scalar{Kind: record.TextScalar, Text: []byte(s)} }
func numberOf(n int64) record.Scalar { return record.Scalar{Kind: record.IntScalar, Int: n} }

func equal(a, b record.Scalar) bool {
	return a.Kind == b.Kind && a.Int == b.Int && string(a.Text) == string(b.Text)
}

func TestFieldsAreRead(t *testing.T) {
	w, err := Compile(fieldSchema)
	if err != nil {
		t.Fatal(err)
	}
	yes, no := record.Scalar{Kind: record.BoolScalar, Int: 1}, record.Scalar{Kind: record.BoolScalar}
	plain := func(map[string]any) {}
	tests := []struct {
		name, path string
		change     func(map[string]any)
		want       record.Scalar
	}{
		{"an int", "i", plain, numberOf(1)},
		{"a long", "l", plain, numberOf(-1 << 40)},
		{"a boolean", "b", plain, yes},
		{"a string", "s", plain, textOf("text")},
		{"an empty string", "s", func(m map[string]any) { m["s"] = "" }, textOf("")},
		{"an enum", "e", plain, textOf("GREEN")},
		{"an optional value", "u", plain, textOf("there")},
		{"a null", "u", func(m map[string]any) { m["u"] = nil }, record.Scalar{}},
		{"a value with a default", "n", plain, numberOf(3)},
		{"a null with a default", "n", func(m map[string]any) { m["n"] = nil }, numberOf(7)},
		{"a nested value", "in.a", plain, textOf("first")},
		{"the same type at another place", "again.a", plain, textOf("second")},
		{"two levels", "in.deep.x", plain, numberOf(5)},
		{"an optional one below", "in.deep.y", plain, no},
		{"a default below", "in.deep.y", func(m map[string]any) {
			m["in"] = map[string]any{"a": "", "deep": goavro.Union("deeper", map[string]any{"x": 5, "y": nil})}
		}, yes},
		{"in a record that is null", "again.deep.x", plain, record.Scalar{}},
		{"in a record that is null, with a default", "again.deep.y", plain, record.Scalar{}},
		{"a uuid", "uuid", plain, textOf("0")},
		{"microseconds are a number", "micros", plain, numberOf(1764393600000000)},
		{"in the type itself", "self.l", func(m map[string]any) {}, record.Scalar{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := w.Fields([]string{tt.path})
			if err != nil {
				t.Fatal(err)
			}
			var got [1]record.Scalar
			if err := f.Check(fieldBody(t, tt.change), got[:]); err != nil {
				t.Fatal(err)
			}
			if !equal(got[0], tt.want) {
				t.Errorf("%+v, want %+v", got[0], tt.want)
			}
		})
	}
}

func TestFieldsTogether(t *testing.T) {
	w, err := Compile(fieldSchema)
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"again.a", "s", "in.a", "in.deep.x", "s", "at", "connect"}
	f, err := w.Fields(paths, "at", "connect")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]record.Scalar, len(paths))
	body := fieldBody(t, func(map[string]any) {})
	for range 2 {
		if err := f.Check(body, got); err != nil {
			t.Fatal(err)
		}
		for i, want := range []record.Scalar{textOf("second"), textOf("text"), textOf("first"), numberOf(5), textOf("text"), numberOf(1764393600000), numberOf(9)} {
			if !equal(got[i], want) {
				t.Errorf("%s: %+v, want %+v", paths[i], got[i], want)
			}
		}
	}
	if err := f.Check(body[:len(body)-1], got); !errors.Is(err, ErrBody) {
		t.Errorf("a short body: %v", err)
	}
	if err := f.Check(append(body, 0), got); !errors.Is(err, ErrBody) {
		t.Errorf("a long body: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = f.Check(body, got) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestManyFields(t *testing.T) {
	w, err := Compile(fieldSchema)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for range 21 {
		paths = append(paths, "s")
	}
	f, err := w.Fields(paths)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]record.Scalar, len(paths))
	if err := f.Check(fieldBody(t, func(map[string]any) {}), got); err != nil || !equal(got[len(got)-1], textOf("text")) {
		t.Fatalf("%v, %+v", err, got)
	}
	f, err = w.Fields(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(fieldBody(t, func(map[string]any) {}), nil); err != nil {
		t.Fatal(err)
	}
}

func TestFieldsThatAreRefused(t *testing.T) {
	w, err := Compile(fieldSchema)
	if err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		"none": "no field none", "in.none": "no field none", "s.x": "s is not a record", "in": "neither a whole number", "d": "neither a whole number",
		"y": "neither a whole number", "m": "neither", "m.k": "not a record", "either": "it is a union", "three": "it is a union", "three.x": "a union is on the way",
		"at": "a timestamp", "connect": "a timestamp", "day": "a date", "clock": "a date or a time", "": "no field", "in.": "no field", "before": "neither",
	} {
		if _, err := w.Fields([]string{path}); !errors.Is(err, ErrField) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	w, err = Compile(`"string"`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Fields([]string{"a"}); !errors.Is(err, ErrField) || !strings.Contains(err.Error(), "the value is not a record") {
		t.Error(err)
	}
}

func BenchmarkFields(b *testing.B) {
	w, err := Compile(ladder)
	if err != nil {
		b.Fatal(err)
	}
	body := ladderBody(b, 10)
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := w.Check(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	f, err := w.Fields([]string{"tier", "miniSeries.progress", "polled_at"}, "polled_at")
	if err != nil {
		b.Fatal(err)
	}
	values := make([]record.Scalar, 3)
	b.Run("check and three fields", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := f.Check(body, values); err != nil {
				b.Fatal(err)
			}
		}
	})
}
