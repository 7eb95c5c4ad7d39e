package model

// next tells every state that can follow.
func (o Options) next(s state, tell func(label, state)) {
	quiet := !s.flies && !s.b.late
	for i := range o.last() {
		quiet = quiet && (s.runs[i].at == ended || s.runs[i].at == dead)
	}
	if !o.replay && quiet && s.runs[o.Runs].at == idle {
		t := s
		t.runs[o.Runs].at = load
		if o.Mistakes.FetchBeforeLoad {
			t.runs[o.Runs].at = fetch
		}
		tell(label{run: -1}, t)
	}
	for i := range s.runs {
		switch s.runs[i].at {
		case idle, ended, dead:
			continue
		}
		o.step(s, i, func(c Call, f Fate, t state) {
			if f != Answered || c == "" {
				if t.losses == 0 || o.undisturbed(i) {
					return
				}
				t.losses -= o.costs()
			}
			tell(label{int8(i), c, f}, t)
		})
		if s.kills > 0 && !o.undisturbed(i) {
			t := s
			t.kills -= o.costs()
			t.runs[i] = run{at: dead}
			tell(label{run: int8(i), call: "kill"}, t)
		}
	}
	o.around(s, tell)
}

// last is the number of the runs that may be disturbed.
func (o Options) last() int {
	if o.replay {
		return slots
	}
	return o.Runs
}

func (o Options) undisturbed(i int) bool { return !o.replay && i == o.Runs }

func (o Options) costs() uint8 {
	if o.replay {
		return 0
	}
	return 1
}

// around is what happens without any run.
func (o Options) around(s state, tell func(label, state)) {
	none := label{run: -1}
	if !o.replay && int(s.answer)+1 < len(o.Answers) && s.runs[o.Runs].at == idle {
		t := s
		t.answer++
		tell(none, t)
	}
	if s.b.unsettled != 0 {
		t := s
		t.settleMarker()
		tell(none, t)
	}
	if s.b.late {
		t := s
		t.append(o)
		tell(none, t)
		t = s
		t.b.late = false
		tell(none, t)
	}
	if s.flies {
		t := s
		t.fly, t.flyAt, t.flies = object{}, 0, false
		tell(none, t)
		if s.o.gen == s.flyAt {
			t.put(s.fly)
			tell(none, t)
		}
	}
	if s.b.txn != 0 && s.losses > 0 && (o.replay || s.runs[o.Runs].at == idle) { // it takes the broker too long
		t := s
		t.losses -= o.costs()
		t.abort()
		tell(none, t)
	}
	if s.weeks > 0 && !o.replay {
		t := s
		t.weeks--
		t.oldBelow, t.b.expires = t.nextID, t.b.marker != 0
		tell(none, t)
	}
	if s.b.expires {
		t := s
		t.b.marker, t.b.expires = 0, false
		tell(none, t)
	}
}

func (s *state) put(next object) {
	next.gen = s.o.gen + 1
	s.o = next
}

