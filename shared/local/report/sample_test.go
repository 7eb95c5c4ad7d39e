package report

import (
	"fmt"
	"time"

	"github.com/riftline/riftline/shared/local/riot"
)

// sample is the report of so many polls of the simulated ladder, made without running the pipeline.
func sample(polls, flush int) *Report {
	sim, err := riot.New(riot.Options{Seed: 1})
	if err != nil {
		panic(err)
	}
	r := &Report{
		Format: Format, Source: "challenger", Sink: "gcs-sink", Topic: "challenger", Bucket: "riftline-archive",
		FlushSize: flush, Simulated: true, Runs: 1, Started: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	offset := int64(0)
	for n := 1; n <= polls; n++ {
		fresh, changed, left := 300, 0, 0
		if n > 1 {
			m := sim.Advance()
			fresh, changed, left = m.Joined, m.Changed, m.Left
		}
		at := r.Started.Add(time.Duration(n) * time.Second)
		published := fresh + changed
		r.Polls = append(r.Polls, Poll{
			Number: n, At: at, Outcome: "published", Fetched: 300, New: fresh, Changed: changed,
			Unchanged: 300 - published, Left: left, Published: published, Bytes: 65000, DurationMS: 40,
			FirstOffsets: map[int32]int64{0: offset}, LastOffsets: map[int32]int64{0: offset + int64(published) - 1},
		})
		from, objects := offset, int64(0)
		for done := 0; done < published; done += flush {
			records := int64(min(flush, published-done))
			r.Objects = append(r.Objects, Object{
				Name: fmt.Sprintf("topics/challenger/partition=0/challenger+0+%010d.avro", offset), Topic: "challenger",
				First: offset, Records: records, Bytes: 900 + 150*records, Drain: n,
			})
			offset += records
			objects++
		}
		offset++ // the transaction's marker
		r.Drains = append(r.Drains, Drain{
			Number: n, At: at, Outcome: "drained", Records: int64(published), Objects: objects,
			Bytes: objects * 1350, DurationMS: 120,
			Partitions: []Partition{{Topic: "challenger", From: from, To: offset, Committed: offset}},
		})
		ladder := Ladder{Poll: n, Entries: 300}
		for _, s := range sim.Ladder("kr", "RANKED_SOLO_5x5", riot.Challenger)[:TopKept] {
			ladder.Top = append(ladder.Top, Standing{s.PUUID, int64(s.LeaguePoints)})
		}
		r.Ladders = append(r.Ladders, ladder)
	}
	t := r.Totals()
	r.Ended = r.Started.Add(time.Minute)
	r.Check = &Check{Topic: t.Records, Records: t.Records, Objects: t.Objects, Players: 300, Ladder: 300}
	return r
}
