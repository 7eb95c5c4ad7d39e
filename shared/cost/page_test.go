package cost

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// page is what people read; its tables are computed here.
const page = "../../infra/COST.md"

var update = flag.Bool("update", false, "write the tables of "+page+" anew")

// The months of the page.
func published() Month {
	a := Defaults()
	source := Source{Name: "challenger", Topic: "challenger", Runs: Minutes, Units: 1, Secrets: 1}
	return Month{Assumptions: a, SecretCount: 1, Sources: []Source{source},
		Sinks: []Sink{{Name: "gcs-sink", Drains: Hours, Tasks: 1, FlushSize: 3, Records: source.Records(a)}}}
}

// ladders are three connectors, one for each ladder, with 15 platforms each, and a sink for their three topics.
func ladders() Month {
	a := Defaults()
	m := Month{Assumptions: a, SecretCount: 1}
	records := 0.0
	for _, name := range []string{"challenger", "grandmaster", "master"} {
		source := Source{Name: name, Topic: name, Runs: Minutes, Units: 15, Secrets: 1}
		records += source.Records(a)
		m.Sources = append(m.Sources, source)
	}
	m.Sinks = []Sink{{Name: "gcs-sink", Drains: Hours, Tasks: 3, FlushSize: 3, Records: records}}
	return m
}

// What the crawl of matches rests on.
const (
	crawlPlayers = 45 * 300
	// crawlMatches are the new matches of a day, each once: three for each player, and every match has three of them.
	crawlMatches = crawlPlayers * 3 / 3
	crawlSeconds = 0.3
	crawlBytes   = 20_000
)

// crawl asks once a day for the matches of each player and once for each new match, a hundred requests in one run of one
// source partition.
func crawl() Month {
	a := Defaults()
	a.RunSeconds, a.RecordBytes, a.ChangesPerDay = 100*crawlSeconds, crawlBytes, crawlMatches
	source := Source{Name: "matches", Topic: "matches", Runs: (crawlPlayers + crawlMatches) * Days / 100, Units: 1, Secrets: 1, ThroughPubSub: true}
	return Month{Assumptions: a, SecretCount: 1, Sources: []Source{source},
		Sinks: []Sink{{Name: "matches-sink", Drains: Hours, Tasks: 1, FlushSize: 1000, Records: source.Records(a)}}}
}

func with(m Month, changes ...func(*Month)) Month {
	m.Sources, m.Sinks = append([]Source{}, m.Sources...), append([]Sink{}, m.Sinks...)
	for _, change := range changes {
		change(&m)
	}
	return m
}

func flush(n float64) func(*Month) {
	return func(m *Month) {
		for i := range m.Sinks {
			m.Sinks[i].FlushSize = n
		}
	}
}

func drains(n float64) func(*Month) {
	return func(m *Month) {
		for i := range m.Sinks {
			m.Sinks[i].Drains = n
		}
	}
}

func polls(n float64) func(*Month) {
	return func(m *Month) {
		for i := range m.Sources {
			m.Sources[i].Runs = n
		}
	}
}

// inserts compares what is published alone: whole ladders in objects of three as soon as there are three, and changes.
func inserts(changes Sink) string {
	var b strings.Builder
	b.WriteString("| published | records a month | objects a month | inserts |\n| --- | ---: | ---: | ---: |\n")
	whole := Sink{Drains: Minutes, FlushSize: 3, Records: 300 * Minutes}
	for _, r := range []struct {
		what string
		s    Sink
	}{{"the whole ladder at each poll", whole}, {"what changed since the last poll", changes}} {
		objects, _ := r.s.Objects()
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, Count(r.s.Records), Count(objects), Dollars(objects/Prices[ClassA].Per*Prices[ClassA].Dollars))
	}
	return b.String()
}

func tables() map[string]string {
	case1, case2 := published(), ladders()
	return map[string]string{
		"prices":        priceTable(),
		"published":     billTable(case1),
		"published-how": variants(row{"as published", case1}, row{"`flush.size` 1000", with(case1, flush(1000))}, row{"a poll every five minutes", with(case1, polls(Minutes/5))}, row{"one drain a day", with(case1, drains(Days))}, row{"one drain a day, `flush.size` 1000", with(case1, drains(Days), flush(1000))}),
		"everything":    inserts(case1.Sinks[0]),
		"ladders":       billTable(case2),
		"ladders-how":   variants(row{"as above", case2}, row{"`flush.size` 1000", with(case2, flush(1000))}, row{"polls every five minutes", with(case2, polls(Minutes/5))}, row{"polls every five minutes, `flush.size` 1000", with(case2, polls(Minutes/5), flush(1000))}),
		"crawl":         billTable(crawl()),
		"connect": fmt.Sprintf("| what | a month |\n| --- | --- |\n| the smallest cluster of Google's managed Kafka Connect: %d vCPU and %d GiB, %.1f DCU at $%.2f an hour | %s, if a DCU of a Connect cluster costs what one of a Kafka cluster does: that price was not found |\n| one worker of %d vCPU and %d GiB that is always on, at Cloud Run's price for instances that stay | %s |\n| a virtual machine of that size | not read: 720 times its price an hour |\n| two connectors of Confluent Cloud, one task each | not read: 1,440 times the price of a task-hour, and the traffic |\n",
			ManagedCPUs, ManagedGiB, ManagedCPUs*0.6+ManagedGiB*0.1, ManagedDCUHour, Dollars(Managed()), WorkerCPUs, WorkerGiB, Dollars(Worker())),
	}
}

