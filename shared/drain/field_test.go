package drain

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestLeadersMoveDuringTheDrain: a broker that restarts hands its partitions on, and a request may get nothing but an
// error from it.
func TestLeadersMoveDuringTheDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	if _, _, err := w.cluster.AddNode(-1, 0); err != nil {
		t.Fatal(err)
	}
	w.sink.MemoryMax = 1 // a plan for each file, so that there is much to read and to commit in between
	w.sink.FlushSize = 2
	for range 10 {
		w.produce(0, 1, 2)
		w.transaction(0, 2, true)
	}
	d := w.deps()
	moves := 0
	d.Heads = &hookedHeads{Heads: d.Heads, after: func(n int) {
		moves++
		if err := w.cluster.MoveTopicPartition(topicName, 0, int32(n%2)); err != nil {
			t.Error(err)
		}
	}}
	w.drainWith(w.sink, d, Drained)
	if moves < 5 {
		t.Fatalf("%d moves", moves)
	}
	w.verify()
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
}

func TestBrokerAnswersWithErrorsDuringTheDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 20)...)
	var fetches, commits atomic.Int32
	w.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		switch fetches.Add(1) {
		case 1:
			return nil, errors.New("the connection breaks"), true
		case 2:
			f := req.(*kmsg.FetchRequest)
			resp := req.ResponseKind().(*kmsg.FetchResponse)
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.TopicID = f.Topics[0].Topic, f.Topics[0].TopicID
			p := kmsg.NewFetchResponseTopicPartition()
			p.ErrorCode = kerr.NotLeaderForPartition.Code
			topic.Partitions = append(topic.Partitions, p)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		}
		return nil, nil, false
	})
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if commits.Add(1) > 2 {
			return nil, nil, false
		}
		r := req.(*kmsg.OffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		topic := kmsg.NewOffsetCommitResponseTopic()
		topic.Topic, topic.TopicID = r.Topics[0].Topic, r.Topics[0].TopicID
		p := kmsg.NewOffsetCommitResponseTopicPartition()
		p.ErrorCode = kerr.NotCoordinator.Code
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	w.drain(Drained)
	if fetches.Load() < 3 || commits.Load() < 3 {
		t.Fatalf("%d fetches, %d commits", fetches.Load(), commits.Load())
	}
	w.verify()
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
}

// TestPartitionsAreAddedBetweenRuns: the new ones begin at their start, whichever task they fall to.
func TestPartitionsAreAddedBetweenRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.produce(0, repeat(1, 4)...)
	w.produce(1, repeat(1, 4)...)
	w.drain(Drained)
	if _, err := w.admin.UpdatePartitions(w.ctx, 5, topicName); err != nil {
		t.Fatal(err)
	}
	w.connect()
	for p := range int32(5) {
		w.produce(p, 1, 2, 1, 1)
	}
	for task := range 3 {
		d := w.deps()
		d.Task, d.Tasks = task, 3
		w.drainWith(w.sink, d, Drained)
	}
	w.verify()
	for p := range int32(5) {
		if h := w.head(p); h.Start != 0 || w.lag(p) != 0 {
			t.Errorf("partition %d: lag %d, %+v", p, w.lag(p), h)
		}
	}
}

// TestSegmentsAreDeletedBetweenRuns: retention takes whole segments; what is lost is said, never passed over.
func TestSegmentsAreDeletedBetweenRuns(t *testing.T) {
	t.Parallel()
	for _, reset := range []string{"earliest", "latest", "none"} {
		t.Run(reset, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.sink.OffsetReset = reset
			if reset == "none" {
				w.commit(0, 0)
			}
			if reset == "latest" {
				w.drain(NothingNew)
			}
			w.produce(0, repeat(1, 4)...)
			w.drain(Drained)
			w.produce(0, repeat(1, 6)...)
			w.deleteRecords(7)
			if reset == "none" {
				wantText(t, w.drain(Stopped).Partitions[0].Stopped, "offsets 4 to 6 were removed", "riftline offsets set gcs-sink challenger/0 7")
				w.apply(Change{Verb: Set, Offset: 7})
				w.drain(Drained)
			} else if sum := w.drain(Drained); sum.Partitions[0].Lost != 3 {
				t.Fatalf("%+v", sum)
			}
			w.wantRecords(object(0, 7), 8, 9, 10)
			w.verify()
		})
	}
}

// TestNoPhantomLagOnCompactedOffsets: the drain ends where the log ends, though nothing is left there to be read.
func TestNoPhantomLagOnCompactedOffsets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.compacted()
	w.produce(0, repeat(1, 3)...)
	w.drain(Drained)
	w.keyed("a")
	w.keyed("a")
	w.keyed("b")
	w.lose(w.next - 2)
	w.transaction(0, 2, false)
	w.cluster.Compact()
	if _, ok := w.topic(0)[3]; ok {
		t.Fatal("nothing was compacted")
	}
	w.drain(Drained)
	w.verify()
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
	w.drain(NothingNew)
}
