package connector

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

// templated is the user's source with other keys.
func templated(t *testing.T, keys map[string]string) Connector {
	t.Helper()
	return read(t, infra+"challenger.json").With(keys)
}

// castorm's two examples of templates, as they are published.
var (
	jira = map[string]string{
		"http.offset.initial": "timestamp=2020-05-08T07:55:44Z", "http.request.url": "https://jira.example.com/rest/api/2/search",
		"http.request.headers": "Accept: application/json",
		"http.request.params":  `jql=updated>="${offset.timestamp?datetime.iso?string['yyyy/MM/dd HH:mm']}" ORDER BY updated ASC&maxResults=100`,
		"http.auth.type":       "Basic", "http.auth.user": "u", "http.auth.password": "p",
		"http.response.list.pointer": "/issues", "http.response.record.offset.pointer": "key=/id, timestamp=/fields/updated",
	}
	elasticsearch = map[string]string{
		"http.offset.initial": "timestamp=2020-01-01T00:00:00Z", "http.request.url": "http://domain/index_name/_search",
		"http.request.method": "POST", "http.request.headers": "Content-Type: application/json",
		"http.request.body":          `{"size": 100, "sort": [{"@timestamp": "asc"}], "search_after": [${offset.timestamp?datetime.iso?long}]}`,
		"http.response.list.pointer": "/hits/hits", "http.response.record.pointer": "/_source",
		"http.response.record.offset.pointer": "key=/_id, timestamp=/sort/0",
	}
)

func TestCastormsExamples(t *testing.T) {
	s := source(t, templated(t, jira), worker, resolver(nil))
	if s.Dedupe.Mode != Timestamp || s.Timestamp != "/fields/updated" || s.TimestampParser == nil || s.Initial["timestamp"] != "2020-05-08T07:55:44Z" {
		t.Errorf("%+v", s)
	}
	if !slices.Equal(s.Request.OffsetNames, []string{"timestamp"}) {
		t.Errorf("the templates use %v", s.Request.OffsetNames)
	}
	s.Request.Values = template.Values{Offset: s.Initial}
	q, err := s.Request.Fill()
	if want := `jql=updated>="2020/05/08 07:55" ORDER BY updated ASC&maxResults=100`; err != nil || strings.NewReplacer("%3E", ">", "%22", `"`, "%20", " ").Replace(q.Params.Reveal()) != want || strings.ContainsAny(q.Params.Reveal(), ` "`) {
		t.Errorf("%s, %v", q.Params.Reveal(), err)
	}
	s = source(t, templated(t, elasticsearch), worker, resolver(nil))
	s.Request.Values = template.Values{Offset: s.Initial}
	q, err = s.Request.Fill()
	if want := `{"size": 100, "sort": [{"@timestamp": "asc"}], "search_after": [1577836800000]}`; err != nil || q.Body.Reveal() != want {
		t.Errorf("%s, %v", q.Body.Reveal(), err)
	}
}

