package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

func later() time.Time { return time.Now().Add(time.Minute) }

func fence(t *testing.T, p *Producer) {
	t.Helper()
	if err := p.Fence(limit(t)); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, p *Producer, topic Topic, m Marker, values ...string) {
	t.Helper()
	if err := p.Publish(limit(t), records(topic.Name, m.ID, values...), topic, m, later()); err != nil {
		t.Fatal(err)
	}
}

// wantMarker compares the marker; an empty id means that there is none.
func wantMarker(t *testing.T, p *Producer, topic Topic, want Marker) {
	t.Helper()
	got, ok, err := p.Marker(limit(t), topic.Name)
	if err != nil || ok != (want.ID != "") || got != want {
		t.Fatalf("marker %+v, %v, %v; want %+v", got, ok, err, want)
	}
}

func wantVisible(t *testing.T, k connector.Kafka, topic Topic, want ...string) {
	t.Helper()
	if got := visible(t, k, topic.Name); !slices.Equal(got, want) {
		t.Fatalf("visible: %d records %.200q, want %d %.200q", len(got), fmt.Sprint(got), len(want), fmt.Sprint(want))
	}
}

func TestPublish(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		id := name(t, "source")
		p := producer(t, k, id)
		wantMarker(t, p, topic, Marker{})
		fence(t, p)
		wantMarker(t, p, topic, Marker{})
		publish(t, p, topic, Marker{"i1", 1}, "a", "b")
		wantMarker(t, p, topic, Marker{"i1", 1})
		// Further parts of the same run need no new fence.
		publish(t, p, topic, Marker{"i2", 2}, "c")
		publish(t, p, topic, Marker{"i3", 3}, "d")
		p.Close()
		other := producer(t, k, id)
		wantMarker(t, other, topic, Marker{"i3", 3})
		fence(t, other)
		publish(t, other, topic, Marker{"i4", 4}, "e")
		wantMarker(t, other, topic, Marker{"i4", 4})
		wantVisible(t, k, topic, "a", "b", "c", "d", "e")
	})
}

func TestMarkerTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		data, markers := makeTopic(t, k, 2, nil), makeTopic(t, k, 1, nil)
		p := producer(t, k, name(t, "source"))
		fence(t, p)
		if err := p.Publish(limit(t), records(data.Name, "i1", "a"), markers, Marker{"i1", 1}, later()); err != nil {
			t.Fatal(err)
		}
		wantMarker(t, p, markers, Marker{"i1", 1})
		wantMarker(t, p, data, Marker{})
		if _, ok, err := p.Marker(limit(t), name(t, "absent")); ok || !errors.Is(err, ErrTopicMissing) {
			t.Errorf("a topic that is not there: %v, %v", ok, err)
		}
	})
}

