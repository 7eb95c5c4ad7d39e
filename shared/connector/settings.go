package connector

import (
	"cmp"
	"time"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/connector/timestamp"
	"github.com/riftline/riftline/shared/secret"
)

// Source is everything a poll needs to know of a source connector, resolved and checked: what castorm's HTTP source
// takes from its connector file plus riftline's own settings. It holds credentials only as [secret.Value].
type Source struct {
	Name  string
	Topic string

	Request Request
	// Matrix are the request variables of the connector file; each combination is a source partition of its own.
	Matrix []Variable
	// Variables are the values that this source partition has. A run sets them; nil when there are none.
	Variables map[string]string
	Response  Response
	Client    HTTPClient
	// RateLimitShare is riftline.ratelimit.share: the part of each of the API's rate-limit windows that the connector may
	// use, above 0 and up to 1.
	RateLimitShare float64

	// Key are the pointers of the offset property "key", in the order in which their values are joined.
	Key []string
	// Timestamp is the pointer of the offset property "timestamp", empty when there is none.
	Timestamp string
	// TimestampParser reads what Timestamp leads to; nil is castorm's default.
	TimestampParser timestamp.Parser
	// Offset are the pointers of the other offset properties, by name.
	Offset map[string]string
	// Initial is http.offset.initial: the offset properties before anything was published.
	Initial map[string]string
	// Order is http.response.list.order.direction.
	Order Order
	// KeyFallback allows /puuid in place of a key pointer that no entry has (riftline.key.fallback).
	KeyFallback bool

	Dedupe Dedupe

	KeyConverter   Converter
	ValueConverter Converter
	Registry       Registry
	// ValueFields says which fields are stamped on each record: "auto" or "none" (riftline.value.fields).
	ValueFields string
	// RecordFormat is riftline.record.format.
	RecordFormat RecordFormat

	// ExactlyOnceRequired is false only for exactly.once.support=requested, which allows to publish without transactions
	// where the brokers refuse them.
	ExactlyOnceRequired bool
	// MarkerTopic is riftline.marker.topic; empty means the data topic.
	MarkerTopic string
	// MarkerAge is riftline.marker.age: an absent marker of a younger intent means "not committed".
	MarkerAge time.Duration
	// TopicCreation is nil unless topic.creation.default.* is set.
	TopicCreation *TopicCreation

	Kafka Kafka
}

// UsedVariable is a request variable that a template uses.
type UsedVariable struct {
	Name string
	// Optional is true when the template has a default for it.
	Optional bool
}

// Variable is a request variable with the values of the connector file (riftline.request.variables).
type Variable struct {
	Name   string
	Values []string
}

// Request is how the API is asked. URL, header values, parameters and body are request templates (package template), in
// which text that is none is escaped; [Request.Fill] makes texts of them.
type Request struct {
	// URL may hold a credential in its query, so it is never written whole.
	URL string
	// Method is GET, HEAD, POST, PUT or PATCH.
	Method string
	// Headers are in the order of the file; a value may be a credential.
	Headers []Header
	// Params is the query that is added to the URL as it stands, already encoded ("a=b&c=d"); it may hold a credential.
	Params secret.Value
	// Body is sent with POST, PUT and PATCH only.
	Body secret.Value
	// BareNames says that a template's names without a space are offset properties.
	BareNames bool
	// OffsetNames are the offset properties that the templates among these use, sorted; Variables are the request
	// variables that they use, sorted by name.
	OffsetNames []string
	Variables   []UsedVariable
	// Origins are the schemes, hosts and ports that request variables may lead to ("https://kr.api.riotgames.com:443"):
	// those of the URL with the values of the connector file, and riftline.request.hosts.
	Origins []string
	// Values are what the templates are filled with. A run sets them.
	Values template.Values
	// BasicUser and BasicPassword are used when http.auth.type is Basic.
	BasicUser     string
	BasicPassword secret.Value
}

// Header is one request header.
type Header struct {
	Name  string
	Value secret.Value
}

// Response is how an answer is cut into entries.
type Response struct {
	// ListPointer and RecordPointer are JSON pointers (RFC 6901), except that "/" means the root, as castorm has it.
	ListPointer   string
	RecordPointer string
	// Process and Skip are the status codes whose body is read, and those that count as an answer without entries.
	Process []CodeRange
	Skip    []CodeRange
	// MaxBytes bounds the decompressed body (riftline.response.max.bytes).
	MaxBytes int64
}

// CodeRange is an inclusive range of HTTP status codes.
type CodeRange struct{ From, To int }

// HTTPClient is how the connection to the API is made.
type HTTPClient struct {
	ConnectTimeout time.Duration
	ReadTimeout    time.Duration
	KeepAlive      time.Duration
	MaxIdle        int
	ProxyHost      string
	ProxyPort      int
	ProxyUser      string
	ProxyPassword  secret.Value
	// Keystore is the path of a PKCS#12 file with a client certificate, empty when there is none.
	Keystore         string
	KeystorePassword secret.Value
}