// step tells what the next call of a run can come to. A loss without a call is an error on the way to the next one.
func (o Options) step(s state, i int, tell func(Call, Fate, state)) {
	r := &s.runs[i]
	m := o.Mistakes
	// lost tells that a call without effect failed.
	lost := func(c Call, then func(*run)) {
		t := s
		then(&t.runs[i])
		tell(c, Lost, t)
	}
	switch r.at {
	case load:
		lost(Read, (*run).end)
		o.load(s, i, tell)
	case claim, settle, announce, announceNext, closing, release, stop:
		o.write(s, i, tell)
	case claimReread, settleReread, announceReread, announceNextReread, closingReread, releaseReread, stopReread:
		o.reread(s, i, tell)
	case fenceToRecover:
		o.fence(s, i, tell, (*run).end, func(r *run) {
			if r.state.intent == 0 {
				r.state, r.settled, r.at = r.state.without(), true, fetch
				return
			}
			r.at = ask
		})
	case ask:
		lost(Marker, (*run).end)
		if s.b.unsettled != 0 && !m.Unstable {
			return // the broker asks for patience
		}
		o.ask(s, i, tell)
	case search:
		lost(Find, (*run).end)
		s.settle(i, s.b.committed&(1<<(r.state.intent%64)) != 0)
		tell(Find, Answered, s)
	case fetch:
		lost(Fetch, (*run).fail)
		o.fetch(s, i, tell)
	case begin:
		lost("", (*run).fail) // connecting
		lost(Marker, (*run).fail)
		if s.b.unsettled != 0 {
			return
		}
		if s.b.marker == 0 {
			s.announce(o, i)
		} else {
			r.at = beginLook
		}
		tell(Marker, Answered, s)
	case beginLook:
		lost(Stat, (*run).end)
		if s.o.gen == 0 {
			s.wrong = stopped
		}
		r.end()
		tell(Stat, Answered, s)
	case takeBack:
		lost(Read, (*run).end)
		if s.o.intent == r.writes && s.o.claim == 0 {
			r.state, r.gen = s.o, s.o.gen
			r.write(release, r.state.without())
		} else {
			r.end()
		}
		tell(Read, Answered, s)
	case fence:
		o.fence(s, i, tell, func(r *run) {
			if r.state.intent == 0 { // before the intent
				r.fail()
				return
			}
			r.write(release, r.state.without())
		}, func(r *run) {
			switch {
			case m.FenceBeforeIntent:
				r.at = announce
			case m.NoSecondLook:
				r.at = check
			default:
				r.at = look
			}
		})
	case look:
		lost(Stat, func(r *run) { r.write(release, r.state.without()) })
		if s.o.gen != r.gen {
			r.end()
		} else {
			r.at = check
		}
		tell(Stat, Answered, s)
	case check:
		lost(Marker, func(r *run) { r.write(release, r.state.without()) })
		if s.b.unsettled != 0 && !m.Unstable {
			return
		}
		if s.b.marker == 0 || s.b.marker == r.state.last {
			r.at = produce
		} else {
			r.write(stop, r.state.without())
		}
		tell(Marker, Answered, s)
	case produce:
		o.produce(s, i, tell)
	case commit:
		o.commit(s, i, tell)
	}
}

func (o Options) load(s state, i int, tell func(Call, Fate, state)) {
	r := &s.runs[i]
	r.state, r.gen = s.o, s.o.gen
	if s.o.intent == 0 && s.o.claim == 0 {
		r.at = fetch
		tell(Read, Answered, s)
		return
	}
	mine := s.o.claim == 0 && (s.o.intent == r.own[0] || s.o.intent == r.own[1])
	if !mine && !o.undisturbed(i) {
		t := s
		t.runs[i].end()
		tell(Read, Answered, t)
	}
	if !mine && o.Patient && !o.undisturbed(i) {
		return
	}
	if o.Mistakes.NoClaim {
		r.at = fenceToRecover
		tell(Read, Answered, s)
		return
	}
	r.writes = s.newID()
	next := r.state
	next.claim = r.writes
	r.write(claim, next)
	tell(Read, Answered, s)
}

func (o Options) ask(s state, i int, tell func(Call, Fate, state)) {
	r := &s.runs[i]
	old := r.state.intent < s.oldBelow
	switch marker := s.b.marker; {
	case marker == r.state.intent:
		s.settle(i, true)
	case marker != 0 && marker == r.state.last, marker == 0 && !old, marker == 0 && o.Mistakes.AbsentIsAbort:
		s.settle(i, false)
	case marker == 0:
		r.at = search
	default:
		// A reason to stop counts only if the object is still the one that was loaded.
		r.write(stop, r.state)
	}
	if o.replay && s.b.marker == 0 && r.at != search { // how old the intent is is not recorded
		t := s
		t.runs[i].at = search
		tell(Marker, Answered, t)
	}
	tell(Marker, Answered, s)
}

