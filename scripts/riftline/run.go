package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"github.com/spf13/cobra"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local"
	"github.com/riftline/riftline/shared/local/report"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/poll"
	"github.com/riftline/riftline/shared/secret"
)

// simulatedPolls is how many polls show what there is to see.
const simulatedPolls = 6

type runOptions struct {
	source, sink string
	polls        int
	interval     time.Duration
	out          string
	simulate     bool
	gcs, secrets string
	set          []string
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run --source FILE --sink FILE",
		Short: "Run a source and a sink on this machine, then show what happened",
		Long: `run polls a source's API a number of times, drains its topic after each poll, and ends. What is not at hand runs inside
this process: a Kafka broker unless CONNECT_BOOTSTRAP_SERVERS is set, a schema registry unless
CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL is, a bucket unless STORAGE_EMULATOR_HOST is or --gcs real is given. The code
that polls and drains is the one that runs in the cloud.

Everything is kept under --out: the objects as plain files in gcs/BUCKET/…, report.json, and report.html to look at. A
second run on the same folder goes on where the first one stopped, however it stopped.

A secret ${gcpsecret:riot-api-key} is read from the environment variable RIOT_API_KEY (its name in capitals), or from
Secret Manager with --secrets gcp.

A failed poll does not end the run; the exit code is the worst of all polls and drains.`,
		Example: `  # A simulated ladder that moves between the polls: nothing to install, no key
  riftline run --simulate --source infra/connectors/challenger.json --sink infra/connectors/gcs-sink.json

  # The real one, ten times, a minute apart
  RIOT_API_KEY=… riftline run --source challenger.json --sink gcs-sink.json --polls 10 --interval 1m --out ladder

  # A real bucket and another number of records per object, the files left as they are
  RIFTLINE_STATE=gs://my-state/try riftline run --gcs real --set gcs-sink:flush.size=1000 \
      --source challenger.json --sink gcs-sink.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("polls") && o.simulate {
				o.polls = simulatedPolls
			}
			switch {
			case !c.Flags().Changed("interval"):
				o.interval = -1
			case o.interval < 0:
				return usage("--interval must not be negative")
			}
			return a.run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.source, "source", "", "the HTTP source's connector `FILE`")
	f.StringVar(&o.sink, "sink", "", "the GCS sink's connector `FILE`")
	f.IntVar(&o.polls, "polls", 1, "how many `TIMES` to poll (6 with --simulate)")
	f.DurationVar(&o.interval, "interval", 0, "how long to wait between polls (http.timer.interval.millis of the source; none with --simulate)")
	f.StringVar(&o.out, "out", ".riftline", "the `FOLDER` that keeps everything")
	f.BoolVar(&o.simulate, "simulate", false, "put a simulated Riot API behind the source's URL")
	f.StringVar(&o.gcs, "gcs", "embedded", "`real` writes to Cloud Storage itself")
	f.StringVar(&o.secrets, "secrets", "env", "`gcp` reads ${gcpsecret:…} from Secret Manager")
	f.StringArrayVar(&o.set, "set", nil, setHelp)
	for _, name := range []string{"source", "sink"} {
		_ = c.MarkFlagRequired(name)
		_ = c.MarkFlagFilename(name, "json")
	}
	_ = c.MarkFlagDirname("out")
	_ = c.RegisterFlagCompletionFunc("gcs", cobra.FixedCompletions([]string{"real", "embedded"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("secrets", cobra.FixedCompletions([]string{"gcp", "env"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// session is one run, set up.
type session struct {
	*app
	o            runOptions
	source, sink connector.Connector
	local        *local.Local
	env          *environment.Environment
	report       *report.Report
	read         *readback
	show         *progress
	interval     time.Duration
	code         int
	served       int // answers of the simulator that were looked at
	secrets      []*secretmanager.Client
}

func (a *app) run(ctx context.Context, o runOptions) (err error) {
	s := &session{app: a, o: o}
	if err := s.files(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	ctx, err = s.open(ctx)
	if err != nil {
		return err
	}
	s.show.opening(s)
	if err := s.rounds(ctx); err != nil {
		return err
	}
	if err := s.finish(ctx); err != nil {
		return err
	}
	if s.code != exitDone {
		return quiet{s.code}
	}
	return nil
}

// files reads both files and refuses, before anything is started, what can't run.
func (s *session) files() (err error) {
	switch {
	case s.o.polls < 0:
		return usage("--polls must not be negative")
	case s.o.gcs != "real" && s.o.gcs != "embedded":
		return usage("--gcs is real or embedded, not %q", s.o.gcs)
	case s.o.secrets != "gcp" && s.o.secrets != "env":
		return usage("--secrets is gcp or env, not %q", s.o.secrets)
	}
	if s.source, err = readConnector(s.o.source); err != nil {
		return err
	}
	if s.sink, err = readConnector(s.o.sink); err != nil {
		return err
	}
	switch {
	case s.source.Kind != connector.SourceKind:
		return usage("%s is no source: give it as --sink", s.o.source)
	case s.sink.Kind != connector.SinkKind:
		return usage("%s is no sink: give it as --source", s.o.sink)
	case s.source.Name == s.sink.Name:
		return usage("%s and %s are both named %s: give each connector a name of its own", s.o.source, s.o.sink, s.source.Name)
	}
	return nil
}

// secretManager makes a client that lives as long as the session. A reader makes one at a time.
func (s *session) secretManager(ctx context.Context, location string) (*secretmanager.Client, error) {
	c, err := s.newSecretManager(ctx, location)
	if err != nil {
		return nil, err
	}
	s.secrets = append(s.secrets, c)
	return c, nil
}

// open starts what is not real and makes the environment that the functions run in.
func (s *session) open(ctx context.Context) (context.Context, error) {
	set, err := s.overrides(s.o.set)
	if err == nil {
		err = unknownNames(s.o.set, func(name string) bool { return name == s.source.Name || name == s.sink.Name })
	}
	if err != nil {
		return ctx, err
	}
	options := local.Options{
		Dir: s.o.out, Environ: s.environ, Source: s.source, Sink: s.sink, Overrides: set,
		Simulate: s.o.simulate, RealBucket: s.o.gcs == "real",
	}
	if s.o.secrets == "gcp" {
		options.SecretManager = secret.GCPReader(s.secretManager, s.getenv("GOOGLE_CLOUD_PROJECT"))
	}
	s.local, err = local.Start(ctx, options)
	switch {
	case errors.Is(err, local.ErrConfiguration):
		return ctx, &failure{exitUsage, err}
	case err != nil:
		return ctx, &failure{exitTransient, err}
	}
	s.env, err = environment.Read(s.local.Environ)
	if err != nil {
		return ctx, &failure{exitUsage, err}
	}
	s.env.Local = true
	s.env.Secrets = s.local.Secrets
	s.env.NewStorage = s.local.NewStorage
	if s.local.Simulator != nil {
		s.env.RootCAs = s.local.Simulator.RootCAs()
	}
	ctx = s.logger(ctx, s.env.Secrets.Scrub)
	s.env.Log = logging.From(ctx)
	s.env.Hold(s.source)
	s.env.Hold(s.sink)
	sink, err := s.check(ctx)
	if err != nil {
		return ctx, err
	}
	s.show = newProgress(s.out, s.getenv)
	if s.report, err = report.Read(s.o.out); err != nil {
		return ctx, &failure{exitUsage, err}
	}
	s.describe(sink)
	if s.read, err = newReadback(ctx, s.env, sink, s.report, s.local.GCS != nil && s.local.Broker != nil); err != nil {
		return ctx, &failure{exitTransient, err}
	}
	return ctx, nil
}

// check makes the typed settings of both connectors, so that what is wrong with either is said before anything runs.
func (s *session) check(ctx context.Context) (connector.Sink, error) {
	check := connector.CheckOptions{Local: true}
	source, err := s.env.Connector(ctx, s.source.Name)
	if err != nil {
		return connector.Sink{}, &failure{exitUsage, err}
	}
	sink, err := s.env.Connector(ctx, s.sink.Name)
	if err != nil {
		return connector.Sink{}, &failure{exitUsage, err}
	}
	s.source, s.sink = source, sink
	if s.interval = s.o.interval; s.interval < 0 {
		s.interval = 0
		if !s.o.simulate {
			s.interval = source.Interval()
		}
	}
	_, sourceErr := source.Source(ctx, s.env.Worker, s.env.Secrets, check)
	typed, sinkErr := sink.Sink(ctx, s.env.Worker, s.env.Secrets, check)
	if err := errors.Join(sourceErr, sinkErr); err != nil {
		return typed, &failure{exitUsage, err}
	}
	if topic := source.Config["kafka.topic"]; !archives(typed, topic) {
		return typed, usage("source %s publishes to topic %s, and sink %s does not archive it: name it in topics, or let topics.regex match it", source.Name, topic, sink.Name)
	}
	return typed, nil
}

// archives reports whether a sink reads a topic.
func archives(s connector.Sink, topic string) bool {
	if s.TopicsRegex == "" {
		return slices.Contains(s.Topics, topic)
	}
	whole, err := regexp.Compile("^(?:" + s.TopicsRegex + ")$")
	return err != nil || whole.MatchString(topic)
}

func (s *session) describe(sink connector.Sink) {
	r := s.report
	r.Source, r.Sink, r.Topic, r.Bucket, r.FlushSize = s.source.Name, s.sink.Name, s.source.Config["kafka.topic"], sink.Bucket, sink.FlushSize
	r.Simulated = s.o.simulate
	r.Runs++
	if r.Started.IsZero() {
		r.Started = time.Now().UTC().Truncate(time.Second)
	}
}

// rounds polls and drains. It returns early only when the report can't be written; a context that ended ends it after
// the poll or drain in flight was put in order.
func (s *session) rounds(ctx context.Context) error {
	first := 1
	if n := len(s.report.Polls); n > 0 {
		first = s.report.Polls[n-1].Number + 1
	}
	for n := first; n < first+s.o.polls && ctx.Err() == nil; n++ {
		if n > first && !s.wait(ctx) {
			break
		}
		// The first ladder of a folder is that of the seed; every later poll of it finds that time has passed.
		if s.local.Simulator != nil && n > 1 {
			if _, err := s.local.Advance(); err != nil {
				return &failure{exitTransient, err}
			}
		}
		s.poll(ctx, n)
		if ctx.Err() == nil {
			s.drain(ctx, n)
		}
		if err := s.save(); err != nil {
			return err
		}
	}
	if s.o.polls == 0 {
		s.drain(ctx, first-1)
	}
	if ctx.Err() != nil {
		s.worst(exitTransient)
	}
	return nil
}

func (s *session) wait(ctx context.Context) bool {
	if s.interval > 0 {
		s.show.waiting(s.interval)
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(s.interval):
		return true
	}
}

func (s *session) worst(code int) { s.code = max(s.code, code) }

func (s *session) poll(ctx context.Context, n int) {
	at := time.Now()
	sum, err := s.env.Poll(ctx, s.source.Name, nil)
	p := report.Poll{
		Number: n, At: at.UTC(), Outcome: string(sum.Outcome), Fetched: sum.Fetched, New: sum.New, Changed: sum.Changed,
		Unchanged: sum.Unchanged, Repeated: sum.Repeated, Left: sum.Left, Published: sum.Published, Keyless: sum.Keyless,
		Bytes: sum.Bytes, DurationMS: time.Since(at).Milliseconds(), FirstOffsets: sum.FirstOffsets, LastOffsets: sum.LastOffsets,
	}
	if err != nil {
		p.Error = s.env.Secrets.Scrub(err.Error())
	}
	s.worst(code(sum.Outcome.ExitCode(), err))
	s.report.Polls = append(s.report.Polls, p)
	s.show.poll(p, sum)
	s.remember(n, sum.Outcome)
}

func (s *session) drain(ctx context.Context, n int) {
	at := time.Now()
	sum, err := s.env.Drain(ctx, s.sink.Name, 0, 1)
	d := report.Drain{
		Number: n, At: at.UTC(), Outcome: string(sum.Outcome), Records: sum.Records, Objects: sum.Objects, Bytes: sum.Bytes,
		DurationMS: time.Since(at).Milliseconds(), Partitions: []report.Partition{},
	}
	for _, p := range sum.Partitions {
		d.Partitions = append(d.Partitions, report.Partition{
			Topic: p.Topic, Partition: p.Partition, From: p.From, To: p.To, Committed: p.Committed, Lag: p.Lag,
			Stopped: s.env.Secrets.Scrub(p.Stopped),
		})
	}
	if err != nil {
		d.Error = s.env.Secrets.Scrub(err.Error())
	} else {
		d.Error = s.env.Secrets.Scrub(sum.Error)
	}
	s.worst(code(sum.Outcome.ExitCode(), err))
	s.report.Drains = append(s.report.Drains, d)
	s.show.drain(d)
	if err := s.read.follow(ctx, s.report, n, sum); err != nil && ctx.Err() == nil {
		s.show.warn("the objects could not be read back: " + s.env.Secrets.Scrub(err.Error()))
		s.worst(exitTransient)
	}
	if s.local.Simulator == nil {
		if ladder, ok := s.read.ladder(n); ok {
			s.report.Ladders = append(s.report.Ladders, ladder)
		}
	}
}

// code is an outcome's exit code, and not 0 when there is an error.
func code(outcome int, err error) int {
	if err != nil {
		return max(outcome, exitTransient)
	}
	return outcome
}

// remember keeps the ladder that the simulator served to a poll.
func (s *session) remember(n int, outcome poll.Outcome) {
	if s.local.Simulator == nil {
		return
	}
	answers := s.local.Simulator.Served()
	fresh := answers[min(s.served, len(answers)):]
	s.served = len(answers)
	s.read.answer = nil
	if outcome.Failed() {
		return
	}
	for _, answer := range fresh {
		if answer.Status == 200 {
			s.read.answer = answer.Body
		}
	}
	if ladder, ok := ladderOf(s.read.answer, s.source.Config["http.response.list.pointer"]); ok {
		ladder.Poll = n
		s.report.Ladders = append(s.report.Ladders, ladder)
	}
}

func (s *session) save() error {
	s.report.Ended = time.Now().UTC()
	if err := s.report.Write(s.o.out); err != nil {
		return &failure{exitTransient, err}
	}
	return nil
}

// finish reads the topic and the archive back, writes the report and prints the summary.
func (s *session) finish(ctx context.Context) error {
	// A run that was interrupted is summed up all the same.
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
	}
	last := 0
	if n := len(s.report.Polls); n > 0 {
		last = s.report.Polls[n-1].Number
	}
	s.report.Check = s.read.check(ctx, s.report, last, s.source.Config["http.response.list.pointer"])
	if s.report.Check.Error != "" {
		s.report.Check.Error = s.env.Secrets.Scrub(s.report.Check.Error)
		s.worst(exitTransient)
	} else if !s.report.Check.Good() {
		s.worst(exitStopped)
	}
	if err := s.save(); err != nil {
		return err
	}
	s.show.summary(s)
	return nil
}

func (s *session) close() error {
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.close())
	}
	if s.env != nil {
		errs = append(errs, s.env.Close())
	}
	if s.local != nil {
		errs = append(errs, s.local.Close())
	}
	for _, c := range s.secrets {
		errs = append(errs, c.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return &failure{exitTransient, err}
	}
	return nil
}
