package connector

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/riftline/riftline/shared/secret"
)

// Sink returns the typed settings of a sink connector, its references resolved by r; everything that [Connector.Source]
// says of credentials and errors holds here too.
func (c Connector) Sink(ctx context.Context, w Worker, r *secret.Resolver, o CheckOptions) (Sink, error) {
	if c.Kind != SinkKind {
		return Sink{}, fmt.Errorf("connector %s is a %s, not a sink: %w", c.Name, c.Kind, errKind)
	}
	e := c.start(ctx, w, r, o)
	s := Sink{
		Name:                c.Name,
		Topics:              commaList(e.text("topics")),
		TopicsRegex:         e.values["topics.regex"],
		Bucket:              e.text("gcs.bucket.name"),
		TopicsDir:           e.text("topics.dir"),
		DirectoryDelim:      e.filled("directory.delim"),
		FileDelim:           e.filled("file.delim"),
		ZeroPad:             e.int("filename.offset.zero.pad.width"),
		Codec:               e.filled("avro.codec"),
		Partitioner:         e.partitioner(),
		FlushSize:           e.int("flush.size"),
		FlushBytes:          e.long("riftline.flush.bytes"),
		RotateScheduleMS:    max(e.long("rotate.schedule.interval.ms"), 0),
		Timezone:            e.values["timezone"],
		MaxOpenFiles:        max(e.int("partitioner.max.open.files"), 0),
		PartSize:            e.int("gcs.part.size"),
		FlushOnDrainEnd:     e.bool("riftline.flush.on.drain.end"),
		SchemaChangeRotates: e.filled("riftline.schema.change") == "rotate",
		SchemaCompatibility: compatibility(e.filled("schema.compatibility")),
		MemoryMax:           e.long("riftline.memory.max.bytes"),
		NullIgnore:          strings.EqualFold(e.values["behavior.on.null.values"], "ignore"),
		Errors:              e.errorPolicy(),
		OffsetReset:         "earliest",
		TasksMax:            e.int("tasks.max"),
		CredentialsJSON:     e.archiveCredentials(),
		ValueConverter:      e.converters.value,
		Registry:            e.registry,
		Kafka:               e.kafka,
	}
	if interval := e.long("rotate.interval.ms"); interval > 0 && s.Partitioner.Class == TimeBasedPartitioner {
		s.RotateIntervalMS, s.RotateOnPartitionChange = interval, e.bool("rotate.file.on.partition.change")
	}
	if reset := e.kafka.Client["auto.offset.reset"]; reset != "" {
		s.OffsetReset = reset
	}
	return s, e.invalid()
}

// compatibility is what Confluent's sink makes of schema.compatibility; every other text is NONE there.
func compatibility(text string) string {
	for _, known := range []string{CompatibilityBackward, CompatibilityForward, CompatibilityFull} {
		if strings.EqualFold(text, known) {
			return known
		}
	}
	return CompatibilityNone
}

// archiveCredentials are gcs.credentials.json, else what is in the file of gcs.credentials.path, else none.
func (e *examination) archiveCredentials() secret.Value {
	const pathKey = "gcs.credentials.path"
	if e.skipped(pathKey) {
		return secret.Value{}
	}
	if e.has("gcs.credentials.json") {
		return e.secret("gcs.credentials.json")
	}
	path := e.values[pathKey]
	if path == "" {
		return secret.Value{}
	}
	f, err := os.Open(path)
	if err != nil {
		e.fail(pathKey, "cannot be opened: "+plainError(err), "give the path of a key file that this process can read, or leave it out")
		return secret.Value{}
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, largest))
	if err != nil {
		e.fail(pathKey, "cannot be read: "+plainError(err), "give the path of a key file that this process can read, or leave it out")
		return secret.Value{}
	}
	e.resolver.Hide(string(data))
	if f := credentialsJSON(given{text: string(data)}); f.text != "" {
		e.fail(pathKey, "leads to a file that "+f.text, "give the path of a service account's key file")
		return secret.Value{}
	}
	return secret.New(string(data))
}
