package main

import (
	"context"
	"fmt"
	"time"
)

// What Kafka Connect 3.9.1 took for the same work with the open GCS Avro sink of Lenses (11.7.2) on another machine: two
// cores of an AMD EPYC, 24 GiB, Java 17, fake-gcs-server in memory, 2026-11-23. Its plugins are on no public registry, so
// the figures are stated and not measured here.
const (
	lensesMachine = "Lenses 11.7.2 on Kafka Connect 3.9.1, 2 cores AMD EPYC, 24 GiB, Java 17, 2026-11-23"

	lensesCPU5M    = 59.7  // seconds, 5 M records, files of 100,000
	lensesPeak5M   = 629.0 // MiB, the same
	lensesWall1000 = 28.8  // seconds, 3,000 records in 1,000 objects
	lensesRestart  = 48.8  // seconds from kill -9 to the next object
)

// lenses are the rows of the peer, in the form of figureHeader after the first two columns.
var lenses = [][]string{
	{"1 M, files of 50,000", "Lenses (stated)", "53 k", "9", "43 k", "23.4", "758", "", ""},
	{"5 M, files of 100,000", "Lenses (stated)", "88 k", "15", "84 k", "59.7", "629", "", ""},
}

// peers does the work with which Connect's sinks were measured.
func (b *bench) peers(ctx context.Context) (section, error) {
	few, many := b.records/2, b.records*5/2
	s := section{
		Title:  "Beside Kafka Connect's sinks: records of 166 bytes, 1 partition, codec null, objects kept in memory with their MD5 (shared/local/gcs)",
		Header: append([]string{"work", "sink"}, figureHeader...), Runs: map[string]*sample{},
		Notes: []string{"Stated: " + lensesMachine + "; not measured here."},
	}
	var last *sample
	for _, records := range []int{few, many} {
		t, err := b.produce(ctx, "small", records, 1)
		if err != nil {
			return s, err
		}
		for _, flush := range []int{50_000, 100_000} {
			v := &sample{Records: t.records(), Bytes: t.valueBytes}
			for range b.runs {
				u, err := b.drain(ctx, drain{topic: t, codec: "null", flush: flush, bucket: keeping})
				if err != nil {
					return s, err
				}
				v.Runs = append(v.Runs, u)
			}
			work := fmt.Sprintf("%s, files of %s", short(float64(records)), thousands(flush))
			s.Rows = append(s.Rows, append([]string{work, "riftline"}, v.figures()...))
			s.Runs[work] = v
			last = v
		}
		if err := b.remove(ctx, t); err != nil {
			return s, err
		}
	}
	s.Rows = append(s.Rows, lenses...)
	// On fewer records than the peer's the goal is as much smaller.
	cpu, limit := last.cpu(), lensesCPU5M/20*float64(many)/5e6
	peak := last.peak()
	s.Goals = []goal{
		{fmt.Sprintf("%s records, files of 100,000: at most a twentieth of Lenses' %.1f CPU seconds (%.2f s)", short(float64(many)), lensesCPU5M, limit),
			cpu.plain(2) + " s", cpu.median <= limit},
		{fmt.Sprintf("and at most a sixth of its %.0f MiB (%.0f MiB)", lensesPeak5M, lensesPeak5M/6), peak.plain(0) + " MiB", peak.median <= lensesPeak5M/6},
	}
	return s, nil
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// thousandObjects drains 3,000 records at flush.size=3, as the user's file has it.
func (b *bench) thousandObjects(ctx context.Context) (section, error) {
	records := min(3000, max(b.records/10/3*3, 30))
	objects := records / 3
	s := section{
		Title:  fmt.Sprintf("%s objects of 3 records (flush.size=3), 1 partition", thousands(objects)),
		Header: append([]string{"objects", "what", "seconds", "objects/s"}, figureHeader[3:]...), Runs: map[string]*sample{},
		Notes: []string{"The bucket's own ceiling is a client that does nothing but create objects of 1.5 kB, 16 at a time. Stated: " + lensesMachine + "; not measured here."},
	}
	t, err := b.produce(ctx, "small", records, 1)
	if err != nil {
		return s, err
	}
	var puts, drains sample
	for range b.runs {
		u, err := b.drain(ctx, drain{topic: t, codec: "null", flush: 3, bucket: keeping})
		if err != nil {
			return s, err
		}
		drains.Runs = append(drains.Runs, u)
		b.drains++
		bucket := fmt.Sprintf("%s%d", keeping, b.drains)
		if err := b.makeBucket(ctx, bucket); err != nil {
			return s, err
		}
		var c compressed
		if u, err = b.child(ctx, nil, b.role("puts", "-url", b.bucket.url, "-bucket", bucket, "-objects", fmt.Sprint(objects)), &c); err != nil {
			return s, err
		}
		u.Wall = c.Wall
		puts.Runs = append(puts.Runs, u)
		if err := b.dropBucket(ctx, bucket); err != nil {
			return s, err
		}
	}
	puts.Records, puts.Bytes = int64(objects), 1
	drains.Records, drains.Bytes = int64(objects), 1
	for _, row := range []struct {
		what string
		of   *sample
	}{{"riftline", &drains}, {"the bucket's ceiling", &puts}} {
		s.Rows = append(s.Rows, append([]string{thousands(objects), row.what, row.of.wall().plain(2), row.of.perSecond().count()}, row.of.figures()[3:]...))
		s.Runs[row.what] = row.of
	}
	s.Rows = append(s.Rows, []string{"1,000", "Lenses (stated)", "28.8", "35", "25.2", "693", "", ""})
	limit := lensesWall1000 / 10 * float64(objects) / 1000
	s.Goals = []goal{{fmt.Sprintf("under a tenth of Lenses' %.1f s (%.2f s)", lensesWall1000, limit), drains.wall().plain(2) + " s", drains.wall().median < limit}}
	return s, b.remove(ctx, t)
}

// restartWithin is how long after its start a sink may take to its first object, when the one before it was killed.
const restartWithin = time.Second
