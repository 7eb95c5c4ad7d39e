package sourceoffset

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/local/gcs"
)

func openStore(t *testing.T) (Store, *gcs.Server) {
	t.Helper()
	server, err := gcs.New(gcs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.CreateBucket("state"); err != nil {
		t.Fatal(err)
	}
	client, err := bucket.NewClient(t.Context(), bucket.At(server.URL())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b, err := bucket.Open(client, "gs://state/riftline")
	if err != nil {
		t.Fatal(err)
	}
	return Store{Bucket: b, Partition: Partition{Connector: "challenger"}, Topic: "challenger", Kind: Snapshot}, server
}

func newState(s Store) State {
	return State{Partition: s.Partition, Topic: s.Topic, Kind: s.Kind, Base: NewBase(map[string]Known{"a": {Fingerprint: fp(1)}})}
}

func TestStoreChangesOnlyWhatItLoaded(t *testing.T) {
	s, _ := openStore(t)
	none := func(State) bool { return false }
	st, gen, err := s.Load(t.Context())
	if err != nil || gen != 0 || st.Base.Len() != 0 || st.Kind != Snapshot {
		t.Fatalf("absent: %+v, %d, %v", st, gen, err)
	}
	first, err := s.Write(t.Context(), newState(s), 0, none)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), newState(s), 0, none); !errors.Is(err, bucket.ErrLost) {
		t.Errorf("creating it twice: %v", err)
	}
	st, gen, err = s.Load(t.Context())
	if err != nil || gen != first || !reflect.DeepEqual(st.Base, newState(s).Base) {
		t.Fatalf("%+v, %d, %v", st, gen, err)
	}
	st.Intent = &Intent{ID: idA, MarkerTopic: "challenger"}
	second, err := s.Write(t.Context(), st, gen, OwnIntent(idA))
	if err != nil || second <= first {
		t.Fatal(second, err)
	}
	if now, err := s.Generation(t.Context()); err != nil || now != second {
		t.Error(now, err)
	}
	if _, err := s.Write(t.Context(), newState(s), first, none); !errors.Is(err, bucket.ErrLost) {
		t.Errorf("writing over what was not loaded: %v", err)
	}
}

func TestWriteWhoseAnswerIsLostIsFoundAgain(t *testing.T) {
	s, server := openStore(t)
	lose := func(times int) {
		server.Intercept(func(r gcs.Request) gcs.Fault {
			if r.Op == gcs.OpInsert && times > 0 {
				times--
				return gcs.Fault{Drop: true}
			}
			return gcs.Fault{}
		})
	}
	st := newState(s)
	st.Intent = &Intent{ID: idA, MarkerTopic: "challenger"}
	lose(1)
	gen, err := s.Write(t.Context(), st, 0, OwnIntent(idA))
	if err != nil {
		t.Fatal(err)
	}
	if now, err := s.Generation(t.Context()); err != nil || now != gen {
		t.Errorf("generation %d, now %d, %v", gen, now, err)
	}
}

func TestIntentThatWasClaimedBeforeTheReReadIsLost(t *testing.T) {
	s, server := openStore(t)
	st := newState(s)
	st.Intent = &Intent{ID: idA, MarkerTopic: "challenger"}
	claimed := st
	claimed.Claim = &Claim{ID: idB}
	data, err := Encode(claimed)
	if err != nil {
		t.Fatal(err)
	}
	dropped := false
	server.Intercept(func(r gcs.Request) gcs.Fault {
		switch {
		case r.Op == gcs.OpInsert && !dropped:
			dropped = true
			return gcs.Fault{Drop: true}
		case r.Op == gcs.OpRead && dropped:
			put(t, server, s, data)
		}
		return gcs.Fault{}
	})
	if _, err := s.Write(t.Context(), st, 0, OwnIntent(idA)); !errors.Is(err, bucket.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestOtherObjectsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*State){
		"another connector": func(s *State) { s.Partition.Connector = "other" },
		"other variables":   func(s *State) { s.Partition.Variables = map[string]string{"platform": "kr"} },
		"another topic":     func(s *State) { s.Topic = "other" },
		"another kind":      func(s *State) { s.Kind, s.Base = None, NewBase(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s, server := openStore(t)
			st := newState(s)
			change(&st)
			data, err := Encode(st)
			if err != nil {
				t.Fatal(err)
			}
			put(t, server, s, data)
			if _, gen, err := s.Load(t.Context()); !errors.Is(err, ErrForeign) || gen != 0 {
				t.Errorf("got %d, %v", gen, err)
			}
		})
	}
	t.Run("an empty object", func(t *testing.T) {
		s, server := openStore(t)
		put(t, server, s, nil)
		if _, _, err := s.Load(t.Context()); !errors.Is(err, ErrDamaged) {
			t.Errorf("got %v", err)
		}
	})
}

