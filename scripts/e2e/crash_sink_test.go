//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/riftline/riftline/shared/local/gcs"
)

const (
	// crashKills is how many sinks are killed unless RIFTLINE_KILLS says so.
	crashKills = 40
	// crashLine is about how many of them share a topic.
	crashLine = 40
	// crashPartitions is how many partitions a topic begins with; it gets one more on the way.
	crashPartitions = 3
	// crashAsleep is how many sinks of a topic may be asleep at a time.
	crashAsleep = 3
)

// A crashLayout is a partitioner whose sinks are killed.
type crashLayout struct {
	name string
	keys map[string]string
	// belongs says whether a record belongs into the part of the path between the topic and the file name.
	belongs func(r crashRecord, encoded string) bool
	// clock says that the objects depend on when the sinks run, whatever their settings.
	clock bool
}

const crashPartitioner = "io.confluent.connect.storage.partitioner."

var crashLayouts = []crashLayout{
	{
		name: "DefaultPartitioner",
		belongs: func(r crashRecord, encoded string) bool {
			return encoded == "partition="+strconv.Itoa(int(r.partition))
		},
	},
	{
		name:    "FieldPartitioner",
		keys:    map[string]string{"partitioner.class": crashPartitioner + "FieldPartitioner", "partition.field.name": "tier"},
		belongs: func(r crashRecord, encoded string) bool { return encoded == "tier="+r.tierName() },
	},
	{
		// The records' times pass the night in which clocks go from 2 to 3.
		name: "TimeBasedPartitioner",
		keys: map[string]string{
			"partitioner.class": crashPartitioner + "TimeBasedPartitioner", "partition.duration.ms": "3600000", "locale": "en-GB", "timezone": "Europe/Berlin",
			"path.format": "'day'=YYYY-MM-dd/'hour'=HH", "timestamp.extractor": "RecordField", "timestamp.field": "at",
		},
		belongs: func(r crashRecord, encoded string) bool {
			return encoded == r.stamp.In(crashZone).Format("day=2006-01-02/hour=15")
		},
	},
	{
		name: "DailyPartitioner",
		keys: map[string]string{
			"partitioner.class": crashPartitioner + "DailyPartitioner", "locale": "en-GB", "timezone": "Europe/Berlin", "timestamp.extractor": "Record",
		},
		belongs: func(r crashRecord, encoded string) bool {
			return encoded == r.stamp.In(crashZone).Format("year=2006/month=01/day=02")
		},
	},
	{
		name: "HourlyPartitioner", clock: true,
		keys: map[string]string{"partitioner.class": crashPartitioner + "HourlyPartitioner", "locale": "en-GB", "timezone": "UTC"},
		belongs: func(_ crashRecord, encoded string) bool {
			at, err := time.Parse("year=2006/month=01/day=02/hour=15", encoded)
			return err == nil && time.Since(at) < 4*time.Hour
		},
	},
}

// crashCount is what happened to the sinks of all topics.
type crashCount struct {
	mu sync.Mutex
	// kills are sinks that SIGKILL ended; named, those of them that died at a named step, by step; overlaps, sinks that
	// were started while another one of the same topic was alive; completed, plans of others that were completed.
	kills, overlaps, sleepers, completed, sinks, records, objects, faults, late int
	named                                                                       map[string]int
	// topics is how many of them have not had their kills.
	topics int
}

