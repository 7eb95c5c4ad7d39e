//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/poll"
)

// A run that is killed has this deadline, so that the run after it waits for no longer. A machine on which a poll takes
// longer makes the test fail with a message that says so.
var killedDeadline = []string{"RIFTLINE_DEADLINE=20s", "RIFTLINE_INTENT_MARGIN=1s"}

var (
	ladder1 = players(7)
	// ladder2 has a changed player and a new one.
	ladder2 = append(players(6), player(6, 900), player(7, 901))
	changes = ladder2[6:]
	ladder3 = append(players(6), player(6, 900), player(7, 950))
)

// A killing is one way in which polls die. Whatever happens, the topic must then hold ladder1 once and the changes of
// ladder2 once, in order.
type killing struct {
	name string
	// before is what happened before; the next poll is the one that dies.
	before func(p *pipeline)
	// after repairs what before has broken.
	after func(p *pipeline)
}

var killings = []killing{
	{name: "the first poll", before: func(p *pipeline) { p.api.ladder(ladder1) }},
	{name: "a change", before: changed},
	{name: "the recovery of a poll that had committed", before: func(p *pipeline) {
		changed(p)
		p.die("poll.9.committed")
	}},
	{name: "the recovery of a poll that had not committed", before: func(p *pipeline) {
		changed(p)
		p.die("poll.9.produced")
	}},
	{
		// The topic takes no batch of this size (only the markers of transactions), so that the poll takes its intent back.
		name: "the release of an intent",
		before: func(p *pipeline) {
			changed(p)
			p.configure("max.message.bytes", "200")
		},
		after: func(p *pipeline) { p.configure("max.message.bytes", "1000000") },
	},
}

// changed polls ladder1 undisturbed and then lets the API answer ladder2.
func changed(p *pipeline) {
	p.api.ladder(ladder1)
	q := startPoller(p.t, steps.path(p.t, "poller"), p.env())
	q.mustPoll(p.source, poll.Published)
	q.stop()
	p.api.ladder(ladder2)
}

// die polls in a process that is killed at a step.
func (p *pipeline) die(step string) {
	p.t.Helper()
	q := startPoller(p.t, steps.path(p.t, "poller"), p.env(append(killedDeadline, "RIFTLINE_STEP_KILL="+step)...))
	p.mustDie(q, step)
}

// mustDie polls until the process is dead. A poll that another run was in the way of did not come as far as the step.
func (p *pipeline) mustDie(q *process, where string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(waiting) {
		a, err := q.poll(p.source)
		if err == nil && a.Outcome == poll.AnotherRun && time.Now().Before(end) {
			continue
		}
		if err == nil {
			p.t.Fatalf("the poll was not killed at %s; it answered %d %s", where, a.status, a.body)
		}
		if !q.killed() {
			p.t.Fatalf("the poller ended at %s by itself: %v\n%s", where, q.cmd.ProcessState, q.output())
		}
		return
	}
}

func (p *pipeline) configure(key, value string) {
	p.t.Helper()
	responses, err := p.admin.AlterTopicConfigs(p.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, p.topic)
	if err != nil || responses[0].Err != nil {
		p.t.Fatalf("configuring %s: %v %v", p.topic, err, responses)
	}
}

// verify lets one clean run settle what the dead ones left, changes the ladder once more, and compares topic and archive
// with what undisturbed runs make.
func (p *pipeline) verify(k killing) {
	p.t.Helper()
	if k.after != nil {
		k.after(p)
	}
	clean := startPoller(p.t, steps.path(p.t, "poller"), p.env())
	// One poll settles; the next ones see both ladders.
	clean.settle(p.source)
	p.api.ladder(ladder2)
	clean.settle(p.source)
	p.api.ladder(ladder3)
	last := clean.mustPoll(p.source, poll.Published)
	if last.Published != 1 || !last.ExactlyOnce {
		p.t.Fatalf("the last poll: %s", last.body)
	}
	messages := p.wantTopic(ladder1, changes, ladder3[7:])
	p.mustDrain()
	p.wantArchive(messages)
	p.wantLag(0)
}

