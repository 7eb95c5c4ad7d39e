package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
)

// matrix is a connector with ten units, u=1 to u=10, of which the even ones ask another host.
func matrix() connector.Source {
	values := make([]string, 10)
	for i := range values {
		values[i] = fmt.Sprint(i + 1)
	}
	return connector.Source{
		Name: "matrix", Topic: "t",
		Request: connector.Request{URL: "https://api.example.com/${var.u}", Variables: []connector.UsedVariable{{Name: "u"}, {Name: "v", Optional: true}}},
		Matrix:  []connector.Variable{{Name: "u", Values: values}},
	}
}

func TestUnits(t *testing.T) {
	s := matrix()
	units, err := Units(s, nil)
	if err != nil || len(units) != 10 || units[6].Variables["u"] != "7" {
		t.Errorf("%d units, %v", len(units), err)
	}
	units, err = Units(s, map[string]string{"u": "99", "v": "x"})
	if err != nil || len(units) != 1 || fmt.Sprint(units[0].Variables) != "map[u:99 v:x]" {
		t.Errorf("%v, %v", units, err)
	}
	for situation, trigger := range map[string]map[string]string{
		"a variable that no template uses": {"w": "1"},
		"a value that leaves the path":     {"u": "../x"},
		"another host":                     {"host": "evil.example"},
	} {
		_, err := Units(s, trigger)
		if outcome, _ := outcomeOf(err, time.Now()); err == nil || outcome != Refused {
			t.Errorf("%s: %v", situation, err)
		}
	}
	s.Matrix = nil
	if _, err := Units(s, nil); err == nil || !strings.Contains(err.Error(), "var.u") {
		t.Errorf("a variable without a value: %v", err)
	}
	if units, err := Units(connector.Source{Name: "plain", Request: connector.Request{URL: "https://h/"}}, nil); err != nil || len(units) != 1 || units[0].Variables != nil {
		t.Errorf("%+v, %v", units, err)
	}
}

// places is a bucket with the one object that says where a run ended.
type places struct {
	mu         sync.Mutex
	data       []byte
	generation int64
	reads      int
	writes     int
	fail       error
}

func (b *places) URL(name string) string { return "gs://state/" + name }

func (b *places) Read(_ context.Context, name string) (bucket.Object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	if b.fail != nil {
		return bucket.Object{}, b.fail
	}
	if b.generation == 0 {
		return bucket.Object{}, bucket.ErrAbsent
	}
	return bucket.Object{Data: b.data, Generation: b.generation}, nil
}

func (b *places) Stat(ctx context.Context, name string) (bucket.Object, error) {
	return b.Read(ctx, name)
}

func (b *places) CompareAndSet(_ context.Context, name string, data []byte, o bucket.PutOptions, _ func(bucket.Object) bool) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	if name != "poll/matrix/units.json" || o.IfGeneration != b.generation {
		return 0, bucket.ErrLost
	}
	b.data, b.generation = slices.Clone(data), b.generation+1
	return b.generation, nil
}

