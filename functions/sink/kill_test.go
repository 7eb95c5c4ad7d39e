//go:build unix

package sink

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hamba/avro/v2/ocf"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/local/broker"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/local/registry"
)

var folder string

// built is the job, built so that it dies at named steps.
var built = sync.OnceValues(func() (string, error) {
	var err error
	if folder, err = os.MkdirTemp("", "sink-test-"); err != nil {
		return "", err
	}
	file := filepath.Join(folder, "sink")
	out, err := exec.Command("go", "build", "-tags", "steps", "-o", file, "./cmd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder != "" {
		_ = os.RemoveAll(folder)
	}
	os.Exit(code)
}

// peers are a broker, a bucket and a registry in this process, which outlive the sinks that are killed.
type peers struct {
	t      *testing.T
	broker *broker.Broker
	bucket *gcs.Server
	url    string
	kafka  *kgo.Client
	ids    [2]int
	files  string
}

const (
	schemaA = `{"type":"record","name":"entry","fields":[{"name":"n","type":"long"}]}`
	schemaB = `{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"more","type":"long"}]}`
)

func newPeers(t *testing.T) *peers {
	t.Helper()
	b, err := broker.New(broker.Options{})
	must(t, err)
	t.Cleanup(b.Close)
	server, err := gcs.New(gcs.Options{})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	must(t, server.CreateBucket("archive"))
	must(t, server.CreateBucket("state"))
	schemas, err := registry.New(registry.Options{Compatibility: "NONE"})
	must(t, err)
	t.Cleanup(func() { _ = schemas.Close() })
	p := &peers{t: t, broker: b, bucket: server, url: schemas.URL(), files: t.TempDir()}
	client, err := sr.NewClient(sr.URLs(p.url))
	must(t, err)
	for i, text := range []string{schemaA, schemaB} {
		s, err := client.CreateSchema(t.Context(), "entries-value", sr.Schema{Schema: text})
		must(t, err)
		p.ids[i] = s.ID
	}
	p.kafka, err = kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, err)
	t.Cleanup(p.kafka.Close)
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// line is a topic, and a sink that archives it.
type line struct {
	*peers
	t    *testing.T
	name string
	n    int64
}

func (p *peers) line(t *testing.T, name string) *line {
	t.Helper()
	must(t, p.broker.CreateTopic(t.Context(), name, 1))
	return &line{peers: p, t: t, name: name}
}

// produce appends records of the schemas 0 and 1.
func (l *line) produce(schemas ...int) {
	l.t.Helper()
	for _, s := range schemas {
		l.n++
		v := binary.BigEndian.AppendUint32([]byte{0}, uint32(l.ids[s]))
		v = binary.AppendVarint(v, l.n)
		if s == 1 {
			v = binary.AppendVarint(v, 7)
		}
		must(l.t, l.kafka.ProduceSync(l.t.Context(), &kgo.Record{Topic: l.name, Value: v}).FirstErr())
	}
}

type process struct {
	t   *testing.T
	cmd *exec.Cmd
	log *output
}

// start starts the job with some keys of the connector file changed and some variables added.
func (l *line) start(keys map[string]string, variables ...string) *process {
	l.t.Helper()
	file, err := built()
	must(l.t, err)
	config := map[string]string{
		"name": l.name, "connector.class": "io.confluent.connect.gcs.GcsSinkConnector", "topics": l.name, "tasks.max": "1",
		"value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": l.url,
		"gcs.bucket.name": "archive", "flush.size": "3", "storage.class": "io.confluent.connect.gcs.storage.GcsStorage",
		"format.class": "io.confluent.connect.gcs.format.avro.AvroFormat",
	}
	for k, v := range keys {
		config[k] = v
	}
	data, err := json.Marshal(config)
	must(l.t, err)
	must(l.t, os.WriteFile(filepath.Join(l.files, l.name+".json"), data, 0o600))
	cmd := exec.CommandContext(l.t.Context(), file, l.name)
	cmd.Env = append([]string{
		"RIFTLINE_CONNECTORS=" + l.files, "RIFTLINE_STATE=gs://state/riftline", "CONNECT_BOOTSTRAP_SERVERS=" + l.broker.Addr(),
		"STORAGE_EMULATOR_HOST=" + strings.TrimPrefix(l.bucket.URL(), "http://"), "HOME=" + l.files, "PATH=" + os.Getenv("PATH"),
	}, variables...)
	p := &process{t: l.t, cmd: cmd, log: &output{}}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	must(l.t, cmd.Start())
	return p
}

// wait returns the exit code, -1 when the process was killed.
func (p *process) wait() int {
	p.t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (l *line) mustDrain(keys map[string]string) {
	l.t.Helper()
	p := l.start(keys)
	if code := p.wait(); code != 0 {
		l.t.Fatalf("exit code %d\n%s", code, p.log)
	}
}

func (l *line) mustDie(step string) {
	l.t.Helper()
	p := l.start(nil, "RIFTLINE_STEP_KILL="+step)
	if code := p.wait(); code != -1 {
		l.t.Fatalf("it was not killed at %s: exit code %d\n%s", step, code, p.log)
	}
}

var objectName = regexp.MustCompile(`^[a-z]+/([^/]+)/partition=0/([^/]+)\+0\+(\d{10})\.avro$`)

// verify compares bucket and topic: every committed record is in exactly one object, in order, and no object is stray.
func (l *line) verify() {
	l.t.Helper()
	topic := l.topic()
	offsets := map[int64]int64{}
	for offset, n := range topic {
		offsets[n] = offset
	}
	where := map[int64]string{}
	for _, o := range l.bucket.Objects("archive", "") {
		m := objectName.FindStringSubmatch(o.Name)
		if m == nil || m[1] != m[2] {
			l.t.Errorf("stray object %s", o.Name)
			continue
		}
		if m[1] != l.name {
			continue
		}
		records := l.read(o)
		first, _ := strconv.ParseInt(m[3], 10, 64)
		if len(records) == 0 || offsets[records[0]] != first || !slices.IsSorted(records) {
			l.t.Errorf("%s holds %v", o.Name, records)
		}
		for _, n := range records {
			if where[n] != "" {
				l.t.Errorf("record %d is in %s and in %s", n, where[n], o.Name)
			}
			if _, ok := offsets[n]; !ok {
				l.t.Errorf("record %d of %s is not in the topic", n, o.Name)
			}
			where[n] = o.Name
		}
	}
	for n, offset := range offsets {
		if where[n] == "" {
			l.t.Errorf("record %d at offset %d is in no object", n, offset)
		}
	}
	if int64(len(offsets)) != l.n {
		l.t.Errorf("the topic has %d records, %d were produced", len(offsets), l.n)
	}
	admin := kadm.NewClient(l.kafka)
	lags, err := admin.Lag(l.t.Context(), "connect-"+l.name)
	must(l.t, err)
	if lag := lags["connect-"+l.name].Lag.Total(); lag != 0 {
		l.t.Errorf("lag %d", lag)
	}
}

func (l *line) read(o gcs.Stored) []int64 {
	l.t.Helper()
	d, err := ocf.NewDecoder(bytes.NewReader(o.Data))
	must(l.t, err)
	var all []int64
	for d.HasNext() {
		var r struct {
			N int64 `avro:"n"`
		}
		must(l.t, d.Decode(&r))
		all = append(all, r.N)
	}
	must(l.t, d.Error())
	return all
}

// topic reads all committed records with a plain client.
func (l *line) topic() map[int64]int64 {
	l.t.Helper()
	ends, err := kadm.NewClient(l.kafka).ListCommittedOffsets(l.t.Context(), l.name)
	must(l.t, err)
	end, _ := ends.Lookup(l.name, 0)
	client, err := kgo.NewClient(kgo.SeedBrokers(l.broker.Addr()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.name: {0: kgo.NewOffset().AtStart()}}))
	must(l.t, err)
	defer client.Close()
	found := map[int64]int64{}
	for last := int64(-1); last < end.Offset-1; {
		fetches := client.PollFetches(l.t.Context())
		must(l.t, l.t.Context().Err())
		fetches.EachRecord(func(r *kgo.Record) {
			last = r.Offset
			if !r.Attrs.IsControl() {
				n, _ := binary.Varint(r.Value[5:])
				found[r.Offset] = n
			}
		})
	}
	return found
}

// completing are the steps that only a drain which finds a plan comes to.
var completing = []string{"drain.4.completing", "drain.4.completed"}

func TestKilledAtEveryStep(t *testing.T) {
	p := newPeers(t)
	var fresh, found []string
	for _, step := range drain.Steps {
		if !slices.Contains(completing, step) {
			fresh = append(fresh, step)
		}
		if !strings.HasPrefix(step, "drain.2.") {
			found = append(found, step)
		}
	}
	for i, step := range append(fresh, "drain.9.creating:2", "drain.9.created:2", "drain.9.created:3", "drain.6.committed:2") {
		t.Run("first drain, at "+step, func(t *testing.T) {
			t.Parallel()
			l := p.line(t, fmt.Sprintf("first-%d", i))
			l.produce(0, 1, 0, 0, 1, 0, 0)
			l.mustDie(step)
			l.produce(0, 0)
			l.mustDrain(map[string]string{"flush.size": "4", "topics.dir": "elsewhere", "avro.codec": "snappy"})
			l.verify()
		})
	}
	for i, step := range found {
		t.Run("with a plan in flight, at "+step, func(t *testing.T) {
			t.Parallel()
			l := p.line(t, fmt.Sprintf("found-%d", i))
			l.produce(0, 1, 0, 0, 1, 0, 0)
			l.mustDie("drain.9.created")
			l.produce(1, 0)
			l.mustDie(step)
			l.produce(0)
			l.mustDrain(nil)
			l.verify()
		})
	}
}

func TestZombiesAroundTheHeadWrite(t *testing.T) {
	p := newPeers(t)
	for i, step := range []string{"drain.2.genesis", "drain.7.assigned", "drain.8.planning", "drain.8.planned", "drain.9.creating", "drain.10.durable", "drain.11.closing"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			l := p.line(t, fmt.Sprintf("zombie-%d", i))
			l.produce(0, 1, 0, 0, 1, 0, 0)
			asleep := filepath.Join(t.TempDir(), "asleep")
			zombie := l.start(nil, "RIFTLINE_STEP_PAUSE="+step+"="+asleep)
			zombie.awaitSleep(asleep)
			l.mustDrain(map[string]string{"flush.size": "2", "topics.dir": "elsewhere"})
			l.produce(0, 0)
			l.mustDrain(map[string]string{"flush.size": "100"})
			must(t, os.Remove(asleep))
			if code := zombie.wait(); code != 0 {
				t.Fatalf("the zombie's exit code is %d\n%s", code, zombie.log)
			}
			l.mustDrain(nil)
			l.verify()
		})
	}
}

