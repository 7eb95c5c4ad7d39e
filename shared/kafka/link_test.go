package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
)

const linkedBatches, linkedEach = 40, 3

func linkedValue(n int) string { return fmt.Sprintf("%0200d", n) }

// linkedTopic makes a topic of many batches, and a consumer that knows it.
func linkedTopic(t *testing.T, k connector.Kafka) (Topic, *Consumer) {
	t.Helper()
	topic := makeTopic(t, k, 1, nil)
	for i := range linkedBatches {
		var all []*kgo.Record
		for j := range linkedEach {
			all = append(all, &kgo.Record{Topic: topic.Name, Value: []byte(linkedValue(i*linkedEach + j))})
		}
		produce(t, k, all...)
	}
	c := consumer(t, k, "none")
	if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
		t.Fatal(err)
	}
	return topic, c
}

// readLinked reads all of the topic, calls between after each batch, and wants every value once and in order. Batches are
// released as soon as they are read.
func readLinked(t *testing.T, r *Reader, between func()) {
	t.Helper()
	defer r.Close()
	n := 0
	for {
		b, err := r.NextBatch(limit(t))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		wantLinked(t, b, &n)
		b.Release()
		if between != nil {
			between()
		}
	}
	if n != linkedBatches*linkedEach {
		t.Fatalf("%d records were read", n)
	}
}

func wantLinked(t *testing.T, b *Batch, n *int) {
	t.Helper()
	var record kgo.Record
	for {
		ok, err := b.Next(&record)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		if record.Offset != int64(*n) || string(record.Value) != linkedValue(*n) {
			t.Fatalf("record %d: offset %d, %q", *n, record.Offset, record.Value)
		}
		*n++
	}
}

func (c *Consumer) parkedLinks() (all []*link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, some := range c.links {
		all = append(all, some...)
	}
	return all
}

func TestLink(t *testing.T) {
	ca := newAuthority(t)
	overTLS := func(k connector.Kafka) connector.Kafka {
		k.TLS = connector.TLS{CA: ca.pem}
		return k
	}
	listener := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{ca.pair(t, "127.0.0.1")}})
	as := func(m string) connector.SASL {
		return connector.SASL{Mechanism: m, User: "user", Password: secret.New(password)}
	}
	for _, s := range []struct {
		name, protocol string
		sasl           connector.SASL
		opts           []kfake.Opt
	}{
		{"plaintext", "PLAINTEXT", connector.SASL{}, nil},
		{"TLS", "SSL", connector.SASL{}, []kfake.Opt{listener}},
		{"PLAIN", "SASL_PLAINTEXT", as("PLAIN"), []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", password)}},
		{"SCRAM and TLS", "SASL_SSL", as("SCRAM-SHA-512"), []kfake.Opt{listener, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "user", password)}},
	} {
		t.Run(s.name, func(t *testing.T) {
			_, k := brokers(t, s.opts...)
			k.Protocol, k.SASL = s.protocol, s.sasl
			if s.protocol == "SSL" || s.protocol == "SASL_SSL" {
				k = overTLS(k)
			}
			topic, c := linkedTopic(t, k)
			var before *link
			for range 3 {
				r := c.Read(topic, 0, 0, linkedBatches*linkedEach)
				readLinked(t, r, nil)
				if r.failures != 0 {
					t.Errorf("%d links failed", r.failures)
				}
				if n := len(r.memories.free); n == 0 || n > alive {
					t.Errorf("%d buffers were used for %d responses", n, linkedBatches)
				}
				all := c.parkedLinks()
				if len(all) != 1 || before != nil && all[0] != before {
					t.Fatalf("%d links are kept, not the one of before", len(all))
				}
				before = all[0]
			}
			// The broker ends a connection whose time is over.
			before.expires = time.Now()
			readLinked(t, c.Read(topic, 0, 0, linkedBatches*linkedEach), nil)
			if all := c.parkedLinks(); len(all) != 1 || all[0] == before {
				t.Errorf("a link whose time is over is used")
			}
		})
	}
}

// A batch that is not released keeps its content, whatever is read after it.
func TestLinkedMemoryIsNotTakenAway(t *testing.T) {
	_, k := brokers(t)
	topic, c := linkedTopic(t, k)
	r := c.Read(topic, 0, 0, linkedBatches*linkedEach)
	defer r.Close()
	var kept []*Batch
	n := 0
	for {
		b, err := r.NextBatch(limit(t))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, b)
		if len(kept) == 5 {
			for _, b := range kept {
				wantLinked(t, b, &n)
				b.Release()
			}
			kept = nil
		}
	}
	for _, b := range kept {
		wantLinked(t, b, &n)
	}
	if n != linkedBatches*linkedEach {
		t.Errorf("%d records were read", n)
	}
}

func TestLinkLost(t *testing.T) {
	l := &lossy{}
	_, k := brokers(t, kfake.ListenFn(l.listen))
	topic, c := linkedTopic(t, k)
	batches := 0
	readLinked(t, c.Read(topic, 0, 0, linkedBatches*linkedEach), func() {
		if batches++; batches%9 == 0 {
			l.breakAll()
		}
	})
}

// Where no link can be made, the library's connection reads everything.
func TestNoLink(t *testing.T) {
	_, k := brokers(t)
	topic, c := linkedTopic(t, k)
	c.client.mu.Lock()
	for node := range c.client.addresses {
		c.client.addresses[node] = "127.0.0.1:1"
	}
	c.client.mu.Unlock()
	r := c.Read(topic, 0, 0, linkedBatches*linkedEach)
	readLinked(t, r, nil)
	if r.failures != linkFailures {
		t.Errorf("%d tries", r.failures)
	}
}

