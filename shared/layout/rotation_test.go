package layout

import (
	"slices"
	"testing"

	"github.com/riftline/riftline/shared/connector"
)

// step is a record in a test of rotation: its time and the clock in minutes, its encoded partition.
type step struct {
	time, clock int64
	encoded     string
	bytes       int
}

// flushes feeds records, one after another, and returns the numbers of those that begin new files.
func flushes(t *testing.T, s connector.Sink, timed bool, steps ...step) []int {
	t.Helper()
	r, err := NewRotation(s, timed)
	if err != nil {
		t.Fatal(err)
	}
	var begin []int
	open := map[string]bool{}
	flush := func() {
		r.Flushed()
		clear(open)
	}
	for i, st := range steps {
		const minute = 60_000
		p := Place{Encoded: st.encoded, Time: st.time * minute}
		if r.Before(p, !open[p.Encoded], len(open), st.clock*minute) {
			flush()
		}
		if r.Count() == 0 {
			begin = append(begin, i)
		}
		open[p.Encoded] = true
		if r.Wrote(p, st.bytes, -1, st.clock*minute) {
			flush()
		}
	}
	return begin
}

func TestRotation(t *testing.T) {
	const minute = 60_000
	at := func(times ...int64) []step {
		var all []step
		for _, m := range times {
			all = append(all, step{time: m})
		}
		return all
	}
	in := func(encoded ...string) []step {
		var all []step
		for _, e := range encoded {
			all = append(all, step{encoded: e})
		}
		return all
	}
	clock := func(times ...int64) []step {
		var all []step
		for _, m := range times {
			all = append(all, step{clock: m})
		}
		return all
	}
	sized := func(sizes ...int) []step {
		var all []step
		for _, n := range sizes {
			all = append(all, step{bytes: n})
		}
		return all
	}
	tests := []struct {
		name  string
		sink  connector.Sink
		timed bool
		steps []step
		want  []int
	}{
		{"by number, and the one that fills it is in it", connector.Sink{FlushSize: 3}, false, at(0, 0, 0, 0, 0, 0, 0), []int{0, 3, 6}},
		{"by number over all encoded partitions", connector.Sink{FlushSize: 3}, false, in("a", "b", "a", "b", "a"), []int{0, 3}},
		{"every record", connector.Sink{FlushSize: 1}, false, at(0, 0, 0), []int{0, 1, 2}},
		{"by bytes, and the one that fills it is in it", connector.Sink{FlushSize: 99, FlushBytes: 100}, false, sized(60, 60, 60, 30, 10), []int{0, 2}},
		{"by bytes, one large record", connector.Sink{FlushSize: 99, FlushBytes: 100}, false, sized(500, 1, 500), []int{0, 1}},
		{"bytes off", connector.Sink{FlushSize: 99}, false, sized(500, 1, 500), []int{0}},
		{"by record time, and the one that is late begins the next", connector.Sink{FlushSize: 99, RotateIntervalMS: 10 * minute}, true, at(0, 5, 9, 10, 19, 20), []int{0, 3, 5}},
		{"record time counts from the first record", connector.Sink{FlushSize: 99, RotateIntervalMS: 10 * minute}, true, at(5, 14, 15), []int{0, 2}},
		{"record time that goes back does not rotate", connector.Sink{FlushSize: 99, RotateIntervalMS: 10 * minute}, true, at(50, 0, 45, 55), []int{0}},
		{"record time means nothing without a layout by time", connector.Sink{FlushSize: 99, RotateIntervalMS: 10 * minute, RotateOnPartitionChange: true}, false, at(0, 100, 200), []int{0}},
		{"another partition, with record time", connector.Sink{FlushSize: 99, RotateIntervalMS: 10 * minute, RotateOnPartitionChange: true}, true, in("a", "a", "b", "b", "a"), []int{0, 2, 4}},
		{"another partition, switched off", connector.Sink{FlushSize: 99, RotateIntervalMS: 10 * minute}, true, in("a", "a", "b", "b", "a"), []int{0}},
		{"another partition, without record time", connector.Sink{FlushSize: 99, RotateOnPartitionChange: true}, true, in("a", "b", "a"), []int{0}},
		{"by the clock", connector.Sink{FlushSize: 99, RotateScheduleMS: 10 * minute, Timezone: "UTC"}, false, clock(3, 9, 10, 19, 25, 29, 30), []int{0, 2, 4, 6}},
		{"by the clock after a pause", connector.Sink{FlushSize: 99, RotateScheduleMS: 10 * minute, Timezone: "UTC"}, false, clock(3, 55, 59, 60), []int{0, 1, 3}},
		{"by the clock from midnight on", connector.Sink{FlushSize: 99, RotateScheduleMS: 7 * 60 * minute, Timezone: "UTC"}, false, clock(21*60, 24*60-1, 24*60, 31*60-1, 31*60), []int{0, 2, 4}},
		{"by the clock in a zone", connector.Sink{FlushSize: 99, RotateScheduleMS: 24 * 60 * minute, Timezone: "Asia/Seoul"}, false, clock(14*60, 15*60-1, 15*60), []int{0, 2}},
		{"a full flush and then the clock", connector.Sink{FlushSize: 2, RotateScheduleMS: 10 * minute, Timezone: "UTC"}, false, clock(1, 2, 10, 11), []int{0, 2}},
		{"at most two files", connector.Sink{FlushSize: 99, MaxOpenFiles: 2}, false, in("a", "b", "a", "c", "c", "b", "a"), []int{0, 3, 6}},
		{"at most one file", connector.Sink{FlushSize: 99, MaxOpenFiles: 1}, false, in("a", "a", "b", "a"), []int{0, 2, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := flushes(t, tt.sink, tt.timed, tt.steps...); !slices.Equal(got, tt.want) {
				t.Errorf("files begin at %v, want %v", got, tt.want)
			}
		})
	}
}

func TestIdle(t *testing.T) {
	const minute = 60_000
	new := func(s connector.Sink) *Rotation {
		r, err := NewRotation(s, true)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	s := connector.Sink{FlushSize: 99, RotateScheduleMS: 10 * minute, Timezone: "UTC", RotateIntervalMS: 1}
	r := new(s)
	if r.Idle(1 << 60) {
		t.Error("a flush of nothing")
	}
	r.Wrote(Place{}, 0, 58*minute, 65*minute)
	if !r.Idle(65 * minute) {
		t.Error("ten o'clock passed since the record was written to Kafka")
	}
	r.Flushed()
	r.Wrote(Place{}, 0, 61*minute, 65*minute)
	if r.Idle(69 * minute) {
		t.Error("nothing passed")
	}
	if !r.Idle(70 * minute) {
		t.Error("ten past passed")
	}
	r.Flushed()
	r.Wrote(Place{}, 0, -1, 65*minute)
	if r.Idle(69*minute) || !r.Idle(70*minute) {
		t.Error("without a timestamp the clock alone counts")
	}
	r = new(connector.Sink{FlushSize: 99, RotateIntervalMS: 1})
	r.Wrote(Place{}, 0, 0, 0)
	if r.Idle(1 << 60) {
		t.Error("record time does not pass by itself")
	}
}

func TestRotationNeedsAZone(t *testing.T) {
	if _, err := NewRotation(connector.Sink{FlushSize: 1, RotateScheduleMS: 1}, false); err == nil {
		t.Error("a schedule without a zone")
	}
}
