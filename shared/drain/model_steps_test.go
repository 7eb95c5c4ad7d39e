package drain

import (
	"fmt"
	"math/bits"
	"slices"
)

// step is what can come next: who does it, what it is called in a trace (empty for what no call shows), and the state
// afterwards.
type modelStep struct {
	event
	after state
}

// steps are all that can come next. With quiet only what tasks do by themselves, nothing going wrong.
func (m *model) steps(s *state, quiet bool) []modelStep {
	var all []modelStep
	for i := range m.configs {
		all = m.ofTask(s, i, quiet, all)
	}
	if quiet {
		return all
	}
	return m.surroundings(s, all)
}

// surroundings are what Kafka, the network and people do.
func (m *model) surroundings(s *state, all []modelStep) []modelStep {
	add := func(text string, change func(*state)) {
		n := *s
		change(&n)
		all = append(all, modelStep{event{never, text}, n})
	}
	if s.appends {
		add("append", func(n *state) { n.appends, n.end = false, m.appended })
	}
	if s.retention && m.retained <= s.end {
		add("retention", func(n *state) { n.retention, n.start = false, m.retained })
	}
	if s.compaction {
		add("compaction", func(n *state) { n.compaction = false; n.present &^= m.removed })
	}
	if s.loses {
		add("group offsets lost", func(n *state) { n.loses, n.committed = false, never })
	}
	switch s.hung.kind {
	case 1:
		add("late create", func(n *state) {
			n.hung = hung{}
			n.put(s.hung.object, s.hung.id)
		})
	case 2:
		add("late head write", func(n *state) {
			n.hung = hung{}
			if s.hung.current || m.mutant == writesBlindly {
				n.setHead(s.hung.held, s.hung.plan, s.hung.id)
			}
		})
	}
	if s.hung.kind > 0 {
		add("the late request is lost", func(n *state) { n.hung = hung{} })
	}
	return all
}

// stepper makes the steps of one task.
type stepper struct {
	m   *model
	s   *state
	i   int
	c   modelConfig
	all []modelStep
}

func (m *model) ofTask(s *state, i int, quiet bool, all []modelStep) []modelStep {
	p := &stepper{m: m, s: s, i: i, c: m.configs[i], all: all}
	faulty := !quiet && s.faults > 0
	t := &s.tasks[i]
	switch t.at {
	case atStart:
		p.add("bounds", func(_ *state, t *task) { t.start, t.end, t.at = s.start, s.end, atCommitted })
	case atCommitted:
		p.add(p.say("committed %d", s.committed), func(n *state, t *task) {
			t.committed, t.at = s.committed, atHead
		})
	case atHead, atFound:
		p.readHead(t.at == atFound)
	case atIdle:
		p.add("idle", func(_ *state, t *task) { t.at = atList })
	case atList:
		p.list()
	case atBirth:
		p.birth(faulty)
	case atStat:
		p.stat()
	case atMissing:
		p.add("", func(n *state, t *task) { t.got, t.at = n.readable(), atRecreate; p.prepare(n, t) })
	case atRecreate, atCreate:
		p.create(faulty)
	case atCommit:
		p.commit(faulty)
	case atAssign:
		p.assign()
	case atPlan:
		p.plan(faulty)
	case atPlanAsk:
		p.askPlan()
	case atClose:
		p.closeHead(faulty)
	}
	if !quiet {
		p.readAhead()
	}
	return p.all
}

// readAhead reads the next batch while one is planned, created and committed. It is a step only where reading it later
// could show something else.
func (p *stepper) readAhead() {
	s, t := p.s, p.s.tasks[p.i]
	if t.at != atPlan && t.at != atPlanAsk && t.at != atCreate && t.at != atCommit || t.plan < 0 || t.completing || t.last || t.ahead {
		return
	}
	next := p.m.planOf(t.plan).next
	if next >= t.end || !s.retention && !s.compaction && p.m.mutant != keepsWhatItRead {
		return
	}
	p.add("", func(n *state, t *task) { t.ahead, t.next, t.seen = true, next, s.readable() })
}

// say names a step. Formatting is most of the work, so it is done only where somebody reads it.
func (p *stepper) say(format string, args ...any) string {
	if !p.m.named {
		return "?"
	}
	return fmt.Sprintf(format, args...)
}

