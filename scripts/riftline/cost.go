package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/cost"
	"github.com/riftline/riftline/shared/secret"
)

// costFlags are the assumptions that connector files do not settle.
func costFlags(c *cobra.Command) *cost.Assumptions {
	a := cost.Defaults()
	f := c.Flags()
	f.Float64Var(&a.ChangesPerDay, "changes-per-day", a.ChangesPerDay, "with --cost: new and changed entries of a source partition in a day, `N`")
	f.Float64Var(&a.RunSeconds, "run-seconds", a.RunSeconds, "with --cost: how long a poll of a source partition takes, `SECONDS`")
	f.Float64Var(&a.DrainSeconds, "drain-seconds", a.DrainSeconds, "with --cost: how long a task of a drain takes, `SECONDS`; billed is a minute at least")
	f.Float64Var(&a.RecordBytes, "record-bytes", a.RecordBytes, "with --cost: what a record takes in an object, `BYTES`")
	f.Float64Var(&a.MonthsKept, "months-kept", a.MonthsKept, "with --cost: how many months of objects are stored, `N`")
	f.Float64Var(&a.CPUs, "cpus", a.CPUs, "with --cost: vCPUs of an instance of the poller and of a task, `N`")
	f.Float64Var(&a.GiB, "gib", a.GiB, "with --cost: memory of them, `GIB`")
	return &a
}

// checkAssumptions refuses what no month can have.
func checkAssumptions(a cost.Assumptions) error {
	for name, v := range map[string]float64{
		"changes-per-day": a.ChangesPerDay, "run-seconds": a.RunSeconds, "drain-seconds": a.DrainSeconds, "record-bytes": a.RecordBytes,
		"months-kept": a.MonthsKept, "cpus": a.CPUs, "gib": a.GiB,
	} {
		if !(v >= 0 && v <= 1e12) {
			return usage("--%s %v: a number from 0 to 1e12", name, v)
		}
	}
	return nil
}

// cost prints a month of the connectors on paper.
func (a *app) cost(files []string, overrides map[string]map[string]string, set []string, assumed cost.Assumptions) error {
	if err := checkAssumptions(assumed); err != nil {
		return err
	}
	var all []connector.Connector
	for _, file := range files {
		c, err := readConnector(file)
		if err != nil {
			return err
		}
		all = append(all, c.With(overrides[c.Name]))
	}
	if err := connector.Names(all); err != nil {
		return err
	}
	known := func(name string) bool {
		return slices.ContainsFunc(all, func(c connector.Connector) bool { return c.Name == name })
	}
	if err := unknownNames(set, known); err != nil {
		return err
	}
	month, err := monthOf(all, assumed)
	if err != nil {
		return err
	}
	a.printMonth(month)
	return nil
}

// monthOf reads from connector files what makes a difference. What they do not say has the connectors' defaults.
func monthOf(all []connector.Connector, assumed cost.Assumptions) (cost.Month, error) {
	m := cost.Month{Assumptions: assumed}
	secrets := map[string]bool{}
	for _, c := range all {
		own := map[string]bool{}
		for _, ref := range c.References() {
			if ref.Provider == secret.GCPSecret {
				secrets[ref.Path], own[ref.Path] = true, true
			}
		}
		if c.Kind != connector.SourceKind {
			continue
		}
		runs, err := runsOf(c, cost.Minutes*60000/max(float64(c.Interval().Milliseconds()), 60000))
		if err != nil {
			return m, err
		}
		m.Sources = append(m.Sources, cost.Source{
			Name: c.Name, Topic: strings.TrimSpace(c.Config["kafka.topic"]), Runs: runs, Units: unitsOf(c.Config["riftline.request.variables"]),
			Secrets: float64(len(own)), ThroughPubSub: c.Config["riftline.trigger"] == "pubsub",
		})
	}
	m.SecretCount = float64(len(secrets))
	for _, c := range all {
		if c.Kind != connector.SinkKind {
			continue
		}
		s, err := sinkOf(c, m)
		if err != nil {
			return m, err
		}
		m.Sinks = append(m.Sinks, s)
	}
	return m, nil
}

func sinkOf(c connector.Connector, m cost.Month) (cost.Sink, error) {
	s := cost.Sink{Name: c.Name, Tasks: 1, LeavesRest: strings.EqualFold(strings.TrimSpace(c.Config["riftline.flush.on.drain.end"]), "false")}
	var err error
	if s.Drains, err = runsOf(c, cost.Hours); err != nil {
		return s, err
	}
	if s.FlushSize, err = positive(c, "flush.size", 0); err == nil {
		s.Tasks, err = positive(c, "tasks.max", 1)
	}
	if err != nil {
		return s, err
	}
	own := map[string]bool{}
	for _, ref := range c.References() {
		if ref.Provider == secret.GCPSecret {
			own[ref.Path] = true
		}
	}
	s.Secrets = float64(len(own))
	s.Records, err = recordsOf(c, m)
	return s, err
}

