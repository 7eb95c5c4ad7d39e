// Package broker runs an Apache Kafka broker inside this process, for local mode and for tests.
//
// The broker is kfake, the fake that the franz-go client library is tested with: it speaks Kafka's protocol over TCP,
// transactions and consumer groups included, and keeps its log on disk when it is given a folder. Some things are set
// and added so that it hides no mistake that a real broker would show:
//
//   - Topics exist only when somebody created them with CreateTopics. kfake's auto-created topics do not survive a
//     kill of the process, and it would give them ten partitions.
//   - An offset commit's metadata is bounded by 4096 bytes (offset.metadata.max.bytes), as on a real broker.
//   - A new topic has one partition unless the request says how many.
//   - A transactional producer that was fenced stays fenced: asking for a new epoch with the old one is refused.
//
// What it never does, so that tests of it need a real broker: answer CONCURRENT_TRANSACTIONS or
// UNSTABLE_OFFSET_COMMIT of its own accord.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxMetadata is a real broker's default of offset.metadata.max.bytes.
const maxMetadata = 4096

// Options says what broker [New] starts. The zero value is a broker in memory on a free port.
type Options struct {
	// Dir keeps topics, records, offsets and transactions across starts, also when the process was killed. Empty means
	// memory.
	Dir string
	// Port is the port on 127.0.0.1; 0 takes a free one.
	Port int
	// AutoCreate lets a metadata request create the topics that it names, as auto.create.topics.enable does. Such a
	// topic does not survive a kill of the process.
	AutoCreate bool
	// More are further options of kfake (SASL, TLS, ACLs, …); they win over what New sets.
	More []kfake.Opt
}

// Broker is a running broker.
type Broker struct {
	cluster  *kfake.Cluster
	accepted atomic.Int64
}

// New starts a broker on 127.0.0.1, continuing what an earlier one left in the folder.
func New(o Options) (*Broker, error) {
	b := &Broker{}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(1),
		kfake.ClusterID("riftline-embedded"),
		kfake.ListenFn(b.listen),
	}
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o750); err != nil {
			return nil, fmt.Errorf("making the broker's folder: %w", err)
		}
		opts = append(opts, kfake.DataDir(o.Dir))
	}
	if o.Port != 0 {
		opts = append(opts, kfake.Ports(o.Port))
	}
	if o.AutoCreate {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	cluster, err := kfake.NewCluster(append(opts, o.More...)...)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	b.cluster = cluster
	b.boundMetadata()
	b.refuseRevival()
	return b, nil
}

// Addr is the broker's host:port, for bootstrap.servers.
func (b *Broker) Addr() string { return strings.Join(b.cluster.ListenAddrs(), ",") }

// Cluster gives access to kfake's own controls: faults, partition and group information.
func (b *Broker) Cluster() *kfake.Cluster { return b.cluster }

// Connections is the number of TCP connections that the broker has accepted since it started.
func (b *Broker) Connections() int64 { return b.accepted.Load() }

// CreateTopic makes a topic that survives a kill of the process. A topic that exists already is left as it is, whatever
// its number of partitions.
func (b *Broker) CreateTopic(ctx context.Context, name string, partitions int32) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...))
	if err != nil {
		return fmt.Errorf("creating topic %s: %w", name, err)
	}
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("creating topic %s: %w", name, err)
	}
	return nil
}

// Close stops the broker; with a folder, what it holds stays there.
func (b *Broker) Close() { b.cluster.Close() }

func (b *Broker) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address) //nolint:noctx // kfake's hook has no context
	if err != nil {
		return nil, err
	}
	return &countingListener{Listener: l, accepted: &b.accepted}, nil
}

type countingListener struct {
	net.Listener
	accepted *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// boundMetadata refuses what kfake would accept and a real broker does not: offset metadata past 4096 bytes.
func (b *Broker) boundMetadata() {
	b.cluster.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		req := r.(*kmsg.OffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		tooLarge := false
		for _, t := range req.Topics {
			out := kmsg.NewOffsetCommitResponseTopic()
			out.Topic, out.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				tooLarge = tooLarge || oversized(p.Metadata)
				part := kmsg.NewOffsetCommitResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.OffsetMetadataTooLarge.Code
				out.Partitions = append(out.Partitions, part)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil, tooLarge
	})
	b.cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		req := r.(*kmsg.TxnOffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		tooLarge := false
		for _, t := range req.Topics {
			out := kmsg.NewTxnOffsetCommitResponseTopic()
			out.Topic, out.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				tooLarge = tooLarge || oversized(p.Metadata)
				part := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.OffsetMetadataTooLarge.Code
				out.Partitions = append(out.Partitions, part)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil, tooLarge
	})
}

func oversized(metadata *string) bool { return metadata != nil && len(*metadata) > maxMetadata }
