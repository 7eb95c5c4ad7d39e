//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gcstorage "cloud.google.com/go/storage"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	riftkafka "github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/poll"
)

// The numbers in the names of these tests are those of the table in shared/poll/FAULTS.md: what needs a real broker,
// as the embedded one has no transaction coordinator that races, times out and forgets.

// onEachBroker runs a test against each transaction protocol that brokers have.
func onEachBroker(t *testing.T, test func(t *testing.T, broker *peer)) {
	for name, broker := range map[string]*peer{"Kafka 4.1.0": kafka, "transaction.version 0": kafkaVersion0, "Kafka 3.9.1": kafka39} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, broker)
		})
	}
}

// later polls inside this process, by a clock that is ahead: the time of a run that stands still is over by it.
func (p *pipeline) later(ahead time.Duration) poll.Summary {
	p.t.Helper()
	e, err := environment.Read(p.env())
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	e.NewStorage = func(ctx context.Context) (*gcstorage.Client, error) {
		return bucket.NewClient(ctx, bucket.At(p.storage.URL())...)
	}
	e.PollDeps.Now = func() time.Time { return time.Now().Add(ahead) }
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	s, err := e.Poll(ctx, p.source, nil)
	if err != nil {
		p.t.Fatalf("a poll by a clock that is %v ahead: %s: %v", ahead, s.Outcome, err)
	}
	return s
}

// A drainingSink is a sink in a process of its own that stands still at a step.
type drainingSink struct {
	*process
	p    *pipeline
	file string
}

// sleepDraining starts a sink and returns when it stands at the step.
func (p *pipeline) sleepDraining(step string) drainingSink {
	p.t.Helper()
	p.settled()
	d := drainingSink{p: p, file: filepath.Join(p.t.TempDir(), "asleep")}
	d.process = start(p.t, steps.path(p.t, "sink"), p.env("RIFTLINE_STEP_PAUSE="+step+"="+d.file))
	eventually(p.t, "the sink stands at "+step, func() bool { _, err := os.Stat(d.file); return err == nil })
	return d
}

// A sleeper is a poll in a process of its own that stands still at a step.
type sleeper struct {
	p      *pipeline
	file   string
	answer chan answer
}

// sleep starts a poll and returns when it stands at the step.
func (p *pipeline) sleep(step string, more ...string) sleeper {
	p.t.Helper()
	s := sleeper{p: p, file: filepath.Join(p.t.TempDir(), "asleep"), answer: make(chan answer, 1)}
	q := startPoller(p.t, steps.path(p.t, "poller"), p.env(append(more, "RIFTLINE_STEP_PAUSE="+step+"="+s.file)...))
	go func() {
		a, err := q.poll(p.source)
		if err != nil {
			a.Error = err.Error()
		}
		s.answer <- a
	}()
	eventually(p.t, "the poll stands at "+step, func() bool { _, err := os.Stat(s.file); return err == nil })
	return s
}

// wake lets the poll go on and returns what it was answered.
func (s sleeper) wake() answer {
	s.p.t.Helper()
	if err := os.Remove(s.file); err != nil {
		s.p.t.Fatal(err)
	}
	select {
	case a := <-s.answer:
		return a
	case <-time.After(patience):
		s.p.t.Fatal("the poll that was woken up does not end")
		return answer{}
	}
}

func TestFault08RunThatSleptIsFenced(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, broker *peer) {
		for _, step := range []string{"poll.6.fenced", "poll.9.produced", "poll.9.marked"} {
			t.Run(step, func(t *testing.T) {
				t.Parallel()
				p := newPipeline(t, options{broker: broker})
				changed(p)
				slow := p.sleep(step)
				p.api.ladder(ladder3)
				if s := p.later(time.Hour); s.Outcome != poll.Published || s.Recovered != "not_committed" {
					t.Errorf("the other run: %s, recovered %q", s.Outcome, s.Recovered)
				}
				// One that asked to commit cannot know what came of it: it looks, and finds all done.
				if a := slow.wake(); a.Outcome.Failed() || a.Published != 0 {
					t.Errorf("the run that slept was answered %d %s", a.status, a.body)
				}
				p.wantTopic(ladder1, ladder3[6:])
				clean := p.poller()
				clean.mustPoll(p.source, poll.NothingNew)
				p.wantTopic(ladder1, ladder3[6:])
			})
		}
	})
}

