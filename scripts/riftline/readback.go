package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/twmb/avro/ocf"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/api/iterator"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/layout"
	"github.com/riftline/riftline/shared/local/report"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/record"
)

// readback reads the topic and the archive with clients of its own and compares them: nothing of what a poll or a drain
// says about itself goes into it.
type readback struct {
	sink   connector.Sink
	names  layout.Names
	bucket *storage.BucketHandle
	client *storage.Client
	kafka  *kgo.Client
	// whole says that topic and archive are this folder's own, to be read from their beginning; else they are read from
	// where the first drain of this run began.
	whole bool

	parts map[place]*part
	// values holds the last archived record of each key.
	values map[string]map[string]any
	// answer is the last answer that the simulator gave.
	answer []byte
}

type place struct {
	topic     string
	partition int32
}

// part is one topic-partition, read as far as it was looked at.
type part struct {
	start   int64 // the first offset that counts here
	next    int64 // of the topic
	to      int64 // archived up to here, as the last drain said
	offsets []int64
	keys    []string
	schemas []uint32
	objects []archived
	seen    map[string]bool
	valued  int // objects whose records are in values
}

type archived struct {
	report.Object
	records []map[string]any
}

func newReadback(ctx context.Context, env *environment.Environment, sink connector.Sink, r *report.Report, whole bool) (*readback, error) {
	client, err := env.NewStorage(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket: %w", err)
	}
	b := &readback{
		sink: sink, names: layout.NewNames(sink), client: client, bucket: client.Bucket(sink.Bucket), whole: whole,
		parts: map[place]*part{}, values: map[string]map[string]any{},
	}
	options, err := kafka.Options(sink.Kafka, logging.From(ctx))
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if b.kafka, err = kgo.NewClient(options...); err != nil {
		return nil, errors.Join(fmt.Errorf("opening Kafka: %w", err), b.close())
	}
	if whole {
		// What an earlier run archived but did not come to report is part of the picture.
		err = b.list(ctx, r, 0)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *readback) close() error {
	if b.kafka != nil {
		b.kafka.Close()
	}
	return b.client.Close()
}

func (b *readback) part(p place, start int64) *part {
	if b.parts[p] == nil {
		b.parts[p] = &part{start: start, next: start, to: start, seen: map[string]bool{}}
	}
	return b.parts[p]
}

// follow takes in what a drain added.
func (b *readback) follow(ctx context.Context, r *report.Report, n int, sum drain.Summary) error {
	for _, p := range sum.Partitions {
		start := p.From
		if b.whole {
			start = 0
		}
		t := b.part(place{p.Topic, p.Partition}, start)
		t.to = max(t.to, p.To)
	}
	if err := b.list(ctx, r, n); err != nil {
		return err
	}
	return b.topics(ctx)
}

// list reads the objects that were not there before and adds those to the report that it lacks.
func (b *readback) list(ctx context.Context, r *report.Report, n int) error {
	known := map[string]bool{}
	for _, o := range r.Objects {
		known[o.Name] = true
	}
	for _, topic := range b.sink.Topics {
		for it := b.bucket.Objects(ctx, &storage.Query{Prefix: b.names.TopicPrefix(topic)}); ; {
			attrs, err := it.Next()
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				return fmt.Errorf("listing gs://%s/%s: %w", b.sink.Bucket, b.names.TopicPrefix(topic), err)
			}
			parsed, ok := b.names.Parse(topic, attrs.Name)
			if !ok {
				continue
			}
			p := place{topic, parsed.Partition}
			if !b.whole && (b.parts[p] == nil || parsed.First < b.parts[p].start) {
				continue
			}
			t := b.part(p, 0)
			if t.seen[attrs.Name] {
				continue
			}
			records, err := b.object(ctx, attrs.Name)
			if err != nil {
				return err
			}
			// Only now: an interrupted run looks once more.
			t.seen[attrs.Name] = true
			o := report.Object{
				Name: attrs.Name, Topic: topic, Partition: parsed.Partition, First: parsed.First,
				Records: int64(len(records)), Bytes: attrs.Size, Drain: n,
			}
			t.objects = append(t.objects, archived{o, records})
			if !known[attrs.Name] {
				r.Objects = append(r.Objects, o)
			}
		}
	}
	for _, t := range b.parts {
		slices.SortFunc(t.objects, func(x, y archived) int { return cmp.Compare(x.First, y.First) })
	}
	return nil
}