// Sinks are killed at random and at each named step, while others of other task counts and flush sizes overlap with
// them and some sleep in between. Afterwards bucket and topic are compared by code that has nothing of the sink's.
// RIFTLINE_KILLS says how many are killed (make crash-sink KILLS=500), RIFTLINE_SEED repeats a run's choices.
func TestSinkCrashes(t *testing.T) {
	t.Parallel()
	kills := number(t, "RIFTLINE_KILLS", crashKills)
	seed := uint64(number(t, "RIFTLINE_SEED", int(time.Now().UnixNano()&0xffff_ffff)))
	count := &crashCount{named: map[string]int{}}
	var kinds []crashKind
	for i, layout := range crashLayouts {
		kinds = append(kinds, crashKind{layout, false, uint64(2 * i)})
		if !layout.clock {
			kinds = append(kinds, crashKind{layout, true, uint64(2*i + 1)})
		}
	}
	each := (kills + len(kinds) - 1) / len(kinds)
	topics := (each + crashLine - 1) / crashLine
	count.topics = topics * len(kinds)
	t.Run("topics", func(t *testing.T) {
		for _, k := range kinds {
			for n := range topics {
				t.Run(fmt.Sprintf("%s, topic %d", k, n+1), func(t *testing.T) {
					t.Parallel()
					c := newCrash(t, k.layout, k.steady, count, rand.New(rand.NewPCG(seed, k.stream<<32+uint64(n))))
					c.run((each + topics - 1) / topics)
				})
			}
		}
	})
	t.Logf("seed %d: %d kills, %d of them at %d named steps; %d sinks, %d of which overlapped with another one of their topic and %d slept; "+
		"%d plans of others completed; %d writes failed or came late (%d); %d records in %d objects",
		seed, count.kills, total(count.named), len(count.named), count.sinks, count.overlaps, count.sleepers, count.completed, count.faults, count.late, count.records, count.objects)
	if t.Failed() || count.topics > 0 {
		return // or -run chose some of them only
	}
	if count.kills < kills {
		t.Errorf("%d kills, %d are wanted", count.kills, kills)
	}
	if count.overlaps == 0 || count.completed == 0 {
		t.Errorf("%d overlaps and %d completed plans of others prove nothing", count.overlaps, count.completed)
	}
	for _, step := range stepNames(t, "drain") {
		if count.named[step] == 0 {
			t.Errorf("no sink was killed at %s", step)
		}
	}
}

// crashKind is how the sinks of a topic are set: all alike, or each in another way.
type crashKind struct {
	layout crashLayout
	steady bool
	stream uint64
}

// String names a topic's test.
func (k crashKind) String() string {
	if k.steady {
		return k.layout.name + ", one setting"
	}
	return k.layout.name + ", changing settings"
}

func total(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// crash is one topic and the sinks that die over it.
type crash struct {
	*pipeline
	rand   *rand.Rand
	layout crashLayout
	// steady says that all sinks have the same settings and leave unfinished files alone, so that the objects do not
	// depend on when they run.
	steady     bool
	count      *crashCount
	partitions int32
	ids        []int
	n          int64
	writers    []*crashWriter
	// kills is how many sinks died.
	kills  int
	alive  []*victim
	asleep []*victim
	// usual is how long a sink takes that is left alone.
	usual time.Duration
}

// crashWriter writes in transactions; open says that one was left open.
type crashWriter struct {
	client *kgo.Client
	open   bool
	// commits says that its transactions are not aborted.
	commits bool
}

func newCrash(t *testing.T, layout crashLayout, steady bool, count *crashCount, r *rand.Rand) *crash {
	t.Helper()
	keys := maps.Clone(layout.keys)
	if keys == nil {
		keys = map[string]string{}
	}
	if steady {
		keys["riftline.flush.on.drain.end"] = "false"
	}
	c := &crash{
		pipeline: newPipeline(t, options{noTopic: true, sinkKeys: keys, vars: map[string]string{"RIFTLINE_LOG_LEVEL": "info"}}),
		rand:     r, layout: layout, steady: steady, count: count, partitions: crashPartitions, usual: 300 * time.Millisecond,
	}
	// The records' own times are long ago; the broker must not take them away for that.
	forever := "-1"
	resp, err := c.admin.CreateTopic(t.Context(), crashPartitions, 1, map[string]*string{"retention.ms": &forever}, c.topic)
	if err != nil {
		t.Fatalf("creating topic %s: %v %s", c.topic, err, resp.ErrMessage)
	}
	for _, text := range crashSchemas {
		s, err := c.schemas.CreateSchema(t.Context(), c.topic+"-value", sr.Schema{Schema: text})
		if err != nil {
			t.Fatal(err)
		}
		c.ids = append(c.ids, s.ID)
	}
	for i := range 2 {
		c.writers = append(c.writers, c.writer(i))
	}
	return c
}

// disturb makes writes to the buckets fail as they do in the field: carried out or not, without an answer, refused for
// now, or so late that their sender may be dead and others far ahead.
func (c *crash) disturb(seed uint64) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	c.intercept(func(q gcs.Request) gcs.Fault {
		if q.Op != gcs.OpInsert {
			return gcs.Fault{}
		}
		mu.Lock()
		defer mu.Unlock()
		fault := gcs.Fault{}
		switch r.IntN(100) {
		case 0, 1:
			fault.Drop = true
		case 2, 3:
			fault.DropBefore = true
		case 4:
			fault.After = http.StatusServiceUnavailable
		case 5:
			fault.Before = http.StatusTooManyRequests
		case 6, 7, 8:
			late := make(chan struct{})
			time.AfterFunc(time.Duration(r.Int64N(int64(3*time.Second))), func() { close(late) })
			fault.Until = late
			c.add(&c.count.late)
		}
		if fault != (gcs.Fault{}) {
			c.add(&c.count.faults)
		}
		return fault
	})
}

