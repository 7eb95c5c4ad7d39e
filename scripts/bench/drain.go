package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A drain is one run of the sink over a whole topic.
type drain struct {
	topic *topic
	codec string
	// flush is flush.size, the kind's unless given; bucket how the bucket takes the objects, discarding unless given.
	flush  int
	bucket string

	// archive and env are made by prepare.
	archive string
	env     []string
}

// prepare makes the bucket, the connector file and the environment of a sink that has never run.
func (b *bench) prepare(ctx context.Context, d *drain) error {
	b.drains++
	if d.flush == 0 {
		d.flush = d.topic.flush
	}
	if d.bucket == "" {
		d.bucket = discarding
	}
	name := fmt.Sprintf("sink-%d-%d", b.id, b.drains)
	d.archive = d.bucket + strconv.Itoa(b.drains)
	if err := b.makeBucket(ctx, d.archive); err != nil {
		return err
	}
	file, err := json.Marshal(map[string]string{
		"name":            name,
		"connector.class": "io.confluent.connect.gcs.GcsSinkConnector",
		"topics":          d.topic.topic,
		"value.converter": "io.confluent.connect.avro.AvroConverter",
		"gcs.bucket.name": d.archive,
		"flush.size":      strconv.Itoa(d.flush),
		"avro.codec":      d.codec,
		"storage.class":   "io.confluent.connect.gcs.storage.GcsStorage",
		"format.class":    "io.confluent.connect.gcs.format.avro.AvroFormat",
	})
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	d.env = b.env(dir, "RIFTLINE_CONNECTOR="+name)
	return os.WriteFile(filepath.Join(dir, name+".json"), file, 0o600)
}

// env is the environment of a process that has its connector files in a folder.
func (b *bench) env(dir string, more ...string) []string {
	return append([]string{
		"RIFTLINE_CONNECTORS=" + dir, "RIFTLINE_STATE=gs://" + stateBucket + "/riftline", "STORAGE_EMULATOR_HOST=" + b.bucket.url,
		"CONNECT_BOOTSTRAP_SERVERS=" + b.broker.address, "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=" + b.registry.URL(),
	}, more...)
}

// drain runs a sink that has never run over a whole topic, and fails unless every record is archived once.
func (b *bench) drain(ctx context.Context, d drain, command ...string) (usage, error) {
	if err := b.prepare(ctx, &d); err != nil {
		return usage{}, err
	}
	if len(command) == 0 {
		command = []string{b.sink}
	}
	u, err := b.child(ctx, d.env, command, nil)
	if err != nil {
		return u, err
	}
	_, err = b.verify(ctx, d)
	return u, err
}

// verify compares the objects with the topic and empties the bucket.
func (b *bench) verify(ctx context.Context, d drain) ([]stored, error) {
	objects, err := b.objects(ctx, d.archive)
	if err != nil {
		return nil, err
	}
	if err := compare(d, objects); err != nil {
		return nil, fmt.Errorf("the archive of topic %s, codec %s: %w", d.topic.topic, d.codec, err)
	}
	return objects, b.dropBucket(ctx, d.archive)
}

// compare fails unless the objects hold what was produced: as many records in each partition, in the objects that
// flush.size makes, and with the codec null the same bytes in the same order.
func compare(d drain, objects []stored) error {
	slices.SortFunc(objects, func(a, b stored) int { return strings.Compare(a.Name, b.Name) })
	got := make([]digest, d.topic.partitions)
	counts := make([]int, d.topic.partitions)
	for _, o := range objects {
		base := strings.TrimSuffix(o.Name[strings.LastIndexByte(o.Name, '/')+1:], ".avro")
		fields := strings.Split(base, "+")
		if len(fields) != 3 || fields[0] != d.topic.topic {
			return fmt.Errorf("object %s is of no topic that was drained", o.Name)
		}
		partition, err := strconv.Atoi(fields[1])
		if err != nil || partition < 0 || partition >= len(got) {
			return fmt.Errorf("object %s is of no partition that was drained", o.Name)
		}
		if o.Codec != d.codec {
			return fmt.Errorf("object %s has codec %q", o.Name, o.Codec)
		}
		got[partition] = got[partition].join(o.digest)
		counts[partition]++
	}
	for partition, want := range d.topic.content {
		if d.codec != "null" {
			want.Bytes, want.CRC32C = got[partition].Bytes, got[partition].CRC32C
		}
		if got[partition] != want {
			return fmt.Errorf("partition %d has %+v, and %+v was produced", partition, got[partition], want)
		}
		if files := (int(want.Records) + d.flush - 1) / d.flush; counts[partition] != files {
			return fmt.Errorf("partition %d has %d objects, not %d", partition, counts[partition], files)
		}
	}
	return nil
}

// bare runs the consumer that throws records away.
func (b *bench) bare(ctx context.Context, t *topic) (usage, error) {
	var c counted
	u, err := b.child(ctx, nil, b.role("consume", "-broker", b.broker.address, "-topic", t.topic), &c)
	if err == nil && (c.Records != t.records() || c.Bytes != t.valueBytes) {
		err = fmt.Errorf("the bare consumer read %d records of %d bytes, %d of %d were produced", c.Records, c.Bytes, t.records(), t.valueBytes)
	}
	return u, err
}

// reencoded runs the sink that decodes and encodes over a part of a topic, and returns how many records it archived.
func (b *bench) reencoded(ctx context.Context, t *topic, most int64) (usage, int64, error) {
	b.drains++
	archive := discarding + strconv.Itoa(b.drains)
	if err := b.makeBucket(ctx, archive); err != nil {
		return usage{}, 0, err
	}
	u, err := b.child(ctx, []string{"STORAGE_EMULATOR_HOST=" + b.bucket.url}, b.role("reencode", "-broker", b.broker.address, "-topic", t.topic, "-kind", t.name,
		"-bucket", "gs://"+archive, "-most", strconv.FormatInt(most, 10)), nil)
	if err != nil {
		return u, 0, err
	}
	objects, err := b.objects(ctx, archive)
	if err != nil {
		return u, 0, err
	}
	var n int64
	for _, o := range objects {
		n += o.Records
	}
	if n < min(most, t.records()) {
		err = fmt.Errorf("%d records were archived, at least %d were to be", n, most)
	}
	return u, n, errors.Join(err, b.dropBucket(ctx, archive))
}

// ask sends a request to the bucket process that is not Cloud Storage's.
func (b *bench) ask(ctx context.Context, method, path string, query url.Values, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, b.bucket.url+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking the bucket: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("the bucket answered %s %s with %s: %s", method, path, resp.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

func (b *bench) makeBucket(ctx context.Context, name string) error {
	return b.ask(ctx, http.MethodPost, "/bench/bucket", url.Values{"bucket": {name}}, nil)
}

func (b *bench) dropBucket(ctx context.Context, name string) error {
	return b.ask(ctx, http.MethodDelete, "/bench/bucket", url.Values{"bucket": {name}}, nil)
}

func (b *bench) objects(ctx context.Context, name string) (all []stored, err error) {
	return all, b.ask(ctx, http.MethodGet, "/bench/objects", url.Values{"bucket": {name}}, &all)
}
