//go:build unix

package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/poll"
)

// describedLag is what Kafka's own tool says of the sink's group: committed offset, log end, lag.
func (p *pipeline) describedLag() (committed, end, lag string) {
	p.t.Helper()
	table := kafkaTool(p.t, "consumer-groups", "--bootstrap-server", p.bootstrap, "--describe", "--group", "connect-"+p.sink)
	row := regexp.MustCompile(`connect-` + p.sink + ` +` + p.topic + ` +0 +(\d+) +(\d+) +(\d+) `).FindStringSubmatch(table)
	if row == nil {
		p.t.Fatalf("the group's description:\n%s", table)
	}
	return row[1], row[2], row[3]
}

// A topic that a broker compacts, whose end is a transaction's marker, one of an aborted transaction's above all.
func TestNoLagOnMarkersAndCompactedOffsets(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, options{})
	kafkaTool(t, "configs", "--bootstrap-server", p.bootstrap, "--alter", "--entity-type", "topics", "--entity-name", p.topic, "--add-config",
		"cleanup.policy=compact,segment.ms=100,min.cleanable.dirty.ratio=0.01,min.compaction.lag.ms=0,max.compaction.lag.ms=100,delete.retention.ms=0")
	poller := p.poller()
	published := 0
	ladder := func(points int) {
		p.api.ladder([]entry{player(1, points), player(2, points), player(3, points)})
		published += poller.mustPoll(p.source, poll.Published).Published
	}
	ladder(1)
	p.mustDrain()
	first := len(p.objects())
	for points := 2; points < 8; points++ {
		ladder(points)
	}
	eventually(t, "the broker has compacted the topic", func() bool {
		// The cleaner leaves the segment alone that is written to, so that has to become another one.
		ladder(published)
		return len(p.records()) < published-9
	})
	// The log ends on the marker of a transaction that was given up.
	client, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.TransactionalID("gives-up-"+p.sink), kgo.DefaultProduceTopic(p.topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), kgo.KeyStringRecord("key", "given up")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	p.mustDrain()
	if committed, end, lag := p.describedLag(); lag != "0" || committed != end {
		t.Errorf("committed %s, end %s, lag %s", committed, end, lag)
	}
	if n := len(p.objects()); n <= first {
		t.Errorf("%d objects, %d before", n, first)
	}
	// What the topic has now is in the archive once: the compacted records were there only if a drain saw them.
	held := map[string]int{}
	for _, o := range p.objects() {
		for _, v := range o.values {
			held[fmt.Sprint(v)]++
		}
	}
	for _, m := range p.messages() {
		if n := held[fmt.Sprint(m.value)]; n != 1 {
			t.Errorf("record %s at offset %d is in the archive %d times", m, m.offset, n)
		}
	}
}

// What cannot be archived goes to the Kafka dead-letter topic, whose headers Kafka's own tool shows.
func TestDeadLettersEndToEnd(t *testing.T) {
	t.Parallel()
	dead := fmt.Sprintf("dead-%d", os.Getpid())
	p := newPipeline(t, options{sinkKeys: map[string]string{
		"errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead, "errors.deadletterqueue.topic.replication.factor": "1",
		"errors.deadletterqueue.context.headers.enable": "true", "errors.log.enable": "true",
	}})
	p.api.ladder(players(4))
	p.poller().mustPoll(p.source, poll.Published)
	good := p.messages()
	bad := &kgo.Record{Topic: p.topic, Key: []byte("the key"), Value: []byte("no Avro"), Headers: []kgo.RecordHeader{{Key: "own", Value: []byte("kept")}}}
	if err := p.client.ProduceSync(t.Context(), bad).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.mustDrain()
	p.wantArchive(good)
	if _, _, lag := p.describedLag(); lag != "0" {
		t.Errorf("lag %s", lag)
	}
	line := kafkaTool(t, "console-consumer", "--bootstrap-server", p.bootstrap, "--topic", dead, "--from-beginning", "--max-messages", "1", "--timeout-ms", "180000",
		"--property", "print.headers=true", "--property", "print.key=true")
	for _, want := range []string{
		"own:kept", "__connect.errors.topic:" + p.topic, "__connect.errors.partition:0", fmt.Sprintf("__connect.errors.offset:%d", bad.Offset),
		"__connect.errors.connector.name:" + p.sink, "__connect.errors.task.id:0", "__connect.errors.stage:VALUE_CONVERTER",
		"__connect.errors.class.name:io.confluent.connect.avro.AvroConverter", "__connect.errors.exception.class.name:org.apache.kafka.connect.errors.DataException",
		"__connect.errors.exception.message:", "__connect.errors.exception.stacktrace:", "the key", "no Avro",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("the dead letter does not have %q:\n%s", want, line)
		}
	}
}

// Connect, riftline, Connect: Kafka's own consumer goes on in the sink's group where the drain stopped.
func TestThereAndBackWithKafkasConsumer(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, options{})
	poller := p.poller()
	p.api.ladder(players(5))
	poller.mustPoll(p.source, poll.Published)
	p.mustDrain()
	p.wantArchive(p.messages())
	p.api.ladder([]entry{player(1, 901), player(2, 902)})
	poller.mustPoll(p.source, poll.Published)
	lines := kafkaTool(t, "console-consumer", "--bootstrap-server", p.bootstrap, "--topic", p.topic, "--group", "connect-"+p.sink, "--isolation-level", "read_committed",
		"--from-beginning", "--property", "print.key=true", "--property", "print.value=false", "--max-messages", "2", "--timeout-ms", "180000")
	var want []string
	for _, m := range p.messages()[5:] {
		want = append(want, m.key)
	}
	if got := strings.Fields(lines); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the consumer reads %q, want %q", got, want)
	}
}
