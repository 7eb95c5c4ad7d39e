package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

// HeaderEntry is the name of the record header that says which entry a record is of, where records are published without
// a transaction, so that a part of them can be told from the rest.
const HeaderEntry = "riftline-entry"

// ErrIdempotenceRefused says that the brokers do not let this client publish idempotently, not even without
// transactions.
var ErrIdempotenceRefused = errors.New("idempotent publishing is refused")

// leaseClient is a client that publishes idempotently and without transactions.
type leaseClient struct {
	*client
	// sent and answered count the produce requests that were begun to be written and those whose answer was read.
	sent, answered atomic.Int64
}

// OnBrokerWrite counts. It is a hook of the library.
func (p *leaseClient) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == int16(kmsg.Produce) {
		p.sent.Add(1)
	}
}

// OnBrokerRead counts. It is a hook of the library.
func (p *leaseClient) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == int16(kmsg.Produce) && err == nil {
		p.answered.Add(1)
	}
}

func newPlain(k connector.Kafka, log *slog.Logger, largest *atomic.Int64) (*leaseClient, error) {
	p := &leaseClient{}
	c, err := newClient(k, log, func(s settings) []kgo.Opt {
		return append(producing(s, largest), kgo.StopProducerOnDataLossDetected(), kgo.WithHooks(p))
	})
	p.client = c
	return p, err
}

// nobody is a producer id that no broker gives out.
const nobody = math.MaxInt64

// Transactions asks whether the brokers give out the transactional id: nil, or ErrTransactionsRefused. It takes nothing
// over and ends nobody's transaction: it asks for the next epoch of a producer id that nobody has, which a broker refuses
// once it has looked at the rights (KIP-360). Brokers before Kafka 2.5 cannot be asked like this; of them only whether the
// id may be seen is known. Whatever passes is ErrUnreachable or another error, and no refusal.
func (p *Producer) Transactions(ctx context.Context) error {
	if err := p.askForTransactions(ctx); err != nil {
		return fmt.Errorf("asking for transactional id %s: %w", p.id, err)
	}
	return nil
}

func (p *Producer) askForTransactions(ctx context.Context) error {
	versions, err := request[*kmsg.ApiVersionsResponse](ctx, p.client, kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		return err
	}
	newest := int16(-1)
	for _, k := range versions.ApiKeys {
		if k.ApiKey == int16(kmsg.InitProducerID) {
			newest = k.MaxVersion
		}
	}
	switch {
	case newest < 0:
		return fmt.Errorf("%w: %w: the brokers know no transactions", ErrTransactionsRefused, kerr.UnsupportedVersion)
	case newest < 3:
		return p.askForCoordinator(ctx)
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &p.id, int32(p.client.settings.transaction.Milliseconds())
	req.ProducerID, req.ProducerEpoch = nobody, 0
	return p.client.again(ctx, func() (bool, error) {
		resp, err := request[*kmsg.InitProducerIDResponse](ctx, p.client, req)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		return notYet(err) && !errors.Is(err, kerr.ConcurrentTransactions), allowed(err)
	})
}

// askForCoordinator asks for the id's coordinator, which needs DESCRIBE.
func (p *Producer) askForCoordinator(ctx context.Context) error {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = 1, p.id, []string{p.id}
	return p.client.again(ctx, func() (bool, error) {
		resp, err := request[*kmsg.FindCoordinatorResponse](ctx, p.client, req)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
			for _, c := range resp.Coordinators {
				err = errors.Join(err, kerr.ErrorForCode(c.ErrorCode))
			}
		}
		return notYet(err), allowed(err)
	})
}

// allowed makes of what a broker answered to a producer id that nobody has whether the id is given out.
func allowed(err error) error {
	switch {
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch), errors.Is(err, kerr.InvalidProducerIDMapping),
		errors.Is(err, kerr.UnknownProducerID), errors.Is(err, kerr.ConcurrentTransactions), errors.Is(err, kerr.InvalidTransactionTimeout):
		return nil
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.UnsupportedVersion):
		return is(ErrTransactionsRefused, classify(err))
	}
	return classify(err)
}

// Lease makes ready to publish without transactions and returns the high watermarks of the topic's partitions, by
// number: whatever is published after it lies there or behind. ErrIdempotenceRefused; ErrAuthorization,
// ErrAuthentication, ErrUnreachable.
func (p *Producer) Lease(ctx context.Context, topic Topic) ([]int64, error) {
	if err := p.idempotent(ctx); err != nil {
		return nil, fmt.Errorf("preparing to publish to topic %s without transactions: %w", topic.Name, err)
	}
	ends, err := p.client.listOffsets(ctx, topic, -1, false)
	if err != nil {
		return nil, err
	}
	watermarks := make([]int64, topic.Partitions)
	for partition, at := range ends {
		watermarks[partition] = at
	}
	return watermarks, nil
}

