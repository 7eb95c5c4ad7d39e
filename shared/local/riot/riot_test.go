package riot

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const ladderPath = "/lol/league/v4/challengerleagues/by-queue/RANKED_SOLO_5x5"

func simulator(t *testing.T, o Options) *Simulator {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, h http.Handler, path, key string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "https://kr.api.riotgames.com"+path, nil)
	if key != "" {
		req.Header.Set("X-Riot-Token", key)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func TestLadderHasTheRecordedShape(t *testing.T) {
	s := simulator(t, Options{})
	rec := get(t, s, ladderPath, DefaultKey)
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	body := rec.Body.Bytes()
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil || !bytes.Equal(compact.Bytes(), body) {
		t.Fatal("the body is not compact JSON")
	}
	if want := `{"tier":"CHALLENGER","leagueId":"`; !strings.HasPrefix(string(body), want) {
		t.Errorf("the body begins with %.60s, want %s", body, want)
	}
	for _, order := range []string{
		`","queue":"RANKED_SOLO_5x5","name":"`, `","entries":[{"puuid":"`,
	} {
		if !strings.Contains(string(body), order) {
			t.Errorf("the body lacks %s", order)
		}
	}
	var list struct {
		Tier, LeagueID, Queue, Name string
		Entries                     []json.RawMessage
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Entries) != 300 {
		t.Errorf("%d entries, want 300", len(list.Entries))
	}
	want := []string{"puuid", "leaguePoints", "rank", "wins", "losses", "veteran", "inactive", "freshBlood", "hotStreak"}
	seen := map[string]bool{}
	for _, raw := range list.Entries {
		if got := names(t, raw); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("an entry's keys are %v, want %v", got, want)
		}
		var e struct{ PUUID string }
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		if len(e.PUUID) != 78 || !strings.HasPrefix(e.PUUID, "simulated-") || seen[e.PUUID] {
			t.Fatalf("puuid %q is not a fresh one of 78 characters that says what it is", e.PUUID)
		}
		seen[e.PUUID] = true
	}
	for name, value := range map[string]string{
		"X-App-Rate-Limit": "20:1,100:120", "X-App-Rate-Limit-Count": "1:1,1:120",
		"X-Method-Rate-Limit": "500:10", "X-Method-Rate-Limit-Count": "1:10",
		"Content-Type": "application/json;charset=utf-8",
	} {
		if got := rec.Header().Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}

// names are an object's member names in their order.
func names(t *testing.T, raw json.RawMessage) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	var out []string
	for i := 0; ; i++ {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := token.(string); ok && i%2 == 1 {
			out = append(out, name)
		}
	}
}

func TestKeyIsChecked(t *testing.T) {
	s := simulator(t, Options{})
	for name, c := range map[string]struct {
		key, body string
		code      int
	}{
		"missing": {"", `{"status":{"message":"Unauthorized","status_code":401}}`, 401},
		"unknown": {"another", `{"status":{"message":"Forbidden","status_code":403}}`, 403},
	} {
		rec := get(t, s, ladderPath, c.key)
		if rec.Code != c.code || rec.Body.String() != c.body {
			t.Errorf("key %s: %d %s, want %d %s", name, rec.Code, rec.Body, c.code, c.body)
		}
		if rec.Header().Get("X-App-Rate-Limit") != "" {
			t.Errorf("key %s: a refused request has rate-limit headers", name)
		}
	}
	for _, served := range s.Served() {
		if served.Body != nil {
			t.Error("a refused request was served a ladder")
		}
	}
}

func TestLimits(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := simulator(t, Options{AppLimit: "2:1,3:10", MethodLimit: "100:10", Now: func() time.Time { return now }})
	ask := func(path string) *httptest.ResponseRecorder { return get(t, s, path, DefaultKey) }
	const other = "/lol/league/v4/masterleagues/by-queue/RANKED_SOLO_5x5"
	for i, step := range []struct {
		after time.Duration
		path  string
		code  int
		count string
		retry string
	}{
		{0, ladderPath, 200, "1:1,1:10", ""},
		{0, other, 200, "2:1,2:10", ""},
		{300 * time.Millisecond, ladderPath, 429, "3:1,3:10", "1"},
		{700 * time.Millisecond, ladderPath, 429, "1:1,4:10", "9"},
		{9 * time.Second, ladderPath, 200, "1:1,1:10", ""},
	} {
		now = now.Add(step.after)
		rec := ask(step.path)
		h := rec.Header()
		if rec.Code != step.code || h.Get("X-App-Rate-Limit-Count") != step.count || h.Get("Retry-After") != step.retry {
			t.Errorf("step %d: %d, count %s, Retry-After %q; want %d, %s, %q", i, rec.Code, h.Get("X-App-Rate-Limit-Count"),
				h.Get("Retry-After"), step.code, step.count, step.retry)
		}
		if step.code == 429 {
			if got := rec.Body.String(); got != `{"status":{"message":"Rate limit exceeded","status_code":429}}` {
				t.Errorf("step %d: the body is %s", i, got)
			}
			if h.Get("X-Rate-Limit-Type") != "application" {
				t.Errorf("step %d: X-Rate-Limit-Type is %q", i, h.Get("X-Rate-Limit-Type"))
			}
		}
	}
	if _, err := New(Options{AppLimit: "20"}); err == nil {
		t.Error("a limit without its seconds is accepted")
	}
}

