package layout

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/connector/joda"
	"github.com/riftline/riftline/shared/record"
)

// ErrPlace says that a record has no encoded partition; it is then a record that cannot be written.
var ErrPlace = errors.New("the record has no place in the layout")

// Record is what a partitioner may know of a record.
type Record struct {
	// Partition is the Kafka partition.
	Partition int32
	// Timestamp is that of the Kafka record and Now the clock's, in milliseconds. A negative timestamp is none.
	Timestamp, Now int64
	// Values are those of the partitioner's fields, in their order.
	Values []record.Scalar
}

// Place is where a record belongs.
type Place struct {
	// Encoded is the encoded partition: the part of an object's name between the topic and the file.
	Encoded string
	// Time is the record's time in milliseconds, 0 unless the layout is by time.
	Time int64
}

// Partitioner says where records belong. It keeps what it has just found, so it is for one goroutine.
type Partitioner interface {
	// Fields are the paths of the fields that it reads, in the order of [Record.Values].
	Fields() []string
	// Timed says whether the layout is by time, so that [Place.Time] is set.
	Timed() bool
	// Place returns a record's place. ErrPlace.
	Place(r Record) (Place, error)
}

// NewPartitioner returns the partitioner of a sink. An error is one of the settings.
func NewPartitioner(s connector.Sink) (Partitioner, error) {
	p := s.Partitioner
	switch p.Class {
	case connector.DefaultPartitioner, "":
		return &Default{}, nil
	case connector.FieldPartitioner:
		if len(p.Fields) == 0 {
			return nil, errors.New("partition.field.name names no field")
		}
		return &Field{fields: p.Fields, delim: s.DirectoryDelim}, nil
	case connector.TimeBasedPartitioner:
		return newTimeBased(p)
	}
	return nil, fmt.Errorf("partitioner.class %s is not known", p.Class)
}

// Default is Confluent's DefaultPartitioner: the encoded partition is "partition=<Kafka partition>".
type Default struct {
	partition int32
	encoded   string
}

// Fields implements [Partitioner]: none.
func (d *Default) Fields() []string { return nil }

// Timed implements [Partitioner]: no.
func (d *Default) Timed() bool { return false }

// Place implements [Partitioner]. It never fails.
func (d *Default) Place(r Record) (Place, error) {
	if d.encoded == "" || r.Partition != d.partition {
		d.partition, d.encoded = r.Partition, "partition="+strconv.FormatInt(int64(r.Partition), 10)
	}
	return Place{Encoded: d.encoded}, nil
}

// texts gives the same string for the same bytes, so that a record costs no allocation.
type texts map[string]string

// maxTexts bounds what is kept; a layout with more partitions than this open at a time has other worries.
const maxTexts = 4096

func (t *texts) of(b []byte) string {
	if s, ok := (*t)[string(b)]; ok {
		return s
	}
	if *t == nil || len(*t) >= maxTexts {
		*t = texts{}
	}
	s := string(b)
	(*t)[s] = s
	return s
}

// Field is Confluent's FieldPartitioner: the encoded partition is "<field>=<value>" for each field, joined by
// directory.delim. A field that is null, or in a record that is null, is "<field>=null".
type Field struct {
	fields  []string
	delim   string
	scratch []byte
	known   texts
}

// Fields implements [Partitioner].
func (f *Field) Fields() []string { return f.fields }

// Timed implements [Partitioner]: no.
func (f *Field) Timed() bool { return false }