// reached runs a killing's poll undisturbed and gives the steps that it came by, in order and each once.
func (k killing) reached(t *testing.T, o options) []string {
	t.Helper()
	p := newPipeline(t, o)
	k.before(p)
	trace := filepath.Join(t.TempDir(), "trace")
	q := startPoller(t, steps.path(t, "poller"), p.env(append(killedDeadline, "RIFTLINE_STEP_TRACE="+trace)...))
	for end := time.Now().Add(patience); ; time.Sleep(waiting) {
		a, err := q.poll(p.source)
		if err != nil {
			t.Fatal(err)
		}
		if a.Outcome != poll.AnotherRun {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("another run is still in the way: %s", a.body)
		}
	}
	q.stop()
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range strings.FieldsSeq(string(data)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	p.verify(k)
	return names
}

// Kill -9 of the poller at each named step of its protocol.
func TestPollerIsKilledAtEachStep(t *testing.T) {
	t.Parallel()
	pollerKills(t, kafka)
}

// The same on the transaction protocols of older brokers.
func TestPollerIsKilledAtEachStepOnOtherBrokers(t *testing.T) {
	if !long() {
		t.Skip("long: RIFTLINE_LONG is not set (make test-long)")
	}
	for name, broker := range map[string]*peer{"Kafka 3.9.1": kafka39, "transaction.version 0": kafkaVersion0} {
		t.Run(name, func(t *testing.T) { pollerKills(t, broker) })
	}
}

func pollerKills(t *testing.T, broker *peer) {
	var mu sync.Mutex
	seen, ran := map[string]bool{}, 0
	t.Run("steps", func(t *testing.T) {
		for _, k := range killings {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				names := k.reached(t, options{broker: broker})
				mu.Lock()
				ran++
				for _, name := range names {
					seen[name] = true
				}
				mu.Unlock()
				for _, name := range names {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						p := newPipeline(t, options{broker: broker})
						k.before(p)
						p.die(name)
						p.verify(k)
					})
				}
			})
		}
	})
	if t.Failed() || ran < len(killings) {
		return // with -run, only some of them ran
	}
	for _, name := range ladderSteps(t) {
		if !seen[name] {
			t.Errorf("no poll was killed at %s", name)
		}
	}
}

// otherSteps are those that a poll of a ladder in transactions does not come by: a log's cursor moves without a record, a
// key is back for weeks in which nothing else changes, and a lease stands in for a transaction.
var otherSteps = []string{"poll.3.begin", "poll.3.moved", "poll.3.noted", "poll.4.leased", "poll.R4.begin", "poll.R4.read"}

// ladderSteps are the steps of a poll of a ladder in transactions.
func ladderSteps(t testing.TB) []string {
	t.Helper()
	return slices.DeleteFunc(stepNames(t, "poll"), func(name string) bool { return slices.Contains(otherSteps, name) })
}

// stepNames finds the names of a protocol's steps in the code.
func stepNames(t testing.TB, protocol string) []string {
	t.Helper()
	pattern := regexp.MustCompile(`"(` + protocol + `\.[0-9A-Za-z]+\.[a-z]+)"`)
	var names []string
	for _, folder := range []string{"shared/poll", "shared/drain", "shared/kafka"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range pattern.FindAllStringSubmatch(string(data), -1) {
				if !slices.Contains(names, m[1]) {
					names = append(names, m[1])
				}
			}
		}
	}
	if len(names) < 10 {
		t.Fatalf("only these steps found in the code: %v", names)
	}
	return names
}

// Kill -9 of the poller from outside, when Cloud Storage sees its n-th request, before and after carrying it out.
func TestPollerIsKilledAtEachStorageRequest(t *testing.T) {
	t.Parallel()
	k := killings[1]
	count := newPipeline(t, options{})
	k.before(count)
	total := 0
	var mu sync.Mutex
	count.intercept(func(gcs.Request) gcs.Fault {
		mu.Lock()
		defer mu.Unlock()
		total++
		return gcs.Fault{}
	})
	q := startPoller(t, plain.path(t, "poller"), count.env())
	q.mustPoll(count.source, poll.Published)
	count.intercept(nil)
	count.verify(k)
	if total < 3 {
		t.Fatalf("a poll that publishes made %d storage requests", total)
	}
	for n := 1; n <= total; n++ {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("request %d, carried out %v", n, applied), func(t *testing.T) {
				t.Parallel()
				p := newPipeline(t, options{})
				k.before(p)
				q := startPoller(t, plain.path(t, "poller"), p.env(killedDeadline...))
				p.killAtRequest(q, n, applied)
				p.mustDie(q, fmt.Sprintf("request %d", n))
				p.intercept(nil)
				p.verify(k)
			})
		}
	}
}

