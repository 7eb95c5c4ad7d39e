package drain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/riftline/riftline/shared/avrofile"
	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/layout"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/step"
)

// maxLosses is how often a drain begins a partition again after another run was first, before it leaves the partition
// to that run.
const maxLosses = 3

// commitTimeout is how long the group's coordinator may take for a commit, which the drain can do without.
const commitTimeout = 20 * time.Second

// partition is the drain of one topic-partition.
type partition struct {
	sink        connector.Sink
	deps        Deps
	topic       kafka.Topic
	number      int32
	formats     *formats
	names       layout.Names
	partitioner layout.Partitioner
	// versions and projections are what is known of schemas for schema.compatibility.
	versions    map[int]int
	projections map[[2]int]*avrofile.Projection

	extent
	// account is the partition's part of riftline.memory.max.bytes.
	account *account
	// committed is the group's offset as far as it is known, -1 for none.
	committed int64

	head       Head
	generation int64
	// frontier is the offset before which all is durable; the head may be behind.
	frontier int64

	// soft ends when no new plan may be made any more; its cause is errDeadline or errInterrupted.
	soft context.Context

	began bool
	mu    sync.Mutex // guards what sum counts while objects are created in parallel
	sum   PartitionSummary
}

// run drains the partition up to the end seen at the start; no plan is made once soft has ended.
func (p *partition) run(ctx, soft context.Context) error {
	p.soft = soft
	for losses, births := 0, 0; ; {
		found, err := p.load(ctx)
		if err != nil {
			return err
		}
		step.Reached(ctx, stepLoaded)
		if !found {
			if births++; births > maxLosses {
				return fmt.Errorf("the head %s is not there after it was created", p.deps.Heads.URL(HeadName(p.sink.Name, p.topic.Name, p.number)))
			}
			if err := p.genesis(ctx); err != nil {
				return err
			}
			continue
		}
		err = p.goOn(ctx)
		if !errors.Is(err, bucket.ErrLost) {
			return err
		}
		losses++
		p.log(ctx).InfoContext(ctx, "another run moved the head first", slog.Int64("frontier", p.frontier))
		if losses == maxLosses {
			return errAhead
		}
	}
}

// goOn drains from the head that was just read. bucket.ErrLost when another run moved it.
func (p *partition) goOn(ctx context.Context) error {
	p.frontier = p.head.Frontier
	if !p.began {
		p.began, p.sum.From = true, p.frontier
		p.warnOfOthers(ctx)
	}
	if err := p.sameTopic(ctx); err != nil {
		return err
	}
	if p.head.Plan != nil {
		if err := p.complete(ctx, *p.head.Plan, 0); err != nil {
			return err
		}
		p.frontier = p.head.Plan.Next
	}
	from, err := p.survivors(ctx, &p.extent, p.frontier)
	if err != nil {
		return err
	}
	if err := p.commit(ctx); err != nil {
		return err
	}
	ended := p.drain(ctx, from)
	if errors.Is(ended, bucket.ErrLost) {
		return ended
	}
	p.closeHead(ctx)
	return ended
}

// warnOfOthers says that somebody else has moved the group on. A head is read after the group's offset and written before
// it, so no other run of riftline can have done that.
func (p *partition) warnOfOthers(ctx context.Context) {
	if p.committed <= p.head.reach() {
		return
	}
	p.log(ctx).WarnContext(ctx, "the group has committed more than the head knows to be archived, so another sink has drained in between; the records are archived here all the same",
		slog.Int64("committed", p.committed), slog.Int64("head", p.head.reach()),
		slog.String("hint", "keep the other sink stopped; where its objects hold these records, leave them to it with "+p.command("set", strconv.FormatInt(p.committed, 10))))
}

// sameTopic makes sure that the log is the one that the head is about, and reaches as far.
func (p *partition) sameTopic(ctx context.Context) error {
	id := topicID(p.topic.ID)
	if p.head.TopicID != "" && id != "" && p.head.TopicID != id {
		return p.stop("the topic was deleted and created again (its id is %s, the head's %s): the records of both would get the same object names. "+
			"Nothing was written. Set another topics.dir, then begin with the new topic by %s; or archive it through a sink with another name and another topics.dir",
			id, p.head.TopicID, p.command("reset"))
	}
	truncated, err := p.truncated(ctx)
	if err == nil && truncated {
		err = p.stop("the log ends at offset %d, but all before %d is archived: the topic was truncated (or restored from a copy). "+
			"Nothing was written. Set another topics.dir, then begin anew by %s; or archive it through a sink with another name and another topics.dir",
			p.bounds.StableEnd, p.head.reach(), p.command("reset"))
	}
	return err
}

// truncated says whether the log ends before what the head is about.
func (p *partition) truncated(ctx context.Context) (bool, error) {
	if p.bounds.StableEnd >= p.head.reach() {
		return false, nil
	}
	// The end was seen before the head was read; another run may have archived what came in between.
	if err := p.lookAgain(ctx); err != nil {
		return false, err
	}
	return p.bounds.StableEnd < p.head.reach(), nil
}

// lookAgain reads the bounds once more.
func (p *partition) lookAgain(ctx context.Context) error { return p.look(ctx, &p.extent) }

