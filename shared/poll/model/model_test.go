package model

import (
	"os"
	"testing"
)

// The worlds that are searched to their end.
var worlds = []struct {
	name string
	Options
	// long worlds have millions of states.
	long bool
}{
	{"two runs, a kill and a loss, there and back", Options{Runs: 2, Answers: "ABA", Kills: 1, Losses: 1}, false},
	{"two runs, two kills", Options{Runs: 2, Answers: "ABA", Kills: 2}, false},
	{"two runs, a kill, a long time", Options{Runs: 2, Answers: "AB", Kills: 1, Weeks: 1}, false},
	{"the first polls", Options{Runs: 2, Answers: "AB", Losses: 1, Genesis: true}, false},
	{"two runs, two losses", Options{Runs: 2, Answers: "AB", Losses: 2}, true},
	{"two runs, a kill, a loss, a long time", Options{Runs: 2, Answers: "ABA", Kills: 1, Losses: 1, Weeks: 1}, true},
	{"three runs, a kill", Options{Runs: 3, Answers: "AB", Kills: 1}, true},
}

func TestTheProtocolHolds(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			if w.long && os.Getenv("RIFTLINE_LONG") == "" {
				t.Skip("long: RIFTLINE_LONG is not set (make test-long)")
			}
			states, v := Explore(w.Options)
			if v.What != "" {
				t.Errorf("after %d states: %v", states, v)
			}
			t.Logf("%d states", states)
		})
	}
}

// Runs that leave each other's young intents alone leave no change unpublished, however they overlap.
func TestOverlappingRunsMakeProgress(t *testing.T) {
	for runs := 2; runs <= 3; runs++ {
		o := Options{Runs: runs, Answers: "B", Patient: true, Genesis: true}
		if states, v := Explore(o); v.What != "" {
			t.Errorf("%d runs, after %d states: %v", runs, states, v)
		}
	}
	o := Options{Runs: 2, Answers: "B", Patient: true, Genesis: true, Mistakes: Mistakes{FenceBeforeIntent: true}}
	if _, v := Explore(o); v.What == "" {
		t.Error("taking over the transactional id before the intent is not caught")
	} else {
		t.Log(v)
	}
}

func TestMistakesAreCaught(t *testing.T) {
	for name, o := range map[string]Options{
		"no second look":    {Runs: 2, Answers: "AB", Mistakes: Mistakes{NoSecondLook: true}},
		"no claim":          {Runs: 2, Answers: "AB", Mistakes: Mistakes{NoClaim: true}},
		"fetch before load": {Runs: 2, Answers: "ABC", Mistakes: Mistakes{FetchBeforeLoad: true}},
		"an error of the commit is taken for an abort":  {Runs: 1, Answers: "AB", Losses: 1, Mistakes: Mistakes{ErrorIsAbort: true}},
		"an absent marker is taken for not committed":   {Runs: 1, Answers: "AB", Kills: 1, Weeks: 1, Mistakes: Mistakes{AbsentIsAbort: true}},
		"a marker that is not stable":                   {Runs: 1, Answers: "AB", Kills: 1, Mistakes: Mistakes{Unstable: true}},
		"the claim beside the own intent is overlooked": {Runs: 2, Answers: "AB", Losses: 1, Mistakes: Mistakes{ClaimUnseen: true}},
		"a beginning without a look at the marker":      {Runs: 1, Answers: "A", Genesis: true, Deleted: true, Mistakes: Mistakes{GenesisWithoutLook: true}},
		"a fenced client goes on with a new epoch":      {Runs: 2, Answers: "AB", Mistakes: Mistakes{FencedClientGoesOn: true}},
	} {
		t.Run(name, func(t *testing.T) {
			states, v := Explore(o)
			if v.What == "" {
				t.Fatalf("not caught in %d states", states)
			}
			t.Logf("%d states, %v", states, v)
			// Without the mistake nothing is wrong.
			o.Mistakes = Mistakes{}
			if o.Deleted {
				return // a stop for a person's decision, as it should be
			}
			if states, v := Explore(o); v.What != "" {
				t.Errorf("without the mistake, after %d states: %v", states, v)
			}
		})
	}
}
