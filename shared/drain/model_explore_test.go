package drain

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// modelScenario is what tasks do in which surroundings.
type modelScenario struct {
	name    string
	log     string
	end     int // where the log ends at first, all of it unless given
	configs []modelConfig
	faults  uint8
	// committed is the group's offset at first, and theirs are the objects of Confluent's sink, by their records.
	committed int8
	theirs    []offsets

	appends  bool
	retained uint8    // retention takes what is below, once; 0 for none
	removed  offsets  // compaction takes these, once
	loses    bool     // the group's offsets are lost, once
	caught   []mutant // faults that show here
	long     bool     // too many states for every day
}

var modelScenarios = []modelScenario{
	{
		name: "flush sizes", log: "00000", configs: []modelConfig{{flush: 2}, {flush: 99}}, end: 4, appends: true, faults: 1, committed: never,
		caught: []mutant{skipsThePlan, commitsFirst, replaysByConfig, writesBlindly, forgetsThePlan},
	},
	{
		name: "markers", log: "0.00.0", configs: []modelConfig{{flush: 2}, {flush: 99}}, faults: 1, committed: never,
		caught: []mutant{skipsThePlan, commitsFirst, replaysByConfig, forgetsThePlan},
	},
	{
		name: "group offsets lost, retention", log: "0000", configs: []modelConfig{{flush: 3}, {flush: 2}}, committed: never, retained: 2, loses: true,
		caught: []mutant{skipsThePlan, replaysByRecords},
	},
	{
		name: "a write fails, retention", log: "000", configs: []modelConfig{{flush: 2}, {flush: 99}}, committed: never, retained: 1, faults: 1,
		caught: []mutant{replaysByRecords},
	},
	{
		name: "zombies commit old offsets", log: "000000", configs: []modelConfig{{flush: 2, plan: 1}, {flush: 3}}, committed: never,
		caught: []mutant{bornFromTheCommit},
	},
	{
		name: "read ahead of retention", log: "00000", configs: []modelConfig{{flush: 2, plan: 1}, {flush: 3, plan: 1}}, committed: never, retained: 3,
		caught: []mutant{plansAhead, keepsWhatItRead},
	},
	{
		name: "read ahead of compaction", log: "0000", configs: []modelConfig{{flush: 1, plan: 1}, {flush: 2, plan: 1}}, committed: never, removed: 1 << 2,
		caught: []mutant{replaysByRecords, plansAhead},
	},
	{
		name: "read ahead of compaction, a write fails", log: "0000", configs: []modelConfig{{flush: 1, plan: 1}, {flush: 2, plan: 1}}, committed: never, removed: 1 << 2, faults: 1,
		long: true,
	},
	{
		name: "schemas interleaved", log: "01010", configs: []modelConfig{{flush: 4}, {flush: 3}}, committed: never,
		caught: []mutant{skipsThePlan, commitsFirst, replaysByConfig},
	},
	{
		name: "schemas interleaved, a write fails", log: "010", configs: []modelConfig{{flush: 3}, {flush: 2}}, committed: never, faults: 1,
		caught: []mutant{skipsThePlan, commitsFirst, replaysByConfig},
	},
	{
		name: "marker, compaction of the next first record", log: "0.000", configs: []modelConfig{{flush: 2}, {flush: 2}}, committed: never, removed: 1 << 3,
		caught: []mutant{replaysByRecords},
	},
	{
		name: "null policy", log: "00n0n0", configs: []modelConfig{{flush: 2}, {flush: 2, nulls: true}}, faults: 1, committed: never,
	},
	{
		name: "default, then folders", log: "0000", configs: []modelConfig{{flush: 4}, {flush: 4, odd: true}}, faults: 1, committed: never,
		caught: []mutant{skipsThePlan, replaysByConfig},
	},
	{
		name: "folders of other fields", log: "000000", configs: []modelConfig{{flush: 4, odd: true}, {flush: 4, split: true}}, committed: never,
		caught: []mutant{replaysByConfig},
	},
	{
		name: "topics.dir", log: "0000", configs: []modelConfig{{flush: 2}, {flush: 2, dir: 1}}, faults: 1, committed: never,
		caught: []mutant{skipsThePlan, replaysByConfig},
	},
	{
		name: "folders, compaction, retention", log: "0010", configs: []modelConfig{{flush: 4, odd: true}, {flush: 3, odd: true}}, committed: never,
		removed: 1 << 1, retained: 1, caught: []mutant{replaysByRecords},
	},
	{
		name: "take-over, the commit lags", log: "0000000", configs: []modelConfig{{flush: 2}, {flush: 99}}, faults: 1, committed: 0,
		theirs: []offsets{0b000111, 0b111000}, caught: []mutant{beginsBlindly},
	},
	{
		name: "unfinished files are left", log: "00000", configs: []modelConfig{{flush: 2, tail: true}, {flush: 3, tail: true}}, end: 4, appends: true, faults: 1, committed: never,
	},
	{
		name: "three tasks", log: "00", configs: []modelConfig{{flush: 2}, {flush: 1, dir: 1}, {flush: 99}}, committed: never,
		caught: []mutant{skipsThePlan, commitsFirst, replaysByConfig, writesBlindly},
	},

	// Those for which a minute is needed.
	{
		name: "three tasks, a write fails", log: "00", configs: []modelConfig{{flush: 2}, {flush: 1, dir: 1}, {flush: 1}}, committed: never, faults: 1, long: true,
	},
	{
		name: "schemas interleaved, more of them", log: "010101", configs: []modelConfig{{flush: 4}, {flush: 3}}, committed: never, faults: 1, long: true,
	},
	{
		name: "two writes fail", log: "00000", configs: []modelConfig{{flush: 2}, {flush: 99}}, end: 4, appends: true, faults: 2, committed: never, long: true,
	},
	{
		name: "everything", log: "01n0.0", configs: []modelConfig{{flush: 2, nulls: true}, {flush: 3, nulls: true, odd: true, dir: 1}}, end: 5, committed: never,
		appends: true, loses: true, retained: 1, removed: 1 << 1, long: true,
	},
}

