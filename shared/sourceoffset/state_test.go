package sourceoffset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func fp(n byte) Fingerprint {
	var f Fingerprint
	for i := range f {
		f[i] = n + byte(i)
	}
	return f
}

func ptr[T any](v T) *T { return &v }

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const (
	idA = "000102030405060708090a0b0c0d0e0f"
	idB = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
)

func fullState() State {
	return State{
		Partition: Partition{Connector: "challenger", Variables: map[string]string{"platform": "kr", "queue": `RANKED "5x5"` + "\n\x01é"}},
		Topic:     "challenger", TopicID: [16]byte{1, 2, 3, 255}, Commits: 7, Last: idB, LastMarkerTopic: "markers", Kind: Snapshot,
		Base:   NewBase(map[string]Known{"b": {Fingerprint: fp(1)}, "a\\\"\t<>&": {Fingerprint: fp(2), MissingSince: noon}, "": {Fingerprint: fp(3)}}),
		Fields: []string{"leaguePoints", "puuid"},
		Intent: &Intent{ID: idA, At: noon, Until: noon.Add(90*time.Second + 5*time.Millisecond), MarkerTopic: "challenger", Changes: []Change{{Key: "gone"}, {"x", ptr(fp(9))}}},
		Claim:  &Claim{ID: idB, At: noon.Add(time.Minute), Until: noon.Add(3 * time.Minute)},
	}
}

// leaseState is one whose intent is published without a transaction.
func leaseState() State {
	s := fullState()
	s.Claim = nil
	intent := *s.Intent
	intent.MarkerTopic, intent.Lease = "", &Lease{Watermarks: []int64{0, 17, 1 << 60}, Records: 2}
	s.Intent = &intent
	return s
}

// leaseOfALog is one of a log that knows entries ahead of its cursor.
func leaseOfALog() State {
	return State{
		Partition: Partition{Connector: "c"}, Topic: "t", Kind: Timestamp, Base: NewBase(nil),
		Cursor: Cursor{At: noon, Keys: []string{"a"}, Ahead: []Place{{noon.Add(time.Nanosecond), `b"`}, {noon.Add(time.Hour), ""}, {noon.Add(time.Hour), "c"}}},
		Intent: &Intent{ID: idA, At: noon, Until: noon.Add(time.Minute), Lease: &Lease{Watermarks: []int64{5}, Records: 3}, Cursor: Cursor{At: noon.Add(time.Hour)}},
	}
}

func states() map[string]State {
	full := fullState()
	stopped := full
	stopped.Stopped = "topic challenger was deleted and created again"
	settled := full.Committed()
	none := State{Partition: Partition{Connector: "c"}, Topic: "t", Kind: None, Base: NewBase(nil), Intent: &Intent{ID: idA, MarkerTopic: "t"}}
	log := State{
		Partition: Partition{Connector: "c"}, Topic: "t", Kind: Timestamp, Base: NewBase(nil), Last: idB, LastMarkerTopic: "t",
		Cursor: Cursor{At: noon.Add(123456789 * time.Nanosecond), Keys: []string{`a"`, "b"}, Offset: map[string]string{"key": "b", "page": "7"}},
		Intent: &Intent{ID: idA, MarkerTopic: "t", Cursor: Cursor{At: noon.Add(time.Hour), Keys: []string{"c"}}},
	}
	ahead := leaseOfALog()
	ahead.Intent = nil
	return map[string]State{
		"a lease": leaseState(), "a lease of a log": leaseOfALog(), "entries ahead of a log's cursor": ahead,
		"a log": log, "a log without history": {Partition: Partition{Connector: "c"}, Topic: "t", Kind: Timestamp, Base: NewBase(nil)},
		"no comparing, with an offset": {Partition: Partition{Connector: "c"}, Topic: "t", Kind: None, Base: NewBase(nil), Cursor: Cursor{Offset: map[string]string{"id": "7"}}},
		"intent and claim":             full, "stopped": stopped, "settled": settled, "published without comparing, no times": none,
		"new": {Partition: Partition{Connector: "c"}, Topic: "t", Kind: Snapshot, Base: NewBase(nil)},
	}
}

