package poll

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/schema"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// RebuildReport is what a rebuild found in the topic.
type RebuildReport struct {
	Records int64 `json:"records"`
	// Typed, Castorm and Tombstones count the records by what they are.
	Typed      int64 `json:"typed"`
	Castorm    int64 `json:"castorm"`
	Tombstones int64 `json:"tombstones,omitempty"`
	// Others counts records of other source partitions, by their stamped request variables.
	Others int64 `json:"others,omitempty"`
	// Unreadable counts records that are none of both; the first one is said. What is known of their keys is forgotten.
	Unreadable int64  `json:"unreadable,omitempty"`
	First      string `json:"first_unreadable,omitempty"`
	// Whole is false when the topic no longer reaches back to its beginning: keys whose last record is gone are new.
	Whole bool `json:"whole"`
}

// Whoever polled last with castorm's source republished everything, so what is older than its last records by more than
// this had left by then.
const castormPolls = 10 * time.Minute

// rebuilding is a rebuild on its way.
type rebuilding struct {
	o        *operation
	ctx      context.Context //nolint:containedctx // of one call of rebuild, for the callback
	registry Registry
	prints   *sourceoffset.Fingerprinter
	schemas  map[int]*schema.Schema
	held     map[string]lastRecord
	fields   []string
	report   RebuildReport
	// telling are the request variables by which the records of the connector's source partitions are told apart.
	telling []string
	// newest is when castorm's source wrote its last record, ours is true when riftline wrote any.
	newest time.Time
	ours   bool
	// cursor is that of a log; of the kind None it is that of the newest record, which has the time at.
	cursor sourceoffset.Cursor
	at     time.Time
}

// lastRecord is the last record of a key so far.
type lastRecord struct {
	fingerprint sourceoffset.Fingerprint
	at          time.Time
	partition   int32
	castorm     bool
	// gone is true when nothing is known of the key: a tombstone, or a value that cannot be read.
	gone bool
}

// rebuild reads the topic. Once the producer is fenced it waits for transactions that are open there.
//
// What castorm's envelope holds is the entry's own text, so its fingerprint is what a poll would make of the same entry.
// A typed record is turned back into its entry, which lacks what schema.Entry says; an entry that had such members is
// published once more.
//
// [Refused] when a record does not say of which of the connector's source partitions it is.
func (o *operation) rebuild(ctx context.Context, m kafka.Marker) (sourceoffset.State, error) {
	st := o.begin(m)
	registry, err := o.d.NewRegistry(o.s.Registry)
	if err != nil {
		return st, fmt.Errorf("preparing the schema registry: %w", err)
	}
	reader, err := o.reader()
	if err != nil {
		return st, err
	}
	b := &rebuilding{
		o: o, ctx: ctx, registry: registry, prints: sourceoffset.NewFingerprinter(o.s.Dedupe.Ignore),
		schemas: map[int]*schema.Schema{}, held: map[string]lastRecord{}, telling: telling(o.s),
	}
	x, err := reader.ReadAll(ctx, o.s.Topic, !o.q.DryRun, b.record)
	if err != nil {
		return st, err
	}
	b.report.Records, b.report.Whole = x.Records, x.Whole
	o.report.Rebuilt = &b.report
	st.TopicID = x.Topic.ID
	if st.Kind == sourceoffset.Snapshot {
		st.Base, st.Fields = b.base(), b.fields
	} else {
		st.Cursor = b.cursor
	}
	return st, nil
}

// telling are the request variables of a source that others of the connector's source partitions may have with another
// value: all but those for which the connector file has one value.
func telling(s connector.Source) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Variables)) {
		if !slices.ContainsFunc(s.Matrix, func(v connector.Variable) bool { return v.Name == name && len(v.Values) == 1 }) {
			names = append(names, name)
		}
	}
	return names
}

// told refuses a record that lacks a variable by which it would be told apart: another source partition's keys, taken
// for this one's, would be taken to have left at the next poll.
func (b *rebuilding) told(stamps []record.Field, what string) error {
	for _, name := range b.telling {
		if !slices.ContainsFunc(stamps, func(f record.Field) bool { return f.Name == name }) {
			return failed(Refused, "%s does not say of which source partition it is (it has no %s), so what each published cannot be rebuilt from topic %s; '%s' begins anew",
				what, name, b.o.s.Topic, b.o.store.Partition.Command("reset"))
		}
	}
	return nil
}

// reader reads with the producer's client where that can.
func (o *operation) reader() (TopicReader, error) {
	p, err := o.openProducer()
	if err != nil {
		return nil, err
	}
	reader, ok := p.(TopicReader)
	if !ok {
		return nil, fmt.Errorf("%T cannot read a topic", p)
	}
	return reader, nil
}

