//go:build unix

package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/record"
)

const benchEntries = 10_000

func benchLadder() []byte {
	var b strings.Builder
	b.WriteString(`{"tier":"MASTER","leagueId":"1483f467-de64-33f6-9459-c27a04b83c54","queue":"RANKED_SOLO_5x5","name":"Rammus's Outriders","entries":[`)
	for i := range benchEntries {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"puuid":"%078d","leaguePoints":%d,"rank":"I","wins":%d,"losses":%d,"veteran":%t,"inactive":false,"freshBlood":false,"hotStreak":%t}`,
			i, 1000-i%900, 100+i%300, 90+i%290, i%2 == 0, i%7 == 0)
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func benchParsed(b *testing.B) ([]*record.Value, []record.Field) {
	b.Helper()
	v, err := record.Parse(benchLadder())
	if err != nil {
		b.Fatal(err)
	}
	list, _ := v.At("/entries")
	entries := make([]*record.Value, len(list.Items))
	for i := range list.Items {
		entries[i] = &list.Items[i]
	}
	return entries, v.Fields[:4]
}

func BenchmarkInfer(b *testing.B) {
	entries, stamp := benchParsed(b)
	b.ReportAllocs()
	from := cpu()
	for b.Loop() {
		if _, err := Infer(entries, stamp, "challenger"); err != nil {
			b.Fatal(err)
		}
	}
	perCPUSecond(b, from)
}

func BenchmarkEncode(b *testing.B) {
	entries, stamp := benchParsed(b)
	s, err := Infer(entries, stamp, "challenger")
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	from := cpu()
	for b.Loop() {
		for _, e := range entries {
			if _, err := s.AppendBody(AppendHeader(dst, 1), e, stamp, polled); err != nil {
				b.Fatal(err)
			}
		}
	}
	perCPUSecond(b, from)
}

// BenchmarkWholePoll is what a poll does with a ladder of which everything changed, without the network: parse,
// canonical form of every entry, inference, encoding.
func BenchmarkWholePoll(b *testing.B) {
	data := benchLadder()
	var canonical, dst []byte
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	from := cpu()
	for b.Loop() {
		v, err := record.Parse(data)
		if err != nil {
			b.Fatal(err)
		}
		list, _ := v.At("/entries")
		entries := make([]*record.Value, len(list.Items))
		for i := range list.Items {
			entries[i] = &list.Items[i]
			canonical = record.AppendCanonical(canonical[:0], entries[i])
		}
		s, err := Infer(entries, v.Fields[:4], "challenger")
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range entries {
			if dst, err = s.AppendBody(AppendHeader(dst[:0], 1), e, v.Fields[:4], polled); err != nil {
				b.Fatal(err)
			}
		}
	}
	perCPUSecond(b, from)
}