func (s *state) settle(i int, committed bool) {
	r := &s.runs[i]
	if r.open == r.state.intent {
		r.open = 0
	}
	if committed {
		r.state = r.state.closed()
	} else {
		r.state = r.state.without()
	}
	r.settled, r.at = true, fetch
}

func (o Options) fetch(s state, i int, tell func(Call, Fate, state)) {
	values := []byte{o.Answers[s.answer]}
	if o.replay {
		values = []byte("ABC")
	}
	for _, v := range values {
		t := s
		r := &t.runs[i]
		if o.Mistakes.FetchBeforeLoad && !r.fetched {
			r.fetched, r.value, r.answer, r.at = true, v, s.answer, load
			tell(Fetch, Answered, t)
			continue
		}
		if !r.fetched {
			r.value, r.answer = v, s.answer
		}
		if r.value == r.state.base {
			// What the model leaves out may have to be written all the same: that keys are back, where a cursor is.
			noted := t
			noted.runs[i].write(settle, r.state)
			tell(Fetch, Answered, noted)
		}
		t.compare(o, i)
		tell(Fetch, Answered, t)
	}
}

func (s *state) compare(o Options, i int) {
	r := &s.runs[i]
	switch {
	case r.value == r.state.base:
		r.fail()
	case r.gen == 0 && !o.Mistakes.GenesisWithoutLook:
		r.at = begin
	default:
		s.announce(o, i)
	}
}

// announce prepares the intent's write.
func (s *state) announce(o Options, i int) {
	r := &s.runs[i]
	r.writes = s.newID()
	next := r.state
	next.intent, next.claim, next.change, next.answer = r.writes, 0, r.value, r.answer
	r.write(announce, next)
	if o.Mistakes.FenceBeforeIntent && r.epoch == 0 {
		r.at = fence
	}
}

// announceNext prepares the write that closes a part and announces the next one.
func (s *state) announceNext(i int) {
	r := &s.runs[i]
	r.writes = s.newID()
	next := r.state
	next.intent = r.writes
	r.write(announceNext, next)
}

func (o Options) fence(s state, i int, tell func(Call, Fate, state), failed, done func(*run)) {
	t := s
	failed(&t.runs[i])
	tell(Fence, Lost, t)
	s.b.epoch++
	s.abort()
	t = s
	failed(&t.runs[i])
	tell(Fence, AnswerLost, t)
	s.runs[i].epoch = s.b.epoch
	done(&s.runs[i])
	tell(Fence, Answered, s)
}

func (o Options) produce(s state, i int, tell func(Call, Fate, state)) {
	back := func(r *run) { r.write(release, r.state.without()) }
	t := s
	back(&t.runs[i])
	tell(Produce, Lost, t)
	r := &s.runs[i]
	if o.Mistakes.FencedClientGoesOn && r.epoch != s.b.epoch {
		s.b.epoch++
		s.abort()
		r.epoch = s.b.epoch
	}
	if r.epoch != s.b.epoch {
		back(r)
		tell(Produce, Answered, s)
		tell(Produce, AnswerLost, s)
		return
	}
	s.b.txn, s.b.txnEpoch, s.b.value, s.b.answer = r.state.intent, r.epoch, r.state.change, r.state.answer
	t = s
	back(&t.runs[i])
	tell(Produce, AnswerLost, t)
	t.abort() // the client's own attempt
	tell(Produce, AnswerLost, t)
	r.at = commit
	tell(Produce, Answered, s)
}

