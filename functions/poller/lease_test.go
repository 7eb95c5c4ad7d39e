package poller

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/poll"
)

// support is the environment of a poller whose connector file says so.
func support(mode string) string {
	return `RIFTLINE_OVERRIDES={"challenger":{"exactly.once.support":"` + mode + `","http.request.headers":"X-Riot-Token: ${env:RIOT_API_KEY}"}}`
}

// refuse makes the broker refuse the transactional id, as it does without a right to it.
func (w *world) refuse() *kfake.FaultHandle {
	return w.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: group, Err: kerr.TransactionalIDAuthorizationFailed, Count: -1})
}

// many is a ladder of keys that lie in both partitions.
func many(points int) string {
	var list []string
	for n := range 10 {
		list = append(list, fmt.Sprintf("%c=%d", 'a'+n, points))
	}
	return strings.Join(list, " ")
}

// wantMany wants these values of each key of many.
func (w *world) wantMany(values string) {
	w.t.Helper()
	var list []string
	for n := range 10 {
		list = append(list, fmt.Sprintf("%c=%s", 'a'+n, values))
	}
	w.wantValues(strings.Join(list, " "))
}

// leased is a world that refuses transactions, and whose ladder was published once and has changed since.
func leased(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.refuse()
	w.serve(many(1))
	w.mustPoll(w.service(support("requested")), poll.Published)
	w.serve(many(2))
	return w
}

// diesAfter lets a run die right after a call, which is carried out.
func diesAfter(call string) hook {
	var dead atomic.Bool
	return func(c string, after bool) error {
		if c == call && after {
			dead.Store(true)
		}
		if dead.Load() {
			return errDead
		}
		return nil
	}
}

// half lets a run die when the records of one partition are in the topic and those of the other are not.
func (w *world) half() {
	w.t.Helper()
	f := w.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	s := w.disturbed(diesAfter("send"), nil, support("requested"))
	w.mustPoll(s, poll.Unknown)
	f.Remove()
	if st := w.state(); st.Intent == nil || st.Intent.Lease == nil || st.Intent.Lease.Records != 10 || len(st.Intent.Lease.Watermarks) != partitions {
		w.t.Fatalf("%+v", st.Intent)
	}
}

func TestFault27TransactionsThatAreRefused(t *testing.T) {
	t.Parallel()
	t.Run("required", func(t *testing.T) {
		t.Parallel()
		w := change(t)
		refusal := w.refuse()
		s := w.mustPoll(w.service(support("required")), poll.Refused)
		if s.Published != 0 || !strings.Contains(s.Error, "transactional id") {
			t.Errorf("published %d: %s", s.Published, s.Error)
		}
		w.released()
		refusal.Remove()
		if s := w.mustPoll(w.service(support("required")), poll.Published); !s.ExactlyOnce || s.Transactions != 1 {
			t.Errorf("%+v", s)
		}
		w.wantValues("a=1,2 b=1 c=1")
	})
	t.Run("requested", func(t *testing.T) {
		t.Parallel()
		w := change(t)
		requested := w.service(support("requested"))
		refusal := w.refuse()
		if s := w.mustPoll(requested, poll.Published); s.ExactlyOnce || s.Published != 2 || s.Transactions != 0 {
			t.Errorf("%+v", s)
		}
		w.released()
		w.wantValues("a=1,2 b=1 c=1")
		connections := w.broker.Connections()
		w.mustPoll(w.service(support("requested")), poll.NothingNew)
		if n := w.broker.Connections() - connections; n != 0 {
			t.Errorf("an idle poll made %d connections to Kafka", n)
		}
		// Where the broker allows it, both publish in transactions.
		refusal.Remove()
		w.serve("a=3 b=1 c=1")
		if s := w.mustPoll(requested, poll.Published); !s.ExactlyOnce || s.Transactions != 1 {
			t.Errorf("%+v", s)
		}
		w.wantValues("a=1,2,3 b=1 c=1")
	})
	t.Run("not even idempotence", func(t *testing.T) {
		t.Parallel()
		w := change(t)
		w.refuse()
		w.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
		if s := w.mustPoll(w.service(support("requested")), poll.Refused); !strings.Contains(s.Error, "idempotent publishing is refused") {
			t.Error(s.Error)
		}
		w.released()
		w.wantValues("a=1 b=1")
	})
	t.Run("killed after half of the records", func(t *testing.T) {
		t.Parallel()
		w := leased(t)
		w.half()
		// The time of the run is not over: nobody touches it.
		w.mustPoll(w.service(support("requested")), poll.AnotherRun)
		s := w.mustPoll(w.later(soon, support("requested")), poll.Published)
		if s.Recovered != "partly" || s.ExactlyOnce || s.Published == 0 || s.Published == 10 {
			t.Errorf("%+v", s)
		}
		w.wantMany("1,2")
	})
	t.Run("killed after half of the records, and the values go back", func(t *testing.T) {
		t.Parallel()
		w := leased(t)
		w.half()
		w.serve(many(1))
		s := w.mustPoll(w.later(soon, support("requested")), poll.Published)
		back := 0
		for key, values := range w.values() {
			switch fmt.Sprint(values) {
			case "[1 2 1]":
				back++
			case "[1]":
			default:
				t.Errorf("%s=%v", key, values)
			}
		}
		if back != s.Published || back == 0 || back == 10 {
			t.Errorf("%d went back, %d published", back, s.Published)
		}
	})
}

