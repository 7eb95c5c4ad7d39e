//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/local/report"
)

const (
	challengerFile = "infra/connectors/challenger.json"
	gcsSinkFile    = "infra/connectors/gcs-sink.json"
)

// riftlineRun runs the command with both connector files of the repository and gives its report.
func riftlineRun(t *testing.T, env []string, args ...string) (dir string, r report.Report) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "out")
	args = append([]string{"run", "--simulate", "--source", filepath.Join(root, challengerFile), "--sink", filepath.Join(root, gcsSinkFile), "--out", dir}, args...)
	p := start(t, plain.path(t, "riftline"), env, args...)
	if code := p.wait(); code != 0 {
		t.Fatalf("riftline run ended with %d:\n%s", code, p.output())
	}
	return dir, readReport(t, dir)
}

func readReport(t *testing.T, dir string) (r report.Report) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, report.JSONFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// published is what the report counts, with and without what the archive counts.
func published(r report.Report) (records int, archived int64) {
	for _, p := range r.Polls {
		records += p.Published
	}
	for _, d := range r.Drains {
		archived += d.Records
	}
	return records, archived
}

// What `make run` does leaves files that others read, with the names that Confluent's sink would have given them.
func TestLocalRunLeavesReadableFiles(t *testing.T) {
	t.Parallel()
	dir, r := riftlineRun(t, nil)
	records, archived := published(r)
	if records <= 300 || int64(records) != archived || len(r.Polls) < 2 {
		t.Fatalf("%d records in %d polls, %d archived", records, len(r.Polls), archived)
	}
	pattern := filepath.Join(dir, "gcs", r.Bucket, "topics/challenger/partition=0/challenger+0+*.avro")
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	slices.Sort(files)
	if filepath.Base(files[0]) != "challenger+0+0000000000.avro" {
		t.Errorf("the first file is %s", files[0])
	}
	var read []map[string]any
	lines(t, python(t, "read_objects.py", files...), &read)
	if len(read) != records {
		t.Errorf("fastavro reads %d records, the report counts %d", len(read), records)
	}
	if _, err := os.Stat(filepath.Join(dir, report.HTMLFile)); err != nil {
		t.Error(err)
	}

	// A second run on the folder goes on where the first stopped.
	second := start(t, plain.path(t, "riftline"), nil, "run", "--simulate", "--source", filepath.Join(root, challengerFile),
		"--sink", filepath.Join(root, gcsSinkFile), "--out", dir)
	if code := second.wait(); code != 0 {
		t.Fatalf("the second run ended with %d:\n%s", code, second.output())
	}
	again := readReport(t, dir)
	more, _ := published(again)
	if again.Runs != 2 || more <= records {
		t.Errorf("after the second run: %d runs, %d records after %d", again.Runs, more, records)
	}
	files, _ = filepath.Glob(pattern)
	read = nil
	lines(t, python(t, "read_objects.py", files...), &read)
	if len(read) != more {
		t.Errorf("fastavro reads %d records, the report counts %d", len(read), more)
	}
}

// The same with a real broker and a real registry in place of the embedded ones: Kafka's console consumer counts what the
// report counts.
func TestLocalRunOnARealBroker(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, options{})
	holdRepositoryFiles(t)
	overrides := fmt.Sprintf(`{"challenger":{"kafka.topic":%q},"gcs-sink":{"topics":%q,"value.converter.schema.registry.url":%q}}`, p.topic, p.topic, p.registry)
	_, r := riftlineRun(t, []string{
		"CONNECT_BOOTSTRAP_SERVERS=" + p.bootstrap, "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=" + p.registry, "RIFTLINE_OVERRIDES=" + overrides,
	})
	// The last drain may come before the last transaction is readable, so the archive may lack it.
	records, archived := published(r)
	if records <= 300 || archived < 300 || archived > int64(records) {
		t.Fatalf("the report counts %d records, %d archived", records, archived)
	}
	out := kafkaTool(t, "console-consumer", "--bootstrap-server", p.bootstrap, "--topic", p.topic, "--from-beginning",
		"--isolation-level", "read_committed", "--property", "print.key=true", "--property", "print.value=false",
		"--max-messages", fmt.Sprint(records), "--timeout-ms", "180000")
	if got := strings.Count(out, "\n"); got != records {
		t.Errorf("kafka-console-consumer counts %d records, the report %d", got, records)
	}
	if got := len(p.records()); got != records {
		t.Errorf("the topic holds %d records, the report counts %d", got, records)
	}
}

// validate explains every key of the repository's files, and names every mistake of a file with five.
func TestValidate(t *testing.T) {
	t.Parallel()
	good := start(t, plain.path(t, "riftline"), nil, "validate", filepath.Join(root, challengerFile), filepath.Join(root, gcsSinkFile))
	if code := good.wait(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, good.output())
	}
	for _, file := range []string{challengerFile, gcsSinkFile} {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]string
		if err := json.Unmarshal(data, &keys); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			if !strings.Contains(good.output(), key) {
				t.Errorf("%s: nothing is said of %s", file, key)
			}
		}
	}
	mistakes := map[string]string{
		"name":                            "five mistakes",
		"connector.class":                 "com.github.castorm.kafka.connect.http.HttpSourceConnector",
		"kafka.topic":                     "",
		"http.request.url":                "kr.api.riotgames.com/lol",
		"http.timer.interval.millis":      "soon",
		"http.response.lst.pointer":       "/entries",
		"riftline.dedupe":                 "sometimes",
		"http.response.record.pointer":    "/",
		"http.client.read.timeout.millis": "10000",
	}
	data, err := json.Marshal(mistakes)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "five.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := start(t, plain.path(t, "riftline"), nil, "validate", file)
	if code := bad.wait(); code != 2 {
		t.Errorf("exit code %d, want 2:\n%s", code, bad.output())
	}
	for _, key := range []string{"kafka.topic", "http.request.url", "http.timer.interval.millis", "http.response.list.pointer", "riftline.dedupe"} {
		if !strings.Contains(bad.output(), key) {
			t.Errorf("nothing is said of %s:\n%s", key, bad.output())
		}
	}
}
