//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	riftkafka "github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/poll"
)

// A crash is the source under everything at once: many connectors, whose values change and go back; several pollers that
// are triggered at random, twice, and at the same time; answers of Kafka, Cloud Storage and the API that get lost;
// processes that are killed at random moments and at each named step. Afterwards the topics must be as after undisturbed
// polls, which is looked at without any code of the poller.
type sourceCrash struct {
	*pipeline
	names []string
	proxy *proxy
	api   *crashAPI
	seed  uint64

	mu       sync.Mutex
	kills    int
	target   int
	at       map[string]int // kills by step; "" at a random moment
	flying   map[string]int
	polls    int
	overlaps int
	outcomes map[poll.Outcome]int
	reports  []answer
	logs     []string
	traces   []string
	late     sync.WaitGroup
	lost     map[string]int
	healed   bool
}

const (
	crashConnectors = 40
	crashPollers    = 6
	crashKeys       = 5
)

func newSourceCrash(t *testing.T, kills int) *sourceCrash {
	t.Helper()
	x := startProxy(t)
	broker := &peer{what: "kafka", script: "kafka.sh", args: []string{"--set", "auto.create.topics.enable=false", "--set", "advertised.listeners=PLAINTEXT://" + x.address}}
	t.Cleanup(broker.stop)
	x.upstream = broker.need(t)["BOOTSTRAP"]
	c := &sourceCrash{
		pipeline: newPipeline(t, options{broker: broker, noTopic: true}), proxy: x, target: kills, seed: uint64(time.Now().UnixNano()),
		at: map[string]int{}, flying: map[string]int{}, outcomes: map[poll.Outcome]int{}, lost: map[string]int{},
	}
	if s := os.Getenv("RIFTLINE_CRASH_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.seed = n
	}
	c.bootstrap = x.address
	maps.Copy(c.vars, map[string]string{
		"CONNECT_BOOTSTRAP_SERVERS": x.address, "RIFTLINE_LOG_LEVEL": "info",
		"RIFTLINE_DEADLINE": "4s", "RIFTLINE_INTENT_MARGIN": "500ms",
	})
	c.api = startCrashAPI(t, c)
	for n := range crashConnectors {
		name := fmt.Sprintf("crash-%02d", n)
		c.names = append(c.names, name)
		keys := maps.Clone(c.sourceKeys)
		keys["name"], keys["kafka.topic"], keys["http.request.url"] = name, name, c.api.url+"/"+name
		data, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, name+".json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		c.of(name).createTopic()
	}
	return c
}

// of is the pipeline of one of the connectors.
func (c *sourceCrash) of(name string) *pipeline {
	p := *c.pipeline
	p.source, p.topic = name, name
	return &p
}

// crashAPI serves a ladder for each connector and remembers what it served.
type crashAPI struct {
	url string
	c   *sourceCrash

	mu      sync.Mutex
	random  *rand.Rand
	ladders map[string]map[string]int
	served  map[string]map[string][]int // by connector and key, in the order of the answers
}

func startCrashAPI(t *testing.T, c *sourceCrash) *crashAPI {
	a := &crashAPI{c: c, random: rand.New(rand.NewPCG(c.seed, 1)), ladders: map[string]map[string]int{}, served: map[string]map[string][]int{}}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

// move changes some values of a connector's ladder. There are three, so that they often go back.
func (a *crashAPI) move(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ladder := a.ladder(name)
	for range 1 + a.random.IntN(3) {
		ladder[fmt.Sprintf("player-%d", a.random.IntN(crashKeys))] = 100 * (1 + a.random.IntN(3))
	}
}

func (a *crashAPI) ladder(name string) map[string]int {
	if a.ladders[name] == nil {
		a.ladders[name], a.served[name] = map[string]int{}, map[string][]int{}
		for n := range crashKeys {
			a.ladders[name][fmt.Sprintf("player-%d", n)] = 100
		}
	}
	return a.ladders[name]
}

func (a *crashAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	a.mu.Lock()
	ladder := a.ladder(name)
	var entries []map[string]any
	for _, key := range slices.Sorted(maps.Keys(ladder)) {
		a.served[name][key] = append(a.served[name][key], ladder[key])
		entries = append(entries, map[string]any{"puuid": key, "leaguePoints": ladder[key]})
	}
	fate := a.random.IntN(100)
	a.mu.Unlock()
	if !a.c.calm() {
		switch {
		case fate < 2:
			a.c.note("api answers")
			panic(http.ErrAbortHandler)
		case fate < 4:
			a.c.note("api errors")
			w.WriteHeader(http.StatusBadGateway)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"tier": "CHALLENGER", "entries": entries})
}

func (c *sourceCrash) calm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.healed
}