// killAtRequest kills the process when the stand-in sees the n-th request from now on.
func (p *pipeline) killAtRequest(q *process, n int, applied bool) {
	var mu sync.Mutex
	seen := 0
	p.intercept(func(gcs.Request) gcs.Fault {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen != n {
			return gcs.Fault{}
		}
		q.kill()
		return gcs.Fault{Drop: applied, DropBefore: !applied}
	})
}

// fill puts records of one schema into the topic, in two transactions whose markers leave gaps in the offsets.
func (p *pipeline) fill(from, to int) {
	p.t.Helper()
	const text = `{"type":"record","name":"challenger","fields":[{"name":"puuid","type":"string"},{"name":"leaguePoints","type":"long"}]}`
	created, err := p.schemas.CreateSchema(p.t.Context(), p.topic+"-value", sr.Schema{Schema: text})
	if err != nil {
		p.t.Fatal(err)
	}
	schema := avro.MustParse(text)
	c, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.DefaultProduceTopic(p.topic), kgo.TransactionalID("fill-"+p.topic))
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	for n := from; n < to; {
		if err := c.BeginTransaction(); err != nil {
			p.t.Fatal(err)
		}
		var records []*kgo.Record
		for end := min(n+4, to); n < end; n++ {
			body, err := avro.Marshal(schema, map[string]any{"puuid": player(n, 0).PUUID, "leaguePoints": int64(n)})
			if err != nil {
				p.t.Fatal(err)
			}
			var header sr.ConfluentHeader
			value, err := header.AppendEncode(nil, created.ID, nil)
			if err != nil {
				p.t.Fatal(err)
			}
			records = append(records, &kgo.Record{Key: []byte(player(n, 0).PUUID), Value: append(value, body...)})
		}
		if err := c.ProduceSync(p.t.Context(), records...).FirstErr(); err != nil {
			p.t.Fatal(err)
		}
		if err := c.EndTransaction(p.t.Context(), kgo.TryCommit); err != nil {
			p.t.Fatal(err)
		}
	}
}

// drainings are the ways in which a drain dies, each with what happened before it.
var drainings = []struct {
	name   string
	before func(p *pipeline)
}{
	{"the first drain", func(p *pipeline) { p.fill(0, 11) }},
	{"a later drain", func(p *pipeline) {
		p.fill(0, 5)
		p.mustDrain()
		p.fill(5, 16)
	}},
	{"the completion of a plan", func(p *pipeline) {
		p.fill(0, 11)
		p.dieDraining("drain.8.planned")
	}},
	{"the completion of a plan that is partly done", func(p *pipeline) {
		p.fill(0, 11)
		p.dieAfterOneObject()
	}},
}

// dieAfterOneObject runs a drain that is killed when exactly one of its objects is there: they are sent in parallel, so
// a step's name alone would not say how many are.
func (p *pipeline) dieAfterOneObject() {
	p.t.Helper()
	ready := make(chan *process, 1)
	var mu sync.Mutex
	first, killed := "", false
	p.intercept(func(r gcs.Request) gcs.Fault {
		if r.Bucket != p.archive || (r.Op != gcs.OpInsert && r.Op != gcs.OpUpload) {
			return gcs.Fault{}
		}
		mu.Lock()
		defer mu.Unlock()
		if first == "" {
			first = r.Name
		}
		if r.Name == first {
			return gcs.Fault{}
		}
		if !killed {
			for end := time.Now().Add(patience); len(p.storage.Objects(p.archive, "")) == 0 && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
			(<-ready).kill()
			killed = true
		}
		return gcs.Fault{DropBefore: true}
	})
	s := start(p.t, plain.path(p.t, "sink"), p.env())
	ready <- s
	if s.wait(); !s.killed() {
		p.t.Fatalf("the drain was not killed: %v\n%s", s.cmd.ProcessState, s.output())
	}
	p.intercept(nil)
	if n := len(p.storage.Objects(p.archive, "")); n != 1 {
		p.t.Fatalf("%d objects are there when the drain was killed, want 1", n)
	}
}

