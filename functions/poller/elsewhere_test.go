package poller

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/poll"
)

// listener counts the connections that reach it.
type listener struct {
	address string
	reached atomic.Int64
}

func listen(t *testing.T) *listener {
	t.Helper()
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{address: in.Addr().String()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := in.Accept()
			if err != nil {
				return
			}
			l.reached.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = in.Close(); <-ended })
	return l
}

// resolve is an environment variable under which the API's hosts lead to the API, and these hosts to the listener.
func (l *listener) resolve(w *world, hosts ...string) string {
	text := "RIFTLINE_RESOLVE=kr.api.riotgames.com:443=" + w.riot.Addr()
	for _, host := range hosts {
		text += "," + host + "=" + l.address
	}
	return text
}

// TestTriggersThatLeadElsewhereAreRefused has a listener that every host but the API's own would reach.
func TestTriggersThatLeadElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elsewhere := listen(t)
	asked := w.ladders(func(string) int { return http.StatusOK }, nil)
	matrix, err := os.ReadFile(filepath.Join(w.dir, "matrix.json"))
	if err != nil {
		t.Fatal(err)
	}
	// A connector whose variables are all of the origin.
	whole := strings.NewReplacer(`"matrix"`, `"whole"`, "https://${var.platform}.api.riotgames.com/", "${var.scheme}://${var.host}/",
		"platform=kr;", "scheme=https; host=kr.api.riotgames.com;").Replace(string(matrix))
	w.write("whole.json", []byte(whole))
	s := w.service(elsewhere.resolve(w, "evil.api.riotgames.com:443", "evil.example:443", "kr.evil.example:443", "euw1.api.riotgames.com:443",
		"evil.example.api.riotgames.com:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "127.0.0.1:443", "localhost:443", "kr.api.riotgames.com:80", "kr.api.riotgames.com:8443"))
	whereabouts, _, _ := net.SplitHostPort(elsewhere.address)
	for _, c := range [][3]string{
		{"another host", "matrix", `{"platform":"evil"}`},
		{"a platform that is not allowed", "matrix", `{"platform":"euw1"}`},
		{"a host in front of the host", "matrix", `{"platform":"evil.example"}`},
		{"a host and a query", "matrix", `{"platform":"evil.example/?"}`},
		{"a host and a fragment", "matrix", `{"platform":"evil.example#"}`},
		{"user information", "matrix", `{"platform":"kr@evil.example"}`},
		{"user information in front", "matrix", `{"platform":"evil.example:443@kr"}`},
		{"a port", "matrix", `{"platform":"` + elsewhere.address + `/"}`},
		{"a scheme", "matrix", `{"platform":"http://evil.example/"}`},
		{"an IPv6 literal", "matrix", `{"platform":"[::1]"}`},
		{"an encoded slash in the host", "matrix", `{"platform":"evil.example%2f"}`},
		{"a backslash in the host", "matrix", `{"platform":"evil.example\\"}`},
		{"an encoded slash in the path", "matrix", `{"queue":"..%2f..%2fadmin"}`},
		{"a slash in the path", "matrix", `{"queue":"../../admin"}`},
		{"the folder above", "matrix", `{"queue":".."}`},
		{"a line break", "matrix", `{"queue":"x\r\nHost: evil.example"}`},
		{"an unknown variable", "matrix", `{"host":"evil.example"}`},
		{"an unknown one and a known one", "matrix", `{"platform":"kr","url":"https://evil.example"}`},
		{"a variable that is no text", "matrix", `{"platform":["evil"]}`},
		{"another host, all of it", "whole", `{"host":"evil.example"}`},
		{"another host's address", "whole", `{"host":"` + elsewhere.address + `"}`},
		{"an address without a port", "whole", `{"host":"` + whereabouts + `"}`},
		{"an address as a number", "whole", `{"host":"2130706433"}`},
		{"a name of the machine", "whole", `{"host":"localhost"}`},
		{"an IPv6 literal, all of it", "whole", `{"host":"[::1]"}`},
		{"an IPv4 address as an IPv6 literal", "whole", `{"host":"[::ffff:127.0.0.1]"}`},
		{"an IPv6 literal without brackets", "whole", `{"host":"::1"}`},
		{"an IPv6 literal with a zone", "whole", `{"host":"[::1%25lo]"}`},
		{"user information, all of it", "whole", `{"host":"kr.api.riotgames.com@evil.example"}`},
		{"a password", "whole", `{"host":"kr.api.riotgames.com:443@evil.example"}`},
		{"an encoded slash, all of it", "whole", `{"host":"evil.example%2f.kr.api.riotgames.com"}`},
		{"an encoded at", "whole", `{"host":"kr.api.riotgames.com%40evil.example"}`},
		{"another port", "whole", `{"host":"kr.api.riotgames.com:8443"}`},
		{"a dot at the end", "whole", `{"host":"evil.example."}`},
		{"no TLS", "whole", `{"scheme":"http"}`},
		{"a scheme with a host", "whole", `{"scheme":"https://evil.example/?"}`},
		{"a scheme that is none", "whole", `{"scheme":"file"}`},
		{"no scheme", "whole", `{"scheme":""}`},
	} {
		message := fmt.Sprintf(`{"connector":%q,"variables":%s}`, c[1], c[2])
		status, sum, _ := post(t, s.poll, message)
		if status != http.StatusBadRequest || sum.Outcome != poll.Refused || sum.Error == "" || strings.Contains(sum.Error, apiKey) {
			t.Errorf("%s: status %d: %+v", c[0], status, sum)
		}
		// Pub/Sub would send it again and again if it were told.
		status, sum, _ = post(t, s.pollEvent, fmt.Sprintf(`{"message":{"data":%q}}`, base64.StdEncoding.EncodeToString([]byte(message))))
		if status/100 != 2 || sum.Outcome != poll.Refused || sum.Error == "" || strings.Contains(sum.Error, apiKey) {
			t.Errorf("%s, by Pub/Sub: status %d: %+v", c[0], status, sum)
		}
	}
	if got := asked(); len(got) != 0 {
		t.Errorf("the API was asked for %v", got)
	}
	if n := elsewhere.reached.Load(); n != 0 {
		t.Errorf("the listener elsewhere was reached %d times", n)
	}
	// The same connector, the same listener: where the file leads, it is reached.
	if status, sum, _ := post(t, s.poll, `{"connector":"whole","variables":{"queue":"own"}}`); status != http.StatusOK || sum.Outcome != poll.Published {
		t.Errorf("where the file leads: status %d: %+v", status, sum)
	}
}

// TestRedirectsAreNotFollowedElsewhere has an API that sends its caller away.
func TestRedirectsAreNotFollowedElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elsewhere := listen(t)
	w.ladders(func(string) int { return http.StatusOK }, nil)
	s := w.service(elsewhere.resolve(w, "evil.example:443", "evil.example:80", "kr.api.riotgames.com:80", "kr.api.riotgames.com:8443", "[::1]:443",
		"euw1.api.riotgames.com:443"))
	for situation, location := range map[string]string{
		"another host":              "https://evil.example/?x",
		"a host without a scheme":   "//evil.example/x",
		"a neighbour":               "https://euw1.api.riotgames.com/x",
		"no TLS":                    "http://kr.api.riotgames.com/x",
		"another port":              "https://kr.api.riotgames.com:8443/x",
		"an address":                "http://" + elsewhere.address + "/x",
		"an IPv6 literal":           "https://[::1]/x",
		"user information":          "https://kr.api.riotgames.com@evil.example/x",
		"a backslash":               `https://evil.example\@kr.api.riotgames.com/x`,
		"an encoded slash":          "https://evil.example%2fkr.api.riotgames.com/x",
		"a scheme that is none":     "file:///x",
		"a Location that is no URL": "https://[::1",
	} {
		w.riot.Intercept(func(riot.Request) riot.Fault {
			return riot.Fault{Status: http.StatusFound, Header: http.Header{"Location": {location}}}
		})
		status, sum, _ := post(t, s.poll, `{"connector":"matrix","variables":{"queue":"moved"}}`)
		if status != http.StatusBadRequest || sum.Outcome != poll.Refused || strings.Contains(sum.Error, apiKey) {
			t.Errorf("%s: status %d: %+v", situation, status, sum)
		}
		if n := elsewhere.reached.Swap(0); n != 0 {
			t.Errorf("%s: the listener elsewhere was reached %d times", situation, n)
		}
	}
}
