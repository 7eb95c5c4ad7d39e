package poller

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/poll"
)

func TestFault12OpenTransactionOfAnotherSourcePartition(t *testing.T) {
	t.Parallel()
	w := change(t)
	other, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.TransactionalID("riftline-other-0000000000000000"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		if err := other.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: p, Key: []byte("z"), Value: []byte("open")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w.die() // what it announced is recovered beside the open transaction
	if s := w.mustPoll(w.later(soon), poll.Published); s.Recovered != "not_committed" {
		t.Errorf("recovered %q", s.Recovered)
	}
	w.serve("a=3 b=1 c=1")
	w.mustPoll(w.later(soon), poll.Published)
	if err := other.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	w.wantValues("a=1,2,3 b=1 c=1")
}

func TestFault14UnstableMarkerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := change(t)
	w.die()
	unstable := w.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.UnstableOffsetCommit, Count: 3})
	if s := w.mustPoll(w.later(soon), poll.Published); s.Recovered != "not_committed" {
		t.Errorf("recovered %q", s.Recovered)
	}
	if unstable.Hits() != 3 {
		t.Errorf("%d unstable answers were given", unstable.Hits())
	}
	w.wantValues("a=1,2 b=1 c=1")
}

func TestFault17RecordsThatKafkaDoesNotTakeAreReleased(t *testing.T) {
	t.Parallel()
	t.Run("a record is too large", func(t *testing.T) {
		w := change(t)
		w.serve("a=2 b=1 " + strings.Repeat("x", 3<<20) + "=1")
		s := w.service()
		if _, summary, _ := post(t, s.poll, trig); !summary.Outcome.Failed() || summary.Published != 0 {
			t.Errorf("%s, published %d", summary.Outcome, summary.Published)
		}
		w.released()
		w.serve("a=2 b=1 c=1")
		w.mustPoll(s, poll.Published)
		w.wantValues("a=1,2 b=1 c=1")
	})
	t.Run("the records' time is over", func(t *testing.T) {
		w := change(t)
		refusal := w.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		s := w.service("CONNECT_PRODUCER_DELIVERY_TIMEOUT_MS=5000", "CONNECT_PRODUCER_REQUEST_TIMEOUT_MS=4000", "CONNECT_PRODUCER_LINGER_MS=0")
		if _, summary, _ := post(t, s.poll, trig); summary.Outcome != poll.Unavailable || summary.Published != 0 {
			t.Errorf("%s, published %d: %s", summary.Outcome, summary.Published, summary.Error)
		}
		w.released()
		refusal.Remove()
		w.mustPoll(s, poll.Published)
		w.wantValues("a=1,2 b=1 c=1")
	})
}

// released wants that nothing is left of a run that failed.
func (w *world) released() {
	w.t.Helper()
	if st := w.state(); st.Intent != nil || st.Claim != nil || st.Stopped != "" || st.Commits != 1 {
		w.t.Errorf("left behind: %+v", st)
	}
}

// Thirteen hours after a run died its marker may have expired, and the topic has to tell.
func TestFault18MarkerThatHasExpired(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		situation string
		committed bool
		moved     bool
		want      poll.Outcome
		recovered string
		values    string
	}{
		{"the records are in the topic", true, false, poll.NothingNew, "committed", "a=1,2 b=1 c=1"},
		{"they are not, and it reaches back", false, false, poll.Published, "not_committed", "a=1,2 b=1 c=1"},
		{"they are not, and it has lost its beginning", false, true, poll.Stopped, "", ""},
	} {
		t.Run(c.situation, func(t *testing.T) {
			w := change(t)
			if c.committed {
				var gone atomic.Bool
				dead := w.disturbed(func(call string, after bool) error {
					if gone.Load() || call == "publish" && after {
						gone.Store(true)
						return errDead
					}
					return nil
				}, nil)
				if _, s, _ := post(t, dead.poll, trig); s.Outcome != poll.Unknown {
					t.Fatalf("%s: %s", s.Outcome, s.Error)
				}
			} else {
				w.die()
			}
			w.forgetMarker()
			if c.moved {
				w.moveStart()
			}
			if s := w.mustPoll(w.later(13*time.Hour), c.want); s.Recovered != c.recovered {
				t.Errorf("recovered %q, want %q", s.Recovered, c.recovered)
			}
			if c.want == poll.Stopped {
				w.mustPoll(w.later(14*time.Hour), poll.Stopped)
				return
			}
			w.wantValues(c.values)
		})
	}
}

// moveStart removes the beginning of each partition that holds something, as retention does.
func (w *world) moveStart() {
	w.t.Helper()
	upTo := kadm.Offsets{}
	for p := range int32(partitions) {
		if end := w.broker.Cluster().PartitionInfo(topic, p).HighWatermark; end > 0 {
			upTo.Add(kadm.Offset{Topic: topic, Partition: p, At: end, LeaderEpoch: -1})
		}
	}
	if res, err := w.admin().DeleteRecords(w.t.Context(), upTo); err != nil || res.Error() != nil {
		w.t.Fatal(err, res.Error())
	}
}