// dieDraining runs a drain that is killed at a step.
func (p *pipeline) dieDraining(step string) {
	p.t.Helper()
	s := start(p.t, steps.path(p.t, "sink"), p.env("RIFTLINE_STEP_KILL="+step))
	if s.wait(); !s.killed() {
		p.t.Fatalf("the drain was not killed at %s: %v\n%s", step, s.cmd.ProcessState, s.output())
	}
}

// verifyDrained lets clean drains finish and compares the archive with the topic.
func (p *pipeline) verifyDrained() {
	p.t.Helper()
	p.mustDrain()
	messages := p.messages()
	p.wantArchive(messages)
	p.wantLag(0)
	p.fill(100, 104)
	p.mustDrain()
	p.wantArchive(p.messages())
	p.wantLag(0)
}

// Kill -9 of the sink at each named step of its protocol.
func TestSinkIsKilledAtEachStep(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen, ran := map[string]bool{}, 0
	t.Run("steps", func(t *testing.T) {
		for _, d := range drainings {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				mu.Lock()
				ran++
				mu.Unlock()
				p := newPipeline(t, options{})
				d.before(p)
				trace := filepath.Join(t.TempDir(), "trace")
				s := start(t, steps.path(t, "sink"), p.env("RIFTLINE_STEP_TRACE="+trace))
				if code := s.wait(); code != 0 {
					t.Fatalf("the undisturbed drain ended with %d:\n%s", code, s.output())
				}
				p.verifyDrained()
				data, err := os.ReadFile(trace)
				if err != nil {
					t.Fatal(err)
				}
				times := map[string]int{}
				for name := range strings.FieldsSeq(string(data)) {
					times[name]++
				}
				for name, n := range times {
					mu.Lock()
					seen[name] = true
					mu.Unlock()
					// The first time, and the last where it is another.
					for _, at := range slices.Compact([]int{1, n}) {
						t.Run(fmt.Sprintf("%s the %d. time", name, at), func(t *testing.T) {
							t.Parallel()
							p := newPipeline(t, options{})
							d.before(p)
							p.dieDraining(fmt.Sprintf("%s:%d", name, at))
							p.verifyDrained()
						})
					}
				}
			})
		}
	})
	if t.Failed() || ran < len(drainings) {
		return
	}
	for _, name := range stepNames(t, "drain") {
		if !seen[name] {
			t.Errorf("no drain was killed at %s", name)
		}
	}
}

// Kill -9 of the sink from outside, when Cloud Storage sees its n-th request.
func TestSinkIsKilledAtEachStorageRequest(t *testing.T) {
	t.Parallel()
	d := drainings[1]
	count := newPipeline(t, options{})
	d.before(count)
	total := 0
	var mu sync.Mutex
	count.intercept(func(gcs.Request) gcs.Fault {
		mu.Lock()
		defer mu.Unlock()
		total++
		return gcs.Fault{}
	})
	count.mustDrain()
	count.intercept(nil)
	count.verifyDrained()
	if total < 5 {
		t.Fatalf("a drain of four objects made %d storage requests", total)
	}
	for n := 1; n <= total; n++ {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("request %d, carried out %v", n, applied), func(t *testing.T) {
				t.Parallel()
				p := newPipeline(t, options{})
				d.before(p)
				ready := make(chan *process, 1)
				seen := 0
				var mu sync.Mutex
				p.intercept(func(gcs.Request) gcs.Fault {
					mu.Lock()
					defer mu.Unlock()
					if seen++; seen != n {
						return gcs.Fault{}
					}
					(<-ready).kill()
					return gcs.Fault{Drop: applied, DropBefore: !applied}
				})
				s := start(t, plain.path(t, "sink"), p.env())
				ready <- s
				if s.wait(); !s.killed() {
					t.Fatalf("the drain made fewer than %d requests: %v\n%s", n, s.cmd.ProcessState, s.output())
				}
				p.intercept(nil)
				p.verifyDrained()
			})
		}
	}
}