// note counts something that was lost.
func (c *sourceCrash) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost[what]++
}

// storageFaults lets requests to the state bucket fail, before and after they are carried out, and arrive late.
func (c *sourceCrash) storageFaults() func(gcs.Request) gcs.Fault {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(c.seed, 2))
	return func(r gcs.Request) gcs.Fault {
		if c.calm() {
			return gcs.Fault{}
		}
		mu.Lock()
		fate, delay := random.IntN(100), time.Duration(random.IntN(3000))*time.Millisecond
		mu.Unlock()
		var f gcs.Fault
		switch {
		case r.Op == gcs.OpInsert && fate < 3:
			f = gcs.Fault{Drop: true}
		case r.Op == gcs.OpInsert && fate < 5:
			f = gcs.Fault{DropBefore: true}
		case r.Op == gcs.OpInsert && fate < 7:
			f = gcs.Fault{After: http.StatusServiceUnavailable}
		case r.Op == gcs.OpInsert && fate < 9:
			f = gcs.Fault{Before: http.StatusTooManyRequests}
		case r.Op == gcs.OpInsert && fate < 12:
			landed := make(chan struct{})
			c.late.Add(1)
			time.AfterFunc(delay, func() { close(landed); c.late.Done() })
			f = gcs.Fault{Until: landed}
		case r.Op == gcs.OpRead && fate < 2:
			f = gcs.Fault{DropBefore: true}
		case r.Op == gcs.OpRead && fate < 3:
			f = gcs.Fault{Before: http.StatusServiceUnavailable}
		case r.Op == gcs.OpGet && fate < 5:
			f = gcs.Fault{Before: http.StatusForbidden} // no patience with this one: the intent is taken back
		default:
			return f
		}
		c.note("storage " + string(r.Op))
		return f
	}
}

// next says where the next process is to die: at a step that none has died at yet as long as there is one, at a random
// one, or at a random moment.
func (c *sourceCrash) next(random *rand.Rand, names []string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if random.IntN(2) == 0 {
		return ""
	}
	var missing []string
	for _, name := range names {
		if c.at[name] == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		names = missing
	}
	return names[random.IntN(len(names))]
}

// done tells whether there were enough kills: in a long run, also at each step that there is, unless that takes twice
// as many.
func (c *sourceCrash) done(names []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := slices.ContainsFunc(names, func(name string) bool { return c.at[name] == 0 })
	return c.kills >= 2*c.target || c.kills >= c.target && (!missing || c.target < manyKills)
}

// manyKills are so many that some process dies at each of the steps.
const manyKills = 300

// work runs one poller after the other, each to its violent end.
func (c *sourceCrash) work(t *testing.T, worker int) {
	random := rand.New(rand.NewPCG(c.seed, 10+uint64(worker)))
	names := ladderSteps(t)
	for !c.done(names) && !t.Failed() {
		step := c.next(random, names)
		trace := filepath.Join(t.TempDir(), fmt.Sprintf("trace-%d", random.Uint64()))
		env := []string{"RIFTLINE_STEP_TRACE=" + trace}
		life := time.Duration(100+random.IntN(1200)) * time.Millisecond
		if step != "" {
			env = append(env, fmt.Sprintf("RIFTLINE_STEP_KILL=%s:%d", step, 1+random.IntN(2)))
			life = 3 * time.Second
		}
		q := startPoller(t, steps.path(t, "poller"), c.env(env...))
		c.trigger(t, random, q, life)
		c.buried(t, q, trace)
	}
}

