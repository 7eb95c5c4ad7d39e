package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// reencodePart is the part of a topic that the sink goes through which decodes: it is slow, and its figures are rates.
const reencodePart = 4

// The variants of the first two tables.
const (
	varBare     = "(a) franz-go, thrown away"
	varNull     = "(b) drain, null"
	varSnappy   = "(c) drain, snappy"
	varZstd     = "(c) drain, zstandard"
	varReencode = "(d) goavro, null"
)

var variants = []string{varBare, varNull, varSnappy, varZstd, varReencode}

// codecs of the variants that are drains.
var codecs = map[string]string{varNull: "null", varSnappy: "snappy", varZstd: "zstandard"}

// mark is a goal of one of the first two tables.
type mark struct {
	// bare is the part of the bare consumer's records a second that a drain should have.
	bare float64
	// cpu is records per CPU second, and reencode how many times those of the sink that decodes; 0 for no goal.
	cpu, reencode float64
}

// ladder measures drains of a ladder's records.
func (b *bench) ladder(ctx context.Context) (section, error) {
	return b.throughput(ctx, "ladder", b.records, mark{bare: 0.9, cpu: 2e6, reencode: 4})
}

// matches measures drains of large records.
func (b *bench) matches(ctx context.Context) (section, error) {
	return b.throughput(ctx, "matches", max(b.records/100, 100), mark{bare: 0.9})
}

// throughput lets all variants go through the same topics, in turns.
func (b *bench) throughput(ctx context.Context, kindName string, records int, m mark) (section, error) {
	s := section{Header: append([]string{"partitions", "variant"}, figureHeader...), Runs: map[string]*sample{}}
	size := 0.0
	for _, partitions := range []int{1, 8} {
		t, err := b.produce(ctx, kindName, records, partitions)
		if err != nil {
			return s, err
		}
		size = float64(t.valueBytes) / float64(t.records())
		samples := map[string]*sample{}
		for run := range b.runs {
			b.say("  %s, run %d of %d", ofPartitions(partitions), run+1, b.runs)
			for _, variant := range variants {
				if err := b.runVariant(ctx, t, variant, samples); err != nil {
					return s, fmt.Errorf("%s: %w", variant, err)
				}
			}
		}
		for _, variant := range variants {
			v := samples[variant]
			s.Rows = append(s.Rows, append([]string{fmt.Sprint(partitions), variant}, v.figures()...))
			s.Runs[ofPartitions(partitions)+", "+variant] = v
		}
		s.Goals = append(s.Goals, goals(partitions, samples, m)...)
		if err := b.remove(ctx, t); err != nil {
			return s, err
		}
	}
	s.Title = fmt.Sprintf("Drains: %s records of %.0f bytes, files of %s", short(float64(records)), size, short(float64(kinds[kindName].flush)))
	s.Notes = []string{fmt.Sprintf("Medians of %d runs in turns, least and greatest in brackets; from exec to exit. (d) goes through 1/%d of the records. "+
		"The bucket takes uploads in a process of its own, checks CRC32C, counts records and forgets the content.", b.runs, reencodePart)}
	return s, nil
}

func ofPartitions(n int) string {
	if n == 1 {
		return "1 partition"
	}
	return fmt.Sprintf("%d partitions", n)
}

func (b *bench) runVariant(ctx context.Context, t *topic, variant string, samples map[string]*sample) error {
	v := samples[variant]
	if v == nil {
		v = &sample{Records: t.records(), Bytes: t.valueBytes}
		samples[variant] = v
	}
	var u usage
	var err error
	switch variant {
	case varBare:
		u, err = b.bare(ctx, t)
	case varReencode:
		var n int64
		u, n, err = b.reencoded(ctx, t, t.records()/reencodePart)
		v.Records, v.Bytes = n, n*t.valueBytes/t.records()
	default:
		u, err = b.drain(ctx, drain{topic: t, codec: codecs[variant]})
	}
	v.Runs = append(v.Runs, u)
	return err
}

func goals(partitions int, samples map[string]*sample, m mark) []goal {
	where := ", " + ofPartitions(partitions)
	null, bare, slow := samples[varNull], samples[varBare], samples[varReencode]
	part := null.perSecond().median / bare.perSecond().median
	out := []goal{{
		fmt.Sprintf("(b) at least %.0f %% of (a) on the wall%s", 100*m.bare, where), fmt.Sprintf("%.0f %%", 100*part), part >= m.bare,
	}}
	if m.cpu > 0 {
		at := null.perCPU()
		out = append(out, goal{fmt.Sprintf("(b) at least %s records per CPU second%s", short(m.cpu), where), at.count(), at.median >= m.cpu})
	}
	if m.reencode > 0 {
		times := null.perCPU().median / slow.perCPU().median
		out = append(out, goal{fmt.Sprintf("(b) at least %.0f × (d) per CPU second%s", m.reencode, where), fmt.Sprintf("%.1f ×", times), times >= m.reencode})
	}
	most := 0.0
	for variant := range codecs {
		most = max(most, samples[variant].peak().most)
	}
	limit := drainMemory(partitions)
	return append(out, goal{fmt.Sprintf("peak memory of every drain below %.0f MiB%s", limit, where), fmt.Sprintf("%.0f MiB", most), most < limit})
}

