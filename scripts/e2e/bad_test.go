//go:build unix

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/poll"
)

// Bad input and missing peers: an error that says what to do, nothing published, nothing lost.
func TestBadInput(t *testing.T) {
	t.Parallel()
	good := func(p *pipeline) { p.api.ladder(ladder2) }
	for _, c := range []struct {
		name string
		// bad is what is wrong, repair makes it right again.
		bad, repair func(p *pipeline)
		keys        map[string]string
		env         []string
		outcome     poll.Outcome
		says        []string
	}{
		{
			name: "not JSON", bad: func(p *pipeline) { p.api.answer(200, "application/json", []byte(`{"entries": [`)) },
			repair: good, outcome: poll.Upstream, says: []string{"json"},
		},
		{
			name:   "HTML with 200",
			bad:    func(p *pipeline) { p.api.answer(200, "text/html", []byte("<html><body>Bad Gateway</body></html>")) },
			repair: good, outcome: poll.Upstream, says: []string{"text/html"},
		},
		{
			name:   "no list where the pointer says",
			bad:    func(p *pipeline) { p.api.answer(200, "application/json", []byte(`{"players": []}`)) },
			repair: good, outcome: poll.Upstream, says: []string{"/entries"},
		},
		{
			name: "no entry has the key",
			bad: func(p *pipeline) {
				p.api.answer(200, "application/json", []byte(`{"entries":[{"name":"a"},{"name":"b"}]}`))
			},
			repair: good, says: []string{"/puuid"},
		},
		{
			name: "a body that is too large", keys: map[string]string{"riftline.response.max.bytes": "2000"},
			bad:    func(p *pipeline) { p.api.ladder(players(100)) },
			repair: good, outcome: poll.Upstream, says: []string{"riftline.response.max.bytes"},
		},
		{
			name: "the API is down", bad: func(p *pipeline) { p.api.answer(503, "text/plain", []byte("down")) },
			repair: good, env: []string{"RIFTLINE_DEADLINE=8s"}, outcome: poll.Upstream, says: []string{"503"},
		},
		{
			name: "the API refuses the key", bad: func(p *pipeline) { p.api.answer(403, "application/json", []byte(`{}`)) },
			repair: good, outcome: poll.Unauthorized, says: []string{"403"},
		},
		{
			name: "the registry is down", bad: good,
			env:     []string{"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://127.0.0.1:9", "RIFTLINE_DEADLINE=20s"},
			outcome: poll.Unavailable, says: []string{"registry"},
		},
		{
			name: "Kafka is down", bad: good, env: []string{"CONNECT_BOOTSTRAP_SERVERS=127.0.0.1:9", "RIFTLINE_DEADLINE=20s"},
			outcome: poll.Unavailable, says: []string{"127.0.0.1:9"},
		},
		{
			name: "Cloud Storage is down", env: []string{"RIFTLINE_DEADLINE=20s"},
			bad: func(p *pipeline) {
				good(p)
				p.intercept(func(gcs.Request) gcs.Fault { return gcs.Fault{Before: 503} })
			},
			repair:  func(p *pipeline) { p.intercept(nil) },
			outcome: poll.Unavailable, says: []string{"gs://"},
		},
		{
			name: "Cloud Storage refuses", env: []string{"RIFTLINE_DEADLINE=20s"},
			bad: func(p *pipeline) {
				good(p)
				p.intercept(func(gcs.Request) gcs.Fault { return gcs.Fault{Before: 403} })
			},
			repair: func(p *pipeline) { p.intercept(nil) },
			says:   []string{"gs://"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, options{sourceKeys: c.keys})
			p.api.ladder(ladder1)
			first := p.poller()
			first.mustPoll(p.source, poll.Published)
			first.stop()

			c.bad(p)
			bad := p.poller(c.env...)
			a, err := bad.poll(p.source)
			if err != nil {
				t.Fatal(err)
			}
			if !a.Outcome.Failed() || (c.outcome != "" && a.Outcome != c.outcome) || a.status != a.Outcome.HTTPStatus() || a.Published != 0 {
				t.Errorf("the answer, want %s: %d %s", c.outcome, a.status, a.body)
			}
			says(t, "the answer", a.Error, c.says)
			bad.stop()
			p.wantTopic(ladder1)

			if c.repair != nil {
				c.repair(p)
			}
			p.poller().settle(p.source)
			p.mustDrain()
			p.wantArchive(p.wantTopic(ladder1, changes))
		})
	}
}

