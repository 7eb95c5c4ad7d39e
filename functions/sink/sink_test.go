package sink

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		name         string
		index, count string
		task, tasks  int
		fails        bool
	}{
		{"not in Cloud Run", "", "", 0, 1, false},
		{"one task", "0", "1", 0, 1, false},
		{"third of four", "2", "4", 2, 4, false},
		{"index without count", "1", "", 0, 0, true},
		{"index past the count", "4", "4", 0, 0, true},
		{"negative index", "-1", "4", 0, 0, true},
		{"no tasks", "0", "0", 0, 0, true},
		{"text", "a", "4", 0, 0, true},
		{"count is text", "0", "many", 0, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task, tasks, err := split(func(name string) string {
				return map[string]string{"CLOUD_RUN_TASK_INDEX": tt.index, "CLOUD_RUN_TASK_COUNT": tt.count}[name]
			})
			if (err != nil) != tt.fails || task != tt.task || tasks != tt.tasks {
				t.Fatalf("%d of %d, %v", task, tasks, err)
			}
		})
	}
}

func TestWhatCannotBegin(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"one", "two"} {
		file := `{"name":"` + name + `","connector.class":"io.confluent.connect.gcs.GcsSinkConnector","topics":"t","flush.size":"3","gcs.bucket.name":"b",` +
			`"format.class":"io.confluent.connect.gcs.format.avro.AvroFormat","storage.class":"io.confluent.connect.gcs.storage.GcsStorage"}`
		if err := os.WriteFile(filepath.Join(folder, name+".json"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	usual := []string{"RIFTLINE_CONNECTORS=" + folder, "RIFTLINE_STATE=gs://state/riftline"}
	tests := map[string]struct {
		args, environ []string
		says          string
	}{
		"no variables":             {nil, nil, "RIFTLINE_CONNECTORS is not set"},
		"two arguments":            {[]string{"one", "two"}, usual, "usage"},
		"an option":                {[]string{"--help"}, usual, "usage"},
		"a bad variable":           {nil, append([]string{"RIFTLINE_DEADLINE=soon"}, usual...), "RIFTLINE_DEADLINE"},
		"a bad task":               {nil, append([]string{"CLOUD_RUN_TASK_INDEX=7"}, usual...), "CLOUD_RUN_TASK_INDEX"},
		"several sinks":            {nil, usual, "one, two"},
		"a sink that is not there": {[]string{"three"}, usual, "three"},
		"no registry":              {[]string{"one"}, append([]string{"CONNECT_BOOTSTRAP_SERVERS=127.0.0.1:1"}, usual...), "schema.registry.url"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			logs := capture(t)
			if code := run(t.Context(), tt.args, tt.environ, nil, &stderr); code != 2 {
				t.Fatalf("exit code %d, want 2: %s", code, stderr.String())
			}
			if text := stderr.String() + logs(); !strings.Contains(text, tt.says) {
				t.Fatalf("%q does not say %q", text, tt.says)
			}
		})
	}
}

// capture redirects the process's standard error, where a run logs, until the end of the test.
func capture(t *testing.T) func() string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = file
	t.Cleanup(func() {
		os.Stderr = before
		_ = file.Close()
	})
	return func() string {
		data, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}