// crawled runs over the ten units; outcomes are those of units that do not publish.
func crawled(t *testing.T, b *places, outcomes map[string]Outcome, change ...func(*crawl)) (Summary, string) {
	t.Helper()
	units, err := Units(matrix(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	c := crawl{
		units: units, log: slog.New(slog.DiscardHandler), now: time.Now, clock: time.Now,
		place: place{bucket: b, connector: "matrix"},
		poll: func(_ context.Context, s connector.Source) (Summary, error) {
			u := s.Variables["u"]
			order = append(order, u)
			o, ok := outcomes[u]
			if !ok {
				o = Published
			}
			sum := Summary{Outcome: o, Variables: s.Variables, ExactlyOnce: true}
			if o == Published {
				sum.Published = 1
			}
			if o.Failed() {
				return sum, errors.New("failed")
			}
			return sum, nil
		},
	}
	for _, f := range change {
		f(&c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	sum, err := c.run(ctx, Summary{Connector: "matrix", ExactlyOnce: true})
	if (err != nil) != sum.Outcome.Failed() {
		t.Errorf("%s with error %v", sum.Outcome, err)
	}
	return sum, strings.Join(order, " ")
}

// TestFault24TenUnitsAndTheSeventhFails has the seventh unit fail by what befalls the others too, and by what is its own.
func TestFault24TenUnitsAndTheSeventhFails(t *testing.T) {
	for _, outcome := range []Outcome{Unavailable, Unauthorized} {
		b := &places{}
		sum, order := crawled(t, b, map[string]Outcome{"7": outcome})
		if sum.Outcome != outcome || sum.Published != 6 || sum.UnitsLeft != 3 || order != "1 2 3 4 5 6 7" {
			t.Errorf("%s: %s, %d published, %d left, order %s", outcome, sum.Outcome, sum.Published, sum.UnitsLeft, order)
		}
		if sum, order := crawled(t, b, nil); sum.Outcome != Published || sum.UnitsLeft != 0 || order != "7 8 9 10 1 2 3 4 5 6" {
			t.Errorf("%s: the next run: %s, order %s", outcome, sum.Outcome, order)
		}
		if _, order := crawled(t, b, nil); order != "1 2 3 4 5 6 7 8 9 10" {
			t.Errorf("%s: the run after that: order %s", outcome, order)
		}
	}
	for _, outcome := range []Outcome{Upstream, Unknown} {
		b := &places{}
		sum, order := crawled(t, b, map[string]Outcome{"7": outcome})
		if sum.Outcome != outcome || sum.Published != 9 || sum.UnitsLeft != 0 || order != "1 2 3 4 5 6 7 8 9 10" {
			t.Errorf("%s: %s, %d published, %d left, order %s", outcome, sum.Outcome, sum.Published, sum.UnitsLeft, order)
		}
		if _, order := crawled(t, b, nil); !strings.HasPrefix(order, "7 8 ") {
			t.Errorf("%s: the next run: order %s", outcome, order)
		}
	}
	for _, outcome := range []Outcome{Stopped, SchemaRefused, Refused, AnotherRun, NothingNew} {
		b := &places{}
		if sum, _ := crawled(t, b, map[string]Outcome{"7": outcome}); sum.Published != 9 || b.writes != 0 || outcome.Failed() && sum.Outcome != outcome {
			t.Errorf("%s: %+v, %d writes", outcome, sum, b.writes)
		}
	}
}

// TestAUnitThatFailsForGoodStarvesNoOther has a unit that ends every run.
func TestAUnitThatFailsForGoodStarvesNoOther(t *testing.T) {
	b := &places{}
	polled := map[string]int{}
	for range 6 {
		_, order := crawled(t, b, map[string]Outcome{"3": Unavailable, "4": Unavailable})
		for _, u := range strings.Fields(order) {
			polled[u]++
		}
	}
	for u := 1; u <= 10; u++ {
		if polled[fmt.Sprint(u)] == 0 {
			t.Errorf("unit %d was never polled: %v", u, polled)
		}
	}
}

func TestUnitsAreLeftWhenTheTimeIsUp(t *testing.T) {
	b := &places{}
	now := time.Now()
	slow := func(c *crawl) {
		inner := c.poll
		c.now = func() time.Time { return now }
		c.poll = func(ctx context.Context, s connector.Source) (Summary, error) {
			now = now.Add(13 * time.Minute)
			return inner(ctx, s)
		}
	}
	sum, order := crawled(t, b, nil, slow)
	if sum.Outcome != Deferred || sum.RetryAfter.IsZero() || sum.UnitsLeft != 6 || order != "1 2 3 4" || !strings.Contains(sum.Error, "6 of 10") {
		t.Errorf("%+v, order %s", sum, order)
	}
	now = time.Now()
	if _, order := crawled(t, b, nil, slow); order != "5 6 7 8" {
		t.Errorf("order %s", order)
	}
}

func TestUnitsAreLeftWhenTheContextEnds(t *testing.T) {
	b := &places{}
	units, err := Units(matrix(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	c := crawl{units: units, log: slog.New(slog.DiscardHandler), now: time.Now, clock: time.Now, place: place{bucket: b, connector: "matrix"},
		poll: func(context.Context, connector.Source) (Summary, error) {
			if n++; n == 6 {
				cancel()
			}
			return Summary{Outcome: Published, Published: 1}, nil
		}}
	if sum, err := c.run(ctx, Summary{}); err == nil || sum.Published != 6 || sum.UnitsLeft != 4 {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, order := crawled(t, b, nil); !strings.HasPrefix(order, "7 8 9 10 1") {
		t.Errorf("the next run: order %s", order)
	}
}

// TestUnitsOfAHostThatWantsToWait has the even units ask another host.
func TestUnitsOfAHostThatWantsToWait(t *testing.T) {
	b := &places{}
	hosts := func(c *crawl) {
		for i := range c.units {
			c.units[i].Request.URL = fmt.Sprintf("https://h%d.example.com/${var.u}", i%2)
		}
	}
	sum, order := crawled(t, b, map[string]Outcome{"3": Deferred}, hosts)
	if order != "1 2 3 4 6 8 10" || sum.UnitsLeft != 3 || sum.Outcome != Deferred || sum.Published != 6 {
		t.Errorf("%+v, order %s", sum, order)
	}
	if _, order := crawled(t, b, nil, hosts); !strings.HasPrefix(order, "3 4 5") {
		t.Errorf("the next run: order %s", order)
	}
}

func TestWhereARunEndedIsNoTruth(t *testing.T) {
	for situation, b := range map[string]*places{
		"it cannot be read":    {fail: errors.New("down")},
		"it is damaged":        {data: []byte("{"), generation: 3},
		"it names no such one": {data: []byte(`{"next":"0123456789abcdef"}`), generation: 3},
	} {
		if sum, order := crawled(t, b, nil); sum.Outcome != Published || order != "1 2 3 4 5 6 7 8 9 10" {
			t.Errorf("%s: %s, order %s", situation, sum.Outcome, order)
		}
	}
	b := &places{}
	if crawled(t, b, nil); b.reads != 1 || b.writes != 0 {
		t.Errorf("%d reads, %d writes where all went well", b.reads, b.writes)
	}
}

func TestSummaryOfUnits(t *testing.T) {
	b := &places{}
	sum, _ := crawled(t, b, map[string]Outcome{"2": Stopped, "3": Upstream})
	if sum.Outcome != Upstream || sum.Outcome.PubSubAck() || len(sum.Units) != 10 || !strings.Contains(sum.Error, "u=2") || !strings.Contains(sum.Error, "u=3") {
		t.Errorf("%+v", sum)
	}
	if sum, _ := crawled(t, &places{}, map[string]Outcome{"2": Stopped}); sum.Outcome != Stopped || !sum.Outcome.PubSubAck() {
		t.Errorf("%+v", sum)
	}
}
