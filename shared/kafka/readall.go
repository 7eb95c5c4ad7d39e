package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Extent is what a [Producer.ReadAll] came across.
type Extent struct {
	Topic Topic
	// Records counts the committed records.
	Records int64
	// Whole is true while every partition begins at offset 0: nothing that was ever written has been removed by age.
	Whole bool
}

// ReadAll calls each for every committed record of the topic, partition by partition, in order. With open it reads up
// to the end that the topic has when it begins and waits for transactions that are open there, as long as ctx and a
// reader's patience allow; without it it reads what can be read at once. An error of each ends it.
//
// ErrTopicMissing, ErrAuthorization, ErrAuthentication, ErrUnreachable.
func (p *Producer) ReadAll(ctx context.Context, topic string, open bool, each func(*kgo.Record) error) (Extent, error) {
	x, err := p.readAll(ctx, topic, open, each)
	if err != nil {
		return x, fmt.Errorf("reading topic %s: %w", topic, err)
	}
	return x, nil
}

func (p *Producer) readAll(ctx context.Context, topic string, open bool, each func(*kgo.Record) error) (x Extent, err error) {
	c := consumerOf(p.client, p.id)
	defer c.closeLinks()
	topics, err := c.Topics(ctx, []string{topic})
	if err != nil {
		return x, err
	}
	x = Extent{Topic: topics[topic], Whole: true}
	start, err := p.client.listOffsets(ctx, x.Topic, -2, false)
	if err != nil {
		return x, err
	}
	end, err := p.client.listOffsets(ctx, x.Topic, -1, !open)
	if err != nil {
		return x, err
	}
	for partition := range x.Topic.Partitions {
		x.Whole = x.Whole && start[partition] == 0
		err := drainReader(ctx, c.Read(x.Topic, partition, start[partition], end[partition]), func(r *kgo.Record) error {
			x.Records++
			return each(r)
		})
		if err != nil {
			return x, err
		}
	}
	return x, nil
}

func drainReader(ctx context.Context, r *Reader, each func(*kgo.Record) error) error {
	defer r.Close()
	for {
		records, _, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, record := range records {
			if err := each(record); err != nil {
				return err
			}
		}
	}
}
