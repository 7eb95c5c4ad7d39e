package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
)

// ladderPage answers with a ladder in the shape of Riot's league API; ?entries= says of how many players, and every
// answer differs from the last one in each entry.
func ladderPage() http.HandlerFunc {
	var mu sync.Mutex
	asked := 0
	return func(w http.ResponseWriter, r *http.Request) {
		entries, err := strconv.Atoi(r.URL.Query().Get("entries"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		asked++
		n := asked
		mu.Unlock()
		random := kinds["ladder"].random()
		body := make([]byte, 0, entries*320)
		body = append(body, `{"tier":"CHALLENGER","leagueId":"c4a2e1de-6f3b-3a54-8ca1-9b1f1f0c7d21","queue":"RANKED_SOLO_5x5","name":"Zed's Infiltrators","entries":[`...)
		var id []byte
		for i := range entries {
			if i > 0 {
				body = append(body, ',')
			}
			id = word(id[:0], random, 78)
			body = fmt.Appendf(body, `{"puuid":"%s","leaguePoints":%d,"rank":"I","wins":%d,"losses":%d,"veteran":%t,"inactive":false,"freshBlood":%t,"hotStreak":%t}`,
				id[2:], 1000+i+n, 100+n, 90+i%100, i%3 == 0, i%5 == 0, (i+n)%2 == 0)
		}
		body = append(body, "]}"...)
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		_, _ = w.Write(body)
	}
}
