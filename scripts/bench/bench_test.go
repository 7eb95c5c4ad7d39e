package main

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/riftline/riftline/shared/avrofile"
)

// Records are what their schemas say, of the sizes that the report names, and the same each time.
func TestRecords(t *testing.T) {
	t.Parallel()
	sizes := map[string][2]int{"ladder": {290, 298}, "small": {160, 168}, "matches": {54_000, 64_000}}
	for name, k := range kinds {
		codec, err := goavro.NewCodec(k.schema)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		random, again := k.random(), k.random()
		for n := range 20 {
			body := k.append(nil, random, n)
			if _, rest, err := codec.NativeFromBinary(body); err != nil || len(rest) > 0 {
				t.Fatalf("%s: %v, %d bytes are left", name, err, len(rest))
			}
			if len(body) < sizes[name][0] || len(body) > sizes[name][1] {
				t.Errorf("%s: a record of %d bytes", name, len(body))
			}
			if !bytes.Equal(body, k.append(nil, again, n)) {
				t.Errorf("%s: record %d is another one the second time", name, n)
			}
		}
	}
}

// file writes a container file and returns it with the digest of its records.
func file(t *testing.T, k kind, codec string, records int) ([]byte, digest) {
	t.Helper()
	format, err := avrofile.NewFormat(k.schema, codec)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var d digest
	w := format.NewWriter(&out, avrofile.SyncOf("t", 0, 0))
	random := k.random()
	for n := range records {
		body := k.append(nil, random, n)
		d.add(body)
		if err := w.Append(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), d
}

// A file is counted whatever the pieces are in which it comes.
func TestContainerCount(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"null", "snappy", "zstandard"} {
		data, want := file(t, kinds["small"], codec, 5000)
		random := rand.New(rand.NewPCG(1, 2))
		for _, most := range []int{1, 7, 4096, len(data)} {
			var c containerCount
			for rest := data; len(rest) > 0; {
				n := min(1+random.IntN(most), len(rest))
				if _, err := c.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := c.end(); err != nil {
				t.Fatal(err)
			}
			if c.codec != codec || c.Records != want.Records || codec == "null" && c.digest != want {
				t.Errorf("%s in pieces of up to %d: %+v, want %+v", codec, most, c.digest, want)
			}
		}
	}
}

func TestContainerCountRefuses(t *testing.T) {
	t.Parallel()
	data, _ := file(t, kinds["small"], "null", 100)
	marker := slices.Clone(data)
	marker[len(marker)-1]++
	for name, bad := range map[string][]byte{
		"cut off": data[:len(data)-1], "another sync marker": marker, "no container file": []byte("PAR1 and more"), "empty": nil,
		"an endless header": append([]byte("Obj\x01\x02"), bytes.Repeat([]byte{0xff}, maxHeader)...),
	} {
		var c containerCount
		_, err := c.Write(bad)
		if err = errors.Join(err, c.end()); !errors.Is(err, errContainer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJoinCRC(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("a few words, "), 1000)
	for _, at := range []int{0, 1, 5, 4096, len(text)} {
		got := joinCRC(crc32.Checksum(text[:at], castagnoli), crc32.Checksum(text[at:], castagnoli), int64(len(text)-at))
		if want := crc32.Checksum(text, castagnoli); got != want {
			t.Errorf("cut at %d: %08x, want %08x", at, got, want)
		}
	}
}

// An archive that is not what was produced is an error.
func TestCompare(t *testing.T) {
	t.Parallel()
	k := kinds["small"]
	random := k.random()
	produced := &topic{kind: k, topic: "t", partitions: 1, content: make([]digest, 1)}
	var objects []stored
	for n := range 10 {
		body := k.append(nil, random, n)
		produced.content[0].add(body)
		if n%4 == 0 {
			objects = append(objects, stored{Name: "topics/t/partition=0/t+0+000000000" + string(rune('0'+n)) + ".avro", Codec: "null"})
		}
		objects[len(objects)-1].add(body)
	}
	d := drain{topic: produced, codec: "null", flush: 4}
	if err := compare(d, slices.Clone(objects)); err != nil {
		t.Fatal(err)
	}
	change := func(f func(o []stored) []stored) []stored { return f(slices.Clone(objects)) }
	for name, bad := range map[string][]stored{
		"an object too few":  objects[1:],
		"an object twice":    append(slices.Clone(objects), objects[2]),
		"other bytes":        change(func(o []stored) []stored { o[1].CRC32C++; return o }),
		"another order":      change(func(o []stored) []stored { o[0].digest, o[1].digest = o[1].digest, o[0].digest; return o }),
		"a record too few":   change(func(o []stored) []stored { o[1].Records--; return o }),
		"another codec":      change(func(o []stored) []stored { o[1].Codec = "snappy"; return o }),
		"another topic":      change(func(o []stored) []stored { o[1].Name = strings.ReplaceAll(o[1].Name, "t+0", "x+0"); return o }),
		"another partition":  change(func(o []stored) []stored { o[1].Name = strings.ReplaceAll(o[1].Name, "t+0", "t+1"); return o }),
		"one object for two": {{Name: objects[0].Name, Codec: "null", digest: produced.content[0]}},
	} {
		if err := compare(d, bad); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	read := func(vars map[string]string) error {
		_, err := readSettings(func(name string) string { return vars[name] })
		return err
	}
	for _, good := range []map[string]string{nil, {"BENCH_RECORDS": "20_000", "BENCH_ONLY": "ladder, poll"}} {
		if err := read(good); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, bad := range []map[string]string{{"BENCH_RUNS": "0"}, {"BENCH_RECORDS": "many"}, {"BENCH_ONLY": "ladders"}} {
		if err := read(bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
