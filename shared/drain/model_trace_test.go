package drain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
)

// recorder writes down the calls that drains make, in the order in which they take effect: one at a time.
type recorder struct {
	mu     sync.Mutex
	events []event
}

func (r *recorder) note(task int, text string) { r.events = append(r.events, event{task, text}) }

// happens notes what the surroundings do while no call is made.
func (r *recorder) happens(text string, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
	r.note(never, text)
}

// recorded are deps whose calls are written down as those of a task.
func (r *recorder) recorded(d Deps, task int) Deps {
	d.Heads = recordedHeads{d.Heads, r, task}
	d.Archive = recordedArchive{d.Archive, r, task}
	d.Consumer = recordedConsumer{d.Consumer, r, task}
	return d
}

type recordedHeads struct {
	Heads
	r    *recorder
	task int
}

// planText is what the model says of a plan.
func planText(p *Plan) string {
	if p == nil {
		return "no plan"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "plan %d-%d", p.First, p.Next)
	for _, o := range p.Objects {
		var set offsets
		for _, r := range o.Offsets {
			for at := r[0]; at <= r[1]; at++ {
				set |= 1 << at
			}
		}
		fmt.Fprintf(&b, " %s %08b", o.Name, set)
	}
	return b.String()
}

func (h recordedHeads) Read(ctx context.Context, name string) (bucket.Object, error) {
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	o, err := h.Heads.Read(ctx, name)
	if errors.Is(err, bucket.ErrAbsent) {
		h.r.note(h.task, "head absent")
	} else if head, bad := ParseHead(o.Data); err == nil && bad == nil {
		h.r.note(h.task, fmt.Sprintf("head %d %s", head.Frontier, planText(head.Plan)))
	}
	return o, err
}

func (h recordedHeads) CompareAndSet(ctx context.Context, name string, data []byte, o bucket.PutOptions, mine func(bucket.Object) bool) (int64, error) {
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	g, err := h.Heads.CompareAndSet(ctx, name, data, o, mine)
	head, bad := ParseHead(data)
	outcome := "ok"
	switch {
	case errors.Is(err, errDead):
		return g, err
	case errors.Is(err, bucket.ErrLost):
		outcome = "lost"
	case err != nil || bad != nil:
		outcome = fmt.Sprint(err, bad)
	}
	h.r.note(h.task, fmt.Sprintf("head write %d %s %s", head.Frontier, planText(head.Plan), outcome))
	return g, err
}

type recordedArchive struct {
	Archive
	r    *recorder
	task int
}

func (a recordedArchive) List(ctx context.Context, prefix, from string) iter.Seq2[bucket.Object, error] {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	all := []bucket.Object{}
	for o, err := range a.Archive.List(ctx, prefix, from) {
		if err != nil {
			return func(yield func(bucket.Object, error) bool) { yield(o, err) }
		}
		all = append(all, o)
	}
	a.r.note(a.task, "list")
	return func(yield func(bucket.Object, error) bool) {
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (a recordedArchive) Stat(ctx context.Context, name string) (bucket.Object, error) {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	o, err := a.Archive.Stat(ctx, name)
	switch {
	case errors.Is(err, bucket.ErrAbsent):
		a.r.note(a.task, "stat "+name+" absent")
	case err == nil:
		// That it is somebody else's stops the drain, which the test sees.
		a.r.note(a.task, "stat "+name+" mine")
	}
	return o, err
}

func (a recordedArchive) PutAll(ctx context.Context, name string, parts [][]byte, o bucket.PutOptions) (int64, error) {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	g, err := a.Archive.PutAll(ctx, name, parts, o)
	switch {
	case err == nil:
		a.r.note(a.task, "put "+name+" ok")
	case errors.Is(err, bucket.ErrPrecondition):
		a.r.note(a.task, "put "+name+" exists")
	}
	return g, err
}

type recordedConsumer struct {
	Consumer
	r    *recorder
	task int
}

func (c recordedConsumer) RequireIdle(ctx context.Context) error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.note(c.task, "idle")
	return c.Consumer.RequireIdle(ctx)
}

func (c recordedConsumer) Bounds(ctx context.Context, topic string) (map[int32]kafka.Bounds, error) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.note(c.task, "bounds")
	return c.Consumer.Bounds(ctx, topic)
}

func (c recordedConsumer) Committed(ctx context.Context, topic string) (map[int32]int64, error) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	all, err := c.Consumer.Committed(ctx, topic)
	at, ok := all[0]
	if !ok {
		at = never
	}
	c.r.note(c.task, fmt.Sprintf("committed %d", at))
	return all, err
}

func (c recordedConsumer) Commit(ctx context.Context, topic string, id [16]byte, partition int32, offset int64) error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	err := c.Consumer.Commit(ctx, topic, id, partition, offset)
	if err == nil {
		c.r.note(c.task, fmt.Sprintf("commit %d", offset))
	}
	return err
}

