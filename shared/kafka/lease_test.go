package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
)

// Whoever asks whether transactions are allowed ends nobody's, neither one that is open nor the next one.
func TestAskingForTransactionsTakesNothingOver(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		id := name(t, "source")
		ask := func() {
			t.Helper()
			if err := producer(t, k, id).Transactions(limit(t)); err != nil {
				t.Fatal(err)
			}
		}
		ask() // the id is new
		owner := producer(t, k, id)
		fence(t, owner)
		ask()
		publish(t, owner, topic, Marker{"i1", 1}, "a")
		client, err := owner.client.get(limit(t))
		if err != nil {
			t.Fatal(err)
		}
		records := records(topic.Name, "i2", "b")
		if err := owner.prepare(limit(t), client, records, topic, Marker{"i2", 2}, later()); err != nil {
			t.Fatal(err)
		}
		ask()
		if err := client.EndTransaction(limit(t), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		wantVisible(t, k, topic, "a", "b")
	})
}

func TestWhetherTransactionsAreRefused(t *testing.T) {
	none, old := kversion.Stable(), kversion.Stable()
	for n := range int16(100) {
		if n == int16(kmsg.InitProducerID) {
			none.SetMaxKeyVersion(n, -1)
			old.SetMaxKeyVersion(n, 2)
		}
	}
	for name, c := range map[string]struct {
		opts  []kfake.Opt
		fault kfake.Fault
		want  error
		// passes says that it is worth another try.
		passes bool
	}{
		"no right": {fault: kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed}, want: ErrTransactionsRefused},
		"not even the right to see the coordinator":            {fault: kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.TransactionalIDAuthorizationFailed}, want: ErrTransactionsRefused},
		"no right on the cluster":                              {fault: kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed}, want: ErrTransactionsRefused},
		"brokers without transactions":                         {opts: []kfake.Opt{kfake.MaxVersions(none)}, want: ErrTransactionsRefused},
		"brokers that cannot be asked":                         {opts: []kfake.Opt{kfake.MaxVersions(old)}},
		"brokers that cannot be asked, and no right":           {opts: []kfake.Opt{kfake.MaxVersions(old)}, fault: kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.TransactionalIDAuthorizationFailed}, want: ErrTransactionsRefused},
		"a transaction timeout that is too long is no refusal": {fault: kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.InvalidTransactionTimeout}},
		"a coordinator that is away is no refusal":             {fault: kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.CoordinatorNotAvailable}, want: ErrUnreachable, passes: true},
		"nor one that is loading":                              {fault: kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.CoordinatorLoadInProgress}, passes: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, k := brokers(t, c.opts...)
			if c.fault.Err != nil {
				c.fault.Count = -1
				cluster.Fault(c.fault)
			}
			ctx := limit(t)
			if c.passes {
				short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
				defer cancel()
				ctx = short
			}
			err := producer(t, k, "source").Transactions(ctx)
			if c.want != nil && !errors.Is(err, c.want) || c.want == nil && (err != nil) != c.passes || errors.Is(err, ErrTransactionsRefused) && c.passes {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestIdempotenceRefused(t *testing.T) {
	c, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, "source")
	f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	_, err := p.Lease(limit(t), topic)
	if !errors.Is(err, ErrIdempotenceRefused) || !strings.Contains(err.Error(), "IdempotentWrite") {
		t.Fatal(err)
	}
	f.Remove()
	if _, err := p.Lease(limit(t), topic); err != nil {
		t.Fatal(err)
	}
}

// lease prepares and wants watermarks.
func lease(t *testing.T, p *Producer, topic Topic, want ...int64) {
	t.Helper()
	got, err := p.Lease(limit(t), topic)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("watermarks %v, %v; want %v", got, err, want)
	}
}

func send(t *testing.T, p *Producer, topic Topic, id string, values ...string) {
	t.Helper()
	if d, err := p.Send(limit(t), records(topic.Name, id, values...), later()); err != nil || slices.Contains(d.There, false) {
		t.Fatal(d, err)
	}
}

// since reads what a topic has of an intent, and wants these values, in any order, and what is said to be gone.
func since(t *testing.T, p *Producer, topic Topic, watermarks []int64, id, gone string, want ...string) {
	t.Helper()
	var got []string
	s, err := p.ReadSince(limit(t), topic.Name, watermarks, id, func(r *kgo.Record) { got = append(got, string(r.Value)) })
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) || (gone == "") != (s.Gone == "") || !strings.Contains(s.Gone, gone) {
		t.Fatalf("intent %s since %v: %v, gone %q, %v; want %v, gone %q", id, watermarks, got, s.Gone, err, want, gone)
	}
}