// run kills so many sinks, and verifies what they left.
func (c *crash) run(kills int) {
	c.t.Helper()
	defer c.end()
	c.disturb(c.rand.Uint64())
	for round := 0; c.kills < kills; round++ {
		if round > 10*kills {
			c.t.Fatalf("%d sinks died in %d rounds, %d were to", c.kills, round, kills)
		}
		if c.kills >= kills/2 && c.partitions == crashPartitions {
			c.grow() // its first sinks find a partition without a head
		}
		c.write(2 + c.rand.IntN(8))
		for range 1 + c.rand.IntN(3) {
			c.launch()
		}
		c.settle()
	}
	for len(c.asleep) > 0 {
		c.wake(0)
	}
	if c.count.lastTopic() {
		for _, step := range stepNames(c.t, "drain") {
			if c.count.at(step) == 0 {
				c.insist(step)
			}
		}
	}
	for _, w := range c.writers {
		c.endTransaction(w)
	}
	c.stable()
	c.intercept(nil)
	c.clean(nil)
	if c.steady {
		c.compareWithCalm()
		c.clean(map[string]string{"riftline.flush.on.drain.end": "true"})
	}
	c.verify()
}

// insist kills a sink at a step at which none died by chance.
func (c *crash) insist(step string) {
	c.t.Helper()
	if strings.HasPrefix(step, "drain.2.") {
		c.grow()
	}
	c.write(20 * int(c.partitions))
	for _, w := range c.writers {
		w.commits = true
		c.endTransaction(w)
		w.commits = false
	}
	c.stable()
	if strings.HasPrefix(step, "drain.4.") {
		c.die("drain.8.planned")
	}
	c.die(step)
}

// die lets a sink that nothing disturbs die at a step.
func (c *crash) die(step string) {
	c.t.Helper()
	v := c.sink("nothing but its end at "+step, map[string]string{"flush.size": "3"}, "RIFTLINE_STEP_KILL="+step)
	v.step = step
	before := c.kills
	c.ended(v)
	if c.kills == before {
		c.t.Fatalf("the sink did not come to %s:\n%s", step, v.output())
	}
}

// lastTopic says whether all other topics have had their kills.
func (c *crashCount) lastTopic() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topics--
	return c.topics == 0
}

// at is how many sinks died at a step.
func (c *crashCount) at(step string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.named[step]
}

// rarest is the step at which the fewest sinks died so far, one of them.
func (c *crash) rarest() string {
	names := stepNames(c.t, "drain")
	c.rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return slices.MinFunc(names, func(a, b string) int { return c.count.at(a) - c.count.at(b) })
}

// grow gives the topic one more partition.
func (c *crash) grow() {
	c.t.Helper()
	resp, err := c.admin.UpdatePartitions(c.t.Context(), int(c.partitions)+1, c.topic)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		c.t.Fatalf("adding a partition: %v", err)
	}
	// A partition without a leader yet would fail the sinks that meet it.
	eventually(c.t, "the new partition has a leader", func() bool {
		ends, err := c.admin.ListEndOffsets(c.t.Context(), c.topic)
		end, ok := ends.Lookup(c.topic, c.partitions)
		return err == nil && ok && end.Err == nil
	})
	for i, w := range c.writers {
		c.endTransaction(w)
		w.client.Close()
		c.writers[i] = c.writer(i)
	}
	c.partitions++
}

// writer makes a writer; a new one sees all partitions.
func (c *crash) writer(i int) *crashWriter {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(c.topic),
		kgo.TransactionalID(fmt.Sprintf("crash-%s-%d", c.topic, i)), kgo.TransactionTimeout(10*time.Minute), kgo.ProducerLinger(0))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return &crashWriter{client: client}
}