func (sc modelScenario) build(fault mutant) (*model, state) {
	m := &model{
		log: sc.log, configs: sc.configs, mutant: fault, byText: map[string]int16{},
		retained: sc.retained, removed: sc.removed, appended: uint8(len(sc.log)),
	}
	s := state{
		end: uint8(len(sc.log)), committed: sc.committed, plan: never, faults: sc.faults,
		appends: sc.appends, retention: sc.retained > 0, compaction: sc.removed > 0, loses: sc.loses,
	}
	if sc.end > 0 {
		s.end = uint8(sc.end)
	}
	for i := range sc.log {
		if sc.log[i] != '.' {
			s.present |= 1 << i
		}
	}
	for i, set := range sc.theirs {
		first := uint8(i * count(set))
		s.objects = append(s.objects, stored{modelObject{modelName: modelName{first: first}, records: set}, foreign})
	}
	for i := range s.tasks {
		s.tasks[i].plan = never
		if i >= len(sc.configs) {
			s.tasks[i].at = atEnd
		}
	}
	return m, s
}

// finding is a state that must not be, and how it comes about.
type finding struct {
	what  string
	trace []string
}

// explore walks through all states, the nearest first, and gives the first that must not be, and how many there are.
func (m *model) explore(first state, most int) (*finding, int) {
	type entry struct {
		state
		from, by int // the state before, and which of its steps
	}
	seen := map[string]struct{}{string(first.key(nil)): {}}
	alone := map[string]string{}
	queue := []entry{{first, never, 0}}
	var key []byte
	for i := 0; i < len(queue); i++ {
		s := &queue[i].state
		what := m.violation(s)
		if what == "" {
			what = m.runAlone(s, alone)
		}
		if what != "" {
			var trace []string
			m.named = true
			for at := i; queue[at].from >= 0; at = queue[at].from {
				by := m.steps(&queue[queue[at].from].state, false)[queue[at].by]
				trace = append(trace, fmt.Sprintf("%d: %s", by.task, by.text))
			}
			slices.Reverse(trace)
			return &finding{what, trace}, len(queue)
		}
		if len(queue) > most {
			return &finding{what: "there are too many states"}, len(queue)
		}
		for by, next := range m.steps(s, false) {
			key = next.after.key(key[:0])
			if _, ok := seen[string(key)]; !ok {
				seen[string(key)] = struct{}{}
				queue = append(queue, entry{next.after, i, by})
			}
		}
	}
	return nil, len(queue)
}