func TestSendWithoutTransactions(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 3, nil)
		p := producer(t, k, name(t, "source"))
		lease(t, p, topic, 0, 0, 0)
		send(t, p, topic, "i1", "a", "b", "c", "d", "e", "f")
		first, err := p.Lease(limit(t), topic)
		if err != nil || first[0]+first[1]+first[2] != 6 {
			t.Fatal(first, err)
		}
		// Others write in between.
		other := producer(t, k, name(t, "source"))
		fence(t, other)
		publish(t, other, topic, Marker{"x", 1}, "a", "x")
		send(t, p, topic, "i2", "b", "g")
		since(t, p, topic, []int64{0, 0, 0}, "i1", "", "a", "b", "c", "d", "e", "f")
		since(t, p, topic, first, "i1", "")
		since(t, p, topic, first, "i2", "", "b", "g")
		since(t, p, topic, first[:1], "i2", "", "b", "g") // partitions were added since
		since(t, p, topic, first, "x", "", "a", "x")
		since(t, p, topic, append(slices.Clone(first), 0), "i2", "has 3 partitions and had 4", "b", "g")
		since(t, p, topic, []int64{first[0], first[1], first[2] + 100}, "x", "was truncated", firstTwo(t, k, topic)...)
		ends, err := p.client.listOffsets(limit(t), topic, -1, false)
		if err != nil {
			t.Fatal(err)
		}
		deletion := kadm.Offsets{}
		for partition, end := range ends {
			if end > first[partition] {
				deletion.Add(kadm.Offset{Topic: topic.Name, Partition: partition, At: end})
			}
		}
		if _, err := admin(t, k).DeleteRecords(limit(t), deletion); err != nil {
			t.Fatal(err)
		}
		since(t, p, topic, first, "i2", "begins at")
	})
}

// firstTwo are those of the values a and x that are not in partition 2.
func firstTwo(t *testing.T, k connector.Kafka, topic Topic) (values []string) {
	t.Helper()
	c := consumer(t, k, "none")
	all, err := c.Topics(limit(t), []string{topic.Name})
	if err != nil {
		t.Fatal(err)
	}
	bounds, err := c.Bounds(limit(t), topic.Name)
	if err != nil {
		t.Fatal(err)
	}
	for partition := range int32(2) {
		r := c.Read(all[topic.Name], partition, 0, bounds[partition].StableEnd)
		_ = drainReader(limit(t), r, func(r *kgo.Record) error {
			if string(r.Headers[0].Value) == "x" {
				values = append(values, string(r.Value))
			}
			return nil
		})
	}
	slices.Sort(values)
	return values
}

// A missing offset in a compacted topic may have been a record of the intent.
func TestReadSinceInACompactedTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		for policy, gone := range map[string]string{"compact": "is compacted", "delete": ""} {
			topic := makeTopic(t, k, 1, map[string]string{"cleanup.policy": policy})
			p := producer(t, k, name(t, "source"))
			lease(t, p, topic, 0)
			send(t, p, topic, "i1", "a")
			since(t, p, topic, []int64{0}, "i1", "", "a")
			other := producer(t, k, name(t, "source"))
			fence(t, other)
			publish(t, other, topic, Marker{"x", 1}, "x") // leaves a marker
			send(t, p, topic, "i2", "b")
			since(t, p, topic, []int64{0}, "i2", gone, "b")
		}
	})
}

// What a broker refuses is known not to be there, and what it has taken beside it is.
func TestSendThatIsRefusedInPart(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, map[string]string{"max.message.bytes": "1000"})
		p := producer(t, k, name(t, "source"))
		lease(t, p, topic, 0)
		send(t, p, topic, "i1", "a")
		all := append(records(topic.Name, "i2", strings.Repeat("l", 2000)), records(topic.Name, "i2", "s")...)
		for n, c := range []struct {
			records []*kgo.Record
			there   bool
		}{{all[:1], false}, {all[1:], true}} {
			d, err := p.Send(limit(t), c.records, later())
			if (err == nil) != c.there || !d.Final || d.There[0] != c.there {
				t.Errorf("%d: %+v, %v", n, d, err)
			}
			lease(t, p, topic, int64(1+n))
		}
		since(t, p, topic, []int64{1}, "i2", "", "s")
	})
}

// enough is how long a broker has for a first answer, on the slowest machine: where none came, nothing was sent.
const enough = 5 * time.Second

