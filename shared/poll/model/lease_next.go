package model

import "fmt"

// next tells every state that can follow.
func (o LeaseOptions) next(s leaseState, tell func(string, leaseState)) {
	quiet := !s.flying[0].there && !s.flying[1].there
	for i := range o.Runs {
		at := s.runs[i].at
		quiet = quiet && (at == leaseEnded || at == leaseDead)
	}
	last := int(s.answer)+1 == len(o.Answers)
	// The last run comes when all others have ended, and nobody's lease is left alone any more.
	if quiet && last && s.runs[o.Runs].at == leaseIdle && (s.o.intent == 0 || s.gone[s.o.owner]) {
		t := s
		t.runs[o.Runs] = o.begin()
		tell("the last run begins", t)
	}
	for i := range o.Runs + 1 {
		switch s.runs[i].at {
		case leaseIdle, leaseEnded, leaseDead:
			continue
		}
		o.step(s, i, func(did string, t leaseState) { tell(fmt.Sprintf("run %d: %s", i, did), t) })
		if s.kills > 0 && i < o.Runs {
			t := s
			t.kills--
			t.runs[i] = leaseRun{at: leaseDead}
			tell(fmt.Sprintf("run %d: killed", i), t)
		}
	}
	o.around(s, tell)
}

// around is what happens without any run: the API moves on, requests arrive or get lost, and time passes.
func (o LeaseOptions) around(s leaseState, tell func(string, leaseState)) {
	if int(s.answer)+1 < len(o.Answers) {
		t := s
		t.answer++
		tell("the API moves on", t)
	}
	for key, f := range s.flying {
		if !f.there {
			continue
		}
		t := s
		t.flying[key] = leaseFlight{}
		tell("a request is lost", t)
		t.arrive(key, f.r, t.order[key])
		tell("a request arrives", t)
	}
	if s.o.intent == 0 || s.o.owner < 0 || int(s.o.owner) == o.Runs {
		return
	}
	owner := s.o.owner
	sending := s.runs[owner].at == leaseSend
	flies := s.flying[0].there && s.flying[0].owner == owner || s.flying[1].there && s.flying[1].owner == owner
	switch {
	case !s.over[owner]:
		t := s
		t.over[owner] = true
		tell(fmt.Sprintf("the lease of run %d ends", owner), t)
	case !s.gone[owner] && (o.Paused || !sending) && (o.Delayed || !flies):
		// A run that has looked at the clock has sent by now, and what was sent has arrived or is lost.
		t := s
		t.gone[owner] = true
		tell(fmt.Sprintf("the lease of run %d is over for all", owner), t)
	}
}

func (o LeaseOptions) step(s leaseState, i int, tell func(string, leaseState)) {
	r := &s.runs[i]
	lossy := s.losses > 0 && i < o.Runs
	switch r.at {
	case leaseLoad:
		o.load(s, i, tell)
	case leaseFetch:
		if !r.fetched {
			answer := o.Answers[s.answer]
			r.value, r.answer, r.fetched = values{answer[0], answer[1]}, s.answer, true
			if o.Mistakes.FetchBeforeLoad {
				r.at = leaseLoad
				tell("fetch", s)
				return
			}
		}
		o.compare(&s, i)
		tell("fetch", s)
	case leaseMark:
		r.next.since = s.topic.n
		r.at = leaseAnnounce
		tell("watermarks", s)
	case leaseSettle, leaseAnnounce, leaseClose:
		if lossy {
			t := s
			t.losses--
			t.runs[i] = leaseRun{at: leaseEnded}
			tell("write, lost", t)
			if s.o.gen == r.gen {
				t.put(r.next)
				if r.at == leaseAnnounce { // it is found when it is read again
					t.runs[i] = *r
					t.written(i)
				}
				tell("write, answer lost", t)
			}
		}
		if s.o.gen != r.gen {
			*r = leaseRun{at: leaseEnded}
			tell("write, another run was first", s)
			return
		}
		s.put(r.next)
		s.written(i)
		tell("write", s)
	case leaseClock:
		if s.over[i] && !o.Mistakes.SendWithoutClock {
			*r = leaseRun{at: leaseEnded} // what was sent before has to be found
			tell("the lease is over", s)
			return
		}
		r.at = leaseSend
		tell("looks at the clock", s)
	case leaseSend:
		o.send(s, i, lossy, tell)
	}
}

