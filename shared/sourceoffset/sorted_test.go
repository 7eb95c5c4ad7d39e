package sourceoffset

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// randomKeys begin alike, end early, and have bytes at which a comparison by numbers could go wrong.
func randomKeys(random *rand.Rand, n int) map[string]int {
	m := map[string]int{}
	common := []string{"", "KR_71", "a\x00"}[random.IntN(3)]
	for i := range n {
		key := []byte(common)
		for range random.IntN(12) {
			key = append(key, "\x00\x01ab\x7f\xc3\xa9\xff"[random.IntN(8)])
		}
		m[string(key)] = i
	}
	return m
}

func TestSortedIsTheOrderOfTheKeys(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		m := randomKeys(random, n%60)
		var keys, got []string
		for key := range m {
			keys = append(keys, key)
		}
		for _, p := range inOrder(len(keys), func(i int) string { return keys[i] }) {
			got = append(got, keys[p.at])
		}
		if want := slices.Sorted(maps.Keys(m)); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

func TestBaseWithChanges(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 300 {
		base, changes, want := map[string]Known{}, map[string]*Fingerprint{}, map[string]Known{}
		for key, i := range randomKeys(random, n%40) {
			base[key] = Known{Fingerprint: fp(byte(i)), MissingSince: noon}
			if random.IntN(2) == 0 {
				changes[key] = nil
			}
		}
		maps.Copy(want, base)
		for key, i := range randomKeys(random, random.IntN(20)) {
			changes[key] = ptr(fp(byte(i + 100)))
			if random.IntN(3) == 0 {
				changes[key] = nil
			}
		}
		for key, f := range changes {
			if delete(want, key); f != nil {
				want[key] = Known{Fingerprint: *f}
			}
		}
		var list []Change
		for key, f := range changes {
			list = append(list, Change{key, f})
		}
		intent := Intent{Changes: SortChanges(list)}
		for key, want := range changes {
			if f, ok := intent.Change(key); !ok || f != want {
				t.Fatalf("%q becomes %v (%t), want %v", key, f, ok, want)
			}
		}
		if _, ok := intent.Change("none"); ok {
			t.Fatal("a key that is in no change becomes something")
		}
		if got := NewBase(base).With(SortChanges(list)); !reflect.DeepEqual(got, NewBase(want)) {
			t.Fatalf("%v with %v is %v", base, changes, got)
		}
	}
}

// Every version of riftline reads what gzip has made, whatever level it was made with.
func TestObjectsAreGzip(t *testing.T) {
	for name, s := range states() {
		for range 2 { // the buffers of the first one are used again
			data, err := Encode(s)
			if err != nil {
				t.Fatal(err)
			}
			zip, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if body, err := io.ReadAll(zip); err != nil || !bytes.Equal(body, encodeState(s)) {
				t.Errorf("%s: %v, %q", name, err, body)
			}
		}
	}
}
