package kafka

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A producer reads what is longer than a response over a link, too.
func TestAProducerReadsManyResponses(t *testing.T) {
	_, k := brokers(t)
	k.Client = map[string]string{"fetch.max.bytes": "100"}
	const n = 40
	topic := makeTopic(t, k, 1, nil)
	id := name(t, "intent")
	for i := range n {
		produce(t, k, &kgo.Record{Topic: topic.Name, Value: []byte(fmt.Sprint(i)), Headers: []kgo.RecordHeader{{Key: HeaderID, Value: []byte(id)}}})
	}
	p := producer(t, k, name(t, "source"))
	got := 0
	each := func(r *kgo.Record) {
		if string(r.Value) != fmt.Sprint(got%n) {
			t.Errorf("%q comes at place %d", r.Value, got)
		}
		got++
	}
	if _, err := p.ReadAll(limit(t), topic.Name, true, func(r *kgo.Record) error { each(r); return nil }); err != nil || got != n {
		t.Errorf("ReadAll: %d records, %v", got, err)
	}
	if _, err := p.ReadSince(limit(t), topic.Name, []int64{0}, id, each); err != nil || got != 2*n {
		t.Errorf("ReadSince: %d records, %v", got-n, err)
	}
	if found, err := p.FindIntent(limit(t), topic.Name, "another", time.Now().Add(-time.Hour)); err != nil || found != NotCommitted {
		t.Errorf("FindIntent: %v, %v", found, err)
	}

	c := consumerOf(p.client, "")
	if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
		t.Fatal(err)
	}
	if err := drainReader(limit(t), c.Read(topic, 0, 0, n), func(*kgo.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	kept := c.parkedLinks()
	if len(kept) != 1 {
		t.Fatalf("%d links were made", len(kept))
	}
	c.closeLinks()
	if _, err := kept[0].conn.Write([]byte{0}); !errors.Is(err, net.ErrClosed) || len(c.parkedLinks()) != 0 {
		t.Errorf("a link is left open: %v", err)
	}
}