func (s *leaseState) put(next leaseObject) {
	next.gen = s.o.gen + 1
	s.o = next
}

func (s *leaseState) written(i int) {
	r := &s.runs[i]
	r.state, r.gen = s.o, s.o.gen
	if r.at != leaseAnnounce {
		*r = leaseRun{at: leaseEnded}
		return
	}
	r.settled, r.at = false, leaseClock
	for key := range 2 {
		r.left[key] = s.o.change[key] != s.o.base[key]
	}
}

func (o LeaseOptions) load(s leaseState, i int, tell func(string, leaseState)) {
	r := &s.runs[i]
	r.state, r.gen = s.o, s.o.gen
	if s.o.intent == 0 {
		r.at = leaseFetch
		tell("load", s)
		return
	}
	if !s.gone[s.o.owner] && !o.Mistakes.NoWait {
		*r = leaseRun{at: leaseEnded}
		tell("load, another run is publishing", s)
		return
	}
	// Two calls, between which nothing can come of the intent but what the lease cannot help.
	since := r.state.since
	if o.Mistakes.LateWatermarks {
		since = s.topic.n
	}
	var there [2]bool
	for key := range 2 {
		for n := since[key]; n < s.topic.n[key]; n++ {
			there[key] = there[key] || s.topic.log[key][n].of == r.state.intent
		}
	}
	o.fold(r, there)
	r.settled, r.at = true, leaseFetch
	tell("load, and read the topic", s)
}

// fold makes of what the topic holds what is known.
func (o LeaseOptions) fold(r *leaseRun, there [2]bool) {
	all, any := true, false
	for key := range 2 {
		if r.state.change[key] != r.state.base[key] {
			all, any = all && there[key], any || there[key]
		}
	}
	for key := range 2 {
		switch {
		case o.Mistakes.PartIsAll && any, there[key] && (all || !o.Mistakes.AllOrNothing):
			r.state.base[key] = r.state.change[key]
		}
	}
	r.state.intent, r.state.change, r.state.owner, r.state.since = 0, values{}, -1, [2]uint8{}
}

func (o LeaseOptions) compare(s *leaseState, i int) {
	r := &s.runs[i]
	if r.value == r.state.base {
		if r.settled {
			r.at, r.next = leaseSettle, r.state
			return
		}
		*r = leaseRun{at: leaseEnded}
		return
	}
	r.next = r.state
	r.next.intent, r.next.change, r.next.owner = s.nextID, r.value, int8(i)
	s.nextID++
	r.at = leaseMark
}

// send is one record of the intent. All of them are sent under one look at the clock at most.
func (o LeaseOptions) send(s leaseState, i int, lossy bool, tell func(string, leaseState)) {
	r := &s.runs[i]
	key := 0
	if !r.left[0] {
		key = 1
	}
	record := leaseRecord{r.state.change[key], r.state.intent}
	if lossy {
		t := s
		t.losses--
		t.runs[i].left[key], t.runs[i].unknown[key] = false, true
		o.sent(&t, i)
		tell("send, lost", t)
		if !t.flying[key].there {
			t.flying[key] = leaseFlight{true, record, int8(i)}
			tell("send, on its way", t)
		}
	}
	s.arrive(key, record, r.answer)
	if lossy {
		t := s
		t.losses--
		t.runs[i].left[key], t.runs[i].unknown[key] = false, true
		o.sent(&t, i)
		tell("send, answer lost", t)
	}
	r.left[key] = false
	o.sent(&s, i)
	tell("send", s)
}

// sent goes on after a record: with the next one, with the close, or not at all when something is not known.
func (o LeaseOptions) sent(s *leaseState, i int) {
	r := &s.runs[i]
	switch {
	case r.left[0] || r.left[1]:
		r.at = leaseClock
	case r.unknown == [2]bool{}, o.Mistakes.ErrorIsNotThere:
		r.next = r.state
		for key := range 2 {
			if !r.unknown[key] {
				r.next.base[key] = r.state.change[key]
			}
		}
		r.next.intent, r.next.change, r.next.owner, r.next.since = 0, values{}, -1, [2]uint8{}
		r.at = leaseClose
	default:
		*r = leaseRun{at: leaseEnded}
	}
}
