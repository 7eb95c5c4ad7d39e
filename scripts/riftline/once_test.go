package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/local/broker"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/local/registry"
)

// cloud is what poll and drain find in their environment when they are no part of a run.
type cloud struct {
	environ []string
	broker  *broker.Broker
	bucket  *gcs.Server
	// registry is the schema registry's URL.
	registry string
	points   atomic.Int64 // what the API says
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{}
	var err error
	if c.broker, err = broker.New(broker.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.broker.Close)
	if err := c.broker.CreateTopic(t.Context(), "things", 1); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reg.Close() })
	c.registry = reg.URL()
	if c.bucket, err = gcs.New(gcs.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.bucket.Close() })
	for _, name := range []string{"state", "archive"} {
		if err := c.bucket.CreateBucket(name); err != nil {
			t.Fatal(err)
		}
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `[{"id":"a","points":%d},{"id":"b","points":%d}]`, c.points.Load(), len(r.URL.Query().Get("region")))
	}))
	t.Cleanup(api.Close)
	files := t.TempDir()
	for name, text := range map[string]string{
		"things": fmt.Sprintf(`{"name":"things","connector.class":"com.github.castorm.kafka.connect.http.HttpSourceConnector",
			"kafka.topic":"things","http.request.url":%q,"http.response.record.offset.pointer":"key=/id"}`, api.URL),
		"regions": fmt.Sprintf(`{"name":"regions","connector.class":"com.github.castorm.kafka.connect.http.HttpSourceConnector",
			"kafka.topic":"regions","http.request.url":"%s/?region=${var.region}","http.response.record.offset.pointer":"key=/id",
			"riftline.request.variables":"region=kr,euw1","topic.creation.default.partitions":"2","topic.creation.default.replication.factor":"1"}`, api.URL),
		"archive": `{"name":"archive","connector.class":"io.confluent.connect.gcs.GcsSinkConnector","topics":"things",
			"flush.size":"10","gcs.bucket.name":"archive","storage.class":"io.confluent.connect.gcs.storage.GcsStorage",
			"format.class":"io.confluent.connect.gcs.format.avro.AvroFormat"}`,
	} {
		if err := os.WriteFile(filepath.Join(files, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The storage client looks into the process's own environment.
	t.Setenv("STORAGE_EMULATOR_HOST", c.bucket.URL())
	c.environ = []string{
		"RIFTLINE_CONNECTORS=" + files, "RIFTLINE_STATE=gs://state/riftline", "CONNECT_BOOTSTRAP_SERVERS=" + c.broker.Addr(),
		"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=" + reg.URL(), "STORAGE_EMULATOR_HOST=" + c.bucket.URL(),
	}
	return c
}

func (c *cloud) command(t *testing.T, want int, args ...string) map[string]any {
	t.Helper()
	code, out, errOut := commandIn(t, c.environ, "", args...)
	if code != want {
		t.Fatalf("%v: exit %d, want %d\n%s%s", args, code, want, out, errOut)
	}
	var summary map[string]any
	if err := json.Unmarshal([]byte(out), &summary); err != nil {
		t.Fatalf("%v prints no summary: %v\n%s%s", args, err, out, errOut)
	}
	return summary
}

func TestPollAndDrainOnce(t *testing.T) {
	c := newCloud(t)
	if s := c.command(t, exitDone, "poll", "things"); s["outcome"] != "published" || s["published"] != 2.0 {
		t.Errorf("the first poll: %v", s)
	}
	if s := c.command(t, exitDone, "poll", "things"); s["outcome"] != "nothing_new" || s["unchanged"] != 2.0 {
		t.Errorf("the second poll: %v", s)
	}
	c.points.Store(5)
	if s := c.command(t, exitDone, "poll", "things"); s["published"] != 1.0 || s["changed"] != 1.0 {
		t.Errorf("the third poll: %v", s)
	}
	if s := c.command(t, exitDone, "drain", "archive"); s["records"] != 3.0 || s["objects"] != 1.0 {
		t.Errorf("the drain: %v", s)
	}
	code, out, errOut := commandIn(t, c.environ, "", "cat", "gs://archive/topics/")
	if code != exitDone || strings.Count(out, "\n") != 3 || !strings.HasPrefix(out, `{"id":"a","points":0,`) {
		t.Errorf("cat of the bucket: exit %d\n%s%s", code, out, errOut)
	}
	if code, _, errOut := commandIn(t, c.environ, "", "cat", "gs://archive/none.avro"); code != exitUsage || !strings.Contains(errOut, "none.avro") {
		t.Errorf("cat of an object that is not there: exit %d, %s", code, errOut)
	}
}

func TestExitCodes(t *testing.T) {
	c := newCloud(t)
	t.Run("no such connector is 2", func(t *testing.T) {
		code, _, errOut := commandIn(t, c.environ, "", "poll", "nobody")
		if code != exitUsage || !strings.Contains(errOut, "nobody") {
			t.Errorf("exit %d, %s", code, errOut)
		}
	})
	t.Run("a variable that nothing uses is 2", func(t *testing.T) {
		if code, _, errOut := commandIn(t, c.environ, "", "poll", "things", "--variable", "platform=kr"); code != exitUsage {
			t.Errorf("exit %d, %s", code, errOut)
		}
	})
	t.Run("a broker that is down is 1", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		environ := append(c.environ[:len(c.environ):len(c.environ)], "CONNECT_BOOTSTRAP_SERVERS="+l.Addr().String(), "RIFTLINE_DEADLINE=5s")
		if code, out, errOut := commandIn(t, environ, "", "drain", "archive"); code != exitTransient {
			t.Errorf("exit %d\n%s%s", code, out, errOut)
		}
	})
	t.Run("a record that cannot be archived is 3", func(t *testing.T) {
		client, err := kgo.NewClient(kgo.SeedBrokers(c.broker.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "things", Value: []byte("no schema id")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		code, out, errOut := commandIn(t, c.environ, "", "drain", "archive")
		if code != exitStopped || !strings.Contains(out+errOut, "things") {
			t.Errorf("exit %d\n%s%s", code, out, errOut)
		}
	})
}

func TestRunWithABucketOfItsOwn(t *testing.T) {
	c := newCloud(t)
	dir := filepath.Join(t.TempDir(), "out")
	for run := 1; run <= 2; run++ {
		code, out, errOut := commandIn(t, []string{"STORAGE_EMULATOR_HOST=" + c.bucket.URL()}, "", simulate(dir, "--polls", "2")...)
		if code != exitDone {
			t.Fatalf("run %d: exit %d\n%s%s", run, code, out, errOut)
		}
		r := readReport(t, dir)
		if n := len(c.bucket.Objects("riftline-archive", "topics/challenger/")); n < 100 || len(r.Objects) != n {
			t.Errorf("run %d: %d objects in the bucket that the environment names, %d in the report", run, n, len(r.Objects))
		}
		if !r.Check.Good() || r.Check.Records == 0 || (run == 1) != (r.Check.Ladder == 300) {
			t.Errorf("run %d: read back %+v", run, r.Check)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "gcs")); !os.IsNotExist(err) {
		t.Errorf("there is an embedded bucket too: %v", err)
	}
}

func TestRunWithABrokerOfItsOwn(t *testing.T) {
	c := newCloud(t)
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	dir := filepath.Join(t.TempDir(), "out")
	environ := []string{"CONNECT_BOOTSTRAP_SERVERS=" + c.broker.Addr()}
	code, out, _ := commandIn(t, environ, "", simulate(dir, "--polls", "1")...)
	if code != exitUsage || !strings.Contains(out, "kafka-topics") {
		t.Errorf("a topic that is missing: exit %d\n%s", code, out)
	}
	if err := c.broker.CreateTopic(t.Context(), "challenger", 2); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := commandIn(t, environ, "", simulate(dir, "--polls", "2")...)
	if code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	r := readReport(t, dir)
	if !r.Check.Good() || r.Check.Ladder != 300 || len(r.Drains[len(r.Drains)-1].Partitions) != 2 {
		t.Errorf("%+v, %+v", r.Check, r.Drains)
	}
}
