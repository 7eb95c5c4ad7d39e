package layout

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Partitioner says which encoded partition, the part of an object's name between the topic and the file, a record
// belongs to.
type Partitioner interface {
	// Encode returns the encoded partition of a record. An error says that the record has none, for example because a
	// field is missing; it is then treated as a record that cannot be written.
	Encode(r *kgo.Record) (string, error)
}

// Default is Confluent's DefaultPartitioner: the encoded partition is "partition=<Kafka partition>".
type Default struct {
	partition int32
	encoded   string
}

// NewDefault returns the default partitioner for the records of one Kafka partition.
func NewDefault(partition int32) *Default {
	return &Default{partition: partition, encoded: encodeDefault(partition)}
}

// Encode implements [Partitioner]. It never fails.
func (d *Default) Encode(r *kgo.Record) (string, error) {
	if r.Partition == d.partition {
		return d.encoded, nil
	}
	return encodeDefault(r.Partition), nil
}

func encodeDefault(partition int32) string {
	return "partition=" + strconv.FormatInt(int64(partition), 10)
}
