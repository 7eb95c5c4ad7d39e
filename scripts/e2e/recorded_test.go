//go:build unix

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/riftline/riftline/scripts/internal/require"
	"github.com/riftline/riftline/shared/poll"
)

// recorded is the folder with answers of the real API.
func recorded(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("RIOT_RECORDED")
	if dir == "" {
		require.Skip(t, "recorded", "RIOT_RECORDED names no folder with recorded answers of the Riot API")
	}
	return dir
}

func recording(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(recorded(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// shape looks at an answer as nobody's code of ours does: where its list is, what its entries are keyed by.
func shape(t testing.TB, data []byte) (entries []map[string]any, list, key string) {
	t.Helper()
	var object struct {
		Entries []map[string]any `json:"entries"`
	}
	if err := json.Unmarshal(data, &entries); err == nil {
		list = "/"
	} else if err := json.Unmarshal(data, &object); err == nil {
		entries, list = object.Entries, "/entries"
	} else {
		t.Fatal(err)
	}
	for _, key := range []string{"puuid", "summonerId", "playerOrTeamId"} {
		if len(entries) == 0 || entries[0][key] != nil {
			return entries, list, key
		}
	}
	t.Fatal("entries without a key that is known")
	return nil, "", ""
}

// Every recorded ladder publishes every entry at the first poll, with typed fields, and nothing at the second, which
// does not even connect to Kafka.
func TestRecordedLadders(t *testing.T) {
	t.Parallel()
	var names []string
	for _, folder := range []string{"league", "league-eune-with-headers"} {
		found, err := filepath.Glob(filepath.Join(recorded(t), folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			if !strings.HasSuffix(name, ".headers.json") {
				names = append(names, filepath.Join(folder, filepath.Base(name)))
			}
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %d recorded ladders", len(names))
	}
	series := 0
	t.Run("ladders", func(t *testing.T) {
		for _, name := range names {
			data := recording(t, name)
			if strings.Contains(string(data), "miniSeries") {
				series++
			}
			t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
				t.Parallel()
				recordedLadder(t, data)
			})
		}
	})
	if series != 2 {
		t.Errorf("%d recorded pages have a miniSeries, want 2", series)
	}
}

func recordedLadder(t *testing.T, data []byte) {
	entries, list, key := shape(t, data)
	p := newPipeline(t, options{sourceKeys: map[string]string{
		"http.response.list.pointer": list, "http.response.record.offset.pointer": "key=/" + key,
	}})
	p.api.answer(http.StatusOK, "application/json;charset=utf-8", data)
	outcome := poll.Published
	if len(entries) == 0 {
		outcome = poll.NothingNew
	}
	poller := p.poller()
	if a := poller.mustPoll(p.source, outcome); a.Published != len(entries) || a.Fetched != len(entries) {
		t.Fatalf("%d entries, the answer: %s", len(entries), a.body)
	}
	poller.stop()
	messages := p.messages()
	if len(messages) != len(entries) {
		t.Fatalf("%d records for %d entries", len(messages), len(entries))
	}
	for i, m := range messages {
		e := entries[i]
		if m.key != e[key] || m.value[key] != e[key] {
			t.Fatalf("record %d has key %q, want %v", i, m.key, e[key])
		}
		for _, field := range []string{"leaguePoints", "wins", "losses"} {
			if got, ok := m.value[field].(int64); !ok || float64(got) != e[field] {
				t.Fatalf("record %d: %s is %v (%T), want the long %v", i, field, m.value[field], m.value[field], e[field])
			}
		}
		for _, field := range []string{"hotStreak", "veteran", "inactive", "freshBlood", "isHotStreak", "isVeteran"} {
			if want, there := e[field]; there && m.value[field] != want {
				t.Fatalf("record %d: %s is %v, want %v", i, field, m.value[field], want)
			}
		}
		if want, there := e["miniSeries"]; there != (m.value["miniSeries"] != nil) {
			t.Fatalf("record %d: miniSeries is %v, want %v", i, m.value["miniSeries"], want)
		}
	}
	if strings.Contains(string(data), "miniSeries") {
		latest, err := p.schemas.SchemaByVersion(t.Context(), p.topic+"-value", -1)
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Fields []struct {
				Name string
				Type any
			}
		}
		if err := json.Unmarshal([]byte(latest.Schema.Schema), &schema); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(schema.Fields, func(f struct {
			Name string
			Type any
		}) bool {
			return f.Name == "miniSeries"
		})
		if i < 0 {
			t.Fatalf("no miniSeries in %s", latest.Schema.Schema)
		}
		branches, ok := schema.Fields[i].Type.([]any)
		if !ok || len(branches) != 2 || branches[0] != "null" || branches[1].(map[string]any)["type"] != "record" {
			t.Errorf("miniSeries is no nullable record: %v", schema.Fields[i].Type)
		}
	}

	counting, connections := countConnections(t)
	again := p.poller("CONNECT_BOOTSTRAP_SERVERS=" + counting)
	if a := again.mustPoll(p.source, poll.NothingNew); a.Unchanged != len(entries) || a.Published != 0 {
		t.Errorf("the second poll: %s", a.body)
	}
	again.stop()
	if n := connections.Load(); n != 0 {
		t.Errorf("the poll that found nothing new made %d connections to Kafka", n)
	}
}

// countConnections listens in Kafka's place and closes what comes.
func countConnections(t testing.TB) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var n atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			_ = c.Close()
		}
	}()
	return l.Addr().String(), &n
}

