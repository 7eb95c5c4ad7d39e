package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Since is how much a [Producer.ReadSince] could tell.
type Since struct {
	Topic Topic
	// Gone is set when records may have been there that are gone: what it is, and why.
	Gone string
}

// ReadSince calls each for every record that was written to the topic since its partitions ended at the watermarks and
// has the header riftline-id = id, up to the end that it has when it begins; partitions that were added since are read
// from their beginning. It waits for transactions that are open there, as long as ctx and a reader's patience allow.
//
// What cannot be read any more is no error but Since.Gone: the log was truncated below a watermark, its start has moved
// past one, there are fewer partitions, or clean-up by key has removed single records. ErrTopicMissing, ErrAuthorization,
// ErrAuthentication, ErrUnreachable; ErrSearchUnfinished when records came until ctx was over.
func (p *Producer) ReadSince(ctx context.Context, topic string, watermarks []int64, id string, each func(*kgo.Record)) (Since, error) {
	s, err := p.readSince(ctx, topic, watermarks, id, each)
	if err != nil {
		return s, fmt.Errorf("looking for intent %s in topic %s: %w", id, topic, err)
	}
	return s, nil
}

func (p *Producer) readSince(ctx context.Context, topic string, watermarks []int64, id string, each func(*kgo.Record)) (s Since, err error) {
	c := consumerOf(p.client, p.id)
	defer c.closeLinks()
	topics, err := c.Topics(ctx, []string{topic})
	if err != nil {
		return s, err
	}
	s.Topic = topics[topic]
	end, err := p.client.listOffsets(ctx, s.Topic, -1, false)
	if err != nil {
		return s, err
	}
	before, err := p.client.listOffsets(ctx, s.Topic, -2, false)
	if err != nil {
		return s, err
	}
	if n := int(s.Topic.Partitions); n < len(watermarks) {
		s.Gone = fmt.Sprintf("topic %s has %d partitions and had %d", topic, n, len(watermarks))
	}
	holes, advanced := false, time.Now()
	for partition := range s.Topic.Partitions {
		from := watermarkOf(watermarks, partition)
		if end[partition] < from {
			s.Gone = fmt.Sprintf("partition %d of topic %s ends at %d and had ended at %d: its log was truncated", partition, topic, end[partition], from)
			continue
		}
		part := sinceScan{id: id, each: each, advanced: &advanced, next: max(from, before[partition])}
		err := part.read(ctx, c.Read(s.Topic, partition, part.next, end[partition]))
		if errors.Is(err, ErrOutOfRange) {
			s.Gone = fmt.Sprintf("partition %d of topic %s was truncated while it was read: %v", partition, topic, err)
			continue
		}
		if err != nil {
			return s, err
		}
		holes = holes || part.holes || part.next < end[partition]
	}
	// Asked for once more, as retention may have moved a log's start while it was read.
	after, err := p.client.listOffsets(ctx, s.Topic, -2, false)
	if err != nil {
		return s, err
	}
	for partition := range s.Topic.Partitions {
		if from := watermarkOf(watermarks, partition); after[partition] > from {
			s.Gone = fmt.Sprintf("partition %d of topic %s begins at %d by now, and records from %d on are asked for", partition, topic, after[partition], from)
		}
	}
	if s.Gone != "" || !holes {
		return s, nil
	}
	// The markers and the aborted records of transactions leave such holes too.
	compacted, err := p.compacted(ctx, topic)
	if compacted {
		s.Gone = fmt.Sprintf("topic %s is compacted, and offsets are missing", topic)
	}
	return s, err
}

func watermarkOf(watermarks []int64, partition int32) int64 {
	if int(partition) < len(watermarks) {
		return watermarks[partition]
	}
	return 0
}

// sinceScan reads one partition.
type sinceScan struct {
	id   string
	each func(*kgo.Record)
	// next is the offset behind the last record.
	next int64
	// holes is true when offsets had no record that can be seen.
	holes bool
	// advanced is when the scan last got on.
	advanced *time.Time
}

func (s *sinceScan) read(ctx context.Context, r *Reader) error {
	defer r.Close()
	for {
		records, _, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && time.Since(*s.advanced) < stalled {
				return fmt.Errorf("%w: %w", ErrSearchUnfinished, err)
			}
			return err
		}
		*s.advanced = time.Now()
		for _, record := range records {
			s.holes, s.next = s.holes || record.Offset != s.next, record.Offset+1
			if slices.ContainsFunc(record.Headers, func(h kgo.RecordHeader) bool { return h.Key == HeaderID && string(h.Value) == s.id }) {
				s.each(record)
			}
		}
	}
}
