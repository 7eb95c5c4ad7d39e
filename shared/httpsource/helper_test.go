package httpsource

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/secret"
)

const token = "RGAPI-00000000-1111-2222-3333-444444444444"

// clock is a clock that moves only when somebody sleeps.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	waits []time.Duration
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.waits = append(c.waits, d)
	return ctx.Err()
}

func (c *clock) options() Options {
	return Options{Now: c.now, Sleep: c.sleep, Rand: func() float64 { return 0 }}
}

// source is a connector that asks base for a ladder, with a key in a header, and lets change alter it.
func source(base string, change ...func(*connector.Source)) connector.Source {
	s := connector.Source{
		Name: "challenger",
		Request: connector.Request{
			URL: base + "/lol/league/v4/challengerleagues/by-queue/RANKED_SOLO_5x5", Method: "GET",
			Headers: []connector.Header{{Name: "X-Riot-Token", Value: secret.New(token)}},
		},
		Response: connector.Response{
			ListPointer: "/entries", RecordPointer: "/", MaxBytes: 1 << 20,
			Process: []connector.CodeRange{{From: 200, To: 299}}, Skip: []connector.CodeRange{{From: 300, To: 399}},
		},
		Client:      connector.HTTPClient{ConnectTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, KeepAlive: time.Minute, MaxIdle: 1},
		ValueFields: "auto",
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// answers serves one answer after the other and the last one from then on.
func answers(t *testing.T, list ...http.HandlerFunc) *httptest.Server {
	t.Helper()
	var mu sync.Mutex
	n := 0
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := list[min(n, len(list)-1)]
		n++
		mu.Unlock()
		h(w, r)
	})
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func text(body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status(200, header...)(w, r)
		_, _ = w.Write([]byte(body))
	}
}

const ladder = `{"tier":"CHALLENGER","leagueId":"8cf861bd","queue":"RANKED_SOLO_5x5","name":"Ryze's Urfriders","entries":[{"puuid":"a","leaguePoints":10},{"puuid":"b","leaguePoints":9}]}`

func newClient(t *testing.T, s connector.Source, o Options) *Client {
	t.Helper()
	c, err := New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func fetchOnce(t *testing.T, s connector.Source, c *clock) (Answer, error) {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), c.now().Add(time.Minute))
	defer cancel()
	a, err := newClient(t, s, c.options()).Fetch(ctx)
	if err != nil && strings.Contains(err.Error(), token) {
		t.Errorf("the error shows the key: %v", err)
	}
	return a, err
}

func names(fields []record.Field) string {
	var list []string
	for _, f := range fields {
		list = append(list, f.Name+"="+f.Value.AsText())
	}
	return strings.Join(list, " ")
}

// shared is a value that a handler sets and a test reads.
type shared[T any] struct {
	mu sync.Mutex
	v  T
}

func (s *shared[T]) set(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v = v
}

func (s *shared[T]) get() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.v
}