// Mode is how a poll knows what is new (riftline.dedupe after auto was decided).
type Mode string

// The modes of [Dedupe].
const (
	Snapshot  Mode = "snapshot"
	Timestamp Mode = "timestamp"
	None      Mode = "none"
)

// Dedupe is how a poll knows what is new.
type Dedupe struct {
	Mode Mode
	// Ignore are JSON pointers inside an entry that the fingerprint leaves out.
	Ignore []string
	// Keep is how long a key that left a snapshot is remembered.
	Keep time.Duration
	// Tombstones says that a key that left a snapshot is published with a null value and forgotten.
	Tombstones bool
	// NewerOnly is true for castorm's OffsetTimestampRecordFilterFactory: an entry with the cursor's own timestamp counts
	// as published, whatever its key.
	NewerOnly bool
}

// Order is the order of an answer's entries (http.response.list.order.direction). Entries are published from the oldest
// to the newest. The zero value is ImplicitOrder.
type Order string

// The orders of an answer.
const (
	// ImplicitOrder is Descending where the first entry's timestamp is after the last one's, else Ascending.
	ImplicitOrder Order = "IMPLICIT"
	Ascending     Order = "ASC"
	Descending    Order = "DESC"
)

// Converter is a Connect converter that riftline has.
type Converter string

// The converters that are built.
const (
	StringConverter Converter = "org.apache.kafka.connect.storage.StringConverter"
	AvroConverter   Converter = "io.confluent.connect.avro.AvroConverter"
)

// RecordFormat is how keys and values are written (riftline.record.format). The zero value is FormatAuto.
type RecordFormat string

// The formats of records.
const (
	// FormatAuto is FormatCastorm where the subject's latest schema is castorm's envelope, else FormatTyped.
	FormatAuto RecordFormat = "auto"
	// FormatTyped is typed Avro.
	FormatTyped RecordFormat = "typed"
	// FormatCastorm is the key struct and the envelope that castorm's HTTP source writes.
	FormatCastorm RecordFormat = "castorm"
)

// TopicCreation is topic.creation.default.*.
type TopicCreation struct {
	// Partitions and Replication are -1 for the broker's default.
	Partitions  int32
	Replication int16
	Configs     map[string]string
}

// Registry is where schemas are kept. No URL means that none is configured.
type Registry struct {
	URLs     []string
	User     string
	Password secret.Value
	// Token is a bearer token in place of user and password, empty when not given.
	Token secret.Value
	TLS   TLS
	// ValueSubject and KeySubject say what the subjects of values and keys are called.
	ValueSubject, KeySubject SubjectStrategy
}

// SubjectStrategy is the strategy by which a schema's subject is named, as Confluent's serializers have it. The zero value
// is the TopicNameStrategy.
type SubjectStrategy string

// The subject strategies.
const (
	TopicNameStrategy       SubjectStrategy = "TopicNameStrategy"
	RecordNameStrategy      SubjectStrategy = "RecordNameStrategy"
	TopicRecordNameStrategy SubjectStrategy = "TopicRecordNameStrategy"
)

// Subject is the subject of the values, or keys, of a topic whose schema has the full name record.
func (s SubjectStrategy) Subject(topic, record string, key bool) string {
	switch {
	case s == RecordNameStrategy:
		return record
	case s == TopicRecordNameStrategy:
		return topic + "-" + record
	case key:
		return topic + "-key"
	default:
		return topic + "-value"
	}
}

// String implements fmt.Stringer.
func (s SubjectStrategy) String() string { return string(cmp.Or(s, TopicNameStrategy)) }

// Kafka is how the brokers are reached and how the client behaves, from the worker's settings and the connector's
// producer.override.* or consumer.override.*.
type Kafka struct {
	// Brokers are host:port.
	Brokers []string
	// Protocol is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
	Protocol string
	SASL     SASL
	TLS      TLS
	// ClientID is client.id, "riftline-<connector>" unless set.
	ClientID string
	// Client are further properties of the Java client that have a meaning here (linger.ms, batch.size,
	// compression.type, max.request.size, request.timeout.ms, delivery.timeout.ms, transaction.timeout.ms,
	// fetch.max.bytes, max.partition.fetch.bytes, auto.offset.reset, …), by name.
	Client map[string]string
}

// SASL is how the client proves who it is; Mechanism is empty without SASL.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
	Mechanism string
	User      string
	Password  secret.Value
	// Google says that OAUTHBEARER tokens come from Application Default Credentials (Google Managed Kafka).
	Google bool
	// TokenEndpoint, ClientID, ClientSecret and Scope are OAUTHBEARER's client credentials grant.
	TokenEndpoint string
	ClientID      string
	ClientSecret  secret.Value
	Scope         string
}

// TLS is how a server is checked and what certificate the client shows. The zero value trusts the system's roots.
type TLS struct {
	// CA, Certificate and Key are PEM texts; empty when not given.
	CA          string
	Certificate string
	Key         secret.Value
	// SkipHostname is true for an empty ssl.endpoint.identification.algorithm: the chain is checked, the name is not.
	SkipHostname bool
}

