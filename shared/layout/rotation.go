package layout

import (
	"fmt"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/connector/joda"
)

// Rotation says when all open files of a topic-partition are closed: a flush. It asks what Confluent's sink asks, in its
// order: before a record is written, whether its time, the clock or its encoded partition call for a flush, then its
// schema, then the number of files; after it, whether the number of records does. A record that makes a flush before it
// is written is the first one of the next files.
//
// Nothing is asked before the first record after a flush. It is for one goroutine, and reads no clock.
type Rotation struct {
	size, bytes        int64
	interval, schedule int64
	onChange           bool
	maxOpen            int
	zone               *time.Location

	// since the last flush: the number of records and of their bytes, the time of the first one, the encoded partition
	// of the last one, and when the clock calls for a flush.
	count, held int64
	base        int64
	encoded     string
	due         int64
	// arrived is the Kafka timestamp of the first one.
	arrived int64
}

// NewRotation returns the rotation of a sink. timed says whether its layout is by time; rotate.interval.ms means nothing
// otherwise. An error is one of the settings.
func NewRotation(s connector.Sink, timed bool) (*Rotation, error) {
	r := &Rotation{
		size: int64(s.FlushSize), bytes: s.FlushBytes, schedule: s.RotateScheduleMS,
		onChange: s.RotateOnPartitionChange, maxOpen: s.MaxOpenFiles,
	}
	if timed {
		r.interval = s.RotateIntervalMS
	}
	if r.schedule > 0 {
		zone, err := joda.Zone(s.Timezone)
		if err != nil {
			return nil, fmt.Errorf("timezone, which rotate.schedule.interval.ms needs: %w", err)
		}
		r.zone = zone
	}
	return r, nil
}

// Count is the number of records since the last flush.
func (r *Rotation) Count() int64 { return r.count }

// Before says whether a flush is due before a record is written: by its place, by now (milliseconds), or because it
// needs another file beside the open ones. another says that it does.
func (r *Rotation) Before(p Place, another bool, open int, now int64) bool {
	if r.count == 0 {
		return false
	}
	if r.interval > 0 && (p.Time-r.base >= r.interval || r.onChange && p.Encoded != r.encoded) {
		return true
	}
	return r.schedule > 0 && now >= r.due || r.maxOpen > 0 && another && open >= r.maxOpen
}

// Wrote notes that a record of so many bytes was written, whose Kafka timestamp (milliseconds) is negative for none. It
// says whether a flush is due.
func (r *Rotation) Wrote(p Place, bytes int, timestamp, now int64) bool {
	if r.count == 0 {
		r.base, r.arrived = p.Time, timestamp
		if r.schedule > 0 {
			r.due = joda.Next(now, r.schedule, r.zone)
		}
	}
	r.count++
	r.held += int64(bytes)
	r.encoded = p.Encoded
	return r.count >= r.size || r.bytes > 0 && r.held >= r.bytes
}

// Idle says whether a flush is due when nothing more is to be read for now: the clock has passed a time of the schedule
// since the first record of the open files was written to Kafka.
func (r *Rotation) Idle(now int64) bool {
	if r.count == 0 || r.schedule <= 0 {
		return false
	}
	return now >= r.due || r.arrived >= 0 && r.arrived < maxTime && now >= joda.Next(r.arrived, r.schedule, r.zone)
}

// Flushed begins anew.
func (r *Rotation) Flushed() {
	r.count, r.held, r.base, r.encoded, r.due, r.arrived = 0, 0, 0, "", 0, 0
}
