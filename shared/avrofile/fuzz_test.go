package avrofile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	hamba "github.com/hamba/avro/v2"
	hocf "github.com/hamba/avro/v2/ocf"
	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"
	tocf "github.com/twmb/avro/ocf"
)

// seeds gives a fuzz target random decisions to begin with, always the same.
func seeds(n int, add func(data []byte, more ...byte)) {
	rng := rand.New(rand.NewSource(6))
	for range n {
		data := make([]byte, 4+rng.Intn(300))
		rng.Read(data)
		add(data, byte(rng.Intn(256)), byte(rng.Intn(256)), byte(rng.Intn(256)))
	}
}

// mutate changes a body a little, or not at all.
func mutate(body []byte, how, at, with byte) []byte {
	out := bytes.Clone(body)
	if len(out) == 0 {
		return append(out, bytes.Repeat([]byte{with}, int(how%3))...)
	}
	i := int(at) * len(out) / 256
	switch how % 8 {
	case 1:
		out[i] = with
	case 2:
		out[i] ^= 1 << (with % 8)
	case 3:
		out = out[:i]
	case 4:
		out = append(out, with)
	case 5:
		out = append(out[:i], append([]byte{with}, out[i:]...)...)
	case 6:
		out = append(out[:i], out[i+1:]...)
	}
	return out
}

// sane recovers what an oracle panics with: that is its verdict too.
func sane(f func() (rest []byte, err error)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panics: %v", p)
		}
	}()
	rest, err := f()
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes are left")
	}
	return err
}

