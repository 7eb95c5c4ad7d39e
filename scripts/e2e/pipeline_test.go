//go:build unix

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/ocf"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/riftline/riftline/shared/local/gcs"
)

// A pipeline is one source and one sink connector with a topic, buckets and names of their own on the shared peers.
type pipeline struct {
	t       testing.TB
	source  string
	sink    string
	topic   string
	archive string // buckets
	state   string
	dir     string // connector files

	bootstrap string
	registry  string
	api       *api
	storage   *gcs.Server
	admin     *kadm.Client
	client    *kgo.Client
	schemas   *sr.Client

	sourceKeys, sinkKeys map[string]string
	vars                 map[string]string
}

// options of a pipeline; the zero value is what most tests want.
type options struct {
	broker     *peer // kafka unless given
	noTopic    bool
	flushSize  int // 3 unless given
	sourceKeys map[string]string
	sinkKeys   map[string]string
	vars       map[string]string
}

// storage is one stand-in for all tests; each uses buckets of its own, and may see its requests.
var storage struct {
	once   sync.Once
	server *gcs.Server
	err    error

	mu    sync.Mutex
	hooks map[string]func(gcs.Request) gcs.Fault
	n     int
}

func storageServer(t testing.TB) *gcs.Server {
	t.Helper()
	storage.once.Do(func() {
		storage.hooks = map[string]func(gcs.Request) gcs.Fault{}
		storage.server, storage.err = gcs.New(gcs.Options{})
		if storage.err != nil {
			return
		}
		storage.server.Intercept(func(r gcs.Request) gcs.Fault {
			storage.mu.Lock()
			hook := storage.hooks[r.Bucket]
			storage.mu.Unlock()
			if hook == nil {
				return gcs.Fault{}
			}
			return hook(r)
		})
	})
	if storage.err != nil {
		t.Fatal(storage.err)
	}
	return storage.server
}

// intercept makes f see the requests to both buckets of the pipeline.
func (p *pipeline) intercept(f func(gcs.Request) gcs.Fault) {
	storage.mu.Lock()
	defer storage.mu.Unlock()
	storage.hooks[p.archive], storage.hooks[p.state] = f, f
}