// An empty ladder between two seasons publishes nothing and forgets nobody.
func TestEmptyLadderBetweenSeasons(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, options{})
	p.api.ladder(ladder1)
	poller := p.poller()
	poller.mustPoll(p.source, poll.Published)
	p.api.ladder([]entry{})
	poller.mustPoll(p.source, poll.NothingNew)
	p.api.answer(200, "application/json", []byte(`{"entries":[]}`))
	poller.mustPoll(p.source, poll.NothingNew)
	p.api.ladder(ladder1)
	poller.mustPoll(p.source, poll.NothingNew)
	p.wantTopic(ladder1)
}

// What is odd but good is published: gzip, 20 MB, one entry without the key.
func TestUnusualAnswersArePublished(t *testing.T) {
	t.Parallel()
	t.Run("gzip", func(t *testing.T) {
		t.Parallel()
		p := newPipeline(t, options{})
		p.api.ladder(ladder1)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(p.api.body)
		_ = z.Close()
		p.api.headers = map[string]string{"Content-Encoding": "gzip"}
		p.api.answer(http.StatusOK, "application/json", packed.Bytes())
		p.poller().mustPoll(p.source, poll.Published)
		p.wantTopic(ladder1)
	})
	t.Run("20 MB", func(t *testing.T) {
		t.Parallel()
		p := newPipeline(t, options{flushSize: 10_000})
		var entries []map[string]any
		for i := range 20_000 {
			entries = append(entries, map[string]any{"puuid": fmt.Sprintf("player-%06d", i), "leaguePoints": i, "text": strings.Repeat("x", 1000)})
		}
		body, err := json.Marshal(map[string]any{"entries": entries})
		if err != nil || len(body) < 20_000_000 {
			t.Fatal(len(body), err)
		}
		p.api.answer(http.StatusOK, "application/json", body)
		if a := p.poller().mustPoll(p.source, poll.Published); a.Published != 20_000 {
			t.Errorf("the answer: %s", a.body)
		}
		if got := len(p.records()); got != 20_000 {
			t.Errorf("%d records", got)
		}
		p.mustDrain()
		if got := len(p.objects()); got != 2 {
			t.Errorf("%d objects", got)
		}
		p.wantLag(0)
	})
	t.Run("one of 300 without the key", func(t *testing.T) {
		t.Parallel()
		p := newPipeline(t, options{})
		var entries []any
		for _, e := range players(299) {
			entries = append(entries, e)
		}
		entries = append(entries, map[string]any{"leaguePoints": 5, "rank": "I", "wins": 1, "hotStreak": false})
		body, err := json.Marshal(map[string]any{"entries": entries})
		if err != nil {
			t.Fatal(err)
		}
		p.api.answer(http.StatusOK, "application/json", body)
		poller := p.poller()
		if a := poller.mustPoll(p.source, poll.Published); a.Published != 300 || a.Keyless != 1 {
			t.Errorf("the answer: %s", a.body)
		}
		poller.mustPoll(p.source, poll.NothingNew)
		if got := len(p.records()); got != 300 {
			t.Errorf("%d records", got)
		}
	})
}

// A missing topic is made where the file or the broker allows it; else the message has the line that makes it.
func TestMissingTopic(t *testing.T) {
	t.Parallel()
	t.Run("the broker makes none", func(t *testing.T) {
		t.Parallel()
		p := newPipeline(t, options{noTopic: true})
		p.api.ladder(ladder1)
		poller := p.poller()
		a := poller.mustPoll(p.source, poll.Refused)
		if !strings.Contains(a.Error, "kafka-topics") || !strings.Contains(a.Error, p.topic) {
			t.Errorf("the answer: %s", a.body)
		}
		s := p.drain()
		if s.cmd.ProcessState.ExitCode() == 0 || !strings.Contains(s.output(), p.topic) {
			t.Errorf("the sink ended with %v:\n%s", s.cmd.ProcessState, s.output())
		}
		p.createTopic()
		poller.settle(p.source)
		p.mustDrain()
		p.wantArchive(p.wantTopic(ladder1))
	})
	t.Run("topic.creation makes it", func(t *testing.T) {
		t.Parallel()
		p := newPipeline(t, options{noTopic: true, sourceKeys: map[string]string{
			"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1", "topic.creation.default.retention.ms": "86400000",
		}})
		p.api.ladder(ladder1)
		p.poller().mustPoll(p.source, poll.Published)
		p.wantTopic(ladder1)
		configs, err := p.admin.DescribeTopicConfigs(t.Context(), p.topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range configs[0].Configs {
			if c.Key == "retention.ms" && c.MaybeValue() != "86400000" {
				t.Errorf("retention.ms is %s", c.MaybeValue())
			}
		}
	})
	t.Run("the broker makes it", func(t *testing.T) {
		t.Parallel()
		p := newPipeline(t, options{noTopic: true, broker: kafkaAutomatic})
		p.api.ladder(ladder1)
		p.poller().settle(p.source)
		p.wantTopic(ladder1)
	})
}
