package report

import (
	"cmp"
	"fmt"
	"slices"
)

// The tape's measures, in SVG units.
const (
	tapeWidth  = 1120.0
	tapeLeft   = 64.0
	tapeRow    = 30.0
	tapeBlock  = 21.0
	tapeRows   = 26
	tapeMinRow = 60 // offsets
	tapeBlocks = 3000
)

// tape is one partition's offsets, wrapped into rows, with the objects that hold them.
type tape struct {
	Topic     string
	Partition int32
	Height    float64
	Width     float64
	Rows      []tapeLine
	Blocks    []block
	Gaps      []gap
	Objects   int
	Records   int64
	Bytes     int64
	End       int64
	Committed int64
	Lag       int64
	Omitted   int
	Drains    []int
}

type tapeLine struct {
	Y     float64
	First int64
}

// block is an object, or the part of it in one row.
type block struct {
	X, Y, W, H float64
	Object     Object
	Label      string
	Hue        int
	// Continued says that the object began in the row above.
	Continued bool
}

// gap is a run of offsets that no record has: transaction markers, mostly.
type gap struct {
	X, Y, W     float64
	First, Last int64
}

func drawTapes(r *Report) []tape {
	type id struct {
		topic     string
		partition int32
	}
	by := map[id][]Object{}
	for _, o := range r.Objects {
		k := id{o.Topic, o.Partition}
		by[k] = append(by[k], o)
	}
	var out []tape
	for k, objects := range by {
		slices.SortFunc(objects, func(a, b Object) int { return cmp.Compare(a.First, b.First) })
		t := tape{Topic: k.topic, Partition: k.partition, Width: tapeWidth, Committed: -1}
		for _, d := range r.Drains {
			for _, p := range d.Partitions {
				if p.Topic == k.topic && p.Partition == k.partition {
					t.End, t.Committed, t.Lag = p.To, p.Committed, p.Lag
				}
			}
		}
		t.draw(objects)
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b tape) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out
}

func (t *tape) draw(objects []Object) {
	for _, o := range objects {
		t.Objects++
		t.Records += o.Records
		t.Bytes += o.Bytes
		t.End = max(t.End, o.First+o.Records)
		if !slices.Contains(t.Drains, o.Drain) {
			t.Drains = append(t.Drains, o.Drain)
		}
	}
	if len(objects) > tapeBlocks {
		t.Omitted = len(objects) - tapeBlocks
		objects = objects[t.Omitted:]
	}
	start := objects[0].First
	perRow := max(int64(tapeMinRow), (t.End-start+tapeRows-1)/tapeRows)
	perRow = (perRow + 2) / 3 * 3
	unit := (tapeWidth - tapeLeft) / float64(perRow)
	rows := (t.End - start + perRow - 1) / perRow
	for row := range rows {
		t.Rows = append(t.Rows, tapeLine{float64(row) * tapeRow, start + row*perRow})
	}
	t.Height = float64(rows) * tapeRow

	// place calls f once for each row that the offsets from first up to end touch.
	place := func(first, end int64, f func(x, y, w float64, continued bool)) {
		for at := first; at < end; {
			row := (at - start) / perRow
			stop := min(end, start+(row+1)*perRow)
			f(tapeLeft+float64(at-start-row*perRow)*unit, float64(row)*tapeRow, float64(stop-at)*unit, at > first)
			at = stop
		}
	}
	next := start
	for _, o := range objects {
		if o.First > next {
			place(next, o.First, func(x, y, w float64, _ bool) {
				t.Gaps = append(t.Gaps, gap{x, y, w, next, o.First - 1})
			})
		}
		place(o.First, o.First+o.Records, func(x, y, w float64, continued bool) {
			b := block{X: x + 0.75, Y: y, W: max(0.5, w-1.5), H: tapeBlock, Object: o, Continued: continued, Hue: drainHue(o.Drain)}
			if text := fmt.Sprint(o.First); !continued && b.W > 7*float64(len(text))+6 {
				b.Label = text
			}
			t.Blocks = append(t.Blocks, b)
		})
		next = max(next, o.First+o.Records)
	}
	if t.End > next {
		place(next, t.End, func(x, y, w float64, _ bool) { t.Gaps = append(t.Gaps, gap{x, y, w, next, t.End - 1}) })
	}
}

// drainHue goes round the colours in steps that keep neighbours apart.
func drainHue(drain int) int { return (200 + (drain-1)*67) % 360 }