func TestNotCommitted(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		big := connector.Kafka{Brokers: k.Brokers, Client: map[string]string{"max.request.size": "1000"}}
		for what, attempt := range map[string]func(p *Producer, topic Topic) error{
			"the time is over": func(p *Producer, topic Topic) error {
				return p.Publish(limit(t), records(topic.Name, "i2", "x"), topic, Marker{"i2", 2}, time.Now().Add(-time.Second))
			},
			"the context has ended": func(p *Producer, topic Topic) error {
				ctx, cancel := context.WithCancel(limit(t))
				cancel()
				return p.Publish(ctx, records(topic.Name, "i2", "x"), topic, Marker{"i2", 2}, later())
			},
			"one record is too large": func(p *Producer, topic Topic) error {
				r := records(topic.Name, "i2", "x", "y", "z")
				r[1].Value = bytes.Repeat([]byte("v"), 5000)
				return p.Publish(limit(t), r, topic, Marker{"i2", 2}, later())
			},
			"no records": func(p *Producer, topic Topic) error {
				return p.Publish(limit(t), nil, topic, Marker{"i2", 2}, later())
			},
			"the marker is too long": func(p *Producer, topic Topic) error {
				return p.Publish(limit(t), records(topic.Name, "i2", "x"), topic, Marker{strings.Repeat("m", 4094), 2}, later())
			},
			"the marker's topic is another one by now": func(p *Producer, topic Topic) error {
				other := topic
				other.Name, other.ID = "nowhere", [16]byte{1, 2, 3}
				return p.Publish(limit(t), records(topic.Name, "i2", "x"), other, Marker{"i2", 2}, later())
			},
		} {
			t.Run(what, func(t *testing.T) {
				topic := makeTopic(t, k, 1, nil)
				id := name(t, "source")
				p := producer(t, big, id)
				fence(t, p)
				publish(t, p, topic, Marker{"i1", 1}, "a")
				err := attempt(p, topic)
				if !errors.Is(err, ErrNotCommitted) || errors.Is(err, ErrUnknownOutcome) {
					t.Fatalf("error %v", err)
				}
				if err := p.Publish(limit(t), records(topic.Name, "i2", "x"), topic, Marker{"i2", 2}, later()); !errors.Is(err, ErrNotCommitted) {
					t.Fatalf("publishing again with the same producer: %v", err)
				}
				p.Close()
				next := producer(t, k, id)
				fence(t, next)
				wantMarker(t, next, topic, Marker{"i1", 1})
				publish(t, next, topic, Marker{"i3", 2}, "b")
				wantVisible(t, k, topic, "a", "b")
			})
		}
	})
}

func TestWithoutAFence(t *testing.T) {
	_, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, name(t, "source"))
	if err := p.Publish(limit(t), records(topic.Name, "i", "x"), topic, Marker{"i", 1}, later()); !errors.Is(err, ErrNotCommitted) {
		t.Fatal(err)
	}
}

func TestFencedProducerPublishesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		id := name(t, "source")
		old, other := producer(t, k, id), producer(t, k, id)
		fence(t, old)
		publish(t, old, topic, Marker{"i1", 1}, "a")
		fence(t, other)
		if err := old.Publish(limit(t), records(topic.Name, "i2", "x"), topic, Marker{"i2", 2}, later()); !errors.Is(err, ErrNotCommitted) {
			t.Fatalf("publishing after another's fence: %v", err)
		}
		old.Close()
		// The in-process cluster revives a fenced client, so the other one may have lost its epoch; a real broker does not.
		fence(t, other)
		wantMarker(t, other, topic, Marker{"i1", 1})
		publish(t, other, topic, Marker{"i3", 2}, "b")
		wantVisible(t, k, topic, "a", "b")
	})
}

func TestFencedWhileItPublishes(t *testing.T) {
	for _, at := range []kmsg.Key{kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit} {
		t.Run(at.Name(), func(t *testing.T) {
			c, k := brokers(t)
			topic := makeTopic(t, k, 1, nil)
			old, other := producer(t, k, "source"), producer(t, k, "source")
			fence(t, old)
			var fenced error
			c.ControlKey(at.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				c.SleepControl(func() { fenced = other.Fence(context.Background()) })
				return nil, nil, false
			})
			err := old.Publish(limit(t), records(topic.Name, "i1", "x"), topic, Marker{"i1", 1}, later())
			if fenced != nil || !errors.Is(err, ErrNotCommitted) {
				t.Fatalf("fence %v, publishing %v", fenced, err)
			}
			old.Close()
			fence(t, other)
			wantMarker(t, other, topic, Marker{})
			wantVisible(t, k, topic)
		})
	}
}