func TestHowToKnowWhatIsNew(t *testing.T) {
	const factories = "com.github.castorm.kafka.connect.http.record."
	for situation, c := range map[string]struct {
		keys map[string]string
		mode Mode
	}{
		"nothing said":                        {nil, Snapshot},
		"a timestamp pointer":                 {map[string]string{offsetKey: "key=/a, timestamp=/t"}, Timestamp},
		"castorm's deprecated key":            {map[string]string{"http.response.record.timestamp.pointer": "/t"}, Timestamp},
		"a timestamp, and told otherwise":     {map[string]string{offsetKey: "key=/a, timestamp=/t", dedupeKey: "snapshot"}, Snapshot},
		"the filter that lets all pass":       {map[string]string{filterKey: factories + passthrough}, None},
		"the same with a timestamp":           {map[string]string{filterKey: factories + passthrough, offsetKey: "key=/a, timestamp=/t"}, None},
		"a request that follows the last id":  {map[string]string{"http.request.params": "after=${offset.id}", "http.offset.initial": "id=0", offsetKey: "key=/a, id=/id"}, None},
		"an initial offset that never moves":  {map[string]string{"http.request.params": "after=${offset.id}", "http.offset.initial": "id=0"}, Snapshot},
		"the filter of timestamps alone":      {map[string]string{filterKey: factories + newerOnly, offsetKey: "key=/a, timestamp=/t"}, Timestamp},
		"the filter of timestamps, none here": {map[string]string{filterKey: factories + newerOnly}, Snapshot},
		"told to publish all":                 {map[string]string{dedupeKey: "none"}, None},
	} {
		s := source(t, templated(t, c.keys), worker, resolver(nil))
		if s.Dedupe.Mode != c.mode || s.Dedupe.NewerOnly != strings.HasSuffix(c.keys[filterKey], newerOnly) {
			t.Errorf("%s: %+v, want %s", situation, s.Dedupe, c.mode)
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	for situation, c := range map[string]struct {
		keys      map[string]string
		key, says string
	}{
		"a property that nothing gives":           {map[string]string{"http.request.params": "a=${offset.x}"}, "http.request.params", "nothing gives"},
		"one without a beginning":                 {map[string]string{"http.request.params": "a=${offset.x}", offsetKey: "x=/x"}, "http.request.params", "before anything was published"},
		"a bare name, and only offset.… is taken": {map[string]string{"http.request.params": "a=${x}", "http.offset.initial": "x=1", "http.request.template.factory": "FreeMarkerTemplateFactory"}, "http.request.params", "offset.x"},
		"a template in a header":                  {map[string]string{"http.request.headers": "A: ${offset.x?html}"}, "http.request.headers", "?html"},
		"beside a reference":                      {map[string]string{"http.request.params": "k=${env:K}&a=${now}"}, "http.request.params", "nothing gives"},
		"a host from an answer":                   {map[string]string{"http.request.url": "https://${offset.host}/x", "http.offset.initial": "host=h"}, "http.request.url", "before its path"},
		"a variable that nothing uses":            {map[string]string{variablesKey: "platform=kr"}, variablesKey, "no template"},
		"a variable twice":                        {map[string]string{"http.request.url": "https://h/${var.a}", variablesKey: "a=1;a=2"}, variablesKey, "twice"},
		"a value twice":                           {map[string]string{"http.request.url": "https://h/${var.a}", variablesKey: "a=1,1"}, variablesKey, "twice"},
		"too many":                                {map[string]string{"http.request.url": "https://h/${var.a}${var.b}", variablesKey: "a=" + numbers(40) + ";b=" + numbers(40)}, variablesKey, "1000"},
		"a value that leaves the path":            {map[string]string{"http.request.url": "https://h/${var.a}", variablesKey: "a=../x"}, variablesKey, "slash"},
		"a value that is no host":                 {map[string]string{"http.request.url": "https://${var.a}/", variablesKey: "a=u@h"}, variablesKey, "before the path"},
		"tombstones for a log":                    {map[string]string{"riftline.tombstones": "true", dedupeKey: "none"}, "riftline.tombstones", "snapshot"},
		"timestamps, and the filter lets all":     {map[string]string{offsetKey: "timestamp=/t", dedupeKey: "timestamp", filterKey: passthrough}, dedupeKey, "Passthrough"},
		"a beginning that is no time":             {map[string]string{offsetKey: "timestamp=/t", "http.offset.initial": "timestamp=yesterday"}, "http.offset.initial", "ISO 8601"},
		"an expression without a group":           {map[string]string{offsetKey: "timestamp=/t", "http.response.record.timestamp.parser": "RegexTimestampParser"}, "", "no group"},
	} {
		conn := templated(t, c.keys)
		verdicts, problems := conn.Explain(worker, CheckOptions{})
		found := false
		for _, p := range problems.Errors() {
			found = found || (p.Key == c.key || c.key == "") && strings.Contains(p.String(), c.says)
		}
		if !found {
			t.Errorf("%s: %v", situation, problems)
		}
		for _, v := range verdicts {
			if v.Key == c.key && v.Class != Refused {
				t.Errorf("%s: the class is %v", situation, v.Class)
			}
		}
		if _, err := conn.Source(t.Context(), worker, resolver(map[string]string{"K": "k"}), CheckOptions{}); err == nil {
			t.Errorf("%s: it starts", situation)
		}
	}
}

func numbers(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = strings.Repeat("x", i+1)
	}
	return strings.Join(list, ",")
}

// TestWhatReferencesLeadToIsNoTemplate has secrets that look like one.
func TestWhatReferencesLeadToIsNoTemplate(t *testing.T) {
	const token = "${offset.x}<#if>#{y}"
	s := source(t, templated(t, map[string]string{
		"http.request.headers": "X-Riot-Token: ${env:T}, X-Page: ${offset.page!\"1, 2\"}", "http.request.method": "POST",
		"http.request.params": `key=${env:T}`, "http.request.body": "b ${env:T}",
	}), worker, resolver(map[string]string{"T": token}))
	q, err := s.Request.Fill()
	if err != nil {
		t.Fatal(err)
	}
	if q.Headers[0].Value.Reveal() != token || q.Headers[1].Value.Reveal() != "1, 2" || q.Body.Reveal() != "b "+token {
		t.Errorf("%s, %s, %s", q.Headers[0].Value.Reveal(), q.Headers[1].Value.Reveal(), q.Body.Reveal())
	}
	s = source(t, templated(t, map[string]string{"http.request.headers": "${env:T}"}), worker, resolver(map[string]string{"T": "A: " + token}))
	if q, err := s.Request.Fill(); err != nil || q.Headers[0].Value.Reveal() != token {
		t.Errorf("%v, %v", q.Headers, err)
	}
}

// matrixOf is a request with variables in all places.
func matrixOf(t *testing.T) Request {
	t.Helper()
	return source(t, templated(t, map[string]string{
		"http.request.url":     "https://${var.platform}.api.riotgames.com/by-queue/${var.queue}/${offset.key!\"0\"}?page=${var.page!\"1\"}",
		variablesKey:           "platform=kr, euw1; queue=RANKED_SOLO_5x5",
		hostsKey:               "other.example.com:8443",
		"http.request.headers": "X-Riot-Token: t, X-Queue: ${var.queue}", "http.request.params": "q=${var.queue}",
		"http.request.method": "POST", "http.request.body": `{"queue": "${var.queue}", "page": ${var.page!"1"}}`,
	}), worker, resolver(nil)).Request
}

func TestVariablesAreEscapedWhereTheyStand(t *testing.T) {
	q := matrixOf(t)
	q.Values = template.Values{
		Var:    map[string]string{"platform": "euw1", "queue": `a b?c#d&e"f%`, "page": "2"},
		Offset: map[string]string{"key": "x/y"},
	}
	q, err := q.Fill()
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://euw1.api.riotgames.com/by-queue/a%20b%3Fc%23d&e%22f%25/x%2Fy?page=2"; q.URL != want {
		t.Errorf("%s, want %s", q.URL, want)
	}
	if want := "q=a%20b%3Fc%23d%26e%22f%25"; q.Params.Reveal() != want {
		t.Errorf("%s, want %s", q.Params.Reveal(), want)
	}
	if want := `a b?c#d&e"f%`; q.Headers[1].Value.Reveal() != want {
		t.Errorf("%s, want %s", q.Headers[1].Value.Reveal(), want)
	}
	if want := `{"queue": "a b?c#d&e\"f%", "page": 2}`; q.Body.Reveal() != want {
		t.Errorf("%s, want %s", q.Body.Reveal(), want)
	}
}