// Place implements [Partitioner].
func (f *Field) Place(r Record) (Place, error) {
	if len(r.Values) != len(f.fields) {
		return Place{}, fmt.Errorf("%w: %d fields, %d values", ErrPlace, len(f.fields), len(r.Values))
	}
	b := f.scratch[:0]
	for i, name := range f.fields {
		if i > 0 {
			b = append(b, f.delim...)
		}
		b = append(append(b, name...), '=')
		switch v := &r.Values[i]; v.Kind {
		case record.IntScalar:
			b = strconv.AppendInt(b, v.Int, 10)
		case record.BoolScalar:
			b = strconv.AppendBool(b, v.Int != 0)
		case record.TextScalar:
			b = append(b, v.Text...)
		default:
			b = append(b, "null"...)
		}
	}
	f.scratch = b
	return Place{Encoded: f.known.of(b)}, nil
}

// TimeBased is Confluent's TimeBasedPartitioner, and with fixed patterns its DailyPartitioner and HourlyPartitioner: the
// encoded partition is the beginning of the piece of time that the record is in, printed by a pattern.
type TimeBased struct {
	extractor string
	field     []string
	duration  int64
	zone      *time.Location
	format    *joda.Format

	// piece and encoded are what was found last.
	piece   int64
	encoded string
	scratch []byte
	known   texts
}

func newTimeBased(p connector.Partitioner) (*TimeBased, error) {
	t := &TimeBased{extractor: p.Extractor, duration: p.DurationMS}
	if t.duration < 1 {
		return nil, fmt.Errorf("partition.duration.ms is %d and must be 1 or more", p.DurationMS)
	}
	var err error
	if t.zone, err = joda.Zone(p.Timezone); err != nil {
		return nil, fmt.Errorf("timezone: %w", err)
	}
	if t.format, err = joda.Compile(p.PathFormat); err != nil {
		return nil, fmt.Errorf("path.format: %w", err)
	}
	switch p.Extractor {
	case connector.WallclockExtractor, connector.RecordExtractor:
	case connector.RecordFieldExtractor:
		t.field = []string{p.TimestampField}
	default:
		return nil, fmt.Errorf("timestamp.extractor %s is not known", p.Extractor)
	}
	return t, nil
}

// Fields implements [Partitioner].
func (t *TimeBased) Fields() []string { return t.field }

// Timed implements [Partitioner]: yes.
func (t *TimeBased) Timed() bool { return true }

// maxTime keeps local times within 64 bits.
const maxTime = math.MaxInt64 - int64(48*time.Hour/time.Millisecond)

// Place implements [Partitioner].
func (t *TimeBased) Place(r Record) (Place, error) {
	at, err := t.extract(r)
	if err != nil {
		return Place{}, err
	}
	if at > maxTime || at < -maxTime {
		return Place{}, fmt.Errorf("%w: its time, %d ms, is out of range", ErrPlace, at)
	}
	if piece := joda.Truncate(at, t.duration, t.zone); t.encoded == "" || piece != t.piece {
		t.scratch = t.format.Append(t.scratch[:0], piece, t.zone)
		t.piece, t.encoded = piece, t.known.of(t.scratch)
	}
	return Place{Encoded: t.encoded, Time: at}, nil
}

func (t *TimeBased) extract(r Record) (int64, error) {
	switch t.extractor {
	case connector.WallclockExtractor:
		return r.Now, nil
	case connector.RecordExtractor:
		if r.Timestamp < 0 {
			return 0, fmt.Errorf("%w: it has no timestamp", ErrPlace)
		}
		return r.Timestamp, nil
	}
	if len(r.Values) != 1 {
		return 0, fmt.Errorf("%w: one field, %d values", ErrPlace, len(r.Values))
	}
	switch v := &r.Values[0]; v.Kind {
	case record.IntScalar:
		return v.Int, nil
	case record.TextScalar:
		at, err := joda.Parse(v.Text)
		if err != nil {
			return 0, fmt.Errorf("%w: its field %s is %w", ErrPlace, t.field[0], err)
		}
		return at, nil
	case record.NullScalar:
		return 0, fmt.Errorf("%w: its field %s is null", ErrPlace, t.field[0])
	default:
		return 0, fmt.Errorf("%w: its field %s is a boolean", ErrPlace, t.field[0])
	}
}