// trigger polls at random, several at a time and some of them twice, until the process is dead.
func (c *sourceCrash) trigger(t *testing.T, random *rand.Rand, q *process, life time.Duration) {
	var wait sync.WaitGroup
	defer wait.Wait()
	room := make(chan struct{}, 4)
	end := time.After(life)
	for {
		select {
		case <-q.done:
			return
		case <-end:
			q.kill()
			return
		case room <- struct{}{}:
		}
		name := c.names[random.IntN(len(c.names))]
		if random.IntN(3) == 0 {
			c.api.move(name)
		}
		twice := random.IntN(4) == 0
		wait.Go(func() {
			defer func() { <-room }()
			var both sync.WaitGroup
			both.Go(func() { c.poll(t, q, name) })
			if twice {
				both.Go(func() { c.poll(t, q, name) })
			}
			both.Wait()
		})
	}
}

// poll triggers once and keeps the answer.
func (c *sourceCrash) poll(t *testing.T, q *process, name string) {
	c.mu.Lock()
	if c.flying[name]++; c.flying[name] > 1 {
		c.overlaps++
	}
	c.polls++
	c.mu.Unlock()
	a, err := q.poll(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying[name]--
	if err != nil {
		return // the process died
	}
	c.outcomes[a.Outcome]++
	if a.Published > 0 {
		c.reports = append(c.reports, a)
	}
	if a.Outcome == poll.Stopped || !a.ExactlyOnce {
		t.Errorf("%s: %s", name, a.body)
	}
}

// buried notes how a process died.
func (c *sourceCrash) buried(t *testing.T, q *process, trace string) {
	t.Helper()
	if !q.killed() {
		t.Errorf("a poller ended by itself: %v\n%s", q.cmd.ProcessState, tail(q.output(), 40))
		return
	}
	data, _ := os.ReadFile(trace) // there is none when no poll came as far as a step
	passed := strings.Fields(string(data))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kills++
	for _, line := range q.cmd.Env {
		if at, ok := strings.CutPrefix(line, "RIFTLINE_STEP_KILL="); ok && len(passed) > 0 {
			name, _, _ := strings.Cut(at, ":")
			if slices.Contains(passed[max(0, len(passed)-4):], name) { // other polls of the process may have gone on for a moment
				c.at[name]++
			}
		}
	}
	c.logs = append(c.logs, q.output())
	c.traces = append(c.traces, passed...)
}

// verify compares the topics with what was served, and with what the polls said.
func (c *sourceCrash) verify() {
	c.t.Helper()
	reports := map[string][]answer{}
	for _, a := range c.reports {
		reports[a.Connector] = append(reports[a.Connector], a)
	}
	records := 0
	for _, name := range c.names {
		messages := c.of(name).messages()
		records += len(messages)
		c.verifyValues(name, messages)
		c.verifyReports(name, messages, reports[name])
	}
	c.t.Logf("%d records in %d topics", records, len(c.names))
}

// verifyValues wants of each key no two equal neighbours, nothing that was not served in this order, and the last value
// that was served.
func (c *sourceCrash) verifyValues(name string, messages []message) {
	c.t.Helper()
	held := map[string][]int{}
	for _, m := range messages {
		points, err := strconv.Atoi(fmt.Sprint(m.value["leaguePoints"]))
		if err != nil {
			c.t.Fatal(err)
		}
		held[m.key] = append(held[m.key], points)
	}
	for key, served := range c.api.served[name] {
		values := held[key]
		if len(slices.Compact(slices.Clone(values))) != len(values) {
			c.t.Errorf("%s %s: a value follows itself in %v", name, key, values)
		}
		left := values
		for _, v := range served {
			if len(left) > 0 && left[0] == v {
				left = left[1:]
			}
		}
		if len(left) > 0 {
			c.t.Errorf("%s %s: %v was not served in this order: %v", name, key, values, served)
		}
		if len(values) == 0 || values[len(values)-1] != served[len(served)-1] {
			c.t.Errorf("%s %s: %v does not end with the last answer's %d", name, key, values, served[len(served)-1])
		}
		delete(held, key)
	}
	if len(held) > 0 {
		c.t.Errorf("%s: never served: %v", name, held)
	}
}

// verifyReports wants each record once under its intent, and what polls said that they published where they said so.
func (c *sourceCrash) verifyReports(name string, messages []message, reports []answer) {
	c.t.Helper()
	once := map[string]bool{}
	for _, m := range messages {
		id := ""
		for _, h := range m.headers {
			if h.Key == riftkafka.HeaderID {
				id = string(h.Value)
			}
		}
		if id == "" || once[id+m.key] {
			c.t.Errorf("%s: offset %d: intent %q published %s before", name, m.offset, id, m.key)
		}
		once[id+m.key] = true
	}
	claimed := map[int64]bool{}
	for _, a := range reports {
		first, ok := a.FirstOffsets[0]
		if !ok {
			continue // found out in a recovery, which does not tell offsets
		}
		n := 0
		for _, m := range messages {
			if m.offset < first || m.offset > a.LastOffsets[0] {
				continue
			}
			if claimed[m.offset] {
				c.t.Errorf("%s: two polls say that they published offset %d", name, m.offset)
			}
			claimed[m.offset] = true
			n++
		}
		if n > a.Published || n < a.Published && a.Recovered == "" {
			c.t.Errorf("%s: a poll said that it published %d at %d to %d, and there are %d", name, a.Published, first, a.LastOffsets[0], n)
		}
	}
}

// say prints what happened.
func (c *sourceCrash) say(took time.Duration) {
	c.t.Helper()
	count := map[string]int{}
	for _, log := range c.logs {
		for line := range strings.SplitSeq(log, "\n") {
			if strings.Contains(line, "settled the intent of an unfinished run") {
				count[map[bool]string{true: "promoted", false: "dropped"}[strings.Contains(line, "committed=true") || strings.Contains(line, `"committed":true`)]]++
			}
		}
	}
	for _, step := range c.traces {
		if step == "poll.R1.claimed" {
			count["claimed"]++
		}
	}
	c.t.Logf("seed %d, %v: %d kills, %d polls, %d overlaps; recoveries: %d claimed, %d promoted, %d dropped",
		c.seed, took.Round(time.Second), c.kills, c.polls, c.overlaps, count["claimed"], count["promoted"], count["dropped"])
	c.t.Logf("kills by step: %v", c.at)
	c.t.Logf("lost or late: %v, Kafka %v", c.lost, c.proxy.counts())
	c.t.Logf("outcomes of the polls that were answered: %v", c.outcomes)
}

// TestCrashSource kills pollers, as often as RIFTLINE_CRASH_KILLS says (make crash-source KILLS=500).
func TestCrashSource(t *testing.T) {
	t.Parallel()
	kills := 40
	if s := os.Getenv("RIFTLINE_CRASH_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("RIFTLINE_CRASH_KILLS=%s: %v", s, err)
		}
		kills = n
	}
	began := time.Now()
	c := newSourceCrash(t, kills)
	c.intercept(c.storageFaults())
	c.proxy.disturb(c.seed)
	t.Run("kills", func(t *testing.T) {
		for n := range crashPollers {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				c.work(t, n)
			})
		}
	})
	c.mu.Lock()
	c.healed = true
	c.mu.Unlock()
	c.proxy.heal()
	c.late.Wait()
	clean := startPoller(t, steps.path(t, "poller"), c.env("RIFTLINE_DEADLINE=60s"))
	for _, name := range c.names {
		clean.settle(name)
	}
	c.logs = append(c.logs, clean.output())
	c.verify()
	c.say(time.Since(began))
	if kills >= manyKills {
		for _, name := range ladderSteps(t) {
			if c.at[name] == 0 {
				t.Errorf("no process was killed at %s", name)
			}
		}
	}
}
