package drain

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/kafka"
)

// input is a partition's records in order, from one batch to the next.
type input struct {
	p      *partition
	reader *kafka.Reader
	// pending are records that were fetched and not looked at yet.
	pending []*kgo.Record
	// offset is the offset after everything that was fetched, markers and compacted offsets included.
	offset int64
}

func (p *partition) open(from int64) *input {
	return &input{p: p, reader: p.deps.Consumer.Read(p.topic, p.number, from, p.bounds.StableEnd), offset: from}
}

func (in *input) close() { in.reader.Close() }

// behind is the offset after everything that fetch has handed out: records that wait in pending are not behind.
func (in *input) behind() int64 {
	if len(in.pending) > 0 {
		return in.pending[0].Offset
	}
	return in.offset
}

// fetch returns records that were not looked at yet. io.EOF at the end seen at the start; the cause of the soft context
// when that ended first.
func (in *input) fetch(ctx context.Context) ([]*kgo.Record, error) {
	for {
		if err := in.p.ending(ctx); err != nil {
			return nil, err
		}
		if len(in.pending) > 0 {
			records := in.pending
			in.pending = nil
			return records, nil
		}
		records, next, err := in.reader.Next(in.p.soft)
		in.offset = max(in.offset, next)
		switch {
		case err == nil:
			if len(records) > 0 {
				return records, nil
			}
		case errors.Is(err, kafka.ErrOutOfRange):
			if err := in.skipRemoved(ctx, err); err != nil {
				return nil, err
			}
		default:
			if ended := in.p.ending(ctx); ended != nil {
				return nil, ended
			}
			return nil, err
		}
	}
}

// skipRemoved opens the reader again at the log's start when retention has overtaken it.
func (in *input) skipRemoved(ctx context.Context, cause error) error {
	p := in.p
	if err := p.lookAgain(ctx); err != nil {
		return err
	}
	if p.bounds.StableEnd < in.offset {
		return p.stop("the log ends at offset %d, but it was read up to %d before: the topic was truncated", p.bounds.StableEnd, in.offset)
	}
	if p.bounds.Start <= in.offset {
		return fmt.Errorf("reading %s/%d at offset %d: %w", p.topic.Name, p.number, in.offset, cause)
	}
	from, err := p.survivors(ctx, in.offset)
	if err != nil {
		return err
	}
	in.reader.Close()
	*in = *p.open(from)
	return nil
}

// ending says why no new plan may be made any more, if so.
func (p *partition) ending(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("draining %s/%d: %w", p.topic.Name, p.number, context.Cause(ctx))
	}
	if p.interrupted() {
		return errInterrupted
	}
	if p.soft.Err() != nil {
		return context.Cause(p.soft)
	}
	return nil
}

// interrupted says whether the drain was told to stop.
func (p *partition) interrupted() bool {
	select {
	case <-p.deps.Stop:
		return true
	default:
		return false
	}
}
