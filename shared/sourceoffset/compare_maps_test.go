package sourceoffset

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// byMaps is what Compare says, found by looking up each key.
type byMaps struct {
	changes                   []Changed
	unchanged, repeated, left int
	doubtful                  bool
	absent                    []string
	noted                     map[string]Known
}

func compareByMaps(base map[string]Known, entries []Entry, now time.Time, keep time.Duration) (d byMaps) {
	second := now.UTC().Truncate(time.Second)
	d.noted = maps.Clone(base)
	last := map[string]int{}
	for i, e := range entries {
		last[e.Key] = i
	}
	d.repeated = len(entries) - len(last)
	for i, e := range entries {
		if last[e.Key] != i {
			continue
		}
		known, ok := base[e.Key]
		if ok && !known.MissingSince.IsZero() && now.Sub(known.MissingSince) > keep {
			ok = false
		}
		switch {
		case !ok:
			d.changes = append(d.changes, Changed{Entry: e, Index: i})
		case known.Fingerprint != e.Fingerprint:
			d.changes = append(d.changes, Changed{Entry: e, Index: i, Before: &known.Fingerprint})
		default:
			d.unchanged++
			d.noted[e.Key] = Known{Fingerprint: known.Fingerprint}
		}
	}
	var left []string
	present := 0
	for key, known := range base {
		_, there := last[key]
		if !there {
			d.absent = append(d.absent, key)
		}
		if known.MissingSince.IsZero() {
			present++
			if !there {
				left = append(left, key)
			}
		} else if !there && second.Sub(known.MissingSince) > keep {
			delete(d.noted, key)
		}
	}
	if d.doubtful = len(last) == 0 || 2*len(left) > present; d.doubtful {
		left, d.absent = nil, nil
	}
	for _, key := range left {
		d.noted[key] = Known{Fingerprint: base[key].Fingerprint, MissingSince: second}
	}
	d.left = len(left)
	slices.Sort(d.absent)
	return d
}

func TestCompareIsWhatMapsSay(t *testing.T) {
	const keep = time.Hour
	random := rand.New(rand.NewPCG(5, 6))
	for n := range 2000 {
		base, keys := map[string]Known{}, randomKeys(random, 1+n%30)
		var entries []Entry
		for key := range keys {
			known := Known{Fingerprint: fp(byte(random.IntN(2)))}
			if random.IntN(4) == 0 {
				known.MissingSince = noon.Add(-keep + time.Duration(random.IntN(3)-1)*time.Minute)
			}
			if random.IntN(8) > 0 {
				base[key] = known
			}
			for random.IntN(5) > random.IntN(3) {
				entries = append(entries, Entry{key, fp(byte(random.IntN(2)))})
			}
		}
		random.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		want := compareByMaps(base, entries, noon.Add(time.Millisecond), keep)
		d := Compare(NewBase(base), entries, noon.Add(time.Millisecond), keep)
		got := byMaps{d.Changes, d.Unchanged, d.Repeated, d.Left, d.Doubtful, d.Absent(), maps.Collect(d.Noted().All())}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%v against %v: %+v, want %+v", entries, base, got, want)
		}
	}
}
