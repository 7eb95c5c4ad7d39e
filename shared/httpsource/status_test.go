package httpsource

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/secret"
)

func TestWaitsBetweenTries(t *testing.T) {
	now := newClock()
	date := now.now().Add(30 * time.Second).UTC().Truncate(time.Second)
	for name, c := range map[string]struct {
		answers []http.HandlerFunc
		waits   []time.Duration
	}{
		"Retry-After in seconds":       {[]http.HandlerFunc{status(429, "Retry-After", "7"), text(ladder)}, []time.Duration{7 * time.Second}},
		"Retry-After zero":             {[]http.HandlerFunc{status(429, "Retry-After", "0"), text(ladder)}, []time.Duration{0}},
		"Retry-After as a date":        {[]http.HandlerFunc{status(429, "Retry-After", date.Format(http.TimeFormat)), text(ladder)}, []time.Duration{date.Sub(now.now())}},
		"429 without Retry-After":      {[]http.HandlerFunc{status(429), status(429), text(ladder)}, []time.Duration{time.Second, 2 * time.Second}},
		"429 with nonsense":            {[]http.HandlerFunc{status(429, "Retry-After", "soon"), text(ladder)}, []time.Duration{time.Second}},
		"429 with a negative time":     {[]http.HandlerFunc{status(429, "Retry-After", "-5"), text(ladder)}, []time.Duration{time.Second}},
		"5xx":                          {[]http.HandlerFunc{status(500), status(502), status(503), status(504), text(ladder)}, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}},
		"503 with Retry-After":         {[]http.HandlerFunc{status(503, "Retry-After", "3"), text(ladder)}, []time.Duration{3 * time.Second}},
		"a connection that is cut off": {[]http.HandlerFunc{cutOff, text(ladder)}, []time.Duration{time.Second}},
		"a body that is cut off":       {[]http.HandlerFunc{cutOffBody, text(ladder)}, []time.Duration{time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			clock.at = now.now()
			a, err := fetchOnce(t, source(answers(t, c.answers...).URL), clock)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(clock.waits, c.waits) {
				t.Errorf("waited %v, want %v", clock.waits, c.waits)
			}
			if len(a.Entries) != 2 || a.Requests != len(c.answers) {
				t.Errorf("%d entries after %d requests", len(a.Entries), a.Requests)
			}
		})
	}
}

func cutOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func cutOffBody(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, ladder[:50])
}

func TestJitter(t *testing.T) {
	clock := newClock()
	o := clock.options()
	o.Rand = func() float64 { return 0.5 }
	server := answers(t, status(500), status(429, "Retry-After", "2"), text(ladder))
	if _, err := newClient(t, source(server.URL), o).Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{1125 * time.Millisecond, 2125 * time.Millisecond}; !slices.Equal(clock.waits, want) {
		t.Errorf("waited %v, want %v", clock.waits, want)
	}
}

func TestDeferred(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		until  time.Duration
	}{
		"past the deadline":           {status(429, "Retry-After", "3600"), time.Hour},
		"too little time for the run": {status(429, "Retry-After", "57"), 57 * time.Second},
		"absurd":                      {status(429, "Retry-After", "99999999999999"), 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			start := clock.now()
			_, err := fetchOnce(t, source(answers(t, c.answer).URL), clock)
			var deferred *DeferredError
			if !errors.As(err, &deferred) || !deferred.Until.Equal(start.Add(c.until)) || len(clock.waits) != 0 {
				t.Errorf("got %v after %v", err, clock.waits)
			}
		})
	}
	t.Run("429 for ever", func(t *testing.T) {
		clock := newClock()
		_, err := fetchOnce(t, source(answers(t, status(429)).URL), clock)
		var deferred *DeferredError
		if !errors.As(err, &deferred) || len(clock.waits) != 4 || !deferred.Until.After(clock.now()) {
			t.Errorf("got %v after %v", err, clock.waits)
		}
	})
	t.Run("no deadline at all", func(t *testing.T) {
		clock := newClock()
		_, err := newClient(t, source(answers(t, status(429, "Retry-After", "600")).URL), clock.options()).Fetch(t.Context())
		var deferred *DeferredError
		if !errors.As(err, &deferred) || len(clock.waits) != 0 {
			t.Errorf("got %v after %v", err, clock.waits)
		}
	})
}

func TestFinalStatuses(t *testing.T) {
	for code, check := range map[int]func(error) bool{
		401: func(err error) bool { var e *UnauthorizedError; return errors.As(err, &e) && e.Status == 401 },
		403: func(err error) bool { var e *UnauthorizedError; return errors.As(err, &e) && e.Status == 403 },
		400: func(err error) bool { var e *UpstreamError; return errors.As(err, &e) && e.Status == 400 },
		404: func(err error) bool { var e *UpstreamError; return errors.As(err, &e) && e.Status == 404 },
	} {
		clock := newClock()
		_, err := fetchOnce(t, source(answers(t, status(code, "X-Riot-Edge-Trace-Id", "trace-me")).URL), clock)
		if !check(err) || len(clock.waits) != 0 || !strings.Contains(err.Error(), "trace-me") {
			t.Errorf("%d gives %v after %v", code, err, clock.waits)
		}
	}
	clock := newClock()
	_, err := fetchOnce(t, source(answers(t, status(502)).URL), clock)
	var upstream *UpstreamError
	if !errors.As(err, &upstream) || upstream.Status != 502 || upstream.Requests != 5 {
		t.Errorf("502 for ever gives %v", err)
	}
}