func TestOrigins(t *testing.T) {
	want := []string{"https://kr.api.riotgames.com:443", "https://euw1.api.riotgames.com:443", "https://other.example.com:8443"}
	if got := matrixOf(t).Origins; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestVariablesThatAreRefused(t *testing.T) {
	good := map[string]string{"platform": "kr", "queue": "Q"}
	for situation, c := range map[string][2]string{
		"another host":                  {"platform", "evil"},
		"another domain":                {"platform", "kr.api.riotgames.com.evil.example"},
		"a host of its own":             {"platform", "evil.example/x?"},
		"a fragment":                    {"platform", "evil.example#"},
		"user information":              {"platform", "u:p@evil"},
		"a port":                        {"platform", "evil:8443"},
		"a scheme":                      {"platform", "file://x"},
		"an IPv6 literal":               {"platform", "[::1]"},
		"an IPv4 address":               {"platform", "127.0.0.1"},
		"an encoded slash in the host":  {"platform", "evil%2f"},
		"a backslash in the host":       {"platform", `evil\`},
		"dots":                          {"platform", "a..b"},
		"a host in another script":      {"platform", "кr"},
		"nothing for a host":            {"platform", ""},
		"a slash in the path":           {"queue", "a/b"},
		"an encoded slash in the path":  {"queue", "a%2Fb"},
		"a backslash in the path":       {"queue", `a\b`},
		"an encoded backslash":          {"queue", "a%5cb"},
		"the folder above":              {"queue", ".."},
		"the same folder":               {"queue", "."},
		"the folder above and more":     {"queue", "..;a=b"},
		"no UTF-8":                      {"queue", "a\xff"},
		"a line break":                  {"queue", "a\r\nX-Evil: 1"},
		"a null":                        {"queue", "a\x00"},
		"much text":                     {"queue", strings.Repeat("a", 600)},
		"more than a number, in a body": {"page", `1,"x":2`},
	} {
		values := map[string]string{}
		for name, value := range good {
			values[name] = value
		}
		values[c[0]] = c[1]
		if err := matrixOf(t).Check(values); !errors.Is(err, ErrVariables) {
			t.Errorf("%s: %v", situation, err)
		}
	}
	if err := matrixOf(t).Check(good); err != nil {
		t.Errorf("%v", err)
	}
	if err := matrixOf(t).Check(map[string]string{"platform": "kr"}); !errors.Is(err, ErrVariables) || !strings.Contains(err.Error(), "var.queue") {
		t.Errorf("a variable is missing: %v", err)
	}
	q := Request{URL: "${var.scheme}://u:p@h/", Origins: []string{"https://h:443"}}
	if err := q.Check(map[string]string{"scheme": "https"}); !errors.Is(err, ErrVariables) {
		t.Errorf("user information beside a variable: %v", err)
	}
	q = Request{URL: "${var.scheme}://h/", Origins: []string{"https://h:443"}}
	if err := q.Check(map[string]string{"scheme": "http"}); !errors.Is(err, ErrVariables) {
		t.Errorf("another scheme: %v", err)
	}
	if err := q.Check(map[string]string{"scheme": "HTTPS"}); err != nil {
		t.Errorf("%v", err)
	}
}

// TestHostHeader has a header by which what stands before several hosts chooses one of them.
func TestHostHeader(t *testing.T) {
	q := Request{
		URL: "https://${var.h}.example.com/", Origins: []string{"https://a.example.com:443", "https://b.example.com:443"},
		Headers: []Header{{Name: "host", Value: secret.New("${var.name}")}, {Name: "X-Host", Value: secret.New("${var.name}")}},
	}
	for name, good := range map[string]bool{
		"b.example.com": true, "A.example.com:443": true, "evil.example": false, "a.example.com:8443": false, "a.example.com/": false,
		"u@a.example.com": false, "a.example.com?x": false, "a.example.com#x": false, "": false,
	} {
		if err := q.Check(map[string]string{"h": "a", "name": name}); good != (err == nil) || !good && !errors.Is(err, ErrVariables) {
			t.Errorf("%q: %v", name, err)
		}
	}
	s := source(t, templated(t, map[string]string{
		"http.request.url": "https://10.0.0.1/", "http.request.headers": "Host: ${var.name}", variablesKey: "name=a.example.com", hostsKey: "a.example.com",
	}), worker, resolver(nil))
	if err := s.Request.Check(map[string]string{"name": "a.example.com"}); err != nil {
		t.Errorf("a host that riftline.request.hosts names: %v", err)
	}
	q = Request{URL: "https://10.0.0.1/", Headers: []Header{{Name: "Host", Value: secret.New("a.example.com")}}}
	if err := q.Check(nil); err != nil {
		t.Errorf("a name of the connector file's own: %v", err)
	}
}

func TestCombinations(t *testing.T) {
	var got []string
	for _, c := range Combinations([]Variable{{"a", []string{"1", "2"}}, {"b", []string{"x", "y"}}}) {
		got = append(got, c["a"]+c["b"])
	}
	if strings.Join(got, " ") != "1x 1y 2x 2y" {
		t.Errorf("%v", got)
	}
	if got := Combinations(nil); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("%v", got)
	}
}

// TestTemplatesAreNoCredentials has templates where credentials are looked for.
func TestTemplatesAreNoCredentials(t *testing.T) {
	c := templated(t, map[string]string{
		"http.request.url": "https://h/x?token=${var.token}", "http.request.params": "api_key=${offset.key!\"none\"}", "http.request.headers": "X-Api-Key: ${var.token}",
	})
	_, problems := c.Explain(worker, CheckOptions{})
	for _, p := range problems {
		if strings.Contains(p.Text, "clear text") || strings.Contains(p.Text, "placeholder") {
			t.Errorf("%v", p)
		}
	}
}

func TestNoTemplateIsFilledAsItIs(t *testing.T) {
	q := Request{URL: "https://[::1]:8080/a/../b?x=y z", Params: secret.New("a=b#c"), Headers: []Header{{"A", secret.New("v")}}}
	q, err := q.Fill()
	if err != nil || q.URL != "https://[::1]:8080/a/../b?x=y%20z" || q.Params.Reveal() != "a=b%23c" {
		t.Errorf("%+v, %v", q, err)
	}
}