// add adds a step of the task.
func (p *stepper) add(text string, change func(*state, *task)) {
	n := *p.s
	change(&n, &n.tasks[p.i])
	p.all = append(p.all, modelStep{event{p.i, text}, n})
}

func (p *stepper) readHead(found bool) {
	s := p.s
	if !s.born {
		p.add("head absent", func(_ *state, t *task) {
			if t.at = atIdle; found {
				t.at = atStopped
			}
		})
		return
	}
	p.add(p.say("head %d %s", s.frontier, p.m.planOf(s.plan)), func(n *state, t *task) {
		if found {
			t.at = atHead // it is read once more
			return
		}
		p.goOn(n, t)
	})
}

// goOn begins from the head that was just read.
func (p *stepper) goOn(n *state, t *task) {
	t.current, t.held, t.heldPlan, t.frontier = true, n.frontier, n.plan >= 0, n.frontier
	t.plan, t.id, t.completing = never, 0, false
	if p.m.mutant == bornFromTheCommit && n.committed >= 0 {
		t.frontier = uint8(n.committed)
	}
	need := n.frontier
	if plan := p.m.planOf(n.plan); plan != nil {
		need = plan.next
	}
	if t.end < need {
		t.start, t.end = n.start, n.end // it looks again; a log that is still too short would stop it
	}
	if n.plan < 0 {
		p.toCommit(t)
		return
	}
	if p.m.mutant == forgetsThePlan {
		t.frontier = need
		p.toCommit(t)
		return
	}
	t.plan, t.id, t.completing = n.plan, n.id, true
	if p.m.mutant == replaysByConfig {
		t.plan = p.m.replan(p.c, n, p.m.planOf(n.plan))
	}
	if p.m.mutant == replaysByRecords {
		t.plan = p.m.rename(n, p.m.planOf(n.plan))
	}
	t.owed = below(uint8(len(p.m.planOf(t.plan).objects)))
	t.asking, t.got, t.at = 0, 0, atStat
	if t.owed == 0 {
		p.durable(t)
	}
}

// replan is what a faulty replay makes of a plan: today's settings for its offsets.
func (m *model) replan(c modelConfig, s *state, p *modelPlan) int16 {
	drafts := m.drafts(c, p.first, max(p.first, s.start), min(p.next, s.end), s.readable())
	plan := *drafts[len(drafts)-1].plan
	plan.next = p.next
	return m.intern(&plan)
}

// rename is what another faulty replay makes of it: names by the first records that are left.
func (m *model) rename(s *state, p *modelPlan) int16 {
	plan := *p
	plan.objects = slices.Clone(p.objects)
	for i, o := range plan.objects {
		if left := o.records & s.readable(); left != 0 {
			plan.objects[i].first = uint8(bits.TrailingZeros8(left))
		}
	}
	return m.intern(&plan)
}

// list looks for objects before a head is created.
func (p *stepper) list() {
	p.add("list", func(n *state, t *task) {
		begin := int8(t.start)
		if t.committed >= 0 {
			begin = t.committed
		}
		t.born, t.at = uint8(begin), atBirth
		if p.m.mutant == beginsBlindly {
			return
		}
		for _, o := range n.objects {
			if o.id != foreign {
				t.at = atFound
				return
			}
			if o.first >= t.born || t.committed < 0 {
				if t.committed < 0 {
					t.at = atStopped
					return
				}
				t.born = 8 - uint8(bits.LeadingZeros8(o.records))
			}
		}
	})
}

func (p *stepper) birth(faulty bool) {
	t := p.s.tasks[p.i]
	give := func(n *state) bool {
		if n.born {
			return false
		}
		n.born, n.first = true, t.born
		n.setHead(t.born, never, 0)
		return true
	}
	text := p.say("head write %d no plan lost", t.born)
	if !p.s.born {
		text = p.say("head write %d no plan ok", t.born)
	}
	p.add(text, func(n *state, t *task) { give(n); t.at = atHead })
	if faulty && !p.s.born {
		p.add("head write, not applied", func(n *state, t *task) { n.faults--; t.at = atHead })
	}
}