func TestMethodLimitIsSaidToBeOne(t *testing.T) {
	s := simulator(t, Options{MethodLimit: "1:10"})
	get(t, s, ladderPath, DefaultKey)
	rec := get(t, s, ladderPath, DefaultKey)
	if rec.Code != 429 || rec.Header().Get("X-Rate-Limit-Type") != "method" {
		t.Errorf("%d of type %q, want 429 of type method", rec.Code, rec.Header().Get("X-Rate-Limit-Type"))
	}
}

func TestLadderMovesOnlyWhenToldAndAlwaysAlike(t *testing.T) {
	a, b := simulator(t, Options{Seed: 1}), simulator(t, Options{Seed: 1})
	first := get(t, a, ladderPath, DefaultKey).Body.String()
	if again := get(t, a, ladderPath, DefaultKey).Body.String(); again != first {
		t.Fatal("the ladder moved without being told to")
	}
	var sum Movement
	for range 10 {
		before := a.Ladder("kr", "RANKED_SOLO_5x5", Challenger)
		m := a.Advance()
		after := a.Ladder("kr", "RANKED_SOLO_5x5", Challenger)
		if got := compare(before, after); got != m {
			t.Fatalf("Advance says %+v, the ladders say %+v", m, got)
		}
		if m.Changed < 10 || m.Changed > 150 {
			t.Errorf("%d of 300 changed", m.Changed)
		}
		if m.Joined != m.Left {
			t.Errorf("%d joined and %d left a ladder of a fixed size", m.Joined, m.Left)
		}
		for i := 1; i < len(after); i++ {
			if after[i].LeaguePoints > after[i-1].LeaguePoints {
				t.Fatal("the ladder is not ordered by league points")
			}
		}
		sum.Joined += m.Joined
		sum.Moved += m.Moved
		b.Advance()
	}
	if sum.Joined == 0 || sum.Moved == 0 {
		t.Errorf("ten advances: %+v; want joins and moves", sum)
	}
	if get(t, a, ladderPath, DefaultKey).Body.String() != get(t, b, ladderPath, DefaultKey).Body.String() {
		t.Error("the same seed gave another ladder")
	}
	late := simulator(t, Options{Seed: 1, Advances: 10})
	if get(t, a, ladderPath, DefaultKey).Body.String() != get(t, late, ladderPath, DefaultKey).Body.String() {
		t.Error("a simulator that goes on after ten advances has another ladder")
	}
	other := simulator(t, Options{Seed: 2})
	if get(t, other, ladderPath, DefaultKey).Body.String() == first {
		t.Error("another seed gave the same ladder")
	}
}

func TestAChangeIsAGame(t *testing.T) {
	s := simulator(t, Options{Seed: 1})
	before := map[string]Standing{}
	for _, p := range s.Ladder("kr", "RANKED_SOLO_5x5", Challenger) {
		before[p.PUUID] = p
	}
	s.Advance()
	for _, p := range s.Ladder("kr", "RANKED_SOLO_5x5", Challenger) {
		old, ok := before[p.PUUID]
		if ok && p.LeaguePoints != old.LeaguePoints && p.Wins+p.Losses == old.Wins+old.Losses {
			t.Errorf("%s went from %d to %d points without a game", p.PUUID, old.LeaguePoints, p.LeaguePoints)
		}
		if ok && (p.Wins < old.Wins || p.Losses < old.Losses) {
			t.Errorf("%s lost games: %+v, then %+v", p.PUUID, old, p)
		}
	}
}

func TestBetweenSeasons(t *testing.T) {
	s := simulator(t, Options{})
	before := get(t, s, ladderPath, DefaultKey).Body.String()
	s.Between(true)
	if got := get(t, s, ladderPath, DefaultKey).Body.String(); got != `{"tier":"CHALLENGER","entries":[]}` {
		t.Errorf("between seasons the ladder is %s", got)
	}
	s.Between(false)
	if got := get(t, s, ladderPath, DefaultKey).Body.String(); got != before {
		t.Error("the ladder did not come back")
	}
}

func TestTiersAndPlatformsDiffer(t *testing.T) {
	s := simulator(t, Options{AppLimit: "1000:1"})
	seen := map[string]string{}
	for _, tier := range []Tier{Challenger, Grandmaster, Master} {
		for _, platform := range []string{"kr", "euw1"} {
			for _, p := range s.Ladder(platform, "RANKED_SOLO_5x5", tier) {
				if other := seen[p.PUUID]; other != "" {
					t.Fatalf("%s is in %s and in %s of %s", p.PUUID, other, tier, platform)
				}
				seen[p.PUUID] = platform + " " + string(tier)
			}
		}
	}
}