// recordsOf are the records of a month in the topics of a sink: those that the sources here publish, and the assumed
// changes for a topic of which none of them is the source.
func recordsOf(c connector.Connector, m cost.Month) (float64, error) {
	total := 0.0
	if pattern := strings.TrimSpace(c.Config["topics.regex"]); pattern != "" {
		matches, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return 0, usage("%s: topics.regex is not a regular expression", c.Origin)
		}
		for _, source := range m.Sources {
			if matches.MatchString(source.Topic) {
				total += source.Records(m.Assumptions)
			}
		}
		return total, nil
	}
	for topic := range strings.SplitSeq(c.Config["topics"], ",") {
		topic = strings.TrimSpace(topic)
		if topic == "" {
			continue
		}
		fed := false
		for _, source := range m.Sources {
			if source.Topic == topic {
				total += source.Records(m.Assumptions)
				fed = true
			}
		}
		if !fed {
			total += m.Assumptions.ChangesPerDay * cost.Days
		}
	}
	return total, nil
}

// runsOf is how often a connector is triggered in a month.
func runsOf(c connector.Connector, otherwise float64) (float64, error) {
	if strings.EqualFold(strings.TrimSpace(c.Config["riftline.paused"]), "true") {
		return 0, nil
	}
	schedule := strings.TrimSpace(c.Config["riftline.schedule"])
	if schedule == "" {
		return otherwise, nil
	}
	runs, err := cost.Runs(schedule)
	if err != nil {
		return 0, usage("%s: riftline.schedule: %w", c.Origin, err)
	}
	return runs, nil
}

func positive(c connector.Connector, key string, otherwise float64) (float64, error) {
	text := strings.TrimSpace(c.Config[key])
	if text == "" && otherwise > 0 {
		return otherwise, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 1 && n <= 1e12) {
		return 0, usage("%s: %s is not a number of 1 or more: riftline validate %s says more", c.Origin, key, c.Origin)
	}
	return n, nil
}

// unitsOf is how many combinations riftline.request.variables has.
func unitsOf(text string) float64 {
	units := 1.0
	for variable := range strings.SplitSeq(text, ";") {
		if _, values, ok := strings.Cut(variable, "="); ok {
			units *= float64(len(strings.Split(values, ",")))
		}
	}
	return units
}

func (a *app) printMonth(m cost.Month) {
	printf := func(format string, args ...any) { _, _ = fmt.Fprintf(a.out, format, args...) }
	printf("A month of %d days on paper, at list prices of %s\n\n", cost.Days, cost.Region)
	for _, s := range m.Sources {
		printf("  %s: %s × %s; %s\n", s.Name, things(s.Runs, "run"), things(s.Units, "source partition"), things(s.Records(m.Assumptions), "record"))
	}
	for _, s := range m.Sinks {
		objects, writing := s.Objects()
		each := ""
		if writing > 0 && !s.LeavesRest {
			each = ", " + cost.Count(objects/writing) + " a drain"
		}
		printf("  %s: %s × %s; %s → %s%s (flush.size=%s)\n", s.Name, things(s.Drains, "drain"), things(s.Tasks, "task"), things(s.Records, "record"), things(objects, "object"), each, cost.Count(s.FlushSize))
	}
	bill := cost.Bill(m.Use())
	printf("\n  %-42s %22s %10s %10s %10s\n", "", "units", "list", "free", "due")
	for _, l := range bill {
		printf("  %-42s %22s %10s %10s %10s\n", l.What, cost.Count(l.Units)+" "+cost.Units(l.Unit, l.Units), cost.Dollars(l.List), cost.Dollars(l.Free), cost.Dollars(l.Due()))
	}
	list, due := cost.Sum(bill)
	printf("  %-42s %22s %10s %10s %10s\n\n", "together", "", cost.Dollars(list), cost.Dollars(list-due), cost.Dollars(due))
	printf("What is free is free once for a billing account, not for each project.\n\n")
	if advice := m.Advise(); len(advice) > 0 {
		printf("What a change would do:\n")
		for _, one := range advice {
			printf("  %s\n", one)
		}
		printf("\n")
	}
	x := m.Assumptions
	printf("Assumed of each source partition: --changes-per-day %v, --run-seconds %v\n", x.ChangesPerDay, x.RunSeconds)
	printf("Assumed of the rest: --drain-seconds %v, --record-bytes %v, --months-kept %v, --cpus %v, --gib %v\n", x.DrainSeconds, x.RecordBytes, x.MonthsKept, x.CPUs, x.GiB)
	printf("Not in it: the broker and the schema registry, which are always on; logs, traffic, images\n")
	printf("Prices: read %s; infra/COST.md names the source of each\n\n", cost.Read)
	printf("An always-on Kafka Connect, before broker and registry, for comparison:\n")
	printf("  %8s  the smallest cluster of Google's managed service, if it is priced as its Kafka clusters are\n", cost.Dollars(cost.Managed()))
	printf("  %8s  one worker of %d vCPU and %d GiB, at Cloud Run's price for instances that stay\n", cost.Dollars(cost.Worker()), cost.WorkerCPUs, cost.WorkerGiB)
}

func things(n float64, what string) string { return cost.Count(n) + " " + cost.Units(what, n) }

// costOnly refuses flags that mean something to --cost alone.
func costOnly(c *cobra.Command, withCost bool) error {
	for _, name := range []string{"changes-per-day", "run-seconds", "drain-seconds", "record-bytes", "months-kept", "cpus", "gib"} {
		if !withCost && c.Flags().Changed(name) {
			return usage("--%s belongs to --cost", name)
		}
	}
	return nil
}
