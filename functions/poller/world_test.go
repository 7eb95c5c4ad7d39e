package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/broker"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/local/registry"
	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/poll"
	"github.com/riftline/riftline/shared/schema"
	"github.com/riftline/riftline/shared/sourceoffset"
)

const (
	topic      = "challenger"
	partitions = 2
)

// The credentials of the tests, which must not be found anywhere afterwards.
const (
	apiKey = "simulated-key-of-the-poller-tests"
	object = "riftline/poll/challenger/9f8666b8d7738c75.json"
)

// world is what a poller works with: the user's connector file, unmodified, and stand-ins for everything around it.
type world struct {
	t        *testing.T
	broker   *broker.Broker
	gcs      *gcs.Server
	registry *registry.Registry
	riot     *riot.Server
	dir      string

	codecs map[int]*goavro.Codec

	mu     sync.Mutex
	answer func() riot.Fault
}

func newWorld(t *testing.T, more ...kfake.Opt) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	var err error
	if w.broker, err = broker.New(broker.Options{More: more}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.broker.Close)
	if w.gcs, err = gcs.New(gcs.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.gcs.Close() })
	if err := w.gcs.CreateBucket("state"); err != nil {
		t.Fatal(err)
	}
	if w.registry, err = registry.New(registry.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.registry.Close() })
	if w.riot, err = riot.Start(riot.Options{Key: apiKey, AppLimit: "100000:1", MethodLimit: "100000:1"}, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.riot.Close() })
	w.riot.Intercept(func(riot.Request) riot.Fault {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.answer == nil {
			return riot.Fault{}
		}
		return w.answer()
	})
	if err := w.broker.CreateTopic(t.Context(), topic, partitions); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("../../infra/connectors/challenger.json")
	if err != nil {
		t.Fatal(err)
	}
	w.write("challenger.json", file)
	w.write("ca.pem", w.riot.CA())
	return w
}

