package httpsource

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/ratelimit"
)

// sharing makes clients of one limiter and one clock.
func sharing(t *testing.T, clock *clock) func(s connector.Source) *Client {
	t.Helper()
	o := clock.options()
	o.Limits = &ratelimit.Limiter{}
	return func(s connector.Source) *Client {
		c, err := New(s, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
}

func TestRateLimitsAreWaitedFor(t *testing.T) {
	clock := newClock()
	client := sharing(t, clock)
	api := answers(t, text(ladder, "X-App-Rate-Limit", "1:7", "X-App-Rate-Limit-Count", "1:7"))
	first, second := client(source(api.URL)), client(source(api.URL, func(s *connector.Source) {
		s.Name = "other"
		s.Request.URL = api.URL + "/lol/league/v4/masterleagues"
	}))
	if a, err := first.Fetch(t.Context()); err != nil || a.Wait != 0 {
		t.Fatalf("waited %v, %v", a.Wait, err)
	}
	if a, err := second.Fetch(t.Context()); err != nil || a.Wait != 7*time.Second || a.Requests != 1 {
		t.Fatalf("waited %v for %d requests, %v", a.Wait, a.Requests, err)
	}
	if want := []time.Duration{7 * time.Second}; !slices.Equal(clock.waits, want) {
		t.Errorf("waited %v, want %v", clock.waits, want)
	}
}

func TestSharesOfRateLimits(t *testing.T) {
	clock := newClock()
	client := sharing(t, clock)
	api := answers(t, text(ladder, "X-Method-Rate-Limit", "4:10"))
	half := client(source(api.URL, func(s *connector.Source) { s.RateLimitShare = 0.5 }))
	whole := client(source(api.URL, func(s *connector.Source) { s.Name = "whole" }))
	for i, c := range []struct {
		client *Client
		wait   time.Duration
	}{{half, 0}, {half, 0}, {whole, 0}, {half, 10 * time.Second}, {whole, 0}} {
		if a, err := c.client.Fetch(t.Context()); err != nil || a.Wait != c.wait {
			t.Errorf("request %d: waited %v, want %v, %v", i, a.Wait, c.wait, err)
		}
	}
}

// TestMethodsOfTemplates: a request template stands for one method, whatever it is filled in with; hosts are apart.
func TestMethodsOfTemplates(t *testing.T) {
	clock := newClock()
	client := sharing(t, clock)
	api := answers(t, text(ladder, "X-Method-Rate-Limit", "1:10", "X-Method-Rate-Limit-Count", "1:10"))
	queue := func(name string) *Client {
		return client(source(api.URL, func(s *connector.Source) {
			s.Request.URL = api.URL + "/by-queue/${var.queue}?a=b"
			s.Request.Values.Var = map[string]string{"queue": name}
			s.Request.Origins = []string{api.URL}
			s.Request.Variables = []connector.UsedVariable{{Name: "queue"}}
		}))
	}
	for i, c := range []struct {
		client *Client
		wait   time.Duration
	}{
		{queue("solo"), 0},
		{queue("flex"), 10 * time.Second},
		{client(source(strings.Replace(api.URL, "127.0.0.1", "localhost", 1))), 0},
	} {
		if a, err := c.client.Fetch(t.Context()); err != nil || a.Wait != c.wait {
			t.Errorf("request %d: waited %v, want %v, %v", i, a.Wait, c.wait, err)
		}
	}
}

// TestARateLimitThatTakesTooLong: the API is not asked, and the error says when to come back.
func TestARateLimitThatTakesTooLong(t *testing.T) {
	clock := newClock()
	client := sharing(t, clock)
	api := answers(t, text(ladder, "X-App-Rate-Limit", "1:60", "X-App-Rate-Limit-Count", "1:60"))
	c := client(source(api.URL))
	if _, err := c.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), clock.now().Add(40*time.Second))
	defer cancel()
	_, err := c.Fetch(ctx)
	var deferred *DeferredError
	if !errors.As(err, &deferred) || !deferred.Until.Equal(clock.now().Add(time.Minute)) || deferred.Status != 0 ||
		!strings.Contains(err.Error(), "riftline.ratelimit.share") || len(clock.waits) > 0 {
		t.Errorf("%v, waited %v", err, clock.waits)
	}
}

// TestARefusalKeepsOthersAway: who was refused waits as Retry-After says, and so does everybody whom it is about. That
// the API is away is about nobody else.
func TestARefusalKeepsOthersAway(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, path string
		wait       time.Duration
	}{
		{429, "application", "/matches", 20 * time.Second}, {429, "method", "/matches", 0}, {429, "method", "/ladder", 20 * time.Second},
		{429, "", "/ladder", 20 * time.Second}, {503, "", "/ladder", 0},
	} {
		clock := newClock()
		client := sharing(t, clock)
		api := answers(t, status(c.status, "Retry-After", "20", "X-Rate-Limit-Type", c.kind), text(ladder))
		ctx, cancel := context.WithDeadline(t.Context(), clock.now().Add(10*time.Second))
		_, err := client(source(api.URL, func(s *connector.Source) { s.Request.URL = api.URL + "/ladder" })).Fetch(ctx)
		cancel()
		var deferred *DeferredError
		if errors.As(err, &deferred) != (c.status == http.StatusTooManyRequests) || err == nil {
			t.Fatal(err)
		}
		other := client(source(api.URL, func(s *connector.Source) { s.Name, s.Request.URL = "other", api.URL+c.path }))
		if a, err := other.Fetch(t.Context()); err != nil || a.Wait != c.wait {
			t.Errorf("%d %s, then %s: waited %v, want %v, %v", c.status, c.kind, c.path, a.Wait, c.wait, err)
		}
	}
}

// TestWithoutAnAnswer: a request that no answer came to counts, and so does one that was refused.
func TestWithoutAnAnswer(t *testing.T) {
	clock := newClock()
	client := sharing(t, clock)
	header := []string{"X-App-Rate-Limit", "3:30"}
	api := answers(t, text(ladder, header...), cutOff, status(503, header...), text(ladder, header...))
	if _, err := client(source(api.URL)).Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	// 1 and 2 s are the waits after failures; then the first request's 30 s must have passed. The second client has a
	// connection of its own, on which nothing is sent again by itself.
	if _, err := client(source(api.URL)).Fetch(t.Context()); err != nil || !slices.Equal(clock.waits, []time.Duration{time.Second, 2 * time.Second, 27 * time.Second}) {
		t.Errorf("waited %v, %v", clock.waits, err)
	}
}