func TestStateIsReadAsItWasWritten(t *testing.T) {
	for name, s := range states() {
		t.Run(name, func(t *testing.T) {
			data, err := Encode(s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, s) {
				t.Errorf("got  %+v\nwant %+v", got, s)
			}
		})
	}
}

// TestTimesComeBackAsTheyWereRead has objects whose sum is right and whose times nothing of ours would have written.
func TestTimesComeBackAsTheyWereRead(t *testing.T) {
	whole := string(encodeState(fullState()))
	for change, want := range map[[2]string]error{
		{`"2026-11-29T12:00:00Z"`, `"2026-11-29T12:00:00.5Z"`}:                        ErrDamaged,
		{`"2026-11-29T12:00:00Z"`, `"2026-11-29T12:00:00+01:00"`}:                     ErrDamaged,
		{`"2026-11-29T12:00:00Z"`, `"9999-12-31T23:59:59-23:00"`}:                     ErrDamaged,
		{`"at":"2026-11-29T12:00:00.000Z"`, `"at":"2026-11-29T12:00:00.0005Z"`}:       nil,
		{`"at":"2026-11-29T12:00:00.000Z"`, `"at":"9999-12-31T23:59:59.999-23:00"`}:   nil,
		{`"until":"2026-11-29T12:01:30.005Z"`, `"until":"0000-01-01T00:00:00+23:59"`}: nil,
	} {
		changed := strings.Replace(whole, change[0], change[1], 1)
		s, err := Decode(sealed([]byte(changed)))
		if changed == whole || !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", change[1], err, want)
			continue
		}
		if err != nil {
			continue
		}
		if again, err := Decode(encodeState(s)); err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%s: got %+v, then %+v, %v", change[1], s, again, err)
		}
	}
}

// TestSumIsWhatAnyWriterWouldCompute recomputes body and sum with encoding/json alone.
func TestSumIsWhatAnyWriterWouldCompute(t *testing.T) {
	for name, s := range states() {
		t.Run(name, func(t *testing.T) {
			body := encodeState(s)
			var members map[string]any
			in := json.NewDecoder(bytes.NewReader(body))
			in.UseNumber()
			if err := in.Decode(&members); err != nil {
				t.Fatal(err)
			}
			encode := func() []byte {
				var out bytes.Buffer
				e := json.NewEncoder(&out)
				e.SetEscapeHTML(false)
				if err := e.Encode(members); err != nil {
					t.Fatal(err)
				}
				return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
			}
			if again := encode(); !bytes.Equal(again, body) {
				t.Errorf("not canonical:\n%s\n%s", body, again)
			}
			sum := members["sum"]
			delete(members, "sum")
			if want := fmt.Sprintf("%08x", crc32.Checksum(encode(), crc32.MakeTable(crc32.Castagnoli))); sum != want {
				t.Errorf("sum %v, want %s", sum, want)
			}
		})
	}
}

// reSum gives an edited body the sum that it should have.
func reSum(t *testing.T, body string) []byte {
	t.Helper()
	at := strings.Index(body, `,"sum":"`)
	if at < 0 {
		t.Fatal("no sum")
	}
	end := at + len(`,"sum":"00000000"`)
	rest := body[:at] + body[end:]
	return fmt.Appendf(nil, `%s,"sum":"%08x"%s`, body[:at], crc32.Checksum([]byte(rest), castagnoli), body[end:])
}

