package drain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/avrofile"
	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/layout"
)

// present is an object of the partition that is in the archive.
type present struct {
	bucket.Object
	layout.Parsed
	// Extension is what the name ends with, dot included.
	Extension string
}

// ends is the offset of the object's last record, -1 when nothing says it: it is not one of riftline's, or was too large to
// be held in memory.
func (o present) ends() int64 {
	last, err := strconv.ParseInt(o.Metadata[metaLast], 10, 64)
	if o.Metadata[metaPlan] == "" || err != nil {
		return -1
	}
	return last
}

func (p *partition) headName() string { return HeadName(p.sink.Name, p.topic.Name, p.number) }

func (p *partition) defaultEncoded() string {
	return fmt.Sprintf("partition=%d", p.number)
}

// inventory is what the archive has of a partition, seen from an offset on.
type inventory struct {
	// before is the last object of the default layout that begins before the offset, nil for none.
	before *present
	// across is an object that begins before the offset and says itself that it holds a record from there on, nil for none:
	// files of one flush interleave, so that the one which begins last need not end last.
	across *present
	// after are those that begin at the offset or after it, in order of that.
	after []present
}

// inventory lists the partition's objects, whatever their encoded partition.
func (p *partition) inventory(ctx context.Context, from int64) (inventory, error) {
	var all inventory
	for o, err := range p.deps.Archive.List(ctx, p.names.TopicPrefix(p.topic.Name), "") {
		if err != nil {
			return all, fmt.Errorf("listing the objects of topic %s: %w", p.topic.Name, err)
		}
		name, ok := p.names.Parse(p.topic.Name, o.Name)
		if !ok || name.Partition != p.number {
			continue
		}
		found := present{o, name, path.Ext(o.Name)}
		switch {
		case name.First >= from:
			all.after = append(all.after, found)
			continue
		case found.ends() >= from && (all.across == nil || all.across.ends() < found.ends()):
			all.across = &found
		}
		if name.Encoded == p.defaultEncoded() && (all.before == nil || all.before.First < name.First) {
			all.before = &found
		}
	}
	slices.SortFunc(all.after, func(a, b present) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// countTries is how often an object is read that breaks off.
const countTries = 3

// records counts the records of an object by its blocks. avrofile.ErrFile when it is no container file.
func (p *partition) records(ctx context.Context, name string) (int64, error) {
	for try := 1; ; try++ {
		n, err := p.countOnce(ctx, name)
		if err == nil {
			return n, nil
		}
		if errors.Is(err, avrofile.ErrFile) || errors.Is(err, bucket.ErrDenied) || errors.Is(err, bucket.ErrAbsent) || try == countTries {
			return 0, fmt.Errorf("counting the records of %s: %w", p.deps.Archive.URL(name), err)
		}
		if err := pause(ctx, try, false); err != nil {
			return 0, fmt.Errorf("counting the records of %s: %w", p.deps.Archive.URL(name), err)
		}
	}
}

func (p *partition) countOnce(ctx context.Context, name string) (int64, error) {
	r, err := p.deps.Archive.NewReader(ctx, name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	return avrofile.Count(r)
}

// endsBy stops when an object that begins before an offset certainly holds records beyond it: more records than there are
// offsets.
func (p *partition) endsBy(ctx context.Context, o present, offset int64) error {
	n, err := p.records(ctx, o.Name)
	switch {
	case errors.Is(err, avrofile.ErrFile):
		// Of another format: nothing is known about it, and nothing says that it goes on past the commit.
		return nil
	case err != nil:
		return err
	case n <= offset-o.First:
		return nil
	}
	return p.stop("%s begins at offset %d and holds %d records, so some of them are beyond offset %d, where the archive would begin: they would be archived twice. "+
		"The other sink was probably run again with a larger flush.size. If all objects together hold all records before an offset and none after it, go on there with %s; "+
		"else archive into another topics.dir. Nothing was written", p.deps.Archive.URL(o.Name), o.First, n, offset, p.command("set", "OFFSET"))
}

// walk goes through objects of the default layout and the log together, from offset at: each object must begin at the
// first archivable record that is not in an object yet, and holds as many of them as its blocks say. It returns the
// offset after the last one.
func (p *partition) walk(ctx context.Context, at int64, objects []present) (int64, error) {
	w := p.newWalker(at)
	defer w.close()
	for i, o := range objects {
		if err := w.pass(ctx, o, i == len(objects)-1); err != nil {
			return 0, err
		}
	}
	return w.at, nil
}

// walker reads a log record by record.
type walker struct {
	p  *partition
	in *kafka.Reader
	// at is the offset after the last record of an object that was passed.
	at int64
	// batch is what record is read from, nil for none.
	batch   *kafka.Batch
	record  kgo.Record
	formats *formats
	// seen counts the records that were looked at.
	seen int64
}

func (p *partition) newWalker(at int64) *walker {
	return &walker{
		p: p, at: at, in: p.deps.Consumer.Read(p.topic, p.number, max(at, p.bounds.Start), p.bounds.StableEnd),
		formats: &formats{schemas: p.deps.Schemas, codec: p.sink.Codec, known: map[int]*format{}},
	}
}

func (w *walker) close() { w.in.Close() }

// pass goes over the records of one object.
func (w *walker) pass(ctx context.Context, o present, last bool) error {
	p := w.p
	url := p.deps.Archive.URL(o.Name)
	if o.First < w.at {
		return p.stop("%s begins at offset %d, but the objects before it hold all records before offset %d: some records are in two objects. "+
			"The other sink was probably run again with a larger flush.size. If all objects together hold all records before an offset and none after it, go on there with %s; "+
			"else archive into another topics.dir. Nothing was written", url, o.First, w.at, p.command("set", "OFFSET"))
	}
	count, err := p.records(ctx, o.Name)
	if errors.Is(err, avrofile.ErrFile) || err == nil && count == 0 {
		return p.stop("it cannot be told which records %s holds (%s). If the objects hold all records before an offset and none after it, go on there with %s; "+
			"else archive into another topics.dir. Nothing was written", url, unreadable(err), p.command("set", "OFFSET"))
	}
	if err != nil {
		return err
	}
	var first int64
	for n := range count {
		r, err := w.next(ctx, url)
		if errors.Is(err, io.EOF) {
			return p.stop("%s begins at offset %d and holds %d records, but the topic has only %d of them: the others were removed (retention, compaction), or the topic was re-created. "+
				"If the objects hold all records before an offset and none after it, go on there with %s. Nothing was written", url, o.First, count, n, p.command("set", "OFFSET"))
		}
		if err != nil {
			return err
		}
		if n == 0 {
			if first, w.seen = r.Offset, 1; first != o.First {
				return p.stop("%s begins at offset %d, but the first record from offset %d on that is in no object before it is at offset %d: records are missing in the archive, "+
					"or were removed from the topic (retention, compaction). If the objects hold all records before an offset and none after it, go on there with %s. "+
					"Nothing was written", url, o.First, w.at, first, p.command("set", "OFFSET"))
			}
		}
		w.at = r.Offset + 1
	}
	if last && w.at-first != w.seen {
		// No further object confirms where this one ends.
		return w.markersOnly(ctx, url, first)
	}
	return nil
}

func unreadable(err error) string {
	if err == nil {
		return "it holds none"
	}
	return err.Error()
}

// markersOnly makes sure that the gaps between an object's records are those of transactions: what compaction has taken
// from the topic is in the object, so that counting would go too far.
func (w *walker) markersOnly(ctx context.Context, url string, first int64) error {
	p := w.p
	compacted, err := p.deps.Consumer.Compacted(ctx, p.topic.Name)
	reason := "its cleanup.policy is compact"
	switch {
	case errors.Is(err, kafka.ErrAuthorization):
		reason = "its cleanup.policy cannot be read: " + err.Error()
	case err != nil:
		return err
	case !compacted:
		return nil
	}
	return p.stop("it cannot be told where %s ends: the topic lacks offsets from %d on, and %s, so they may be records that the object holds. "+
		"Look at its last record, and if that has offset N, go on after it with %s. Nothing was written", url, first, reason, p.command("set", "N+1"))
}

// next is the next archivable record, until it is called again. Null values are in no Avro object, whatever the policy
// was; about anything else that this sink could not archive nobody knows what the other one did.
func (w *walker) next(ctx context.Context, url string) (*kgo.Record, error) {
	p := w.p
	for {
		r, err := w.read(ctx)
		if err != nil {
			return nil, err
		}
		w.seen++
		if r.Value == nil {
			continue
		}
		_, _, err = w.formats.value(ctx, r.Value, nil)
		var bad *badValueError
		if errors.As(err, &bad) {
			return nil, p.stop("it cannot be told whether %s holds the record at offset %d: %s. If the objects hold all records before an offset and none after it, go on there with %s. "+
				"Nothing was written", url, r.Offset, bad.reason, p.command("set", "OFFSET"))
		}
		if err != nil {
			return nil, err
		}
		return r, nil
	}
}

// read is the next record.
func (w *walker) read(ctx context.Context) (*kgo.Record, error) {
	for {
		if w.batch == nil {
			b, err := w.in.NextBatch(ctx)
			if err != nil {
				return nil, w.p.tooLarge(err, ". Nothing was written")
			}
			w.batch = b
		}
		more, err := w.batch.Next(&w.record)
		if more || err != nil {
			return &w.record, err
		}
		w.batch.Release()
		w.batch = nil
	}
}
