package poller

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/poll"
)

// limited is a world whose API has an app's limit, with a connector that asks six ladders of one host.
func limited(t *testing.T, limit string) *world {
	t.Helper()
	w := newWorld(t)
	api, err := riot.Start(riot.Options{Key: apiKey, AppLimit: limit}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	w.riot = api
	file, err := json.Marshal(map[string]string{
		"name": "matrix", "connector.class": "com.github.castorm.kafka.connect.http.HttpSourceConnector", "kafka.topic": topic,
		"http.request.url":     "https://kr.api.riotgames.com/lol/league/v4/${var.tier}leagues/by-queue/${var.queue}",
		"http.request.headers": "X-Riot-Token: ${env:RIOT_API_KEY}", "http.response.list.pointer": "/entries",
		"http.response.record.offset.pointer": "key=/puuid",
		"riftline.request.variables":          "tier=challenger,grandmaster,master; queue=RANKED_SOLO_5x5,RANKED_FLEX_SR",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.write("matrix.json", file)
	return w
}

// statuses are how often the API has answered what.
func (w *world) statuses() map[int]int {
	all := map[int]int{}
	for _, s := range w.riot.Served() {
		all[s.Status]++
	}
	return all
}

// TestUnitsKeepWithinTheRateLimit: a connector with more units than the API's window allows waits instead of being
// refused.
func TestUnitsKeepWithinTheRateLimit(t *testing.T) {
	t.Parallel()
	w := limited(t, "2:1")
	status, sum, _ := post(t, w.service().poll, matrixTrigger)
	if status != http.StatusOK || sum.UnitsLeft != 0 || len(sum.Units) != 6 || sum.Published == 0 {
		t.Errorf("status %d: %+v", status, sum)
	}
	if got := w.statuses(); got[http.StatusOK] != 6 || len(got) != 1 {
		t.Errorf("the API answered %v", got)
	}
}

// TestALimitThatLastsLongerThanTheRun: what the window leaves is published, the rest is told when to come back, without
// having been asked for.
func TestALimitThatLastsLongerThanTheRun(t *testing.T) {
	t.Parallel()
	w := limited(t, "2:600")
	status, sum, header := post(t, w.service().poll, matrixTrigger)
	if status != poll.Deferred.HTTPStatus() || sum.Outcome != poll.Deferred || sum.Published == 0 {
		t.Errorf("status %d: %+v", status, sum)
	}
	if after, err := strconv.Atoi(header.Get("Retry-After")); err != nil || after < 500 || after > 610 {
		t.Errorf("Retry-After is %q", header.Get("Retry-After"))
	}
	if got := w.statuses(); got[http.StatusOK] != 2 || len(got) != 1 {
		t.Errorf("the API answered %v", got)
	}
}