func TestDamagedObjectsAreRefused(t *testing.T) {
	whole := string(encodeState(fullState()))
	packed, err := Encode(fullState())
	if err != nil {
		t.Fatal(err)
	}
	replaced := func(old, new string) []byte {
		if !strings.Contains(whole, old) {
			t.Fatalf("%s is not in %s", old, whole)
		}
		return reSum(t, strings.Replace(whole, old, new, 1))
	}
	defer func(n int64) { maxBody = n }(maxBody)
	maxBody = 1 << 19
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = zip.Write(make([]byte, 1<<20))
	_ = zip.Close()

	for _, c := range []struct {
		situation string
		data      []byte
		want      error
	}{
		{"empty object", nil, ErrDamaged},
		{"half of the compressed bytes", packed[:len(packed)/2], ErrDamaged},
		{"gzip of nothing", []byte{0x1f, 0x8b}, ErrDamaged},
		{"compressed to burst", bomb.Bytes(), ErrDamaged},
		{"not JSON", []byte("<html>"), ErrDamaged},
		{"another JSON type", []byte(`["format"]`), ErrDamaged},
		{"an empty JSON object", []byte(`{}`), ErrDamaged},
		{"something behind it", append([]byte(whole), " {}"...), ErrDamaged},
		{"cut short", []byte(whole[:len(whole)-1]), ErrDamaged},
		{"one fingerprint changed", []byte(strings.Replace(whole, fp(1).String(), fp(4).String(), 1)), ErrDamaged},
		{"no sum", []byte(strings.Replace(whole, `"sum"`, `"Sum"`, 1)), ErrNewer},
		{"sum of another type", []byte(strings.Replace(whole, `"sum":"`, `"sum":5,"x":"`, 1)), ErrDamaged},
		{"a member twice", replaced(`"commits":7`, `"commits":7,"commits":8`), ErrDamaged},
		{"newer format", replaced(`"format":1`, `"format":3`), ErrNewer},
		{"newer reader needed", replaced(`"minReader":1`, `"minReader":3`), ErrNewer},
		{"format as text", replaced(`"format":1`, `"format":"1"`), ErrDamaged},
		{"a member of a later time", replaced(`"commits":7`, `"commits":7,"colour":1`), ErrNewer},
		{"unknown kind", replaced(`"kind":"snapshot"`, `"kind":"ring"`), ErrDamaged},
		{"base of another kind", replaced(`"kind":"snapshot"`, `"kind":"timestamp"`), ErrDamaged},
		{"no base", replaced(`"base":{`, `"limits":{`), ErrDamaged},
		{"base with kind none", replaced(`"kind":"snapshot"`, `"kind":"none"`), ErrDamaged},
		{"intent without id", replaced(`"id":"`+idA+`"`, `"id":null`), ErrDamaged},
		{"claim without id", replaced(`"id":"`+idB+`"`, `"id":null`), ErrDamaged},
		{"an id that is none", replaced(`"id":"`+idA+`"`, `"id":"51"`), ErrDamaged},
		{"negative count", replaced(`"commits":7`, `"commits":-7`), ErrDamaged},
		{"fraction of a count", replaced(`"commits":7`, `"commits":7.5`), ErrDamaged},
		{"fingerprint with bits too many", replaced(fp(1).String(), fp(1).String()[:21]+"B"), ErrDamaged},
		{"unknown time of departure", replaced(`"2026-11-29T12:00:00Z"`, `"noon"`), ErrDamaged},
		{"topic id too short", replaced(`"topicId":"`, `"topicId":"A","x":"`), ErrDamaged},
	} {
		t.Run(c.situation, func(t *testing.T) {
			s, err := Decode(c.data)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err == nil || !reflect.DeepEqual(s, State{}) {
				t.Errorf("a state came with %v: %+v", err, s)
			}
		})
	}
}

// What a version that knows no leases must not touch says so; everything else goes on being what that version reads.
func TestFormatIsTheOldestThatDoes(t *testing.T) {
	for name, s := range states() {
		want := `"format":1,`
		if strings.Contains(name, "lease") || strings.Contains(name, "ahead") {
			want = `"format":2,`
		}
		body := string(encodeState(s))
		if !strings.Contains(body, want) || !strings.Contains(body, strings.Replace(want, "format", "minReader", 1)) {
			t.Errorf("%s is not %s: %s", name, want, body)
		}
	}
	s := leaseState()
	if body := string(encodeState(s.Committed())); !strings.Contains(body, `"minReader":1`) {
		t.Errorf("after the lease: %s", body)
	}
	ahead := leaseOfALog()
	ahead.Intent = nil
	ahead.Cursor = ahead.Cursor.With(noon.Add(2*time.Hour), "z")
	if body := string(encodeState(ahead)); !strings.Contains(body, `"minReader":1`) {
		t.Errorf("once the cursor has passed: %s", body)
	}
}