// idempotent has the plain client hold a producer id, once.
func (p *Producer) idempotent(ctx context.Context) error {
	if p.plain == nil {
		made, err := newPlain(p.client.settings.Kafka, p.client.log, &p.largest)
		if err != nil {
			return err
		}
		p.plain = made
	}
	k, err := p.plain.get(ctx)
	if err != nil {
		return err
	}
	var pid int64
	err = p.client.again(ctx, func() (bool, error) {
		pid, _, err = k.ProducerID(ctx)
		return notYet(err), err
	})
	switch {
	case err == nil && pid >= 0:
		return nil
	case err == nil:
		err = fmt.Errorf("%w: the brokers know no idempotent producers, which came with Kafka 0.11", ErrIdempotenceRefused)
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		err = fmt.Errorf("%w: %w: it needs IDEMPOTENT_WRITE on the cluster (kafka-acls.sh --add --allow-principal User:NAME --operation IdempotentWrite --cluster), or from Kafka 3.0 on WRITE on the topic", ErrIdempotenceRefused, err)
	default:
		err = classify(err)
	}
	p.plain.reset()
	return err
}

// Delivery is what became of records that were sent without a transaction.
type Delivery struct {
	// There tells of each record whether the topic is known to hold it.
	There []bool
	// Final is true when what is not known to be there is not there, and never will be: every request was answered, and
	// by a refusal.
	Final bool
}

// errPublishing says that a part of the records or all of them were not acknowledged.
var errPublishing = errors.New("not all records were acknowledged")

// Send publishes records idempotently and outside of transactions, and waits for every acknowledgement. Nothing is sent
// after until: the client is closed then. It needs a [Producer.Lease] before, and another one after an error.
//
// With an error the delivery says what is known.
func (p *Producer) Send(ctx context.Context, records []*kgo.Record, until time.Time) (Delivery, error) {
	d, err := p.send(ctx, records, until)
	if err != nil {
		if p.plain != nil {
			p.plain.reset()
		}
		return d, fmt.Errorf("publishing %d records without a transaction: %w", len(records), classify(err))
	}
	return d, nil
}

func (p *Producer) send(ctx context.Context, records []*kgo.Record, until time.Time) (Delivery, error) {
	d := Delivery{There: make([]bool, len(records)), Final: true}
	if p.plain == nil {
		return d, errors.New("the producer was not prepared for it")
	}
	k, err := p.plain.get(ctx)
	if err != nil {
		return d, err
	}
	p.largest.Store(0)
	at := make(map[*kgo.Record]int, len(records))
	for i, r := range records {
		p.largest.Store(max(p.largest.Load(), sizeOf(r)))
		at[r] = i
	}
	if err := ctx.Err(); err != nil {
		return d, fmt.Errorf("the time to publish is over: %w", err)
	}
	// A part of the records helps nobody, so what was begun is seen through, also when the run is told to end meanwhile.
	// What does not return when its context ends is given up, by closing the client, a little later.
	ctx, lingering := linger(ctx, commitLinger)
	defer lingering()
	ctx, cancel := context.WithDeadline(ctx, until.Add(-abandonAfter))
	defer cancel()
	p.plain.sent.Store(0)
	p.plain.answered.Store(0)
	results, err := produceAll(ctx, k, records)
	if err != nil {
		d.Final = false
		return d, err
	}
	for _, r := range results {
		d.There[at[r.Record]] = r.Err == nil
		if r.Err != nil {
			d.Final = d.Final && refused(r.Err)
			err = fmt.Errorf("%w: producing to topic %s: %w", errPublishing, r.Record.Topic, r.Err)
		}
	}
	switch sent := p.plain.sent.Load(); {
	case sent == 0:
		d.Final = true
	case sent != p.plain.answered.Load():
		d.Final = false
	}
	return d, err
}

// refused tells of the error of a record whether a broker that answers with it has not taken the record, and would not
// have taken it with an earlier request either. Of rights that holds unless they are taken away between the two.
func refused(err error) bool {
	for _, one := range []error{
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.UnsupportedForMessageFormat,
		kerr.UnsupportedCompressionType, kerr.PolicyViolation, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
