package report

import (
	"fmt"
	"slices"
	"strings"
)

// The bump chart's measures, in SVG units.
const (
	bumpRanks  = 16
	bumpPolls  = 12
	bumpWidth  = 1120.0
	bumpLeft   = 128.0
	bumpRight  = 176.0
	bumpTop    = 34.0
	bumpRow    = 27.0
	bumpFloor  = bumpTop + bumpRanks*bumpRow + 6 // below it are the ranks that are not drawn
	bumpStrip  = 24.0
	bumpHeight = bumpFloor + bumpStrip + 4
)

// bump is the chart of ranks over polls.
type bump struct {
	Width, Height float64
	Columns       []column
	Lines         []line
	Floor, Strip  float64
	Entries       int
}

type column struct {
	X    float64
	Poll int
}

// line is one player's way through the polls.
type line struct {
	Key   string
	Path  string
	Hue   int
	Dots  []dot
	Start *label
	End   *label
}

type dot struct {
	X, Y   float64
	Rank   int
	Points int64
	Poll   int
}

type label struct {
	Y      float64
	Rank   int
	Points int64
	// Climbed is the number of ranks since the first poll drawn, New that there was no such rank.
	Climbed, Fell int
	New           bool
}

// drawBump draws the last polls' first ranks. A player outside of them runs along the floor of the chart.
func drawBump(ladders []Ladder) bump {
	ladders = slices.DeleteFunc(slices.Clone(ladders), func(l Ladder) bool { return len(l.Top) == 0 })
	if len(ladders) > bumpPolls {
		ladders = ladders[len(ladders)-bumpPolls:]
	}
	b := bump{Width: bumpWidth, Height: bumpHeight, Floor: bumpFloor, Strip: bumpStrip}
	if len(ladders) == 0 {
		return b
	}
	b.Entries = ladders[len(ladders)-1].Entries
	step := 0.0
	if len(ladders) > 1 {
		step = (bumpWidth - bumpLeft - bumpRight) / float64(len(ladders)-1)
	}
	places := map[string][]Standing{}
	ranks := map[string][]int{}
	var order []string
	for i, l := range ladders {
		b.Columns = append(b.Columns, column{bumpLeft + float64(i)*step, l.Poll})
		for rank, s := range l.Top {
			if ranks[s.Key] == nil {
				ranks[s.Key] = make([]int, len(ladders))
				places[s.Key] = make([]Standing, len(ladders))
				order = append(order, s.Key)
			}
			ranks[s.Key][i] = rank + 1
			places[s.Key][i] = s
		}
	}
	for _, key := range order {
		seen := func(r int) bool { return r > 0 && r <= bumpRanks }
		if !slices.ContainsFunc(ranks[key], seen) {
			continue
		}
		b.Lines = append(b.Lines, drawLine(key, ranks[key], places[key], b.Columns, len(b.Lines)))
	}
	return b
}

func drawLine(key string, ranks []int, places []Standing, columns []column, index int) line {
	l := line{Key: key, Hue: (42 + index*360/(bumpRanks+3)) % 360}
	seen := func(i int) bool { return ranks[i] > 0 && ranks[i] <= bumpRanks }
	y := func(i int) float64 {
		if !seen(i) {
			return bumpFloor + bumpStrip/2
		}
		return bumpTop + (float64(ranks[i])-0.5)*bumpRow
	}
	var path strings.Builder
	drawing := false
	for i := range columns {
		if i > 0 && (seen(i-1) || seen(i)) {
			if !drawing {
				fmt.Fprintf(&path, "M%.1f %.1f", columns[i-1].X, y(i-1))
				drawing = true
			}
			middle := (columns[i-1].X + columns[i].X) / 2
			fmt.Fprintf(&path, "C%.1f %.1f %.1f %.1f %.1f %.1f", middle, y(i-1), middle, y(i), columns[i].X, y(i))
		} else {
			drawing = false
		}
		if seen(i) {
			l.Dots = append(l.Dots, dot{columns[i].X, y(i), ranks[i], places[i].Points, columns[i].Poll})
		}
	}
	l.Path = path.String()
	last := len(columns) - 1
	if seen(0) {
		l.Start = &label{Y: y(0), Rank: ranks[0], Points: places[0].Points}
	}
	if seen(last) {
		l.End = &label{Y: y(last), Rank: ranks[last], Points: places[last].Points}
		switch {
		case ranks[0] == 0:
			l.End.New = true
		default:
			l.End.Climbed = max(0, ranks[0]-ranks[last])
			l.End.Fell = max(0, ranks[last]-ranks[0])
		}
	}
	return l
}