// look reads the bounds.
func (p *partition) look(ctx context.Context, e *extent) error {
	all, err := p.deps.Consumer.Bounds(ctx, p.topic.Name)
	if err != nil {
		return fmt.Errorf("reading the bounds of topic %s: %w", p.topic.Name, err)
	}
	b, ok := all[p.number]
	if !ok {
		return fmt.Errorf("reading the bounds of topic %s: no answer for partition %d: run the drain again", p.topic.Name, p.number)
	}
	e.bounds = b
	return nil
}

// survivors returns the offset to read from when from is wanted: the log's start, after saying so, when retention has
// removed records that are not archived.
func (p *partition) survivors(ctx context.Context, e *extent, from int64) (int64, error) {
	start := e.bounds.Start
	if start <= from {
		return from, nil
	}
	if p.sink.OffsetReset == "none" {
		return 0, p.stop("offsets %d to %d were removed from the topic before they were archived (retention or DeleteRecords), "+
			"and auto.offset.reset is none. Set it to earliest, or go on after them with %s", from, start-1, p.command("set", strconv.FormatInt(start, 10)))
	}
	if start <= e.reported {
		return start, nil
	}
	e.lost += start - max(from, e.reported)
	e.reported = start
	p.log(ctx).ErrorContext(ctx, "records were removed from the topic before they were archived; going on after them",
		slog.Int64("first", from), slog.Int64("last", start-1), slog.String("hint", "drain more often, or raise the topic's retention.ms"))
	return start, nil
}

// commit tells the group how far the archive is. It is a cache for lag tools and for the way back to Connect, so only an
// active group is a failure.
func (p *partition) commit(ctx context.Context) error {
	if p.committed >= p.frontier {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	err := p.deps.Consumer.Commit(limited, p.topic.Name, p.topic.ID, p.number, p.frontier)
	switch {
	case err == nil:
		p.committed = p.frontier
		step.Reached(ctx, stepCommitted)
	case errors.Is(err, kafka.ErrGroupActive), errors.Is(err, kafka.ErrTopicRecreated):
		return fmt.Errorf("committing offset %d of %s/%d: %w", p.frontier, p.topic.Name, p.number, explainActive(err, p.sink))
	default:
		p.log(ctx).WarnContext(ctx, "the offset could not be committed; the next drain commits it",
			slog.Int64("offset", p.frontier), slog.Any("error", err))
	}
	return nil
}

// drain plans and creates batch after batch, reading from offset from. While one is planned and created the next one is
// read and assembled.
func (p *partition) drain(ctx context.Context, from int64) error {
	if p.frontier >= p.bounds.StableEnd {
		return nil
	}
	in := p.readAhead(ctx, from)
	defer in.stop()
	for {
		b, err := in.next()
		if b == nil || err != nil {
			return err
		}
		if err := p.archive(ctx, b); err != nil {
			return err
		}
		if b.ended != nil || b.last {
			return b.ended
		}
	}
}

// archive makes a batch durable, moves the frontier past it and commits that.
func (p *partition) archive(ctx context.Context, b *batch) error {
	defer b.cancel()
	step.Reached(ctx, stepAssigned)
	if p.interrupted() {
		return errInterrupted
	}
	if len(b.files) > 0 || b.mustPlan() {
		if err := p.write(ctx, b); err != nil {
			return err
		}
	}
	p.sum.Skipped += b.skippedCount()
	p.lost, p.reported = p.lost+b.lost, max(p.reported, b.reported)
	p.frontier = b.next
	return p.commit(ctx)
}

// closeHead writes the head without a plan, so that the next drain has nothing to check. Another run that was first has
// done better; any other failure costs the next drain that check, no more. A plan that is not durable stays.
func (p *partition) closeHead(ctx context.Context) {
	if p.head.Plan == nil && p.head.Frontier == p.frontier || p.head.Plan != nil && p.frontier < p.head.Plan.Next {
		return
	}
	step.Reached(ctx, stepClosing)
	h := p.head
	h.Frontier, h.Plan, h.Skip = p.frontier, nil, from(h.Skip, p.frontier)
	err := p.save(ctx, h, p.generation, func(found Head) bool { return found.Plan == nil && found.Frontier == p.frontier })
	switch {
	case err == nil:
		step.Reached(ctx, stepClosed)
	case !errors.Is(err, bucket.ErrLost):
		p.log(ctx).WarnContext(ctx, "the head still has its plan, which is complete; the next drain finds that out", slog.Any("error", err))
	}
}

// finish completes the partition's summary.
func (p *partition) finish(err error) PartitionSummary {
	s := p.sum
	s.Topic, s.Partition = p.topic.Name, p.number
	s.To, s.Committed, s.Lost = p.frontier, p.committed, p.lost
	if !p.began {
		// Nothing is known about this partition's archive.
		s.From, s.To = -1, -1
	}
	s.Lag = max(p.bounds.StableEnd-max(p.frontier, 0), 0)
	s.Outcome = outcomeOf(err)
	switch s.Outcome {
	case Drained:
		if s.Records == 0 && s.From == s.To {
			s.Outcome = NothingNew
		}
	case Stopped:
		var stop *StopError
		if errors.As(err, &stop) {
			s.Stopped = stop.Reason
		} else {
			s.Stopped = err.Error()
		}
	case AnotherRun, DeadlineReached, Interrupted:
	default:
		s.Error = err.Error()
	}
	return s
}

func (p *partition) log(ctx context.Context) *slog.Logger {
	return logging.From(ctx).With(slog.String("connector", p.sink.Name), slog.String("topic", p.topic.Name), slog.Int("partition", int(p.number)))
}
