package poller

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/poll"
)

// The numbers in the names of these tests are those of the table in shared/poll/FAULTS.md. All of them end in the same
// way: the topic holds what one undisturbed run after another would have published.

// change is a world whose ladder was published once and has changed since.
func change(t *testing.T, more ...kfake.Opt) *world {
	t.Helper()
	w := newWorld(t, more...)
	w.serve("a=1 b=1")
	w.mustPoll(w.service(), poll.Published)
	w.serve("a=2 b=1 c=1")
	return w
}

func (w *world) admin() *kadm.Client {
	w.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

const group = "riftline-challenger-9f8666b8d7738c75"

// forgetMarker removes the marker, as its expiry does.
func (w *world) forgetMarker() {
	w.t.Helper()
	if _, err := w.admin().DeleteGroups(w.t.Context(), group); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stored() gcs.Stored {
	w.t.Helper()
	all := w.gcs.Objects("state", "riftline/poll/")
	if len(all) != 1 {
		w.t.Fatalf("%d source offset objects", len(all))
	}
	return all[0]
}

// lostCommit polls while the answers to the commit get lost; applied says whether the broker carries it out. The run is
// stopped once the client has asked again.
func lostCommit(t *testing.T, applied bool) *world {
	t.Helper()
	l := &lossy{}
	w := change(t, l.option())
	s := w.service()
	var asked atomic.Int64
	c := w.broker.Cluster()
	c.ControlKey(kmsg.EndTxn.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if asked.Load() < 0 {
			return nil, nil, false
		}
		if asked.Add(1) > 2 {
			s.stop()
		}
		l.deaf.Store(true)
		if applied {
			return nil, nil, false
		}
		l.deaf.Store(false)
		return nil, errors.New("the request is lost"), true
	})
	if _, summary, _ := post(t, s.poll, trig); summary.Outcome != poll.Unknown || summary.Published != 0 {
		t.Errorf("%s, published %d: %s", summary.Outcome, summary.Published, summary.Error)
	}
	asked.Store(-1 << 40)
	l.deaf.Store(false)
	return w
}

func TestFault02CommitWhoseAnswersAreLostIsPromoted(t *testing.T) {
	t.Parallel()
	w := lostCommit(t, true)
	if s := w.mustPoll(w.later(soon), poll.NothingNew); s.Recovered != "committed" {
		t.Errorf("recovered %q", s.Recovered)
	}
	w.wantValues("a=1,2 b=1 c=1")
}

func TestFault03CommitThatNeverArrivesIsPublishedOnce(t *testing.T) {
	t.Parallel()
	w := lostCommit(t, false)
	if s := w.mustPoll(w.later(soon), poll.Published); s.Recovered != "not_committed" {
		t.Errorf("recovered %q", s.Recovered)
	}
	w.wantValues("a=1,2 b=1 c=1")
}

func TestFault04ValueThatGoesBackIsPublished(t *testing.T) {
	t.Parallel()
	w := change(t)
	// The change commits, and then the run dies: its close never arrives.
	closes := at("publish", true, func() error { return nil })
	var committed atomic.Bool
	s := w.disturbed(func(call string, after bool) error {
		if call == "publish" && after {
			committed.Store(true)
		}
		if committed.Load() && call == "write" {
			return errDead
		}
		return closes(call, after)
	}, nil)
	w.mustPoll(s, poll.Published)
	w.serve("a=1 b=1 c=1")
	if s := w.mustPoll(w.later(soon), poll.Published); s.Recovered != "committed" || s.Published != 1 {
		t.Errorf("recovered %q, published %d", s.Recovered, s.Published)
	}
	w.wantValues("a=1,2,1 b=1 c=1")
}

func TestFault05IdlePollIsOneRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve("a=1 b=1")
	w.mustPoll(w.service(), poll.Published)
	// A poller that starts anew has no connection left over.
	idle := w.service()
	requests, connections := w.requests(), w.broker.Connections()
	for n := 1; n <= 3; n++ {
		w.mustPoll(idle, poll.NothingNew)
		requests[gcs.OpRead]++
		if got := w.requests(); fmt.Sprint(got) != fmt.Sprint(requests) {
			t.Errorf("after %d idle polls the bucket was asked for %v, want %v", n, got, requests)
		}
	}
	if got := w.broker.Connections(); got != connections {
		t.Errorf("%d connections to Kafka", got-connections)
	}
}