// transactions is a transactional id with a topic on a broker, used without any poll.
type transactions struct {
	*pipeline
	id    string
	topic riftkafka.Topic
}

func newTransactions(t *testing.T, broker *peer) transactions {
	t.Helper()
	p := newPipeline(t, options{broker: broker})
	x := transactions{pipeline: p, id: "riftline-" + p.source}
	producer := x.producer()
	// A broker may not know a topic yet that was created a moment ago.
	for end := time.Now().Add(patience); ; time.Sleep(waiting) {
		topic, err := producer.Topic(t.Context(), p.topic)
		if err == nil {
			x.topic = topic
			return x
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (x transactions) producer() *riftkafka.Producer {
	x.t.Helper()
	p, err := riftkafka.NewProducer(connector.Kafka{Brokers: strings.Split(x.bootstrap, ",")}, x.id, nil)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(p.Close)
	return p
}

func (x transactions) record(id string) *kgo.Record {
	return &kgo.Record{Topic: x.topic.Name, Key: []byte(id), Value: []byte(id), Headers: []kgo.RecordHeader{{Key: riftkafka.HeaderID, Value: []byte(id)}}}
}

// keys are the keys that a read_committed consumer sees, in order.
func (x transactions) keys() []string {
	var keys []string
	for _, r := range x.records() {
		keys = append(keys, string(r.Key))
	}
	return keys
}

// The marker that is read after a fence is final: whatever the owner's commit comes to, it is that already.
func TestFault13RecoveryRacesACommit(t *testing.T) {
	t.Parallel()
	races := 25
	if long() {
		races = 500
	}
	onEachBroker(t, func(t *testing.T, broker *peer) {
		x := newTransactions(t, broker)
		random := rand.New(rand.NewPCG(13, 13))
		var want []string
		last, commits, errs := "", int64(0), 0
		for n := range races {
			id := fmt.Sprintf("%032x", n+1)
			owner, next := x.producer(), x.producer()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if err := owner.Fence(ctx); err != nil {
				t.Fatal(err)
			}
			delay := time.Duration(random.IntN(40_000)) * time.Microsecond
			var published error
			var wait sync.WaitGroup
			wait.Go(func() {
				published = owner.Publish(ctx, []*kgo.Record{x.record(id)}, x.topic, riftkafka.Marker{ID: id, Commits: commits + 1}, time.Now().Add(patience))
			})
			time.Sleep(delay) // any will do: it only spreads the moments
			if err := next.Fence(ctx); err != nil {
				t.Fatalf("race %d: %v", n, err)
			}
			first, _, err := next.Marker(ctx, x.topic.Name)
			if err != nil {
				t.Fatalf("race %d: %v", n, err)
			}
			wait.Wait()
			owner.Close()
			second, _, err := next.Marker(ctx, x.topic.Name)
			if err != nil {
				t.Fatalf("race %d: %v", n, err)
			}
			next.Close()
			cancel()
			if first != second {
				t.Fatalf("race %d: the marker was %+v and became %+v", n, first, second)
			}
			switch {
			case first.ID == id:
				want, last, commits = append(want, id), id, commits+1
				if published != nil && !errors.Is(published, riftkafka.ErrUnknownOutcome) {
					t.Fatalf("race %d committed, and the owner was told %v", n, published)
				}
			case first.ID != last:
				t.Fatalf("race %d: the marker is %+v, the last one was %s", n, first, last)
			case published == nil:
				t.Fatalf("race %d did not commit, and the owner was told that it did", n)
			}
			if published != nil {
				errs++
			}
		}
		if got := x.keys(); !slices.Equal(got, want) {
			t.Fatalf("the topic holds\n%v\nand the markers say\n%v", got, want)
		}
		t.Logf("%d races: %d committed, the owner was told of an error in %d", races, len(want), errs)
	})
}

// The broker ends the transaction of a run that stands still before its commit. The run finds that out and publishes.
func TestFault15TransactionTimesOutBeforeTheCommit(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, broker *peer) {
		p := newPipeline(t, options{broker: broker})
		changed(p)
		const timeout = "producer.override.transaction.timeout.ms"
		p.sourceKeys[timeout] = "1000"
		p.writeConnectors()
		slow := p.sleep("poll.9.marked")
		eventually(t, "the broker has ended the transaction", func() bool {
			all, err := p.admin.ListTransactions(t.Context(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range all.Sorted() {
				if strings.HasPrefix(x.TxnID, "riftline-"+p.source+"-") {
					return x.State == "CompleteAbort" || x.State == "Empty"
				}
			}
			return false
		})
		a := slow.wake()
		if a.Outcome != poll.Published || a.Published != len(changes) || a.Recovered != "not_committed" {
			// A run that was told "not committed" outright gives the intent back; the next one publishes.
			if !a.Outcome.Failed() || a.Published != 0 {
				t.Errorf("the run was answered %d %s", a.status, a.body)
			}
			delete(p.sourceKeys, timeout) // a broker that is slow would end this one's too
			p.writeConnectors()
			p.poller().settle(p.source)
		}
		p.wantTopic(ladder1, changes)
	})
}

// A client that was fenced begins, produces, commits and aborts, as often as it likes: nothing of it becomes visible.
func TestFault16FencedClientTriesEverything(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, broker *peer) {
		x := newTransactions(t, broker)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		old, err := kgo.NewClient(kgo.SeedBrokers(x.bootstrap), kgo.TransactionalID(x.id), kgo.RecordDeliveryTimeout(20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		if err := old.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := old.ProduceSync(ctx, x.record("before the fence")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		ours := x.producer()
		if err := ours.Fence(ctx); err != nil {
			t.Fatal(err)
		}
		refused := 0
		note := func(err error) {
			if err != nil {
				refused++
			}
		}
		note(old.EndTransaction(ctx, kgo.TryCommit))
		for n := range 3 {
			note(old.BeginTransaction())
			note(old.ProduceSync(ctx, x.record(fmt.Sprint("after the fence ", n))).FirstErr())
			note(old.EndTransaction(ctx, kgo.TryCommit))
			note(old.EndTransaction(ctx, kgo.TryAbort))
		}
		if refused < 4 {
			t.Errorf("only %d of the fenced client's attempts were refused", refused)
		}
		if err := ours.Publish(ctx, []*kgo.Record{x.record("ours")}, x.topic, riftkafka.Marker{ID: "ours", Commits: 1}, time.Now().Add(patience)); err != nil {
			t.Errorf("the client that fenced: %v", err)
		}
		if got := x.keys(); !slices.Equal(got, []string{"ours"}) {
			t.Errorf("visible: %q", got)
		}
		// The same with a producer of ours.
		next := x.producer()
		if err := next.Fence(ctx); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			err := ours.Publish(ctx, []*kgo.Record{x.record("too late")}, x.topic, riftkafka.Marker{ID: "late", Commits: 2}, time.Now().Add(patience))
			if !errors.Is(err, riftkafka.ErrNotCommitted) {
				t.Errorf("publishing after another's fence: %v", err)
			}
		}
		if m, ok, err := next.Marker(ctx, x.topic.Name); err != nil || !ok || m.ID != "ours" {
			t.Errorf("the marker is %+v, %v, %v", m, ok, err)
		}
		if got := x.keys(); !slices.Equal(got, []string{"ours"}) {
			t.Errorf("visible: %q", got)
		}
	})
}

func TestFault28EachBroker(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, broker *peer) {
		for _, step := range []string{"poll.9.produced", "poll.9.committed"} {
			t.Run(step, func(t *testing.T) {
				t.Parallel()
				p := newPipeline(t, options{broker: broker})
				changed(p)
				p.die(step)
				want := map[string]string{"poll.9.produced": "not_committed", "poll.9.committed": "committed"}[step]
				if s := p.later(time.Hour); s.Recovered != want || !s.ExactlyOnce {
					t.Errorf("recovered %q, want %q", s.Recovered, want)
				}
				p.wantTopic(ladder1, changes)
				p.api.ladder(ladder3)
				if a := p.poller().mustPoll(p.source, poll.Published); a.Published != 1 {
					t.Errorf("the next poll: %s", a.body)
				}
				p.wantTopic(ladder1, changes, ladder3[7:])
			})
		}
	})
}

// The broker forgets a marker that is a minute old.
func TestFault31MarkerExpiresOnTheBroker(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"", "poll.9.committed", "poll.9.marked"} {
		t.Run(map[string]string{"": "nothing left behind"}[step]+step, func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, options{broker: kafkaForgetful, sourceKeys: map[string]string{"riftline.marker.age": "30s"}})
			changed(p)
			if step != "" {
				p.die(step)
			}
			eventually(t, "the marker has expired", func() bool { return !p.marked() })
			s := p.later(time.Hour)
			want := map[string]string{"poll.9.committed": "committed", "poll.9.marked": "not_committed"}[step]
			if s.Recovered != want {
				t.Errorf("recovered %q, want %q", s.Recovered, want)
			}
			p.wantTopic(ladder1, changes)
			p.api.ladder(ladder3)
			p.poller().mustPoll(p.source, poll.Published)
			p.wantTopic(ladder1, changes, ladder3[7:])
		})
	}
}

