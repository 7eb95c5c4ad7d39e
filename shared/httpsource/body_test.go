package httpsource

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector"
)

func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		body, list, record string
		entries, stamps    string
	}{
		"a ladder":               {ladder, "/entries", "/", `{"puuid":"a","leaguePoints":10} {"puuid":"b","leaguePoints":9}`, "tier=CHALLENGER leagueId=8cf861bd queue=RANKED_SOLO_5x5 name=Ryze's Urfriders"},
		"between seasons":        {`{"tier":"CHALLENGER","entries":[]}`, "/entries", "/", "", "tier=CHALLENGER"},
		"an array":               {`[{"a":1},{"a":2}]`, "/", "/", `{"a":1} {"a":2}`, ""},
		"the root as ''":         {`[1,2]`, "", "", `1 2`, ""},
		"an object is one entry": {`{"puuid":"a"}`, "/", "/", `{"puuid":"a"}`, ""},
		"deep, inner name wins":  {`{"n":1,"on":true,"x":null,"data":{"n":2.5,"list":[{"a":1}]}}`, "/data/list", "/", `{"a":1}`, "n=2.5 on=true"},
		"a record inside":        {`{"hits":[{"id":1,"doc":{"a":1}},{"id":2,"doc":{"a":2}}]}`, "/hits", "/doc", `{"a":1} {"a":2}`, ""},
		"a byte order mark":      {"\ufeff[]", "/", "/", "", ""},
		"escaped pointer":        {`{"a/b":{"~":[1]},"s":"x"}`, "/a~1b/~0", "/", "1", "s=x"},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, text(c.body, "Content-Type", "application/json"))
			a, err := fetchOnce(t, source(server.URL, func(s *connector.Source) {
				s.Response.ListPointer, s.Response.RecordPointer = c.list, c.record
			}), newClock())
			if err != nil {
				t.Fatal(err)
			}
			var entries []string
			for i := range a.Entries {
				entries = append(entries, string(appendJSON(&a.Entries[i])))
			}
			if got := strings.Join(entries, " "); got != c.entries {
				t.Errorf("entries are %s", got)
			}
			if got := names(a.Stamps); got != c.stamps || a.Stamps == nil {
				t.Errorf("stamps are %s", got)
			}
			if a.Bytes != int64(len(c.body)) || a.Status != 200 {
				t.Errorf("%d bytes, status %d", a.Bytes, a.Status)
			}
		})
	}
}

func TestItemsKeepWhatTheRecordPointerLeavesOut(t *testing.T) {
	server := serve(t, text(`{"hits":[{"id":"k1","doc":{"a":1}}]}`))
	a, err := fetchOnce(t, source(server.URL, func(s *connector.Source) {
		s.Response.ListPointer, s.Response.RecordPointer = "/hits", "/doc"
	}), newClock())
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := a.Items[0].At("/id"); !ok || key.Text != "k1" || len(a.Items) != len(a.Entries) {
		t.Errorf("items are %+v", a.Items)
	}
}

func TestNoStampsWhenTurnedOff(t *testing.T) {
	server := serve(t, text(ladder))
	a, err := fetchOnce(t, source(server.URL, func(s *connector.Source) { s.ValueFields = "none" }), newClock())
	if err != nil || a.Stamps != nil {
		t.Errorf("got %+v, %v", a.Stamps, err)
	}
}

func TestUnusableBodies(t *testing.T) {
	for name, c := range map[string]struct {
		body, contentType string
		want              []string
	}{
		"not JSON":           {"oops", "text/plain", []string{"not JSON", `"oops"`, "text/plain", "4 bytes", "status 200"}},
		"cut off JSON":       {ladder[:60], "application/json", []string{"not JSON", "too early"}},
		"HTML with 200":      {"<!DOCTYPE html><html>" + strings.Repeat("x", 500), "text/html", []string{"HTML", "text/html"}},
		"nothing":            {"", "application/json", []string{"empty"}},
		"no list":            {`{"status":{"message":"x"},"other":1}`, "application/json", []string{`"/entries"`, "status, other"}},
		"an array, no list":  {`[{"a":1}]`, "application/json", []string{`"/entries"`, "an array of 1", `"/"`}},
		"the list is a text": {`{"entries":"soon"}`, "application/json", []string{`"/entries"`, "a text"}},
		"the list is null":   {`{"entries":null}`, "application/json", []string{`"/entries"`, "null"}},
		"too large":          {`{"entries":[` + strings.Repeat("1,", 1<<19) + `1]}`, "application/json", []string{"riftline.response.max.bytes", "1048576"}},
		"too large unzipped": {gzipped(`{"entries":[` + strings.Repeat("1,", 1<<19) + `1]}`), "application/json", []string{"riftline.response.max.bytes"}},
		"invalid UTF-8":      {"{\"entries\":[\"\xff\"]}", "application/json", []string{"not JSON"}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			_, err := fetchOnce(t, source(serve(t, text(c.body, "Content-Type", c.contentType)).URL), clock)
			var body *BodyError
			if !errors.As(err, &body) || len(clock.waits) != 0 {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %s", err, want)
				}
			}
			if len(body.Start) > startBytes {
				t.Errorf("shows %d bytes of the body", len(body.Start))
			}
		})
	}
	_, err := fetchOnce(t, source(serve(t, text(`{"entries":[{"a":1},{"b":2}]}`)).URL, func(s *connector.Source) { s.Response.RecordPointer = "/a" }), newClock())
	if err == nil || !strings.Contains(err.Error(), `"/a" finds nothing in entry 1 of 2`) {
		t.Errorf("a record pointer that finds nothing gives %v", err)
	}
}

func TestGzip(t *testing.T) {
	for name, header := range map[string][]string{
		"declared":   {"Content-Encoding", "gzip"},
		"undeclared": {"Content-Type", "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "gzip" {
					t.Errorf("Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
				}
				w.Header().Set(header[0], header[1])
				_, _ = io.WriteString(w, gzipped(ladder))
			})
			a, err := fetchOnce(t, source(server.URL), newClock())
			if err != nil || len(a.Entries) != 2 || a.Bytes != int64(len(ladder)) {
				t.Errorf("got %+v, %v", a, err)
			}
		})
	}
	broken := []byte(gzipped(ladder))
	broken[len(broken)-6] ^= 1
	_, err := fetchOnce(t, source(serve(t, text(string(broken), "Content-Encoding", "gzip")).URL), newClock())
	var body *BodyError
	if !errors.As(err, &body) {
		t.Errorf("a wrong checksum gives %v", err)
	}
	_, err = fetchOnce(t, source(serve(t, text("xyz", "Content-Encoding", "br")).URL), newClock())
	if !errors.As(err, &body) || !strings.Contains(err.Error(), "br") {
		t.Errorf("brotli gives %v", err)
	}
}

func TestLargeBody(t *testing.T) {
	entry := `{"puuid":"` + strings.Repeat("p", 2000) + `"}`
	large := `{"entries":[` + strings.Repeat(entry+",", 10_000) + entry + `]}`
	a, err := fetchOnce(t, source(serve(t, text(large)).URL, func(s *connector.Source) { s.Response.MaxBytes = 64 << 20 }), newClock())
	if err != nil || len(a.Entries) != 10_001 || a.Bytes < 20_000_000 {
		t.Errorf("%d entries of %d bytes, %v", len(a.Entries), a.Bytes, err)
	}
}
