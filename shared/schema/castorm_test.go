package schema

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/riftline/riftline/shared/record"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// The bytes are castorm's: fields in the order value, key, timestamp, the optional ones in a union that null begins.
func TestStructsAreCastormsByteForByte(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	r := newRegistry(t, fake.URL())
	key, err := r.EnsureStruct(t.Context(), "ladder-key", CastormKey)
	if err != nil {
		t.Fatal(err)
	}
	value, err := r.EnsureStruct(t.Context(), "ladder-value", CastormValue)
	if err != nil {
		t.Fatal(err)
	}
	in := StructRecord{Key: "ab", Value: `{"a":1}`, Timestamp: 1_790_000_000_123}
	if got, want := hex.EncodeToString(key.Append(nil, in)), "00"+"00000001"+"02"+"04"+"6162"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	got := value.Append(nil, in)
	if want := "00" + "00000002" + "0e" + hex.EncodeToString([]byte(in.Value)) + "02" + "046162" + "02" + "f6b183c59868"; hex.EncodeToString(got) != want {
		t.Errorf("value %x, want %s", got, want)
	}
	for _, text := range []string{CastormKey, CastormValue} {
		if own := parseSchema(t, text); own.Text() != text {
			t.Errorf("not as Avro writes it:\n%s\n%s", text, own.Text())
		}
	}
	codec, err := goavro.NewCodec(CastormValue)
	if err != nil {
		t.Fatal(err)
	}
	native, rest, err := codec.NativeFromBinary(got[5:])
	if err != nil || len(rest) > 0 {
		t.Fatal(err)
	}
	m := native.(map[string]any)
	if m["value"] != in.Value || m["key"].(map[string]any)["string"] != "ab" || m["timestamp"].(map[string]any)["long"] != in.Timestamp {
		t.Errorf("another reader finds %v", m)
	}
}