func (o Options) commit(s state, i int, tell func(Call, Fate, state)) {
	unknown := func(r *run) {
		if o.Mistakes.ErrorIsAbort {
			r.write(release, r.state.without())
			return
		}
		if r.second {
			r.end()
			return
		}
		*r = run{at: load, own: r.own, open: r.state.intent, second: true}
		if o.Mistakes.FetchBeforeLoad {
			r.at = fetch
		}
	}
	t := s
	unknown(&t.runs[i])
	tell(Commit, Lost, t)
	r := &s.runs[i]
	open := s.b.txn == r.state.intent && s.b.txnEpoch == s.b.epoch
	if open {
		t.b.late = true
		tell(Commit, Late, t)
	}
	if !open || r.epoch != s.b.epoch {
		unknown(r)
		tell(Commit, Answered, s)
		tell(Commit, AnswerLost, s)
		return
	}
	s.append(o)
	t = s
	unknown(&t.runs[i])
	tell(Commit, AnswerLost, t)
	r.state = r.state.closed()
	if o.replay { // one key has no second part
		t = s
		t.announceNext(i)
		tell(Commit, Answered, t)
	}
	r.write(closing, r.state)
	tell(Commit, Answered, s)
}

// write is one try of a compare-and-set.
func (o Options) write(s state, i int, tell func(Call, Fate, state)) {
	at := s.runs[i].at
	if at == announce {
		t := s
		t.runs[i].fail()
		tell("", Lost, t) // connecting
	}
	t := s
	t.runs[i].at = at + 1
	tell(Write, Lost, t)
	if !s.flies {
		t.fly, t.flyAt, t.flies = s.runs[i].next, s.runs[i].gen, true
		tell(Write, Late, t)
	}
	r := &s.runs[i]
	if s.o.gen != r.gen {
		r.at = at + 1
		tell(Write, Answered, s)
		tell(Write, AnswerLost, s)
		return
	}
	s.put(r.next)
	t = s
	t.runs[i].at = at + 1
	tell(Write, AnswerLost, t)
	s.written(i, at)
	tell(Write, Answered, s)
}

// written goes on after a write that succeeded.
func (s *state) written(i int, at place) {
	r := &s.runs[i]
	r.state, r.gen = s.o, s.o.gen
	switch at {
	case claim:
		r.at = fenceToRecover
	case announce:
		r.settled = false
		if r.own[0] == 0 {
			r.own[0] = r.writes
		} else {
			r.own[1] = r.writes
		}
		r.at = fence
		if r.epoch != 0 {
			r.at = check
		}
	case announceNext:
		r.own[1], r.at = r.writes, produce
	case stop:
		s.wrong = stopped
		r.end()
	default:
		r.end()
	}
}

func (o Options) reread(s state, i int, tell func(Call, Fate, state)) {
	at := s.runs[i].at - 1
	again := func(c Call, f Fate) {
		t := s
		t.runs[i].at = at
		tell(c, f, t)
		// Or the time is over, which costs as much as a loss.
		t.runs[i].giveUp(at)
		if f == Answered && !o.replay {
			if t.losses == 0 {
				return
			}
			t.losses--
		}
		tell(c, f, t)
	}
	again(Reread, Lost)
	r := &s.runs[i]
	switch {
	case s.o.gen != 0 && s.mine(o, r, at):
		s.written(i, at)
		tell(Reread, Answered, s)
	case s.o.gen == r.gen:
		again(Reread, Answered)
	default:
		r.end()
		tell(Reread, Answered, s)
	}
}

// giveUp ends a compare-and-set whose outcome is still not known.
func (r *run) giveUp(at place) {
	if at == announce || at == announceNext {
		r.settled, r.at = false, takeBack
		return
	}
	r.end()
}

// mine tells whether the object that was read back is what the run wrote.
func (s *state) mine(o Options, r *run, at place) bool {
	switch at {
	case claim:
		return s.o.claim == r.writes
	case announce, announceNext:
		return s.o.intent == r.writes && (s.o.claim == 0 || o.Mistakes.ClaimUnseen)
	case stop:
		return false
	}
	return s.o.intent == 0 && s.o.claim == 0 && s.o.last == r.next.last
}
