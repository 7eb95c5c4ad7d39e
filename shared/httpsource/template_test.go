package httpsource

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

func TestTemplatesAreFilledIn(t *testing.T) {
	var got shared[string]
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.set(r.Method + " " + r.URL.EscapedPath() + "?" + r.URL.RawQuery + " " + r.Header.Get("X-Queue") + " " + string(body))
		text(ladder)(w, r)
	})
	s := source(server.URL, func(s *connector.Source) {
		s.Request.URL = server.URL + "/${var.queue}?after=${offset.timestamp}"
		s.Request.Method = "POST"
		s.Request.Params = secret.New(`jql=updated>"${offset.timestamp?datetime.iso?string("yyyy/MM/dd HH:mm")}" or x`)
		s.Request.Headers = append(s.Request.Headers, connector.Header{Name: "X-Queue", Value: secret.New("${var.queue}")})
		s.Request.Body = secret.New(`{"q":"${var.queue}","from":[${offset.timestamp?datetime.iso?long}]}`)
		s.Request.Values = template.Values{Var: map[string]string{"queue": `A&"B`, "platform": "kr"}, Offset: map[string]string{"timestamp": "2020-05-12T10:03:04Z"}}
	})
	a, err := fetchOnce(t, s, newClock())
	if err != nil {
		t.Fatal(err)
	}
	want := `POST /A&%22B?after=2020-05-12T10:03:04Z&jql=updated%3E%222020/05/12%2010:03%22%20or%20x A&"B {"q":"A&\"B","from":[1589277784000]}`
	if got.get() != want {
		t.Errorf("got  %s\nwant %s", got.get(), want)
	}
	// The answer's own queue is no other than the variable's.
	if got := names(a.Stamps); got != "tier=CHALLENGER leagueId=8cf861bd queue=RANKED_SOLO_5x5 name=Ryze's Urfriders platform=kr" {
		t.Errorf("stamps: %s", got)
	}
}

// TestTheKeyReachesNoOtherListener has a listener elsewhere that every attempt would reach.
func TestTheKeyReachesNoOtherListener(t *testing.T) {
	var reached shared[string]
	elsewhere := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		reached.set(r.Header.Get("X-Riot-Token") + r.URL.String())
	})
	other := strings.TrimPrefix(elsewhere.URL, "http://")
	home := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/moved") {
			http.Redirect(w, r, elsewhere.URL+"/", http.StatusFound)
			return
		}
		text(ladder)(w, r)
	})
	at := strings.TrimPrefix(home.URL, "http://")
	host, port, _ := strings.Cut(at, ":")
	_, otherPort, _ := strings.Cut(other, ":")
	o := newClock().options()
	// Whatever host is asked for, it is the listener elsewhere that would be dialled.
	o.Resolve = map[string]string{"evil.example:80": other, "kr.evil.example:80": other, "localhost:" + otherPort: other}
	for situation, c := range map[string]struct {
		url    string
		values map[string]string
		want   error
	}{
		"the host of the file":   {"http://${var.host}:" + port + "/x", map[string]string{"host": host}, nil},
		"another host":           {"http://${var.host}/x", map[string]string{"host": "evil.example"}, connector.ErrVariables},
		"a host behind the host": {"http://${var.host}.evil.example/x", map[string]string{"host": "kr"}, connector.ErrVariables},
		"another port":           {"http://" + host + ":${var.port}/x", map[string]string{"port": otherPort}, connector.ErrVariables},
		"a name of the machine":  {"http://${var.host}/x", map[string]string{"host": "localhost:" + otherPort}, connector.ErrVariables},
		"user information":       {"http://${var.host}/x", map[string]string{"host": host + "@" + other}, connector.ErrVariables},
		"an IPv6 literal":        {"http://${var.host}:" + otherPort + "/x", map[string]string{"host": "[::1]"}, connector.ErrVariables},
		"an encoded slash":       {"http://${var.host}/x", map[string]string{"host": other + "%2f"}, connector.ErrVariables},
		"another scheme":         {"${var.scheme}://" + at + "/x", map[string]string{"scheme": "https"}, connector.ErrVariables},
		"a redirect":             {"http://" + at + "/${var.path}", map[string]string{"path": "moved"}, ErrRedirected},
	} {
		s := source(home.URL, func(s *connector.Source) {
			s.Request.URL = c.url
			s.Request.Origins = []string{"http://" + at}
			s.Request.Values.Var = c.values
		})
		client, err := New(s, o)
		if err == nil {
			_, err = client.Fetch(t.Context())
			client.Close()
		}
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", situation, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error shows the key: %v", situation, err)
		}
		if got := reached.get(); got != "" {
			t.Fatalf("%s: the listener elsewhere got %q", situation, got)
		}
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	s := source("http://127.0.0.1:1", func(s *connector.Source) { s.Request.Params = secret.New("a=${offset.timestamp?datetime.iso?long}") })
	if _, err := New(s, Options{}); !errors.Is(err, connector.ErrVariables) {
		t.Errorf("no value: %v", err)
	}
	s.Request.Values.Offset = map[string]string{"timestamp": "noon"}
	if _, err := New(s, Options{}); !errors.Is(err, template.ErrValue) {
		t.Errorf("no time: %v", err)
	}
}
