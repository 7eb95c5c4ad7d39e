// Package model is an explicit-state model of the poll protocol as package poll carries it out, small enough to be
// searched to the end: every interleaving of a few runs that may be killed or stand still before each of their calls,
// whose answers may be lost and whose requests may arrive late, while values go back to what they were and markers
// expire. It is used by tests only.
//
// The model has one key. Everything that a run does to its peers is one call, with the names that the fakes in package
// poll's tests use, so that what real runs did can be replayed here (see [Accepts]): the model is kept true to the code
// by that. Polls of several transactions are replayed, but not searched.
//
// How polls go on without transactions is a model of its own (see [ExploreLease]), with two keys and with the time.
package model

// A Call is what a run asks of a peer.
type Call string

// The calls of a poll. A compare-and-set is a Write, and a Reread after each Write that did not succeed.
const (
	Read    Call = "read"
	Fetch   Call = "fetch"
	Write   Call = "write"
	Reread  Call = "reread"
	Fence   Call = "fence"
	Stat    Call = "stat"
	Marker  Call = "marker"
	Find    Call = "find"
	Produce Call = "produce"
	Commit  Call = "commit"
)

// A Fate is what becomes of a call.
type Fate uint8

// The fates of a call: answered; carried out and its answer lost; lost itself; carried out or not long after the caller
// was told that it is lost.
const (
	Answered Fate = iota
	AnswerLost
	Lost
	Late
)

// Mistakes are deliberate departures from the protocol. Each must lead to a violation.
type Mistakes struct {
	NoSecondLook       bool // fence, but do not look whether the object is still the own intent
	NoClaim            bool // recover without announcing it
	FetchBeforeLoad    bool // ask the API first
	ErrorIsAbort       bool // take an error of the commit for "not committed"
	AbsentIsAbort      bool // take an absent marker for "not committed" however old the intent is
	Unstable           bool // read the marker without require_stable
	ClaimUnseen        bool // find the own intent in a re-read and overlook the claim beside it
	GenesisWithoutLook bool // begin without a look at the marker
	FenceBeforeIntent  bool // take over the transactional id before the intent is written
	FencedClientGoesOn bool // a fenced client takes a new epoch and goes on
}

// Options bound a search.
type Options struct {
	// Runs are the runs that overlap; one more comes when they have ended and is not disturbed.
	Runs int
	// Answers are the values that the API answers one after the other, "ABA"; the topic holds the first one at the
	// beginning unless Genesis is set.
	Answers string
	// Genesis begins without an object. Deleted does so with a marker that is there.
	Genesis, Deleted bool
	// Kills, Losses and Weeks bound how many runs are killed, how many calls are lost, and how often more time passes
	// than a marker lives.
	Kills, Losses, Weeks uint8
	// Patient makes runs leave an intent alone that is not their own. Otherwise they may take it over at any time, as if
	// its time were over.
	Patient bool
	// Mistakes are what the runs do wrong.
	Mistakes Mistakes

	// replay frees values and bounds: only the order of calls and what they come to counts.
	replay bool
}

type id uint8

// object is the source offset object. Generation 0 is its absence.
type object struct {
	gen                 uint8
	base                byte
	last, intent, claim id
	change, answer      byte // what the intent publishes, and which answer of the API that is
}

// broker is the transaction coordinator, the marker and the topic's end.
type broker struct {
	epoch, txnEpoch  uint8
	txn              id // that of the open transaction
	value, answer    byte
	late             bool // a commit of the open transaction is on its way
	unsettled        id   // committed, but its marker cannot be read yet
	marker           id
	expires          bool // the marker is older than markers live
	tail, tailAnswer byte
	committed        uint64 // the ids that committed, as bits
}

type place uint8

const (
	idle place = iota
	load
	claim
	claimReread
	fenceToRecover
	ask
	search
	fetch
	settle
	settleReread
	begin
	beginLook
	announce
	announceReread
	announceNext
	announceNextReread
	takeBack
	fence
	look
	check
	produce
	commit
	closing
	closingReread
	release
	releaseReread
	stop
	stopReread
	ended
	dead
)

