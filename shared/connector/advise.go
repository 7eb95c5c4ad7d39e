package connector

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The settings in which riftline's default differs from that of the connector it stands in for.
const (
	defaultReadTimeout = 10 * time.Second
	exactlyOnceDefault = "required"
)

// host is the API's host, empty when the URL is not known here.
func (e *examination) host() string { return Request{URL: e.values[requestURLKey]}.Host() }

func riot(host string) bool { return strings.HasSuffix(strings.ToLower(host), ".api.riotgames.com") }

// gone are the ids that Riot took out of its answers: playerOrTeamId in 2018, the encrypted summoner and account ids on
// 2025-07-07.
var gone = []string{"/summonerId", "/accountId", "/playerOrTeamId", "/summonerName", "/playerOrTeamName"}

// adviseSource says what a source's keys mean together.
func (e *examination) adviseSource() {
	host := e.host()
	if n, err := strconv.Atoi(e.values["tasks.max"]); err == nil && n > 1 {
		e.advise("tasks.max", fmt.Sprintf("is %d: in castorm every task polls by itself, so each record was published %d times; a poll here is one task", n, n), `write "1"`)
	}
	e.adviseKey(host)
	if riot(host) && !e.open["http.request.headers"] && !strings.Contains(strings.ToLower(e.c.Config["http.request.headers"]), "x-riot-token") && e.plainHeaders() {
		e.warn("http.request.headers", "has no X-Riot-Token, without which Riot's API answers 401", "write X-Riot-Token: ${gcpsecret:riot-api-key}")
	}
	e.adviseRequest(host)
	if millis := e.long("http.timer.interval.millis"); e.has("http.timer.interval.millis") && millis > 0 && millis < 60000 {
		e.advise("http.timer.interval.millis", "is shorter than a minute, which is the finest that Cloud Scheduler knows", `write "60000", or trigger the poller yourself`)
	}
	e.adviseAuth()
	e.adviseTopic()
	if !e.has("http.client.read.timeout.millis") {
		e.verdicts = append(e.verdicts, Verdict{Key: "http.client.read.timeout.millis", Value: strconv.FormatInt(defaultReadTimeout.Milliseconds(), 10), From: fromDefault,
			Class: Advised, Reason: "castorm's default of 2000 is too short for a large ladder, so it is 10 s here unless the file says otherwise"})
	}
	switch {
	case !e.has("exactly.once.support"):
		e.verdicts = append(e.verdicts, Verdict{Key: "exactly.once.support", Value: exactlyOnceDefault, From: fromDefault,
			Class: Advised, Reason: "Connect's default is requested (KIP-618); here a broker or an ACL that allows no transactions is refused unless the file says requested"})
	case strings.EqualFold(e.values["exactly.once.support"], "requested"):
		e.advise("exactly.once.support", "is requested: where the broker refuses transactions a poll publishes without them and answers exactly_once=false. A crash is made up for from the topic, which takes READ on it; a process that stands still, or a request that is on its way, for longer than the poll's deadline and a minute can publish a value twice", `write "required"`)
	}
}

// plainHeaders reports whether the headers are written out, not hidden behind one reference.
func (e *examination) plainHeaders() bool {
	raw := strings.TrimSpace(e.c.Config["http.request.headers"])
	return raw == "" || !strings.HasPrefix(raw, "${")
}

func (e *examination) keyPointers() (pointers []string, key string) {
	if list := commaList(e.values["http.response.record.key.pointer"]); len(list) > 0 {
		return list, "http.response.record.key.pointer"
	}
	pairs, err := pairList(e.values["http.response.record.offset.pointer"])
	if err != nil {
		return nil, ""
	}
	for _, p := range pairs {
		if p.name == "key" {
			return []string{p.value}, "http.response.record.offset.pointer"
		}
	}
	return nil, ""
}

func (e *examination) adviseKey(host string) {
	pointers, key := e.keyPointers()
	if pointers == nil {
		if !e.has("http.response.record.offset.pointer") && !e.open["http.response.record.key.pointer"] {
			suggestion := "write http.response.record.offset.pointer=key=/id"
			if riot(host) {
				suggestion = "write http.response.record.offset.pointer=key=/puuid"
			}
			e.advise("http.response.record.offset.pointer", "gives no key, so each record's key is a UUID of its text, as in castorm: a changed entry then looks like a new one", suggestion)
		}
		return
	}
	if !riot(host) || !slices.ContainsFunc(pointers, func(p string) bool { return slices.Contains(gone, p) }) {
		return
	}
	what := fmt.Sprintf("is keyed on %s, which left Riot's API (summonerId and accountId on 2025-07-07)", strings.Join(pointers, ", "))
	if e.bool("riftline.key.fallback") {
		e.advise(key, what+"; where no entry has it, /puuid is used instead, with one warning a run", "write key=/puuid")
	} else {
		e.warn(key, what+"; riftline.key.fallback=false forbids /puuid in its place, so such a poll fails", "write key=/puuid")
	}
}