func TestStructOfTheSubjectIsTheOne(t *testing.T) {
	const (
		bare = `{"type":"record","name":"Value","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"timestamp","type":["long","null"]},{"name":"value","type":"string"},{"name":"key","type":["null","string"],"default":null}]}`
		odd  = `{"type":"record","name":"Value","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"value","type":"string"},{"name":"key","type":"string"},{"name":"timestamp","type":"string"}]}`
	)
	for name, c := range map[string]struct {
		latest sr.Schema
		id     int
		body   string
		err    error
	}{
		"castorm's":               {sr.Schema{Schema: CastormValue}, 7, "0276" + "02026b" + "0202", nil},
		"written another way":     {sr.Schema{Schema: bare}, 7, "0002" + "0276" + "02026b", nil},
		"with a field of another": {sr.Schema{Schema: odd}, 0, "", ErrIncompatible},
		"without a field":         {sr.Schema{Schema: `{"type":"record","name":"Value","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"value","type":"string"}]}`}, 0, "", ErrIncompatible},
		"typed records":           {sr.Schema{Schema: `{"type":"record","name":"ladder","fields":[{"name":"a","type":"long"}]}`}, 8, "0276" + "02026b" + "0202", nil},
		"no record":               {sr.Schema{Schema: `"string"`}, 8, "0276" + "02026b" + "0202", nil},
	} {
		fake := srfake.New()
		t.Cleanup(fake.Close)
		fake.SeedSchema(subject, 1, 7, c.latest)
		s, err := newRegistry(t, fake.URL()).EnsureStruct(t.Context(), subject, CastormValue)
		if c.err != nil {
			if !errors.Is(err, c.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := s.Append(nil, StructRecord{Key: "k", Value: "v", Timestamp: 1})
		if s.ID != c.id || hex.EncodeToString(got[5:]) != c.body {
			t.Errorf("%s: id %d, body %x, want %d, %s", name, s.ID, got[5:], c.id, c.body)
		}
	}
}

func TestStructIsFoundWithoutTheRightToRegister(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	fake.SeedSchema("ladder-key", 1, 7, sr.Schema{Schema: CastormKey})
	fake.Intercept(func(w http.ResponseWriter, q *http.Request) bool {
		return q.Method != http.MethodGet && answer(w, 403, 40301, "read only")
	})
	s, err := newRegistry(t, fake.URL()).EnsureStruct(t.Context(), "ladder-key", CastormKey)
	if err != nil || s.ID != 7 {
		t.Errorf("%d, %v", s.ID, err)
	}
}

func TestEntryIsReadBack(t *testing.T) {
	list := `[
		{"puuid":"a","leaguePoints":1200,"ratio":0.1,"hotStreak":true,"mini":{"wins":1,"progress":"WLN"},"tags":["x",2,null],"rare key":1},
		{"puuid":"b","leaguePoints":3,"ratio":2,"hotStreak":false,"tags":[]},
		{"puuid":"c","leaguePoints":-1,"ratio":1e300,"hotStreak":false,"tier":"own"}
	]`
	stamp := `{"tier":"CHALLENGER","platform":"kr"}`
	s := infer(t, list, stamp)
	again := parseSchema(t, s.Text())
	for _, want := range entries(t, list) {
		body, err := s.AppendBody(nil, want, stamps(t, stamp), polled)
		if err != nil {
			t.Fatal(err)
		}
		got, stamped, err := again.Entry(body)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := record.AppendCanonical(nil, &got), record.AppendCanonical(nil, want); string(a) != string(b) {
			t.Errorf("%s, want %s", a, b)
		}
		found := record.Value{Kind: record.Object, Fields: stamped}
		if text := string(record.AppendJSON(nil, &found)); text != `{"tier":"CHALLENGER","platform":"kr","polled_at":1790000000123}` {
			t.Errorf("stamps %s", text)
		}
		for n := range body {
			if _, _, err := again.Entry(body[:n]); !errors.Is(err, ErrBody) {
				t.Errorf("%d of %d bytes: %v", n, len(body), err)
			}
		}
		if _, _, err := again.Entry(append(body, 0)); !errors.Is(err, ErrBody) {
			t.Errorf("one byte more: %v", err)
		}
	}
}

// What Entry cannot know, as its comment says.
func TestEntryThatIsNotAllThereWas(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1,"b":null}`:                           `{"a":1}`,
		`{"a":1,"b":[],"c":{"d":null}}`:              `{"a":1}`,
		`{"a":0.1000000000000000055511151231257827}`: `{"a":0.1}`,
		`7`: `{"value":7}`,
	} {
		s := infer(t, "["+in+"]", "")
		body, err := s.AppendBody(nil, value(t, in), nil, polled)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := s.Entry(body)
		if text := string(record.AppendCanonical(nil, &got)); err != nil || text != want {
			t.Errorf("%s: %s, %v, want %s", in, text, err, want)
		}
	}
}

func FuzzEntry(f *testing.F) {
	const text = `{"type":"record","name":"R","fields":[{"name":"a","type":["null","long","double","string","boolean"]},{"name":"l","type":{"type":"array","items":["null","R"]}},{"name":"m","type":{"type":"map","values":"float"}},{"name":"e","type":{"type":"enum","name":"E","symbols":["x","y"]}}]}`
	s, err := ParseSchema(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{2, 4, 2, 0, 0, 2, 2, 'k', 0, 0, 0, 0, 0, 2})
	f.Add([]byte(strings.Repeat("\x00\x02\x02", 300)))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, _, err := s.Entry(body)
		if err != nil {
			return
		}
		if _, err := record.Parse(record.AppendJSON(nil, &v)); err != nil && v.Fields != nil {
			// Texts in Avro may be other than UTF-8 when nobody checked them.
			if !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "depth") && !strings.Contains(err.Error(), "duplicate") {
				t.Errorf("%x: %v", body, err)
			}
		}
	})
}