// write puts records into random partitions, in transactions of two writers that interleave, some of which are aborted and
// some left open.
func (c *crash) write(n int) {
	c.t.Helper()
	for _, w := range c.writers {
		if !w.open {
			if err := w.client.BeginTransaction(); err != nil {
				c.t.Fatal(err)
			}
			w.open = true
		}
	}
	for range n {
		c.n++
		r := crashRecord{n: c.n, schema: c.rand.IntN(len(c.ids)), tier: c.rand.IntN(3), stamp: crashStart.Add(time.Duration(c.rand.IntN(6)) * time.Hour)}
		if err := c.writers[c.rand.IntN(len(c.writers))].client.ProduceSync(c.t.Context(), &kgo.Record{
			Partition: c.rand.Int32N(c.partitions), Value: r.value(c.ids), Timestamp: r.stamp,
		}).FirstErr(); err != nil {
			c.t.Fatalf("writing a record: %v", err)
		}
	}
	for _, w := range c.writers {
		if c.rand.IntN(4) > 0 {
			c.endTransaction(w)
		}
	}
}

func (c *crash) endTransaction(w *crashWriter) {
	c.t.Helper()
	if !w.open {
		return
	}
	w.open = false
	if err := w.client.EndTransaction(c.t.Context(), kgo.TransactionEndTry(w.commits || c.rand.IntN(4) > 0)); err != nil {
		c.t.Fatal(err)
	}
}

// A victim is a sink that is to die or to sleep.
type victim struct {
	cmd   *exec.Cmd
	what  string
	step  string // where it dies
	pause string // the file that is there while it sleeps
	rest  int    // how many rounds it still sleeps
	log   string
	trace string
	done  chan struct{}
	begun time.Time
	timer *time.Timer
}

// sink starts a sink with some keys changed and more variables.
func (c *crash) sink(what string, keys map[string]string, vars ...string) *victim {
	c.t.Helper()
	started.Lock()
	started.n++
	base := filepath.Join(work, fmt.Sprintf("crash-%05d", started.n))
	started.Unlock()
	v := &victim{what: what, log: base + ".log", trace: base + ".trace", done: make(chan struct{}), begun: time.Now()}
	if len(keys) > 0 {
		data, err := json.Marshal(map[string]map[string]string{c.pipeline.sink: keys})
		if err != nil {
			c.t.Fatal(err)
		}
		vars = append(vars, "RIFTLINE_OVERRIDES="+string(data))
	}
	log, err := os.Create(v.log)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	v.cmd = exec.Command(steps.path(c.t, "sink"))
	v.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + work}, c.env(append(vars, "RIFTLINE_STEP_TRACE="+v.trace)...)...)
	v.cmd.Stdout, v.cmd.Stderr = log, log
	ownGroup(v.cmd)
	if len(c.alive)+len(c.asleep) > 0 {
		c.add(&c.count.overlaps)
	}
	c.add(&c.count.sinks)
	if err := v.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = v.cmd.Wait()
		close(v.done)
	}()
	return v
}

func (c *crash) add(n *int) {
	c.count.mu.Lock()
	defer c.count.mu.Unlock()
	*n++
}

// launch starts a sink that dies at a step, dies at any time, or falls asleep.
func (c *crash) launch() {
	c.t.Helper()
	keys := map[string]string{"flush.size": "3"}
	if !c.steady {
		keys["flush.size"] = []string{"1", "2", "3", "5", "100"}[c.rand.IntN(5)]
	}
	tasks := 1 + c.rand.IntN(3)
	vars := []string{fmt.Sprintf("CLOUD_RUN_TASK_COUNT=%d", tasks), fmt.Sprintf("CLOUD_RUN_TASK_INDEX=%d", c.rand.IntN(tasks))}
	what := fmt.Sprintf("%v flush.size=%s", vars, keys["flush.size"])
	kind := c.rand.IntN(10)
	switch {
	case kind < 5:
		step := c.rarest()
		at := step
		if c.rand.IntN(3) == 0 && !strings.HasPrefix(step, "drain.2.") {
			at += ":2"
		}
		v := c.sink(what+" to die at "+at, keys, append(vars, "RIFTLINE_STEP_KILL="+at)...)
		v.step = step
		c.alive = append(c.alive, v)
	case kind < 7 && len(c.asleep) < crashAsleep:
		names := stepNames(c.t, "drain")
		step := names[c.rand.IntN(len(names))]
		started.Lock()
		started.n++
		pause := filepath.Join(work, fmt.Sprintf("asleep-%05d", started.n))
		started.Unlock()
		v := c.sink(what+" to sleep at "+step, keys, append(vars, "RIFTLINE_STEP_PAUSE="+step+"="+pause)...)
		v.pause, v.rest = pause, 1+c.rand.IntN(4)
		c.alive = append(c.alive, v)
	default:
		v := c.sink(what+" to die at any time", keys, vars...)
		v.timer = time.AfterFunc(time.Duration(c.rand.Int64N(int64(c.usual)*3/2)), func() { killGroup(v.cmd) })
		c.alive = append(c.alive, v)
	}
}

