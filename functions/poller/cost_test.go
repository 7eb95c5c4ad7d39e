package poller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/poll"
)

// meter counts what a poll asks of the stand-ins.
type meter struct {
	w  *world
	mu sync.Mutex
	// kafka counts requests by their names.
	kafka       map[string]int
	storage     map[gcs.Op]int
	connections int64
}

func (w *world) meter() *meter {
	m := &meter{w: w, kafka: map[string]int{}}
	c := w.broker.Cluster()
	c.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.kafka[kmsg.NameForKey(r.Key())]++
		return nil, nil, false
	})
	return m
}

// cost is what a poll asked for. Class A are the requests that Cloud Storage bills as such: writes and lists.
type cost struct {
	classA, classB, kafka, connections int
	detail                             string
}

// of measures one poll.
func (m *meter) of(s *service, want poll.Outcome) cost {
	m.w.t.Helper()
	m.mu.Lock()
	clear(m.kafka)
	m.mu.Unlock()
	m.storage, m.connections = m.w.requests(), m.w.broker.Connections()
	m.w.mustPoll(s, want)
	after := m.w.requests()
	count := func(ops ...gcs.Op) (n int) {
		for _, op := range ops {
			n += after[op] - m.storage[op]
		}
		return n
	}
	c := cost{
		classA: count(gcs.OpInsert, gcs.OpUpload, gcs.OpList, gcs.OpBucketCreate), classB: count(gcs.OpRead, gcs.OpGet, gcs.OpBucketGet),
		connections: int(m.w.broker.Connections() - m.connections),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m.kafka)) {
		if name == "GetTelemetrySubscriptions" || name == "PushTelemetry" {
			continue // sent by the library in the background, not at a time of the poll's
		}
		c.kafka += m.kafka[name]
		all = append(all, fmt.Sprintf("%s %d", name, m.kafka[name]))
	}
	c.detail = strings.Join(all, ", ")
	return c
}

// TestPollCost counts what polls ask for and prints it (make bench-poll-cost). An idle poll is one read and nothing else.
func TestPollCost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Each poll is the first one of a poller, which holds no connection yet.
	parts := 0
	fresh := func(ahead time.Duration) *service {
		return w.disturbed(nil, func(d *poll.Deps) {
			d.PartRecords = parts // 0 is the default
			d.Now = func() time.Time { return time.Now().Add(ahead) }
		})
	}
	w.serve("a=1 b=1 c=1 d=1 e=1 f=1")
	w.mustPoll(fresh(0), poll.Published)
	m := w.meter()

	idle := m.of(fresh(0), poll.NothingNew)
	w.serve("a=2 b=1 c=1 d=1 e=1 f=1")
	changed := m.of(fresh(0), poll.Published)
	w.serve("a=3 b=3 c=3 d=3 e=3 f=3")
	parts = 2
	three := m.of(fresh(0), poll.Published)
	w.serve("a=4 b=3 c=3 d=3 e=3 f=3")
	w.die()
	recovery := m.of(fresh(soon), poll.Published)

	t.Logf("%-28s %8s %8s %8s %12s", "poll", "GCS A", "GCS B", "Kafka", "connections")
	for _, row := range []struct {
		name string
		cost
	}{{"nothing new", idle}, {"a change", changed}, {"a change in three parts", three}, {"a recovery and a change", recovery}} {
		t.Logf("%-28s %8d %8d %8d %12d   %s", row.name, row.classA, row.classB, row.kafka, row.connections, row.detail)
	}
	if idle != (cost{classB: 1}) {
		t.Errorf("an idle poll asked for %+v, want one read", idle)
	}
	// A cold client makes up to 19 requests, and 7 more for each further part.
	if changed.classA != 2 || changed.classB != 2 || changed.kafka < 8 || changed.kafka > 19 {
		t.Errorf("a change asked for %+v", changed)
	}
	if three.classA != 4 || three.classB != 2 || three.kafka > 19+2*7 {
		t.Errorf("three parts asked for %+v", three)
	}
	// It holds the transactional id already and does not look again.
	if recovery.classA != 3 || recovery.classB > 2 || recovery.kafka > 19+11 {
		t.Errorf("a recovery asked for %+v", recovery)
	}
}
