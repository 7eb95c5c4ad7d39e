package httpsource

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/record"
)

func appendJSON(v *record.Value) []byte { return record.AppendJSON(nil, v) }

// TestRecordedLadders serves real API answers when RIOT_RECORDED names a folder with them: every entry is there.
func TestRecordedLadders(t *testing.T) {
	root := os.Getenv("RIOT_RECORDED")
	if root == "" {
		t.Skip("RIOT_RECORDED names no folder with recorded answers")
	}
	var files []string
	for _, folder := range []string{"league", "league-eune-with-headers"} {
		found, err := filepath.Glob(filepath.Join(root, folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	read := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".headers.json") {
			continue
		}
		read++
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []json.RawMessage
		pointer, stamps := "/", ""
		if data[0] == '{' || strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
			var ladder struct {
				Tier    string            `json:"tier"`
				Entries []json.RawMessage `json:"entries"`
			}
			if err := json.Unmarshal(data, &ladder); err != nil {
				t.Fatal(err)
			}
			list, pointer, stamps = ladder.Entries, "/entries", "tier="+ladder.Tier
		} else if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })
		a, err := fetchOnce(t, source(server.URL, func(s *connector.Source) {
			s.Response.ListPointer, s.Response.MaxBytes = pointer, 64<<20
		}), newClock())
		if err != nil || len(a.Entries) != len(list) || !strings.Contains(names(a.Stamps), stamps) {
			t.Errorf("%s: %d of %d entries, stamps %s, %v", file, len(a.Entries), len(list), names(a.Stamps), err)
		}
	}
	if read == 0 {
		t.Fatal("no ladder was found")
	}
}