// settle waits until all sinks of the round are dead, done or asleep, and wakes or kills some that have slept enough.
func (c *crash) settle() {
	c.t.Helper()
	for len(c.alive) > 0 {
		v := c.alive[0]
		if c.sleeps(v) {
			c.add(&c.count.sleepers)
			c.asleep = append(c.asleep, v)
		} else {
			c.ended(v)
		}
		c.alive = c.alive[1:]
	}
	for i := 0; i < len(c.asleep); {
		v := c.asleep[i]
		if v.rest--; v.rest > 0 {
			i++
			continue
		}
		if c.rand.IntN(2) == 0 {
			killGroup(v.cmd)
		}
		c.wake(i)
	}
}

// wake ends the sleep of a sink and waits for its end.
func (c *crash) wake(i int) {
	c.t.Helper()
	v := c.asleep[i]
	c.asleep = slices.Delete(c.asleep, i, i+1)
	if err := os.Remove(v.pause); err != nil {
		c.t.Fatal(err)
	}
	c.ended(v)
}

// sleeps waits until a sink sleeps or has ended.
func (c *crash) sleeps(v *victim) bool {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if v.pause != "" {
			if data, err := os.ReadFile(v.pause); err == nil && len(data) > 0 {
				return true
			}
		}
		select {
		case <-v.done:
			return false
		default:
		}
		if time.Now().After(end) {
			c.hangs(v)
		}
	}
}

// ended waits for a sink's end, counts what it did, and wants a good one unless it was killed.
func (c *crash) ended(v *victim) {
	c.t.Helper()
	select {
	case <-v.done:
	case <-time.After(patience):
		c.hangs(v)
	}
	if v.timer != nil {
		v.timer.Stop()
	}
	status, ok := v.cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed := ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	trace, err := os.ReadFile(v.trace)
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	if code := v.cmd.ProcessState.ExitCode(); !killed && code != 0 {
		c.t.Fatalf("the sink with %s ended with %d:\n%s", v.what, code, v.output())
	}
	if !killed && v.pause == "" {
		c.usual = (c.usual + time.Since(v.begun)) / 2
	}
	c.count.mu.Lock()
	defer c.count.mu.Unlock()
	c.count.completed += strings.Count(string(trace), "drain.4.completed\n")
	if killed {
		c.kills++
		c.count.kills++
		if v.step != "" {
			c.count.named[v.step]++
		}
	}
	_ = os.Remove(v.trace)
	if killed {
		_ = os.Remove(v.log)
	}
}

func (c *crash) hangs(v *victim) {
	c.t.Helper()
	_ = v.cmd.Process.Signal(syscall.SIGQUIT) // shows where
	select {
	case <-v.done:
	case <-time.After(5 * time.Second):
	}
	c.t.Fatalf("the sink with %s did not end within %v:\n%s", v.what, patience, v.output())
}

func (v *victim) output() string {
	data, err := os.ReadFile(v.log)
	if err != nil {
		return err.Error()
	}
	return tail(string(data), 60)
}

// end leaves no process behind, also when the test fails.
func (c *crash) end() {
	for _, v := range append(c.alive, c.asleep...) {
		killGroup(v.cmd)
		<-v.done
	}
}

// clean runs one sink that nothing disturbs.
func (c *crash) clean(keys map[string]string) {
	c.t.Helper()
	c.ended(c.sink("nothing to disturb it", keys))
}

// stable waits until no transaction of the topic is open.
func (c *crash) stable() map[int32]kadm.ListedOffset {
	c.t.Helper()
	var ends map[int32]kadm.ListedOffset
	eventually(c.t, "no transaction is open in topic "+c.topic, func() bool {
		committed, err := c.admin.ListCommittedOffsets(c.t.Context(), c.topic)
		if err != nil {
			c.t.Fatal(err)
		}
		all, err := c.admin.ListEndOffsets(c.t.Context(), c.topic)
		if err != nil {
			c.t.Fatal(err)
		}
		ends = all[c.topic]
		for partition, end := range ends {
			if stable, ok := committed.Lookup(c.topic, partition); !ok || stable.Offset != end.Offset {
				return false
			}
		}
		return int32(len(ends)) == c.partitions
	})
	return ends
}
