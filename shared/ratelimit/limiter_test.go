package ratelimit

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a time so many seconds after noon.
func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func use(connector string) Use {
	return Use{Connector: connector, Share: 1, Host: "kr.api.riotgames.com", Endpoint: "/ladder"}
}

// headers are those of an answer: limits and counts of the app, then of the method, empty ones left out.
func headers(values ...string) http.Header {
	h := http.Header{}
	for i, name := range []string{"X-App-Rate-Limit", "X-App-Rate-Limit-Count", "X-Method-Rate-Limit", "X-Method-Rate-Limit-Count", "X-Rate-Limit-Type"} {
		if i < len(values) && values[i] != "" {
			h.Set(name, values[i])
		}
	}
	return h
}

// ask takes a ticket that must be there and gives it its answer at once.
func ask(t *testing.T, l *Limiter, u Use, now time.Time, h http.Header) {
	t.Helper()
	ticket, until := l.Take(u, now)
	if !until.IsZero() {
		t.Fatalf("at %s: no request before %s", now.Format(time.StampMilli), until.Format(time.StampMilli))
	}
	ticket.Answered(h, -1, now)
}

// waits fails unless no request is allowed before a time.
func waits(t *testing.T, l *Limiter, u Use, now, want time.Time) {
	t.Helper()
	if _, until := l.Take(u, now); !until.Equal(want) {
		t.Errorf("at %s: the next request is allowed at %s, want %s", now.Format(time.StampMilli), until.Format(time.StampMilli), want.Format(time.StampMilli))
	}
}

func TestNothingIsKnown(t *testing.T) {
	var none *Limiter
	var fresh Limiter
	for range 100 {
		ask(t, none, use("a"), noon, headers())
		ask(t, &fresh, use("a"), noon, headers())
	}
	ticket, _ := none.Take(use("a"), noon)
	ticket.Failed(noon)
}

func TestWindows(t *testing.T) {
	t.Run("of the app", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("2:1,3:20", "1:1,1:20"))
		ask(t, &l, use("a"), at(0.5), headers("2:1,3:20", "2:1,2:20"))
		waits(t, &l, use("a"), at(0.6), at(1))
		ask(t, &l, use("a"), at(1), headers("2:1,3:20", "1:1,3:20"))
		waits(t, &l, use("a"), at(1.1), at(20))
		// Another endpoint of the host has the same app's limit, another host has not.
		other := use("a")
		other.Endpoint = "/matches"
		waits(t, &l, other, at(1.1), at(20))
		other.Host = "euw1.api.riotgames.com"
		ask(t, &l, other, at(1.1), headers())
		ask(t, &l, use("a"), at(20), headers())
		waits(t, &l, use("a"), at(20.1), at(20.5))
	})
	t.Run("of a method", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("", "", "1:10", "1:10"))
		waits(t, &l, use("b"), at(1), at(10))
		other := use("a")
		other.Endpoint = "/matches"
		ask(t, &l, other, at(1), headers())
	})
	t.Run("the end is counted from the answer", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("1:10", "1:10"))
		ticket, _ := l.Take(use("a"), at(10))
		waits(t, &l, use("a"), at(11), at(21)) // not before: the answer can come now at the earliest
		ticket.Answered(headers("1:10", "1:10"), -1, at(13))
		waits(t, &l, use("a"), at(14), at(23))
	})
	t.Run("they change", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("1:10", "1:10"))
		ask(t, &l, use("a"), at(10), headers("5:10,7:60", "1:10,1:60"))
		for i := range 4 {
			ask(t, &l, use("a"), at(11), headers("7:60,5:10", fmt.Sprintf("%d:60,%d:10", i+2, i+2)))
		}
		waits(t, &l, use("a"), at(11), at(20))
		ask(t, &l, use("a"), at(20), headers("7:60", "6:60"))
		ask(t, &l, use("a"), at(20), headers("7:60", "7:60"))
		waits(t, &l, use("a"), at(20), at(70))
	})
}