func TestPages(t *testing.T) {
	s := simulator(t, Options{AppLimit: "1000:1"})
	players := map[string]int{}
	pages := 0
	for number := 1; ; number++ {
		rec := get(t, s, "/lol/league/v4/entries/RANKED_SOLO_5x5/DIAMOND/I?page="+string(rune('0'+number)), DefaultKey)
		if rec.Code == http.StatusNoContent {
			if rec.Body.Len() != 0 {
				t.Error("204 with a body")
			}
			break
		}
		var entries []struct{ PUUID, Tier, Rank, QueueType, LeagueID string }
		if err := json.Unmarshal(rec.Body.Bytes(), &entries); err != nil {
			t.Fatal(err)
		}
		if number == 1 && len(entries) != 205 {
			t.Errorf("the first page has %d entries, want 205", len(entries))
		}
		for _, e := range entries {
			if e.Tier != "DIAMOND" || e.Rank != "I" || e.QueueType != "RANKED_SOLO_5x5" || len(e.LeagueID) != 36 {
				t.Fatalf("an entry is %+v", e)
			}
			players[e.PUUID]++
		}
		pages++
	}
	twice := 0
	for _, n := range players {
		if n == 2 {
			twice++
		}
	}
	if pages < 3 || twice != (pages-1)*5 {
		t.Errorf("%d pages, %d players on two of them; want 5 for each page after the first", pages, twice)
	}
}

func TestWrongQuestions(t *testing.T) {
	s := simulator(t, Options{AppLimit: "1000:1"})
	for path, code := range map[string]int{
		"/lol/league/v4/challengerleagues/by-queue/RANKED":                400,
		"/lol/league/v4/entries/RANKED_SOLO_5x5/CHALLENGER/I":             400,
		"/lol/league/v4/entries/RANKED_SOLO_5x5/GOLD/V":                   400,
		"/lol/league/v4/entries/RANKED_SOLO_5x5/GOLD/I?page=0":            400,
		"/lol/league/v4/nothing/at/all":                                   404,
		"/lol/summoner/v4/summoners/by-puuid/x":                           404,
		"/lol/league/v4/grandmasterleagues/by-queue/RANKED_FLEX_SR":       200,
		"/lol/league/v4/entries/RANKED_FLEX_SR/IRON/IV?page=1":            200,
		"/lol/league/v4/challengerleagues/by-queue/RANKED_SOLO_5x5/extra": 404,
	} {
		if rec := get(t, s, path, DefaultKey); rec.Code != code {
			t.Errorf("%s: %d, want %d", path, rec.Code, code)
		} else if code >= 400 && !strings.Contains(rec.Body.String(), `"status_code":`) {
			t.Errorf("%s: the body is %s", path, rec.Body)
		}
	}
}

func client(s *Server) *http.Client {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Addr())
	}
	transport := &http.Transport{DialContext: dial, ForceAttemptHTTP2: true}
	transport.TLSClientConfig = &tls.Config{RootCAs: s.RootCAs(), MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}
}

func TestServerSpeaksTLSAsTheHostItStandsFor(t *testing.T) {
	s, err := Start(Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	c := client(s)
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://euw1.api.riotgames.com"+ladderPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Riot-Token", DefaultKey)
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", res.StatusCode, err)
	}
	if !res.Uncompressed {
		t.Error("the answer was not compressed although the client takes gzip")
	}
	served := s.Served()
	if len(served) != 1 || served[0].Platform != "euw1" || !bytes.Equal(served[0].Body, body) {
		t.Error("what was served is not what is remembered")
	}
}

func TestFaults(t *testing.T) {
	s, err := Start(Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	c := client(s)
	defer c.CloseIdleConnections()
	ask := func(f Fault) (*http.Response, []byte, error) {
		s.Intercept(func(Request) Fault { return f })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if f.Hang {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://kr.api.riotgames.com"+ladderPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Riot-Token", DefaultKey)
		res, err := c.Do(req)
		if err != nil {
			return nil, nil, err
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		return res, body, err
	}
	res, body, err := ask(Fault{Status: 502, Body: HTML})
	if err != nil || res.StatusCode != 502 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") || string(body) != HTML {
		t.Errorf("502 in HTML: %v %v", res, err)
	}
	res, _, err = ask(Fault{Status: 429, Header: http.Header{"Retry-After": {"3"}}})
	if err != nil || res.StatusCode != 429 || res.Header.Get("Retry-After") != "3" {
		t.Errorf("429 of the service: %v %v", res, err)
	}
	if _, _, err = ask(Fault{Truncate: 5000}); err == nil {
		t.Error("a body cut short was read without an error")
	}
	if _, _, err = ask(Fault{Hang: true}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a request that hangs ended with %v", err)
	}
	if res, body, err = ask(Fault{}); err != nil || res.StatusCode != 200 || !json.Valid(body) {
		t.Errorf("after the faults: %v %v", res, err)
	}
}