// A run stops after it has announced its changes; another one takes them over when their time is past; the first wakes
// up and goes on.
func TestFault07RunThatSleptAfterItsIntentPublishesNothing(t *testing.T) {
	t.Parallel()
	for _, ladder := range []string{"a=2 b=1 c=1", "a=1 b=1", "a=3 b=1 c=1"} {
		t.Run(ladder, func(t *testing.T) {
			w := change(t)
			slow := w.disturbed(at("fence", false, func() error {
				w.serve(ladder)
				other := w.later(soon)
				if _, s, _ := post(t, other.poll, trig); s.Outcome.Failed() || s.Recovered != "not_committed" {
					t.Errorf("the other run: %s, recovered %q: %s", s.Outcome, s.Recovered, s.Error)
				}
				return nil
			}), nil)
			if s := w.mustPoll(slow, poll.AnotherRun); s.Published != 0 {
				t.Errorf("the first run published %d", s.Published)
			}
			w.wantValues(map[string]string{"a=2 b=1 c=1": "a=1,2 b=1 c=1", "a=1 b=1": "a=1 b=1", "a=3 b=1 c=1": "a=1,3 b=1 c=1"}[ladder])
		})
	}
}

// writes are the compare-and-set writes of a poll, and how to come to a poll that makes the write as its n-th.
var writes = map[string]struct {
	n       int
	prepare func(w *world)
	trouble func(w *world) (end func()) // besides what happens to the write
}{
	"intent": {n: 1},
	"close":  {n: 2},
	"claim":  {n: 1, prepare: func(w *world) { w.die() }},
	"release": {n: 2, trouble: func(w *world) func() {
		return w.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1}).Remove
	}},
}

// die lets a run end right after it has announced its changes.
func (w *world) die() {
	w.t.Helper()
	dead := false
	var mu sync.Mutex
	s := w.disturbed(func(call string, _ bool) error {
		mu.Lock()
		defer mu.Unlock()
		if dead = dead || call == "fence"; dead {
			return errDead
		}
		return nil
	}, nil)
	if _, summary, _ := post(w.t, s.poll, trig); !summary.Outcome.Failed() {
		w.t.Fatalf("the run did not die: %s", summary.Outcome)
	}
}

// disturbWrite polls while something happens to one of the writes, and then polls without trouble.
func disturbWrite(t *testing.T, write string, disturb func(w *world, s *service) gcs.Fault) {
	t.Helper()
	c := writes[write]
	w := change(t)
	if c.prepare != nil {
		c.prepare(w)
	}
	end := func() {}
	if c.trouble != nil {
		end = c.trouble(w)
	}
	s := w.later(soon)
	var n atomic.Int64
	w.gcs.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op == gcs.OpInsert && n.Add(1) == int64(c.n) {
			return disturb(w, s)
		}
		return gcs.Fault{}
	})
	_, first, _ := post(t, s.poll, trig)
	if n.Load() < int64(c.n) {
		t.Fatalf("the poll made %d writes: %s: %s", n.Load(), first.Outcome, first.Error)
	}
	w.gcs.Intercept(nil)
	end()
	w.serve("a=2 b=1 c=1")
	_, second, _ := post(t, w.later(2*soon).poll, trig)
	if second.Outcome.Failed() {
		t.Errorf("the next poll: %s: %s", second.Outcome, second.Error)
	}
	w.wantValues("a=1,2 b=1 c=1")
	if st := w.state(); st.Intent != nil || st.Claim != nil || st.Commits != 2 {
		t.Errorf("left behind: %+v", st)
	}
}