// stat looks which objects of a plan that was found are there.
func (p *stepper) stat() {
	s, t := p.s, &p.s.tasks[p.i]
	plan := p.m.planOf(t.plan)
	// They are looked at in parallel: got are those that were looked at.
	for i, o := range plan.objects {
		if t.got>>i&1 == 1 {
			continue
		}
		p.add(p.say("stat %s", looked{s, o.modelName, t.id}), func(n *state, t *task) {
			t.got |= 1 << i
			if at := n.find(o.modelName); at >= 0 {
				t.owed &^= 1 << i
				if n.objects[at].id != t.id {
					t.at = atStopped
					return
				}
			}
			if count(t.got) == len(plan.objects) {
				t.got = 0
				if t.at = atMissing; t.owed == 0 {
					p.durable(t)
				}
			}
		})
		if !p.m.traced {
			return
		}
	}
}

// looked is what a task sees that looks for an object.
type looked struct {
	s    *state
	name modelName
	id   uint8
}

func (l looked) String() string {
	i := l.s.find(l.name)
	switch {
	case i < 0:
		return l.name.String() + " absent"
	case l.s.objects[i].id == l.id:
		return l.name.String() + " mine"
	default:
		return l.name.String() + " foreign"
	}
}

// prepare leaves out objects without a surviving record.
func (p *stepper) prepare(n *state, t *task) {
	for i, o := range p.m.planOf(t.plan).objects {
		if o.records&t.got == 0 {
			t.owed &^= 1 << i
		}
	}
	if t.owed == 0 {
		p.durable(t)
	}
}

// create makes objects visible, in any order.
func (p *stepper) create(faulty bool) {
	s, t := p.s, &p.s.tasks[p.i]
	for i, o := range p.m.planOf(t.plan).objects {
		bit := offsets(1 << i)
		if t.asking&bit != 0 {
			p.add(p.say("stat %s", looked{s, o.modelName, t.id}), func(n *state, t *task) {
				t.asking &^= bit
				at := n.find(o.modelName)
				switch {
				case at < 0:
					t.owed |= bit
				case n.objects[at].id != t.id:
					t.at = atStopped
				default:
					p.created(t)
				}
			})
		}
		if t.owed&bit == 0 {
			continue
		}
		object := o
		object.records &= t.got
		text := p.say("put %s", o.modelName)
		if s.find(o.modelName) >= 0 {
			p.add(text+" exists", func(_ *state, t *task) { t.owed &^= bit; t.asking |= bit })
			continue
		}
		p.add(text+" ok", func(n *state, t *task) {
			n.put(object, t.id)
			t.owed &^= bit
			p.created(t)
		})
		if !faulty {
			continue
		}
		p.add(text+" applied, answer lost", func(n *state, t *task) {
			n.faults--
			n.put(object, t.id)
			t.owed &^= bit
			t.asking |= bit
		})
		if s.hung.kind == 0 {
			p.add(text+" hangs", func(n *state, t *task) {
				n.faults--
				n.hung = hung{kind: 1, object: object, id: t.id, plan: never}
				t.owed &^= bit
				t.asking |= bit
			})
		}
	}
}

func (p *stepper) created(t *task) {
	if t.owed == 0 && t.asking == 0 {
		p.durable(t)
	}
}

// durable moves the frontier past the plan.
func (p *stepper) durable(t *task) {
	t.frontier = p.m.planOf(t.plan).next
	if t.ahead {
		t.frontier = max(t.frontier, t.next) // the same, unless what was read is kept for too long
	}
	t.owed, t.asking, t.got = 0, 0, 0
	p.toCommit(t)
}

func (p *stepper) toCommit(t *task) {
	if t.at = atCommit; t.committed >= int8(t.frontier) {
		p.afterCommit(t)
	}
}

// afterCommit goes on to the next plan, or to the end.
func (p *stepper) afterCommit(t *task) {
	completed := t.completing
	t.plan, t.id, t.completing = never, 0, false
	if !t.last && t.frontier < t.end {
		t.at = atAssign
		return
	}
	t.last = false
	t.at = atClose
	if !t.heldPlan && t.held == t.frontier && !completed {
		t.at = atEnd
	}
}

func (p *stepper) commit(faulty bool) {
	t := p.s.tasks[p.i]
	text := p.say("commit %d", t.frontier)
	p.add(text, func(n *state, t *task) {
		n.committed, t.committed = int8(t.frontier), int8(t.frontier)
		p.afterCommit(t)
	})
	if faulty {
		p.add(text+", not applied", func(n *state, t *task) { n.faults--; p.afterCommit(t) })
		p.add(text+", answer lost", func(n *state, t *task) { n.faults--; n.committed = int8(t.frontier); p.afterCommit(t) })
	}
}

