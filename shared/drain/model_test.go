package drain

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// The protocol as a state machine that an explorer can walk: one topic-partition of at most eight offsets, tasks with
// settings of their own that overlap, and what may happen around them. Each call that a drain makes of Kafka or of the
// buckets is one step, so a task that is never scheduled again was killed there, and one that is scheduled late slept.
// model_trace_test.go holds the machine to the code: the calls of real drains must be steps of it.

// offsets is a set of offsets.
type offsets = uint8

const (
	maxOffsets = 8
	foreign    = 255 // the id of an object of Confluent's sink
	never      = -1
)

// mutant is a deliberate fault in the protocol.
type mutant int

const (
	sound             mutant = iota
	skipsThePlan             // creates the objects without writing the head first
	replaysByConfig          // completes a plan's offsets by the settings of today
	replaysByRecords         // names a completed object by the first record that Kafka still has
	commitsFirst             // commits a plan's end before its objects are durable
	beginsBlindly            // creates a head without looking for objects
	writesBlindly            // writes the head without condition
	forgetsThePlan           // takes a plan that it finds for durable
	bornFromTheCommit        // takes the committed offset for the frontier at every start
	plansAhead               // writes the next plan before the objects of the one before are durable
	keepsWhatItRead          // goes on with the batch that it has read ahead after another task was first
)

// modelConfig are a task's settings.
type modelConfig struct {
	dir   uint8
	flush int
	plan  int  // how many flushes a plan holds at most, 0 for any number
	split bool // two folders, by the offset's half
	odd   bool // two folders, by whether the offset is odd
	nulls bool // null values are left out, else they stop the drain
	tail  bool // unfinished files are left to the next drain
}

func (c modelConfig) encoded(offset int) uint8 {
	switch {
	case c.split:
		return 1 + uint8(offset/4)
	case c.odd:
		return 3 + uint8(offset%2)
	}
	return 0
}

type modelName struct{ dir, encoded, first uint8 }

// String is the name as the archive has it where the layout is the default one.
func (n modelName) String() string {
	dir := []string{"topics", "elsewhere"}[n.dir]
	partition := "partition=0"
	if n.encoded > 0 {
		partition = fmt.Sprintf("e=%d", n.encoded)
	}
	return fmt.Sprintf("%s/%s/%s/%s+0+%010d.avro", dir, topicName, partition, topicName, n.first)
}

// modelObject is an object of a plan, with the flush that it belongs to.
type modelObject struct {
	modelName
	records  offsets
	from, to uint8
}

// modelPlan is a plan without its id.
type modelPlan struct {
	first, next uint8
	objects     []modelObject
}

// String is what a trace says of a plan.
func (p *modelPlan) String() string {
	if p == nil {
		return "no plan"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "plan %d-%d", p.first, p.next)
	for _, o := range p.objects {
		fmt.Fprintf(&b, " %s %08b", o.modelName, o.records)
	}
	return b.String()
}

// stored is an object of the archive.
type stored struct {
	modelObject
	id uint8
}

// Where a task is.
const (
	atStart uint8 = iota
	atCommitted
	atHead
	atIdle
	atList
	atFound // looks for the head again because it has listed objects
	atBirth
	atStat
	atMissing
	atRecreate
	atCreate
	atCommit
	atAssign
	atPlan
	atPlanAsk
	atClose
	atCloseAsk
	atEnd
	atStopped
)

// task is a drain.
type task struct {
	at         uint8
	start, end uint8
	committed  int8 // as far as it knows
	born       uint8
	// current says that the generation it holds is the head's; the head it holds has a frontier and perhaps a plan.
	current  bool
	held     uint8
	heldPlan bool
	frontier uint8
	// plan and id are what it writes, or completes; owed are the objects that it has not created, asking those whose
	// outcome it does not know, got the offsets that it has read for them.
	plan         int16
	id           uint8
	owed, asking offsets
	got          offsets
	completing   bool
	last         bool
	losses       uint8
	// ahead says that the next batch, from offset next on, is read already: seen are the offsets that could be read then.
	ahead bool
	next  uint8
	seen  offsets
}

// hung is a request that is on its way for ever so long.
type hung struct {
	kind    uint8 // 0 none, 1 create, 2 head
	current bool
	object  modelObject
	id      uint8
	plan    int16
	held    uint8
}

const maxTasks = 3

// state is all that there is.
type state struct {
	present    offsets
	start, end uint8
	committed  int8
	born       bool
	first      uint8
	frontier   uint8
	plan       int16
	id         uint8
	objects    []stored
	tasks      [maxTasks]task
	hung       hung
	faults     uint8
	// what the surroundings still may do, once each
	appends, retention, compaction, loses bool
}

