package poller

import (
	"net/http"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/poll"
)

// together sends triggers at once, to several pollers, and returns the statuses and what was published.
func together(t *testing.T, handlers []http.HandlerFunc, bodies ...string) (statuses []int, published int) {
	t.Helper()
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, h := range handlers {
		for _, body := range bodies {
			wait.Go(func() {
				status, s, _ := post(t, h, body)
				mu.Lock()
				defer mu.Unlock()
				statuses, published = append(statuses, status), published+s.Published
			})
		}
	}
	wait.Wait()
	return statuses, published
}

// Pub/Sub delivers at least once, and may deliver a message to two instances at the same time.
func TestMessagesThatAreDeliveredTwicePublishOnce(t *testing.T) {
	t.Parallel()
	const message = `{"message":{"data":"eyJjb25uZWN0b3IiOiJjaGFsbGVuZ2VyIn0=","messageId":"1"},"subscription":"projects/p/subscriptions/s"}`
	w := change(t)
	first, second := w.service(), w.service()
	for round, want := range []int{2, 0, 0} {
		statuses, published := together(t, []http.HandlerFunc{first.pollEvent, second.pollEvent}, message, message, message)
		for _, status := range statuses {
			if status != http.StatusOK {
				t.Errorf("round %d: status %d", round, status)
			}
		}
		if published != want {
			t.Errorf("round %d: published %d, want %d", round, published, want)
		}
	}
	w.wantValues("a=1,2 b=1 c=1")
}

// Cloud Scheduler sends a trigger again when the answer was no success, beside the next minute's.
func TestRetriesOfTheSchedulerPublishOnce(t *testing.T) {
	t.Parallel()
	w := change(t)
	refusal := w.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.CoordinatorNotAvailable, Count: -1})
	s := w.service("RIFTLINE_DEADLINE=2s")
	for range 2 {
		status, summary, header := post(t, s.poll, trig)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			t.Errorf("without a coordinator: %d %s: %s", status, summary.Outcome, summary.Error)
		}
	}
	w.released()
	refusal.Remove()
	again := w.service()
	_, published := together(t, []http.HandlerFunc{again.poll}, trig, trig, trig)
	if published != 2 {
		t.Errorf("published %d", published)
	}
	w.mustPoll(again, poll.NothingNew)
	w.wantValues("a=1,2 b=1 c=1")
}
