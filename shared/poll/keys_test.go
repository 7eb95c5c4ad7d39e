package poll

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/record"
)

func TestKeys(t *testing.T) {
	const riot, other = "https://kr.api.riotgames.com/lol/league", "https://api.example.com/?kr.api.riotgames.com"
	for _, c := range []struct {
		situation string
		url       string
		pointers  []string
		fallback  bool
		answer    string
		keys      []string // "uuid" for a name-UUID
		keyless   int
		warns     bool
		says      string
	}{
		{"a text", other, []string{"/id"}, true, `[{"id":"x"},{"id":"y"}]`, []string{"x", "y"}, 0, false, ""},
		{"a number and a boolean", other, []string{"/id"}, true, `[{"id":12},{"id":true}]`, []string{"12", "true"}, 0, false, ""},
		{"several pointers", other, []string{"/a", "/b/c"}, true, `[{"a":"x","b":{"c":7}}]`, []string{"x+7"}, 0, false, ""},
		{"one of several is missing", other, []string{"/a", "/b"}, true, `[{"a":"x","b":"y"},{"a":"x"}]`, []string{"x+y", "uuid"}, 1, false, ""},
		{"null, empty and object are no keys", other, []string{"/id"}, true, `[{"id":null},{"id":""},{"id":{"x":1}},{"id":"k"}]`, []string{"uuid", "uuid", "uuid", "k"}, 3, false, ""},
		{"no pointer given", other, nil, true, `[{"id":1},{"id":2}]`, []string{"uuid", "uuid"}, 0, false, ""},
		{"summonerId has gone", riot, []string{"/summonerId"}, true, `[{"puuid":"p","w":1},{"puuid":"q"}]`, []string{"p", "q"}, 0, true, ""},
		{"summonerId has gone, one has no puuid", riot, []string{"/summonerId"}, true, `[{"puuid":"p"},{"w":1}]`, []string{"p", "uuid"}, 1, true, ""},
		{"summonerId is in one entry", riot, []string{"/summonerId"}, true, `[{"puuid":"p","summonerId":"s"},{"puuid":"q"}]`, []string{"s", "uuid"}, 1, false, ""},
		{"the fallback is forbidden", riot, []string{"/summonerId"}, false, `[{"puuid":"p","wins":1}]`, nil, 0, false, "no entry has /summonerId"},
		{"not Riot's host", other, []string{"/summonerId"}, true, `[{"puuid":"p","wins":1}]`, nil, 0, false, "puuid, wins"},
		{"Riot's host in a variable", "https://${var.host}/lol/league", []string{"/summonerId"}, true, `[{"puuid":"p","w":1}]`, []string{"p"}, 0, true, ""},
		{"another host in a variable", "https://${var.other}/lol/league", []string{"/summonerId"}, true, `[{"puuid":"p","w":1}]`, nil, 0, false, "puuid, w"},
		{"entries that are no objects", other, []string{"/id"}, true, `[1,2]`, nil, 0, false, "it is no object"},
		{"an empty answer", riot, []string{"/summonerId"}, true, `[]`, []string{}, 0, false, ""},
	} {
		t.Run(c.situation, func(t *testing.T) {
			var logged bytes.Buffer
			r := &run{log: slog.New(slog.NewTextHandler(&logged, nil)), s: connector.Source{
				Key: c.pointers, KeyFallback: c.fallback, Request: connector.Request{URL: c.url},
				Variables: map[string]string{"host": "kr.api.riotgames.com", "other": "api.example.com"},
			}}
			list, err := record.Parse([]byte(c.answer))
			if err != nil {
				t.Fatal(err)
			}
			keys, err := r.keysOf(t.Context(), httpsource.Answer{Entries: list.Items})
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				return
			}
			for i, k := range keys {
				if len(k) == 36 && strings.Count(k, "-") == 4 {
					keys[i] = "uuid"
				}
			}
			if err != nil || !slices.Equal(keys, c.keys) || r.sum.Keyless != c.keyless {
				t.Errorf("%v, %d keyless, %v", keys, r.sum.Keyless, err)
			}
			if got := strings.Count(logged.String(), "level=WARN"); got != map[bool]int{true: 1}[c.warns] {
				t.Errorf("%d warnings: %s", got, logged.String())
			}
		})
	}
}

func TestKeysAreThoseOfTheItem(t *testing.T) {
	item, err := record.Parse([]byte(`{"id":"outside","body":{"id":"inside"}}`))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := item.At("/body")
	r := &run{s: connector.Source{Key: []string{"/id"}}}
	keys, err := r.keysOf(t.Context(), httpsource.Answer{Items: []record.Value{item}, Entries: []record.Value{*body}})
	if err != nil || keys[0] != "outside" {
		t.Errorf("%v, %v", keys, err)
	}
}

// TestNameUUID compares with UUID.nameUUIDFromBytes("{\"a\":1}".getBytes(UTF_8)) in Java.
func TestNameUUID(t *testing.T) {
	v, err := record.Parse([]byte(` { "a" : 1 } `))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := nameUUID(&v), "bb6cb5c6-8df4-3529-81ca-f652a366f2d8"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
