package main

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/report"
	"github.com/riftline/riftline/shared/poll"
)

// progress tells a person what happens, step by step, and sums up.
type progress struct {
	out   io.Writer
	color bool
}

func newProgress(out io.Writer, getenv func(string) string) *progress {
	f, ok := out.(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return &progress{out: out, color: ok && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

func (p *progress) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format, args...) }

func (p *progress) paint(code, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *progress) bold(s string) string  { return p.paint("1", s) }
func (p *progress) faint(s string) string { return p.paint("2", s) }
func (p *progress) good(s string) string  { return p.paint("32", s) }
func (p *progress) bad(s string) string   { return p.paint("31", s) }
func (p *progress) blue(s string) string  { return p.paint("34;1", s) }

func (p *progress) warn(text string) { p.printf("%s\n", p.bad(text)) }

func (p *progress) waiting(d time.Duration) { p.printf("%s\n", p.faint("waiting "+d.String())) }

// requestURL is the URL that a source asks, without query and user, or as validate shows it where it is a template.
func requestURL(c connector.Connector) string {
	const key = "http.request.url"
	if u, err := url.Parse(c.Config[key]); err == nil && u.Host != "" && !strings.Contains(c.Config[key], "${") {
		u.RawQuery, u.User, u.Fragment = "", nil, ""
		return u.String()
	}
	verdicts, _ := c.Explain(connector.Worker{}, connector.CheckOptions{})
	for _, v := range verdicts {
		if v.Key == key {
			return v.Value
		}
	}
	return ""
}

// opening says where everything is.
func (p *progress) opening(s *session) {
	kind := map[bool]string{true: "embedded", false: "as configured"}
	address := requestURL(s.source)
	if s.local.Simulator != nil {
		address += p.faint("  (simulated)")
	}
	again := ""
	if s.report.Runs > 1 {
		again = fmt.Sprintf(", going on after poll %d", len(s.report.Polls))
	}
	p.printf("%s %s → %s → %s%s\n", p.bold("riftline run:"), s.source.Name, s.report.Topic, s.sink.Name, again)
	p.printf("  API      %s\n", address)
	p.printf("  Kafka    %s, topic %s\n", kind[s.local.Broker != nil], s.report.Topic)
	p.printf("  schemas  %s\n", kind[s.local.Registry != nil])
	p.printf("  bucket   gs://%s, %s, %d records an object\n", s.report.Bucket, kind[s.local.GCS != nil], s.report.FlushSize)
	p.printf("  folder   %s\n\n", s.o.out)
}

func (p *progress) poll(r report.Poll, sum poll.Summary) {
	head := p.blue(fmt.Sprintf("poll  %-3d", r.Number))
	if r.Error != "" {
		p.printf("%s %s: %s\n", head, p.bad(r.Outcome), r.Error)
		return
	}
	p.printf("%s %4d fetched: %s new, %s changed, %d unchanged, %d left → ", head, r.Fetched,
		p.bold(fmt.Sprint(r.New)), p.bold(fmt.Sprint(r.Changed)), r.Unchanged, r.Left)
	switch {
	case r.Published > 0:
		p.printf("%s %s published%s", p.bold(fmt.Sprint(r.Published)), plural(r.Published, "record"), p.faint(offsets(r.FirstOffsets, r.LastOffsets)))
	default:
		p.printf("nothing to publish")
	}
	if sum.Recovered != "" {
		p.printf("; an earlier run's records were found %s", strings.ReplaceAll(sum.Recovered, "_", " "))
	}
	if r.Keyless > 0 {
		p.printf("; %d without a key", r.Keyless)
	}
	p.printf(" %s\n", p.faint(fmt.Sprintf("%d ms", r.DurationMS)))
}

func offsets(first, last map[int32]int64) string {
	parts := make([]string, 0, len(first))
	for _, partition := range slices.Sorted(maps.Keys(first)) {
		text := fmt.Sprintf("offsets %d–%d", first[partition], last[partition])
		if len(first) > 1 {
			text = fmt.Sprintf("partition %d: %s", partition, text)
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// plural is the noun as it follows a number.
func plural[N int | int64](n N, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func (p *progress) drain(d report.Drain) {
	head := p.blue(fmt.Sprintf("drain %-3d", d.Number))
	lag := int64(0)
	where := make([]string, 0, len(d.Partitions))
	for _, part := range d.Partitions {
		lag += part.Lag
		where = append(where, fmt.Sprint(part.Committed))
	}
	if d.Records == 0 && d.Error == "" {
		p.printf("%s nothing to archive, lag %d %s\n", head, lag, p.faint(fmt.Sprintf("%d ms", d.DurationMS)))
	}
	if d.Records > 0 {
		p.printf("%s %4d %s → %s %s, %d bytes; committed %s, lag %d %s\n", head, d.Records, plural(d.Records, "record"),
			p.bold(fmt.Sprint(d.Objects)), plural(d.Objects, "object"), d.Bytes, strings.Join(where, "/"), lag, p.faint(fmt.Sprintf("%d ms", d.DurationMS)))
	}
	if d.Error != "" {
		p.printf("%s %s: %s\n", head, p.bad(d.Outcome), d.Error)
	}
	for _, part := range d.Partitions {
		if part.Stopped != "" {
			p.printf("%s %s: %s\n", head, p.bad(fmt.Sprintf("%s/%d stopped", part.Topic, part.Partition)), part.Stopped)
		}
	}
}

// summary is for somebody who has not seen riftline before.
func (p *progress) summary(s *session) {
	r := s.report
	p.printf("\n%s\n", p.bold("What the polls found"))
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "poll\tfetched\tnew\tchanged\tunchanged\tleft\tpublished\tobjects\tlag\t")
	var rows []row
	for _, one := range r.Polls {
		rows = append(rows, row{poll: one})
	}
	for i := range rows {
		for _, d := range r.Drains {
			if d.Number == rows[i].poll.Number {
				rows[i].objects += d.Objects
				rows[i].lag = 0
				for _, part := range d.Partitions {
					rows[i].lag += part.Lag
				}
			}
		}
	}
	const shown = 20
	if len(rows) > shown {
		_, _ = fmt.Fprintf(w, "…\t…\t…\t…\t…\t…\t…\t…\t…\t\n")
		rows = rows[len(rows)-shown:]
	}
	for _, x := range rows {
		_, _ = fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", x.poll.Number, x.poll.Fetched, x.poll.New,
			x.poll.Changed, x.poll.Unchanged, x.poll.Left, x.poll.Published, x.objects, x.lag)
	}
	t := r.Totals()
	_, _ = fmt.Fprintf(w, "all\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", t.Fetched, t.New, t.Changed, t.Unchanged, t.Left, t.Published, t.Objects, t.Lag)
	_ = w.Flush()
	p.printf("\n%s\n", p.faint("A record is published for each new and each changed entry; unchanged ones are recognised and left out. Lag is what\nthe topic holds and no object does yet."))
	p.verdict(r.Check)
	p.where(s)
}

type row struct {
	poll         report.Poll
	objects, lag int64
}

func (p *progress) verdict(c *report.Check) {
	switch {
	case c.Error != "":
		p.printf("\n%s %s\n", p.bad("Not read back:"), c.Error)
	case c.Good() && c.Topic == 0 && c.Records == 0:
		p.printf("\nNothing is in the topic, and nothing in the bucket.\n")
	case c.Good():
		p.printf("\n%s %d %s in the topic, %d read back from %d %s: each in exactly one.", p.good("Read back:"), c.Topic, plural(c.Topic, "record"),
			c.Records, c.Objects, plural(c.Objects, "object"))
		if c.Waiting > 0 {
			p.printf(" %d wait for the next drain.", c.Waiting)
		}
		if c.Ladder > 0 {
			p.printf("\n           They rebuild the last ladder: %d of %d players.", c.Players, c.Ladder)
		}
		p.printf("\n")
	default:
		p.printf("\n%s %d records in the topic, %d read back from %d objects: %d missing, %d twice or misplaced; %d of %d players of the last ladder match.\n",
			p.bad("The archive is not what the topic holds:"), c.Topic, c.Records, c.Objects, c.Missing, c.Twice, c.Players, c.Ladder)
	}
}

// where says what to look at next.
func (p *progress) where(s *session) {
	p.printf("\n")
	if s.local.GCS != nil {
		p.printf("  objects   %s\n", filepath.Join(s.o.out, "gcs", s.report.Bucket))
	} else {
		p.printf("  objects   gs://%s\n", s.report.Bucket)
	}
	page := filepath.Join(s.o.out, report.HTMLFile)
	if whole, err := filepath.Abs(page); err == nil {
		page = "file://" + filepath.ToSlash(whole)
	}
	p.printf("  report    %s\n", page)
	if n := len(s.report.Objects); n > 0 && s.local.GCS != nil {
		name := filepath.Join(s.o.out, "gcs", s.report.Bucket, filepath.FromSlash(s.report.Objects[0].Name))
		p.printf("  look in   riftline cat '%s'\n", name)
	}
}