// FuzzWalk compares the walk with two other readers on random schemas, random values and values that were tampered with.
func FuzzWalk(f *testing.F) {
	seeds(200, func(data []byte, more ...byte) { f.Add(data, more[0], more[1], more[2]) })
	f.Fuzz(func(t *testing.T, data []byte, how, at, with byte) {
		m := maker{dice: &dice{data: data}}
		s := m.schema(0)
		good := m.body(nil, s, 0)
		if m.lost {
			return
		}
		text := s.text(true)
		walk, err := Compile(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := walk.Check(good); err != nil {
			t.Fatalf("%s: a good body %x is refused: %v", text, good, err)
		}
		body := mutate(good, how, at, with)
		err = walk.Check(body)
		wantQuickRight(t, walk, body)
		other, parseErr := avro.Parse(text)
		if parseErr != nil {
			t.Fatalf("%s: %v", text, parseErr)
		}
		// A block of some billion items without bytes is no value to decode here, and some thousands are more than
		// twmb/avro takes.
		if err == nil && idleItems(s) {
			return
		}
		var v any
		if err != nil && strings.Contains(err.Error(), reasonCount) {
			return
		}
		theirs := sane(func() ([]byte, error) { return other.Decode(body, &v) })
		switch {
		case err == nil && theirs != nil:
			t.Errorf("taken, twmb/avro refuses it (%v)\n%s\n%x", theirs, text, body)
		case err != nil && theirs == nil && !lenient(err):
			t.Errorf("refused (%v), twmb/avro takes it\n%s\n%x", err, text, body)
		}
		third, parseErr := goavro.NewCodec(text)
		if err != nil || parseErr != nil {
			return
		}
		theirs = sane(func() ([]byte, error) { _, rest, err := third.NativeFromBinary(body); return rest, err })
		if theirs != nil && !strings.Contains(theirs.Error(), "duplicate key") {
			t.Errorf("taken, goavro refuses it (%v)\n%s\n%x", theirs, text, body)
		}
	})
}

// lenient says that an error is about what other readers let pass: they take a boolean of 2, text that is not UTF-8,
// and numbers that are written in too many bytes, and have other bounds for depth and for items without bytes.
func lenient(err error) bool {
	for _, reason := range []string{reasonUTF8, reasonBoolean, reasonDepth, reasonCount, reasonVarint, reasonBlock} {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	return false
}

// idleItems says whether there is an array whose items take no bytes.
func idleItems(s *model) bool { return idleOnce(s, map[*model]bool{}) }

func idleOnce(s *model, seen map[*model]bool) bool {
	if seen[s] {
		return false
	}
	seen[s] = true
	if s.kind == "array" && noBytes(s.items[0], map[*model]bool{}) {
		return true
	}
	for _, b := range s.items {
		if idleOnce(b, seen) {
			return true
		}
	}
	for _, f := range s.fields {
		if idleOnce(f.typ, seen) {
			return true
		}
	}
	return false
}

func noBytes(s *model, seen map[*model]bool) bool {
	if s.kind == "null" || s.kind == "fixed" && s.size == 0 {
		return true
	}
	if s.kind != "record" || seen[s] {
		return false
	}
	seen[s] = true
	defer delete(seen, s)
	for _, f := range s.fields {
		if !noBytes(f.typ, seen) {
			return false
		}
	}
	return true
}

// FuzzContainer writes files of random schemas, values and codecs, and has three other readers read them.
func FuzzContainer(f *testing.F) {
	seeds(100, func(data []byte, more ...byte) { f.Add(data, more[0], more[1]) })
	f.Fuzz(func(t *testing.T, data []byte, codec, count byte) {
		m := maker{dice: &dice{data: data}}
		s := m.schema(0)
		text := s.text(true)
		name := codecs[int(codec)%len(codecs)]
		format, err := NewFormat(text, name)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := avro.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var file bytes.Buffer
		w := format.NewWriter(&file, Sync{count})
		var want []any
		size := 0
		for range count % 40 {
			body := m.body(nil, s, 0)
			if m.lost {
				break
			}
			var v any
			if _, err := schema.Decode(body, &v); err != nil {
				t.Fatalf("%s: %x: %v", text, body, err)
			}
			// Several blocks come from repeating a record.
			for range 1 + int(codec>>5)*m.n(30) {
				if size += len(body); size > 2*blockSize || len(want) > 5000 {
					break
				}
				if err := w.Append(body); err != nil {
					t.Fatal(err)
				}
				want = append(want, v)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err := Count(bytes.NewReader(file.Bytes())); err != nil || n != int64(len(want)) {
			t.Fatalf("%s %s: %d records are counted, %d were written: %v", name, text, n, len(want), err)
		}
		readByTwmb(t, file.Bytes(), want)
		if noBytes(s, map[*model]bool{}) {
			// Blocks without a byte are more than these two can read.
			return
		}
		if got := countByGoavro(t, file.Bytes(), text, name); got >= 0 && got != len(want) {
			t.Errorf("%s %s: goavro reads %d records of %d", name, text, got, len(want))
		}
		if got := countByHamba(t, file.Bytes(), text); got >= 0 && got != len(want) {
			t.Errorf("%s %s: hamba/avro reads %d records of %d", name, text, got, len(want))
		}
	})
}

func readByTwmb(t *testing.T, file []byte, want []any) {
	t.Helper()
	r, err := tocf.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		var v any
		err := r.Decode(&v)
		if errors.Is(err, io.EOF) {
			if i != len(want) {
				t.Errorf("twmb/avro reads %d records of %d", i, len(want))
			}
			return
		}
		if err != nil {
			t.Fatalf("twmb/avro: record %d: %v", i, err)
		}
		if !alikeValues(v, want[i]) {
			t.Fatalf("twmb/avro: record %d is %#v, want %#v", i, v, want[i])
		}
	}
}

// countByGoavro is how many records goavro reads, -1 when it takes no such schema or codec at all.
func countByGoavro(t *testing.T, file []byte, text, codec string) int {
	t.Helper()
	if _, err := goavro.NewCodec(text); err != nil || codec == Zstandard {
		return -1
	}
	r, err := goavro.NewOCFReader(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("goavro: %s: %v", text, err)
	}
	n := 0
	for r.Scan() {
		if _, err := r.Read(); err != nil {
			t.Fatalf("goavro: %s: record %d: %v", text, n, err)
		}
		n++
	}
	if err := r.Err(); err != nil {
		t.Fatalf("goavro: %s: %v", text, err)
	}
	return n
}

func countByHamba(t *testing.T, file []byte, text string) int {
	t.Helper()
	// It keeps types by their names, which other schemas have too.
	r, err := hocf.NewDecoder(bytes.NewReader(file), hocf.WithDecoderConfig(hamba.Config{}.Freeze()), hocf.WithDecoderSchemaCache(&hamba.SchemaCache{}))
	if err != nil {
		return -1
	}
	n := 0
	for r.HasNext() {
		var v any
		if err := r.Decode(&v); err != nil {
			t.Fatalf("hamba/avro: %s: record %d: %v", text, n, err)
		}
		n++
	}
	if err := r.Error(); err != nil {
		t.Fatalf("hamba/avro: %s: %v", text, err)
	}
	return n
}

// FuzzProjection compares projected bodies with what another library's schema resolution reads from the original ones.
func FuzzProjection(f *testing.F) {
	seeds(300, func(data []byte, more ...byte) { f.Add(data, append(more, data...)) })
	f.Fuzz(func(t *testing.T, data, evolution []byte) {
		m := maker{dice: &dice{data: data}}
		s := m.schema(0)
		e := maker{dice: &dice{data: evolution}, count: m.count}
		to := e.evolve(s, map[*model]*model{})
		plainWriter, plainReader := avro.MustParse(s.text(true)), avro.MustParse(to.text(true))
		writer, err := Compile(s.text(false))
		if err != nil {
			t.Fatalf("%s: %v", s.text(false), err)
		}
		reader, err := Compile(to.text(false))
		if err != nil {
			t.Fatalf("%s: %v", to.text(false), err)
		}
		p, err := NewProjection(writer, reader)
		resolved, theirs := avro.Resolve(plainWriter, plainReader)
		switch {
		case err != nil && strings.Contains(err.Error(), "different logical types"):
			return
		case err != nil && theirs == nil:
			t.Fatalf("%s\n%s: refused (%v), twmb/avro takes it", s.text(false), to.text(false), err)
		case err == nil && theirs != nil:
			t.Fatalf("%s\n%s: taken, twmb/avro refuses it (%v)", s.text(false), to.text(false), theirs)
		case err != nil:
			return
		}
		body := m.body(nil, s, 0)
		if m.lost {
			return
		}
		var want, got any
		if _, err := resolved.Decode(body, &want, avro.TaggedUnions()); err != nil {
			t.Fatalf("%s\n%s: %x: twmb/avro: %v", s.text(true), to.text(true), body, err)
		}
		projected, err := p.Append([]byte("before"), body)
		if err != nil {
			t.Fatalf("%s\n%s: %x: %v", s.text(true), to.text(true), body, err)
		}
		if rest, err := plainReader.Decode(projected[len("before"):], &got, avro.TaggedUnions()); err != nil || len(rest) > 0 {
			t.Fatalf("%s\n%s: %x became %x: %v", s.text(true), to.text(true), body, projected, err)
		}
		if !alikeValues(got, want) {
			t.Fatalf("%s\n%s: %x became %x,\n%#v, want\n%#v", s.text(true), to.text(true), body, projected, got, want)
		}
		again, err := p.Append(nil, body)
		if err != nil || !bytes.Equal(again, projected[len("before"):]) {
			t.Fatalf("the same body became %x and %x", projected, again)
		}
	})
}

// alikeValues is DeepEqual, with floating point numbers compared bit by bit.
func alikeValues(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case float32:
		b, ok := b.(float32)
		return ok && math.Float32bits(a) == math.Float32bits(b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !alikeValues(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			other, found := b[k]
			if !found || !alikeValues(a[k], other) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}