func testWrites(t *testing.T, names ...string) {
	for _, write := range names {
		t.Run(write, func(t *testing.T) {
			t.Parallel()
			t.Run("carried out and its answer lost", func(t *testing.T) {
				disturbWrite(t, write, func(*world, *service) gcs.Fault { return gcs.Fault{Drop: true} })
			})
			t.Run("lost before it was carried out", func(t *testing.T) {
				disturbWrite(t, write, func(*world, *service) gcs.Fault { return gcs.Fault{DropBefore: true} })
			})
			t.Run("412 for its own repetition", func(t *testing.T) {
				disturbWrite(t, write, func(*world, *service) gcs.Fault { return gcs.Fault{After: 412} })
			})
			t.Run("429", func(t *testing.T) {
				disturbWrite(t, write, func(*world, *service) gcs.Fault { return gcs.Fault{Before: 429} })
			})
			t.Run("500, and carried out", func(t *testing.T) {
				disturbWrite(t, write, func(*world, *service) gcs.Fault { return gcs.Fault{After: 500} })
			})
		})
	}
}

// Ten times 429 in a row, with waits of seconds, is tested where the waits are no real ones: package bucket.
func TestFault09IntentWriteWithAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	testWrites(t, "intent")
	// The request hangs in the network until long after the run has given up.
	for _, between := range []bool{false, true} {
		t.Run(fmt.Sprintf("landed a minute later, another run in between %v", between), func(t *testing.T) {
			w := change(t)
			s := w.service()
			land := make(chan struct{})
			var n atomic.Int64
			w.gcs.Intercept(func(r gcs.Request) gcs.Fault {
				if r.Op == gcs.OpInsert && n.Add(1) == 1 {
					s.stop()
					return gcs.Fault{Until: land}
				}
				return gcs.Fault{}
			})
			if _, summary, _ := post(t, s.poll, trig); summary.Outcome != poll.Unavailable {
				t.Errorf("%s: %s", summary.Outcome, summary.Error)
			}
			before := w.stored().Generation
			if between {
				w.mustPoll(w.service(), poll.Published)
			}
			w.gcs.Intercept(nil)
			close(land)
			if !between {
				for end := time.Now().Add(patience); w.stored().Generation == before; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatal("the write never landed")
					}
				}
				w.mustPoll(w.service(), poll.AnotherRun)
			}
			w.serve("a=3 b=1 c=1")
			w.mustPoll(w.later(soon), poll.Published)
			w.wantValues(map[bool]string{true: "a=1,2,3 b=1 c=1", false: "a=1,3 b=1 c=1"}[between])
		})
	}
}

// patience is how long anything may take that ends much earlier as a rule.
const patience = 60 * time.Second

func TestFault10ClaimCloseAndReleaseWithAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	testWrites(t, "claim", "close", "release")
}

// The intent's write is carried out and its answer lost. Before the run reads it back another one has claimed it.
func TestFault11OwnIntentFoundUnderAClaimIsLeft(t *testing.T) {
	t.Parallel()
	w := change(t)
	claimed, leave := make(chan struct{}), make(chan struct{})
	other := w.disturbed(at("fence", false, func() error {
		close(claimed)
		<-leave
		return nil
	}), func(d *poll.Deps) { d.Now = func() time.Time { return time.Now().Add(soon) } })
	done := make(chan poll.Summary, 1)
	var inserts, reads atomic.Int64
	w.gcs.Intercept(func(r gcs.Request) gcs.Fault {
		switch {
		case r.Op == gcs.OpInsert && inserts.Add(1) == 1:
			return gcs.Fault{Drop: true}
		case r.Op == gcs.OpRead && inserts.Load() == 1 && reads.Add(1) == 1:
			go func() {
				_, s, _ := post(t, other.poll, trig)
				done <- s
			}()
			<-claimed
		}
		return gcs.Fault{}
	})
	if s := w.mustPoll(w.service(), poll.AnotherRun); s.Published != 0 {
		t.Errorf("published %d", s.Published)
	}
	close(leave)
	if s := <-done; s.Outcome != poll.Published || s.Recovered != "not_committed" {
		t.Errorf("the other run: %s, recovered %q: %s", s.Outcome, s.Recovered, s.Error)
	}
	w.wantValues("a=1,2 b=1 c=1")
}