func TestCountsOfTheAPI(t *testing.T) {
	t.Run("others have made requests", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("20:10", "20:10"))
		waits(t, &l, use("a"), at(1), at(10))
	})
	t.Run("a window has ended, and what others made in it", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("3:100", "3:100"))
		waits(t, &l, use("a"), at(1), at(100))
		var m Limiter
		ask(t, &m, use("a"), at(0), headers("4:100", "3:100"))
		ask(t, &m, use("a"), at(20), headers("4:100", "1:100"))
		ask(t, &m, use("a"), at(30), headers("4:100", "2:100"))
		ask(t, &m, use("a"), at(40), headers("4:100", "3:100"))
		waits(t, &m, use("a"), at(41), at(100))
	})
	t.Run("no count", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("2:10"))
		ask(t, &l, use("a"), at(4), headers("2:10"))
		waits(t, &l, use("a"), at(5), at(10))
	})
	t.Run("answers that overtake each other", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("3:10", "1:10"))
		first, _ := l.Take(use("a"), at(10))
		second, _ := l.Take(use("b"), at(10))
		second.Answered(headers("3:10", "2:10"), -1, at(11))
		first.Answered(headers("3:10", "1:10"), -1, at(12))
		ask(t, &l, use("a"), at(13), headers("3:10", "3:10"))
		waits(t, &l, use("a"), at(14), at(21))
		// The two that were under way have told of each other, and of nobody else.
		ask(t, &l, use("a"), at(21), headers("3:10", "1:10"))
		waits(t, &l, use("a"), at(21.5), at(22))
	})
	t.Run("while others of ours are under way, nobody else has fewer", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("5:10", "3:10"))
		first, _ := l.Take(use("a"), at(1))
		second, _ := l.Take(use("b"), at(1))
		first.Answered(headers("5:10", "4:10"), -1, at(2))
		waits(t, &l, use("a"), at(2), at(10))
		second.Answered(headers("5:10", "5:10"), -1, at(3))
		waits(t, &l, use("a"), at(3), at(10))
	})
	t.Run("a request without an answer counts", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("2:10", "1:10"))
		ticket, _ := l.Take(use("a"), at(1))
		ticket.Failed(at(1.5))
		waits(t, &l, use("a"), at(2), at(10))
	})
	t.Run("what is under way counts in the next window", func(t *testing.T) {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("2:10", "1:10"))
		_, _ = l.Take(use("a"), at(9))
		_, _ = l.Take(use("a"), at(11))
		waits(t, &l, use("a"), at(12), at(22))
	})
}

func TestShares(t *testing.T) {
	var l Limiter
	half, third := use("half"), use("third")
	half.Share, third.Share = 0.5, 0.1
	ask(t, &l, half, at(0), headers("30:10", "1:10"))
	for range 14 {
		ask(t, &l, half, at(1), headers())
	}
	waits(t, &l, half, at(2), at(10))
	for range 3 {
		ask(t, &l, third, at(2), headers())
	}
	waits(t, &l, third, at(3), at(12))
	for range 12 {
		ask(t, &l, use("rest"), at(3), headers())
	}
	waits(t, &l, use("rest"), at(4), at(10))
	waits(t, &l, third, at(10.5), at(12)) // its own share is used for longer

	// Requests under way are of the share, too.
	var busy Limiter
	ask(t, &busy, half, at(0), headers("4:10", "1:10"))
	_, _ = busy.Take(half, at(1))
	waits(t, &busy, half, at(2), at(10))

	for _, c := range []struct {
		most  int
		share float64
		want  int
	}{{20, 1, 20}, {30, 0.1, 3}, {100, 0.29, 29}, {7, 0.5, 3}, {3, 0.01, 1}, {1, 1, 1}} {
		if got := (&window{most: c.most}).share(Use{Share: c.share}); got != c.want {
			t.Errorf("%v of %d is %d, want %d", c.share, c.most, got, c.want)
		}
	}
}

