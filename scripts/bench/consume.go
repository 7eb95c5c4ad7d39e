package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The fetches of the bare consumer: large enough that larger ones are no faster.
const (
	bareFetch     = 8 << 20
	barePartition = 4 << 20
)

// counted is what a role says it has read.
type counted struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// consume is the role "consume": franz-go alone, which reads a topic up to its stable end and throws it away.
func consume(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("consume", flag.ContinueOnError)
	broker, topic := flags.String("broker", "", ""), flags.String("topic", "", "")
	if flags.Parse(args) != nil {
		return errUsage
	}
	var c counted
	if err := readAll(ctx, *broker, *topic, -1, func(p kgo.FetchTopicPartition) error {
		for _, r := range p.Records {
			c.Records++
			c.Bytes += int64(len(r.Value))
		}
		return nil
	}); err != nil {
		return err
	}
	return answerJSON(c)
}

// readAll reads the committed records of all partitions up to the end that is there at the start, or until some records
// more than most were seen, unless that is negative.
func readAll(ctx context.Context, broker, topic string, most int64, take func(kgo.FetchTopicPartition) error) error {
	options := []kgo.Opt{
		kgo.SeedBrokers(broker), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(bareFetch), kgo.FetchMaxPartitionBytes(barePartition),
	}
	left, err := ends(ctx, broker, topic)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for partition := range left {
		from[partition] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(left) > 0 && most != 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading topic %s: %w", topic, err)
		}
		var failed error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return
			}
			failed = errors.Join(failed, take(p))
			if most > 0 {
				most = max(most-int64(len(p.Records)), 0)
			}
			if p.Records[len(p.Records)-1].Offset+1 >= left[p.Partition] {
				delete(left, p.Partition)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// ends are the stable ends of the partitions that hold something.
func ends(ctx context.Context, broker, topic string) (map[int32]int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the ends of topic %s: %w", topic, err)
	}
	out := map[int32]int64{}
	for partition, o := range listed[topic] {
		if o.Offset > 0 {
			out[partition] = o.Offset
		}
	}
	return out, nil
}