// assign reads and drafts the next plan.
func (p *stepper) assign() {
	s, t := p.s, p.s.tasks[p.i]
	from, readable := max(t.frontier, s.start), s.readable()
	if t.ahead {
		from, readable = t.frontier, t.seen
	}
	for _, d := range p.m.drafts(p.c, t.frontier, from, t.end, readable) {
		p.add("", func(n *state, t *task) {
			t.ahead, t.next, t.seen = false, 0, 0
			t.last = d.last
			if len(d.plan.objects) == 0 {
				t.frontier = d.next
				p.toCommit(t)
				return
			}
			t.id = n.freshID()
			t.plan = p.m.intern(d.plan)
			t.owed, t.asking, t.got = below(uint8(len(d.plan.objects))), 0, 255
			t.at = atPlan
		})
	}
}

// plan writes the head with the plan.
func (p *stepper) plan(faulty bool) {
	s, t := p.s, p.s.tasks[p.i]
	text := p.say("head write %d %s", t.frontier, p.m.planOf(t.plan))
	give := func(n *state, t *task) {
		n.setHead(t.frontier, t.plan, t.id)
		t.current, t.held, t.heldPlan = true, t.frontier, true
	}
	if p.m.mutant == skipsThePlan {
		p.add("no head write", func(_ *state, t *task) { t.at = atCreate })
		return
	}
	if !t.current && p.m.mutant != writesBlindly {
		p.add(text+" lost", func(n *state, t *task) { p.lose(t) })
		return
	}
	p.add(text+" ok", func(n *state, t *task) { give(n, t); p.planned(n, t) })
	if !faulty {
		return
	}
	p.add(text+" applied, answer lost", func(n *state, t *task) {
		n.faults--
		give(n, t)
		t.current = false // it does not know the new generation
		t.at = atPlanAsk
	})
	if s.hung.kind == 0 {
		p.add(text+" hangs", func(n *state, t *task) {
			n.faults--
			n.hung = hung{kind: 2, current: true, plan: t.plan, id: t.id, held: t.frontier}
			t.at = atPlanAsk
		})
	}
}

func (p *stepper) planned(n *state, t *task) {
	t.at = atCreate
	if p.m.mutant == plansAhead && !t.last {
		t.frontier, t.at = p.m.planOf(t.plan).next, atAssign
	}
	if p.m.mutant == commitsFirst {
		next := int8(p.m.planOf(t.plan).next)
		n.committed, t.committed = next, next
	}
}

// lose begins again after another task was first, and leaves in the end.
func (p *stepper) lose(t *task) {
	t.plan, t.id, t.owed, t.asking, t.got, t.last = never, 0, 0, 0, 0, false
	if p.m.mutant != keepsWhatItRead {
		t.ahead, t.next, t.seen = false, 0, 0
	}
	t.losses++
	if t.at = atHead; t.losses == maxLosses {
		t.at = atEnd
	}
}

// askPlan reads the head after a write whose outcome is unknown.
func (p *stepper) askPlan() {
	p.add("head read back", func(n *state, t *task) {
		switch {
		case n.plan >= 0 && n.id == t.id:
			t.current, t.held, t.heldPlan = true, t.frontier, true
			p.planned(n, t)
		case t.current:
			t.at = atPlan
		default:
			p.lose(t)
		}
	})
}

func (p *stepper) closeHead(faulty bool) {
	t := p.s.tasks[p.i]
	text := p.say("head write %d no plan", t.frontier)
	if !t.current && p.m.mutant != writesBlindly {
		outcome := " lost"
		if p.s.plan < 0 && p.s.frontier == t.frontier {
			outcome = " ok" // it reads back what it wanted to write
		}
		p.add(text+outcome, func(_ *state, t *task) { t.at = atEnd })
		return
	}
	p.add(text+" ok", func(n *state, t *task) { n.setHead(t.frontier, never, 0); t.at = atEnd })
	if !faulty {
		return
	}
	p.add(text+" not applied", func(n *state, t *task) { n.faults--; t.at = atEnd })
	if p.s.hung.kind == 0 {
		p.add(text+" hangs", func(n *state, t *task) {
			n.faults--
			n.hung = hung{kind: 2, current: true, plan: never, held: t.frontier}
			t.at = atEnd
		})
	}
}