func TestDamagedLeasesAreRefused(t *testing.T) {
	snapshot, log := string(encodeState(leaseState())), string(encodeState(leaseOfALog()))
	for name, c := range map[string]struct{ body, old, new string }{
		"no end":                              {snapshot, `"until":"2026-11-29T12:01:30.005Z"`, `"until":null`},
		"an end that is no time":              {snapshot, `"until":"2026-11-29T12:01:30.005Z"`, `"until":"soon"`},
		"no watermarks":                       {snapshot, `"watermarks":[0,17,1152921504606846976]`, `"watermarks":[]`},
		"a watermark below zero":              {snapshot, `[0,17,`, `[0,-17,`},
		"a watermark that is no number":       {snapshot, `[0,17,`, `[0,"17",`},
		"watermarks that are no list":         {snapshot, `"watermarks":[0,17,1152921504606846976]`, `"watermarks":17`},
		"no records":                          {snapshot, `"records":2`, `"records":0`},
		"more records than changes":           {snapshot, `"records":2`, `"records":3`},
		"a marker topic besides":              {snapshot, `"lease":{`, `"markerTopic":"t","lease":{`},
		"neither lease nor marker topic":      {snapshot, `,"lease":{"records":2,"watermarks":[0,17,1152921504606846976]}`, ``},
		"in a format that has no leases":      {snapshot, `"format":2`, `"format":1`},
		"for readers that know no leases":     {snapshot, `"minReader":2`, `"minReader":1`},
		"for a reader that knows no cursor":   {log, `"minReader":2`, `"minReader":1`},
		"ahead, not sorted":                   {log, `["2026-11-29T13:00:00Z",""]`, `["2026-11-29T14:00:00Z",""]`},
		"ahead, behind the cursor":            {log, `["2026-11-29T12:00:00.000000001Z","b\""]`, `["2026-11-29T12:00:00Z","b\""]`},
		"ahead, no time":                      {log, `["2026-11-29T13:00:00Z",""]`, `["later",""]`},
		"ahead, no pair":                      {log, `["2026-11-29T13:00:00Z",""]`, `["2026-11-29T13:00:00Z"]`},
		"ahead, no list":                      {log, `"ahead":[`, `"ahead":{},"keysAtCursor":[`},
		"ahead of something without a cursor": {strings.Replace(log, `"kind":"timestamp"`, `"kind":"none"`, 1), `"connector":"c"`, `"connector":"d"`},
	} {
		if !strings.Contains(c.body, c.old) {
			t.Fatalf("%s: %s is not in %s", name, c.old, c.body)
		}
		s, err := Decode(reSum(t, strings.Replace(c.body, c.old, c.new, 1)))
		if !errors.Is(err, ErrDamaged) || !reflect.DeepEqual(s, State{}) {
			t.Errorf("%s: %v, %+v", name, err, s)
		}
	}
	if _, err := Decode(reSum(t, strings.Replace(snapshot, `"records":2`, `"records":2,"term":7`, 1))); !errors.Is(err, ErrNewer) {
		t.Errorf("a member of a later time: %v", err)
	}
}

func TestTimesThatCannotBeReadAreLongPast(t *testing.T) {
	whole := string(encodeState(fullState()))
	for _, until := range []string{`null`, `"tomorrow"`} {
		s, err := Decode(reSum(t, strings.ReplaceAll(whole, `"until":"2026-11-29T12:01:30.005Z"`, `"until":`+until)))
		if err != nil {
			t.Fatal(err)
		}
		if !s.Intent.Until.IsZero() {
			t.Errorf("until %s: got %v", until, s.Intent.Until)
		}
	}
}