// marked tells whether the broker holds an offset of the source's group.
func (p *pipeline) marked() bool {
	p.t.Helper()
	groups, err := p.admin.ListGroups(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, g := range groups.Groups() {
		if !strings.HasPrefix(g, "riftline-"+p.source+"-") {
			continue
		}
		offsets, err := p.admin.FetchOffsets(p.t.Context(), g)
		if err != nil {
			p.t.Fatal(err)
		}
		if o, ok := offsets.Lookup(p.topic, 0); ok && o.At >= 0 {
			return true
		}
	}
	return false
}

// The broker restarts while polls stand in the middle of publishing, and sinks in the middle of a drain: before the first
// record is read, with a batch that is not planned, and while the objects of one plan are created and those of the next
// are read.
func TestBrokerRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	broker := &peer{what: "kafka", script: "kafka.sh", args: kafka39.args[2:]}
	t.Cleanup(broker.stop)
	broker.need(t)
	var asleep []sleeper
	for _, step := range []string{"poll.4.connected", "poll.6.fenced", "poll.9.produced", "poll.9.marked"} {
		p := newPipeline(t, options{broker: broker})
		changed(p)
		asleep = append(asleep, p.sleep(step))
	}
	var draining []drainingSink
	for _, step := range []string{"drain.1.loaded", "drain.7.assigned", "drain.9.creating"} {
		p := newPipeline(t, options{broker: broker, sinkKeys: map[string]string{"flush.size": "1"}})
		p.fill(0, 530) // more objects than a plan has
		draining = append(draining, p.sleepDraining(step))
	}
	broker.restart(t)
	for _, d := range draining {
		if err := os.Remove(d.file); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range draining {
		if d.wait(); d.cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("the sink ended with %v:\n%s", d.cmd.ProcessState, tail(d.output(), 40))
		}
		d.p.wantArchive(d.p.messages())
		d.p.verifyDrained()
	}
	for _, s := range asleep {
		if a := s.wake(); a.Outcome == poll.Stopped {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	for _, s := range asleep {
		s.p.later(time.Hour)
		s.p.wantTopic(ladder1, changes)
	}
}
