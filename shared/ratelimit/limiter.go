package ratelimit

import (
	"net/http"
	"sync"
	"time"
)

// mostEndpoints bounds what a limiter remembers: those whose windows are all over are forgotten beyond it.
const mostEndpoints = 1000

// Limiter knows the windows of the APIs that a process asks. It is safe for concurrent use; the zero value is ready, and
// a nil one lets every request pass.
type Limiter struct {
	mu sync.Mutex
	// apps are by host, methods by host and endpoint.
	apps    map[string]*scope
	methods map[[2]string]*scope
}

// Use is a request that somebody wants to make.
type Use struct {
	// Connector is who asks, Share the part of every window that it may use, above 0 and up to 1. At least one request
	// of each window is its own.
	Connector string
	Share     float64
	// Host is the API's host, with its port where the URL has one; Endpoint is what its limits for a method go by. It is
	// enough that the same text means the same method.
	Host, Endpoint string
}

// Ticket is a request that may be made. Answered or Failed must be called once.
type Ticket struct {
	use         Use
	limiter     *Limiter
	app, method place
}

// place is a request in a scope.
type place struct {
	*scope
	// serial is the request's number there, zero when others were under way as it was made.
	serial int
}

// Take asks for a request at the time now. Without room for it in every window, no ticket is given, and at is the first
// moment at which there may be some; at is zero with a ticket.
func (l *Limiter) Take(u Use, now time.Time) (t Ticket, at time.Time) {
	if l == nil {
		return Ticket{}, time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	app, method := l.scopes(u, now)
	if at = later(app.free(u, now), method.free(u, now)); !at.IsZero() {
		return Ticket{}, at
	}
	return Ticket{use: u, limiter: l, app: app.take(u), method: method.take(u)}, time.Time{}
}

// Answered learns from the headers of the answer, which came at the time now. For a status of 429, after is how long the
// API wants no request; else, and where it does not say, it is below zero.
func (t Ticket) Answered(h http.Header, after time.Duration, now time.Time) {
	if t.limiter == nil {
		return
	}
	t.limiter.mu.Lock()
	defer t.limiter.mu.Unlock()
	t.app.learn(h, "X-App-Rate-Limit", t.use, now)
	t.method.learn(h, "X-Method-Rate-Limit", t.use, now)
	if after < 0 {
		return
	}
	// Of a limit that is neither the app's nor named, no more is known than that this endpoint has met it.
	of := t.method
	if h.Get("X-Rate-Limit-Type") == "application" {
		of = t.app
	}
	of.block(now, now.Add(after))
}

// Failed says that no answer came up to the time now. The API may have counted the request until then.
func (t Ticket) Failed(now time.Time) {
	if t.limiter == nil {
		return
	}
	t.limiter.mu.Lock()
	defer t.limiter.mu.Unlock()
	t.app.landed(t.use, now)
	t.method.landed(t.use, now)
}

// scopes finds what a request counts in, or makes it.
func (l *Limiter) scopes(u Use, now time.Time) (app, method *scope) {
	if l.apps == nil {
		l.apps, l.methods = map[string]*scope{}, map[[2]string]*scope{}
	}
	if len(l.methods) > mostEndpoints {
		forget(l.apps, now)
		forget(l.methods, now)
	}
	return find(l.apps, u.Host), find(l.methods, [2]string{u.Host, u.Endpoint})
}

func find[K comparable](in map[K]*scope, key K) *scope {
	s := in[key]
	if s == nil {
		s = &scope{}
		in[key] = s
	}
	return s
}

func forget[K comparable](in map[K]*scope, now time.Time) {
	for key, s := range in {
		if s.over(now) {
			delete(in, key)
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
