package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strings"
)

//go:embed page.html.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": count[int],
	"many":  count[int64],
	"bytes": byteSize,
	"short": short,
	"pct":   percent,
	"hue":   drainHue,
}).Parse(pageText))

// page is what the template draws.
type page struct {
	*Report
	Totals  Totals
	Bump    bump
	Bars    []bar
	Tapes   []tape
	Hidden  int // partitions that are not drawn
	Listed  []Object
	Omitted int
}

// tapesShown bounds the partitions that are drawn.
const tapesShown = 12

// listedObjects bounds the table at the end of the page.
const listedObjects = 400

// HTML draws the page.
func (r *Report) HTML() ([]byte, error) {
	p := page{Report: r, Totals: r.Totals(), Bump: drawBump(r.Ladders), Bars: drawBars(r.Polls), Tapes: drawTapes(r)}
	if n := len(p.Tapes); n > tapesShown {
		p.Tapes, p.Hidden = p.Tapes[:tapesShown], n-tapesShown
	}
	p.Listed = r.Objects
	if n := len(r.Objects); n > listedObjects {
		p.Listed, p.Omitted = r.Objects[n-listedObjects:], n-listedObjects
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func count[N int | int64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func byteSize(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

func percent(part, whole int) string {
	if whole == 0 {
		return "0"
	}
	return fmt.Sprintf("%.0f", math.Floor(100*float64(part)/float64(whole)))
}

// short is how a key is called in a drawing.
func short(key string) string {
	if rest, ok := strings.CutPrefix(key, "simulated-"); ok {
		number, _, _ := strings.Cut(rest, "-")
		if number = strings.TrimLeft(number, "0"); number == "" {
			number = "0"
		}
		return "player " + number
	}
	if r := []rune(key); len(r) > 10 {
		return string(r[:9]) + "…"
	}
	return key
}

// bar is one poll's counts, in percent of the widest.
type bar struct {
	Poll
	NewWidth, ChangedWidth, UnchangedWidth, LeftWidth float64
}

// barsShown bounds the polls that are drawn; older ones stay in report.json.
const barsShown = 24

func drawBars(polls []Poll) []bar {
	if len(polls) > barsShown {
		polls = polls[len(polls)-barsShown:]
	}
	widest := 1
	for _, p := range polls {
		widest = max(widest, p.New+p.Changed+p.Unchanged+p.Left)
	}
	// A single player among ten thousand shall still be seen.
	width := func(n int) float64 {
		if n == 0 {
			return 0
		}
		return max(0.5, 97*float64(n)/float64(widest))
	}
	out := make([]bar, len(polls))
	for i, p := range polls {
		out[i] = bar{p, width(p.New), width(p.Changed), width(p.Unchanged), width(p.Left)}
	}
	return out
}