func (e *examination) adviseRequest(host string) {
	method := e.filled("http.request.method")
	if e.has("http.request.body") && (method == "GET" || method == "HEAD") {
		e.warn("http.request.body", "is not sent with "+method, "take it out, or write http.request.method=POST")
	}
	if method == "HEAD" {
		e.warn("http.request.method", "is HEAD, whose answer has no body and so no entries", `write "GET"`)
	}
	target := strings.ToLower(e.values["http.request.url"])
	local := host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
	if strings.HasPrefix(target, "http://") && !local && (e.has("http.request.headers") || strings.EqualFold(e.values["http.auth.type"], "Basic")) {
		e.warn("http.request.url", "is not encrypted, and the request's headers go with it in clear text", "write https://")
	}
}

func (e *examination) adviseAuth() {
	class := simpleClass(e.values["http.auth"])
	basic := strings.EqualFold(e.values["http.auth.type"], "Basic") && class != "NoneHttpAuthenticator" || class == "BasicHttpAuthenticator"
	switch {
	case basic && !e.has("http.auth.user"):
		e.fail("http.auth.user", "is missing, and http.auth.type is Basic", "write the user's name")
	case !basic && (e.has("http.auth.user") || e.has("http.auth.password")):
		e.warn("http.auth.type", "is None, so http.auth.user and http.auth.password are not sent", `write "Basic"`)
	}
	if !e.has("http.client.proxy.host") && (e.has("http.client.proxy.username") || e.has("http.client.proxy.password")) {
		e.warn("http.client.proxy.host", "is not given, so the other http.client.proxy.* keys mean nothing", "write the proxy's host")
	}
}

func (e *examination) adviseTopic() {
	creates := false
	for key := range e.c.Config {
		creates = creates || strings.HasPrefix(key, "topic.creation.default.")
	}
	if !creates {
		return
	}
	for _, key := range []string{"topic.creation.default.partitions", "topic.creation.default.replication.factor"} {
		if !e.has(key) {
			e.warn(key, "is missing, and Connect refuses the other topic.creation keys without it; the broker's default is taken", `write "-1" for the broker's default`)
		}
	}
	if value, env, ok := e.w.get("topic.creation.enable"); ok && strings.EqualFold(value, "false") {
		e.warn(env, "is false, so the topic.creation.* keys mean nothing", "take it out")
	}
}

// Prices of Cloud Storage, US regions, 2026: an insert is a class A operation.
const dollarsPerThousandInserts = 0.005

// adviseSink says what a sink's keys mean together.
func (e *examination) adviseSink() {
	topics, regex := e.has("topics"), e.has("topics.regex")
	switch {
	case topics && regex:
		e.fail("topics.regex", "and topics are both given", "keep topics")
	case !topics && !regex && !slices.ContainsFunc(e.problems, func(p Problem) bool { return p.Key == "topics" && p.Severity == Error }):
		e.fail("topics", "is missing", "the topics that are archived, separated by commas")
	}
	e.judgeTopics()
	e.judgeLayout()
	if n := e.int("flush.size"); n > 0 && n < 100 {
		// An example of a day that a reader can relate to his own; nothing is computed from it but this message.
		const records, days = 2400, 30
		objects := (records + n - 1) / n
		cost := float64(objects*days) / 1000 * dollarsPerThousandInserts
		e.advise("flush.size", fmt.Sprintf("is %d, so N records a day make N/%d objects: a 300-player ladder with some %d changes a day makes about %d objects a day, %d a month for about $%.2f of inserts. They are small, and slow to read together",
			n, n, records, objects, objects*days, cost), `write "1000" or more: a drain writes its unfinished file at its end anyway`)
	}
	if e.has("gcs.credentials.json") && e.has("gcs.credentials.path") {
		e.warn("gcs.credentials.path", "and gcs.credentials.json are both given; the JSON is taken", "keep one of them, or neither: the workload's own identity needs none")
	} else if e.has("gcs.credentials.path") && !e.skipped("gcs.credentials.path") {
		e.advise("gcs.credentials.path", "is a key file that has to be on every machine that runs a drain", "leave it out: the workload's own identity needs no key")
	}
	e.adviseErrors()
	if !e.has("format.class") {
		e.warn("format.class", "is missing, and Connect requires it; Avro is written", "write io.confluent.connect.gcs.format.avro.AvroFormat")
	}
	if !e.has("storage.class") {
		e.warn("storage.class", "is missing, and Connect requires it", "write io.confluent.connect.gcs.storage.GcsStorage")
	}
}