func TestFenceAbortsAnOpenTransaction(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		id := name(t, "source")
		dead := producer(t, k, id)
		fence(t, dead)
		raw, err := dead.client.get(limit(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := raw.ProduceSync(limit(t), records(topic.Name, "i1", "x")...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := dead.mark(limit(t), topic, Marker{"i1", 1}); err != nil {
			t.Fatal(err)
		}
		next := producer(t, k, id)
		fence(t, next)
		wantMarker(t, next, topic, Marker{})
		publish(t, next, topic, Marker{"i2", 1}, "a")
		wantVisible(t, k, topic, "a")
		if _, err := next.FindIntent(limit(t), topic.Name, "i1", time.Now()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestErrorsBeforeTheCommit(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit} {
		t.Run(key.Name(), func(t *testing.T) {
			c, k := brokers(t)
			topic := makeTopic(t, k, 1, nil)
			p := producer(t, k, "source")
			fence(t, p)
			publish(t, p, topic, Marker{"i1", 1}, "a")
			c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: kerr.TransactionalIDAuthorizationFailed, Count: -1})
			err := p.Publish(limit(t), records(topic.Name, "i2", "x"), topic, Marker{"i2", 2}, later())
			if !errors.Is(err, ErrNotCommitted) || !errors.Is(err, ErrAuthorization) || errors.Is(err, ErrUnknownOutcome) {
				t.Fatal(err)
			}
			p.Close()
			next := producer(t, k, "source")
			fence(t, next)
			wantMarker(t, next, topic, Marker{"i1", 1})
			wantVisible(t, k, topic, "a")
		})
	}
}

func TestPatienceBeforeTheCommit(t *testing.T) {
	c, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, "source")
	fence(t, p)
	c.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.AddOffsetsToTxn}, Err: kerr.ConcurrentTransactions, Count: 3},
		kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: 2},
		kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ConcurrentTransactions, Count: 2},
	)
	publish(t, p, topic, Marker{"i1", 1}, "a")
	f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.UnstableOffsetCommit, Count: 3})
	wantMarker(t, p, topic, Marker{"i1", 1})
	if f.Hits() != 3 {
		t.Errorf("%d unstable answers were given", f.Hits())
	}
	wantVisible(t, k, topic, "a")
}

func TestLostAnswersToTheCommit(t *testing.T) {
	for _, applied := range []bool{true, false} {
		t.Run(fmt.Sprintf("applied=%v", applied), func(t *testing.T) {
			l := &lossy{}
			c, k := brokers(t, kfake.ListenFn(l.listen))
			topic := makeTopic(t, k, 1, nil)
			p := producer(t, k, "source")
			fence(t, p)
			ctx, cancel := context.WithCancel(limit(t))
			n := 0
			c.ControlKey(kmsg.EndTxn.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				// The first request is carried out or not; every answer is lost. The client sends it again.
				if n++; n > 2 {
					cancel()
				}
				l.deaf.Store(true)
				if n == 1 && applied {
					return nil, nil, false
				}
				l.deaf.Store(false)
				return nil, errors.New("lost"), true
			})
			err := p.Publish(ctx, records(topic.Name, "i1", "x"), topic, Marker{"i1", 1}, later())
			if !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrNotCommitted) {
				t.Fatal(err)
			}
			l.deaf.Store(false)
			p.Close()
			next := producer(t, k, "source")
			fence(t, next)
			if applied {
				wantMarker(t, next, topic, Marker{"i1", 1})
				wantVisible(t, k, topic, "x")
			} else {
				wantMarker(t, next, topic, Marker{})
				wantVisible(t, k, topic)
			}
		})
	}
}

func TestACommitThatIsNone(t *testing.T) {
	c, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, "source")
	fence(t, p)
	publish(t, p, topic, Marker{"i1", 1}, "a")
	c.ControlKey(kmsg.EndTxn.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return req.ResponseKind(), nil, true // success is reported and nothing done
	})
	// The answer for the group's offsets is the old marker as long as it is asked for.
	ctx, cancel := context.WithCancel(limit(t))
	c.ControlKey(kmsg.OffsetFetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		time.AfterFunc(100*time.Millisecond, cancel)
		return nil, nil, false
	})
	err := p.Publish(ctx, records(topic.Name, "i2", "x"), topic, Marker{"i2", 2}, later())
	if !errors.Is(err, ErrUnknownOutcome) || !strings.Contains(err.Error(), "verifying") {
		t.Fatal(err)
	}
	p.Close()
	next := producer(t, k, "source")
	fence(t, next)
	wantMarker(t, next, topic, Marker{"i1", 1})
	wantVisible(t, k, topic, "a")
}

