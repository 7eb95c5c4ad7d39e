package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/poll"
)

// castormPerCPU is what castorm's HTTP source published per CPU second of its Connect worker when all of 10,000 entries
// were new and its JIT was warm, on the machine of [lensesMachine].
const castormPerCPU = 103_000

const (
	pollEntries = 10_000
	// pollsBefore are not counted: castorm's figure is a warm one, too.
	pollsBefore = 3
	pollsTimed  = 12
)

// polled is the answer of the role "polls".
type polled struct {
	Polls   int           `json:"polls"`
	Entries int           `json:"entries"`
	Wall    time.Duration `json:"wall_ns"`
	CPU     time.Duration `json:"cpu_ns"`
}

// pollRepeatedly is the role "polls": one process that polls a connector again and again.
func pollRepeatedly(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("polls", flag.ContinueOnError)
	connector, profile := flags.String("connector", "", ""), flags.String("profile", "", "")
	entries := flags.Int("entries", pollEntries, "")
	if flags.Parse(args) != nil {
		return errUsage
	}
	env, err := environment.Read(os.Environ())
	if err != nil {
		return err
	}
	env.GiveHeapRoom() // as the poller does
	var p polled
	var began time.Time
	var before time.Duration
	for n := range pollsBefore + pollsTimed {
		if n == pollsBefore {
			began, before = time.Now(), ownCPU()
			if *profile != "" {
				stop, err := profileTo(*profile)
				if err != nil {
					return err
				}
				defer stop()
			}
		}
		summary, err := env.Poll(ctx, *connector, nil)
		if err != nil {
			return err
		}
		if summary.Outcome != poll.Published || summary.Published != *entries {
			return fmt.Errorf("poll %d published %d of %d entries: %s", n+1, summary.Published, *entries, summary.Outcome)
		}
	}
	p = polled{Polls: pollsTimed, Entries: pollsTimed * *entries, Wall: time.Since(began), CPU: ownCPU() - before}
	return errors.Join(env.Close(), answerJSON(p))
}

// entries is how many a polled ladder has; as small as the drains where those are small.
func (b *bench) entries() int { return min(pollEntries, max(b.records/10, 10)) }

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// polls measures polls of a ladder in which each entry has changed.
func (b *bench) polls(ctx context.Context) (section, error) {
	s := section{
		Title:  fmt.Sprintf("Polls of %s entries, all of them changed each time, in one process", thousands(b.entries())),
		Header: []string{"source", "entries per CPU s", "entries/s", "CPU ms a poll", "peak MiB", "broker CPU s", "bucket CPU s"},
		Notes: []string{fmt.Sprintf("%d polls after %d that are not counted. The API and the bucket are another process. Stated: castorm 0.8.11, on the machine that the tables above state; not measured here.",
			pollsTimed, pollsBefore)},
	}
	var perCPU, perSecond, cpu, peak, broker, bucket []float64
	for range b.runs {
		p, u, err := b.poll(ctx, "")
		if err != nil {
			return s, err
		}
		perCPU = append(perCPU, float64(p.Entries)/p.CPU.Seconds())
		perSecond = append(perSecond, float64(p.Entries)/p.Wall.Seconds())
		cpu = append(cpu, 1000*p.CPU.Seconds()/float64(p.Polls))
		peak = append(peak, float64(u.Peak)/(1<<20))
		broker, bucket = append(broker, u.Broker.Seconds()), append(bucket, u.Bucket.Seconds())
	}
	found := spreadOf(perCPU)
	s.Rows = [][]string{
		{"riftline", found.count(), spreadOf(perSecond).count(), spreadOf(cpu).plain(0), spreadOf(peak).plain(0), spreadOf(broker).plain(2), spreadOf(bucket).plain(2)},
		{"castorm (stated)", "103 k", "", "97", "2,150", "", ""},
	}
	s.Goals = []goal{{"at least castorm's 103,000 entries per CPU second", found.count(), found.median >= castormPerCPU}}
	return s, nil
}

// poll runs one process that polls, with a topic, a subject and a source offset object of its own.
func (b *bench) poll(ctx context.Context, profile string) (p polled, u usage, err error) {
	b.topics++
	b.drains++
	name := fmt.Sprintf("source-%d-%d", b.id, b.drains)
	t := &topic{topic: fmt.Sprintf("bench-%d-%d", b.id, b.topics)}
	if err := b.createTopic(ctx, t.topic); err != nil {
		return p, u, err
	}
	file, err := json.Marshal(map[string]string{
		"name":                                name,
		"connector.class":                     "com.github.castorm.kafka.connect.http.HttpSourceConnector",
		"kafka.topic":                         t.topic,
		"http.request.url":                    b.bucket.url + "/ladder?entries=" + strconv.Itoa(b.entries()),
		"http.response.list.pointer":          "/entries",
		"http.response.record.offset.pointer": "key=/puuid",
	})
	if err != nil {
		return p, u, err
	}
	dir := filepath.Join(b.dir, name)
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, name+".json"), file, 0o600)); err != nil {
		return p, u, err
	}
	u, err = b.child(ctx, b.env(dir), b.role("polls", "-connector", name, "-profile", profile, "-entries", strconv.Itoa(b.entries())), &p)
	return p, u, errors.Join(err, b.remove(ctx, t))
}

func (b *bench) createTopic(ctx context.Context, name string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.broker.address))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, name); err != nil {
		return fmt.Errorf("creating topic %s: %w", name, err)
	}
	return nil
}

// profileTo starts profiles whose files begin with a path; stop writes them.
func profileTo(path string) (stop func(), err error) {
	cpu, err := os.Create(path + ".cpu.pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	heap := watchHeap()
	return func() {
		pprof.StopCPUProfile()
		err := errors.Join(cpu.Close(), os.WriteFile(path+".heap.pprof", heap(), 0o600))
		if allocs, created := os.Create(path + ".allocs.pprof"); created == nil {
			err = errors.Join(err, pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: writing profiles: %v\n", err)
		}
	}, nil
}
