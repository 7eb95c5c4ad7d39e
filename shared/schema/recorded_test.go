package schema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/record"
)

// recorded returns the answers in a folder below RIOT_RECORDED.
func recorded(t *testing.T, folders ...string) map[string]*record.Value {
	t.Helper()
	root := os.Getenv("RIOT_RECORDED")
	if root == "" {
		t.Skip("RIOT_RECORDED names no folder with recorded answers")
	}
	answers := map[string]*record.Value{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".headers.json") {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			answers[filepath.Base(file)] = value(t, string(data))
		}
	}
	if len(answers) == 0 {
		t.Fatal("no recorded answer was found")
	}
	return answers
}

func TestRecordedLadders(t *testing.T) {
	minis := 0
	for file, answer := range recorded(t, "league", "league-eune-with-headers") {
		stamp := []record.Field{{Name: "platform", Value: record.Value{Kind: record.String, Text: "kr"}}}
		items := answer.Items
		if list, found := answer.At("/entries"); found {
			items = list.Items
			for _, f := range answer.Fields {
				if f.Value.Kind == record.String {
					stamp = append(stamp, f)
				}
			}
		}
		var list []*record.Value
		for i := range items {
			list = append(list, &items[i])
		}
		s, err := Infer(list, stamp, "challenger")
		if err != nil {
			t.Fatal(err)
		}
		codec := codecOf(t, s)
		for _, e := range list {
			roundTrip(t, s, codec, e, stamp)
		}
		types := map[string]string{}
		for i := range s.root.fields {
			types[s.root.fields[i].name] = render(s.root.fields[i].typ)
		}
		if len(list) > 0 {
			for _, name := range []string{"leaguePoints", "wins", "losses"} {
				if types[name] != `"long"` {
					t.Errorf("%s: %s is %s", file, name, types[name])
				}
			}
			for _, names := range [][2]string{{"hotStreak", "isHotStreak"}, {"veteran", "isVeteran"}, {"inactive", "isInactive"}, {"freshBlood", "isFreshBlood"}} {
				if types[names[0]]+types[names[1]] != `"boolean"` {
					t.Errorf("%s: %s is %s", file, names[0], types[names[0]])
				}
			}
		}
		if mini := types["miniSeries"]; mini != "" {
			minis++
			if !strings.HasPrefix(mini, `["null",{"type":"record","name":"challenger_miniSeries"`) || !strings.Contains(mini, `{"name":"progress","type":"string"}`) {
				t.Errorf("%s: miniSeries is %s", file, mini)
			}
		}
	}
	if minis != 2 {
		t.Errorf("%d answers have a miniSeries", minis)
	}
}

// TestRecordedEvolution puts all ladders and all matches, in some order, into one subject each.
func TestRecordedEvolution(t *testing.T) {
	for _, folder := range []string{"league", "match"} {
		var latest *Schema
		for file, answer := range recorded(t, folder) {
			items := []record.Value{*answer}
			if list, found := answer.At("/entries"); found {
				items = list.Items
			} else if answer.Kind == record.Array {
				items = answer.Items
			}
			var list []*record.Value
			for i := range items {
				list = append(list, &items[i])
			}
			inferred, err := Infer(list, []record.Field{}, folder)
			if err != nil {
				t.Fatal(err)
			}
			merged := merge(t, inferred, latest)
			if latest != nil {
				readable(t, latest.Text(), merged.Text())
			}
			codecOf(t, merged)
			for _, e := range list {
				if _, err := merged.AppendBody(nil, e, []record.Field{}, polled); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			}
			latest = parseSchema(t, merged.Text())
			if again := merge(t, inferred, latest); !again.Equal(latest) {
				t.Errorf("%s changes the schema twice", file)
			}
		}
	}
}
