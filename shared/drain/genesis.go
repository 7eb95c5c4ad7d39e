package drain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/step"
)

// genesis creates the head of a partition that has none. Whatever the outcome of the create, the head is read again
// afterwards: another run may have been first, with another start.
func (p *partition) genesis(ctx context.Context) error {
	if err := p.deps.Consumer.RequireIdle(ctx); err != nil {
		return fmt.Errorf("looking at consumer group %s before the first drain of %s/%d: %w", p.sink.Group(), p.topic.Name, p.number, explainActive(err, p.sink))
	}
	start, err := p.start(ctx)
	if err != nil {
		return err
	}
	if err := p.nothingThere(ctx, start); err != nil {
		// They may be those of a run that created the head since it was looked for.
		if found, again := p.load(ctx); again != nil || !found {
			return errors.Join(err, again)
		}
		return nil
	}
	step.Reached(ctx, stepGenesis)
	h := Head{
		Connector: p.sink.Name, Topic: p.topic.Name, TopicID: topicID(p.topic.ID), Partition: p.number,
		Start: start, Frontier: start,
	}
	err = p.save(ctx, h, 0, func(Head) bool { return false })
	if err != nil && !errors.Is(err, bucket.ErrLost) {
		return err
	}
	step.Reached(ctx, stepBorn)
	p.log(ctx).InfoContext(ctx, "first drain of the partition", slog.Int64("start", start), slog.Int64("committed", p.committed))
	return nil
}

// start is where the archive begins: the group's offset, so that a pipeline of Kafka Connect is taken over where it
// stopped, else by auto.offset.reset.
func (p *partition) start(ctx context.Context) (int64, error) {
	if p.committed < 0 {
		switch p.sink.OffsetReset {
		case "none":
			return 0, p.stop("group %s has no committed offset and auto.offset.reset is none: set it to earliest or latest, or commit an offset with "+
				"kafka-consumer-groups.sh --group %s --topic %s:%d --reset-offsets --to-offset N --execute", p.sink.Group(), p.sink.Group(), p.topic.Name, p.number)
		case "latest":
			return p.bounds.StableEnd, nil
		default:
			return p.bounds.Start, nil
		}
	}
	if p.committed > p.bounds.StableEnd {
		if err := p.lookAgain(ctx); err != nil {
			return 0, err
		}
	}
	if p.committed > p.bounds.StableEnd {
		return 0, p.stop("group %s has committed offset %d, but the log ends at %d: the topic was re-created. Commit an offset that exists with "+
			"kafka-consumer-groups.sh --group %s --topic %s:%d --reset-offsets --to-offset N --execute",
			p.sink.Group(), p.committed, p.bounds.StableEnd, p.sink.Group(), p.topic.Name, p.number)
	}
	return p.committed, nil
}

// nothingThere makes sure that no object of this topic-partition holds records from offset start on. With no committed
// offset that means no object at all.
func (p *partition) nothingThere(ctx context.Context, start int64) error {
	from := start
	if p.committed < 0 {
		from = 0
	}
	var count, last int64
	var example bucket.Object
	ours := false
	for o, err := range p.deps.Archive.List(ctx, p.names.TopicPrefix(p.topic.Name), "") {
		if err != nil {
			return fmt.Errorf("listing the objects of topic %s: %w", p.topic.Name, err)
		}
		name, ok := p.names.Parse(p.topic.Name, o.Name)
		if !ok || name.Partition != p.number || name.First < from {
			continue
		}
		if count == 0 || (o.Metadata[metaPlan] != "" && !ours) {
			example = o
		}
		ours = ours || o.Metadata[metaPlan] != ""
		last = max(last, name.First)
		count++
	}
	url := p.deps.Archive.URL(example.Name)
	switch {
	case count == 0:
		return nil
	case ours:
		return p.stop("there is no head %s, but %d objects from offset %d on are there, written by riftline (%s, plan %s): the head was removed, or RIFTLINE_STATE "+
			"or the connector's name was changed. Put the head, or the old setting, back, or archive into another topics.dir; nothing was written",
			p.deps.Heads.URL(HeadName(p.sink.Name, p.topic.Name, p.number)), count, from, url, example.Metadata[metaPlan])
	case p.committed < 0:
		return p.stop("%d objects of another sink are there (%s), but group %s has no committed offset, so it is not known which records they hold. "+
			"If they end before offset N: kafka-consumer-groups.sh --group %s --topic %s:%d --reset-offsets --to-offset N --execute; "+
			"else archive into another topics.dir; nothing was written", count, url, p.sink.Group(), p.sink.Group(), p.topic.Name, p.number)
	default:
		return p.stop("%d objects of another sink are there beyond the committed offset %d of group %s (%s; the last one starts at offset %d): their records would be archived twice. "+
			"Find the last offset L that they hold, then kafka-consumer-groups.sh --group %s --topic %s:%d --reset-offsets --to-offset L+1 --execute; "+
			"or archive into another topics.dir; nothing was written",
			count, start, p.sink.Group(), url, last, p.sink.Group(), p.topic.Name, p.number)
	}
}
