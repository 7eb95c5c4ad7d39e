//go:build linux

package images

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hamba/avro/v2/ocf"

	"github.com/riftline/riftline/shared/local/broker"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/local/registry"
	"github.com/riftline/riftline/shared/local/riot"
)

const patience = 2 * time.Minute

// world is what the images' programs work with: stand-ins on loopback, with the connector files of the repository in the
// state bucket.
type world struct {
	t       *testing.T
	storage *gcs.Server
	api     *riot.Server
	env     []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	kafka, err := broker.New(broker.Options{})
	must(t, err)
	t.Cleanup(kafka.Close)
	must(t, kafka.CreateTopic(t.Context(), "challenger", 1))
	schemas, err := registry.New(registry.Options{})
	must(t, err)
	t.Cleanup(func() { _ = schemas.Close() })
	w.storage, err = gcs.New(gcs.Options{})
	must(t, err)
	t.Cleanup(func() { _ = w.storage.Close() })
	must(t, w.storage.CreateBucket("riftline-archive"))
	must(t, w.storage.CreateBucket("state"))
	for _, name := range []string{"challenger", "gcs-sink"} {
		data, err := os.ReadFile("../../infra/connectors/" + name + ".json")
		must(t, err)
		_, err = w.storage.Put(gcs.Stored{Bucket: "state", Name: "connectors/" + name + ".json", Data: data})
		must(t, err)
	}
	w.api, err = riot.Start(riot.Options{}, 0)
	must(t, err)
	t.Cleanup(func() { _ = w.api.Close() })
	overrides, err := json.Marshal(map[string]map[string]string{
		"challenger": {"http.request.headers": "X-Riot-Token: ${env:RIOT_API_KEY}"},
		"gcs-sink":   {"value.converter.schema.registry.url": schemas.URL()},
	})
	must(t, err)
	w.env = []string{
		"RIFTLINE_CONNECTORS=gs://state/connectors", "RIFTLINE_STATE=gs://state/riftline", "RIFTLINE_OVERRIDES=" + string(overrides),
		"RIFTLINE_RESOLVE=kr.api.riotgames.com:443=" + w.api.Addr(), "RIOT_API_KEY=" + w.api.Key(),
		"CONNECT_BOOTSTRAP_SERVERS=" + kafka.Addr(), "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=" + schemas.URL(),
		"STORAGE_EMULATOR_HOST=" + strings.TrimPrefix(w.storage.URL(), "http://"),
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// process is an image's program, started as Cloud Run starts it, and confined more tightly.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *output
	ended chan struct{}
}

// output is what a process wrote, also while it goes on.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (w *world) start(i *image, root string, variables ...string) *process {
	w.t.Helper()
	env := slices.Concat(i.config.Config.Env, w.env, variables)
	p := &process{t: w.t, cmd: confined(root, env, i.config.Config.Entrypoint...), log: &output{}, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	must(w.t, p.cmd.Start())
	go func() { _ = p.cmd.Wait(); close(p.ended) }()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// wait waits for the process's end and gives its exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("it does not end:\n%s", p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// poller starts the poller and waits until it answers.
func (w *world) poller(i *image, root string, variables ...string) (*process, string) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	address := l.Addr().String()
	must(w.t, l.Close())
	_, port, _ := net.SplitHostPort(address)
	p := w.start(i, root, append([]string{"PORT=" + port}, variables...)...)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.ended:
			w.t.Fatalf("the poller ended:\n%s", p.log)
		default:
		}
		resp, err := http.Get("http://" + address + "/health")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p, "http://" + address
			}
		}
		if time.Now().After(end) {
			w.t.Fatalf("the poller does not answer: %v\n%s", err, p.log)
		}
	}
}

// poll triggers a poll and gives the answer's status, how many records it published, and the whole answer.
func poll(t *testing.T, url string) (status, published int, body string) {
	t.Helper()
	resp, err := http.Post(url+"/Poll", "application/json", strings.NewReader(`{"connector":"challenger"}`))
	must(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	var summary struct {
		Published int `json:"published"`
	}
	must(t, json.Unmarshal(data, &summary))
	return resp.StatusCode, summary.Published, string(data)
}

func TestImagesRun(t *testing.T) {
	b := need(t)
	needConfinement(t)
	w := newWorld(t)
	roots := map[string]string{}
	images := map[string]*image{}
	for _, name := range names {
		root := filepath.Join(work, "root-"+name)
		roots[name] = root
		t.Cleanup(func() { _ = os.RemoveAll(root) })
		images[name] = b.image(t, name)
		images[name].unpack(roots[name])
	}

	// The API's certificate is of an authority that the program does not bring along.
	p, url := w.poller(images["poller"], roots["poller"])
	p.wantNobody(roots["poller"])
	if status, published, body := poll(t, url); status != http.StatusServiceUnavailable && status != http.StatusBadGateway || published != 0 || !strings.Contains(body, "certificate signed by unknown authority") {
		t.Errorf("a certificate of an unknown authority: %d %s", status, body)
	}
	resp, err := http.Get(url + "/ready")
	must(t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/ready: %d", resp.StatusCode)
	}
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	if code := p.wait(); code != 0 {
		t.Errorf("after SIGTERM: exit code %d\n%s", code, p.log)
	}

	// Nothing but a secret mounted as a file is added for the authority to be known.
	must(t, os.WriteFile(filepath.Join(roots["poller"], "ca.pem"), w.api.CA(), 0o644))
	_, url = w.poller(images["poller"], roots["poller"], "SSL_CERT_FILE=/ca.pem")
	status, published, body := poll(t, url)
	if status != http.StatusOK || published < 300 {
		t.Fatalf("poll: %d %s", status, body)
	}

	s := w.start(images["sink"], roots["sink"], "CLOUD_RUN_TASK_INDEX=0", "CLOUD_RUN_TASK_COUNT=1", "RIFTLINE_CONNECTOR=gcs-sink")
	if code := s.wait(); code != 0 {
		t.Fatalf("drain: exit code %d\n%s", code, s.log)
	}
	if archived := w.archived(); archived != published {
		t.Errorf("%d records published, %d archived", published, archived)
	}
}

// archived counts the records of the archive.
func (w *world) archived() int {
	w.t.Helper()
	n := 0
	for _, o := range w.storage.Objects("riftline-archive", "topics/challenger/partition=0/") {
		d, err := ocf.NewDecoder(bytes.NewReader(o.Data))
		must(w.t, err)
		for d.HasNext() {
			var record any
			must(w.t, d.Decode(&record))
			n++
		}
		must(w.t, d.Error())
	}
	return n
}

// wantNobody checks who the process is, and what its root holds.
func (p *process) wantNobody(root string) {
	p.t.Helper()
	entries, err := os.ReadDir(root)
	must(p.t, err)
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	if !slices.Equal(found, []string{"ko-app", "var"}) {
		p.t.Errorf("the root holds %q", found)
	}
	if os.Geteuid() != 0 {
		return // only root sees the user that the process is for itself
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(p.t, err)
	for _, want := range []string{`Uid:\s+65532\s+65532\s+65532\s+65532`, `Gid:\s+65532\s+65532\s+65532\s+65532`, `Groups:\s*`, `CapEff:\s+0+`, `CapPrm:\s+0+`, `NoNewPrivs:\s+1`} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).Match(status) {
			p.t.Errorf("the process is not %s:\n%s", want, status)
		}
	}
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/root", p.cmd.Process.Pid))
	if err != nil && !errors.Is(err, os.ErrPermission) {
		p.t.Error(err)
	}
	if err == nil && link != root {
		p.t.Errorf("its root is %s", link)
	}
}
