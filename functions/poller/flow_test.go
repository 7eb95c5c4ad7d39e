package poller

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/poll"
)

func TestPollPublishesChangesOnly(t *testing.T) {
	w := newWorld(t)
	s := w.service()
	w.serve("a=1 b=1 c=1")
	first := w.mustPoll(s, poll.Published)
	if first.New != 3 || first.Published != 3 || first.Fetched != 3 || !first.ExactlyOnce || first.Transactions != 1 {
		t.Errorf("first poll: %+v", first)
	}
	w.wantValues("a=1 b=1 c=1")

	before, connections, schemas := w.requests(), w.broker.Connections(), w.registry.Requests()
	for range 3 {
		if idle := w.mustPoll(s, poll.NothingNew); idle.Unchanged != 3 || idle.Published != 0 {
			t.Errorf("idle poll: %+v", idle)
		}
	}
	before[gcs.OpRead] += 3
	if after := w.requests(); !maps.Equal(before, after) {
		t.Errorf("three idle polls: the bucket was asked for %v, want %v", after, before)
	}
	if now := w.broker.Connections(); now != connections {
		t.Errorf("three idle polls made %d connections to Kafka", now-connections)
	}
	if now := w.registry.Requests(); now != schemas {
		t.Errorf("three idle polls asked the registry %d times", now-schemas)
	}

	w.serve("c=1 b=2 a=1 d=4")
	if change := w.mustPoll(s, poll.Published); change.New != 1 || change.Changed != 1 || change.Unchanged != 2 {
		t.Errorf("a change: %+v", change)
	}
	w.serve("a=1 b=1 c=1 d=4")
	w.mustPoll(s, poll.Published)
	w.serve("")
	w.mustPoll(s, poll.NothingNew)
	w.serve("a=1 b=1 c=1 d=4")
	w.mustPoll(s, poll.NothingNew)
	w.wantValues("a=1 b=1,2,1 c=1 d=4")
	if st := w.state(); st.Commits != 3 || st.Intent != nil {
		t.Errorf("%+v", st)
	}
}

func TestSimulatedLadder(t *testing.T) {
	w := newWorld(t)
	s := w.service()
	first := w.mustPoll(s, poll.Published)
	if first.Published < 200 || first.Keyless != 0 {
		t.Errorf("first poll: %+v", first)
	}
	w.mustPoll(s, poll.NothingNew)
	for range 3 {
		moved := w.riot.Advance()
		next := w.mustPoll(s, poll.Published)
		if next.New > moved.Joined || next.Changed < moved.Changed || next.Left != moved.Left {
			t.Errorf("moved %+v, poll %+v", moved, next)
		}
	}
	total := 0
	for _, values := range w.values() {
		total += len(values)
	}
	if total < first.Published {
		t.Errorf("%d records in the topic", total)
	}
}

func TestFault06RunsStartedAtOncePublishOnce(t *testing.T) {
	w := newWorld(t)
	w.serve("a=1 b=1 c=1")
	services := []*service{w.service(), w.service(), w.service()}
	for round := 1; round <= 3; round++ {
		w.serve(fmt.Sprintf("a=%d b=1 c=%d", round, round))
		var wait sync.WaitGroup
		published := make([]int, len(services))
		for i, s := range services {
			wait.Go(func() {
				status, summary, _ := post(t, s.poll, trig)
				published[i] = summary.Published
				if status != http.StatusOK {
					t.Errorf("round %d: %d %s: %s", round, status, summary.Outcome, summary.Error)
				}
			})
		}
		wait.Wait()
		n := 0
		for _, p := range published {
			n += p
		}
		if want := map[bool]int{true: 3, false: 2}[round == 1]; n != want {
			t.Errorf("round %d: published %v", round, published)
		}
	}
	w.wantValues("a=1,2,3 b=1 c=1,2,3")
}

