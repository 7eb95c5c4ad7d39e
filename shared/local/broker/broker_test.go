package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestMain makes the test binary the broker process that a test kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("RIFTLINE_TEST_BROKER"); dir != "" {
		b, err := New(Options{Dir: dir})
		if err == nil {
			err = b.CreateTopic(context.Background(), "challenger", 1)
		}
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("addr:", b.Addr())
		// Ends with the test, also when that is killed: the pipe closes.
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, o Options) *Broker {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func connect(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTopicsAreMadeOnPurposeAndHaveOnePartition(t *testing.T) {
	b := start(t, Options{})
	ctx := within(t)
	c := connect(t, b.Addr(), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	if err := c.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err == nil {
		t.Error("a record without a topic was accepted")
	}
	err := c.ProduceSync(ctx, &kgo.Record{Topic: "nowhere", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("producing to a topic that nobody made: %v", err)
	}
	for range 2 {
		if err := b.CreateTopic(ctx, "challenger", -1); err != nil {
			t.Fatal(err)
		}
	}
	topics, err := kadm.NewClient(c).ListTopics(ctx, "challenger")
	if err != nil || len(topics["challenger"].Partitions) != 1 {
		t.Errorf("the topic is %+v, %v", topics["challenger"], err)
	}
}

func TestOffsetMetadataIsBounded(t *testing.T) {
	b := start(t, Options{})
	ctx := within(t)
	if err := b.CreateTopic(ctx, "challenger", 1); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(connect(t, b.Addr()))
	for size, want := range map[int]error{4096: nil, 4097: kerr.OffsetMetadataTooLarge} {
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: "challenger", At: 1, LeaderEpoch: -1, Metadata: strings.Repeat("m", size)})
		res, err := admin.CommitOffsets(ctx, "g", offsets)
		if err == nil {
			err = res.Error()
		}
		if !errors.Is(err, want) {
			t.Errorf("%d bytes of metadata: %v, want %v", size, err, want)
		}
	}
}

func TestOffsetMetadataIsBoundedInTransactions(t *testing.T) {
	b := start(t, Options{})
	ctx := within(t)
	if err := b.CreateTopic(ctx, "challenger", 1); err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]error{4096: nil, 4097: kerr.OffsetMetadataTooLarge} {
		c := connect(t, b.Addr(), kgo.TransactionalID(fmt.Sprint("t", size)))
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(ctx, &kgo.Record{Topic: "challenger", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if got := commitInTransaction(ctx, t, c, strings.Repeat("m", size)); !errors.Is(got, want) {
			t.Errorf("%d bytes of metadata: %v, want %v", size, got, want)
		}
		if err := c.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	}
}

// initialise asks for a producer id, or for a new epoch of one.
func initialise(ctx context.Context, t *testing.T, c *kgo.Client, id string, producer int64, epoch int16) (int64, int16, error) {
	t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = &id, 60_000, producer, epoch
	res, err := req.RequestWith(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return res.ProducerID, res.ProducerEpoch, kerr.ErrorForCode(res.ErrorCode)
}

func TestAFencedProducerStaysFenced(t *testing.T) {
	b := start(t, Options{})
	ctx := within(t)
	if err := b.CreateTopic(ctx, "challenger", 1); err != nil {
		t.Fatal(err)
	}
	old := connect(t, b.Addr(), kgo.TransactionalID("t"))
	publish := func(c *kgo.Client) error {
		if err := c.BeginTransaction(); err != nil {
			return err
		}
		err := c.ProduceSync(ctx, &kgo.Record{Topic: "challenger", Value: []byte("x")}).FirstErr()
		return errors.Join(err, c.EndTransaction(ctx, kgo.TransactionEndTry(err == nil)))
	}
	if err := publish(old); err != nil {
		t.Fatal(err)
	}
	pid, epoch, err := old.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw := connect(t, b.Addr())
	samePID, newer, err := initialise(ctx, t, raw, "t", -1, -1)
	if err != nil || samePID != pid || newer <= epoch {
		t.Fatalf("another producer of the id got %d, %d, %v", samePID, newer, err)
	}
	if _, _, err := initialise(ctx, t, raw, "t", pid, epoch-1); !errors.Is(err, kerr.ProducerFenced) {
		t.Errorf("an epoch long gone was renewed: %v", err)
	}
	if _, _, err := initialise(ctx, t, raw, "t", pid, newer); err != nil {
		t.Errorf("the newest producer was refused a new epoch: %v", err)
	}
	// A client heals itself by asking for a new epoch; one that was fenced must not.
	for range 3 {
		if err := publish(old); err == nil {
			t.Fatal("a fenced producer published")
		}
	}
	next := connect(t, b.Addr(), kgo.TransactionalID("t"))
	for range 3 {
		if err := publish(next); err != nil {
			t.Errorf("a producer that was started later: %v", err)
		}
	}
}

// TestEpochsAfterACommit asks for a new epoch as a producer that has one from its commit (KIP-890), under which nothing
// was seen yet: it gets it unless another producer has come.
func TestEpochsAfterACommit(t *testing.T) {
	b := start(t, Options{})
	ctx := within(t)
	if err := b.CreateTopic(ctx, "challenger", 1); err != nil {
		t.Fatal(err)
	}
	raw := connect(t, b.Addr())
	for id, fenced := range map[string]bool{"alone": false, "taken over": true} {
		c := connect(t, b.Addr(), kgo.TransactionalID(id))
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(ctx, &kgo.Record{Topic: "challenger", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		pid, during, err := c.ProducerID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		if _, after, err := c.ProducerID(ctx); err != nil || after != during+1 {
			t.Fatalf("the epoch was %d and is %d after the commit, %v", during, after, err)
		}
		if fenced {
			if _, newer, err := initialise(ctx, t, raw, id, -1, -1); err != nil || newer != during+2 {
				t.Fatalf("another producer got %d, %v", newer, err)
			}
		}
		if _, _, err := initialise(ctx, t, raw, id, pid, during+1); errors.Is(err, kerr.ProducerFenced) != fenced {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	b := start(t, Options{})
	if n := b.Connections(); n != 0 {
		t.Fatalf("%d connections before any", n)
	}
	if err := connect(t, b.Addr()).Ping(within(t)); err != nil {
		t.Fatal(err)
	}
	if b.Connections() == 0 {
		t.Error("a connection was not counted")
	}
}

// What a killed broker had acknowledged is there again, committed and aborted transactions told apart.
func TestBrokerSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	ctx := within(t)
	addr, kill := process(t, dir)
	c := connect(t, addr, kgo.TransactionalID("t"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			value := fmt.Sprintf("%v %d", bool(end), n)
			if err := c.ProduceSync(ctx, &kgo.Record{Topic: "challenger", Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "challenger", At: 4, LeaderEpoch: -1, Metadata: "an intent"})
	if res, err := kadm.NewClient(connect(t, addr)).CommitOffsets(ctx, "connect-gcs-sink", offsets); err != nil || res.Error() != nil {
		t.Fatal(err, res.Error())
	}
	id, _ := kadm.NewClient(connect(t, addr)).ListTopics(ctx, "challenger")
	kill()

	again := start(t, Options{Dir: dir})
	admin := kadm.NewClient(connect(t, again.Addr()))
	topics, err := admin.ListTopics(ctx, "challenger")
	if err != nil || topics["challenger"].ID != id["challenger"].ID {
		t.Errorf("the topic's id was %v and is %v (%v)", id["challenger"].ID, topics["challenger"].ID, err)
	}
	committed, err := admin.FetchOffsets(ctx, "connect-gcs-sink")
	if o, ok := committed.Lookup("challenger", 0); err != nil || !ok || o.At != 4 || o.Metadata != "an intent" {
		t.Errorf("the committed offset is %+v, %v", o, err)
	}
	reader := connect(t, again.Addr(), kgo.ConsumeTopics("challenger"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	var got []string
	for len(got) < 6 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	for _, value := range got {
		if !strings.HasPrefix(value, "true") {
			t.Errorf("an aborted record is read: %v", got)
		}
	}
}

// process starts a broker in another process.
func process(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RIFTLINE_TEST_BROKER="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "addr: ")
	if err != nil || !ok {
		t.Fatalf("the broker process said %q, %v", line, err)
	}
	return addr, kill
}
