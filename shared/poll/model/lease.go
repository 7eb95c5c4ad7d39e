package model

// The lease is how the protocol goes on where brokers refuse transactions: nothing but the time keeps two runs apart. Its
// model has two keys, whose records are requests of their own, so that a part of an intent can be there; and it has the
// time, as far as it counts: whether the lease of a run is over for itself, and whether it is for others, which is later.

// LeaseOptions bound a search of the lease.
type LeaseOptions struct {
	// Runs are the runs that overlap; one more comes when they have ended and is not disturbed.
	Runs int
	// Answers are what the API answers one after the other, the values of the two keys each: "AA BA". The topic holds the
	// first one at the beginning.
	Answers []string
	// Kills bounds how many runs are killed, Losses how many calls fail, carried out or not.
	Kills, Losses uint8
	// Paused lets a run stand still between its look at the clock and what it sends, past the end of its lease. Delayed
	// lets a request arrive later than that. These are what the lease cannot help.
	Paused, Delayed bool
	// Mistakes are what the runs do wrong.
	Mistakes LeaseMistakes
}

// LeaseMistakes are deliberate departures from the lease. Each must lead to a violation.
type LeaseMistakes struct {
	NoWait           bool // take an intent over before its time is over
	AllOrNothing     bool // take a part of the records for none of them
	PartIsAll        bool // take a part of the records for all of them
	LateWatermarks   bool // note the ends of the topic when the intent is read, and not before it is written
	FetchBeforeLoad  bool // ask the API first
	ErrorIsNotThere  bool // take a record whose answer was lost for not there, and end the intent
	SendWithoutClock bool // do not look at the clock
}

type values [2]byte

// leaseObject is the source offset object. since is the watermark: how many records each partition had.
type leaseObject struct {
	gen          uint8
	base, change values
	intent       id
	owner        int8
	since        [2]uint8
}

// leaseRecord is a record of the topic.
type leaseRecord struct {
	value byte
	of    id
}

// deepest is how many records a partition has at most in a search.
const deepest = 8

type leaseTopic struct {
	n   [2]uint8
	log [2][deepest]leaseRecord
}

func (t *leaseTopic) tail(key int) leaseRecord { return t.log[key][t.n[key]-1] }

type leasePlace uint8

const (
	leaseIdle leasePlace = iota
	leaseLoad
	leaseFetch
	leaseSettle
	leaseMark
	leaseAnnounce
	leaseClock
	leaseSend
	leaseClose
	leaseEnded
	leaseDead
)

type leaseRun struct {
	at            leasePlace
	gen           uint8
	state, next   leaseObject
	value         values
	answer        uint8
	fetched       bool
	settled       bool
	left, unknown [2]bool // records that are to be sent, and that were sent without an answer
}

// leaseFlight is a request that is on its way, of one key of one run.
type leaseFlight struct {
	there bool
	r     leaseRecord
	owner int8
}

type leaseState struct {
	o      leaseObject
	topic  leaseTopic
	answer uint8
	nextID id
	runs   [slots]leaseRun
	// over is true of a run whose lease is over by its own clock, gone once it is for others too.
	over, gone    [slots]bool
	flying        [2]leaseFlight
	kills, losses uint8
	wrong         wrong
	// order is the last answer that is in the topic, by key.
	order [2]uint8
}

// ExploreLease looks at every state that the options allow, breadth first, and stops at the first violation.
func ExploreLease(o LeaseOptions) (states int, v Violation) {
	type step struct {
		from int32
		did  string
	}
	s := leaseState{nextID: 2, kills: o.Kills, losses: o.Losses}
	first := values{o.Answers[0][0], o.Answers[0][1]}
	s.o = leaseObject{gen: 1, base: first, owner: -1}
	for key := range first {
		s.topic.log[key][0], s.topic.n[key] = leaseRecord{first[key], 1}, 1
	}
	for i := range o.Runs {
		s.runs[i] = o.begin()
	}
	seen := map[leaseState]struct{}{s: {}}
	queue, steps := []leaseState{s}, []step{{from: -1}}
	for n := 0; n < len(queue); n++ {
		found := -1
		var bad wrong
		o.next(queue[n], func(did string, t leaseState) {
			if _, ok := seen[t]; ok || found >= 0 {
				return
			}
			seen[t] = struct{}{}
			queue, steps = append(queue, t), append(steps, step{int32(n), did})
			if bad = o.judge(&t); bad != fine {
				found = len(queue) - 1
			}
		})
		if found < 0 {
			continue
		}
		v.What = bad.String()
		for n := found; n > 0; n = int(steps[n].from) {
			v.Trace = append([]string{steps[n].did}, v.Trace...)
		}
		return len(queue), v
	}
	return len(queue), v
}

func (o LeaseOptions) begin() leaseRun {
	if o.Mistakes.FetchBeforeLoad {
		return leaseRun{at: leaseFetch}
	}
	return leaseRun{at: leaseLoad}
}

// judge finds what must hold at every moment, and at the end.
func (o LeaseOptions) judge(s *leaseState) wrong {
	if s.wrong != fine || s.runs[o.Runs].at != leaseEnded {
		return s.wrong
	}
	last := o.Answers[len(o.Answers)-1]
	for key := range 2 {
		if s.topic.tail(key).value != last[key] {
			return leftBehind
		}
		if s.o.base[key] != last[key] {
			return baseIsNotTheTopic
		}
	}
	return fine
}

// arrive is the broker taking a record.
func (s *leaseState) arrive(key int, r leaseRecord, answer uint8) {
	t := &s.topic
	switch {
	case t.tail(key).value == r.value:
		s.wrong = doubled
	case answer < s.order[key]:
		s.wrong = disordered
	}
	if t.n[key] < deepest {
		t.log[key][t.n[key]] = r
		t.n[key]++
	}
	s.order[key] = answer
}
