package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/logging"
)

func (a *app) printPositions(all []drain.Position) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TOPIC/PARTITION\tSTART\tFRONTIER\tLOG\tCOMMITTED\tLAG\tPLAN")
	for _, p := range all {
		start, frontier, plan := "-", "-", "-"
		if h := p.Head; h != nil {
			start, frontier = strconv.FormatInt(h.Start, 10), strconv.FormatInt(h.Frontier, 10)
			if h.Plan != nil {
				plan = fmt.Sprintf("%s [%d,%d), %d of %d objects there", h.Plan.ID, h.Plan.First, h.Plan.Next, p.Durable, len(h.Plan.Objects))
			}
		}
		committed := "-"
		if p.Committed >= 0 {
			committed = strconv.FormatInt(p.Committed, 10)
		}
		_, _ = fmt.Fprintf(w, "%s/%d\t%s\t%s\t[%d,%d)\t%s\t%d\t%s\n", p.Topic, p.Partition, start, frontier, p.LogStart, p.LogEnd, committed, p.Lag, plan)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range all {
		at := fmt.Sprintf("%s/%d", p.Topic, p.Partition)
		switch {
		case p.Problem != "":
			_, _ = fmt.Fprintf(a.out, "%s: %s\n", at, p.Problem)
		case p.Head == nil:
			_, _ = fmt.Fprintf(a.out, "%s: no head %s yet\n", at, p.HeadURL)
		case len(p.Head.Skip) > 0:
			_, _ = fmt.Fprintf(a.out, "%s: to be skipped: %v\n", at, p.Head.Skip)
		}
		for _, name := range p.Foreign {
			_, _ = fmt.Fprintf(a.out, "%s: somebody else's object has a name of the plan: %s\n", at, name)
		}
	}
	return nil
}

func (a *app) skipOffsets() *cobra.Command {
	var change drain.Change
	c := &cobra.Command{
		Use:   "skip SINK TOPIC/PARTITION OFFSET[..OFFSET]…",
		Short: "Leave records out of the archive",
		Long: `skip lets the next drain pass over records, for example one that cannot be archived and has stopped its partition. They
end in no object; the plan that passes them records that. The records are described, without what they hold.` + writesHead,
		Example: `  riftline offsets skip gcs-sink challenger/0 4711
  riftline offsets skip gcs-sink challenger/0 4711 4720..4735 --dry-run`,
		Args: cobra.MinimumNArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			change.Verb, change.Ranges = drain.Skip, nil
			for _, text := range args[2:] {
				r, err := parseRange(text)
				if err != nil {
					return err
				}
				change.Ranges = append(change.Ranges, r)
			}
			return a.changeOffsets(c.Context(), args, change)
		},
	}
	writeFlags(c, &change)
	return c
}

func writeFlags(c *cobra.Command, change *drain.Change) {
	c.Flags().BoolVar(&change.DryRun, "dry-run", false, "say what would be done, and do nothing")
}

func abandonFlag(c *cobra.Command, change *drain.Change) {
	c.Flags().BoolVar(&change.AbandonPlan, "abandon-plan", false, "give up a plan in flight of which no object is there; no drain may be running")
}

func parseRange(text string) (drain.Range, error) {
	first, last, ok := strings.Cut(text, "..")
	if !ok {
		last = first
	}
	from, errFrom := strconv.ParseInt(first, 10, 64)
	to, errTo := strconv.ParseInt(last, 10, 64)
	if errFrom != nil || errTo != nil || from < 0 || to < from {
		return drain.Range{}, usage("%s is not of the form OFFSET or OFFSET..OFFSET", text)
	}
	return drain.Range{from, to}, nil
}

// parsePlace reads TOPIC/PARTITION.
func parsePlace(text string) (topic string, partition int32, err error) {
	topic, number, ok := strings.Cut(text, "/")
	n, parseErr := strconv.ParseInt(number, 10, 32)
	if !ok || topic == "" || parseErr != nil || n < 0 {
		return "", 0, usage("%s is not of the form TOPIC/PARTITION", text)
	}
	return topic, int32(n), nil
}

// changeOffsets changes a head; args are the sink and TOPIC/PARTITION.
func (a *app) changeOffsets(ctx context.Context, args []string, change drain.Change) error {
	var err error
	if change.Topic, change.Partition, err = parsePlace(args[1]); err != nil {
		return err
	}
	return a.withSink(ctx, args[0], func(ctx context.Context, s connector.Sink, d drain.Deps) error {
		out, err := drain.Apply(ctx, s, d, change)
		for _, text := range out.Found {
			_, _ = fmt.Fprintln(a.out, text)
		}
		for _, name := range out.Objects {
			_, _ = fmt.Fprintf(a.out, "object: %s\n", d.Archive.URL(name))
		}
		if err != nil {
			return err
		}
		was := "no head"
		if out.Before != nil {
			was = "frontier " + strconv.FormatInt(out.Before.Frontier, 10)
		}
		did := "would become"
		switch {
		case out.Written:
			did = "became"
		case !change.DryRun:
			did = "is already"
		}
		_, err = fmt.Fprintf(a.out, "%s: %s %s frontier %d", args[1], was, did, out.After.Frontier)
		if len(out.After.Skip) > 0 {
			_, _ = fmt.Fprintf(a.out, ", to be skipped: %v", out.After.Skip)
		}
		_, _ = fmt.Fprintln(a.out)
		return err
	})
}

// withSink lets do work on a sink in the environment of the process.
func (a *app) withSink(ctx context.Context, name string, do func(context.Context, connector.Sink, drain.Deps) error) error {
	e, err := environment.Read(a.environ)
	if err == nil {
		err = e.Require("RIFTLINE_CONNECTORS", "RIFTLINE_STATE")
	}
	if err != nil {
		return &failure{exitUsage, err}
	}
	ctx = a.logger(ctx, e.Secrets.Scrub)
	e.Log = logging.From(ctx)
	err = e.Sink(ctx, name, do)
	closeErr := e.Close()
	switch {
	case errors.Is(err, bucket.ErrLost):
		return &failure{exitTransient, err}
	case err != nil:
		return &failure{drain.OutcomeOf(err).ExitCode(), err}
	case closeErr != nil:
		return &failure{exitTransient, closeErr}
	}
	return nil
}