// TestRecordsThatAreThereBeforeTheLibraryKnows holds the library where it has produced a topic's first records and not
// yet stored the partitions that they went to: it would end a transaction that it takes for empty, and report success.
func TestRecordsThatAreThereBeforeTheLibraryKnows(t *testing.T) {
	c, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, "source")
	stored := make(chan struct{})
	store := sync.OnceFunc(func() { close(stored) })
	held := "a record that another one partitions"
	p.client.extra = append(p.client.extra, kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
		return func(r *kgo.Record, _ int) int {
			if string(r.Key) != held {
				return 0
			}
			// The partitions are stored when the last record that waits for them has one; this one gets none.
			<-stored
			return -1
		}
	})))
	t.Cleanup(store)
	fence(t, p)
	raw, err := p.client.get(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	c.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		for _, asked := range req.(*kmsg.MetadataRequest).Topics {
			if asked.Topic != nil && *asked.Topic == topic.Name {
				once.Do(func() { raw.Produce(t.Context(), &kgo.Record{Topic: topic.Name, Key: []byte(held)}, nil) })
			}
		}
		return nil, nil, false
	})
	marked := make(chan struct{}, 1)
	c.ControlKey(kmsg.AddOffsetsToTxn.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case marked <- struct{}{}:
		default:
		}
		c.KeepControl()
		return nil, nil, false
	})
	published := make(chan error, 1)
	go func() {
		published <- p.Publish(limit(t), records(topic.Name, "i1", "a"), topic, Marker{"i1", 1}, later())
	}()
	for ctx := limit(t); c.PartitionInfo(topic.Name, 0).HighWatermark == 0; {
		if pause(ctx, time.Millisecond) != nil {
			t.Fatal("the record is not there")
		}
	}
	// Whoever does not wait here goes on at once.
	select {
	case <-marked:
		t.Error("it went on before the library knew of the records")
	case err := <-published:
		t.Errorf("published: %v", err)
		published <- err
	case <-time.After(500 * time.Millisecond):
	}
	store()
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	wantMarker(t, p, topic, Marker{"i1", 1})
	wantVisible(t, k, topic, "a")
}

func TestForeignMarker(t *testing.T) {
	_, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	c := consumer(t, k, "source")
	if err := c.Commit(limit(t), topic.Name, topic.ID, 0, 5); err != nil {
		t.Fatal(err)
	}
	p := producer(t, k, "source")
	wantMarker(t, p, topic, Marker{}) // no metadata: not a marker at all
}

func TestTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		p := producer(t, k, name(t, "source"))
		missing := name(t, "missing")
		_, err := p.Topic(limit(t), missing)
		want := "kafka-topics.sh --create --topic " + missing + " --partitions 1 --bootstrap-server " + k.Brokers[0]
		if !errors.Is(err, ErrTopicMissing) || !strings.Contains(err.Error(), want) {
			t.Fatal(err)
		}
		made, err := p.CreateTopic(limit(t), missing, connector.TopicCreation{Partitions: 3, Replication: 1, Configs: map[string]string{"retention.ms": "100000"}})
		if err != nil || made.Partitions != 3 || made.ID == [16]byte{} {
			t.Fatalf("%+v, %v", made, err)
		}
		again, err := p.CreateTopic(limit(t), missing, connector.TopicCreation{Partitions: 7, Replication: 1})
		if err != nil || again != made {
			t.Fatalf("%+v, %v", again, err)
		}
		a := admin(t, k)
		if _, err := a.DeleteTopics(limit(t), missing); err != nil {
			t.Fatal(err)
		}
		ctx := limit(t)
		for !errors.Is(err, ErrTopicMissing) {
			if _, err = p.Topic(ctx, missing); ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		recreated, err := p.CreateTopic(limit(t), missing, connector.TopicCreation{Partitions: 1, Replication: 1})
		if err != nil || recreated.ID == made.ID || recreated.Partitions != 1 {
			t.Fatalf("recreated %+v, %v", recreated, err)
		}
		if _, err := a.DeleteTopics(limit(t), missing); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTopicIsRefused(t *testing.T) {
	for refused, class := range map[*kerr.Error]error{
		kerr.PolicyViolation: nil, kerr.InvalidReplicationFactor: nil, kerr.ClusterAuthorizationFailed: ErrAuthorization, kerr.TopicAuthorizationFailed: ErrAuthorization,
	} {
		c, k := brokers(t)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: refused, Count: -1})
		_, err := producer(t, k, "source").CreateTopic(limit(t), "topic", connector.TopicCreation{Partitions: 1, Replication: 3})
		if !errors.Is(err, refused) || class != nil && !errors.Is(err, class) {
			t.Errorf("%s: %v", refused.Message, err)
		}
	}
}

func TestTransactionsRefused(t *testing.T) {
	for _, refused := range []*kerr.Error{kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.InvalidTransactionTimeout} {
		t.Run(refused.Message, func(t *testing.T) {
			c, k := brokers(t)
			p := producer(t, k, "source")
			f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: refused, Count: -1})
			if err := p.Fence(limit(t)); !errors.Is(err, ErrTransactionsRefused) || !errors.Is(err, refused) {
				t.Fatal(err)
			}
			f.Remove()
			fence(t, p)
		})
	}
}

func TestFindIntent(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 2, nil)
		p := producer(t, k, name(t, "source"))
		fence(t, p)
		long := time.Now().Add(-time.Hour)
		want := func(id string, since time.Time, want Found) {
			t.Helper()
			if got, err := p.FindIntent(limit(t), topic.Name, id, since); err != nil || got != want {
				t.Fatalf("intent %s: %v, %v; want %v", id, got, err, want)
			}
		}
		want("i1", long, NotCommitted)
		produce(t, k, &kgo.Record{Topic: topic.Name, Partition: 0, Value: []byte("other")}, &kgo.Record{Topic: topic.Name, Partition: 1, Value: []byte("other")})
		publish(t, p, topic, Marker{"i1", 1}, "a", "b", "c", "d")
		want("i1", long, Committed)
		want("i2", long, NotCommitted)
		// Another producer's open transaction at the end is waited for.
		open := producer(t, k, name(t, "open"))
		fence(t, open)
		raw, err := open.client.get(limit(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := raw.ProduceSync(limit(t), records(topic.Name, "i2", "x")...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		done := make(chan Found, 1)
		go func() {
			found, err := p.FindIntent(limit(t), topic.Name, "i2", long)
			if err != nil {
				t.Error(err)
			}
			done <- found
		}()
		if err := raw.EndTransaction(limit(t), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got != Committed {
			t.Fatalf("intent of another producer: %v", got)
		}
	})
}

func TestFindIntentInALogThatHasLostItsStart(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		begun := time.Now().Truncate(time.Millisecond)
		old := begun.Add(-240 * time.Hour)
		ours := func(at time.Time) *kgo.Record {
			return &kgo.Record{Timestamp: at, Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: HeaderID, Value: []byte("i2")}}}
		}
		for what, tt := range map[string]struct {
			first *kgo.Record
			since time.Time
			want  Found
		}{
			"what is left was written later":         {ours(begun), begun.Add(-time.Hour), Unknown},
			"what is left was written earlier":       {ours(old), begun, NotCommitted},
			"a run that may have been under way":     {ours(begun.Add(-time.Hour)), begun, Unknown},
			"another producer says it is old":        {&kgo.Record{Timestamp: old, Value: []byte("v")}, begun, Unknown},
			"times of records are not to be trusted": {ours(old), time.Time{}, Unknown},
		} {
			t.Run(what, func(t *testing.T) {
				topic := makeTopic(t, k, 1, nil)
				p := producer(t, k, name(t, "source"))
				fence(t, p)
				produce(t, k, &kgo.Record{Topic: topic.Name, Value: []byte("removed")})
				tt.first.Topic = topic.Name
				produce(t, k, tt.first)
				deleteBefore(t, k, topic.Name, 1)
				if got, err := p.FindIntent(limit(t), topic.Name, "i1", tt.since); err != nil || got != tt.want {
					t.Errorf("%v, %v; want %v", got, err, tt.want)
				}
			})
		}
	})
}