// record takes one record in. It fails only when the registry does.
func (b *rebuilding) record(r *kgo.Record) error {
	for _, h := range r.Headers {
		b.ours = b.ours || h.Key == kafka.HeaderID
	}
	last := lastRecord{at: r.Timestamp, partition: r.Partition}
	key, err := b.key(r.Key)
	var entry record.Value
	if err == nil && len(r.Value) > 0 {
		var of string
		if entry, of, last.castorm, err = b.value(r.Value); of != "" {
			key = of
		}
	}
	if err == nil && !utf8.ValidString(key) {
		err = &unreadableError{errors.New("its key is no UTF-8, so no poll has written it")}
	}
	var unreadable *unreadableError
	switch {
	case errors.Is(err, errOtherPartition):
		b.report.Others++
		return nil
	case errors.As(err, &unreadable):
		if b.report.Unreadable++; b.report.Unreadable == 1 {
			b.report.First = fmt.Sprintf("partition %d, offset %d: %v", r.Partition, r.Offset, err)
		}
		last.gone = true
	case err != nil:
		return fmt.Errorf("reading partition %d, offset %d: %w", r.Partition, r.Offset, err)
	case len(r.Value) == 0:
		b.report.Tombstones++
		last.gone = true
	default:
		if last.castorm {
			b.report.Castorm++
			if r.Timestamp.After(b.newest) {
				b.newest = r.Timestamp
			}
		} else {
			b.report.Typed++
		}
		if b.o.store.Kind == sourceoffset.Snapshot {
			last.fingerprint = b.prints.Of(&entry)
			b.fields = fieldsOf([]record.Value{entry}, b.fields)
		} else {
			b.follow(entry, key, r.Timestamp)
		}
	}
	if key == "" || b.o.store.Kind != sourceoffset.Snapshot {
		return nil
	}
	// A key is in one partition, unless their number was changed: then the later record is the last one.
	if before, ok := b.held[key]; ok && before.partition != r.Partition && before.at.After(r.Timestamp) {
		return nil
	}
	b.held[key] = last
	return nil
}

// follow moves the cursor to a record of a log. Its timestamp is the entry's own, to its last digit, where the entry
// still has it; else it is the record's, in milliseconds.
func (b *rebuilding) follow(entry record.Value, key string, recorded time.Time) {
	answer := httpsource.Answer{Entries: []record.Value{entry}}
	at := recorded
	if times, err := b.o.timesOf(answer); err == nil && b.o.s.Timestamp != "" {
		at = times[0]
	}
	if at.Before(b.at) {
		return
	}
	b.at = at
	if b.o.store.Kind == sourceoffset.Timestamp {
		b.cursor = b.cursor.With(at, key)
	}
	if properties, err := b.o.properties(answer, 0, key, at); err == nil {
		b.cursor.Offset = properties
	}
}

func (b *rebuilding) base() sourceoffset.Base {
	base := make(map[string]sourceoffset.Known, len(b.held))
	now := b.o.start.Truncate(time.Second)
	for key, last := range b.held {
		if last.gone {
			continue
		}
		known := sourceoffset.Known{Fingerprint: last.fingerprint}
		if !b.ours && last.castorm && last.at.Before(b.newest.Add(-castormPolls)) {
			known.MissingSince = now
		}
		base[key] = known
	}
	return sourceoffset.NewBase(base)
}

// unreadableError is about one record, not about the registry.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

var errOtherPartition = errors.New("a record of another source partition")

// schema reads a schema of the registry, once.
func (b *rebuilding) schema(id int) (*schema.Schema, error) {
	if s, ok := b.schemas[id]; ok {
		return s, nil
	}
	text, err := b.registry.ByID(b.ctx, id)
	switch {
	case errors.Is(err, schema.ErrUnknownID):
		return nil, &unreadableError{err}
	case err != nil:
		return nil, err
	}
	s, err := schema.ParseSchema(text)
	if err != nil {
		return nil, &unreadableError{err}
	}
	b.schemas[id] = s
	return s, nil
}

// decode reads a value in Confluent's wire format.
func (b *rebuilding) decode(data []byte) (*schema.Schema, record.Value, []record.Field, error) {
	id, body, ok := schema.ParseHeader(data)
	if !ok {
		return nil, record.Value{}, nil, &unreadableError{errors.New("it is not in Confluent's wire format")}
	}
	s, err := b.schema(id)
	if err != nil {
		return nil, record.Value{}, nil, err
	}
	entry, stamps, err := s.Entry(body)
	if err != nil {
		return nil, record.Value{}, nil, &unreadableError{fmt.Errorf("reading it with schema %d: %w", id, err)}
	}
	return s, entry, stamps, nil
}

// key reads the source offset key of a Kafka key: its text, or what castorm's struct holds.
func (b *rebuilding) key(data []byte) (string, error) {
	if b.o.s.KeyConverter == connector.AvroConverter {
		_, entry, _, err := b.decode(data)
		if err != nil {
			return "", err
		}
		if v, ok := entry.Field("key"); ok && v.Kind == record.String {
			return v.Text, nil
		}
		return "", &unreadableError{errors.New("its key is none of castorm's structs")}
	}
	if inner, ok := strings.CutPrefix(string(data), structPrefix); ok {
		if inner, ok = strings.CutSuffix(inner, structSuffix); ok {
			return inner, nil
		}
	}
	return string(data), nil
}

// value reads the entry of a value, and the key where the value has it.
func (b *rebuilding) value(data []byte) (entry record.Value, key string, castorm bool, err error) {
	s, entry, stamps, err := b.decode(data)
	if err != nil {
		return entry, "", false, err
	}
	if !s.IsEnvelope() {
		for name, want := range b.o.s.Variables {
			for i := range stamps {
				if stamps[i].Name == name && stamps[i].Value.AsText() != want {
					return entry, "", false, errOtherPartition
				}
			}
		}
		return entry, "", false, b.told(stamps, "a typed record")
	}
	if err := b.told(nil, "castorm's envelope"); err != nil {
		return entry, "", true, err
	}
	if v, ok := entry.Field("key"); ok {
		key = v.Text
	}
	text, ok := entry.Field("value")
	if !ok {
		return entry, key, true, &unreadableError{errors.New("castorm's envelope is empty")}
	}
	parsed, err := record.Parse([]byte(text.Text))
	if err != nil {
		// The text of an entry that is a JSON string is that string.
		parsed = *text
	}
	return parsed, key, true, nil
}