func (p *process) awaitSleep(file string) {
	p.t.Helper()
	p.await("it never slept", func() bool {
		data, err := os.ReadFile(file)
		return err == nil && len(data) > 0
	})
}

func (p *process) await(otherwise string, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			p.t.Fatalf("%s\n%s", otherwise, p.log)
		}
	}
}

// output is what a process has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func TestSIGTERM(t *testing.T) {
	p := newPeers(t)
	for i, tt := range []struct {
		step string
		code int
	}{
		{"drain.1.loaded", 1},
		{"drain.7.assigned", 1},
		// The plan is finished, and nothing is left to be interrupted.
		{"drain.8.planned", 0},
	} {
		t.Run(tt.step, func(t *testing.T) {
			l := p.line(t, fmt.Sprintf("sigterm-%d", i))
			l.produce(0, 1, 0, 0)
			asleep := filepath.Join(t.TempDir(), "asleep")
			job := l.start(nil, "RIFTLINE_STEP_PAUSE="+tt.step+"="+asleep)
			job.awaitSleep(asleep)
			must(t, job.cmd.Process.Signal(syscall.SIGTERM))
			job.await("it never noticed the signal", func() bool { return strings.Contains(job.log.String(), "stopping") })
			must(t, os.Remove(asleep))
			if code := job.wait(); code != tt.code {
				t.Fatalf("exit code %d, want %d\n%s", code, tt.code, job.log)
			}
			if tt.code == 1 && len(l.bucket.Objects("archive", "topics/"+l.name+"/")) > 0 {
				t.Fatal("objects were created")
			}
			l.mustDrain(nil)
			l.verify()
		})
	}
}

func TestOneLogLine(t *testing.T) {
	p := newPeers(t)
	l := p.line(t, "logged")
	l.produce(0, 0, 0, 0)
	job := l.start(nil, "CLOUD_RUN_JOB=sink")
	if code := job.wait(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, job.log)
	}
	var drains int
	for text := range strings.Lines(job.log.String()) {
		var entry map[string]any
		must(t, json.Unmarshal([]byte(text), &entry))
		if entry["message"] == "drain" {
			drains++
			if entry["outcome"] != "drained" || entry["records"] != 4.0 || entry["objects"] != 2.0 {
				t.Errorf("%s", text)
			}
		}
	}
	if drains != 1 {
		t.Fatalf("%d lines\n%s", drains, job.log)
	}
}