// accept says whether events are steps of the model from its first state on, and where it could be afterwards. seen gets
// the places at which tasks of the model made their steps.
func (m *model) accept(first state, events []event, seen map[uint8]bool) ([]state, error) {
	m.traced, m.named = true, true
	now := m.silently([]state{first})
	for i, e := range events {
		var after []state
		for j := range now {
			for _, next := range m.steps(&now[j], false) {
				if next.event == e {
					if e.task >= 0 {
						seen[now[j].tasks[e.task].at] = true
					}
					after = append(after, next.after)
				}
			}
		}
		if len(after) == 0 {
			could := map[string]bool{}
			for j := range now {
				for _, next := range m.steps(&now[j], false) {
					if next.task == e.task {
						could[next.text] = true
					}
				}
			}
			return nil, fmt.Errorf("call %d of task %d is %q, the model allows %q; before it:\n%s", i, e.task, e.text,
				slices.Sorted(maps.Keys(could)), lines(events[:i]))
		}
		now = m.silently(after)
	}
	return now, nil
}

func lines(events []event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d: %s\n", e.task, e.text)
	}
	return b.String()
}

// silently adds the states that steps without a call lead to.
func (m *model) silently(states []state) []state {
	seen := map[string]bool{}
	var all []state
	for len(states) > 0 {
		s := states[0]
		states = states[1:]
		key := string(s.key(nil))
		if seen[key] {
			continue
		}
		seen[key] = true
		all = append(all, s)
		for _, next := range m.steps(&s, false) {
			if next.text == "" {
				states = append(states, next.after)
			}
		}
	}
	return all
}

// sinkOf are the settings of a task of the model, for the real thing.
func (w *world) sinkOf(c modelConfig) connector.Sink {
	s := w.sink
	s.FlushSize, s.NullIgnore, s.FlushOnDrainEnd = c.flush, c.nulls, !c.tail
	s.TopicsDir = []string{"topics", "elsewhere"}[c.dir]
	if c.plan == 1 {
		s.MemoryMax = 1
	}
	return s
}

// produceLog appends the offsets of a model's log.
func (w *world) produceLog(kinds string) {
	w.t.Helper()
	for _, kind := range kinds {
		w.produce(0, map[rune]int{'0': 1, '1': 2, 'n': 0}[kind])
	}
}

// TestRealDrainsAreStepsOfTheModel records the calls of real drains, killed, asleep and overlapping at every change, and
// has the model accept them. Whoever changes the order of calls has to change the model too, and with it the proof.
func TestRealDrainsAreStepsOfTheModel(t *testing.T) {
	t.Parallel()
	scenarios := []modelScenario{
		{name: "flush sizes", log: "0000000", configs: []modelConfig{{flush: 3}, {flush: 2}, {flush: 99}}, end: 5, appends: true, committed: never},
		{name: "schemas interleaved", log: "010101", configs: []modelConfig{{flush: 4}, {flush: 3}, {flush: 99}}, committed: never},
		{name: "topics.dir", log: "00000", configs: []modelConfig{{flush: 2}, {flush: 2, dir: 1}, {flush: 2}}, committed: never},
		{name: "null values", log: "0n00nn0", configs: []modelConfig{{flush: 2}, {flush: 2, nulls: true}, {flush: 3, nulls: true}}, committed: never},
		{name: "unfinished files are left", log: "0000000", configs: []modelConfig{{flush: 3, tail: true}, {flush: 4, tail: true}, {flush: 2}}, committed: never},
		{name: "a plan for each flush", log: "0000000", configs: []modelConfig{{flush: 2, plan: 1}, {flush: 3, plan: 1}, {flush: 1, plan: 1}}, committed: never},
		{name: "a committed offset", log: "00000", configs: []modelConfig{{flush: 2}, {flush: 2}, {flush: 3}}, committed: 2},
	}
	var mu sync.Mutex
	all := map[uint8]bool{}
	t.Run("scenarios", func(t *testing.T) {
		for _, sc := range scenarios {
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				for _, killed := range []bool{true, false} {
					for changes := int64(0); changes < 9; changes++ {
						seen := traced(t, sc, changes, killed)
						mu.Lock()
						maps.Copy(all, seen)
						mu.Unlock()
						if t.Failed() {
							return
						}
					}
				}
			})
		}
	})
	for at, name := range map[uint8]string{
		atStart: "bounds", atCommitted: "committed", atHead: "head", atIdle: "idle", atList: "list", atBirth: "birth", atStat: "stat",
		atRecreate: "recreate", atCreate: "create", atCommit: "commit", atPlan: "plan", atClose: "close",
	} {
		if !all[at] && !t.Failed() {
			t.Errorf("no real drain made the model's step %q", name)
		}
	}
}

