package avrofile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"reflect"
	"testing"

	"github.com/hamba/avro/v2/ocf"
	"github.com/linkedin/goavro/v2"
	tocf "github.com/twmb/avro/ocf"
)

var codecs = []string{Null, Deflate, Snappy, Zstandard}

func write(t testing.TB, codec string, bodies [][]byte) []byte {
	t.Helper()
	f, err := NewFormat(ladder, codec)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := f.NewWriter(&out, SyncOf("challenger", 0, 0))
	for _, b := range bodies {
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func bodies(t testing.TB, n int) [][]byte {
	t.Helper()
	b := make([][]byte, n)
	for i := range b {
		b[i] = ladderBody(t, i%2500)
	}
	return b
}

// decoded is what the records are, by goavro's decoder of single values.
func decoded(t *testing.T, bodies [][]byte) []any {
	t.Helper()
	codec, err := goavro.NewCodec(ladder)
	if err != nil {
		t.Fatal(err)
	}
	var all []any
	for _, b := range bodies {
		v, rest, err := codec.NativeFromBinary(b)
		if err != nil || len(rest) > 0 {
			t.Fatalf("decoding a body: %v, %d bytes left", err, len(rest))
		}
		all = append(all, v)
	}
	return all
}

func TestEveryReaderReadsEveryCodec(t *testing.T) {
	for _, codec := range codecs {
		for _, n := range []int{0, 1, 3, 4000} {
			t.Run(fmt.Sprintf("%s, %d records", codec, n), func(t *testing.T) {
				in := bodies(t, n)
				file := write(t, codec, in)
				want := decoded(t, in)
				if codec != Zstandard {
					readWithGoavro(t, file, want)
				}
				readWithHamba(t, file, want)
				readWithTwmb(t, file, want)
			})
		}
	}
}

func readWithGoavro(t *testing.T, file []byte, want []any) {
	t.Helper()
	r, err := goavro.NewOCFReader(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("goavro: %v", err)
	}
	var got []any
	for r.Scan() {
		v, err := r.Read()
		if err != nil {
			t.Fatalf("goavro: record %d: %v", len(got), err)
		}
		got = append(got, v)
	}
	if err := r.Err(); err != nil {
		t.Fatalf("goavro: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("goavro reads %d records that differ from the %d written", len(got), len(want))
	}
}

type entry struct {
	PUUID        string `avro:"puuid"`
	LeaguePoints int64  `avro:"leaguePoints"`
	Losses       int64  `avro:"losses"`
	HotStreak    bool   `avro:"hotStreak"`
	LeagueID     string `avro:"leagueId"`
}

func same(t *testing.T, reader string, i int, got entry, want []any) {
	t.Helper()
	if i >= len(want) {
		t.Fatalf("%s reads more than the %d records written", reader, len(want))
	}
	m, _ := want[i].(map[string]any)
	if got.PUUID != m["puuid"] || got.LeaguePoints != m["leaguePoints"] || got.Losses != m["losses"] || got.HotStreak != m["hotStreak"] || got.LeagueID != m["leagueId"] {
		t.Fatalf("%s: record %d is %+v, want %v", reader, i, got, m)
	}
}

func readWithHamba(t *testing.T, file []byte, want []any) {
	t.Helper()
	d, err := ocf.NewDecoder(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("hamba: %v", err)
	}
	n := 0
	for ; d.HasNext(); n++ {
		var e entry
		if err := d.Decode(&e); err != nil {
			t.Fatalf("hamba: record %d: %v", n, err)
		}
		same(t, "hamba", n, e, want)
	}
	if err := d.Error(); err != nil {
		t.Fatalf("hamba: %v", err)
	}
	if n != len(want) {
		t.Fatalf("hamba reads %d records of %d", n, len(want))
	}
}

func readWithTwmb(t *testing.T, file []byte, want []any) {
	t.Helper()
	r, err := tocf.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("twmb: %v", err)
	}
	n := 0
	for {
		var m map[string]any
		err := r.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("twmb: record %d: %v", n, err)
		}
		puuid, _ := m["puuid"].(string)
		points, _ := m["leaguePoints"].(int64)
		losses, _ := m["losses"].(int64)
		streak, _ := m["hotStreak"].(bool)
		league, _ := m["leagueId"].(string)
		same(t, "twmb", n, entry{puuid, points, losses, streak, league}, want)
		n++
	}
	if n != len(want) {
		t.Fatalf("twmb reads %d records of %d", n, len(want))
	}
}

func TestFilesAreDeterministic(t *testing.T) {
	in := bodies(t, 5000)
	for _, codec := range codecs {
		first := write(t, codec, in)
		for range 3 {
			if !bytes.Equal(first, write(t, codec, in)) {
				t.Fatalf("%s: the same records give other bytes", codec)
			}
		}
	}
}

func TestSyncDependsOnTheFile(t *testing.T) {
	seen := map[Sync]string{}
	for _, topic := range []string{"challenger", "challenger1"} {
		for _, partition := range []int32{0, 1, 10} {
			for _, first := range []int64{0, 1, 10} {
				at := fmt.Sprint(topic, partition, first)
				s := SyncOf(topic, partition, first)
				if other, ok := seen[s]; ok {
					t.Fatalf("%s has the marker of %s", at, other)
				}
				seen[s] = at
			}
		}
	}
}

// TestBlocks: blocks hold about 256 KiB, and a record is never cut.
func TestBlocks(t *testing.T) {
	f, err := NewFormat(`"bytes"`, Null)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := f.NewWriter(&out, SyncOf("t", 0, 0))
	rng := rand.New(rand.NewSource(1))
	sizes := []int{0, 1, blockSize - 1, blockSize, blockSize + 1, 3 * blockSize, 10, 100_000, 100_000, 100_000}
	for _, n := range sizes {
		b := make([]byte, n)
		rng.Read(b)
		if err := w.Append(append(binary.AppendVarint(nil, int64(n)), b...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := goavro.NewOCFReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range sizes {
		if !r.Scan() {
			t.Fatal(r.Err())
		}
		v, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := v.([]byte); len(b) != n {
			t.Fatalf("a record of %d bytes, want %d", len(b), n)
		}
	}
}

type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("disk is full")
	}
	return len(p), nil
}

func TestAFailingWriterIsNotHidden(t *testing.T) {
	for _, codec := range codecs {
		f, err := NewFormat(ladder, codec)
		if err != nil {
			t.Fatal(err)
		}
		w := f.NewWriter(&failing{left: 500}, Sync{1})
		for _, b := range bodies(t, 100) {
			if err = w.Append(b); err != nil {
				break
			}
		}
		if err == nil {
			err = w.Close()
		}
		if err == nil {
			t.Fatalf("%s: no error", codec)
		}
	}
}

func TestUnknownCodec(t *testing.T) {
	for _, codec := range []string{"", "bzip2", "NULL", "zstd"} {
		if _, err := NewFormat(ladder, codec); !errors.Is(err, ErrCodec) {
			t.Fatalf("%q: got %v, want ErrCodec", codec, err)
		}
	}
}

// BenchmarkHotPath is what a drain does with each record: check it and append it.
func BenchmarkHotPath(b *testing.B) {
	in := bodies(b, 2500)
	walk, err := Compile(ladder)
	if err != nil {
		b.Fatal(err)
	}
	for _, codec := range codecs {
		b.Run(codec, func(b *testing.B) {
			f, err := NewFormat(ladder, codec)
			if err != nil {
				b.Fatal(err)
			}
			w := f.NewWriter(discard{}, Sync{1})
			b.ReportAllocs()
			b.SetBytes(int64(len(in[1])))
			i := 0
			for b.Loop() {
				body := in[i%len(in)]
				i++
				if err := walk.Check(body); err != nil {
					b.Fatal(err)
				}
				if err := w.Append(body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	in := bodies(b, 2500)
	walk, err := Compile(ladder)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := walk.Check(in[i%len(in)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
