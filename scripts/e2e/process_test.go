//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/poll"
)

// patience is how long a test waits for what must happen; it ends early when it has.
const patience = 3 * time.Minute

// waiting is the pause between two polls while a dead run's time is not over.
const waiting = time.Second

// A process is a running binary of ours.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	url  string // of a poller
	log  string // the file with everything that it writes
	done chan struct{}
	err  error
}

var started struct {
	sync.Mutex
	n int
}

// start runs a binary with exactly these environment variables, and whatever the machine itself needs.
func start(t testing.TB, binary string, env []string, args ...string) *process {
	t.Helper()
	started.Lock()
	started.n++
	name := filepath.Join(work, fmt.Sprintf("%s-%04d.log", filepath.Base(binary), started.n))
	started.Unlock()
	log, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	fmt.Fprintf(log, "# %s: %s %s\n", t.Name(), filepath.Base(binary), strings.Join(args, " "))
	p := &process{t: t, log: name, done: make(chan struct{}), cmd: exec.Command(binary, args...)}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + work, "TMPDIR=" + os.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	ownGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the end of %s:\n%s", name, tail(p.output(), 60))
		}
	})
	return p
}

func (p *process) kill() {
	killGroup(p.cmd)
	<-p.done
}

// output is all that the process wrote so far.
func (p *process) output() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Error(err)
	}
	return string(data)
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// wait waits for the process's end and gives its exit code, -1 when a signal ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		time.Sleep(time.Second)
		p.t.Fatalf("the process did not end within %v", patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// killed tells whether SIGKILL ended the process.
func (p *process) killed() bool {
	<-p.done
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// stop asks the process to end, as Cloud Run does, and gives its exit code.
func (p *process) stop() int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait()
}

// ports hands out ports for our processes, each once: two that were told the same free port would make one test talk to
// the other's poller. They lie below the range from which the machine takes the local ports of connections, and above that
// of the peers, which may be down for a moment (free_port in scripts/lib.sh).
var ports = struct {
	sync.Mutex
	next int
}{next: 22528 + rand.IntN(4096)}

func freePort(t testing.TB) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for ; ports.next < 32768; ports.next++ {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(ports.next))
		if err != nil {
			continue
		}
		l.Close()
		ports.next++
		return ports.next - 1
	}
	t.Fatal("no port is left for a poller")
	return 0
}

// startPoller starts a poller and waits until it answers.
func startPoller(t testing.TB, binary string, env []string) *process {
	t.Helper()
	for try := 1; ; try++ {
		port := freePort(t)
		p := start(t, binary, append([]string{"PORT=" + strconv.Itoa(port)}, env...))
		p.url = "http://127.0.0.1:" + strconv.Itoa(port)
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if resp, err := http.Get(p.url + "/health"); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return p
				}
			}
			select {
			case <-p.done:
				end = time.Now()
			default:
			}
		}
		if try == 3 {
			t.Fatalf("the poller does not answer; it wrote:\n%s", p.output())
		}
		p.kill()
	}
}

// An answer is what the trigger was told.
type answer struct {
	poll.Summary
	status int
	header http.Header
	body   string
}

var errDied = errors.New("the poller died before it answered")

// poll triggers a poll over HTTP, as curl or Cloud Scheduler does.
func (p *process) poll(connector string) (answer, error) {
	client := http.Client{Timeout: patience}
	resp, err := client.Post(p.url+"/Poll", "application/json", strings.NewReader(`{"connector":`+strconv.Quote(connector)+`}`))
	if err != nil {
		select {
		case <-p.done:
			return answer{}, errDied
		case <-time.After(10 * time.Second):
			return answer{}, err
		}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&a.Summary); err != nil {
		return a, fmt.Errorf("the answer %d %q is no summary: %w", resp.StatusCode, body, err)
	}
	return a, nil
}

// mustPoll polls and wants this outcome.
func (p *process) mustPoll(connector string, want poll.Outcome) answer {
	p.t.Helper()
	a, err := p.poll(connector)
	if err != nil {
		p.t.Fatal(err)
	}
	if a.Outcome != want || a.status != want.HTTPStatus() {
		p.t.Fatalf("poll: %d %s", a.status, a.body)
	}
	return a
}

// settle polls until no other run is in the way: one that was killed is waited for until its time is over.
func (p *process) settle(connector string) answer {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(waiting) {
		a, err := p.poll(connector)
		if err != nil {
			p.t.Fatal(err)
		}
		switch a.Outcome {
		case poll.Published, poll.NothingNew:
			return a
		case poll.AnotherRun:
		default:
			p.t.Fatalf("poll: %d %s", a.status, a.body)
		}
		if time.Now().After(end) {
			p.t.Fatalf("another run is still in the way: %s", a.body)
		}
	}
}