// traced runs three drains: the first is killed, or sleeps until the others are done, before its n-th change.
func traced(t *testing.T, sc modelScenario, n int64, killed bool) map[uint8]bool {
	t.Helper()
	w := newWorld(t, 1)
	end := len(sc.log)
	if sc.end > 0 {
		end = sc.end
	}
	w.produceLog(sc.log[:end])
	if sc.committed >= 0 {
		w.commit(0, int64(sc.committed))
	}
	r := &recorder{}
	deps := func(task int) Deps { return r.recorded(w.deps(), task) }
	drain := func(task int) {
		if sum := w.drainAny(w.sinkOf(sc.configs[task]), deps(task)); sum.Outcome.ExitCode() != 0 {
			t.Fatalf("task %d: %+v", task, sum)
		}
	}
	var z *zombie
	if killed {
		d, _ := mortal(deps(0), n)
		w.drainAny(w.sinkOf(sc.configs[0]), d)
	} else {
		z = newZombie()
		d := drowsy(deps(0), n, z)
		go func() {
			sum, _ := Run(w.ctx, w.sinkOf(sc.configs[0]), d)
			z.done <- sum
		}()
		select {
		case <-z.asleep:
		case sum := <-z.done: // it makes fewer changes
			z.done <- sum
		case <-w.ctx.Done():
			t.Fatal("the zombie never slept")
		}
	}
	drain(1)
	if sc.appends {
		r.happens("append", func() { w.produceLog(sc.log[end:]) })
	}
	if !killed {
		sum := z.wake(w)
		if sum.Outcome.ExitCode() != 0 && sum.Outcome != Stopped {
			t.Fatalf("the zombie: %+v", sum)
		}
	}
	drain(2)
	m, first := sc.build(sound)
	seen := map[uint8]bool{}
	// The group is looked at before anything else, which decides nothing.
	events := slices.Clone(r.events)
	for task := range sc.configs {
		if i := slices.Index(events, event{task, "idle"}); i >= 0 {
			events = slices.Delete(events, i, i+1)
		}
	}
	ends, err := m.accept(first, events, seen)
	if err != nil {
		t.Errorf("killed %v, change %d: %v", killed, n, err)
		return seen
	}
	if !slices.ContainsFunc(ends, func(s state) bool { return s.tasks[1].at == atEnd && s.tasks[2].at == atEnd }) {
		t.Errorf("killed %v, change %d: the drains have ended, the model's have not:\n%s", killed, n, lines(events))
	}
	for _, s := range ends {
		if what := m.violation(&s); what != "" {
			t.Errorf("killed %v, change %d: %s", killed, n, what)
		}
	}
	return seen
}

// TestTheModelRefusesAnotherOrder: accepting is worth nothing if everything is accepted.
func TestTheModelRefusesAnotherOrder(t *testing.T) {
	t.Parallel()
	sc := modelScenario{log: "00000", configs: []modelConfig{{flush: 2}}, committed: never}
	w := newWorld(t, 1)
	w.produceLog(sc.log)
	r := &recorder{}
	w.drainWith(w.sinkOf(sc.configs[0]), r.recorded(w.deps(), 0), Drained)
	events := slices.DeleteFunc(slices.Clone(r.events), func(e event) bool { return e.text == "idle" })
	at := func(prefix string) int {
		i := slices.IndexFunc(events, func(e event) bool { return strings.HasPrefix(e.text, prefix) })
		if i < 0 {
			t.Fatalf("no call %q in\n%s", prefix, lines(events))
		}
		return i
	}
	idle := slices.Insert(slices.Clone(events), at("list"), event{0, "idle"})
	accepted := func(events []event) bool {
		m, first := sc.build(sound)
		_, err := m.accept(first, events, map[uint8]bool{})
		return err == nil
	}
	if !accepted(idle) {
		t.Fatalf("the drain itself is refused:\n%s", lines(idle))
	}
	events = idle
	plan, put, commit, list := at("head write 0 plan"), at("put "), at("commit 5"), at("list")
	without := func(i int) []event { return slices.Delete(slices.Clone(events), i, i+1) }
	moved := func(from, to int) []event { return slices.Insert(without(from), to, events[from]) }
	for name, changed := range map[string][]event{
		"the plan is skipped":              without(plan),
		"an object before the plan":        moved(put, plan),
		"the commit before the objects":    moved(commit, put),
		"the commit before the plan":       moved(commit, plan),
		"genesis without a listing":        without(list),
		"an object less":                   without(put),
		"the head is closed before time":   moved(len(events)-1, put),
		"the head is read after it is set": moved(at("head absent"), plan),
	} {
		if accepted(changed) {
			t.Errorf("%s: the model allows it", name)
		}
	}
}
