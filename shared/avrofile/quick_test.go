package avrofile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/record"
)

// wantQuickRight fails when the quick program takes a body that the other one refuses.
func wantQuickRight(t *testing.T, w *Walk, body []byte) {
	t.Helper()
	if !w.quick.fits(body, nil) {
		return
	}
	c := checker{b: body}
	if err := c.check(w.main); err != nil {
		t.Fatalf("the quick program takes what does not fit (%v)\n%s\n%x", err, w.text, body)
	}
}

// Every way of writing a number, at every distance from the body's end, is taken by both programs or by none.
func TestQuickNumbers(t *testing.T) {
	var numbers [][]byte
	for n := 1; n <= 11; n++ {
		for _, last := range []byte{0, 1, 2, 0x0f, 0x10, 0x7f} {
			for _, other := range []byte{0x80, 0xff} {
				numbers = append(numbers, append(bytes.Repeat([]byte{other}, n-1), last))
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []string{"long", "int"} {
		for fields := 1; fields <= 12; fields++ {
			var text []string
			for i := range fields {
				text = append(text, fmt.Sprintf(`{"name":"f%d","type":%q}`, i, kind))
			}
			w, err := Compile(`{"type":"record","name":"R","fields":[` + strings.Join(text, ",") + `]}`)
			if err != nil {
				t.Fatal(err)
			}
			taken := 0
			for range 3000 {
				var body []byte
				for range fields - random.IntN(2) {
					n := numbers[random.IntN(len(numbers))]
					if random.IntN(4) > 0 {
						n = numbers[random.IntN(12)]
					}
					body = append(body, n...)
				}
				body = body[:len(body)-random.IntN(2)*random.IntN(len(body)+1)]
				c := checker{b: body}
				slow, quick := c.check(w.main) == nil, w.quick.fits(body, nil)
				if slow != quick {
					t.Fatalf("%d fields of type %s, %x: %v and quickly %v", fields, kind, body, slow, quick)
				}
				if quick {
					taken++
				}
			}
			if taken < 100 {
				t.Errorf("%d fields of type %s: only %d bodies were taken", fields, kind, taken)
			}
		}
	}
}

// A byte beyond ASCII is seen wherever it stands in a text.
func TestQuickTexts(t *testing.T) {
	w, err := Compile(`"string"`)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 70 {
		good := bytes.Repeat([]byte("a"), n)
		if !w.quick.fits(cat(varint(int64(n)), good), nil) {
			t.Errorf("%d letters are not taken", n)
		}
		for at := range n {
			bad := bytes.Clone(good)
			bad[at] = 0xff
			if w.quick.fits(cat(varint(int64(n)), bad), nil) {
				t.Errorf("byte %d of %d is not looked at", at, n)
			}
			if at+1 < n {
				copy(bad[at:], "é")
				if !w.quick.fits(cat(varint(int64(n)), bad), nil) {
					t.Errorf("a letter of two bytes at %d of %d is not taken", at, n)
				}
			}
		}
	}
}

// What drains are about is taken by the quick program, so that it is not there for nothing.
func TestQuickTakesWhatIsUsual(t *testing.T) {
	usual := map[string][]byte{
		ladder: ladderBody(t, 1),
		`{"type":"record","name":"L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}`: {2, 2, 4, 0},
		`{"type":"map","values":{"type":"array","items":"long"}}`:                                               cat(varint(2), text("a"), varint(2), varint(5), varint(1<<40), varint(0), text("b"), varint(0), varint(0)),
		`{"type":"record","name":"M","fields":[{"name":"a","type":"bytes"},{"name":"b","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"c","type":{"type":"fixed","name":"F","size":3}},{"name":"d","type":"double"},{"name":"e","type":{"type":"array","items":"string"}}]}`: cat(text("xyz"), varint(1), []byte("abc12345678"), varint(1), text("s"), varint(0)),
	}
	for schema, body := range usual {
		w, err := Compile(schema)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Check(body); err != nil {
			t.Fatal(err)
		}
		if !w.quick.fits(body, nil) {
			t.Errorf("%s: %x is not taken", schema, body)
		}
	}
	w, err := Compile(`{"type":"map","values":"double"}`)
	if err != nil {
		t.Fatal(err)
	}
	body := cat(varint(2), text("key"), make([]byte, 8), text("a longer key"), make([]byte, 8), varint(0))
	for n := range len(body) + 1 {
		if got := w.quick.fits(body[:n], nil); got != (n == len(body)) {
			t.Errorf("%d of %d bytes of a map: %v", n, len(body), got)
		}
	}
	if w, err = Compile(ladder); err != nil {
		t.Fatal(err)
	}
	f, err := w.Fields([]string{"puuid"})
	if err != nil {
		t.Fatal(err)
	}
	if !f.quick.fits(ladderBody(t, 1), make([]record.Scalar, 1)) {
		t.Error("with a field that is read, nothing is taken")
	}
}
