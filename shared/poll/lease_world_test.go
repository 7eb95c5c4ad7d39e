package poll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/schema"
)

// The client's calls without transactions.

func (c *client) Transactions(context.Context) error {
	return c.p.do("transactions", func() error {
		if c.p.w.refusing {
			return fmt.Errorf("%w: not authorized", kafka.ErrTransactionsRefused)
		}
		return nil
	})
}

func (c *client) Lease(context.Context, kafka.Topic) (watermarks []int64, err error) {
	err = c.p.do("lease", func() error {
		if c.p.w.barring {
			return kafka.ErrIdempotenceRefused
		}
		watermarks = []int64{int64(len(c.p.w.raw))}
		return nil
	})
	return watermarks, err
}

// errRejected is what a broker answers that has not taken a record and never will.
var errRejected = errors.New("message too large")

// Send has two points for each record. They go from the last to the first, as if each was in a partition of its own.
func (c *client) Send(_ context.Context, records []*kgo.Record, _ time.Time) (kafka.Delivery, error) {
	if c.broken {
		c.p.w.t.Error("a client that saw an error was used again")
	}
	c.broken = true
	d := kafka.Delivery{There: make([]bool, len(records)), Final: true}
	var failed error
	for i, r := range slices.Backward(records) {
		err := c.p.do("send", func() error { c.p.w.append(r); return nil })
		if d.There[i] = err == nil; err != nil {
			d.Final = d.Final && errors.Is(err, errRejected)
			failed = err
		}
	}
	c.broken = failed != nil
	return d, failed
}

// append takes a record that is in no transaction.
func (w *world) append(r *kgo.Record) {
	value := tombstone
	if r.Value != nil {
		_, body, ok := schema.ParseHeader(r.Value)
		if !ok {
			w.t.Errorf("record %q has no schema id", r.Key)
			return
		}
		value = valueOf(body)
	}
	if len(r.Headers) == 0 || r.Headers[0].Key != kafka.HeaderID {
		w.t.Errorf("record %q has no riftline-id", r.Key)
		return
	}
	sent := *r // a request that is on its way does not change any more
	r.Offset = int64(len(w.raw))
	w.log = append(w.log, published{string(r.Key), value, string(r.Headers[0].Value)})
	w.raw = append(w.raw, &sent)
}

func (c *client) ReadSince(_ context.Context, _ string, watermarks []int64, id string, each func(*kgo.Record)) (s kafka.Since, err error) {
	var found []*kgo.Record
	err = c.p.do("since", func() error {
		w := c.p.w
		if w.missing {
			return kafka.ErrTopicMissing
		}
		if w.long {
			return kafka.ErrSearchUnfinished
		}
		s = kafka.Since{Topic: w.topic, Gone: w.gone}
		for _, r := range w.raw[min(watermarks[0], int64(len(w.raw))):] {
			if string(r.Headers[0].Value) == id {
				found = append(found, r)
			}
		}
		return nil
	})
	if err == nil {
		for _, r := range found {
			each(r)
		}
	}
	return s, err
}

// refused is a world whose brokers allow no transactions, and whose connector goes on without.
func (w *world) refused() *world {
	w.requested, w.refusing, w.unreplayed = true, true, true
	return w
}
