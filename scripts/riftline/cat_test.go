package main

import (
	"bytes"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2/ocf"
)

const everyType = `{"type":"record","name":"Entry","fields":[
	{"name":"puuid","type":"string"},
	{"name":"leaguePoints","type":"long"},
	{"name":"ratio","type":"double"},
	{"name":"hotStreak","type":"boolean"},
	{"name":"polled_at","type":{"type":"long","logicalType":"timestamp-millis"}},
	{"name":"day","type":{"type":"int","logicalType":"date"}},
	{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}},
	{"name":"raw","type":"bytes"},
	{"name":"tags","type":{"type":"array","items":"string"}},
	{"name":"counts","type":{"type":"map","values":"long"}},
	{"name":"miniSeries","type":["null",{"type":"record","name":"Mini","fields":[{"name":"wins","type":"long"},{"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]}]}],"default":null},
	{"name":"again","type":["null","Mini"],"default":null},
	{"name":"tier","type":{"type":"enum","name":"Tier","symbols":["CHALLENGER","MASTER"]}}
]}`

type mini struct {
	Wins int64      `avro:"wins"`
	At   *time.Time `avro:"at"`
}

type entry struct {
	PUUID        string           `avro:"puuid"`
	LeaguePoints int64            `avro:"leaguePoints"`
	Ratio        float64          `avro:"ratio"`
	HotStreak    bool             `avro:"hotStreak"`
	PolledAt     time.Time        `avro:"polled_at"`
	Day          time.Time        `avro:"day"`
	Price        *big.Rat         `avro:"price"`
	Raw          []byte           `avro:"raw"`
	Tags         []string         `avro:"tags"`
	Counts       map[string]int64 `avro:"counts"`
	MiniSeries   *mini            `avro:"miniSeries"`
	Again        *mini            `avro:"again"`
	Tier         string           `avro:"tier"`
}

// avroFile writes so many records with a library that is not the one that cat reads with.
func avroFile(t *testing.T, codec ocf.CodecName, records int) []byte {
	t.Helper()
	var b bytes.Buffer
	enc, err := ocf.NewEncoder(everyType, &b, ocf.WithCodec(codec), ocf.WithSchemaMarshaler(ocf.FullSchemaMarshaler))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 30, 0, 250e6, time.UTC)
	for n := range records {
		e := entry{
			PUUID: "simulated-Ü<1>", LeaguePoints: int64(n), Ratio: 0.5, PolledAt: at, Day: at, Price: big.NewRat(1250, 100),
			Raw: []byte{0, 255}, Tags: []string{"a", "b"}, Counts: map[string]int64{"z": 1, "a": 2}, Tier: "MASTER",
		}
		if n == 1 {
			e.MiniSeries = &mini{Wins: 2, At: &at}
			e.Again = &mini{Wins: 3}
		}
		if err := enc.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func command(t *testing.T, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	return commandIn(t, nil, in, args...)
}

func commandIn(t *testing.T, environ []string, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = execute(t.Context(), args, strings.NewReader(in), &o, &e, environ)
	return code, o.String(), e.String()
}

func TestCatReadsEveryCodec(t *testing.T) {
	const first = `{"puuid":"simulated-Ü<1>","leaguePoints":0,"ratio":0.5,"hotStreak":false,"polled_at":"2026-03-01T12:30:00.250Z",` +
		`"day":"2026-03-01","price":12.50,"raw":"AP8=","tags":["a","b"],"counts":{"a":2,"z":1},"miniSeries":null,"again":null,"tier":"MASTER"}`
	const second = `{"wins":2,"at":"2026-03-01T12:30:00.250Z"},"again":{"wins":3,"at":null}`
	for _, codec := range []ocf.CodecName{ocf.Null, ocf.Deflate, ocf.Snappy, ocf.ZStandard} {
		t.Run(string(codec), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.avro")
			if err := os.WriteFile(file, avroFile(t, codec, 250), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errOut := command(t, "", "cat", file)
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if code != 0 || len(lines) != 250 {
				t.Fatalf("exit %d, %d lines; %s", code, len(lines), errOut)
			}
			if lines[0] != first {
				t.Errorf("the first record is\n%s\nwant\n%s", lines[0], first)
			}
			if !strings.Contains(lines[1], second) {
				t.Errorf("the second record is\n%s\nwant in it\n%s", lines[1], second)
			}
			for _, l := range lines {
				if !json.Valid([]byte(l)) {
					t.Fatalf("not JSON: %s", l)
				}
			}
		})
	}
}

func TestCatReadsFoldersAndStandardInput(t *testing.T) {
	dir := t.TempDir()
	for name, n := range map[string]int{"p=0/t+0+0000000003.avro": 2, "p=0/t+0+0000000000.avro": 3, "p=1/t+1+0000000000.avro": 1} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, avroFile(t, ocf.Null, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errOut := command(t, string(avroFile(t, ocf.Snappy, 4)), "cat", dir, "-")
	if n := strings.Count(out, "\n"); code != 0 || n != 10 {
		t.Errorf("exit %d, %d records, want 10; %s", code, n, errOut)
	}
	code, out, _ = command(t, "", "cat", "--schema", filepath.Join(dir, "p=1/t+1+0000000000.avro"))
	if code != 0 || !strings.HasPrefix(out, `{"`) || !strings.Contains(out, `"timestamp-millis"`) {
		t.Errorf("exit %d, schema %s", code, out)
	}
}

func TestCatOfWhatIsNoWholeAvroFile(t *testing.T) {
	whole := avroFile(t, ocf.Null, 100)
	for name, c := range map[string]struct {
		data []byte
		code int
	}{
		"empty":     {nil, exitUsage},
		"text":      {[]byte("not avro"), exitUsage},
		"cut short": {whole[:len(whole)-20], exitTransient},
	} {
		code, out, errOut := command(t, string(c.data), "cat", "-")
		if code != c.code || !strings.Contains(errOut, "reading standard input") {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, errOut)
		}
	}
	if code, _, errOut := command(t, "", "cat", filepath.Join(t.TempDir(), "nothing.avro")); code != exitUsage || !strings.Contains(errOut, "nothing.avro") {
		t.Errorf("a file that is not there: exit %d, %s", code, errOut)
	}
}