func (b *readback) object(ctx context.Context, name string) ([]map[string]any, error) {
	r, err := b.bucket.Object(name).NewReader(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading gs://%s/%s: %w", b.sink.Bucket, name, err)
	}
	defer func() { _ = r.Close() }()
	file, err := ocf.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("reading gs://%s/%s: %w", b.sink.Bucket, name, err)
	}
	defer func() { _ = file.Close() }()
	var out []map[string]any
	for {
		var v any
		err := file.Decode(&v)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading record %d of gs://%s/%s: %w", len(out), b.sink.Bucket, name, err)
		}
		fields, _ := v.(map[string]any)
		out = append(out, fields)
	}
}

// topicPatience bounds one look at the topic.
const topicPatience = 30 * time.Second

// topics reads what was added to each topic up to its last stable offset.
func (b *readback) topics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, topicPatience)
	defer cancel()
	ends, err := kadm.NewClient(b.kafka).ListCommittedOffsets(ctx, b.sink.Topics...)
	if err == nil {
		err = ends.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		// What is not there holds nothing; the poll and the drain have said what to do about it.
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the ends of %s: %w", strings.Join(b.sink.Topics, ", "), err)
	}
	waiting := map[place]int64{}
	from := map[string]map[int32]kgo.Offset{}
	for p, t := range b.parts {
		end, ok := ends.Lookup(p.topic, p.partition)
		if !ok || end.Offset <= t.next {
			continue
		}
		waiting[p] = end.Offset
		if from[p.topic] == nil {
			from[p.topic] = map[int32]kgo.Offset{}
		}
		from[p.topic][p.partition] = kgo.NewOffset().At(t.next)
	}
	if len(waiting) == 0 {
		return nil
	}
	b.kafka.AddConsumePartitions(from)
	defer func() {
		for topic, partitions := range from {
			for partition := range partitions {
				b.kafka.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
			}
		}
	}()
	for len(waiting) > 0 {
		fetches := b.kafka.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading the topic back: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			p := place{r.Topic, r.Partition}
			t := b.parts[p]
			if t == nil || r.Offset < t.next || r.Offset >= waiting[p] {
				return
			}
			t.next = r.Offset + 1
			if !r.Attrs.IsControl() {
				t.offsets = append(t.offsets, r.Offset)
				t.keys = append(t.keys, string(r.Key))
				t.schemas = append(t.schemas, schemaOf(r.Value))
			}
			if t.next == waiting[p] {
				delete(waiting, p)
			}
		})
	}
	return nil
}

// schemaOf is the schema id of a value in Confluent's wire format.
func schemaOf(value []byte) uint32 {
	if len(value) < 5 {
		return 0
	}
	return binary.BigEndian.Uint32(value[1:5])
}

// records are the topic's records that an object must hold: from the offset that its name says on, as many as it has of
// the first one's schema, since two schemas never share a file. Fewer, or none, when the topic has not as many.
func (t *part) records(o report.Object) []int {
	i, ok := slices.BinarySearch(t.offsets, o.First)
	if !ok {
		return nil
	}
	var out []int
	for schema := t.schemas[i]; i < len(t.offsets) && int64(len(out)) < o.Records; i++ {
		if t.schemas[i] == schema {
			out = append(out, i)
		}
	}
	return out
}

// check compares the topic with the archive, object by object.
func (b *readback) check(ctx context.Context, r *report.Report, n int, listPointer string) *report.Check {
	c := &report.Check{}
	// An interrupted run has not seen what its last drain left.
	err := b.list(ctx, r, n)
	if err == nil {
		err = b.topics(ctx)
	}
	if err != nil {
		c.Error = err.Error()
		return c
	}
	for _, t := range b.parts {
		c.Topic += int64(len(t.offsets))
		held := make([]int, len(t.offsets))
		for _, o := range t.objects {
			c.Objects++
			c.Records += o.Records
			holds := t.records(o.Object)
			c.Twice += o.Records - int64(len(holds))
			for _, i := range holds {
				held[i]++
			}
		}
		for i, times := range held {
			switch {
			case times > 1:
				c.Twice += int64(times - 1)
			case times == 0 && t.offsets[i] < t.to:
				c.Missing++
			case times == 0:
				c.Waiting++
			}
		}
	}
	if b.answer != nil && c.Waiting == 0 && b.complete() {
		b.value()
		c.Players, c.Ladder = b.compare(listPointer)
	}
	return c
}

