//go:build unix

package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/avrofile"
)

// encodedValues is a case of write_values.py.
type encodedValues struct {
	Writer string            `json:"writer"`
	Reader *string           `json:"reader"`
	Bodies []string          `json:"bodies"`
	Want   []json.RawMessage `json:"want"`
}

// TestReadersAgree has fastavro and Apache Avro's Java library read files of every codec and every kind of schema, of
// values that fastavro encoded, and compares each record with what fastavro was given. Projected records are compared
// with fastavro's and Java's own resolution of the original ones.
func TestReadersAgree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	python(t, "write_values.py", dir)
	cases := map[string]encodedValues{}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var c encodedValues
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		cases[strings.TrimSuffix(filepath.Base(name), ".json")] = c
	}
	var written, resolved []string // paths; and names of the cases
	var what, whatResolved []string
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		for i, codec := range []string{avrofile.Null, avrofile.Deflate, avrofile.Snappy, avrofile.Zstandard} {
			path := filepath.Join(dir, fmt.Sprintf("%d %s.avro", i, name))
			writeObject(t, path, codec, c)
			written, what = append(written, path), append(what, name)
		}
		if c.Reader == nil {
			continue
		}
		original, schema := filepath.Join(dir, name+".avro"), filepath.Join(dir, name+".avsc")
		writeObject(t, original, avrofile.Null, encodedValues{Writer: c.Writer, Bodies: c.Bodies})
		if err := os.WriteFile(schema, []byte(*c.Reader), 0o600); err != nil {
			t.Fatal(err)
		}
		resolved, whatResolved = append(resolved, original+"="+schema), append(whatResolved, name)
	}
	t.Run("fastavro", func(t *testing.T) {
		compareRecords(t, python(t, "read_json.py", written...), what, cases)
	})
	t.Run("Apache Avro", func(t *testing.T) {
		program := filepath.Join(root, "scripts", "e2e", "testdata", "ReadObjects.java")
		out := avroTools(t, append([]string{program}, append(written, resolved...)...)...)
		compareRecords(t, out, append(what, whatResolved...), cases)
	})
}

// writeObject writes a case's bodies as a drain does.
func writeObject(t *testing.T, path, codec string, c encodedValues) {
	t.Helper()
	walk, err := avrofile.Compile(c.Writer)
	if err != nil {
		t.Fatal(err)
	}
	text, projection := c.Writer, (*avrofile.Projection)(nil)
	if c.Reader != nil {
		text = *c.Reader
		reader, err := avrofile.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if projection, err = avrofile.NewProjection(walk, reader); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	format, err := avrofile.NewFormat(text, codec)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w := format.NewWriter(&file, avrofile.SyncOf("topic", 0, 0))
	for i, b := range c.Bodies {
		body, err := hex.DecodeString(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := walk.Check(body); err != nil {
			t.Fatalf("%s: record %d, %s: %v", path, i, b, err)
		}
		if projection != nil {
			if body, err = projection.Append(nil, body); err != nil {
				t.Fatalf("%s: record %d, %s: %v", path, i, b, err)
			}
		}
		if err := w.Append(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// compareRecords compares what a reader printed, [file, record] a line, with the cases that the files are of.
func compareRecords(t *testing.T, printed string, what []string, cases map[string]encodedValues) {
	t.Helper()
	read := make([]int, len(what))
	for line := range strings.SplitSeq(strings.TrimSuffix(printed, "\n"), "\n") {
		var pair []json.RawMessage
		var file int
		if err := json.Unmarshal([]byte(line), &pair); err != nil || len(pair) != 2 || json.Unmarshal(pair[0], &file) != nil {
			t.Fatalf("%.200s: %v", line, err)
		}
		c := cases[what[file]]
		at := read[file]
		if read[file]++; at >= len(c.Want) {
			t.Fatalf("%s has a record too many: %.200s", what[file], pair[1])
		}
		if !sameJSON(t, pair[1], c.Want[at]) {
			t.Errorf("%s, file %d: record %d is\n%.1000s, want\n%.1000s", what[file], file, at, pair[1], c.Want[at])
		}
	}
	for file, n := range read {
		if want := len(cases[what[file]].Want); n != want {
			t.Errorf("%s, file %d: %d records of %d are read", what[file], file, n, want)
		}
	}
}

// sameJSON compares two JSON texts: numbers by their values, objects whatever their order.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	if bytes.Equal(a, b) {
		return true
	}
	var values [2]any
	for i, text := range [][]byte{a, b} {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&values[i]); err != nil {
			t.Fatalf("%.200s: %v", text, err)
		}
	}
	return sameValue(values[0], values[1])
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, okX := new(big.Rat).SetString(string(a))
		y, okY := new(big.Rat).SetString(string(b))
		return okX && okY && x.Cmp(y) == 0
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameValue)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameValue)
	}
	return a == b
}