func TestLinkAndANewLeader(t *testing.T) {
	cluster, k := brokers(t, kfake.NumBrokers(2))
	topic, c := linkedTopic(t, k)
	batches := 0
	readLinked(t, c.Read(topic, 0, 0, linkedBatches*linkedEach), func() {
		if batches++; batches%10 == 0 {
			if err := cluster.MoveTopicPartition(topic.Name, 0, int32(batches/10%2)); err != nil {
				t.Error(err)
			}
		}
	})
}

// A response whose end is damaged was followed by a request already; what that one is answered is not taken.
func TestLinkAndADamagedBatch(t *testing.T) {
	cluster, k := brokers(t)
	topic, c := linkedTopic(t, k)
	var fetches, damaged atomic.Int64
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		f := req.(*kmsg.FetchRequest)
		at := f.Topics[0].Partitions[0].FetchOffset
		if fetches.Add(1)%7 != 3 {
			return nil, nil, false
		}
		damaged.Add(1)
		resp := f.ResponseKind().(*kmsg.FetchResponse)
		one := kmsg.NewFetchResponseTopic()
		one.Topic, one.TopicID = f.Topics[0].Topic, f.Topics[0].TopicID
		part := kmsg.NewFetchResponseTopicPartition()
		part.HighWatermark, part.LastStableOffset = linkedBatches*linkedEach, linkedBatches*linkedEach
		for i := range int64(2) { // the first one is sound
			records := recordAt(0, linkedValue(int(at+i)))
			part.RecordBatches = append(part.RecordBatches, madeBatch{first: at + i, version: 2, count: 1, producer: -1, records: records, damagedSum: i == 1}.bytes(t)...)
		}
		one.Partitions = append(one.Partitions, part)
		resp.Topics = append(resp.Topics, one)
		return resp, nil, true
	})
	readLinked(t, c.Read(topic, 0, 0, linkedBatches*linkedEach), nil)
	if damaged.Load() < 3 {
		t.Errorf("%d of %d responses were damaged", damaged.Load(), fetches.Load())
	}
}

// A broker that stops answering after TLS holds a reader up no longer than its context lasts.
func TestDialEndsWithItsContext(t *testing.T) {
	ca := newAuthority(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.pair(t, "127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var since time.Time
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 1)) // the handshake comes with the first read
			since = time.Now()
			cancel()
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	address := listener.Addr().String()
	c, err := newClient(connector.Kafka{
		Brokers: []string{address}, Protocol: "SASL_SSL", TLS: connector.TLS{CA: ca.pem},
		SASL: connector.SASL{Mechanism: "PLAIN", User: "user", Password: secret.New(password)},
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.dial(ctx, 0, address)
	if ctx.Err() == nil {
		t.Fatalf("before its context: %v", err)
	}
	if !errors.Is(err, net.ErrClosed) || time.Since(since) > 5*time.Second {
		t.Errorf("%s after its context: %v", time.Since(since), err)
	}
}

// recordAt is a record of a batch.
func recordAt(delta int64, value string) []byte {
	body := []byte{0}
	body = binary.AppendVarint(body, 0)
	body = binary.AppendVarint(body, delta)
	body = binary.AppendVarint(body, -1)
	body = append(binary.AppendVarint(body, int64(len(value))), value...)
	body = binary.AppendVarint(body, 0)
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

func TestLinkRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for name, answer := range map[string][]byte{
		"a negative length":      {0xff, 0xff, 0xff, 0xff},
		"a length of nothing":    {0, 0, 0, 0},
		"a length beyond bounds": {0x7f, 0xff, 0xff, 0xff},
		"another request's":      {0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0},
		"a header with fields":   {0, 0, 0, 5, 0, 0, 0, 1, 1},
		"no body":                {0, 0, 0, 4, 0, 0, 0, 1},
		"half a body":            {0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0},
		"the connection's end":   {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			go func() {
				_, _ = theirs.Read(make([]byte, 1<<10))
				_, _ = theirs.Write(answer)
				_ = theirs.Close()
			}()
			l := &link{conn: ours, formatter: kmsg.NewRequestFormatter(), timeout: 5 * time.Second}
			req := kmsg.NewPtrFetchRequest()
			req.Version = 12
			if err := l.send(req); err != nil {
				t.Fatal(err)
			}
			resp := kmsg.NewPtrFetchResponse()
			resp.Version = 12
			if _, err := l.receive(make([]byte, 0, 100), resp); err == nil || l.usable() {
				t.Fatalf("%v; usable %v", err, l.usable())
			}
		})
	}
}

// A broker that refuses what is asked of it over a link is asked by the library.
func TestLinkRefused(t *testing.T) {
	cluster, k := brokers(t)
	topic, c := linkedTopic(t, k)
	var fetches atomic.Int64
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if n := fetches.Add(1); n == 1 || n > 1+linkFailures { // the first one is the library's
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		return resp, nil, true
	})
	r := c.Read(topic, 0, 0, linkedBatches*linkedEach)
	readLinked(t, r, nil)
	if r.failures != linkFailures || len(c.parkedLinks()) != 0 {
		t.Errorf("%d failures, %d links", r.failures, len(c.parkedLinks()))
	}
}
