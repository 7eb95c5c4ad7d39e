package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"time"
)

// kill measures how soon a sink is at work again that was killed with a plan in flight: from its second start to the
// first object that it creates.
func (b *bench) kill(ctx context.Context) (section, error) {
	s := section{
		Title:  "kill -9 in the middle of a drain, then started again: seconds from the start of the process to the next object",
		Header: []string{"kills", "sink", "median", "least", "greatest"},
		Notes: []string{"Each sink is killed while objects of a plan are on their way to the bucket, which holds them back. The drain that goes on is left to its end, and all records are compared with what was produced. " +
			"Stated: " + lensesMachine + "; not measured here."},
	}
	t, err := b.produce(ctx, "small", b.records/2, 1)
	if err != nil {
		return s, err
	}
	var all []float64
	for range b.kills {
		took, err := b.killOnce(ctx, t)
		if err != nil {
			return s, err
		}
		all = append(all, took.Seconds())
	}
	found := spreadOf(all)
	cells := func(v ...float64) (out []string) {
		for _, x := range v {
			out = append(out, fmt.Sprintf("%.2f", x))
		}
		return out
	}
	s.Rows = [][]string{
		append([]string{fmt.Sprint(b.kills), "riftline"}, cells(found.median, found.least, found.most)...),
		{"2", "Lenses (stated)", "48.8", "", ""},
	}
	s.Goals = []goal{{
		fmt.Sprintf("the next object within %v of the start (Lenses: %.1f s)", restartWithin, lensesRestart),
		found.plain(2) + " s", found.median < restartWithin.Seconds(),
	}}
	return s, b.remove(ctx, t)
}

func (b *bench) killOnce(ctx context.Context, t *topic) (time.Duration, error) {
	d := drain{topic: t, codec: "null", flush: max(int(t.records())/20, 1)}
	if err := b.prepare(ctx, &d); err != nil {
		return 0, err
	}
	bucket := url.Values{"bucket": {d.archive}, "after": {"3"}}
	if err := b.ask(ctx, http.MethodPost, "/bench/hold", bucket, nil); err != nil {
		return 0, err
	}
	if err := b.killHeld(ctx, d, bucket); err != nil {
		return 0, err
	}
	if err := b.ask(ctx, http.MethodDelete, "/bench/hold", bucket, nil); err != nil {
		return 0, err
	}
	before, err := b.objects(ctx, d.archive)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := b.child(ctx, d.env, []string{b.sink}, nil); err != nil {
		return 0, err
	}
	after, err := b.verify(ctx, d)
	if err != nil {
		return 0, err
	}
	there := map[string]bool{}
	for _, o := range before {
		there[o.Name] = true
	}
	next := time.Duration(-1)
	for _, o := range after {
		if at := time.Duration(o.Created - began.UnixNano()); !there[o.Name] && (next < 0 || at < next) {
			next = at
		}
	}
	if next < 0 {
		return 0, errors.New("the second sink had nothing left to do")
	}
	return next, nil
}

// killHeld starts a sink, waits until the bucket holds back an object, which is of a plan then, and kills it.
func (b *bench) killHeld(ctx context.Context, d drain, bucket url.Values) error {
	cmd := exec.CommandContext(ctx, b.sink)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir}, d.env...)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the sink that was to be killed ended before (%s): %w", cmd.ProcessState, err)
		case <-tick.C:
		}
		var n int
		if err := b.ask(ctx, http.MethodGet, "/bench/held", bucket, &n); err != nil {
			return errors.Join(err, cmd.Process.Kill(), <-ended)
		}
		if n > 0 {
			err := cmd.Process.Kill()
			if killed := <-ended; err == nil && killed == nil {
				err = errors.New("the sink that was to be killed ended by itself")
			}
			return err
		}
	}
}
