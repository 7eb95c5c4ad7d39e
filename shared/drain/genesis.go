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
	start, err = p.takeOver(ctx, start)
	if err != nil {
		// What was found may be that of a run which created the head since it was looked for.
		if found, again := p.load(ctx); again != nil || !found {
			return errors.Join(err, again)
		}
		return nil
	}
	step.Reached(ctx, stepGenesis)
	err = p.save(ctx, p.newHead(start), 0, func(Head) bool { return false })
	if err != nil && !errors.Is(err, bucket.ErrLost) {
		return err
	}
	step.Reached(ctx, stepBorn)
	p.log(ctx).InfoContext(ctx, "first drain of the partition", slog.Int64("start", start), slog.Int64("committed", p.committed))
	return nil
}

// newHead is the head of an archive that begins at an offset.
func (p *partition) newHead(start int64) Head {
	return Head{
		Connector: p.sink.Name, Topic: p.topic.Name, TopicID: topicID(p.topic.ID), Partition: p.number,
		Start: start, Frontier: start,
	}
}

// start is where the archive begins unless objects are there: the group's offset, so that a pipeline of Kafka Connect is
// taken over where it stopped, else by auto.offset.reset.
func (p *partition) start(ctx context.Context) (int64, error) {
	if p.committed < 0 {
		switch p.sink.OffsetReset {
		case "none":
			return 0, p.stop("group %s has no committed offset and auto.offset.reset is none: set it to earliest or latest, or say where to begin with %s",
				p.sink.Group(), p.command("set", "OFFSET"))
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
		// Connect reads records of open transactions, unless its consumer is told otherwise.
		ends, err := p.deps.Consumer.Ends(ctx, p.topic.Name)
		switch {
		case err != nil:
			return 0, fmt.Errorf("reading the end of topic %s: %w", p.topic.Name, err)
		case p.committed <= ends[p.number]:
			return 0, fmt.Errorf("group %s has committed offset %d of %s/%d, but a transaction is open at offset %d: drain again when it has ended",
				p.sink.Group(), p.committed, p.topic.Name, p.number, p.bounds.StableEnd)
		}
		return 0, p.stop("group %s has committed offset %d, but the log ends at %d: the topic was re-created. Say where to begin with %s",
			p.sink.Group(), p.committed, p.bounds.StableEnd, p.command("set", "OFFSET"))
	}
	return p.committed, nil
}

// takeOver returns where the archive begins when the objects that are there are taken into account: after the records of
// those that Confluent's sink left from offset start on, as its commit may lag behind them. Whatever leaves a doubt about
// which records they hold is a *StopError.
func (p *partition) takeOver(ctx context.Context, start int64) (int64, error) {
	from := start
	if p.committed < 0 {
		// It is not known where the other sink stopped.
		from = 0
	}
	there, err := p.inventory(ctx, from)
	before, after := there.before, there.after
	switch {
	case err != nil:
		return 0, err
	case there.across != nil:
		o := *there.across
		return 0, p.stop("there is no head %s, but %s is there, written by riftline (plan %s), and holds records up to offset %d, beyond offset %d, where the archive would begin: "+
			"the head was removed, or RIFTLINE_STATE or the connector's name was changed. Put the head, or the old setting, back. If that cannot be: when you know that the objects "+
			"hold all records before an offset and none after it, go on there with %s. Nothing was written",
			p.deps.Heads.URL(p.headName()), p.deps.Archive.URL(o.Name), o.Metadata[metaPlan], o.ends(), start, p.command("set", "OFFSET"))
	case len(after) > 0:
		if err := p.understood(start, after); err != nil {
			return 0, err
		}
	case before == nil || p.committed < 0:
		return start, nil
	}
	if before != nil && p.committed >= 0 {
		if err := p.endsBy(ctx, *before, start); err != nil {
			return 0, err
		}
	}
	if len(after) == 0 {
		return start, nil
	}
	next, err := p.walk(ctx, start, after)
	if err != nil {
		return 0, err
	}
	p.log(ctx).InfoContext(ctx, "the committed offset lagged behind the objects that are there; going on after them",
		slog.Int64("committed", start), slog.Int("objects", len(after)), slog.Int64("start", next))
	return next, nil
}

// understood makes sure that objects are of Confluent's sink, in a layout in which their names follow the log.
func (p *partition) understood(start int64, found []present) error {
	last := found[len(found)-1].First
	for _, o := range found {
		if o.Metadata[metaPlan] == "" {
			continue
		}
		return p.stop("there is no head %s, but %d objects from offset %d on are there, written by riftline (%s, plan %s): the head was removed, or RIFTLINE_STATE "+
			"or the connector's name was changed. Put the head, or the old setting, back. If that cannot be: when you know that they hold all records before an offset "+
			"and none after it, go on there with %s. Nothing was written",
			p.deps.Heads.URL(p.headName()), len(found), found[0].First, p.deps.Archive.URL(o.Name), o.Metadata[metaPlan], p.command("set", "OFFSET"))
	}
	if p.committed < 0 {
		return p.stop("%d objects of another sink are there (%s; the last one starts at offset %d), but group %s has no committed offset, so it is not known where that sink began and stopped. "+
			"If they hold all records before an offset and none after it, go on there with %s; else archive into another topics.dir. Nothing was written",
			len(found), p.deps.Archive.URL(found[0].Name), last, p.sink.Group(), p.command("set", "OFFSET"))
	}
	for _, o := range found {
		if o.Encoded == p.defaultEncoded() && o.Extension == p.names.Extension {
			continue
		}
		return p.stop("%d objects of another sink are there beyond the committed offset %d of group %s, and %s is not of the default layout, so their names do not say which records they hold. "+
			"If they hold all records before an offset and none after it, go on there with %s; else archive into another topics.dir. Nothing was written",
			len(found), start, p.sink.Group(), p.deps.Archive.URL(o.Name), p.command("set", "OFFSET"))
	}
	return nil
}
