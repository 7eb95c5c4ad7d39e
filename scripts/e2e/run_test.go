//go:build unix

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/poll"
)

// The two connector files of the repository run end to end: triggers over HTTP and by a Pub/Sub push, the sink job, and
// the tools of others that look at the result.
func TestBothConnectorFilesEndToEnd(t *testing.T) {
	t.Parallel()
	emulator := pubsub.need(t)["PUBSUB_EMULATOR_HOST"]
	p, simulator := riotPipeline(t, options{})
	poller := p.poller()

	first := poller.mustPoll("challenger", poll.Published)
	if first.Published != 300 || first.New != 300 {
		t.Fatalf("first poll: %s", first.body)
	}
	if n := strings.Count(poller.output(), "/puuid"); n == 0 {
		t.Error("nothing is said about /puuid in place of /summonerId")
	}
	again := poller.mustPoll("challenger", poll.NothingNew)
	if again.Unchanged != 300 || again.Published != 0 {
		t.Fatalf("second poll: %s", again.body)
	}

	// The third poll is triggered by a push.
	moved := simulator.Advance()
	push(t, emulator, p.topic, poller.url+"/PollEvent", `{"connector":"challenger"}`)
	want := 300 + moved.Changed + moved.Joined
	eventually(t, fmt.Sprintf("%d records are in the topic", want), func() bool { return len(p.records()) == want })

	p.mustDrain()
	messages := p.messages()
	p.wantArchive(messages)
	if got := len(p.objects()); got != (want+2)/3 {
		t.Errorf("%d objects for %d records at flush.size 3", got, want)
	}

	t.Run("kafka-consumer-groups shows no lag", func(t *testing.T) {
		table := kafkaTool(t, "consumer-groups", "--bootstrap-server", p.bootstrap, "--describe", "--group", p.sinkGroup())
		row := regexp.MustCompile(p.sinkGroup() + ` +` + p.topic + ` +0 +(\d+) +(\d+) +0 `).FindStringSubmatch(table)
		if row == nil || row[1] != row[2] {
			t.Errorf("the group's description:\n%s", table)
		}
	})
	t.Run("kafka-console-consumer counts as many", func(t *testing.T) {
		lines := kafkaTool(t, "console-consumer", "--bootstrap-server", p.bootstrap, "--topic", p.topic, "--from-beginning",
			"--isolation-level", "read_committed", "--property", "print.key=true", "--property", "print.value=false",
			"--max-messages", fmt.Sprint(want), "--timeout-ms", "180000")
		if got := strings.Count(lines, "\n"); got != want {
			t.Errorf("%d lines, want %d", got, want)
		}
	})
	t.Run("Confluent's deserializer reads the topic", func(t *testing.T) {
		var decoded []map[string]any
		lines(t, python(t, "decode_topic.py", p.bootstrap, p.registry, p.topic, fmt.Sprint(want)), &decoded)
		if len(decoded) != want {
			t.Fatalf("%d records, want %d", len(decoded), want)
		}
		for i, d := range decoded {
			value := d["value"].(map[string]any)
			if d["key"] != messages[i].key || value["puuid"] != messages[i].key || value["tier"] != "CHALLENGER" || value["platform"] != "kr" {
				t.Fatalf("record %d: %v", i, d)
			}
		}
	})
	t.Run("fastavro reads the objects", func(t *testing.T) {
		var read []map[string]any
		lines(t, python(t, "read_objects.py", p.saveObjects(t)...), &read)
		if len(read) != want {
			t.Fatalf("%d records, want %d", len(read), want)
		}
		for i, v := range read {
			if v["puuid"] != messages[i].key || fmt.Sprint(v["leaguePoints"]) != fmt.Sprint(messages[i].value["leaguePoints"]) {
				t.Fatalf("record %d: %v", i, v)
			}
		}
	})
	t.Run("Apache Avro's tools read the objects", func(t *testing.T) {
		files := p.saveObjects(t)
		if got := strings.Count(avroTools(t, append([]string{"cat"}, append(files, filepath.Join(t.TempDir(), "all.avro"))...)...), "error"); got != 0 {
			t.Error("avro-tools cat reports an error")
		}
		var read []map[string]any
		lines(t, avroTools(t, "tojson", files[0]), &read)
		if len(read) != 3 || read[0]["puuid"] != messages[0].key {
			t.Errorf("avro-tools tojson %s: %v", files[0], read)
		}
	})
	t.Run("a stop ends the poller in order", func(t *testing.T) {
		if code := poller.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func (p *pipeline) sinkGroup() string { return "connect-" + p.sink }

// riotPipeline runs the repository's own connector files, byte for byte, against the simulated Riot API: the URL in the
// file reaches it by RIFTLINE_RESOLVE. What the files say of other machines is overridden.
func riotPipeline(t testing.TB, o options) (*pipeline, *riot.Server) {
	t.Helper()
	simulator, err := riot.Start(riot.Options{AppLimit: "10000:10", MethodLimit: "10000:10"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = simulator.Close() })
	p := newPipeline(t, o)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, simulator.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	p.useRepositoryFiles(map[string]string{"kafka.topic": p.topic, "http.request.headers": "X-Riot-Token: ${env:RIOT_API_KEY}"})
	p.vars["RIOT_API_KEY"] = simulator.Key()
	p.vars["RIFTLINE_RESOLVE"] = "kr.api.riotgames.com:443=" + simulator.Addr()
	p.vars["SSL_CERT_FILE"] = ca
	return p, simulator
}

// repositoryFiles is held by the test that runs the connectors under their own names: two pipelines of one name on one
// broker would fence one another, as they should.
var repositoryFiles sync.Mutex

func holdRepositoryFiles(t testing.TB) {
	repositoryFiles.Lock()
	t.Cleanup(repositoryFiles.Unlock)
}

// useRepositoryFiles runs infra/connectors/challenger.json and gcs-sink.json as they are; overrides give the names that
// keep tests apart and the addresses of this machine.
func (p *pipeline) useRepositoryFiles(source map[string]string) {
	p.t.Helper()
	holdRepositoryFiles(p.t)
	p.source, p.sink = "challenger", "gcs-sink"
	for _, name := range []string{p.source, p.sink} {
		data, err := os.ReadFile(filepath.Join(root, "infra/connectors", name+".json"))
		if err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.dir, name+".json"), data, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	overrides, err := json.Marshal(map[string]map[string]string{
		p.source: source,
		p.sink:   {"topics": p.topic, "gcs.bucket.name": p.archive, "value.converter.schema.registry.url": p.registry},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.vars["RIFTLINE_CONNECTOR"] = p.sink
	p.vars["RIFTLINE_OVERRIDES"] = string(overrides)
}

// push makes a Pub/Sub topic with a push subscription on the emulator and publishes one message.
func push(t testing.TB, emulator, name, endpoint, data string) {
	t.Helper()
	call := func(method, path string, body any) {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+emulator+"/v1/projects/riftline/"+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
		}
	}
	call(http.MethodPut, "topics/"+name, map[string]any{})
	call(http.MethodPut, "subscriptions/"+name, map[string]any{
		"topic": "projects/riftline/topics/" + name, "ackDeadlineSeconds": 600, "pushConfig": map[string]any{"pushEndpoint": endpoint},
	})
	call(http.MethodPost, "topics/"+name+":publish", map[string]any{
		"messages": []map[string]any{{"data": base64.StdEncoding.EncodeToString([]byte(data))}},
	})
}

// lines decodes JSON lines.
func lines(t testing.TB, text string, into *[]map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	for d.More() {
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %.300s", err, text)
		}
		*into = append(*into, v)
	}
}

// saveObjects writes the archive's objects to files and gives their paths, in order of the names.
func (p *pipeline) saveObjects(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for i, o := range p.storage.Objects(p.archive, "") {
		file := filepath.Join(dir, fmt.Sprintf("%06d.avro", i))
		if err := os.WriteFile(file, o.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

func avroTools(t testing.TB, args ...string) string {
	t.Helper()
	return script(t, "java", "avro-tools.sh", args...)
}