// TestTroubleIsAnswered goes through what can be wrong around a poll: the answer to either trigger, nothing published,
// and all well again afterwards.
func TestTroubleIsAnswered(t *testing.T) {
	status := func(n int) func(*world) {
		return func(w *world) {
			w.fault(riot.Fault{Status: n, Header: http.Header{"Retry-After": {"3600"}}, Body: "no"})
		}
	}
	text := func(contentType, body string) func(*world) {
		return func(w *world) {
			w.fault(riot.Fault{Status: 200, Header: http.Header{"Content-Type": {contentType}}, Body: body})
		}
	}
	bucketSays := func(status int) func(*world) {
		return func(w *world) { w.gcs.Intercept(func(gcs.Request) gcs.Fault { return gcs.Fault{Before: status} }) }
	}
	for _, c := range []struct {
		situation string
		trouble   func(*world)
		environ   []string
		want      poll.Outcome
		pubsub    int
		says      string
	}{
		{"the API asks to wait", status(429), nil, poll.Deferred, 200, ""},
		{"the API refuses the key", status(403), nil, poll.Unauthorized, 200, "403"},
		{"HTML with 200", text("text/html", riot.HTML), nil, poll.Upstream, 500, "html"},
		{"not JSON", text("application/json", `{"entries":[`), nil, poll.Upstream, 500, "JSON"},
		{"no list", text("application/json", `{"list":[]}`), nil, poll.Upstream, 500, "/entries"},
		{"no keys", text("application/json", `{"entries":[{"wins":1,"losses":2}]}`), nil, poll.Upstream, 500, "wins, losses"},
		{"the registry is down", func(w *world) { w.serve("a=2 b=1"); _ = w.registry.Close() }, nil, poll.Unavailable, 500, ""},
		{"the bucket may not be read", bucketSays(403), nil, poll.Refused, 200, "gs://state"},
		{"the bucket is down", bucketSays(503), []string{"RIFTLINE_DEADLINE=4s"}, poll.Unavailable, 500, "gs://state"},
		{"no broker", nil, []string{"CONNECT_BOOTSTRAP_SERVERS=127.0.0.1:1"}, poll.Unavailable, 500, "127.0.0.1:1"},
		{"no such topic", nil, []string{`RIFTLINE_OVERRIDES={"challenger":{"kafka.topic":"none","http.request.headers":"X-Riot-Token: ${env:RIOT_API_KEY}"}}`}, poll.Stopped, 200, "none"},
		{"a secret that is missing", nil, []string{`RIFTLINE_OVERRIDES={"challenger":{"http.request.headers":"X-Riot-Token: ${env:NOT_SET}"}}`}, poll.Refused, 200, "NOT_SET"},
	} {
		t.Run(c.situation, func(t *testing.T) {
			w := newWorld(t)
			w.serve("a=1 b=1")
			w.mustPoll(w.service(), poll.Published)
			w.serve("a=2 b=1")
			if c.trouble != nil {
				c.trouble(w)
			}
			s := w.service(c.environ...)
			for target, handler := range map[string]http.HandlerFunc{"HTTP": s.poll, "Pub/Sub": s.pollEvent} {
				code, summary, header := post(t, handler, trig)
				want := c.want.HTTPStatus()
				if target == "Pub/Sub" {
					want = c.pubsub
				}
				if code != want || summary.Outcome != c.want || !strings.Contains(summary.Error, c.says) {
					t.Errorf("%s: %d %s, want %d %s: %s", target, code, summary.Outcome, want, c.want, summary.Error)
				}
				if (target == "HTTP" && code == 503) != (header.Get("Retry-After") != "") {
					t.Errorf("%s: Retry-After %q", target, header.Get("Retry-After"))
				}
				if strings.Contains(summary.Error, apiKey) {
					t.Errorf("the API key is in %q", summary.Error)
				}
			}
			w.gcs.Intercept(nil)
			w.wantTroubleLeftNothing(c.situation != "the registry is down")
		})
	}
}

// wantTroubleLeftNothing looks that nothing was published or left behind, and that the next poll publishes.
func (w *world) wantTroubleLeftNothing(again bool) {
	w.t.Helper()
	if st := w.state(); st.Intent != nil || st.Claim != nil || st.Stopped != "" || st.Commits != 1 {
		w.t.Errorf("left behind: %+v", st)
	}
	if !again {
		return
	}
	w.wantValues("a=1 b=1")
	w.serve("a=2 b=1")
	w.mustPoll(w.service(), poll.Published)
	w.wantValues("a=1,2 b=1")
}

func TestRotatedSecretIsReadOnceMore(t *testing.T) {
	w := newWorld(t)
	w.write("key", []byte("a key that has expired"))
	s := w.service(`RIFTLINE_OVERRIDES={"challenger":{"http.request.headers":"X-Riot-Token: ${dir:` + w.dir + `:key}"}}`)
	w.mustPoll(s, poll.Unauthorized)
	w.write("key", []byte(apiKey))
	w.mustPoll(s, poll.Published)
}

func TestTriggersThatAreRefused(t *testing.T) {
	w := newWorld(t)
	w.serve("a=1")
	s := w.service()
	for _, c := range []struct {
		situation, body string
		status          int
	}{
		{"no JSON", "hello", 400},
		{"no connector", "{}", 400},
		{"nothing", "", 400},
		{"a member too many", `{"connector":"challenger","url":"https://evil.example"}`, 400},
		{"something behind it", trig + trig, 400},
		{"variables, which no template uses", `{"connector":"challenger","variables":{"host":"evil.example"}}`, 400},
		{"no such connector", `{"connector":"other"}`, 400},
		{"a path for a name", `{"connector":"../../etc/passwd"}`, 400},
		{"a body that is too large", `{"connector":"` + strings.Repeat("x", maxBody) + `"}`, 413},
	} {
		t.Run(c.situation, func(t *testing.T) {
			if status, summary, _ := post(t, s.poll, c.body); status != c.status || summary.Error == "" {
				t.Errorf("status %d: %s", status, summary.Error)
			}
		})
	}
	if n := len(w.riot.Served()); n != 0 {
		t.Errorf("the API was asked %d times", n)
	}
}