// world of the model: what never changes.
type model struct {
	log     string // the kind of each offset: 0 or 1 a record of that schema, n a null value, . nothing to be seen
	configs []modelConfig
	mutant  mutant
	// traced says that steps are compared with those of real drains: plans may end at any flush, as the clock and the
	// memory decide, and what is done in parallel comes in any order, also where the order makes no difference.
	traced bool
	// named says that steps are wanted with what a trace says of them.
	named  bool
	plans  []*modelPlan
	byText map[string]int16
	// retained is where retention begins, removed what compaction takes, appended where the log ends after an append.
	retained uint8
	removed  offsets
	appended uint8
}

// event is a step, as a trace has it.
type event struct {
	task int
	text string
}

func (m *model) intern(p *modelPlan) int16 {
	text := fmt.Sprint(p.first, p.next, p.objects)
	if i, ok := m.byText[text]; ok {
		return i
	}
	m.plans = append(m.plans, p)
	i := int16(len(m.plans) - 1)
	m.byText[text] = i
	return i
}

func (m *model) planOf(i int16) *modelPlan {
	if i < 0 {
		return nil
	}
	return m.plans[i]
}

func below(n uint8) offsets { return offsets(1<<n - 1) }

// readable are the offsets whose records a reader can get.
func (s *state) readable() offsets { return s.present &^ below(s.start) & below(s.end) }

// archivable are the records that belong into an object.
func (m *model) archivable(s *state) offsets {
	var set offsets
	for i := range len(m.log) {
		if m.log[i] == '0' || m.log[i] == '1' {
			set |= 1 << i
		}
	}
	return set & s.readable()
}

// draft is a way to make a plan of [from, end): next is its end, last that the drain ends with it.
type draft struct {
	plan    *modelPlan
	next    uint8
	last    bool
	stopped bool
}

// drafts are the plans that settings allow, one for each number of whole flushes.
func (m *model) drafts(c modelConfig, frontier, from, end uint8, readable offsets) []draft {
	type key struct{ encoded, schema uint8 }
	open := map[key]int{}
	var objects []modelObject
	var cuts []draft
	begun, count, cutFrom := len(objects), 0, frontier
	cut := func(next uint8) {
		for i := begun; i < len(objects); i++ {
			objects[i].from, objects[i].to = cutFrom, next
		}
		begun, count, cutFrom = len(objects), 0, next
		clear(open)
		cuts = append(cuts, draft{plan: &modelPlan{first: frontier, next: next, objects: slices.Clone(objects)}, next: next})
	}
	stopped := false
	at := from
	for ; at < end; at++ {
		kind := m.log[at]
		if readable>>at&1 == 0 || kind == '.' {
			continue
		}
		if kind == 'n' {
			if !c.nulls {
				stopped = true
				break
			}
			continue
		}
		k := key{c.encoded(int(at)), kind - '0'}
		i, ok := open[k]
		if !ok {
			i = len(objects)
			open[k] = i
			objects = append(objects, modelObject{modelName: modelName{c.dir, k.encoded, at}})
		}
		objects[i].records |= 1 << at
		if count++; count == c.flush {
			cut(at + 1)
		}
	}
	if rest := len(objects) > begun; !rest || !c.tail || stopped {
		if len(cuts) == 0 || cuts[len(cuts)-1].next != at || rest {
			cut(at)
		}
	}
	if len(cuts) == 0 {
		cuts = append(cuts, draft{plan: &modelPlan{first: frontier, next: frontier}, next: frontier})
	}
	last := &cuts[len(cuts)-1]
	last.last, last.stopped = true, stopped
	if c.plan > 0 && len(cuts) > c.plan {
		cuts = cuts[:c.plan]
	}
	if !m.traced {
		cuts = cuts[len(cuts)-1:] // as full as it may be
	}
	// A plan that ends in mid-log is full; it has objects.
	var useful []draft
	for _, d := range cuts {
		if d.last || len(d.plan.objects) > 0 {
			useful = append(useful, d)
		}
	}
	return useful
}

// find returns the index of an object, -1 for none.
func (s *state) find(n modelName) int {
	return slices.IndexFunc(s.objects, func(o stored) bool { return o.modelName == n })
}

