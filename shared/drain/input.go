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
	// batch is what record is read from, if waits is set: it was not looked at yet.
	batch  *kafka.Batch
	record kgo.Record
	waits  bool
	// offset is the offset after everything that was looked at, markers and compacted offsets included.
	offset int64
	// now is when the batch was taken: one time for all of its records, as Connect has it.
	now int64
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
	in.batch, in.waits, in.offset = nil, false, from
}

func (in *input) close() { in.reader.Close() }

// behind is the offset after everything that was looked at: a record that waits is not behind.
func (in *input) behind() int64 {
	if in.waits {
		return in.record.Offset
	}
	return in.offset
}

// peek returns the next record, the same one until advance is called. What it refers to is valid until then. io.EOF at
// the end seen at the start; the cause of the soft context when that ended first.
func (in *input) peek(ctx context.Context) (*kgo.Record, error) {
	for !in.waits {
		if in.batch == nil {
			if err := in.fetch(ctx); err != nil {
				return nil, err
			}
		}
		var err error
		if in.waits, err = in.batch.Next(&in.record); err != nil {
			return nil, err
		}
		if !in.waits {
			in.offset = max(in.offset, in.batch.End())
			in.batch.Release()
			in.batch = nil
		}
	}
	return &in.record, nil
}

// advance goes on to the next record.
func (in *input) advance() { in.waits, in.offset = false, in.record.Offset+1 }

// fetch takes the next batch.
func (in *input) fetch(ctx context.Context) error {
	for {
		if err := in.ending(ctx); err != nil {
			return err
		}
		b, err := in.reader.NextBatch(in.soft)
		switch {
		case err == nil:
			in.batch, in.now = b, in.p.deps.Now().UnixMilli()
			return nil
		case errors.Is(err, kafka.ErrOutOfRange):
			if err := in.skipRemoved(ctx, err); err != nil {
				return err
			}
		default:
			if ended := in.ending(ctx); ended != nil {
				return ended
			}
			return in.tooLarge(err)
		}
	}
}

// tooLarge stops at a batch that unpacks to more than may be held.
func (in *input) tooLarge(err error) error {
	var large *kafka.LargeBatchError
	if !errors.As(err, &large) {
		return err
	}
	return in.p.tooLarge(err, fmt.Sprintf("; all before it is archived. To go on without its records: %s", in.p.pastLargeCommand(large)))
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
