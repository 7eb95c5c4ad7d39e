package poller

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/poll"
)

func TestFault19DeletedObject(t *testing.T) {
	t.Parallel()
	w := change(t)
	if err := w.gcs.Delete("state", object); err != nil {
		t.Fatal(err)
	}
	if s := w.mustPoll(w.service(), poll.Stopped); !strings.Contains(s.Error, "deleted") {
		t.Errorf("says %s", s.Error)
	}
	if got := w.gcs.Objects("state", ""); len(got) != 0 {
		t.Errorf("%s was written", got[0].Name)
	}
	w.wantValues("a=1 b=1")
	// Without a marker it is a beginning.
	w.forgetMarker()
	w.mustPoll(w.service(), poll.Published)
	w.wantValues("a=1,2 b=1,1 c=1")
}

func TestFault20OlderObjectThatWasRestored(t *testing.T) {
	t.Parallel()
	w := change(t)
	old := w.stored()
	w.mustPoll(w.service(), poll.Published)
	if _, err := w.gcs.Put(gcs.Stored{Bucket: "state", Name: object, Data: old.Data}); err != nil {
		t.Fatal(err)
	}
	w.serve("a=3 b=1 c=1")
	if s := w.mustPoll(w.service(), poll.Stopped); !strings.Contains(s.Error, "restored") {
		t.Errorf("says %s", s.Error)
	}
	w.mustPoll(w.service(), poll.Stopped)
	w.wantValues("a=1,2 b=1 c=1")
}

func TestFault21TopicThatWasCreatedAgain(t *testing.T) {
	t.Parallel()
	w := change(t)
	admin := w.admin()
	if _, err := admin.DeleteTopics(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s := w.mustPoll(w.service(), poll.Stopped); !strings.Contains(s.Error, "created again") {
			t.Errorf("says %s", s.Error)
		}
	}
	w.wantValues("")
}

// Three transactions, and a run that dies at each of its calls.
func TestFault22KilledBetweenTheParts(t *testing.T) {
	t.Parallel()
	parts := func(d *poll.Deps) { d.PartRecords = 2 }
	for n := 1; ; n++ {
		w := newWorld(t)
		w.serve("a=1 b=1 c=1 d=1 e=1")
		h, died := dieAt(n)
		post(t, w.disturbed(h, parts).poll, trig)
		if !died.Load() {
			if n < 26 {
				t.Errorf("the poll passed %d points only", n)
			}
			break
		}
		w.serve("a=1 b=2 c=1 d=2 e=1")
		if s := w.mustPoll(w.laterParts(parts), poll.Published); s.Fetched != 5 {
			t.Errorf("point %d: fetched %d", n, s.Fetched)
		}
		held := w.values()
		for key, last := range map[string]int64{"a": 1, "b": 2, "c": 1, "d": 2, "e": 1} {
			got := held[key]
			// What the dead run published before may stand before a change.
			if len(got) == 2 && got[0] == 1 && last == 2 {
				got = got[1:]
			}
			if !slices.Equal(got, []int64{last}) {
				t.Fatalf("dead at point %d: the topic holds %v of %s", n, held[key], key)
			}
		}
	}
}

func (w *world) laterParts(parts func(*poll.Deps)) *service {
	return w.disturbed(nil, func(d *poll.Deps) {
		parts(d)
		d.Now = func() time.Time { return time.Now().Add(soon) }
	})
}

func TestFault25ObjectThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for situation, edit := range map[string]func(*world, string) []byte{
		"an empty object": func(*world, string) []byte { return nil },
		"a newer format": func(_ *world, body string) []byte {
			return zipped(t, strings.Replace(body, `"format":1`, `"format":2`, 1))
		},
		"a newer reader": func(_ *world, body string) []byte {
			return zipped(t, strings.Replace(body, `"minReader":1`, `"minReader":2`, 1))
		},
		"a wrong sum": func(_ *world, body string) []byte {
			return zipped(t, strings.Replace(body, `"commits":1`, `"commits":2`, 1))
		},
		"half of it":     func(w *world, _ string) []byte { d := w.stored().Data; return d[:len(d)/2] },
		"something else": func(*world, string) []byte { return []byte("hello") },
		"another connector's": func(_ *world, body string) []byte {
			return zipped(t, strings.Replace(body, `"challenger"`, `"other"`, 1))
		},
	} {
		t.Run(situation, func(t *testing.T) {
			w := change(t)
			z, err := gzip.NewReader(bytes.NewReader(w.stored().Data))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			bad := edit(w, string(body))
			put, err := w.gcs.Put(gcs.Stored{Bucket: "state", Name: object, Data: bad})
			if err != nil {
				t.Fatal(err)
			}
			if s := w.mustPoll(w.service(), poll.Stopped); !strings.Contains(s.Error, "gs://state/"+object) {
				t.Errorf("says %s", s.Error)
			}
			if now := w.stored(); now.Generation != put.Generation || !bytes.Equal(now.Data, bad) {
				t.Error("something was written")
			}
			w.wantValues("a=1 b=1")
		})
	}
}