// run is one poll on its way.
type run struct {
	at            place
	gen           uint8
	state, next   object // what it holds, and what it is about to write
	writes        id     // the intent or claim that it writes
	own           [2]id
	open          id // the own intent whose outcome is not known
	epoch         uint8
	settled       bool // a recovery's result is not written yet
	second        bool // the attempt after a commit with an unknown outcome
	value, answer byte
	fetched       bool
}

const slots = 4

// state is all there is.
type state struct {
	o     object
	b     broker
	fly   object // a write on its way, for the generation in flyAt
	flyAt uint8
	flies bool

	runs   [slots]run
	answer byte
	nextID id
	// oldBelow separates the ids of intents that are older than markers live.
	oldBelow             id
	kills, losses, weeks uint8
	wrong                wrong
}

type wrong uint8

const (
	fine wrong = iota
	doubled
	disordered
	stopped
	baseIsNotTheTopic
	leftBehind
)

func (w wrong) String() string {
	return [...]string{
		"", "a value is published twice", "an older answer is published after a newer one", "a run stopped for a person's decision",
		"the object does not say what the topic holds", "the last answer is not the topic's last value",
	}[w]
}

// label says what a transition is. Run is -1 for the world around the runs.
type label struct {
	run  int8
	call Call
	fate Fate
}

func (o Options) start() state {
	s := state{nextID: 2, kills: o.Kills, losses: o.Losses, weeks: o.Weeks}
	first := o.Answers[0]
	s.o = object{gen: 1, base: first, last: 1}
	s.b = broker{marker: 1, committed: 1 << 1, tail: first}
	if o.Genesis {
		s.o = object{}
		if !o.Deleted {
			s.b, s.nextID = broker{}, 1
		}
	}
	for i := range o.Runs {
		s.runs[i].at = load
		if o.Mistakes.FetchBeforeLoad {
			s.runs[i].at = fetch
		}
	}
	return s
}

func (s *state) newID() id {
	n := s.nextID
	s.nextID++
	return n
}

// end ends a run; nothing of it matters any more.
func (r *run) end() { *r = run{at: ended} }

// fail ends a run by an error; the result of a recovery is still written.
func (r *run) fail() {
	if r.settled {
		r.write(settle, r.state)
		return
	}
	r.end()
}

func (r *run) write(at place, next object) { r.at, r.next = at, next }

func (o object) without() object {
	o.intent, o.claim, o.change, o.answer = 0, 0, 0, 0
	return o
}

func (o object) closed() object {
	o.base, o.last = o.change, o.intent
	return o.without()
}

// append carries a commit out.
func (s *state) append(o Options) {
	b := &s.b
	switch {
	case o.replay:
	case b.tail == b.value:
		s.wrong = doubled
	case b.answer < b.tailAnswer:
		s.wrong = disordered
	}
	b.tail, b.tailAnswer, b.committed = b.value, b.answer, b.committed|1<<(b.txn%64)
	b.unsettled = b.txn
	b.txn, b.txnEpoch, b.value, b.answer, b.late = 0, 0, 0, 0, false
}

func (s *state) abort() {
	b := &s.b
	b.txn, b.txnEpoch, b.value, b.answer, b.late = 0, 0, 0, 0, false
}

// settleMarker makes the marker of the last commit readable.
func (s *state) settleMarker() {
	s.b.marker, s.b.expires, s.b.unsettled = s.b.unsettled, false, 0
}

// judge finds what must hold at every moment.
func (s *state) judge() wrong {
	if s.wrong != fine || s.o.gen == 0 {
		return s.wrong
	}
	switch {
	case s.o.intent == 0 || s.b.committed&(1<<(s.o.intent%64)) == 0:
		if s.b.tail != s.o.base {
			return baseIsNotTheTopic
		}
	case s.b.tail != s.o.change:
		return baseIsNotTheTopic
	}
	return fine
}
