package kafka

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// longRead makes a link worth while: it costs some requests.
	longRead = 4
	// linkFailures is how often a reader tries a link.
	linkFailures = 3
)

// ask asks for what is at an offset, over a link if there is much to read and the library otherwise. The response is in
// the memory, unless that is nil.
func (r *Reader) ask(k *kgo.Client, leader int32, at int64) (*kmsg.FetchResponse, *memory, error) {
	if r.long && r.version >= 0 && r.failures < linkFailures {
		f, memory, err := r.askLink(leader, at)
		if err == nil || r.ctx.Err() != nil {
			return f, memory, err
		}
		r.failures++
		r.drop()
		r.c.client.log.DebugContext(r.ctx, "a connection for fetches failed; the client's own is used",
			slog.String("topic", r.topic.Name), slog.Int("partition", int(r.partition)), slog.Int("broker", int(leader)), slog.Any("error", err))
	}
	var req kmsg.Request = r.request(at)
	if r.topic.ID == [16]byte{} {
		req = byName{r.request(at)}
	}
	resp, err := k.Broker(int(leader)).Request(r.ctx, req)
	if err != nil {
		return nil, nil, err
	}
	f := resp.(*kmsg.FetchResponse)
	r.version = f.Version
	if len(f.Topics) == 1 && len(f.Topics[0].Partitions) == 1 {
		next, _, _ := extentOf(f.Topics[0].Partitions[0].RecordBatches, at)
		r.long = r.to-next > r.c.longRead*(next-at)
	}
	return f, nil, nil
}

// byName is a fetch that gives its topic's name: with an old inter.broker.protocol.version brokers know the later
// requests, which give the id, and have no ids.
type byName struct{ *kmsg.FetchRequest }

// MaxVersion implements [kmsg.Request].
func (byName) MaxVersion() int16 { return 12 }

// Timeout implements [kmsg.TimeoutRequest], as the library does for the request itself.
func (r byName) Timeout() int32 { return r.MaxWaitMillis }

func (r *Reader) askLink(leader int32, at int64) (*kmsg.FetchResponse, *memory, error) {
	if l := r.link; l != nil && (l.node != leader || l.pending && r.asked != at || !l.pending && !l.usable()) {
		r.drop()
	}
	if r.link == nil {
		l, err := r.c.link(r.ctx, leader)
		if err != nil {
			return nil, nil, err
		}
		r.link, r.unlinked = l, context.AfterFunc(r.ctx, l.close)
	}
	if !r.link.pending {
		if err := r.send(at); err != nil {
			return nil, nil, err
		}
	}
	m := r.memories.get(int(max(r.maxBytes, r.bytes)) + besidesBatches)
	f := kmsg.NewPtrFetchResponse()
	f.Version = r.version
	var err error
	if m.bytes, err = r.link.receive(m.bytes, f); err != nil {
		return nil, nil, err
	}
	return f, m, nil
}

// besidesBatches is room for what a response holds besides batches.
const besidesBatches = 4 << 10

func (r *Reader) send(at int64) error {
	req := r.request(at)
	req.Version = r.version
	r.asked = at
	return r.link.send(req)
}

// askNext asks for what comes next already, so that the broker is busy while what it has sent is looked at. When that
// turns out to end elsewhere, the response is not read.
func (r *Reader) askNext(at, next int64) {
	if l := r.link; l == nil || l.pending || next <= at || next >= r.to || !l.usable() {
		return
	}
	if err := r.send(next); err != nil {
		r.drop()
	}
}

// drop closes the link, which is in no state to be used again.
func (r *Reader) drop() {
	if r.link != nil {
		r.unlinked()
		r.link.close()
		r.link = nil
	}
}

// unlink gives the link to other readers.
func (r *Reader) unlink() {
	if r.link == nil {
		return
	}
	if r.unlinked() {
		r.c.park(r.link)
		r.link = nil
	}
	r.drop()
}