func zipped(t *testing.T, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFault26BucketThatDoesNotTellIsNoBeginning(t *testing.T) {
	t.Parallel()
	for _, status := range []int{403, 404, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := change(t)
			w.gcs.Intercept(func(r gcs.Request) gcs.Fault {
				if r.Op == gcs.OpRead || r.Op == gcs.OpGet {
					return gcs.Fault{Before: status}
				}
				return gcs.Fault{}
			})
			s := w.service("RIFTLINE_DEADLINE=3s")
			if _, summary, _ := post(t, s.poll, trig); !summary.Outcome.Failed() || summary.Published != 0 {
				t.Errorf("%s, published %d", summary.Outcome, summary.Published)
			}
			w.gcs.Intercept(nil)
			w.released()
			w.mustPoll(w.service(), poll.Published)
			w.wantValues("a=1,2 b=1 c=1")
		})
	}
}

// Other programs write to the topic, with and without a header of our name.
func TestFault29RecordsOfOthersAreIgnored(t *testing.T) {
	t.Parallel()
	w := change(t)
	other, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	foreign := func(headers ...kgo.RecordHeader) {
		t.Helper()
		if err := other.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("a"), Value: []byte("foreign"), Headers: headers}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	foreign()
	foreign(kgo.RecordHeader{Key: kafka.HeaderID, Value: []byte(strings.Repeat("0", 32))}, kgo.RecordHeader{Key: "else"})
	w.die()
	w.forgetMarker()
	foreign(kgo.RecordHeader{Key: kafka.HeaderID})
	// The search in the topic passes them too.
	if s := w.mustPoll(w.later(13*time.Hour), poll.Published); s.Recovered != "not_committed" || s.Published != 2 {
		t.Errorf("recovered %q, published %d", s.Recovered, s.Published)
	}
	w.mustPoll(w.later(13*time.Hour), poll.NothingNew)
	if got := w.recordsWith(w.state().Last); got != 2 {
		t.Errorf("%d records of the last transaction", got)
	}
}

// recordsWith counts the records with an intent's id.
func (w *world) recordsWith(id string) int {
	w.t.Helper()
	n := 0
	w.eachRecord(func(r *kgo.Record) {
		for _, h := range r.Headers {
			if h.Key == kafka.HeaderID && string(h.Value) == id {
				n++
			}
		}
	})
	return n
}

// The time up to which an intent is left alone is missing, or was written by a clock that is off.
func TestFault32UntilDecidesOnlyWhoWaits(t *testing.T) {
	t.Parallel()
	for situation, until := range map[string]time.Duration{"missing": -1, "ten minutes late": 10 * time.Minute, "ten minutes early": -10 * time.Minute} {
		for _, committed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, committed %v", situation, committed), func(t *testing.T) {
				w := change(t)
				var gone atomic.Bool
				dead := w.disturbed(func(call string, after bool) error {
					if gone.Load() || call == "publish" && after == committed {
						gone.Store(true)
						return errDead
					}
					return nil
				}, nil)
				post(t, dead.poll, trig)
				st := w.state()
				if st.Intent == nil {
					t.Fatal("no intent is left")
				}
				st.Intent.Until = st.Intent.Until.Add(until)
				if until == -1 {
					st.Intent.Until = time.Time{}
				}
				w.putState(st)
				for _, ahead := range []time.Duration{0, 5 * time.Minute, 15 * time.Minute} {
					if _, s, _ := post(t, w.later(ahead).poll, trig); s.Outcome.Failed() {
						t.Errorf("after %v: %s: %s", ahead, s.Outcome, s.Error)
					}
				}
				w.wantValues("a=1,2 b=1 c=1")
			})
		}
	}
}
