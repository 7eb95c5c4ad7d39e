package model

import (
	"strings"
	"testing"
)

var leaseWorlds = map[string]LeaseOptions{
	"two runs, a kill, there and back": {Runs: 2, Answers: []string{"AA", "BB", "AB"}, Kills: 1},
	"two runs, a loss, there and back": {Runs: 2, Answers: []string{"AA", "BB", "AB"}, Losses: 1},
	"two runs, a kill and a loss":      {Runs: 2, Answers: []string{"AA", "BB"}, Kills: 1, Losses: 1},
	"three runs, a kill":               {Runs: 3, Answers: []string{"AA", "BB"}, Kills: 1},
	"three runs, a loss":               {Runs: 3, Answers: []string{"AA", "BA", "AA"}, Losses: 1},
	"two runs, two kills, two losses":  {Runs: 2, Answers: []string{"AA", "BB"}, Kills: 2, Losses: 2},
}

// The lease is exact as long as a run whose lease is over sends nothing, and nothing of it arrives.
func TestTheLeaseHolds(t *testing.T) {
	for name, o := range leaseWorlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			states, v := ExploreLease(o)
			if v.What != "" {
				t.Errorf("after %d states: %v", states, v)
			}
			t.Logf("%d states", states)
		})
	}
}

// What the lease cannot help doubles values: a run that stands still between its look at the clock and what it sends, and
// a request that takes longer than the lease.
func TestWhatTheLeaseCannotHelp(t *testing.T) {
	for name, o := range map[string]LeaseOptions{
		"a run is paused past its lease":     {Runs: 2, Answers: []string{"AA", "BA"}, Paused: true},
		"a request arrives after the lease":  {Runs: 2, Answers: []string{"AA", "BA"}, Losses: 1, Delayed: true},
		"the value went back in between too": {Runs: 2, Answers: []string{"AA", "BA", "AA"}, Paused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			states, v := ExploreLease(o)
			if v.What != doubled.String() && v.What != disordered.String() {
				t.Fatalf("not found in %d states: %v", states, v)
			}
			if !strings.Contains(v.String(), "is over for all") {
				t.Errorf("found otherwise: %v", v)
			}
			t.Logf("%d states, %v", states, v)
			o.Paused, o.Delayed = false, false
			if states, v := ExploreLease(o); v.What != "" {
				t.Errorf("without it, after %d states: %v", states, v)
			}
		})
	}
}

func TestMistakesOfTheLeaseAreCaught(t *testing.T) {
	for name, o := range map[string]LeaseOptions{
		"an intent is taken over before its time":          {Runs: 2, Answers: []string{"AA", "BA"}, Mistakes: LeaseMistakes{NoWait: true}},
		"a part is taken for nothing":                      {Runs: 1, Answers: []string{"AA", "BB"}, Kills: 1, Mistakes: LeaseMistakes{AllOrNothing: true}},
		"a part is taken for all":                          {Runs: 1, Answers: []string{"AA", "BB"}, Kills: 1, Mistakes: LeaseMistakes{PartIsAll: true}},
		"watermarks from after the intent":                 {Runs: 1, Answers: []string{"AA", "BA"}, Kills: 1, Mistakes: LeaseMistakes{LateWatermarks: true}},
		"fetch before load":                                {Runs: 2, Answers: []string{"AA", "BA", "CA"}, Mistakes: LeaseMistakes{FetchBeforeLoad: true}},
		"an answer that was lost is taken for a refusal":   {Runs: 1, Answers: []string{"AA", "BA"}, Losses: 1, Mistakes: LeaseMistakes{ErrorIsNotThere: true}},
		"the clock is not looked at while a lease is over": {Runs: 2, Answers: []string{"AA", "BA"}, Mistakes: LeaseMistakes{SendWithoutClock: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			states, v := ExploreLease(o)
			if v.What == "" {
				t.Fatalf("not caught in %d states", states)
			}
			t.Logf("%d states, %v", states, v)
			o.Mistakes = LeaseMistakes{}
			if states, v := ExploreLease(o); v.What != "" {
				t.Errorf("without the mistake, after %d states: %v", states, v)
			}
		})
	}
}