func priceTable() string {
	var b strings.Builder
	b.WriteString("| what | list price | free each month | source | not read again |\n| --- | --- | --- | --- | --- |\n")
	for _, p := range Prices {
		per := p.Unit
		if p.Per != 1 {
			per = Count(p.Per) + " " + Units(p.Unit, p.Per)
		}
		dollars := strconv.FormatFloat(p.Dollars, 'f', -1, 64)
		if len(dollars)-strings.Index(dollars+".", ".") < 3 {
			dollars = fmt.Sprintf("%.2f", p.Dollars)
		}
		fmt.Fprintf(&b, "| %s | $%s per %s | %s | %s | %s |\n", p.What, dollars, per, Count(p.Free)+" "+Units(p.Unit, p.Free), p.Source, p.Unread)
	}
	return b.String()
}

func billTable(m Month) string {
	var b strings.Builder
	b.WriteString("| what | units | list | free | due |\n| --- | ---: | ---: | ---: | ---: |\n")
	bill := Bill(m.Use())
	for _, l := range bill {
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s | %s |\n", l.What, Count(l.Units), Units(l.Unit, l.Units), Dollars(l.List), Dollars(l.Free), Dollars(l.Due()))
	}
	list, due := Sum(bill)
	fmt.Fprintf(&b, "| together | | %s | %s | %s |\n", Dollars(list), Dollars(list-due), Dollars(due))
	return b.String()
}

type row struct {
	what string
	m    Month
}

func variants(rows ...row) string {
	var b strings.Builder
	b.WriteString("| | objects a month | list | due |\n| --- | ---: | ---: | ---: |\n")
	for _, r := range rows {
		objects := 0.0
		for _, s := range r.m.Sinks {
			n, _ := s.Objects()
			objects += n
		}
		list, due := Sum(Bill(r.m.Use()))
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, Count(objects), Dollars(list), Dollars(due))
	}
	return b.String()
}

var block = regexp.MustCompile(`(?s)(<!-- computed: ([a-z-]+) -->\n).*?(<!-- end -->)`)

// TestThePageIsComputed keeps every number of the page's tables true.
func TestThePageIsComputed(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	left := tables()
	want := block.ReplaceAllStringFunc(string(data), func(text string) string {
		m := block.FindStringSubmatch(text)
		table, ok := left[m[2]]
		if !ok {
			t.Errorf("nothing computes %q", m[2])
			return text
		}
		delete(left, m[2])
		return m[1] + "\n" + table + "\n" + m[3]
	})
	for name := range left {
		t.Errorf("the page has no place for %q", name)
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(data) {
		t.Errorf("%s does not say what is computed: go test -run %s ./shared/cost -update", page, t.Name())
	}
}

// TestTheProseOfThePageIsTrue checks what the page says in words.
func TestTheProseOfThePageIsTrue(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	case1, case2 := published(), ladders()
	a := Defaults()
	for _, want := range []string{
		fmt.Sprintf("%s players, %s new matches a day, %v s a request, %s bytes a match", Count(crawlPlayers), Count(crawlMatches), crawlSeconds, Count(crawlBytes)),
		fmt.Sprintf("%s changes a day", Count(a.ChangesPerDay)),
		fmt.Sprintf("%v s a poll", a.RunSeconds), fmt.Sprintf("%v bytes a record", a.RecordBytes), fmt.Sprintf("%v months of objects", a.MonthsKept),
		fmt.Sprintf("%v vCPU and %v GiB", a.CPUs, a.GiB),
		fmt.Sprintf("saves %s a month of %s", Dollars(case1.Due()-with(case1, flush(1000)).Due()), Dollars(case1.Due())),
		fmt.Sprintf("saves %s of %s", Dollars(case2.Due()-with(case2, polls(Minutes/5)).Due()), Dollars(case2.Due())),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