func TestOlder(t *testing.T) {
	at := time.Now()
	ours := []kgo.RecordHeader{{Key: HeaderID}}
	for what, tt := range map[string]struct {
		record        kgo.Record
		timestampType int8
		want          bool
	}{
		"by the broker's clock":         {kgo.Record{Timestamp: at.Add(-time.Second)}, logAppendTime, true},
		"not by the broker's clock":     {kgo.Record{Timestamp: at.Add(time.Second), Headers: ours}, logAppendTime, false},
		"by our run's beginning":        {kgo.Record{Timestamp: at.Add(-longestRun - time.Second), Headers: ours}, 0, true},
		"our run may have been at it":   {kgo.Record{Timestamp: at.Add(-time.Second), Headers: ours}, 0, false},
		"another producer's word":       {kgo.Record{Timestamp: at.Add(-1000 * time.Hour)}, 0, false},
		"another producer's, no type":   {kgo.Record{Timestamp: at.Add(-1000 * time.Hour)}, -1, false},
		"another producer with headers": {kgo.Record{Timestamp: at.Add(-1000 * time.Hour), Headers: []kgo.RecordHeader{{Key: "id"}}}, 0, false},
	} {
		if got := older(&tt.record, tt.timestampType, at); got != tt.want {
			t.Errorf("%s: %v, want %v", what, got, tt.want)
		}
	}
}

// A topic that is too long for the time there is and brokers that do not answer are told apart.
func TestFindIntentRunsOutOfTime(t *testing.T) {
	for what, answers := range map[string]bool{"a long topic": true, "silent brokers": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, k := brokers(t)
			topic := makeTopic(t, k, 1, nil)
			p := producer(t, k, "source")
			fence(t, p)
			produce(t, k, records(topic.Name, "i1", "a", "b", "c", "d")...)
			var s scan
			advanced := time.Now().Add(time.Hour)
			if !answers {
				advanced = time.Now().Add(-stalled)
			}
			s.advanced = &advanced
			in := consumer(t, k, "group")
			if _, err := in.Topics(limit(t), []string{topic.Name}); err != nil {
				t.Fatal(err)
			}
			c.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				return nil, errors.New("too late"), true
			})
			ctx, cancel := context.WithDeadline(t.Context(), time.Now())
			defer cancel()
			err := s.read(ctx, in.Read(topic, 0, 0, 4))
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrSearchUnfinished) != answers {
				t.Error(err)
			}
		})
	}
}

func TestFindIntentInACompactedTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, map[string]string{"cleanup.policy": "compact"})
		p := producer(t, k, name(t, "source"))
		fence(t, p)
		publish(t, p, topic, Marker{"i1", 1}, "a")
		for id, want := range map[string]Found{"i1": Committed, "i2": Unknown} {
			if got, err := p.FindIntent(limit(t), topic.Name, id, time.Now()); err != nil || got != want {
				t.Errorf("intent %s: %v, %v; want %v", id, got, err, want)
			}
		}
	})
}
