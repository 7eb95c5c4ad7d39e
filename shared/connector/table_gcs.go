package connector

const (
	ownSchemas      = "schemas do not pass through Connect's own types; bodies are the same"
	licence         = "riftline needs no licence and no licence topic"
	ownRetries      = "requests are tried again until the deadline, with back-off"
	noKeysOrHeaders = "keys and headers are not archived"
	otherFormat     = "another format than Avro reads it"
	cloudOnly       = "belongs to Confluent Cloud's connector"
)

// gcsKeys are the keys of io.confluent.connect.gcs.GcsSinkConnector with its defaults, storage-common's included, and
// those that only Confluent Cloud's form of it has.
var gcsKeys = []entry{
	{key: "format.class", class: Honoured, reason: "Avro object container files", check: class([]string{"AvroFormat"}, "JsonFormat", "ByteArrayFormat", "ParquetFormat")},
	{key: "flush.size", class: Honoured, required: true, reason: "records of a topic-partition between two flushes, at most, over all its files", check: positive},
	{key: "rotate.interval.ms", def: "-1", class: Honoured, reason: "the time of records that a flush may span; only with a layout by time", check: anyLong},
	{key: "rotate.schedule.interval.ms", def: "-1", class: Honoured, reason: "the clock's time between flushes, from midnight in timezone on; exactly once all the same", check: anyLong},
	{key: "rotate.file.on.partition.change", def: "true", class: Honoured, reason: "with rotate.interval.ms, whether another encoded partition than before makes a flush", check: boolean},
	{key: "schema.cache.size", alias: "schemas.cache.config", def: "1000", class: Ignored, reason: "all schemas of a run are held", check: anyInt},
	{key: "enhanced.avro.schema.support", def: "true", class: Ignored, reason: ownSchemas, check: boolean},
	{key: "connect.meta.data", def: "true", class: Ignored, reason: "the body of a record is the same; only the schema's text in the file would have connect.* properties more", check: boolean},
	{key: "allow.optional.map.keys", def: "false", class: Ignored, reason: ownSchemas, check: boolean},
	{key: "retry.backoff.ms", def: "5000", class: Ignored, reason: ownRetries, check: anyLong},
	{key: "shutdown.timeout.ms", def: "3000", class: Ignored, reason: "a left-over of Hive", check: anyLong},
	{key: "filename.offset.zero.pad.width", def: "10", class: Honoured, reason: "digits of the offset in an object's name, at least", check: whole(0, 100)},
	{key: "avro.codec", def: "null", class: Honoured, reason: "how the blocks of a file are compressed", check: choice([]string{"null", "deflate", "snappy", "zstandard"}, "bzip2")},
	{key: "parquet.codec", def: "snappy", class: Ignored, reason: otherFormat},
	{key: "schema.compatibility", def: "NONE", class: Honoured, reason: "NONE: records are written under the schema that they came with; BACKWARD and FULL: records of an older version are projected to the file's; FORWARD: those of a newer one", check: schemaCompatibility},

	{key: "gcs.bucket.name", class: Honoured, required: true, reason: "the archive", check: bucketName},
	{key: "gcs.part.size", def: "26214400", class: Honoured, reason: "buffer of a large upload, in bytes; not the size of an object", check: whole(5242880, maxInt)},
	{key: "gcs.part.retries", def: "3", class: Ignored, reason: ownRetries, check: count},
	{key: "gcs.retry.backoff.ms", def: "200", class: Ignored, reason: ownRetries, check: anyLong},
	{key: "gcs.credentials.path", class: Honoured, reason: "a service account's key file for the archive; without one the workload's own identity is used"},
	{key: "gcs.credentials.json", class: Honoured, reason: "a service account's key for the archive; without one the workload's own identity is used", shape: closed, check: credentialsJSON},
	{key: "gcs.credentials.provider.class", def: "io.confluent.connect.gcs.DefaultSinkCredentialsProvider", class: Ignored, reason: "gcs.credentials.json, gcs.credentials.path, else the workload's own identity", check: class([]string{"DefaultSinkCredentialsProvider"})},
	{key: "gcs.proxy.url", class: Refused, reason: notBuilt, shape: urlShape, check: later()},
	{key: "gcs.proxy.user", class: Ignored, reason: "belongs to gcs.proxy.url"},
	{key: "gcs.proxy.password", class: Ignored, reason: "belongs to gcs.proxy.url", shape: closed},
	{key: "gcs.compression.type", def: "none", class: Honoured, reason: "Avro files are compressed by avro.codec", check: caseless([]string{"none"}, "gzip")},
	{key: "gcs.compression.level", def: "-1", class: Ignored, reason: otherFormat, check: anyInt},
	{key: "format.bytearray.extension", def: ".bin", class: Ignored, reason: otherFormat},
	{key: "format.bytearray.separator", class: Ignored, reason: otherFormat},
	{key: "json.decimal.format", def: "BASE64", class: Ignored, reason: otherFormat},
	{key: "behavior.on.null.values", def: "fail", class: Honoured, reason: "fail stops the partition at a record without a value, ignore passes over it", check: caseless([]string{"fail", "ignore"}, "write")},
	{key: "report.null.values.to.dlq", def: "true", class: Honoured, reason: "null values that are ignored go to the dead-letter topic, if one is named and errors.tolerance is all", check: boolean},
	{key: "store.kafka.keys", def: "false", class: Honoured, check: mustBe("false")},
	{key: "store.kafka.headers", def: "false", class: Honoured, check: mustBe("false")},
	{key: "keys.format.class", def: "io.confluent.connect.gcs.format.avro.AvroFormat", class: Ignored, reason: noKeysOrHeaders},
	{key: "headers.format.class", def: "io.confluent.connect.gcs.format.avro.AvroFormat", class: Ignored, reason: noKeysOrHeaders},
	{key: "tombstone.encoded.partition", def: "tombstone", class: Ignored, reason: "belongs to behavior.on.null.values=write"},
	{key: "max.write.duration.ms", def: "9223372036854775807", class: Ignored, reason: "a drain ends by its deadline", check: anyLong},
	{key: "partitioner.max.open.files", def: "-1", class: Honoured, reason: "a record that needs one file more makes a flush first", check: openFiles},
	{key: "enable.conditional.writes", def: "true", class: Ignored, reason: "every object is created under the condition that it is not there yet", check: boolean},
	{key: "max.files.scan.limit", def: "100", class: Ignored, reason: "the position is kept in RIFTLINE_STATE, nothing is searched for", check: anyInt},

	{key: "storage.class", def: "io.confluent.connect.gcs.storage.GcsStorage", class: Ignored, reason: "Google Cloud Storage is the only storage", check: class([]string{"GcsStorage"})},
	{key: "topics.dir", def: "topics", class: Honoured, reason: "first part of an object's name; blank is none"},
	{key: "store.url", class: Refused, reason: notBuilt, shape: urlShape, check: later()},
	{key: "directory.delim", def: "/", class: Honoured, reason: "between the parts of an object's name", check: delimiter},
	{key: "file.delim", def: "+", class: Honoured, reason: "between topic, partition and offset in an object's name", check: fileDelimiter},
	{key: "partitioner.class", def: "io.confluent.connect.storage.partitioner.DefaultPartitioner", class: Honoured, reason: "what the part of an object's name after the topic says", check: class([]string{DefaultPartitioner, FieldPartitioner, TimeBasedPartitioner, dailyPartitioner, hourlyPartitioner})},
	{key: "partition.field.name", class: Honoured, reason: "the fields whose values are in an object's name; nested with dots", check: fieldPaths},
	{key: "partition.duration.ms", def: "-1", class: Honoured, reason: "the length of a piece of time", check: anyLong},
	{key: "path.format", class: Honoured, reason: "how a piece of time is printed: a pattern of Joda-Time, without names of zones", check: pathText},
	{key: "locale", class: Honoured, reason: "names of months and days are English; numbers are the same in every locale"},
	{key: "timezone", class: Honoured, reason: "where pieces of time and the schedule begin", check: timezone},
	{key: "timestamp.extractor", def: WallclockExtractor, class: Honoured, reason: "which time of a record counts", check: extractor},
	{key: "timestamp.field", def: "timestamp", class: Honoured, reason: "the field with a record's time: milliseconds, or text with milliseconds or in ISO 8601", check: fieldPath},
	{key: "schema.generator.class", class: Ignored, reason: "a left-over of Hive"},
	{key: "confluent.license", class: Ignored, reason: licence, shape: closed},
	{key: "confluent.topic.bootstrap.servers", class: Ignored, reason: licence},
	{key: "confluent.topic.replication.factor", class: Ignored, reason: licence, check: anyInt},
	{key: "confluent.*", class: Ignored, reason: licence, shape: closed},

	{key: "kafka.auth.mode", class: Ignored, reason: cloudOnly + "; see consumer.override.*"},
	{key: "kafka.service.account.id", class: Ignored, reason: cloudOnly + "; see consumer.override.*"},
	{key: "kafka.api.key", class: Ignored, reason: cloudOnly + "; see consumer.override.sasl.jaas.config", shape: closed},
	{key: "kafka.api.secret", class: Ignored, reason: cloudOnly + "; see consumer.override.sasl.jaas.config", shape: closed},
	{key: "kafka.endpoint", class: Ignored, reason: cloudOnly + "; see bootstrap.servers"},
	{key: "gcs.credentials.config", class: Refused, reason: cloudOnly, shape: closed, check: always("is Confluent Cloud's name for it", "write gcs.credentials.json")},
	{key: "input.data.format", class: Honoured, reason: "as value.converter", check: choice([]string{"AVRO"}, "JSON", "JSON_SR", "PROTOBUF", "BYTES", "STRING")},
	{key: "output.data.format", class: Honoured, reason: "as format.class", check: choice([]string{"AVRO"}, "JSON", "PARQUET", "BYTES")},
	{key: "input.key.format", class: Ignored, reason: noKeysOrHeaders},
	{key: "time.interval", class: Refused, reason: "asks for the TimeBasedPartitioner: " + notBuilt, check: later()},
	{key: "schema.context.name", def: "default", class: Honoured, reason: "the registry's default context", check: later("default")},
	{key: "subject.name.strategy", class: Honoured, reason: "as value.converter.subject.name.strategy", check: class(subjectStrategies)},
	{key: "value.subject.name.strategy", class: Honoured, reason: "as value.converter.value.subject.name.strategy", check: class(subjectStrategies)},
	{key: "key.subject.name.strategy", class: Ignored, reason: noKeysOrHeaders},
	{key: "max.poll.interval.ms", class: Ignored, reason: cloudOnly + "; there is no group membership to lose"},
	{key: "max.poll.records", class: Ignored, reason: cloudOnly + "; reading is bounded in bytes"},
}