func TestPubSubMessages(t *testing.T) {
	const data = "eyJjb25uZWN0b3IiOiJjaGFsbGVuZ2VyIn0=" // base64 of the trigger
	const wrapped = `{"message":{"data":"` + data + `","messageId":"1","attributes":{}},"subscription":"projects/p/subscriptions/s"}`
	for _, c := range []struct {
		situation, body string
		header          []string
		outcome         poll.Outcome
	}{
		{"a push message", wrapped, nil, poll.Published},
		{"a push message, its payload unwrapped", trig, nil, poll.Published},
		{"a CloudEvent in headers", wrapped, []string{"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "//pubsub.googleapis.com/projects/p/topics/t", "Ce-Type", "google.cloud.pubsub.topic.v1.messagePublished"}, poll.Published},
		{"a structured CloudEvent", `{"specversion":"1.0","id":"1","source":"//pubsub.googleapis.com/projects/p/topics/t","type":"google.cloud.pubsub.topic.v1.messagePublished","datacontenttype":"application/json","data":` + wrapped + `}`, []string{"Content-Type", "application/cloudevents+json"}, poll.Published},
		{"a message without a trigger", `{"message":{"data":"aGVsbG8="}}`, nil, poll.Refused},
		{"a message without data", `{"message":{"attributes":{"a":"b"}}}`, nil, poll.Refused},
		{"not base64", `{"message":{"data":"%"}}`, nil, poll.Refused},
		{"variables", `{"message":{"data":"eyJjb25uZWN0b3IiOiJjaGFsbGVuZ2VyIiwidmFyaWFibGVzIjp7ImEiOiJiIn19"}}`, nil, poll.Refused},
	} {
		t.Run(c.situation, func(t *testing.T) {
			w := newWorld(t)
			w.serve("a=1")
			status, summary, _ := post(t, w.service().pollEvent, c.body, c.header...)
			if status != http.StatusOK || summary.Outcome != c.outcome {
				t.Errorf("status %d, %s: %s", status, summary.Outcome, summary.Error)
			}
		})
	}
}

func TestOnlyPostPolls(t *testing.T) {
	w := newWorld(t)
	s := w.service()
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		for _, h := range []http.HandlerFunc{s.poll, s.pollEvent} {
			r, _ := http.NewRequestWithContext(t.Context(), method, "/", http.NoBody)
			rec := httptest.NewRecorder()
			h(rec, r)
			if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != http.MethodPost {
				t.Errorf("%s: %d", method, rec.Code)
			}
		}
	}
}

func TestReady(t *testing.T) {
	w := newWorld(t)
	ready := func(s *service) int {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		rec := httptest.NewRecorder()
		s.ready(rec, r)
		return rec.Code
	}
	if got := ready(w.service()); got != http.StatusOK {
		t.Errorf("all is well: %d", got)
	}
	if got := ready(w.service("CONNECT_BOOTSTRAP_SERVERS=127.0.0.1:1")); got != http.StatusServiceUnavailable {
		t.Errorf("no broker: %d", got)
	}
	// A poller has rights on connector files and on its own part of the state bucket only.
	w.gcs.Intercept(func(r gcs.Request) gcs.Fault {
		if strings.HasPrefix(r.Name, "riftline/poll/") {
			return gcs.Fault{}
		}
		return gcs.Fault{Before: 403}
	})
	if got := ready(w.service()); got != http.StatusOK {
		t.Errorf("with the rights of the poller alone: %d", got)
	}
	w.gcs.Intercept(func(gcs.Request) gcs.Fault { return gcs.Fault{Before: 403} })
	if got := ready(w.service()); got != http.StatusServiceUnavailable {
		t.Errorf("no bucket: %d", got)
	}
}

func TestStoppingPollerTakesNoTriggers(t *testing.T) {
	w := newWorld(t)
	w.serve("a=1")
	s := w.service()
	if !s.shutdown(patience) {
		t.Error("an idle service did not stop")
	}
	status, summary, header := post(t, s.poll, trig)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || summary.Outcome != poll.Unavailable {
		t.Errorf("status %d, %s", status, summary.Outcome)
	}
	if status, _, _ := post(t, s.pollEvent, trig); status != http.StatusInternalServerError {
		t.Errorf("Pub/Sub: status %d", status)
	}
}

func TestLadderOfTenThousand(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "%078d=%d ", i, i)
	}
	w.serve(b.String())
	s := w.service()
	if first := w.mustPoll(s, poll.Published); first.Published != 10_000 || first.Transactions != 1 {
		t.Errorf("%+v", first)
	}
	w.mustPoll(s, poll.NothingNew)
	if size := len(w.gcs.Objects("state", "riftline/poll/")[0].Data); size > 1_500_000 {
		t.Errorf("the object has %d bytes", size)
	}
}

// binaries is the folder of what tests build.
var binaries string

func TestMain(m *testing.M) {
	// Nothing in these tests may reach Google.
	for _, name := range []string{"GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "FUNCTION_TARGET"} {
		_ = os.Unsetenv(name)
	}
	var err error
	if binaries, err = os.MkdirTemp("", "poller"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binaries)
	os.Exit(code)
}