func (w *world) write(name string, data []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// environ is what a poller's process is given; a later variable wins.
func (w *world) environ(more ...string) []string {
	overrides, err := json.Marshal(map[string]map[string]string{"challenger": {"http.request.headers": "X-Riot-Token: ${env:RIOT_API_KEY}"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return append([]string{
		"RIFTLINE_CONNECTORS=" + w.dir, "RIFTLINE_STATE=gs://state/riftline", "RIFTLINE_OVERRIDES=" + string(overrides),
		"RIFTLINE_RESOLVE=kr.api.riotgames.com:443=" + w.riot.Addr(), "RIFTLINE_LOG_LEVEL=debug", "RIOT_API_KEY=" + apiKey,
		"CONNECT_BOOTSTRAP_SERVERS=" + w.broker.Addr(), "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=" + w.registry.URL(),
		"STORAGE_EMULATOR_HOST=" + w.gcs.URL(), "SSL_CERT_FILE=" + filepath.Join(w.dir, "ca.pem"),
	}, more...)
}

// service is a poller inside this process.
func (w *world) service(more ...string) *service {
	w.t.Helper()
	e, err := environment.Read(w.environ(more...))
	if err != nil {
		w.t.Fatal(err)
	}
	e.RootCAs = w.riot.RootCAs()
	e.NewStorage = func(ctx context.Context) (*storage.Client, error) {
		return bucket.NewClient(ctx, bucket.At(w.gcs.URL())...)
	}
	w.t.Cleanup(func() { _ = e.Close() })
	return newService(w.t.Context(), e)
}

// post sends a trigger and returns the status, the summary and the header.
func post(t *testing.T, h http.HandlerFunc, body string, header ...string) (int, poll.Summary, http.Header) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h(w, r)
	var s poll.Summary
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("status %d, body %q: %v", w.Code, w.Body.String(), err)
	}
	return w.Code, s, w.Header()
}

const trig = `{"connector":"challenger"}`

// mustPoll polls over HTTP and wants an outcome.
func (w *world) mustPoll(s *service, want poll.Outcome) poll.Summary {
	w.t.Helper()
	status, summary, _ := post(w.t, s.poll, trig)
	if summary.Outcome != want || status != want.HTTPStatus() {
		w.t.Fatalf("status %d, %s, want %s: %s", status, summary.Outcome, want, summary.Error)
	}
	return summary
}

// serve sets what the API answers from now on: a ladder of "puuid=points".
func (w *world) serve(entries string) {
	var list []string
	for _, e := range strings.Fields(entries) {
		key, points, _ := strings.Cut(e, "=")
		list = append(list, fmt.Sprintf(`{"puuid":%q,"leaguePoints":%s,"rank":"I","wins":10,"losses":5,"veteran":true}`, key, points))
	}
	body := fmt.Sprintf(`{"tier":"CHALLENGER","leagueId":"l","queue":"RANKED_SOLO_5x5","name":"n","entries":[%s]}`, strings.Join(list, ","))
	w.fault(riot.Fault{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: body})
}

func (w *world) fault(f riot.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = func() riot.Fault { return f }
}

// values reads the topic with a client that knows nothing of the poller, read_committed to its end, and returns the
// league points by key in the order of the topic.
func (w *world) values() map[string][]int64 {
	w.t.Helper()
	got := map[string][]int64{}
	w.eachRecord(func(r *kgo.Record) { got[string(r.Key)] = append(got[string(r.Key)], w.points(r.Value)) })
	return got
}

// eachRecord reads the topic, read_committed, to its end.
func (w *world) eachRecord(f func(*kgo.Record)) {
	w.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	// A transaction's marker is its last offset, so each partition ends with a control record.
	left := map[int32]int64{}
	for p := range int32(partitions) {
		if end := w.broker.Cluster().PartitionInfo(topic, p).LastStableOffset; end > 0 {
			left[p] = end - 1
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.t.Fatalf("reading the topic, %v to go: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				f(r)
			}
			if r.Offset >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
}

// points decodes a value through the registry, as any consumer does.
func (w *world) points(value []byte) int64 {
	w.t.Helper()
	id, body, ok := schema.ParseHeader(value)
	if !ok {
		w.t.Fatalf("value %x has no schema id", value)
	}
	if w.codecs == nil {
		w.codecs = map[int]*goavro.Codec{}
	}
	if w.codecs[id] == nil {
		r, err := schema.NewRegistry(connector.Registry{URLs: []string{w.registry.URL()}})
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := r.ByID(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if w.codecs[id], err = goavro.NewCodec(text); err != nil {
			w.t.Fatal(err)
		}
	}
	native, rest, err := w.codecs[id].NativeFromBinary(body)
	if err != nil || len(rest) > 0 {
		w.t.Fatalf("decoding: %v, %d bytes too many", err, len(rest))
	}
	n, ok := native.(map[string]any)["leaguePoints"].(int64)
	if !ok {
		w.t.Fatalf("no league points in %v", native)
	}
	return n
}

// wantValues compares the topic with "puuid=points,points …".
func (w *world) wantValues(want string) {
	w.t.Helper()
	got := w.values()
	var list []string
	for key, values := range got {
		list = append(list, key+"="+strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", ","), "[]"))
	}
	slices.Sort(list)
	if text := strings.Join(list, " "); text != want {
		w.t.Errorf("the topic holds %s, want %s", text, want)
	}
}

// state is the source offset object.
func (w *world) state() sourceoffset.State {
	w.t.Helper()
	objects := w.gcs.Objects("state", "riftline/poll/")
	if len(objects) != 1 || objects[0].Name != object {
		w.t.Fatalf("source offset objects: %v", objects)
	}
	s, err := sourceoffset.Decode(objects[0].Data)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// expire sets the time up to which an unfinished run is left alone to long ago, as if it had passed.
func (w *world) expire() {
	w.t.Helper()
	if len(w.gcs.Objects("state", "riftline/poll/")) == 0 {
		return
	}
	s := w.state()
	if s.Intent != nil {
		s.Intent.Until = time.Now().Add(-time.Hour)
	}
	if s.Claim != nil {
		s.Claim.Until = time.Now().Add(-time.Hour)
	}
	w.putState(s)
}

// putState replaces the source offset object.
func (w *world) putState(s sourceoffset.State) {
	w.t.Helper()
	data, err := sourceoffset.Encode(s)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.gcs.Put(gcs.Stored{Bucket: "state", Name: object, Data: data}); err != nil {
		w.t.Fatal(err)
	}
}

// requests counts what the bucket was asked.
func (w *world) requests() map[gcs.Op]int {
	m := map[gcs.Op]int{}
	for _, op := range []gcs.Op{gcs.OpBucketGet, gcs.OpBucketCreate, gcs.OpInsert, gcs.OpUpload, gcs.OpGet, gcs.OpRead, gcs.OpList, gcs.OpDelete} {
		if n := w.gcs.Count(op); n > 0 {
			m[op] = n
		}
	}
	return m
}