// TestRequestsAreCountedTogether: of many requests only some ends are kept, none of which is too early.
func TestRequestsAreCountedTogether(t *testing.T) {
	var l Limiter
	ask(t, &l, use("a"), at(0), headers("2:128", "1:128"))
	ask(t, &l, use("a"), at(2), headers("2:128", "2:128"))
	waits(t, &l, use("a"), at(3), at(130))

	var many Limiter
	for i := range 30_000 {
		ask(t, &many, use("a"), at(float64(i)/1000), headers("30000:10"))
	}
	if n := len(many.apps["kr.api.riotgames.com"].windows[0].own["a"]); n > 2*slotsASpan {
		t.Errorf("%d ends are kept", n)
	}
}

func TestTooManyRequests(t *testing.T) {
	refused := func(l *Limiter, kind string, after time.Duration, counts ...string) {
		ticket, until := l.Take(use("a"), at(0))
		if !until.IsZero() {
			t.Fatal(until)
		}
		h := headers(counts...)
		if kind != "" {
			h.Set("X-Rate-Limit-Type", kind)
		}
		ticket.Answered(h, after, at(0))
	}
	elsewhere := use("a")
	elsewhere.Endpoint = "/matches"

	for _, kind := range []string{"method", "service", "server", ""} {
		var l Limiter
		refused(&l, kind, 7*time.Second)
		waits(t, &l, use("a"), at(1), at(7))
		ask(t, &l, elsewhere, at(1), headers())
		ask(t, &l, use("a"), at(7), headers())
	}
	var l Limiter
	refused(&l, "application", 7*time.Second)
	waits(t, &l, elsewhere, at(1), at(7))

	// A Retry-After knows the end of a window that began before this process.
	var known Limiter
	refused(&known, "application", 7*time.Second, "20:1,100:120", "21:1,101:120", "2000:60", "36:60")
	waits(t, &known, use("a"), at(1), at(7))
	ask(t, &known, use("a"), at(7), headers())

	// A window that is not full ends when it did before.
	var longer Limiter
	refused(&longer, "application", time.Second, "1:1,4:120", "2:1,2:120")
	ask(t, &longer, use("a"), at(1), headers("", ""))
	ask(t, &longer, use("a"), at(2), headers("", ""))
	waits(t, &longer, use("a"), at(3), at(120))

	var atOnce Limiter
	refused(&atOnce, "application", 0, "1:120", "2:120")
	ask(t, &atOnce, use("a"), at(0), headers())

	// Without a Retry-After only the windows are known.
	var silent Limiter
	refused(&silent, "service", -1)
	ask(t, &silent, use("a"), at(0), headers())
}

func TestHeadersThatSayNothing(t *testing.T) {
	for _, limits := range []string{
		"", "20", "20:", ":1", "0:1", "20:0", "-1:1", "20:1;100:120", "20:1,", "20:1,20:1", "1e3:1", "99999999999:1", "1:99999999999",
		"1:1,1:2,1:3,1:4,1:5,1:6,1:7,1:8,1:9,1:10,1:11,1:12,1:13,1:14,1:15,1:16,1:17",
	} {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers(limits, "5:1"))
		ask(t, &l, use("a"), at(0), headers(limits, "5:1"))
		// What was known before stays.
		ask(t, &l, use("a"), at(1), headers("2:10", "1:10"))
		ask(t, &l, use("a"), at(2), headers(limits))
		waits(t, &l, use("a"), at(3), at(11))
	}
	for _, counts := range []string{"0:10", "1:1", "x", "-1:10", "3:10,3:10"} {
		var l Limiter
		ask(t, &l, use("a"), at(0), headers("2:10", counts))
		ask(t, &l, use("a"), at(1), headers("2:10", counts))
		waits(t, &l, use("a"), at(2), at(10))
	}
}

func TestWhatIsOverIsForgotten(t *testing.T) {
	var l Limiter
	for i := range 5 * mostEndpoints {
		u := use("a")
		u.Host, u.Endpoint = fmt.Sprint("host", i), fmt.Sprint("/", i)
		ask(t, &l, u, at(float64(i)), headers("20:10", "1:10", "20:10", "1:10"))
	}
	if len(l.apps) > mostEndpoints+1 || len(l.methods) > mostEndpoints+1 {
		t.Errorf("%d hosts and %d endpoints are remembered", len(l.apps), len(l.methods))
	}
}
