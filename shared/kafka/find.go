package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Found is what a search for an intent's records came to.
type Found uint8

// The outcomes of [Producer.FindIntent].
const (
	// Unknown says that the topic no longer tells.
	Unknown Found = iota
	// Committed says that a record of the intent is there.
	Committed
	// NotCommitted says that none is there and that none can have been removed.
	NotCommitted
)

// String names the outcome.
func (f Found) String() string {
	return [...]string{"unknown", "committed", "not committed"}[f]
}

// FindIntent looks in the whole topic for a committed record with the header riftline-id = id. It reads up to the end
// that the topic has when it begins, transactions that are open then included: it waits for them as long as ctx and a
// reader's patience allow. Fence before, so that the intent's own transaction is decided.
//
// NotCommitted is returned only if every partition still reaches back before since and the topic is not compacted. A
// partition does so when its log start is 0, or when its first record is older: by the broker's clock, or, of a record
// with the header riftline-id, by the beginning of the run that wrote it. Another producer's word is not taken.
//
// ErrSearchUnfinished when records came until ctx was over; another search needs more time.
func (p *Producer) FindIntent(ctx context.Context, topic, id string, since time.Time) (Found, error) {
	found, err := p.find(ctx, topic, id, since)
	if err != nil {
		return Unknown, fmt.Errorf("looking for intent %s in topic %s: %w", id, topic, err)
	}
	return found, nil
}

func (p *Producer) find(ctx context.Context, topic, id string, since time.Time) (Found, error) {
	t, err := p.client.topic(ctx, topic)
	if err != nil {
		return Unknown, err
	}
	start, err := p.client.listOffsets(ctx, t, -2, false)
	if err != nil {
		return Unknown, err
	}
	end, err := p.client.listOffsets(ctx, t, -1, false)
	if err != nil {
		return Unknown, err
	}
	c := consumerOf(p.client, p.id)
	defer c.closeLinks()
	if _, err := c.Topics(ctx, []string{topic}); err != nil {
		return Unknown, err
	}
	complete, advanced := true, time.Now()
	for partition := range t.Partitions {
		s := scan{id: id, since: since, reaches: start[partition] == 0, advanced: &advanced}
		if err := s.read(ctx, c.Read(t, partition, start[partition], end[partition])); err != nil {
			return Unknown, err
		}
		if s.found {
			return Committed, nil
		}
		complete = complete && s.reaches
	}
	if !complete {
		return Unknown, nil
	}
	// Retention may have moved a log's start while it was read.
	now, err := p.client.listOffsets(ctx, t, -2, false)
	if err != nil {
		return Unknown, err
	}
	for partition := range t.Partitions {
		if now[partition] != start[partition] {
			return Unknown, nil
		}
	}
	compacted, err := p.compacted(ctx, topic)
	if err != nil || compacted {
		return Unknown, err
	}
	return NotCommitted, nil
}

// scan is a search through one partition.
type scan struct {
	id    string
	since time.Time
	// reaches says that the partition holds everything since then.
	reaches bool
	found   bool
	// advanced is when the search last got on.
	advanced *time.Time
}

const (
	// stalled is how long a search gets nowhere before that, and not the topic's size, is what holds it up.
	stalled = 10 * time.Second
	// longestRun is more than the platform lets a run take (60 minutes for a request): a record has the time at which
	// its run began, and others may have been written before it.
	longestRun = 2 * time.Hour
)

// logAppendTime is the timestamp type of records whose time is the broker's.
const logAppendTime = 1

// older reports whether a record, with a timestamp of this type, was certainly written before a time.
func older(r *kgo.Record, timestampType int8, than time.Time) bool {
	if timestampType == logAppendTime {
		return r.Timestamp.Before(than)
	}
	ours := slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == HeaderID })
	return ours && r.Timestamp.Before(than.Add(-longestRun))
}

func (s *scan) read(ctx context.Context, r *Reader) error {
	defer r.Close()
	first := true
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
			if first {
				first = false
				s.reaches = s.reaches || older(record, record.Attrs.TimestampType(), s.since)
			}
			for _, h := range record.Headers {
				if h.Key == HeaderID && string(h.Value) == s.id {
					s.found = true
					return nil
				}
			}
		}
	}
}

// compacted reports whether the topic's clean-up may remove single records.
func (p *Producer) compacted(ctx context.Context, topic string) (bool, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	resource.ConfigNames = []string{"cleanup.policy"}
	req.Resources = append(req.Resources, resource)
	resp, err := request[*kmsg.DescribeConfigsResponse](ctx, p.client, req)
	if err != nil {
		return true, err
	}
	known, compacted := false, false
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return true, fmt.Errorf("describing the topic's cleanup.policy: %w", classify(err))
		}
		for _, c := range r.Configs {
			if c.Name == "cleanup.policy" && c.Value != nil {
				known, compacted = true, compacted || strings.Contains(*c.Value, "compact")
			}
		}
	}
	return compacted || !known, nil
}