// put creates an object if there is none of its name.
func (s *state) put(o modelObject, id uint8) bool {
	if s.find(o.modelName) >= 0 {
		return false
	}
	s.objects = append(slices.Clone(s.objects), stored{o, id})
	slices.SortFunc(s.objects, func(a, b stored) int {
		return int(a.dir)<<16 + int(a.encoded)<<8 + int(a.first) - int(b.dir)<<16 - int(b.encoded)<<8 - int(b.first)
	})
	return true
}

// setHead replaces the head: all generations that anybody else holds are of the past.
func (s *state) setHead(frontier uint8, plan int16, id uint8) {
	s.frontier, s.plan, s.id = frontier, plan, id
	for i := range s.tasks {
		s.tasks[i].current = false
	}
	s.hung.current = false
}

// freshID is the smallest id of no plan that anybody may still ask about.
func (s *state) freshID() uint8 {
	for id := uint8(1); ; id++ {
		if !s.lives(id) && !slices.ContainsFunc(s.objects, func(o stored) bool { return o.id == id }) {
			return id
		}
	}
}

func (s *state) lives(id uint8) bool {
	if s.plan >= 0 && s.id == id || s.hung.kind > 0 && s.hung.id == id {
		return true
	}
	return slices.ContainsFunc(s.tasks[:], func(t task) bool { return t.plan >= 0 && t.id == id })
}

// key is the state as a map's key. What nobody can ask about any more is left out.
func (s *state) key(b []byte) []byte {
	b = append(b, s.present, s.start, s.end, byte(s.committed), flag(s.born), s.first, s.frontier, s.id, s.faults,
		flag(s.appends)|flag(s.retention)<<1|flag(s.compaction)<<2|flag(s.loses)<<3)
	b = binary.BigEndian.AppendUint16(b, uint16(s.plan))
	for _, t := range s.tasks {
		b = append(b, t.at)
		if t.at >= atEnd {
			continue
		}
		b = append(b, t.start, t.end, byte(t.committed), t.born, t.held, t.frontier, t.id, t.owed, t.asking, t.got, t.losses,
			flag(t.current)|flag(t.heldPlan)<<1|flag(t.completing)<<2|flag(t.last)<<3|flag(t.ahead)<<4, t.next, t.seen)
		b = binary.BigEndian.AppendUint16(b, uint16(t.plan))
	}
	if h := s.hung; h.kind > 0 {
		b = append(b, h.kind, flag(h.current), h.object.dir, h.object.encoded, h.object.first, h.object.records, h.id, h.held)
		b = binary.BigEndian.AppendUint16(b, uint16(h.plan))
	}
	for _, o := range s.objects {
		id := o.id
		if id != foreign && !s.lives(id) {
			id = 0
		}
		b = append(b, o.dir, o.encoded, o.first, o.records, o.from, o.to, id)
	}
	return b
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// violation says what is wrong with a state, empty when nothing is.
func (m *model) violation(s *state) string {
	var all offsets
	for i, o := range s.objects {
		if all&o.records != 0 {
			return fmt.Sprintf("P1: a record of %s is in two objects", o.modelName)
		}
		all |= o.records
		for _, other := range s.objects[:i] {
			if o.id == foreign || other.id == foreign {
				continue
			}
			if (o.from != other.from || o.to != other.to) && o.from < other.to && other.from < o.to {
				return fmt.Sprintf("P3: the flushes of %s and %s overlap", o.modelName, other.modelName)
			}
		}
	}
	open := m.archivable(s) &^ all
	if !s.born {
		return ""
	}
	open &^= below(s.first)
	if s.committed >= 0 && open&below(uint8(s.committed)) != 0 {
		return "P2: a record below the committed offset is in no object"
	}
	if open&below(s.frontier) != 0 {
		return "P2: a record below the head's frontier is in no object"
	}
	if p := m.planOf(s.plan); p != nil {
		for _, o := range p.objects {
			if i := s.find(o.modelName); i >= 0 && s.objects[i].id != s.id {
				return fmt.Sprintf("P6: %s is there, but not of the plan that lists it", o.modelName)
			}
		}
	}
	return ""
}

// complete says what a drain that ran alone to its end has left undone.
func (m *model) incomplete(s *state) string {
	if !s.born {
		return "P5: no head"
	}
	var all offsets
	for _, o := range s.objects {
		all |= o.records
	}
	open := m.archivable(s) &^ below(s.first) &^ all
	if open != 0 {
		return fmt.Sprintf("P4: records %08b are in no object after an undisturbed drain", open)
	}
	if int(s.committed) != int(s.end) {
		return fmt.Sprintf("P5: offset %d is committed, the log ends at %d", s.committed, s.end)
	}
	return ""
}

func count(set offsets) int { return bits.OnesCount8(set) }
