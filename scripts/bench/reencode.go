package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
)

// blockRecords is about how many small records fill a block of the usual size; large ones get a block for each few.
const blockBytes = 256 << 10

// reencode is the role "reencode": what a sink does that decodes each record and encodes it again. goavro decodes and
// writes the container files, in memory; they are uploaded as the drain's are, while the next ones are made. Partitions
// are worked on in parallel.
func reencode(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("reencode", flag.ContinueOnError)
	broker, topic := flags.String("broker", "", ""), flags.String("topic", "", "")
	kindName, url := flags.String("kind", "", ""), flags.String("bucket", "", "")
	codec := flags.String("codec", goavro.CompressionNullLabel, "")
	most := flags.Int64("most", -1, "")
	if flags.Parse(args) != nil {
		return errUsage
	}
	client, err := bucket.NewClient(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	to, err := bucket.Open(client, *url)
	if err != nil {
		return err
	}
	e := &reencoder{kind: kinds[*kindName], codec: *codec, topic: *topic, to: to, parts: map[int32]*reencoded{}, sending: make(chan struct{}, 4)}
	err = readAll(ctx, *broker, *topic, *most, func(p kgo.FetchTopicPartition) error { return e.take(ctx, p) })
	return errors.Join(err, e.end(ctx))
}

type reencoder struct {
	kind
	codec, topic string
	to           *bucket.Bucket
	parts        map[int32]*reencoded
	// sending bounds the uploads that go on beside the encoding.
	sending chan struct{}
	uploads sync.WaitGroup

	mu     sync.Mutex
	failed error
}

// reencoded is the work on one partition.
type reencoded struct {
	number int32
	codec  *goavro.Codec
	in     chan []*kgo.Record
	done   chan struct{}

	file  *bytes.Buffer
	ocf   *goavro.OCFWriter
	first int64
	count int
	block []any
	bytes int
}

func (e *reencoder) take(ctx context.Context, p kgo.FetchTopicPartition) error {
	part := e.parts[p.Partition]
	if part == nil {
		codec, err := goavro.NewCodec(e.schema)
		if err != nil {
			return err
		}
		part = &reencoded{number: p.Partition, codec: codec, in: make(chan []*kgo.Record), done: make(chan struct{})}
		e.parts[p.Partition] = part
		go func() {
			defer close(part.done)
			for records := range part.in {
				e.fail(e.encode(ctx, part, records))
			}
			e.fail(e.close(ctx, part))
		}()
	}
	part.in <- p.Records
	return e.failure()
}

func (e *reencoder) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = errors.Join(e.failed, err)
}

func (e *reencoder) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

func (e *reencoder) encode(ctx context.Context, p *reencoded, records []*kgo.Record) error {
	for _, r := range records {
		if r.Attrs.IsControl() {
			continue
		}
		native, rest, err := p.codec.NativeFromBinary(r.Value[5:])
		if err == nil && len(rest) > 0 {
			err = errors.New("bytes are left")
		}
		if err != nil {
			return fmt.Errorf("decoding offset %d of %s/%d: %w", r.Offset, e.topic, p.number, err)
		}
		if p.ocf == nil {
			p.file, p.first, p.count = &bytes.Buffer{}, r.Offset, 0
			if p.ocf, err = goavro.NewOCFWriter(goavro.OCFConfig{W: p.file, Codec: p.codec, CompressionName: e.codec}); err != nil {
				return err
			}
		}
		p.block, p.bytes = append(p.block, native), p.bytes+len(r.Value)
		if p.bytes >= blockBytes {
			if err := p.flushBlock(); err != nil {
				return err
			}
		}
		if p.count++; p.count == e.flush {
			if err := e.close(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *reencoded) flushBlock() error {
	if len(p.block) == 0 {
		return nil
	}
	err := p.ocf.Append(p.block)
	clear(p.block)
	p.block, p.bytes = p.block[:0], 0
	return err
}

// close ends the file and uploads it.
func (e *reencoder) close(ctx context.Context, p *reencoded) error {
	if p.ocf == nil {
		return nil
	}
	err := p.flushBlock()
	data, name := p.file.Bytes(), fmt.Sprintf("topics/%s/partition=%d/%s+%d+%010d.avro", e.topic, p.number, e.topic, p.number, p.first)
	p.ocf, p.file = nil, nil
	if err != nil {
		return err
	}
	e.sending <- struct{}{}
	e.uploads.Go(func() {
		defer func() { <-e.sending }()
		_, err := e.to.Put(ctx, name, data, bucket.PutOptions{ContentType: "application/avro"})
		e.fail(err)
	})
	return nil
}

func (e *reencoder) end(context.Context) error {
	for _, p := range e.parts {
		close(p.in)
		<-p.done
	}
	e.uploads.Wait()
	return e.failure()
}
