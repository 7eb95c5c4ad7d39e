package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/poll"
)

const writesHead = `

For a sink it is refused while a plan is in flight (riftline drain completes it), while Kafka Connect's sink runs, and
where records would be archived twice or be taken for archived.`

func (a *app) offsetsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "offsets",
		Short: "Show where a connector stands, and say where it goes on",
		Long: `offsets shows and changes what a connector has behind it. For a source that is what riftline knows to be in the topic
already: it lies in the source offset object, one for each source partition (a connector with its request variables). For
a sink it is the head of each topic-partition: up to which offset all is archived. Both lie under RIFTLINE_STATE.

The commands that change something break nobody's run. Each takes --dry-run, which shows what would be written and writes
nothing, and leaves an audit line in the log: who changed what, and when.

The environment is that of 'riftline poll' and 'riftline drain'.`,
		Example: `  riftline offsets show challenger
  riftline offsets rebuild challenger --from-topic --dry-run
  riftline offsets show gcs-sink
  riftline offsets skip gcs-sink challenger/0 4711`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.offsetsShow(), a.offsetsSet(), a.offsetsReset(), a.offsetsSettle(), a.offsetsRebuild(), a.skipOffsets())
	return c
}

func (a *app) offsetsShow() *cobra.Command {
	q := poll.OffsetsRequest{Verb: poll.Show}
	var f offsetsFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show what a source knows or where a sink stands, and what to do when it is stopped",
		Long: `show prints, for a source, its source offset object: how many keys are known, the last transaction, an intent or a claim
and up to when a run that may be alive is left alone, the reason why it is stopped, and the marker that Kafka has. "next"
says what a person can do. The exit code is 3 when there is something to decide.

For a sink it prints, for each topic-partition, where its archive begins (START) and up to which offset all is archived
(FRONTIER), what the topic has (LOG), the committed offset of group connect-NAME, how much is not archived (LAG), and the
plan in flight, if there is one. It changes nothing.`,
		Example: `  riftline offsets show challenger
  riftline offsets show challenger --keys | jq -r '.state.known | keys[]'
  riftline offsets show ladder --variable platform=kr
  riftline offsets show gcs-sink --json | jq '.[].lag'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if kind, err := a.kindOf(c.Context(), args[0]); err != nil || kind != connector.SinkKind {
				return firstError(err, func() error { return a.offsets(c.Context(), args[0], q, f) })
			}
			return a.showSink(c.Context(), args[0], asJSON)
		},
	}
	c.Flags().BoolVar(&q.Keys, "keys", false, "of a source: list the keys that are known, with the fingerprint of each")
	c.Flags().BoolVar(&asJSON, "json", false, "of a sink: print JSON, as for a source")
	variableFlag(c, &f)
	return c
}

func firstError(err error, otherwise func() error) error {
	if err != nil {
		return err
	}
	return otherwise()
}

// kindOf reads the connector file of the environment to see what it is.
func (a *app) kindOf(ctx context.Context, name string) (connector.Kind, error) {
	e, err := environment.Read(a.environ)
	if err == nil {
		err = e.Require("RIFTLINE_CONNECTORS")
	}
	if err != nil {
		return 0, &failure{exitUsage, err}
	}
	defer func() { _ = e.Close() }()
	file, err := e.Connector(ctx, name)
	if err != nil {
		// The command itself says what is wrong with it, as for any other connector.
		return connector.SourceKind, nil
	}
	return file.Kind, nil
}

func (a *app) showSink(ctx context.Context, name string, asJSON bool) error {
	return a.withSink(ctx, name, func(ctx context.Context, s connector.Sink, d drain.Deps) error {
		all, err := drain.Show(ctx, s, d)
		if err != nil {
			return err
		}
		if !asJSON {
			return a.printPositions(all)
		}
		text, err := json.MarshalIndent(all, "", "  ")
		if err == nil {
			_, err = fmt.Fprintf(a.out, "%s\n", text)
		}
		return err
	})
}

func (a *app) offsetsReset() *cobra.Command {
	q := poll.OffsetsRequest{Verb: poll.Reset}
	change := drain.Change{Verb: drain.Reset}
	var f offsetsFlags
	c := &cobra.Command{
		Use:   "reset SOURCE | SINK TOPIC/PARTITION",
		Short: "Forget everything and begin anew",
		Long: `reset makes a new beginning. For a source nothing is known any more: the next poll publishes the whole answer. It lifts
every stop, also that of an object that is damaged, deleted or another connector's; what the object held is kept beside it
when it could not be read. What the topic holds stays there, so consumers see each value once more.

For a sink it makes a new head for a topic-partition whose topic was deleted and created again, or truncated: the next
drain begins at the log's start. Set another topics.dir before that next drain, as the old objects have the names that
the new records would get; they are listed, and never overwritten.` + writesHead,
		Example: `  riftline offsets reset challenger --dry-run
  riftline offsets reset gcs-sink challenger/0 --dry-run`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.offsets(c.Context(), args[0], q, f)
			}
			change.DryRun = f.dryRun
			return a.changeOffsets(c.Context(), args, change)
		},
	}
	changeFlags(c, &f)
	abandonFlag(c, &change)
	return c
}

func (a *app) offsetsSet() *cobra.Command {
	q := poll.OffsetsRequest{Verb: poll.Set}
	change := drain.Change{Verb: drain.Set}
	var f offsetsFlags
	var from, at string
	c := &cobra.Command{
		Use:   "set SOURCE (--forget KEY... | --from FILE | --timestamp TIME) | SINK TOPIC/PARTITION OFFSET",
		Short: "Change what is known of a source, or say where a sink's archive goes on",
		Long: `set makes keys of a source new, so that the next poll publishes their entries once more, or takes all that is known from a
file: a JSON object with the fingerprint of each key, as 'riftline offsets show NAME --keys' prints it under state.known.
With riftline.dedupe=timestamp it moves the cursor: entries before that time are taken for published, those with exactly
that time and later ones are not.

For a sink it makes OFFSET the place where the next drain of a topic-partition goes on, and says by it that all before is
archived (or, where nothing is archived yet, that the archive begins there). It looks at the objects and the topic: an
object that holds records from OFFSET on, or a record before OFFSET that is in none, is a reason to refuse.` + writesHead,
		Example: `  riftline offsets set challenger --forget some-puuid
  riftline offsets show challenger --keys | jq .state.known >known.json
  riftline offsets set challenger --from known.json --dry-run
  riftline offsets set matches --timestamp 2026-11-29T12:00:00Z
  riftline offsets set gcs-sink challenger/0 1200 --dry-run`,
		Args: cobra.RangeArgs(1, 3),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				if len(args) != 3 {
					return usage("for a sink, give SINK TOPIC/PARTITION OFFSET")
				}
				offset, err := strconv.ParseInt(args[2], 10, 64)
				if err != nil || offset < 0 {
					return usage("%s is not an offset", args[2])
				}
				change.Offset, change.DryRun = offset, f.dryRun
				return a.changeOffsets(c.Context(), args, change)
			}
			if err := a.whatIsKnown(&q, from, at); err != nil {
				return err
			}
			return a.offsets(c.Context(), args[0], q, f)
		},
	}
	c.Flags().StringArrayVar(&q.Forget, "forget", nil, "of a source: a `KEY` whose entry is published once more (may be repeated)")
	c.Flags().StringVar(&from, "from", "", "of a source: `FILE` with all that is known, - for standard input")
	c.Flags().StringVar(&at, "timestamp", "", "of a source: the `TIME` before which everything in a log is taken for published (RFC 3339)")
	c.Flags().BoolVar(&change.Unverified, "unverified", false, "of a sink: take my word where it cannot be verified which records the objects hold, or a batch is too large to be read")
	changeFlags(c, &f)
	abandonFlag(c, &change)
	return c
}

// whatIsKnown reads what set is to write for a source.
func (a *app) whatIsKnown(q *poll.OffsetsRequest, from, at string) error {
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
		return usage("give --forget KEY or --from FILE, or --timestamp TIME; for a sink, TOPIC/PARTITION OFFSET")
	}
	return nil
}
