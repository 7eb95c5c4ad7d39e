package avrofile

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/hamba/avro/v2/ocf"
	twmb "github.com/twmb/avro/ocf"
)

type counted struct {
	N   int64  `avro:"n"`
	Pad string `avro:"pad"`
}

const countedSchema = `{"type":"record","name":"counted","fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"}]}`

// foreign is a file of n records by a writer that is not ours.
func foreign(t testing.TB, n int, codec ocf.CodecName) []byte {
	t.Helper()
	var b bytes.Buffer
	e, err := ocf.NewEncoder(countedSchema, &b, ocf.WithCodec(codec), ocf.WithBlockLength(7))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := e.Encode(counted{int64(i), "pad"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCount(t *testing.T) {
	t.Parallel()
	for _, codec := range []ocf.CodecName{ocf.Null, ocf.Deflate, ocf.Snappy, ocf.ZStandard} {
		for _, n := range []int{0, 1, 3, 7, 1000} {
			data := foreign(t, n, codec)
			for name, r := range map[string]io.Reader{"whole": bytes.NewReader(data), "in bytes": iotest.OneByteReader(bytes.NewReader(data))} {
				if got, err := Count(r); err != nil || got != int64(n) {
					t.Errorf("%s, %d records, %s: %d, %v", codec, n, name, got, err)
				}
			}
		}
	}
}

// TestCountOfOurOwn: a block's last record may be larger than the reader's buffer.
func TestCountOfOurOwn(t *testing.T) {
	t.Parallel()
	f, err := NewFormat(`"bytes"`, Deflate)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := f.NewWriter(&b, SyncOf("topic", 0, 0))
	for range 9 {
		if err := w.Append(append([]byte{0x80, 0x80, 0x28}, make([]byte, 0x50000)...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := Count(&b); err != nil || got != 9 {
		t.Fatalf("%d, %v", got, err)
	}
}

func TestCountRefuses(t *testing.T) {
	t.Parallel()
	good := foreign(t, 20, ocf.Null)
	wrongSync := bytes.Clone(good)
	wrongSync[len(wrongSync)-1] ^= 1
	for name, data := range map[string][]byte{
		"nothing":          {},
		"JSON":             []byte(`{"n":1}` + "\n"),
		"another version":  append([]byte("Obj\x02"), good[4:]...),
		"wrong sync":       wrongSync,
		"text at the end":  append(bytes.Clone(good), 2),
		"endless number":   append([]byte("Obj\x01"), bytes.Repeat([]byte{0xff}, 20)...),
		"negative length":  []byte("Obj\x01\x02\x01"),
		"negative records": append(bytes.Clone(foreign(t, 0, ocf.Null)), 1, 0),
	} {
		if n, err := Count(bytes.NewReader(data)); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	whole := 0
	for cut := range good {
		if _, err := Count(bytes.NewReader(good[:cut])); err == nil {
			whole++
		} else if !errors.Is(err, ErrFile) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	// A file that ends between two blocks is one: nothing in the format says how many there are.
	if whole != 3 {
		t.Errorf("%d of the file's beginnings are taken for files, want 3", whole)
	}
	broken := errors.New("broken")
	if _, err := Count(io.MultiReader(bytes.NewReader(good[:len(good)-5]), iotest.ErrReader(broken))); !errors.Is(err, broken) || errors.Is(err, ErrFile) {
		t.Errorf("an error of the reader: %v", err)
	}
}

// FuzzCount: another reader counts the same wherever it reads to the end.
func FuzzCount(f *testing.F) {
	f.Add(foreign(f, 3, ocf.Null))
	f.Add(foreign(f, 20, ocf.Deflate))
	f.Add([]byte("Obj\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Count(bytes.NewReader(data))
		if err != nil {
			return
		}
		r, err := twmb.NewReader(bytes.NewReader(data))
		if err != nil {
			return // a schema or a codec that it does not know
		}
		defer func() { _ = r.Close() }()
		var read int64
		for {
			var v any
			err := r.Decode(&v)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return
			}
			read++
		}
		if read != n {
			t.Fatalf("%d records, counted %d", read, n)
		}
	})
}
