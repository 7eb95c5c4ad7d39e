package poller

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/poll"
)

// ladders writes a connector whose host, path and query have request variables, and makes the API answer each unit with
// a ladder of one player, who is called after the queue. It returns the paths that were asked for, in order.
func (w *world) ladders(status func(queue string) int, more map[string]string) (asked func() []string) {
	w.t.Helper()
	config := map[string]string{
		"name": "matrix", "connector.class": "com.github.castorm.kafka.connect.http.HttpSourceConnector", "kafka.topic": topic,
		"http.request.url":     "https://${var.platform}.api.riotgames.com/lol/league/v4/challengerleagues/by-queue/${var.queue}",
		"http.request.headers": "X-Riot-Token: ${env:RIOT_API_KEY}", "http.response.list.pointer": "/entries",
		"http.response.record.offset.pointer": "key=/puuid",
		"riftline.request.variables":          "platform=kr; queue=q1, q2, q3, q4, q5, q6, q7, q8, q9, q10",
	}
	for key, value := range more {
		config[key] = value
	}
	file, err := json.Marshal(config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("matrix.json", file)
	var mu sync.Mutex
	var queues []string
	w.riot.Intercept(func(r riot.Request) riot.Fault {
		queue := r.Path[strings.LastIndexByte(r.Path, '/')+1:]
		mu.Lock()
		defer mu.Unlock()
		queues = append(queues, queue)
		f := riot.Fault{Status: status(queue), Header: http.Header{"Content-Type": {"application/json"}}}
		if f.Status == http.StatusOK {
			f.Body = fmt.Sprintf(`{"tier":"CHALLENGER","entries":[{"puuid":%q,"leaguePoints":1}]}`, queue)
		}
		return f
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		got := queues
		queues = nil
		return got
	}
}

const matrixTrigger = `{"connector":"matrix"}`

// TestFault24TenUnitsAndTheSeventhFails has the API fail one unit of ten, and refuse the key from the seventh on.
func TestFault24TenUnitsAndTheSeventhFails(t *testing.T) {
	const all = "q10=1 q1=1 q2=1 q3=1 q4=1 q5=1 q6=1 q7=1 q8=1 q9=1"
	for _, c := range []struct {
		situation string
		status    int
		outcome   poll.Outcome
		published int
		then      string
	}{
		{"an answer that cannot be used fails the unit", http.StatusNotFound, poll.Upstream, 9, "q7"},
		{"a key that is refused ends the run", http.StatusForbidden, poll.Unauthorized, 6, "q7"},
	} {
		t.Run(c.situation, func(t *testing.T) {
			w := newWorld(t)
			var mu sync.Mutex
			failing := true
			asked := w.ladders(func(queue string) int {
				mu.Lock()
				defer mu.Unlock()
				if failing && queue == "q7" {
					return c.status
				}
				return http.StatusOK
			}, nil)
			s := w.service()
			status, sum, _ := post(t, s.poll, matrixTrigger)
			if status != c.outcome.HTTPStatus() || sum.Outcome != c.outcome || sum.Published != c.published || sum.UnitsLeft != 9-c.published {
				t.Errorf("status %d: %+v", status, sum)
			}
			asked()
			mu.Lock()
			failing = false
			mu.Unlock()
			// Another instance of the poller takes up where this one ended.
			status, sum, _ = post(t, w.service().poll, matrixTrigger)
			if status != http.StatusOK || sum.Published != 10-c.published || sum.UnitsLeft != 0 {
				t.Errorf("the next trigger: status %d: %+v", status, sum)
			}
			if got := asked(); got[0] != c.then || len(got) != 10 {
				t.Errorf("the next trigger asks for %v", got)
			}
			w.wantValues(all)
			// Ten objects, each of a source partition of its own, and the place where the run ended.
			if n := len(w.gcs.Objects("state", "riftline/poll/matrix/")); n != 11 {
				t.Errorf("%d objects", n)
			}
			if status, sum, _ = post(t, s.poll, matrixTrigger); status != http.StatusOK || sum.Outcome != poll.NothingNew {
				t.Errorf("the trigger after that: status %d: %+v", status, sum)
			}
		})
	}
}

// TestTheTriggersVariablesWin polls one unit that the connector file does not have.
func TestTheTriggersVariablesWin(t *testing.T) {
	w := newWorld(t)
	asked := w.ladders(func(string) int { return http.StatusOK }, map[string]string{"riftline.request.hosts": "euw1.api.riotgames.com"})
	s := w.service("RIFTLINE_RESOLVE=kr.api.riotgames.com:443=" + w.riot.Addr() + ",euw1.api.riotgames.com:443=" + w.riot.Addr())
	status, sum, _ := post(t, s.poll, `{"connector":"matrix","variables":{"platform":"euw1","queue":"own"}}`)
	if status != http.StatusOK || sum.Published != 1 || sum.Variables["platform"] != "euw1" {
		t.Errorf("status %d: %+v", status, sum)
	}
	if got := asked(); !slices.Equal(got, []string{"own"}) {
		t.Errorf("asked for %v", got)
	}
	if status, sum, _ = post(t, s.poll, `{"connector":"matrix","variables":{"platform":"euw1","queue":"own"}}`); sum.Outcome != poll.NothingNew {
		t.Errorf("again: status %d: %+v", status, sum)
	}
	// The same queue of another platform is another source partition.
	if status, sum, _ = post(t, s.poll, `{"connector":"matrix","variables":{"queue":"own"}}`); status != http.StatusOK || sum.Outcome != poll.Published {
		t.Errorf("another platform: status %d: %+v", status, sum)
	}
	w.wantValues("own=1,1")
}

// TestFault23LogKilledAroundItsCommit kills the process of a poll of a log with ties at the boundary, where each kind of
// recovery begins. Package poll kills it at each of its points.
func TestFault23LogKilledAroundItsCommit(t *testing.T) {
	t.Parallel()
	overrides, err := json.Marshal(map[string]map[string]string{"challenger": {
		"http.request.headers": "X-Riot-Token: ${env:RIOT_API_KEY}", "http.response.record.offset.pointer": "key=/puuid, timestamp=/leaguePoints",
	}})
	if err != nil {
		t.Fatal(err)
	}
	log := "RIFTLINE_OVERRIDES=" + string(overrides)
	prepare := func(w *world) {
		w.serve("a=1000 b=2000")
		w.mustPoll(w.service(log), poll.Published)
		w.serve("b=2000 c=2000 d=3000")
	}
	for _, name := range []string{"poll.5.intent", "poll.9.marked", "poll.9.committed", "poll.10.begin"} {
		w := newWorld(t)
		prepare(w)
		p := w.start(log, "RIFTLINE_STEP_KILL="+name)
		if status, s, err := p.poll(); err == nil {
			t.Fatalf("not killed at %s: %d %s: %s", name, status, s.Outcome, s.Error)
		}
		if signal, code := p.awaitEnd(); signal != syscall.SIGKILL {
			t.Fatalf("at %s the process ended by itself: signal %v, code %d\n%s", name, signal, code, p.output)
		}
		w.expire()
		w.serve("c=2000 e=2000 d=3000 f=3000")
		if status, s, _ := post(t, w.service(log).poll, trig); status != http.StatusOK {
			t.Errorf("%s: %d %s: %s", name, status, s.Outcome, s.Error)
		}
		// e is a tie of the old boundary: it is late where the cursor has moved on with the commit, and in time elsewhere.
		want := "a=1000 b=2000 c=2000 d=3000 e=2000 f=3000"
		if name == "poll.9.committed" || name == "poll.10.begin" {
			want = "a=1000 b=2000 c=2000 d=3000 f=3000"
		}
		if w.wantValues(want); t.Failed() {
			t.Fatalf("killed at %s", name)
		}
	}
}

// TestTriggerOfNoVariable has what decodes to an empty text, which would be a source partition of its own.
func TestTriggerOfNoVariable(t *testing.T) {
	for _, text := range []string{`{"connector":"c","variables":{"queue":null}}`, `{"connector":"c","variables":{"a":"b","queue":null}}`} {
		if got, err := parseTrigger([]byte(text)); err == nil || !strings.Contains(err.Error(), "queue") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{`{"connector":"c","variables":{"queue":""}}`, `{"connector":"c","variables":null}`, `{"connector":"c"}`} {
		if _, err := parseTrigger([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