// compressors compares drains that compress with the compressor by itself. It needs the tables before it.
func (b *bench) compressors(ctx context.Context) (section, error) {
	s := section{
		Title:  "The compressor by itself: the same blocks from memory to nowhere, on all processors",
		Header: []string{"records", "codec", "records/s", "MB/s", "records per CPU s", "packed to", "drain, 1 partition", "drain, 8 partitions"},
		Notes:  []string{"The drains' records a second are those of the tables above; the percentage is of the compressor's."},
	}
	long := time.Duration(min(b.records, 1_500_000)) * time.Microsecond
	for _, kindName := range []string{"ladder", "matches"} {
		for _, codec := range []string{"null", "snappy", "zstandard"} {
			var c compressed
			u, err := b.child(ctx, nil, b.role("compress", "-kind", kindName, "-codec", codec, "-for", long.String()), &c)
			if err != nil {
				return s, err
			}
			rate := float64(c.Records) / c.Wall.Seconds()
			row := []string{
				kindName, codec, short(rate), fmt.Sprintf("%.0f", float64(c.Bytes)/1e6/c.Wall.Seconds()), short(float64(c.Records) / u.CPU.Seconds()),
				fmt.Sprintf("%.0f %%", 100*float64(c.Packed)/float64(c.Bytes)),
			}
			for _, partitions := range []int{1, 8} {
				row = append(row, b.besideDrain(kindName, codec, partitions, rate))
			}
			s.Rows = append(s.Rows, row)
		}
	}
	return s, nil
}

// besideDrain shows a measured drain's records a second beside a rate.
func (b *bench) besideDrain(kindName, codec string, partitions int, rate float64) string {
	at := slices.IndexFunc(b.report.Sections, func(s section) bool { return s.Name == kindName })
	if at < 0 {
		return "not measured"
	}
	for variant, of := range codecs {
		v := b.report.Sections[at].Runs[ofPartitions(partitions)+", "+variant]
		if of != codec || v == nil {
			continue
		}
		found := v.perSecond().median
		return fmt.Sprintf("%s, %.0f %%", short(found), 100*found/rate)
	}
	return "not measured"
}

// drainMemory is the most memory in MiB that a drain should take: 96 MiB, and for each file that is open at the same time
// one part as gcs.part.size has it, 25 MiB. Of partitions with much to drain four are drained at a time.
func drainMemory(partitions int) float64 { return 96 + 25*float64(min(partitions, 4)) }

// memory compares the peak memory of drains of few and of many records.
func (b *bench) memory(ctx context.Context) (section, error) {
	s := section{Header: append([]string{"records", "codec"}, figureHeader...), Runs: map[string]*sample{}}
	few, many := b.records/2, 2*b.records
	if b.large {
		many = 10 * b.records
	}
	s.Title = fmt.Sprintf("Memory: %s and %s records of a ladder, 1 partition", short(float64(few)), short(float64(many)))
	peaks := map[int]float64{}
	for _, records := range []int{few, many} {
		t, err := b.produce(ctx, "ladder", records, 1)
		if err != nil {
			return s, err
		}
		for _, codec := range []string{"null", "zstandard"} {
			if codec != "null" && records == 10*b.records {
				continue // as long as all else together
			}
			v := &sample{Records: t.records(), Bytes: t.valueBytes}
			for range max(1, min(b.runs, 4*few/records)) {
				u, err := b.drain(ctx, drain{topic: t, codec: codec})
				if err != nil {
					return s, err
				}
				v.Runs = append(v.Runs, u)
			}
			s.Rows = append(s.Rows, append([]string{short(float64(records)), codec}, v.figures()...))
			s.Runs[fmt.Sprintf("%d, %s", records, codec)] = v
			peaks[records] = max(peaks[records], v.peak().most)
		}
		if err := b.remove(ctx, t); err != nil {
			return s, err
		}
	}
	for _, records := range []int{few, many} {
		s.Goals = append(s.Goals, goal{fmt.Sprintf("peak memory below %.0f MiB at %s records", drainMemory(1), short(float64(records))),
			fmt.Sprintf("%.0f MiB", peaks[records]), peaks[records] < drainMemory(1)})
	}
	return s, nil
}