// Two answers of which the second has another order and three changed players: those three are published.
func TestRecordedGrandmasters(t *testing.T) {
	t.Parallel()
	a := recording(t, "league/grandmaster-kr-2025-07-puuid-a-older-by-league-id.json")
	b := recording(t, "league/grandmaster-kr-2025-07-puuid-b-newer.json")
	before, _, _ := shape(t, a)
	after, _, _ := shape(t, b)
	old := map[any]string{}
	for _, e := range before {
		old[e["puuid"]] = fmt.Sprint(e)
	}
	var want []string
	for _, e := range after {
		if old[e["puuid"]] != fmt.Sprint(e) {
			want = append(want, e["puuid"].(string))
		}
	}
	if len(want) != 3 {
		t.Fatalf("the recordings differ in %d players", len(want))
	}
	p := newPipeline(t, options{})
	poller := p.poller()
	p.api.answer(http.StatusOK, "application/json", a)
	poller.mustPoll(p.source, poll.Published)
	p.api.answer(http.StatusOK, "application/json", b)
	if got := poller.mustPoll(p.source, poll.Published); got.Published != 3 || got.Changed != 3 || got.New != 0 || got.Left != 0 {
		t.Errorf("the second poll: %s", got.body)
	}
	var keys []string
	for _, m := range p.messages()[len(before):] {
		keys = append(keys, m.key)
	}
	if !slices.Equal(keys, want) {
		t.Errorf("published %v, want %v", keys, want)
	}
	p.mustDrain()
	p.wantArchive(p.messages())
}

// Four days of one ladder, from a tracker's daily state.
func TestRecordedDays(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, options{flushSize: 50})
	poller := p.poller()
	total := 0
	for i, want := range []int{300, 168, 171, 169} {
		var tracker struct {
			Players []map[string]any `json:"players"`
		}
		if err := json.Unmarshal(recording(t, fmt.Sprintf("derived/challengers-kr-tracker-2026-08-%d.json", 19+i)), &tracker); err != nil {
			t.Fatal(err)
		}
		var entries []map[string]any
		for _, player := range tracker.Players {
			if player["isActive"] == true {
				entries = append(entries, map[string]any{
					"puuid": player["puuid"], "leaguePoints": player["leaguePoints"], "wins": player["wins"], "losses": player["losses"],
				})
			}
		}
		body, err := json.Marshal(map[string]any{"entries": entries})
		if err != nil {
			t.Fatal(err)
		}
		p.api.answer(http.StatusOK, "application/json", body)
		if a := poller.mustPoll(p.source, poll.Published); a.Fetched != 300 || a.Published != want {
			t.Errorf("day %d: want %d, the answer: %s", i+1, want, a.body)
		}
		total += want
		poller.mustPoll(p.source, poll.NothingNew)
		p.mustDrain()
	}
	messages := p.messages()
	if len(messages) != total {
		t.Errorf("%d records, want %d", len(messages), total)
	}
	p.wantArchive(messages)
}

// The user's own file as it stands, with its URL and the key pointer that the API no longer has, against an answer of
// 2025: everything is published under /puuid, with one warning.
func TestUnmodifiedFileFallsBackToPUUID(t *testing.T) {
	t.Parallel()
	data := recording(t, "league/challenger-kr-2025-07-puuid.json")
	entries, _, _ := shape(t, data)
	p := newPipeline(t, options{})
	const key = "recorded-api-key"
	p.useRepositoryFiles(map[string]string{"kafka.topic": p.topic, "http.request.headers": "X-Riot-Token: ${env:RIOT_API_KEY}"})

	tlsDir := filepath.Join(t.TempDir(), "tls")
	certificates := exec.Command("go", "run", "./scripts/certificates", tlsDir, "kr.api.riotgames.com")
	certificates.Dir = root
	if out, err := certificates.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(tlsDir, "server.pem"), filepath.Join(tlsDir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "kr.api.riotgames.com" || r.Header.Get("X-Riot-Token") != key || r.URL.Path != "/lol/league/v4/challengerleagues/by-queue/RANKED_SOLO_5x5" {
			http.Error(w, "who is that?", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		_, _ = w.Write(data)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)

	poller := p.poller("RIFTLINE_RESOLVE=kr.api.riotgames.com:443="+server.Listener.Addr().String(),
		"SSL_CERT_FILE="+filepath.Join(tlsDir, "ca.pem"), "RIOT_API_KEY="+key, "RIFTLINE_LOG_LEVEL=warn")
	if a := poller.mustPoll(p.source, poll.Published); a.Published != len(entries) || a.Published != 300 {
		t.Errorf("the answer: %s", a.body)
	}
	warnings := 0
	for line := range strings.SplitSeq(poller.output(), "\n") {
		if strings.Contains(line, "/puuid") {
			warnings++
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings about /puuid, want 1:\n%s", warnings, poller.output())
	}
	for i, m := range p.messages() {
		if m.key != entries[i]["puuid"] || m.value["platform"] != "kr" || m.value["tier"] != "CHALLENGER" {
			t.Fatalf("record %d: %q %v", i, m.key, m.value)
		}
	}
	p.mustDrain()
	p.wantArchive(p.messages())
}