func put(t *testing.T, server *gcs.Server, s Store, data []byte) {
	t.Helper()
	if _, err := server.Put(gcs.Stored{Bucket: "state", Name: "riftline/" + s.Partition.Object(), Data: data}); err != nil {
		t.Fatal(err)
	}
}

func TestLoadNeverTakesATroubledBucketForAnEmptyOne(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusServiceUnavailable} {
		s, server := openStore(t)
		server.Intercept(func(r gcs.Request) gcs.Fault {
			if r.Op == gcs.OpRead || r.Op == gcs.OpGet {
				return gcs.Fault{Before: status}
			}
			return gcs.Fault{}
		})
		if _, _, err := s.Load(t.Context()); err == nil {
			t.Errorf("status %d is taken for absence", status)
		}
	}
	t.Run("a read that denies what a listing shows", func(t *testing.T) {
		s, server := openStore(t)
		data, err := Encode(newState(s))
		if err != nil {
			t.Fatal(err)
		}
		put(t, server, s, data)
		server.Intercept(func(r gcs.Request) gcs.Fault {
			if r.Op == gcs.OpRead || r.Op == gcs.OpGet {
				return gcs.Fault{Before: http.StatusNotFound}
			}
			return gcs.Fault{}
		})
		if _, _, err := s.Load(t.Context()); err == nil {
			t.Error("a false 404 is taken for absence")
		}
	})
	t.Run("the caller gave up", func(t *testing.T) {
		s, _ := openStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := s.Load(ctx); err == nil {
			t.Error("no answer is taken for absence")
		}
	})
}

func TestOwnershipAfterAReRead(t *testing.T) {
	intent := State{Intent: &Intent{ID: idA}}
	claimed := State{Intent: &Intent{ID: idA}, Claim: &Claim{ID: idB}}
	stopped := State{Intent: &Intent{ID: idA}, Claim: &Claim{ID: idB}, Stopped: "why"}
	settled := State{Last: idA}
	for _, c := range []struct {
		situation string
		mine      func(State) bool
		state     State
		want      bool
	}{
		{"my intent", OwnIntent(idA), intent, true},
		{"another's intent", OwnIntent(idB), intent, false},
		{"my intent, claimed", OwnIntent(idA), claimed, false},
		{"my intent, stopped", OwnIntent(idA), State{Intent: intent.Intent, Stopped: "why"}, false},
		{"no intent", OwnIntent(idA), settled, false},
		{"my claim", OwnClaim(idB), claimed, true},
		{"another's claim", OwnClaim(idA), claimed, false},
		{"no claim", OwnClaim(idB), intent, false},
		{"my claim, stopped", OwnClaim(idB), stopped, false},
		{"settled as I wrote", Settled(idA), settled, true},
		{"settled otherwise", Settled(idB), settled, false},
		{"not settled", Settled(""), intent, false},
		{"settled and stopped", Settled(idA), State{Last: idA, Stopped: "why"}, false},
		{"stopped by me", StoppedFor("why"), stopped, true},
		{"stopped for another reason", StoppedFor("other"), stopped, false},
	} {
		t.Run(c.situation, func(t *testing.T) {
			if got := c.mine(c.state); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