func TestPartitionNames(t *testing.T) {
	p := Partition{Connector: "challenger"}
	if got, want := p.String(), `{"connector":"challenger","variables":{}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// printf '%s' '{"connector":"challenger","variables":{}}' | sha256sum | cut -c1-16
	if got, want := p.Object(), "poll/challenger/9f8666b8d7738c75.json"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := p.TransactionalID(), "riftline-challenger-"+p.Hash(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if p.Hash() == (Partition{Connector: "challenger", Variables: map[string]string{"platform": "kr"}}).Hash() {
		t.Error("variables are no part of the hash")
	}
}

func TestCommittedAndReleased(t *testing.T) {
	s := fullState()
	before := Base{slices.Clone(s.Base.list)}
	c := s.Committed()
	if c.Last != idA || c.LastMarkerTopic != "challenger" || c.Commits != 8 || c.Intent != nil || c.Claim != nil {
		t.Errorf("committed: %+v", c)
	}
	if x, _ := c.Base.Of("x"); x.Fingerprint != fp(9) || c.Base.Len() != 4 {
		t.Errorf("base: %+v", c.Base)
	}
	if l := leaseState().Committed(); l.Last != idB || l.LastMarkerTopic != "markers" || l.Commits != 7 || l.Base.Len() != 4 || l.Intent != nil {
		t.Errorf("a lease leaves no marker: %+v", l)
	}
	r := s.Released()
	if r.Last != idB || r.Commits != 7 || r.Intent != nil || r.Claim != nil || !reflect.DeepEqual(r.Base, before) {
		t.Errorf("released: %+v", r)
	}
	if !reflect.DeepEqual(s.Base, before) || s.Intent == nil {
		t.Error("the state itself was changed")
	}
}

func TestNewIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id, err := NewID(nil)
		if err != nil || len(id) != 32 || seen[id] {
			t.Fatalf("%q, %v", id, err)
		}
		seen[id] = true
	}
	if _, err := NewID(strings.NewReader("short")); err == nil {
		t.Error("no error without randomness")
	}
}

// Nothing is written that could not be read again.
func TestEncodeRefusesWhatIsNoText(t *testing.T) {
	for situation, change := range map[string]func(*State){
		"a key":      func(s *State) { s.Base = NewBase(map[string]Known{"\xff": {Fingerprint: fp(1)}}) },
		"a variable": func(s *State) { s.Partition.Variables = map[string]string{"queue": "a\xffb"} },
		"a reason":   func(s *State) { s.Stopped = "\xc3" },
	} {
		s := fullState()
		change(&s)
		if data, err := Encode(s); err == nil {
			_, err = Decode(data)
			t.Errorf("%s is written, and read with %v", situation, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range states() {
		f.Add(encodeState(s))
		data, err := Encode(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"format":1,"minReader":1,"sum":"00000000"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		// As it is, and as if it had been written that way: the sum alone stops nearly everything.
		for _, object := range [][]byte{data, sealed(data)} {
			if body, err := decompress(object, new([]byte)); err == nil {
				want, err := decodeAny(body)
				if got, ok := decodeCanonical(body); ok && (err != nil || !reflect.DeepEqual(got, want)) {
					t.Fatalf("%q is read as %+v, and else as %+v, %v", body, got, want, err)
				}
			}
			s, err := Decode(object)
			if err != nil {
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
					t.Fatalf("unclassified: %v", err)
				}
				continue
			}
			again, err := Decode(encodeState(s))
			if err != nil {
				t.Fatalf("what was read cannot be written and read: %v", err)
			}
			if !reflect.DeepEqual(s, again) {
				t.Fatalf("got %+v, then %+v", s, again)
			}
		}
	})
}

var sumMember = regexp.MustCompile(`,?"sum":"[^"]*"`)

// sealed gives an object the sum that it should have, if it has one at all.
func sealed(data []byte) []byte {
	body, err := decompress(data, new([]byte))
	at := sumMember.FindIndex(body)
	if err != nil || at == nil {
		return data
	}
	rest := slices.Concat(body[:at[0]], body[at[1]:])
	return slices.Insert(rest, at[0], []byte(fmt.Sprintf(`,"sum":"%08x"`, crc32.Checksum(rest, castagnoli)))...)
}

func BenchmarkEncodeLadder(b *testing.B) {
	s := ladder(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeLadder(b *testing.B) {
	data, err := Encode(ladder(10_000))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func ladder(n int) State {
	known := map[string]Known{}
	for i := range n {
		key := fmt.Sprintf("%x", fp(byte(i)))
		known[fmt.Sprintf("%s-%s-%d", key, key, i)] = Known{Fingerprint: fp(byte(i))}
	}
	return State{Partition: Partition{Connector: "challenger"}, Topic: "challenger", Kind: Snapshot, Base: NewBase(known)}
}
