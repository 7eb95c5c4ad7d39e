//go:build linux

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/poll"
)

// TestFigures measures what a user pays for: sizes, starts, memory. It judges nothing; make figures shows it.
func TestFigures(t *testing.T) {
	if os.Getenv("RIFTLINE_FIGURES") == "" {
		t.Skip("figures: RIFTLINE_FIGURES is not set (make figures)")
	}
	dir := t.TempDir()
	for name, pkg := range mains {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, name), pkg)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("size of %s: %.1f MB", name, float64(info.Size())/1e6)
	}
	binary := filepath.Join(dir, "poller")

	p := newPipeline(t, options{})
	p.api.ladder(ladder1)
	var starts []time.Duration
	for range 20 {
		began := time.Now()
		q := startPoller(t, binary, p.env())
		starts = append(starts, time.Since(began))
		q.kill()
	}
	spread(t, "exec to first answer", starts)

	var firsts []time.Duration
	for range 7 {
		p := newPipeline(t, options{})
		p.api.ladder(ladder1)
		began := time.Now()
		q := startPoller(t, binary, p.env("RIFTLINE_LOG_LEVEL=info"))
		q.mustPoll(p.source, poll.Published)
		firsts = append(firsts, time.Since(began))
		q.kill()
	}
	spread(t, "exec to committed first poll, new topic, new subject", firsts)

	var restarts []time.Duration
	for range 7 {
		p := newPipeline(t, options{sinkKeys: map[string]string{"flush.size": "3"}})
		p.fill(0, 100)
		p.settled()
		p.dieDraining("drain.8.planned")
		restarts = append(restarts, p.firstObject(filepath.Join(dir, "sink")))
	}
	spread(t, "sink killed -9 before its first object, exec of the next one to that object", restarts)

	var later []time.Duration
	for n := range 7 {
		p.api.ladder(append(players(7), player(8, 1000+n)))
		began := time.Now()
		q := startPoller(t, binary, p.env("RIFTLINE_LOG_LEVEL=info"))
		q.mustPoll(p.source, poll.Published)
		later = append(later, time.Since(began))
		q.kill()
	}
	spread(t, "exec to committed change", later)

	big := newPipeline(t, options{flushSize: 1000})
	big.api.ladder(players(10_000))
	if dir := os.Getenv("RIOT_RECORDED"); dir != "" {
		big.api.answer(http.StatusOK, "application/json", recording(t, "league/master-kr-2025-07-puuid-10000cap.json"))
	}
	q := startPoller(t, binary, big.env("RIFTLINE_LOG_LEVEL=info"))
	a := q.mustPoll(big.source, poll.Published)
	idle := q.mustPoll(big.source, poll.NothingNew)
	q.stop()
	t.Logf("ladder of %d: published in %d ms, found unchanged in %d ms, peak memory of the poller %s", a.Published, a.DurationMS, idle.DurationMS, peak(q))
	s := start(t, filepath.Join(dir, "sink"), big.env("RIFTLINE_LOG_LEVEL=info"))
	s.wait()
	t.Logf("drain of %d: peak memory of the sink %s", a.Published, peak(s))
}

// firstObject starts a sink and returns how long it took until it sent an object of the archive.
func (p *pipeline) firstObject(binary string) time.Duration {
	p.t.Helper()
	arrived := make(chan time.Time, 1)
	p.intercept(func(q gcs.Request) gcs.Fault {
		if q.Op == gcs.OpInsert && q.Bucket == p.archive {
			select {
			case arrived <- time.Now():
			default:
			}
		}
		return gcs.Fault{}
	})
	defer p.intercept(nil)
	began := time.Now()
	s := start(p.t, binary, p.env())
	if s.wait(); s.cmd.ProcessState.ExitCode() != 0 {
		p.t.Fatalf("the sink ended with %v:\n%s", s.cmd.ProcessState, tail(s.output(), 40))
	}
	select {
	case at := <-arrived:
		return at.Sub(began)
	default:
		p.t.Fatal("the sink made no object")
		return 0
	}
}

func spread(t *testing.T, what string, all []time.Duration) {
	t.Helper()
	slices.Sort(all)
	t.Logf("%s: median %v, best %v, worst %v of %d", what, all[len(all)/2].Round(time.Millisecond), all[0].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond), len(all))
}

func peak(p *process) string {
	usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return "unknown"
	}
	return fmt.Sprintf("%.0f MB", float64(usage.Maxrss)*1024/1e6)
}
