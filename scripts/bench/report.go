package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// report is what was measured.
type report struct {
	Sections []section `json:"sections"`
	now      conditions
}

// conditions are where and of what a section was measured.
type conditions struct {
	Machine string `json:"machine"`
	Go      string `json:"go"`
	Commit  string `json:"commit"`
	Broker  string `json:"broker"`
	Date    string `json:"date"`
}

// section is one table with its goals.
type section struct {
	Name   string     `json:"name"`
	Title  string     `json:"title"`
	Notes  []string   `json:"notes,omitempty"`
	Header []string   `json:"header"`
	Rows   [][]string `json:"rows"`
	Goals  []goal     `json:"goals,omitempty"`
	// Runs are the single runs behind the rows, by the first cells.
	Runs map[string]*sample `json:"runs,omitempty"`
	conditions
}

// goal is a figure beside what it should be.
type goal struct {
	Goal    string `json:"goal"`
	Figure  string `json:"figure"`
	Reached bool   `json:"reached"`
}

func newReport(ctx context.Context, b *bench) *report {
	return &report{now: conditions{
		Machine: machine(), Go: runtime.Version(), Commit: commit(ctx), Date: time.Now().UTC().Format("2006-01-02 15:04 MST"),
		Broker: fmt.Sprintf("%s (%s)", b.broker.version, b.broker.pinned),
	}}
}

// load takes the sections of an earlier report that are not measured anew.
func (r *report) load(dir string, only []string) error {
	if len(only) == 0 {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, r); err != nil {
		return fmt.Errorf("reading the earlier report: %w; remove it", err)
	}
	return nil
}

// set puts a section in its place.
func (r *report) set(s section) {
	s.conditions = r.now
	r.Sections = slices.DeleteFunc(r.Sections, func(o section) bool { return o.Name == s.Name })
	r.Sections = append(r.Sections, s)
	place := func(name string) int { return slices.IndexFunc(parts, func(p part) bool { return p.name == name }) }
	slices.SortStableFunc(r.Sections, func(a, b section) int { return cmp.Compare(place(a.Name), place(b.Name)) })
}

func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "bench.json"), append(data, '\n'), 0o600),
		os.WriteFile(filepath.Join(dir, "bench.md"), []byte(r.markdown()), 0o600))
}

// markdown is the report as a person reads it.
func (r *report) markdown() string {
	var out strings.Builder
	var last conditions
	for _, s := range r.Sections {
		at := s.conditions
		if at.Date = ""; at != last {
			last = at
			fmt.Fprintf(&out, "%s, %s, %s, commit %s, %s\n\n", at.Machine, at.Go, at.Broker, at.Commit, s.Date)
		}
		fmt.Fprintf(&out, "### %s\n\n", s.Title)
		table(&out, s.Header, s.Rows)
		for _, note := range s.Notes {
			fmt.Fprintf(&out, "%s\n", note)
		}
		if len(s.Notes) > 0 {
			out.WriteByte('\n')
		}
		if len(s.Goals) == 0 {
			continue
		}
		var rows [][]string
		for _, g := range s.Goals {
			reached := "reached"
			if !g.Reached {
				reached = "**not reached**"
			}
			rows = append(rows, []string{g.Goal, g.Figure, reached})
		}
		table(&out, []string{"goal", "figure", ""}, rows)
	}
	return out.String()
}

// table writes a Markdown table whose columns are aligned for a terminal.
func table(out *strings.Builder, header []string, rows [][]string) {
	width := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)), 3)
		}
	}
	line := func(row []string) {
		for i, cell := range row {
			fmt.Fprintf(out, "| %-*s ", width[i], cell)
		}
		out.WriteString("|\n")
	}
	line(header)
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = strings.Repeat("-", width[i])
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	out.WriteByte('\n')
}

// machine is the processor's name and how many there are, and the memory.
func machine() string {
	name := runtime.GOARCH
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(data), "model name\t: "); ok {
			name, _, _ = strings.Cut(rest, "\n")
		}
	}
	text := fmt.Sprintf("%d × %s, %s", runtime.NumCPU(), name, runtime.GOOS)
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(data), "MemTotal: %d kB", &kib); err == nil {
			text += fmt.Sprintf(", %.0f GiB", float64(kib)/(1<<20))
		}
	}
	return text
}

// commit is the tree that is measured.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// sample is what was measured of one variant, run by run.
type sample struct {
	Runs []usage `json:"runs"`
	// Records and Bytes are what each run went through.
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// median of a figure of all runs, with the least and the greatest.
func (s sample) median(figure func(usage) float64) spread {
	all := make([]float64, len(s.Runs))
	for i, u := range s.Runs {
		all[i] = figure(u)
	}
	return spreadOf(all)
}

type spread struct{ median, least, most float64 }

func spreadOf(all []float64) spread {
	if len(all) == 0 {
		return spread{}
	}
	all = slices.Sorted(slices.Values(all))
	mid := all[len(all)/2]
	if len(all)%2 == 0 {
		mid = (mid + all[len(all)/2-1]) / 2
	}
	return spread{mid, all[0], all[len(all)-1]}
}

func (s sample) perSecond() spread {
	return s.median(func(u usage) float64 { return float64(s.Records) / u.Wall.Seconds() })
}

func (s sample) perCPU() spread {
	return s.median(func(u usage) float64 { return float64(s.Records) / max(u.CPU.Seconds(), 1e-3) })
}

func (s sample) cpu() spread  { return s.median(func(u usage) float64 { return u.CPU.Seconds() }) }
func (s sample) wall() spread { return s.median(func(u usage) float64 { return u.Wall.Seconds() }) }
func (s sample) peak() spread {
	return s.median(func(u usage) float64 { return float64(u.Peak) / (1 << 20) })
}

// figureHeader and figures are the columns that most tables have.
var figureHeader = []string{"records/s", "MB/s", "records per CPU s", "CPU s", "peak MiB", "broker CPU s", "bucket CPU s"}

func (s sample) figures() []string {
	broker := s.median(func(u usage) float64 { return u.Broker.Seconds() })
	bucket := s.median(func(u usage) float64 { return u.Bucket.Seconds() })
	return []string{
		s.perSecond().count(), fmt.Sprintf("%.0f", s.perSecond().median*float64(s.Bytes)/float64(s.Records)/1e6), s.perCPU().count(),
		s.cpu().plain(2), s.peak().plain(0), fmt.Sprintf("%.2f", broker.median), fmt.Sprintf("%.2f", bucket.median),
	}
}

// count shows a spread of large numbers.
func (s spread) count() string {
	if s.least == s.most {
		return short(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", short(s.median), short(s.least), short(s.most))
}

// plain shows a spread with so many decimals.
func (s spread) plain(decimals int) string {
	if s.least == s.most {
		return fmt.Sprintf("%.*f", decimals, s.median)
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", decimals, s.median, decimals, s.least, decimals, s.most)
}

// short writes 1234567 as 1.23 M.
func short(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0f k", n/1e3)
	case n >= 1e3:
		return fmt.Sprintf("%.1f k", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}
