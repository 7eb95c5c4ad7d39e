package drain

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/kafka"
)

// input is a partition's records in order, from one batch to the next. Of the partition it uses what never changes; what
// does is here, as it was when the input was opened.
type input struct {
	p      *partition
	reader *kafka.Reader
	extent
	// soft ends when no further record is to be looked at.
	soft context.Context
	// decided are the offsets that a person has decided to leave out.
	decided []Range
	// first is where the next batch begins.
	first int64
	// pending are records that were fetched and not looked at yet.
	pending []*kgo.Record
	// offset is the offset after everything that was fetched, markers and compacted offsets included.
	offset int64
}

func (p *partition) open(from int64) *input {
	in := &input{p: p, extent: p.extent, soft: p.soft, decided: p.head.Skip, first: p.frontier}
	in.lost = 0
	in.seek(from)
	return in
}

// seek begins to read at an offset.
func (in *input) seek(from int64) {
	in.reader = in.p.deps.Consumer.Read(in.p.topic, in.p.number, from, in.bounds.StableEnd)
	in.pending, in.offset = nil, from
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
		if err := in.ending(ctx); err != nil {
			return nil, err
		}
		if len(in.pending) > 0 {
			records := in.pending
			in.pending = nil
			return records, nil
		}
		records, next, err := in.reader.Next(in.soft)
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
			if ended := in.ending(ctx); ended != nil {
				return nil, ended
			}
			return nil, err
		}
	}
}

// skipRemoved opens the reader again at the log's start when retention has overtaken it.
func (in *input) skipRemoved(ctx context.Context, cause error) error {
	p := in.p
	if err := p.look(ctx, &in.extent); err != nil {
		return err
	}
	if in.bounds.StableEnd < in.offset {
		return p.stop("the log ends at offset %d, but it was read up to %d before: the topic was truncated", in.bounds.StableEnd, in.offset)
	}
	if in.bounds.Start <= in.offset {
		return fmt.Errorf("reading %s/%d at offset %d: %w", p.topic.Name, p.number, in.offset, cause)
	}
	from, err := p.survivors(ctx, &in.extent, in.offset)
	if err != nil {
		return err
	}
	in.reader.Close()
	in.seek(from)
	return nil
}

// ending says why no further record is to be looked at, if so.
func (in *input) ending(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("draining %s/%d: %w", in.p.topic.Name, in.p.number, context.Cause(ctx))
	}
	if in.p.interrupted() {
		return errInterrupted
	}
	if in.soft.Err() != nil {
		return context.Cause(in.soft)
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