// complete reports whether nothing before what was read can count.
func (b *readback) complete() bool {
	for _, t := range b.parts {
		if t.start > 0 {
			return false
		}
	}
	return true
}

// value takes the objects that were read since the last time into the last record of each key.
func (b *readback) value() {
	for _, t := range b.parts {
		for ; t.valued < len(t.objects); t.valued++ {
			o := &t.objects[t.valued]
			for n, i := range t.records(o.Object) {
				b.values[t.keys[i]] = o.records[n]
			}
			o.records = nil
		}
	}
}

// compare looks for each entry of the last answer in the archive: a record with the same fields.
func (b *readback) compare(listPointer string) (found, all int) {
	entries, ok := entriesOf(b.answer, listPointer)
	if !ok {
		return 0, 0
	}
	archive := map[string]bool{}
	for _, fields := range b.values {
		archive[print(func(name string) (string, bool) {
			v, ok := fields[name]
			return fmt.Sprint(v), ok
		}, entries)] = true
	}
	for i := range entries {
		if archive[print(func(name string) (string, bool) {
			f, ok := entries[i].Field(name)
			if !ok {
				return "", false
			}
			return f.Text, true
		}, entries)] {
			found++
		}
	}
	return found, len(entries)
}

// print joins the scalar fields that the first entry has.
func print(field func(string) (string, bool), entries []record.Value) string {
	var b strings.Builder
	for _, f := range entries[0].Fields {
		if f.Value.Kind == record.Object || f.Value.Kind == record.Array {
			continue
		}
		if text, ok := field(f.Name); ok {
			b.WriteString(f.Name + "=" + text + "\n")
		}
	}
	return b.String()
}

func entriesOf(body []byte, listPointer string) ([]record.Value, bool) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, false
	}
	v, err := record.Parse(body)
	if err != nil {
		return nil, false
	}
	list, ok := v.At(listPointer)
	if !ok || list.Kind != record.Array || len(list.Items) == 0 {
		return nil, false
	}
	return list.Items, true
}

// pointsField is what a ladder is ordered by.
const pointsField = "leaguePoints"

// ladderOf is the ladder in an answer.
func ladderOf(body []byte, listPointer string) (report.Ladder, bool) {
	entries, ok := entriesOf(body, listPointer)
	if !ok {
		return report.Ladder{}, false
	}
	var all []report.Standing
	for i := range entries {
		points, ok := entries[i].Field(pointsField)
		if !ok {
			return report.Ladder{}, false
		}
		n, err := strconv.ParseInt(points.Text, 10, 64)
		if err != nil {
			return report.Ladder{}, false
		}
		key := entries[i].Fields[0].Value.Text
		if id, ok := entries[i].Field("puuid"); ok {
			key = id.Text
		}
		all = append(all, report.Standing{Key: key, Points: n})
	}
	return ranked(all), true
}

// ladder is the ladder that the archive tells: the last record of each key. Who left stays in it, as nothing is published
// of that.
func (b *readback) ladder(n int) (report.Ladder, bool) {
	if !b.complete() {
		return report.Ladder{}, false
	}
	b.value()
	var all []report.Standing
	for key, fields := range b.values {
		points, ok := fields[pointsField].(int64)
		if !ok {
			return report.Ladder{}, false
		}
		all = append(all, report.Standing{Key: key, Points: points})
	}
	l := ranked(all)
	l.Poll = n
	return l, len(all) > 0
}

func ranked(all []report.Standing) report.Ladder {
	slices.SortStableFunc(all, func(x, y report.Standing) int {
		return cmp.Or(cmp.Compare(y.Points, x.Points), cmp.Compare(x.Key, y.Key))
	})
	return report.Ladder{Entries: len(all), Top: all[:min(len(all), report.TopKept)]}
}
