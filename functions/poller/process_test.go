//go:build unix

package poller

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/poll"
)

var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "poller")
	out, err := exec.Command("go", "build", "-tags", "steps", "-o", path, "./cmd").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// child is a poller in a process of its own, built with the steps at which it can be killed or made to sleep.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	output *output
	ended  chan struct{}
	err    error
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

// lastPort is the last port that was handed out. They lie below the range from which the machine takes those of
// connections and of whoever asks for any, which the other tests do all the time.
var lastPort atomic.Int32

func init() { lastPort.Store(10240 + rand.Int32N(10000)) }

// freePort gives each port once: a port that is free may be another test's before the process listens on it.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		port := lastPort.Add(1)
		if port >= 32768 {
			t.Fatal("no port is left for a poller")
		}
		text := strconv.Itoa(int(port))
		if l, err := net.Listen("tcp", "127.0.0.1:"+text); err == nil {
			_ = l.Close()
			return text
		}
	}
}

func (w *world) start(more ...string) *child {
	w.t.Helper()
	path, err := binary()
	if err != nil {
		w.t.Fatal(err)
	}
	port := freePort(w.t)
	p := &child{t: w.t, cmd: exec.Command(path), url: "http://127.0.0.1:" + port, output: &output{}, ended: make(chan struct{})}
	p.cmd.Env = w.environ(append([]string{"PORT=" + port, "PATH=" + os.Getenv("PATH")}, more...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.ended) }()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	p.await("the process answers", func() bool {
		select {
		case <-p.ended:
			w.t.Fatalf("the process ended: %v\n%s", p.err, p.output)
		default:
		}
		resp, err := http.Get(p.url + "/health")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

func (p *child) await(what string, f func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// poll sends a trigger. The error is that of a process that died.
func (p *child) poll() (int, poll.Summary, error) {
	client := http.Client{Timeout: patience}
	resp, err := client.Post(p.url+"/Poll", "application/json", strings.NewReader(trig))
	if err != nil {
		return 0, poll.Summary{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var s poll.Summary
	err = json.NewDecoder(resp.Body).Decode(&s)
	return resp.StatusCode, s, err
}

// awaitEnd waits for the process to end and returns the signal that ended it, or its exit code.
func (p *child) awaitEnd() (syscall.Signal, int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the process did not end\n%s", p.output)
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return status.Signal(), 0
	}
	return 0, status.ExitStatus()
}

// TestFault01KilledAfterEachStepOfAPoll kills the process at each named step of a first poll, of a change, and of a recovery, then polls
// once without trouble: the topic is as after undisturbed runs.
func TestFault01KilledAfterEachStepOfAPoll(t *testing.T) {
	for _, c := range []struct {
		situation string
		prepare   func(w *world)
	}{
		{"first poll", func(w *world) { w.serve("a=1 b=1") }},
		{"a change", func(w *world) {
			w.serve("a=1 b=1")
			w.mustPoll(w.service(), poll.Published)
			w.serve("a=2 b=1 c=1")
		}},
		{"recovery of what had committed", func(w *world) { w.leave("poll.9.committed") }},
		{"recovery of what had not committed", func(w *world) { w.leave("poll.9.marked") }},
	} {
		t.Run(c.situation, func(t *testing.T) {
			t.Parallel()
			steps := traced(t, c.prepare)
			if len(steps) < 9 {
				t.Fatalf("the poll passed %v only", steps)
			}
			for _, name := range steps {
				w := newWorld(t)
				c.prepare(w)
				w.dieAt(name)
				w.expire()
				clean := w.service()
				if status, s, _ := post(t, clean.poll, trig); status != http.StatusOK {
					t.Errorf("%s: %d %s: %s", name, status, s.Outcome, s.Error)
				}
				w.serve("a=3 b=1 c=1")
				w.mustPoll(clean, poll.Published)
				want := "a=1,2,3 b=1 c=1"
				if c.situation == "first poll" {
					want = "a=1,3 b=1 c=1"
				}
				if w.wantValues(want); t.Failed() {
					t.Fatalf("killed at %s", name)
				}
			}
		})
	}
}

// leave kills a poll of a change and lets its time pass.
func (w *world) leave(step string) {
	w.t.Helper()
	w.serve("a=1 b=1")
	w.mustPoll(w.service(), poll.Published)
	w.serve("a=2 b=1 c=1")
	w.dieAt(step)
	w.expire()
}

func (w *world) dieAt(step string) {
	w.t.Helper()
	p := w.start("RIFTLINE_STEP_KILL=" + step)
	if status, s, err := p.poll(); err == nil {
		w.t.Fatalf("not killed at %s: %d %s: %s", step, status, s.Outcome, s.Error)
	}
	if signal, code := p.awaitEnd(); signal != syscall.SIGKILL {
		w.t.Fatalf("at %s the process ended by itself: signal %v, code %d\n%s", step, signal, code, p.output)
	}
}

// traced returns the names of the steps that a poll passes.
func traced(t *testing.T, prepare func(*world)) []string {
	t.Helper()
	w := newWorld(t)
	prepare(w)
	file := filepath.Join(w.dir, "trace")
	if status, s, err := w.start("RIFTLINE_STEP_TRACE=" + file).poll(); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %s (%v)", status, s.Outcome, s.Error, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range strings.Fields(string(data)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// TestFault30SIGTERMBeforeTheCommitTakesTheIntentBack stops the process while a poll sleeps before and after its commit.
func TestFault30SIGTERMBeforeTheCommitTakesTheIntentBack(t *testing.T) {
	for _, c := range []struct {
		step, values string
		outcome      poll.Outcome
	}{
		{"poll.3.compared", "a=1", poll.Unavailable},
		{"poll.6.fenced", "a=1", poll.Unavailable},
		{"poll.9.produced", "a=1", poll.Unavailable},
		{"poll.9.committed", "a=1,2", poll.Published},
	} {
		t.Run(c.step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve("a=1")
			w.mustPoll(w.service(), poll.Published)
			w.serve("a=2")
			asleep := filepath.Join(w.dir, "asleep")
			p := w.start("RIFTLINE_STEP_PAUSE=" + c.step + "=" + asleep)
			type answer struct {
				status int
				s      poll.Summary
				err    error
			}
			answered := make(chan answer, 1)
			go func() {
				status, s, err := p.poll()
				answered <- answer{status, s, err}
			}()
			p.await("the poll sleeps", func() bool { _, err := os.Stat(asleep); return err == nil })
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			p.await("the signal is seen", func() bool { return w.stopping(p) })
			if err := os.Remove(asleep); err != nil {
				t.Fatal(err)
			}
			a := <-answered
			if a.err != nil || a.s.Outcome != c.outcome || a.status != c.outcome.HTTPStatus() {
				t.Errorf("answered %d %s: %s (%v)", a.status, a.s.Outcome, a.s.Error, a.err)
			}
			if signal, code := p.awaitEnd(); signal != 0 || code != 0 {
				t.Errorf("ended by %v, code %d\n%s", signal, code, p.output)
			}
			if st := w.state(); st.Intent != nil || st.Claim != nil {
				t.Errorf("left behind: %+v", st)
			}
			w.wantValues(c.values)
			status, s, _ := post(t, w.service().poll, trig)
			if status != http.StatusOK || s.Recovered != "" {
				t.Errorf("the next poll: %d %s, recovered %q", status, s.Outcome, s.Recovered)
			}
			w.wantValues("a=1,2")
		})
	}
}

// stopping tells whether the process has seen its signal: it takes no more triggers.
func (w *world) stopping(p *child) bool {
	client := http.Client{Timeout: patience}
	resp, err := client.Post(p.url+"/PollEvent", "application/json", strings.NewReader(`{"connector":"none"}`))
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode == http.StatusInternalServerError
}

func TestUnusableEnvironmentEndsTheProcess(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for situation, c := range map[string]struct {
		environ []string
		says    []string
	}{
		"nothing is set":      {nil, []string{"RIFTLINE_CONNECTORS", "RIFTLINE_STATE"}},
		"everything is wrong": {[]string{"RIFTLINE_STATE=/tmp", "RIFTLINE_DEADLINE=soon", "RIFTLINE_OVERRIDES=[]", "RIFTLINE_RESOLVE=a", "RIFTLINE_AUDIENCE=x"}, []string{"RIFTLINE_STATE", "RIFTLINE_DEADLINE", "RIFTLINE_OVERRIDES", "RIFTLINE_RESOLVE", "RIFTLINE_INVOKERS"}},
	} {
		cmd := exec.Command(path)
		cmd.Env = c.environ
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("%s: %v", situation, err)
		}
		for _, word := range c.says {
			if !strings.Contains(string(out), word) {
				t.Errorf("%s: nothing about %s in %s", situation, word, out)
			}
		}
	}
}
