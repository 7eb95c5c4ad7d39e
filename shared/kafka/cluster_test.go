package kafka

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

// brokers starts an in-process cluster of one broker, unless options say otherwise.
func brokers(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, connector.Kafka) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, connector.Kafka{Brokers: c.ListenAddrs()}
}

// everywhere runs a test against the in-process cluster and, if RIFTLINE_KAFKA has its address, a real broker.
func everywhere(t *testing.T, test func(t *testing.T, k connector.Kafka)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) {
		_, k := brokers(t)
		test(t, k)
	})
	t.Run("broker", func(t *testing.T) {
		address := os.Getenv("RIFTLINE_KAFKA")
		if address == "" {
			t.Skip("RIFTLINE_KAFKA (host:port of a real broker) is not set")
		}
		test(t, connector.Kafka{Brokers: strings.Split(address, ",")})
	})
}

var unique atomic.Int64

// name is a name that no other test has, on a broker that outlives the test too.
func name(t *testing.T, what string) string {
	t.Helper()
	return fmt.Sprintf("riftline-%s-%d-%d", what, time.Now().UnixNano(), unique.Add(1))
}

func admin(t *testing.T, k connector.Kafka, opts ...kgo.Opt) *kadm.Client {
	t.Helper()
	base, err := Options(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

// makeTopic creates a topic and returns it as the consumer sees it.
func makeTopic(t *testing.T, k connector.Kafka, partitions int32, configs map[string]string) Topic {
	t.Helper()
	p := producer(t, k, name(t, "maker"))
	topic, err := p.CreateTopic(limit(t), name(t, "topic"), connector.TopicCreation{Partitions: partitions, Replication: -1, Configs: configs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = admin(t, k).DeleteTopics(ctx, topic.Name)
	})
	return topic
}

func producer(t *testing.T, k connector.Kafka, id string) *Producer {
	t.Helper()
	p, err := NewProducer(k, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// consumer is one whose responses hold a batch each, so that all but the first are read over a link.
func consumer(t *testing.T, k connector.Kafka, group string) *Consumer {
	t.Helper()
	c, err := NewConsumer(k, group, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.longRead, c.share = 0, 100
	t.Cleanup(c.Close)
	return c
}

// limit is a context for whatever should take a moment.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func records(topic, id string, values ...string) []*kgo.Record {
	var out []*kgo.Record
	for _, v := range values {
		out = append(out, &kgo.Record{
			Topic: topic, Partition: 0, Key: []byte(v), Value: []byte(v), Headers: []kgo.RecordHeader{{Key: HeaderID, Value: []byte(id)}},
		})
	}
	return out
}

// produce sends records one batch each, without transactions.
func produce(t *testing.T, k connector.Kafka, records ...*kgo.Record) {
	t.Helper()
	opts, err := Options(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, r := range records {
		if err := c.ProduceSync(limit(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// visible reads the committed values of partition 0 up to its stable end.
func visible(t *testing.T, k connector.Kafka, topic string) []string {
	t.Helper()
	c := consumer(t, k, "none")
	all, err := c.Topics(limit(t), []string{topic})
	if err != nil {
		t.Fatal(err)
	}
	b := settled(t, c, all[topic])
	values, next := readAll(t, c.Read(all[topic], 0, b.Start, b.StableEnd))
	if next != b.StableEnd {
		t.Fatalf("reading ended at %d and not at %d", next, b.StableEnd)
	}
	return values
}

// settled waits until no transaction is open in partition 0 (a broker answers a commit before it has written the
// transaction's markers) and returns the bounds.
func settled(t *testing.T, c *Consumer, topic Topic) Bounds {
	t.Helper()
	for ctx := limit(t); ; {
		end, err := c.client.listOffsets(ctx, topic, -1, false)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Bounds(ctx, topic.Name)
		if err != nil {
			t.Fatal(err)
		}
		if b[0].StableEnd == end[0] {
			return b[0]
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("bounds %+v, end %d", b[0], end[0])
		}
	}
}

// lossy is a listener whose connections can be told to break instead of carrying an answer.
type lossy struct {
	deaf atomic.Bool
	mu   sync.Mutex
	all  []net.Conn
}

func (l *lossy) listen(network, address string) (net.Listener, error) {
	in, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return lossyListener{in, l}, nil
}

// breakAll closes every connection there is.
func (l *lossy) breakAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.all {
		_ = c.Close()
	}
	l.all = nil
}

type lossyListener struct {
	net.Listener
	l *lossy
}

func (l lossyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.l.mu.Lock()
	defer l.l.mu.Unlock()
	l.l.all = append(l.l.all, c)
	return lossyConn{c, l.l}, nil
}

type lossyConn struct {
	net.Conn
	l *lossy
}

func (c lossyConn) Write(b []byte) (int, error) {
	if c.l.deaf.Load() {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}
