package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

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

func (a *app) offsetsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "offsets",
		Short: "Show and change what is known to be published of a source",
		Long: `offsets shows and changes a source's offsets: what riftline knows to be in the topic already. They lie in the source
offset object, one for each source partition (a connector with its request variables), under RIFTLINE_STATE.

The commands that change something wait for nobody and break nobody's run: one that may be alive makes them end with exit
code 1, and from then on polls step aside until the change is written. Each takes --dry-run, which shows what would be
written and writes nothing, and leaves an audit line in the log and in its output: who changed what, and when.

The environment is that of 'riftline poll'.`,
		Example: `  riftline offsets show challenger
  riftline offsets rebuild challenger --from-topic --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.offsetsShow(), a.offsetsSet(), a.offsetsReset(), a.offsetsSettle(), a.offsetsRebuild())
	return c
}

func (a *app) offsetsShow() *cobra.Command {
	q := poll.OffsetsRequest{Verb: poll.Show}
	var f offsetsFlags
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show what is known of a source, who holds it, and what to do when it is stopped",
		Long: `show prints the source offset object: how many keys are known, the last transaction, an intent or a claim and up to when
a run that may be alive is left alone, the reason why it is stopped, and the marker that Kafka has. "next" says what a
person can do. The exit code is 3 when there is something to decide.`,
		Example: `  riftline offsets show challenger
  riftline offsets show challenger --keys | jq -r '.state.known | keys[]'
  riftline offsets show ladder --variable platform=kr`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.offsets(c.Context(), args[0], q, f) },
	}
	c.Flags().BoolVar(&q.Keys, "keys", false, "list the keys that are known, with the fingerprint of each")
	variableFlag(c, &f)
	return c
}

func (a *app) offsetsReset() *cobra.Command {
	q := poll.OffsetsRequest{Verb: poll.Reset}
	var f offsetsFlags
	c := &cobra.Command{
		Use:   "reset NAME",
		Short: "Forget everything: the next poll publishes the whole answer once more",
		Long: `reset makes a new beginning: nothing is known, the next poll publishes the whole answer. It lifts every stop, also that of
an object that is damaged, deleted or another connector's; what the object held is kept beside it when it could not be
read. What the topic holds stays there, so consumers see each value once more.`,
		Example: `  riftline offsets reset challenger --dry-run
  riftline offsets reset challenger`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.offsets(c.Context(), args[0], q, f) },
	}
	changeFlags(c, &f)
	return c
}

func (a *app) offsetsSet() *cobra.Command {
	q := poll.OffsetsRequest{Verb: poll.Set}
	var f offsetsFlags
	var from, at string
	c := &cobra.Command{
		Use:   "set NAME (--forget KEY... | --from FILE | --timestamp TIME)",
		Short: "Change what is known of single keys, or up to when a log is published",
		Long: `set makes keys new, so that the next poll publishes their entries once more, or takes all that is known from a file: a
JSON object with the fingerprint of each key, as 'riftline offsets show NAME --keys' prints it under state.known.

With riftline.dedupe=timestamp it moves the cursor: entries before that time are taken for published, those with exactly
that time and later ones are not.`,
		Example: `  riftline offsets set challenger --forget some-puuid
  riftline offsets show challenger --keys | jq .state.known >known.json
  riftline offsets set challenger --from known.json --dry-run
  riftline offsets set matches --timestamp 2026-11-29T12:00:00Z`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if from != "" {
				known, err := a.readKnown(from)
				if err != nil {
					return err
				}
				q.Known = known
			}
			if at != "" {
				t, err := time.Parse(time.RFC3339, at)
				if err != nil {
					return usage("--timestamp %s is no RFC 3339 time, such as 2026-11-29T12:00:00Z", at)
				}
				q.Cursor = t
			}
			if keys := q.Known != nil || len(q.Forget) > 0; keys == !q.Cursor.IsZero() {
				return usage("give --forget KEY or --from FILE, or --timestamp TIME")
			}
			return a.offsets(c.Context(), args[0], q, f)
		},
	}
	c.Flags().StringArrayVar(&q.Forget, "forget", nil, "a `KEY` whose entry is published once more (may be repeated)")
	c.Flags().StringVar(&from, "from", "", "`FILE` with all that is known, - for standard input")
	c.Flags().StringVar(&at, "timestamp", "", "the `TIME` before which everything in a log is taken for published (RFC 3339)")
	changeFlags(c, &f)
	return c
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

An answer that the marker contradicts is refused.`,
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
request variables, which castorm's envelope has not.

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
