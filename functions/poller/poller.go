// Package poller is the Cloud Run function that polls source connectors.
//
//	POST /Poll       {"connector":"challenger"}: answers with the poll's summary as JSON and a status that means something
//	POST /PollEvent  a Pub/Sub push message, wrapped or as a CloudEvent, whose data is the same JSON object
//	GET  /health     the process is alive
//	GET  /ready      broker and state bucket can be reached
//
// Importing it registers these functions with the Functions Framework; with FUNCTION_TARGET unset all of them are
// served under their names.
package poller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/poll"
)

func init() {
	// PollEvent is registered as an HTTP function, since a CloudEvent function sees neither the Authorization header
	// that push authentication needs nor the body before it is read whole.
	functions.HTTP("Poll", route(func(s *service) http.HandlerFunc { return s.poll }))
	functions.HTTP("PollEvent", route(func(s *service) http.HandlerFunc { return s.pollEvent }))
	functions.HTTP("health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	functions.HTTP("ready", route(func(s *service) http.HandlerFunc { return s.ready }))
}

// process is the one service of the process. It is made by Main, or by the first request where another main serves
// the functions.
var process = sync.OnceValues(func() (*service, error) {
	e, err := environment.Read(os.Environ())
	if err != nil {
		return nil, err
	}
	if err := e.Require("RIFTLINE_CONNECTORS", "RIFTLINE_STATE"); err != nil {
		return nil, err
	}
	e.GiveHeapRoom()
	return newService(context.Background(), e), nil
})

func route(handler func(*service) http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, err := process()
		if err != nil {
			writeError(w, http.StatusInternalServerError, fmt.Sprintf("the poller is not configured: %v", err))
			return
		}
		handler(s)(w, r)
	}
}

// polls is what a service needs of an environment.
type polls interface {
	Poll(ctx context.Context, connector string, variables map[string]string) (poll.Summary, error)
	Ready(ctx context.Context) error
}

// service answers triggers.
type service struct {
	polls polls
	env   *environment.Environment
	auth  authenticator

	// base ends when the process is told to stop; runs counts the polls in flight.
	base context.Context
	stop context.CancelFunc
	mu   sync.Mutex
	// stopping is true once no new poll is begun.
	stopping bool
	runs     sync.WaitGroup
}

func newService(ctx context.Context, e *environment.Environment) *service {
	s := &service{polls: e, env: e}
	s.base, s.stop = context.WithCancel(ctx)
	if e.Audience != "" {
		s.auth = &tokens{audience: e.Audience, invokers: e.Invokers}
	}
	return s
}

// begin returns the context of one poll. It does not end when the caller goes away, since a poll that was begun is
// ended in order; it ends with the request's deadline and when the process is told to stop. false when it is stopping.
func (s *service) begin(r *http.Request) (context.Context, func(), bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, nil, false
	}
	s.runs.Add(1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	if deadline, ok := r.Context().Deadline(); ok {
		ctx, cancel = withDeadline(ctx, cancel, deadline)
	}
	unhook := context.AfterFunc(s.base, cancel)
	return ctx, func() { unhook(); cancel(); s.runs.Done() }, true
}

func withDeadline(ctx context.Context, outer context.CancelFunc, t time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadline(ctx, t)
	return ctx, func() { cancel(); outer() }
}

// shutdown takes no new polls, tells those in flight to end, and waits for them. false when some did not end in time.
func (s *service) shutdown(wait time.Duration) bool {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.stop()
	done := make(chan struct{})
	go func() { s.runs.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(wait):
		return false
	}
}

var errStopping = errors.New("the process is stopping; send the trigger again")
