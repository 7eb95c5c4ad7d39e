package broker

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fencing refuses a fenced transactional producer that asks for a new epoch with its old one, as a real broker does
// (KIP-360) and kfake does not: kfake would give it one and so let it back in.
//
// It sees requests only, not answers, so it reckons: the newest epoch of a transactional id is at least the highest that
// any request carried, plus one for each producer that was started under the id since, plus one if a transaction was
// ended under that epoch by the newer protocol (KIP-890: each end gives a new epoch).
type fencing struct {
	mu  sync.Mutex
	ids map[string]*epochs
}

type epochs struct {
	producer int64
	highest  int16 // that a request carried
	started  int16 // producers since then
	ended    int16 // 1 after an end of a transaction that gives a new epoch
}

// newest is the epoch that the transactional id has by now.
func (e *epochs) newest() int16 { return e.highest + e.started + e.ended }

func (b *Broker) refuseRevival() {
	f := &fencing{ids: map[string]*epochs{}}
	watch := func(key kmsg.Key, see func(kmsg.Request)) {
		b.cluster.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			see(r)
			return nil, nil, false
		})
	}
	watch(kmsg.Produce, func(r kmsg.Request) { f.produced(r.(*kmsg.ProduceRequest)) })
	watch(kmsg.AddPartitionsToTxn, func(r kmsg.Request) {
		req := r.(*kmsg.AddPartitionsToTxnRequest)
		f.seen(req.TransactionalID, req.ProducerID, req.ProducerEpoch)
	})
	watch(kmsg.AddOffsetsToTxn, func(r kmsg.Request) {
		req := r.(*kmsg.AddOffsetsToTxnRequest)
		f.seen(req.TransactionalID, req.ProducerID, req.ProducerEpoch)
	})
	watch(kmsg.TxnOffsetCommit, func(r kmsg.Request) {
		req := r.(*kmsg.TxnOffsetCommitRequest)
		f.seen(req.TransactionalID, req.ProducerID, req.ProducerEpoch)
	})
	watch(kmsg.EndTxn, func(r kmsg.Request) {
		req := r.(*kmsg.EndTxnRequest)
		f.seen(req.TransactionalID, req.ProducerID, req.ProducerEpoch)
		if req.Version >= 5 {
			f.end(req.TransactionalID, req.ProducerID, req.ProducerEpoch)
		}
	})
	b.cluster.ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		req := r.(*kmsg.InitProducerIDRequest)
		if req.TransactionalID == nil || !f.stale(*req.TransactionalID, req.ProducerID, req.ProducerEpoch) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.ProducerFenced.Code
		if req.Version < 4 {
			resp.ErrorCode = kerr.InvalidProducerEpoch.Code
		}
		return resp, nil, true
	})
}

// seen takes note of the epoch that a request carried.
func (f *fencing) seen(id string, producer int64, epoch int16) {
	if id == "" || producer < 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.ids[id]
	switch {
	case e == nil || e.producer != producer:
		// Another producer id under the same transactional id: the epochs of the old one are used up.
		f.ids[id] = &epochs{producer: producer, highest: epoch}
	case epoch > e.highest:
		// An end comes before the producers that were started since: what a new epoch accounts for begins with it.
		more := e.newest() - epoch
		e.highest, e.ended = epoch, 0
		e.started = max(0, more)
	}
}

// end takes note of a transaction's end; a producer that was fenced ends none, and one asked for again is the same.
func (f *fencing) end(id string, producer int64, epoch int16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.ids[id]; e != nil && e.producer == producer && e.highest == epoch && e.started == 0 {
		e.ended = 1
	}
}

// stale reports whether a producer that asks for an epoch was fenced, and counts one that starts anew.
func (f *fencing) stale(id string, producer int64, epoch int16) bool {
	if producer == math.MaxInt64 {
		return false // nobody has this one, and kfake refuses it: whoever asks with it only wants to know whether he may
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.ids[id]
	if producer < 0 {
		if e != nil {
			e.started++
		}
		return false
	}
	if e == nil || e.producer != producer {
		// The first that is heard of this producer since the broker started.
		f.ids[id] = &epochs{producer: producer, highest: epoch, started: 1}
		return false
	}
	if epoch < e.newest() {
		return true
	}
	e.highest, e.started, e.ended = epoch, 1, 0
	return false
}

// produced looks into the batches' headers: with the newer transaction protocol a producer's first request of a
// transaction is Produce. The fields' places are those of record batch format 2.
func (f *fencing) produced(req *kmsg.ProduceRequest) {
	const producerAt, epochAt, headerEnd = 43, 51, 61
	if req.TransactionID == nil {
		return
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if len(p.Records) >= headerEnd {
				f.seen(*req.TransactionID, int64(binary.BigEndian.Uint64(p.Records[producerAt:])), int16(binary.BigEndian.Uint16(p.Records[epochAt:])))
			}
		}
	}
}
