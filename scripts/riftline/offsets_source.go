package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/poll"
)

// offsetsFlags are what the commands below offsets share.
type offsetsFlags struct {
	variables []string
	dryRun    bool
	all       bool
}

func (a *app) readKnown(name string) (map[string]string, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(a.in)
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, usage("reading what is known: %w", err)
	}
	known := map[string]string{}
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, usage("reading what is known: %s is no JSON object of fingerprints by key: %w", name, err)
	}
	return known, nil
}

func (a *app) offsetsSettle() *cobra.Command {
	q := poll.OffsetsRequest{Verb: poll.Settle}
	var f offsetsFlags
	var not bool
	c := &cobra.Command{
		Use:   "settle NAME (--committed | --not-committed)",
		Short: "Say what became of an intent that nothing else tells any more, and go on",
		Long: `settle is for a source that is stopped because nothing tells any more whether its last intent was committed: the marker
has expired and the topic no longer reaches back. 'riftline offsets show NAME' has the intent's id and time; its records
carry the id in their header riftline-id. --committed takes its changes for published, --not-committed has the next poll
publish them.

An intent that is a lease is published without a transaction (exactly.once.support=requested) and has no marker: its
records behind the watermarks that 'show' has tell what became of it. It stops a source when some of these are gone.
Whatever is still there is taken for published in any case; the answer is for the rest.

An answer that the marker, or the topic, contradicts is refused.`,
		Example: `  riftline offsets settle challenger --not-committed --dry-run`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if q.Committed == not {
				return usage("give one of --committed and --not-committed")
			}
			return a.offsets(c.Context(), args[0], q, f)
		},
	}
	c.Flags().BoolVar(&q.Committed, "committed", false, "the topic holds the records of the intent")
	c.Flags().BoolVar(&not, "not-committed", false, "it does not")
	changeFlags(c, &f)
	return c
}

func (a *app) offsetsRebuild() *cobra.Command {
	q := poll.OffsetsRequest{Verb: poll.Rebuild}
	var f offsetsFlags
	var fromTopic bool
	c := &cobra.Command{
		Use:   "rebuild NAME --from-topic",
		Short: "Take the last record of each key in the topic for what is known",
		Long: `rebuild reads the whole topic and makes the source offset object from the last record of each key, so that the next poll
publishes only what has changed since. It reads riftline's typed records and the envelopes of castorm's HTTP source: a
topic that castorm filled is taken over without publishing anything twice. It lifts every stop, as reset does.

What it cannot know: keys whose last record the topic has lost to retention are new ("whole" is false then). An envelope
has the entry's own text. A typed record is turned back into its entry, which lacks members that were null, or that never
had any content: entries with such members are published once more. So are entries that are no JSON objects, and numbers
with more digits than a double keeps. Records of several source partitions in one topic are told apart by their stamped
request variables. castorm's envelope has none, nor has a record with riftline.value.fields=none: a connector with several
source partitions is refused over such records, and reset begins anew.

Reading may take ten minutes unless RIFTLINE_DEADLINE says otherwise; polls step aside for as long.`,
		Example: `  riftline offsets rebuild challenger --from-topic --dry-run
  riftline offsets rebuild challenger --from-topic`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !fromTopic {
				return usage("give --from-topic")
			}
			return a.offsets(c.Context(), args[0], q, f)
		},
	}
	c.Flags().BoolVar(&fromTopic, "from-topic", false, "from the records of the connector's topic")
	changeFlags(c, &f)
	return c
}

func variableFlag(c *cobra.Command, f *offsetsFlags) {
	c.Flags().StringArrayVar(&f.variables, "variable", nil, "`NAME=VALUE`, a request variable of the source partition (may be repeated)")
}

func changeFlags(c *cobra.Command, f *offsetsFlags) {
	variableFlag(c, f)
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would be written, write nothing")
	c.Flags().BoolVar(&f.all, "all", false, "all source partitions of a connector that has several, or those that --variable leaves")
}

// offsets runs one of the commands and prints its report.
func (a *app) offsets(ctx context.Context, name string, q poll.OffsetsRequest, f offsetsFlags) error {
	variables, err := pairs(f.variables)
	if err != nil {
		return err
	}
	if len(variables) > 0 {
		q.Variables = variables
	}
	q.DryRun, q.All, q.Who = f.dryRun, f.all, who()
	return a.once(ctx, func(ctx context.Context, e *environment.Environment) (any, int, error) {
		report, err := e.Offsets(ctx, name, q)
		return report, report.ExitCode, err
	})
}

// pairs reads the values of --variable.
func pairs(list []string) (map[string]string, error) {
	given := map[string]string{}
	for _, v := range list {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, usage("--variable %s is not of the form NAME=VALUE", v)
		}
		given[name] = value
	}
	return given, nil
}

// who names the person for the audit line: the account and the machine.
func who() string {
	name := "an unknown account"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		return name
	}
	return fmt.Sprintf("%s on %s", name, host)
}