// runAlone lets a fresh task drain, all others being dead, once with the first and once with the last task's settings.
func (m *model) runAlone(s *state, known map[string]string) string {
	fresh := *s
	fresh.hung, fresh.appends, fresh.retention, fresh.compaction, fresh.loses, fresh.faults = hung{}, false, false, false, false, 0
	for i := range fresh.tasks {
		fresh.tasks[i] = task{at: atEnd, plan: never}
	}
	key := string(fresh.key(nil))
	if what, ok := known[key]; ok {
		return what
	}
	configs := m.configs
	defer func() { m.configs = configs }()
	what := ""
	for _, c := range []modelConfig{configs[0], configs[len(configs)-1]} {
		c.nulls, c.tail = true, false
		m.configs = []modelConfig{c}
		now := fresh
		now.tasks[0] = task{plan: never}
		steps := 0
		for now.tasks[0].at < atEnd && steps < 300 {
			all := m.steps(&now, true)
			now = all[0].after
			steps++
		}
		switch {
		case now.tasks[0].at == atStopped:
			what = "P5: a fresh drain stops"
		case now.tasks[0].at != atEnd:
			what = "P5: a fresh drain does not end"
		default:
			if what = m.violation(&now); what == "" {
				what = m.incomplete(&now)
			}
		}
		if what != "" {
			break
		}
	}
	known[key] = what
	return what
}

// TestProtocolModel: in every state that tasks and their surroundings can come to
//
//   - P1: no record is in two objects,
//   - P2: no record that Kafka still has, from the start on, below the committed offset or the head's frontier, is in none,
//   - P3: ranges of different flushes do not overlap,
//   - P4, P5: a fresh drain that runs alone ends, with every record in exactly one object and the end committed,
//   - P6: no object under a planned name is of another plan.
func TestProtocolModel(t *testing.T) {
	t.Parallel()
	for _, sc := range modelScenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			most := 100_000
			if sc.long {
				if os.Getenv("RIFTLINE_LONG") == "" {
					t.Skip("long: RIFTLINE_LONG is not set (make test-long)")
				}
				most = 5_000_000
			}
			m, s := sc.build(sound)
			found, n := m.explore(s, most)
			if found != nil {
				t.Fatalf("%s, after %d states:\n%s", found.what, n, strings.Join(found.trace, "\n"))
			}
			t.Logf("%d states", n)
		})
	}
}

// TestModelCatchesFaults: the model would notice if somebody took a part of the protocol away.
func TestModelCatchesFaults(t *testing.T) {
	t.Parallel()
	seen := map[mutant]bool{}
	for _, sc := range modelScenarios {
		for _, fault := range sc.caught {
			seen[fault] = true
			t.Run(fmt.Sprintf("%s, %s", fault, sc.name), func(t *testing.T) {
				t.Parallel()
				m, s := sc.build(fault)
				found, n := m.explore(s, 400_000)
				if found == nil {
					t.Fatalf("not caught in %d states", n)
				}
				t.Logf("%s, after %d states and %d steps:\n%s", found.what, n, len(found.trace), strings.Join(found.trace, "\n"))
			})
		}
	}
	for fault := skipsThePlan; fault <= keepsWhatItRead; fault++ {
		if !seen[fault] {
			t.Errorf("no scenario catches the fault: %s", fault)
		}
	}
}

func (f mutant) String() string {
	return []string{
		"sound", "skips the plan", "replays by configuration", "replays by records", "commits first", "begins blindly", "writes blindly",
		"forgets the plan", "born from the commit", "plans ahead", "keeps what it read",
	}[f]
}
