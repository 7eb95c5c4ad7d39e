package record

import (
	"fmt"
	"strings"
	"testing"
)

// ladder is a compact answer with n entries of the shape that the Riot API has.
func ladder(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"tier":"MASTER","leagueId":"1483f467-de64-33f6-9459-c27a04b83c54","queue":"RANKED_SOLO_5x5","name":"Rammus's Outriders","entries":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"puuid":"%078d","leaguePoints":%d,"rank":"I","wins":%d,"losses":%d,"veteran":%t,"inactive":false,"freshBlood":false,"hotStreak":%t}`,
			i, 1000-i%900, 100+i%300, 90+i%290, i%2 == 0, i%7 == 0)
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func BenchmarkParseLadder(b *testing.B) {
	data := ladder(10_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkCanonicalLadder(b *testing.B) {
	v, err := Parse(ladder(10_000))
	if err != nil {
		b.Fatal(err)
	}
	entries, _ := v.At("/entries")
	var dst []byte
	var shapes Canonical
	b.ReportAllocs()
	for b.Loop() {
		for i := range entries.Items {
			dst = shapes.Append(dst[:0], &entries.Items[i])
		}
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