// What a broker refuses in part is known at once: the rest follows with the next poll.
func TestLeasePublishedInPart(t *testing.T) {
	t.Parallel()
	w := leased(t)
	f := w.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	first := w.mustPoll(w.service(support("requested")), poll.Refused)
	if st := w.state(); st.Intent != nil {
		t.Errorf("left behind: %+v", st)
	}
	f.Remove()
	second := w.mustPoll(w.service(support("requested")), poll.Published)
	if first.Published == 0 || first.Published+second.Published != 10 || second.Recovered != "" {
		t.Errorf("published %d, then %d", first.Published, second.Published)
	}
	w.wantMany("1,2")
}

func TestLeaseRunsAtOnce(t *testing.T) {
	t.Parallel()
	w := leased(t)
	a, b := w.service(support("requested")), w.service(support("requested"))
	for range 3 {
		statuses, _ := together(t, []http.HandlerFunc{a.poll, b.poll}, trig, trig, trig)
		for _, status := range statuses {
			if status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		}
	}
	w.mustPoll(a, poll.NothingNew)
	w.wantMany("1,2")
	// Two runs find the same at the same time.
	w.serve(many(3))
	w.half()
	w.serve(many(4))
	a, b = w.later(soon, support("requested")), w.later(soon, support("requested"))
	if _, published := together(t, []http.HandlerFunc{a.poll, b.poll}, trig, trig); published != 10 {
		t.Errorf("published %d", published)
	}
	for key, values := range w.values() {
		if got := fmt.Sprint(values); got != "[1 2 4]" && got != "[1 2 3 4]" {
			t.Errorf("%s=%s", key, got)
		}
	}
}

// The log no longer has what was there: a person decides, and reading is believed before.
func TestLeaseWhoseRecordsAreGone(t *testing.T) {
	t.Parallel()
	w := leased(t)
	w.half()
	gone := kadm.Offsets{}
	end := w.broker.Cluster().PartitionInfo(topic, 0).HighWatermark
	gone.Add(kadm.Offset{Topic: topic, Partition: 0, At: end})
	if _, err := w.admin().DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	later := w.later(soon, support("requested"))
	s := w.mustPoll(later, poll.Stopped)
	if !strings.Contains(s.Error, "riftline offsets settle challenger --committed") || !strings.Contains(s.Error, "begins at") {
		t.Error(s.Error)
	}
	w.mustPoll(later, poll.Stopped)
	if st := w.state(); st.Intent == nil || st.Stopped == "" {
		t.Errorf("%+v", st)
	}
}

func TestLeaseKilledAtEachStep(t *testing.T) {
	for _, c := range []struct {
		situation string
		prepare   func(w *world)
		want      string
	}{
		{"first poll", func(w *world) { w.refuse(); w.serve(many(2)) }, "2,3"},
		{"a change", func(w *world) {
			w.refuse()
			w.serve(many(1))
			w.mustPoll(w.service(support("requested")), poll.Published)
			w.serve(many(2))
		}, "1,2,3"},
		{"recovery of a part", func(w *world) {
			w.refuse()
			w.serve(many(1))
			w.mustPoll(w.service(support("requested")), poll.Published)
			w.serve(many(2))
			w.half()
			w.expire()
		}, "1,2,3"},
	} {
		t.Run(c.situation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.prepare(w)
			file := filepath.Join(w.dir, "trace")
			if status, s, err := w.start(support("requested"), "RIFTLINE_STEP_TRACE="+file).poll(); err != nil || status != http.StatusOK {
				t.Fatalf("%d %s: %s (%v)", status, s.Outcome, s.Error, err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			steps := strings.Fields(string(data))
			if !slices.Contains(steps, "poll.9.produced") || slices.Contains(steps, "poll.6.fenced") {
				t.Fatalf("the poll passed %v", steps)
			}
			for _, name := range steps {
				w := newWorld(t)
				c.prepare(w)
				p := w.start(support("requested"), "RIFTLINE_STEP_KILL="+name)
				if status, s, err := p.poll(); err == nil {
					t.Fatalf("not killed at %s: %d %s: %s", name, status, s.Outcome, s.Error)
				}
				p.awaitEnd()
				w.expire()
				clean := w.service(support("requested"))
				if status, s, _ := post(t, clean.poll, trig); status != http.StatusOK {
					t.Errorf("%s: %d %s: %s", name, status, s.Outcome, s.Error)
				}
				w.serve(many(3))
				w.mustPoll(clean, poll.Published)
				if w.wantMany(c.want); t.Failed() {
					t.Fatalf("killed at %s", name)
				}
			}
		})
	}
}