func newPipeline(t testing.TB, o options) *pipeline {
	t.Helper()
	if o.broker == nil {
		o.broker = kafka
	}
	bootstrap, schemas := o.broker.need(t)["BOOTSTRAP"], registry.need(t)["REGISTRY"]
	storage.mu.Lock()
	storage.n++
	id := strconv.Itoa(storage.n)
	storage.mu.Unlock()
	p := &pipeline{
		t: t, source: "source-" + id, sink: "sink-" + id, topic: "challenger-" + id, archive: "archive-" + id, state: "state-" + id,
		dir: t.TempDir(), bootstrap: bootstrap, registry: schemas, api: newAPI(t), storage: storageServer(t), vars: map[string]string{},
	}
	for _, bucket := range []string{p.archive, p.state} {
		if err := p.storage.CreateBucket(bucket); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	p.client, err = kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RequestRetries(20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.Close)
	p.admin = kadm.NewClient(p.client)
	// The registry's first answers may take longer than the five seconds that the client has by itself.
	if p.schemas, err = sr.NewClient(sr.URLs(schemas), sr.HTTPClient(&http.Client{Timeout: patience})); err != nil {
		t.Fatal(err)
	}
	if !o.noTopic {
		p.createTopic()
	}
	p.sourceKeys = map[string]string{
		"name":                                p.source,
		"connector.class":                     "com.github.castorm.kafka.connect.http.HttpSourceConnector",
		"kafka.topic":                         p.topic,
		"http.request.url":                    p.api.url + "/ladder",
		"http.response.list.pointer":          "/entries",
		"http.response.record.offset.pointer": "key=/puuid",
		"http.timer.interval.millis":          "60000",
	}
	maps.Copy(p.sourceKeys, o.sourceKeys)
	p.sinkKeys = map[string]string{
		"name":            p.sink,
		"connector.class": "io.confluent.connect.gcs.GcsSinkConnector",
		"topics":          p.topic,
		"value.converter": "io.confluent.connect.avro.AvroConverter",
		"gcs.bucket.name": p.archive,
		"flush.size":      strconv.Itoa(max(o.flushSize, 3)),
		"storage.class":   "io.confluent.connect.gcs.storage.GcsStorage",
		"format.class":    "io.confluent.connect.gcs.format.avro.AvroFormat",
	}
	maps.Copy(p.sinkKeys, o.sinkKeys)
	p.writeConnectors()
	p.vars = map[string]string{
		"RIFTLINE_CONNECTORS":                         p.dir,
		"RIFTLINE_CONNECTOR":                          p.sink,
		"RIFTLINE_STATE":                              "gs://" + p.state + "/riftline",
		"RIFTLINE_LOG_LEVEL":                          "debug",
		"STORAGE_EMULATOR_HOST":                       p.storage.URL(),
		"CONNECT_BOOTSTRAP_SERVERS":                   p.bootstrap,
		"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL": p.registry,
	}
	maps.Copy(p.vars, o.vars)
	return p
}

func (p *pipeline) createTopic() {
	p.t.Helper()
	resp, err := p.admin.CreateTopic(p.t.Context(), 1, 1, nil, p.topic)
	if err != nil {
		p.t.Fatalf("creating topic %s: %v %s", p.topic, err, resp.ErrMessage)
	}
	// The broker answers before it knows of the topic by itself.
	eventually(p.t, "the broker knows topic "+p.topic, func() bool {
		topics, err := p.admin.ListTopics(p.t.Context(), p.topic)
		if err != nil {
			p.t.Fatal(err)
		}
		return topics[p.topic].Err == nil && len(topics[p.topic].Partitions) == 1
	})
}

func (p *pipeline) writeConnectors() {
	p.t.Helper()
	for _, keys := range []map[string]string{p.sourceKeys, p.sinkKeys} {
		data, err := json.MarshalIndent(keys, "", "  ")
		if err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.dir, keys["name"]+".json"), data, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

// env is the environment of this pipeline's processes, with more variables ("NAME=value") that win.
func (p *pipeline) env(more ...string) []string {
	vars := maps.Clone(p.vars)
	for _, line := range more {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}

func (p *pipeline) poller(more ...string) *process {
	p.t.Helper()
	return startPoller(p.t, plain.path(p.t, "poller"), p.env(more...))
}

// drain runs the sink job to its end.
func (p *pipeline) drain(more ...string) *process {
	p.t.Helper()
	s := start(p.t, plain.path(p.t, "sink"), p.env(more...))
	s.wait()
	return s
}

// mustDrain drains all that is committed by now.
func (p *pipeline) mustDrain(more ...string) {
	p.t.Helper()
	p.settled()
	if s := p.drain(more...); s.cmd.ProcessState.ExitCode() != 0 {
		p.t.Fatalf("the sink ended with %v:\n%s", s.cmd.ProcessState, tail(s.output(), 40))
	}
}

// An api is an HTTP API whose answer a test sets.
type api struct {
	url string

	mu      sync.Mutex
	status  int
	kind    string
	body    []byte
	headers map[string]string
	hits    int
}

func newAPI(t testing.TB) *api {
	a := &api{status: http.StatusOK, kind: "application/json"}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hits++
	w.Header().Set("Content-Type", a.kind)
	for name, value := range a.headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func (a *api) answer(status int, kind string, body []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status, a.kind, a.body = status, kind, body
}

// An entry is one player of a ladder.
type entry struct {
	PUUID        string `json:"puuid"`
	LeaguePoints int    `json:"leaguePoints"`
	Rank         string `json:"rank"`
	Wins         int    `json:"wins"`
	HotStreak    bool   `json:"hotStreak"`
}

func player(n, points int) entry {
	return entry{fmt.Sprintf("player-%04d", n), points, "I", points / 2, points%2 == 0}
}

// players are n of them with 100 points and more.
func players(n int) []entry {
	var all []entry
	for i := range n {
		all = append(all, player(i, 100+i))
	}
	return all
}

func (a *api) ladder(entries []entry) {
	body, err := json.Marshal(map[string]any{"tier": "CHALLENGER", "leagueId": "league-1", "queue": "RANKED_SOLO_5x5", "entries": entries})
	if err != nil {
		panic(err) // it is made of strings and numbers
	}
	a.answer(http.StatusOK, "application/json", body)
}

// A message is a decoded record of the topic.
type message struct {
	offset  int64
	key     string
	value   map[string]any
	headers []kgo.RecordHeader
	raw     *kgo.Record
}

// String is what matters of a message to a reader: the key and the entry's figures.
func (m message) String() string {
	return fmt.Sprintf("%s:%v", m.key, m.value["leaguePoints"])
}

func texts[T fmt.Stringer](all []T) []string {
	out := make([]string, len(all))
	for i, m := range all {
		out[i] = m.String()
	}
	return out
}

func entryTexts(groups ...[]entry) []string {
	var out []string
	for _, g := range groups {
		for _, e := range g {
			out = append(out, fmt.Sprintf("%s:%d", e.PUUID, e.LeaguePoints))
		}
	}
	return out
}

// settled waits until no transaction of partition 0 is open, and gives its end. A broker answers a commit before the
// commit's marker is in the log, so that readers see it a moment later.
func (p *pipeline) settled() int64 {
	p.t.Helper()
	end := int64(-1)
	eventually(p.t, "no transaction is open in topic "+p.topic, func() bool {
		committed, err := p.admin.ListCommittedOffsets(p.t.Context(), p.topic)
		if err != nil {
			p.t.Fatal(err)
		}
		all, err := p.admin.ListEndOffsets(p.t.Context(), p.topic)
		if err != nil {
			p.t.Fatal(err)
		}
		stable, _ := committed.Lookup(p.topic, 0)
		last, ok := all.Lookup(p.topic, 0)
		if stable.Err != nil || last.Err != nil || !ok {
			p.t.Fatalf("the end of topic %s: %v, %v", p.topic, stable.Err, last.Err)
		}
		end = last.Offset
		return stable.Offset == last.Offset
	})
	return end
}

// records reads what a read_committed consumer sees of partition 0, from the start to the end.
func (p *pipeline) records() []*kgo.Record {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	end := p.settled()
	if end == 0 {
		return nil
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{p.topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	var records []*kgo.Record
	for next := int64(0); next < end; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			p.t.Fatalf("reading topic %s: %v", p.topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = max(next, r.Offset+1)
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
	}
	return records
}

// messages reads and decodes the topic with a library that is not riftline's.
func (p *pipeline) messages() []message {
	p.t.Helper()
	parsed := map[int]avro.Schema{}
	var all []message
	for _, r := range p.records() {
		var header sr.ConfluentHeader
		id, body, err := header.DecodeID(r.Value)
		if err != nil {
			p.t.Fatalf("offset %d: %v", r.Offset, err)
		}
		if parsed[id] == nil {
			text, err := p.schemas.SchemaByID(p.t.Context(), id)
			if err != nil {
				p.t.Fatalf("schema %d: %v", id, err)
			}
			if parsed[id], err = avro.ParseWithCache(text.Schema, "", &avro.SchemaCache{}); err != nil {
				p.t.Fatalf("schema %d: %v", id, err)
			}
		}
		m := message{offset: r.Offset, key: string(r.Key), headers: r.Headers, raw: r}
		if err := avro.Unmarshal(parsed[id], body, &m.value); err != nil {
			p.t.Fatalf("offset %d: %v", r.Offset, err)
		}
		all = append(all, m)
	}
	return all
}

// An object is a decoded object of the archive.
type object struct {
	name   string
	values []map[string]any
}

// objects reads the archive with a library that is not riftline's, in order of the names.
func (p *pipeline) objects() []object {
	p.t.Helper()
	var all []object
	for _, stored := range p.storage.Objects(p.archive, "") {
		o := object{name: stored.Name}
		d, err := ocf.NewDecoder(bytes.NewReader(stored.Data), ocf.WithDecoderSchemaCache(&avro.SchemaCache{}))
		if err != nil {
			p.t.Fatalf("%s: %v", stored.Name, err)
		}
		for d.HasNext() {
			var v map[string]any
			if err := d.Decode(&v); err != nil {
				p.t.Fatalf("%s: %v", stored.Name, err)
			}
			o.values = append(o.values, v)
		}
		if err := d.Error(); err != nil {
			p.t.Fatalf("%s: %v", stored.Name, err)
		}
		all = append(all, o)
	}
	return all
}

// wantTopic wants exactly these entries in the topic, in this order.
func (p *pipeline) wantTopic(want ...[]entry) []message {
	p.t.Helper()
	messages := p.messages()
	if got, want := texts(messages), entryTexts(want...); !slices.Equal(got, want) {
		p.t.Fatalf("the topic holds\n%v\nwant\n%v", got, want)
	}
	return messages
}

// wantArchive wants each record of the topic in exactly one object, in order, under the name of its first offset.
func (p *pipeline) wantArchive(messages []message) {
	p.t.Helper()
	n := 0
	for _, o := range p.objects() {
		if n >= len(messages) {
			p.t.Fatalf("%s holds what the topic does not", o.name)
		}
		want := fmt.Sprintf("topics/%s/partition=0/%s+0+%010d.avro", p.topic, p.topic, messages[n].offset)
		if o.name != want {
			p.t.Fatalf("object %s, want %s", o.name, want)
		}
		if len(o.values) == 0 {
			p.t.Fatalf("%s is empty", o.name)
		}
		for _, v := range o.values {
			if n >= len(messages) || fmt.Sprint(v) != fmt.Sprint(messages[n].value) {
				p.t.Fatalf("%s: a record is not the topic's:\n%v", o.name, v)
			}
			n++
		}
	}
	if n != len(messages) {
		p.t.Fatalf("the archive holds %d records, the topic %d", n, len(messages))
	}
}

// wantLag wants the sink's consumer group at the end of the topic, as lag tools compute it.
func (p *pipeline) wantLag(want int64) {
	p.t.Helper()
	lags, err := p.admin.Lag(p.t.Context(), "connect-"+p.sink)
	if err != nil {
		p.t.Fatal(err)
	}
	l := lags["connect-"+p.sink]
	if got, ok := l.Lag.Lookup(p.topic, 0); !ok || got.Lag != want {
		p.t.Fatalf("group connect-%s has lag %d (%v), want %d", p.sink, got.Lag, l.Error(), want)
	}
}

// eventually waits for what must happen.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// inflate gives the plain text of data that may be gzip.
func inflate(t testing.TB, data []byte) string {
	t.Helper()
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return string(data)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