func TestSendWhoseOutcomeIsKnownOrNot(t *testing.T) {
	for name, c := range map[string]struct {
		err   *kerr.Error
		final bool
	}{
		"no right":                       {kerr.TopicAuthorizationFailed, true},
		"too large":                      {kerr.MessageTooLarge, true},
		"taken by too few replicas":      {kerr.NotEnoughReplicasAfterAppend, false},
		"an error that nobody knows of":  {kerr.UnknownServerError, false},
		"an epoch that is none any more": {kerr.InvalidProducerEpoch, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, k := brokers(t)
			topic := makeTopic(t, k, 1, nil)
			p := producer(t, k, "source")
			lease(t, p, topic, 0)
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: c.err, Count: -1})
			d, err := p.Send(limit(t), records(topic.Name, "i", "a"), time.Now().Add(abandonAfter+enough))
			if err == nil || d.There[0] || d.Final != c.final {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

// A request whose answer is lost may have been carried out. Its client is closed, and sends nothing more.
func TestSendWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	l := &lossy{}
	cluster, k := brokers(t, kfake.ListenFn(l.listen))
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, "source")
	lease(t, p, topic, 0)
	var losing atomic.Bool
	losing.Store(true)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if losing.Load() {
			l.deaf.Store(true)
		}
		return nil, nil, false
	})
	d, err := p.Send(limit(t), records(topic.Name, "i", "a"), time.Now().Add(abandonAfter+enough))
	if err == nil || d.Final || d.There[0] {
		t.Fatalf("%+v, %v", d, err)
	}
	if !errors.Is(err, ErrUnreachable) && !errors.Is(err, errAbandoned) {
		t.Error(err)
	}
	losing.Store(false)
	l.deaf.Store(false)
	since(t, p, topic, []int64{0}, "i", "", "a")
	lease(t, p, topic, 1)
	send(t, p, topic, "j", "b")
	since(t, p, topic, []int64{0}, "i", "", "a")
}

func TestSendWhenTheTimeIsOver(t *testing.T) {
	_, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, "source")
	for n, until := range []time.Time{time.Now().Add(-time.Hour), time.Now(), later()} {
		lease(t, p, topic, 0)
		ctx := limit(t)
		if n == 2 {
			ended, end := context.WithCancel(ctx)
			end()
			ctx = ended
		}
		d, err := p.Send(ctx, records(topic.Name, "i", "a"), until)
		if err == nil || !d.Final || d.There[0] {
			t.Fatalf("%d: %+v, %v", n, d, err)
		}
	}
	if d, err := producer(t, k, "source").Send(limit(t), records(topic.Name, "i", "a"), later()); err == nil || !d.Final {
		t.Fatal(d, err)
	}
	since(t, p, topic, []int64{0}, "i", "")
	if got := fmt.Sprint(visible(t, k, topic.Name)); got != "[]" {
		t.Error(got)
	}
}

// A user who may write to a topic and has no transactional id, judged by Kafka's own authorizer: RIFTLINE_KAFKA_SECURE
// names the file that "scripts/kafka.sh start --secure" leaves, DIR/env.
func TestRightsWithoutTransactions(t *testing.T) {
	path := os.Getenv("RIFTLINE_KAFKA_SECURE")
	if path == "" {
		t.Skip("RIFTLINE_KAFKA_SECURE (the env file of a secured broker) is not set")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[key] = value
	}
	all := connector.Kafka{Brokers: []string{env["BOOTSTRAP"]}}
	limited := connector.Kafka{Brokers: []string{env["SASL_PLAINTEXT"]}, Protocol: "SASL_PLAINTEXT",
		SASL: connector.SASL{Mechanism: "PLAIN", User: env["LIMITED_USER"], Password: secret.New(env["LIMITED_PASSWORD"])}}
	topic := makeTopic(t, all, 1, nil)
	p := producer(t, limited, name(t, "source"))
	if err := p.Transactions(limit(t)); !errors.Is(err, ErrTransactionsRefused) {
		t.Fatal(err)
	}
	if _, err := p.Lease(limit(t), topic); !errors.Is(err, ErrIdempotenceRefused) {
		t.Fatal(err)
	}
	rights := kadm.NewACLs().Allow("User:"+env["LIMITED_USER"]).AllowHosts("*").Topics(topic.Name).ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpRead, kadm.OpWrite, kadm.OpDescribe)
	if _, err := admin(t, all).CreateACLs(limit(t), rights); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = admin(t, all).DeleteACLs(context.WithoutCancel(t.Context()), rights) }()
	for ctx := limit(t); ; { // an authorizer learns of a right a moment later
		if _, err = p.Lease(ctx, topic); err == nil || !errors.Is(err, ErrIdempotenceRefused) && !errors.Is(err, ErrAuthorization) {
			break
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			break
		}
	}
	lease(t, p, topic, 0)
	send(t, p, topic, "i", "a", "b")
	since(t, p, topic, []int64{0}, "i", "", "a", "b")
	if err := p.Transactions(limit(t)); !errors.Is(err, ErrTransactionsRefused) {
		t.Fatal(err)
	}
	if _, _, err := p.Marker(limit(t), topic.Name); !errors.Is(err, ErrAuthorization) {
		t.Fatal(err)
	}
}
