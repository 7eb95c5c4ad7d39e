package environment

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/secret"
)

func TestCredentialsThatCannotBeUsed(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":              `s3cret`,
		"another kind":          `{"type":"external_account","audience":"s3cret","token_url":"https://elsewhere.example/s3cret"}`,
		"an authorized user":    `{"type":"authorized_user","client_secret":"s3cret","refresh_token":"s3cret","client_id":"x"}`,
		"a JSON of other kinds": `[1,2,"s3cret"]`,
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Read(nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.archiveClient(t.Context(), connector.Sink{Name: "gcs-sink", Bucket: "archive", CredentialsJSON: secret.New(text)})
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "gcs.credentials") {
				t.Fatalf("the error says: %v", err)
			}
		})
	}
}

func TestDrainThatCannotBegin(t *testing.T) {
	folder := t.TempDir()
	sink := `{"name":"sink","connector.class":"io.confluent.connect.gcs.GcsSinkConnector","topics":"t","flush.size":"3","gcs.bucket.name":"archive",
 "value.converter":"io.confluent.connect.avro.AvroConverter","value.converter.schema.registry.url":"http://127.0.0.1:1",
 "format.class":"io.confluent.connect.gcs.format.avro.AvroFormat","storage.class":"io.confluent.connect.gcs.storage.GcsStorage"}`
	source := `{"name":"source","connector.class":"com.github.castorm.kafka.connect.http.HttpSourceConnector","kafka.topic":"t","http.request.url":"http://127.0.0.1:1"}`
	broken := `{"name":"broken","connector.class":"io.confluent.connect.gcs.GcsSinkConnector","topics":"t"}`
	for name, text := range map[string]string{"sink": sink, "source": source, "broken": broken} {
		if err := os.WriteFile(filepath.Join(folder, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		name    string
		environ []string
		code    int
		says    string
	}{
		"no such sink":         {"other", nil, 2, "other.json"},
		"a source":             {"source", nil, 2, "no sink"},
		"a broken file":        {"broken", nil, 2, "flush.size"},
		"no state":             {"sink", nil, 2, "RIFTLINE_STATE"},
		"brokers are down":     {"sink", []string{"RIFTLINE_STATE=gs://state", "STORAGE_EMULATOR_HOST=127.0.0.1:1", "RIFTLINE_DEADLINE=1ms"}, 1, "127.0.0.1:1"},
		"no archive to log in": {"sink", []string{"RIFTLINE_STATE=gs://state", "RIFTLINE_DEADLINE=1ms"}, 2, "storage client"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if name == "no archive to log in" {
				t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(folder, "none.json"))
			}
			for _, v := range tt.environ {
				if k, value, _ := strings.Cut(v, "="); k == "STORAGE_EMULATOR_HOST" {
					t.Setenv(k, value)
				}
			}
			e, err := Read(append(tt.environ, "RIFTLINE_CONNECTORS="+folder, "CONNECT_BOOTSTRAP_SERVERS=127.0.0.1:1"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close() }()
			var log bytes.Buffer
			e.Log = logging.New(&log, logging.Options{})
			sum, err := e.Drain(t.Context(), tt.name, 0, 1)
			if err == nil || sum.Outcome.ExitCode() != tt.code || sum.Connector != tt.name {
				t.Fatalf("%v, %+v", err, sum)
			}
			if !strings.Contains(sum.Error, tt.says) || !strings.Contains(log.String(), tt.says) {
				t.Fatalf("%q does not say %q; log: %s", sum.Error, tt.says, log.String())
			}
		})
	}
}

func TestTheOnlySinkIsDrained(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("challenger", `{"name":"challenger","connector.class":"com.github.castorm.kafka.connect.http.HttpSourceConnector","kafka.topic":"t","http.request.url":"http://127.0.0.1:1"}`)
	e, err := Read([]string{"RIFTLINE_CONNECTORS=" + folder})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.sinkFile(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "no sink") {
		t.Fatalf("without a sink: %v", err)
	}
	write("one", `{"name":"one","connector.class":"io.confluent.connect.gcs.GcsSinkConnector"}`)
	if c, err := e.sinkFile(t.Context(), ""); err != nil || c.Name != "one" {
		t.Fatalf("the only one: %v, %v", c.Name, err)
	}
	write("two", `{"name":"two","connector.class":"io.confluent.connect.gcs.GcsSinkConnector"}`)
	if _, err := e.sinkFile(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "one, two") {
		t.Fatalf("of two: %v", err)
	}
	e.ConnectorName = "two"
	if c, err := e.sinkFile(t.Context(), ""); err != nil || c.Name != "two" {
		t.Fatalf("the one that is named: %v, %v", c.Name, err)
	}
	if c, err := e.sinkFile(t.Context(), "one"); err != nil || c.Name != "one" {
		t.Fatalf("an argument wins: %v, %v", c.Name, err)
	}
}