// Sink is everything a drain needs to know of a sink connector, resolved and checked: what Confluent's GCS sink takes
// from its connector file plus riftline's own settings.
type Sink struct {
	Name string
	// Topics are the topics by name; none when TopicsRegex is given.
	Topics []string
	// TopicsRegex is topics.regex, which a topic's whole name has to match; empty when Topics are given.
	TopicsRegex string

	Bucket string
	// TopicsDir is topics.dir; blank means no prefix.
	TopicsDir      string
	DirectoryDelim string
	FileDelim      string
	// ZeroPad is filename.offset.zero.pad.width.
	ZeroPad int
	// Codec is avro.codec: null, deflate, snappy or zstandard.
	Codec string
	// Partitioner is the layout below a topic.
	Partitioner Partitioner
	// FlushSize is flush.size, records of a topic-partition per flush.
	FlushSize int
	// FlushBytes is riftline.flush.bytes, what the records of a topic-partition that wait for a flush may have; 0 is off.
	FlushBytes int64
	// RotateIntervalMS is rotate.interval.ms, the time of records that a flush may span; 0 is off. It is 0 for a layout
	// that is not by time.
	RotateIntervalMS int64
	// RotateOnPartitionChange is rotate.file.on.partition.change: with RotateIntervalMS, a record of another encoded
	// partition than the one before makes a flush.
	RotateOnPartitionChange bool
	// RotateScheduleMS is rotate.schedule.interval.ms, the clock's time between flushes, counted from midnight in
	// Timezone; 0 is off.
	RotateScheduleMS int64
	// Timezone is timezone, as Joda-Time knows it.
	Timezone string
	// MaxOpenFiles is partitioner.max.open.files; 0 is off.
	MaxOpenFiles int
	// PartSize is gcs.part.size in bytes: the buffer of a large upload.
	PartSize int
	// FlushOnDrainEnd is riftline.flush.on.drain.end.
	FlushOnDrainEnd bool
	// SchemaChangeRotates is true for riftline.schema.change=rotate.
	SchemaChangeRotates bool
	// SchemaCompatibility is schema.compatibility.
	SchemaCompatibility string
	// MemoryMax is riftline.memory.max.bytes.
	MemoryMax int64
	// NullIgnore is true for behavior.on.null.values=ignore.
	NullIgnore bool
	// Errors is what becomes of records that cannot be archived.
	Errors ErrorPolicy
	// OffsetReset is auto.offset.reset for a genesis without a committed offset: earliest, latest or none.
	OffsetReset string
	// TasksMax is tasks.max, which infra gives the job as its number of tasks.
	TasksMax int

	// CredentialsJSON is gcs.credentials.json or the content of gcs.credentials.path; empty means the workload's own
	// identity.
	CredentialsJSON secret.Value

	ValueConverter Converter
	Registry       Registry
	Kafka          Kafka
}

// The values of schema.compatibility: whether records of another schema than an open file's are projected to it.
const (
	// CompatibilityNone never projects.
	CompatibilityNone = "NONE"
	// CompatibilityBackward projects records of an older version to a newer file's.
	CompatibilityBackward = "BACKWARD"
	// CompatibilityForward projects records of a newer version to an older file's.
	CompatibilityForward = "FORWARD"
	// CompatibilityFull does what CompatibilityBackward does, as in Confluent's sinks.
	CompatibilityFull = "FULL"
)

// The partitioners that are built; DailyPartitioner and HourlyPartitioner are a TimeBasedPartitioner with fixed settings.
const (
	DefaultPartitioner   = "DefaultPartitioner"
	FieldPartitioner     = "FieldPartitioner"
	TimeBasedPartitioner = "TimeBasedPartitioner"
)

// The timestamp extractors of a TimeBasedPartitioner.
const (
	// WallclockExtractor takes the time at which a record is looked at.
	WallclockExtractor = "Wallclock"
	// RecordExtractor takes the timestamp of the Kafka record.
	RecordExtractor = "Record"
	// RecordFieldExtractor takes a field of the value: milliseconds, or a text with milliseconds or an ISO 8601 time.
	RecordFieldExtractor = "RecordField"
)

// Partitioner is which part of a topic's objects a record belongs to.
type Partitioner struct {
	// Class is one of the constants above. No class is the DefaultPartitioner.
	Class string
	// Fields are partition.field.name: paths through nested records, with dots.
	Fields []string
	// DurationMS is partition.duration.ms, the length of a piece of time.
	DurationMS int64
	// PathFormat is path.format, a pattern of Joda-Time.
	PathFormat string
	// Timezone is the zone that pieces of time and the pattern are in.
	Timezone string
	// Extractor is one of the constants above, and TimestampField the field of the RecordFieldExtractor.
	Extractor      string
	TimestampField string
}

// Group is the consumer group that Kafka Connect gives a sink of this name and that a drain goes on with.
func (s Sink) Group() string { return "connect-" + s.Name }