func TestAnswersWithoutEntries(t *testing.T) {
	for _, code := range []int{204, 304, 300, 404} {
		a, err := fetchOnce(t, source(answers(t, status(code)).URL, func(s *connector.Source) {
			s.Response.Skip = append(s.Response.Skip, connector.CodeRange{From: 404, To: 404})
		}), newClock())
		if err != nil || len(a.Entries) != 0 || a.Status != code {
			t.Errorf("%d gives %+v, %v", code, a, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/new" {
			if r.Header.Get("X-Riot-Token") != token || r.Header.Get("Referer") != "" {
				t.Errorf("the redirected request has the headers %v", r.Header)
			}
			_, _ = io.WriteString(w, ladder)
			return
		}
		http.Redirect(w, r, "/new", http.StatusFound)
	})
	a, err := fetchOnce(t, source(server.URL), newClock())
	if err != nil || len(a.Entries) != 2 || a.Requests != 2 {
		t.Errorf("on the same host: %+v, %v", a, err)
	}

	var asked shared[bool]
	other := serve(t, func(http.ResponseWriter, *http.Request) { asked.set(true) })
	away := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/steal?q="+token, http.StatusFound)
	})
	_, err = fetchOnce(t, source(away.URL), newClock())
	var upstream *UpstreamError
	if !errors.As(err, &upstream) || asked.get() || !strings.Contains(err.Error(), other.URL) {
		t.Errorf("to another host: asked %t, %v", asked.get(), err)
	}

	loop := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	if _, err := fetchOnce(t, source(loop.URL), newClock()); err == nil {
		t.Error("a loop ends without an error")
	}
}

func TestReadTimeoutIsRetried(t *testing.T) {
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}
	clock := newClock()
	a, err := fetchOnce(t, source(answers(t, hang, text(ladder)).URL, func(s *connector.Source) { s.Client.ReadTimeout = 500 * time.Millisecond }), clock)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err == nil && (len(a.Entries) != 2 || a.Requests < 2) {
		t.Errorf("got %+v", a)
	}
	if len(clock.waits) == 0 {
		t.Error("it was not tried again")
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	clock := newClock()
	_, err := newClient(t, source(server.URL), clock.options()).Fetch(ctx)
	if !errors.Is(err, context.Canceled) || len(clock.waits) != 0 {
		t.Errorf("got %v after %v", err, clock.waits)
	}
}

// TestNothingShowsCredentials provokes every kind of error and reads the log at debug level.
func TestNothingShowsCredentials(t *testing.T) {
	hidden := []string{token, "param-secret", "body-secret", "basic-secret", "user-secret"}
	for name, h := range map[string]http.HandlerFunc{
		"401": status(401), "404": status(404), "429": status(429), "500": status(500), "cut off": cutOff,
		"HTML echo": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "<html>"+r.Header.Get("X-Riot-Token")+r.URL.String())
		},
		"echo as a member": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"`+r.Header.Get("X-Riot-Token")+`":1}`)
		},
		"no JSON": func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Riot-Token")) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.example/"+r.Header.Get("X-Riot-Token")+"?"+r.URL.RawQuery, http.StatusFound)
		},
		"malformed answer": func(w http.ResponseWriter, r *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(connection, r.Header.Get("X-Riot-Token")+" "+r.URL.String()+"\r\n\r\n")
			_ = connection.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			server := serve(t, h)
			clock := newClock()
			s := source(strings.Replace(server.URL, "http://", "http://me:user-secret@", 1), func(s *connector.Source) {
				s.Request.Method = "POST"
				s.Request.Params = secret.New("key=param-secret")
				s.Request.Body = secret.New("body-secret")
				s.Request.BasicUser, s.Request.BasicPassword = "me", secret.New("basic-secret")
			})
			ctx := logging.With(t.Context(), logging.New(&log, logging.Options{Level: slog.LevelDebug}))
			_, err := newClient(t, s, clock.options()).Fetch(ctx)
			if err == nil {
				t.Fatal("no error")
			}
			for _, word := range hidden {
				if strings.Contains(err.Error(), word) || strings.Contains(log.String(), word) {
					t.Errorf("%s is shown in %q or %q", word, err, log.String())
				}
				for e := err; e != nil; e = errors.Unwrap(e) {
					if strings.Contains(e.Error(), word) {
						t.Errorf("%s is shown by the wrapped %q", word, e)
					}
				}
			}
		})
	}
}

// TestNothingIsCutBeforeItIsScrubbed has credentials where a message is cut to length, of which half would stay.
func TestNothingIsCutBeforeItIsScrubbed(t *testing.T) {
	const path = "path-credential"
	for name, h := range map[string]http.HandlerFunc{
		"a member's name": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"`+strings.Repeat("x", 33)+r.Header.Get("X-Riot-Token")+`":1, "`+strings.Repeat("x", 33)+path+`":1}`)
		},
		"an encoding": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", strings.Repeat("x", 73)+r.Header.Get("X-Riot-Token"))
		},
		"the body":              text("no JSON " + strings.Repeat("x", 65) + path),
		"a body of credentials": text("no JSON" + strings.Repeat(" "+path+strings.Repeat("-"+path, 80), 20)),
		"a content type": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", strings.Repeat("x", 73)+path)
		},
	} {
		server := serve(t, h)
		o := newClock().options()
		o.Scrub = strings.NewReplacer(path+strings.Repeat("-"+path, 80), "[redacted]", path, "[redacted]").Replace
		_, err := newClient(t, source(server.URL), o).Fetch(t.Context())
		if err == nil || strings.Contains(strings.ToLower(err.Error()), strings.ToLower(token[:6])) || strings.Contains(err.Error(), path[:6]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}
