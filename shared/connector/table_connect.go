package connector

// connectKeys are Kafka Connect's own keys that a source and a sink share.
var connectKeys = []entry{
	{key: "name", class: Honoured, reason: "the connector's name: group, state and file are called after it"},
	{key: "connector.class", class: Honoured, required: true, reason: "says whether this is a source or a sink"},
	{key: "value.converter.*", class: Unknown, sub: converterKeys},
	{key: "header.converter", class: Ignored, reason: "records have no headers of the user's"},
	{key: "header.converter.*", class: Ignored, reason: "records have no headers of the user's"},
	{key: "transforms", class: Refused, reason: "would change every record", check: always("would change every record, and is not built", "take it out, and shape the data where it is read")},
	{key: "transforms.*", class: Refused, reason: "would change every record", check: always("belongs to transforms, which are not built", "take it out")},
	{key: "predicates", class: Refused, reason: "belongs to transforms", check: always("belongs to transforms, which are not built", "take it out")},
	{key: "predicates.*", class: Refused, reason: "belongs to transforms", check: always("belongs to transforms, which are not built", "take it out")},
	{key: "config.action.reload", def: "restart", class: Ignored, reason: "every run reads its references anew, five minutes apart at most", check: caseless([]string{"restart", "none"})},
	{key: "errors.retry.timeout", def: "0", class: Ignored, reason: "what can be tried again is tried again within the run's deadline", check: anyLong},
	{key: "errors.retry.delay.max.ms", def: "60000", class: Ignored, reason: "what can be tried again is tried again within the run's deadline", check: anyLong},
	{key: "bootstrap.servers", class: Honoured, reason: "the brokers; Connect takes them from its worker", check: brokers},
}

// connectSourceKeys are Connect's own keys on a source.
var connectSourceKeys = []entry{
	{key: "tasks.max", def: "1", class: Ignored, reason: "one poll is one task", check: positive},
	{key: "key.converter", class: Honoured, reason: "how keys are written", check: class([]string{"StringConverter", "AvroConverter"}, otherConverters...)},
	{key: "value.converter", class: Honoured, reason: "how values are written", check: class([]string{"AvroConverter"}, append([]string{"StringConverter"}, otherConverters...)...)},
	{key: "key.converter.*", class: Unknown, sub: converterKeys},
	{key: "topic.creation.default.replication.factor", class: Honoured, reason: "for a topic that riftline creates; -1 is the broker's default", check: whole(-1, 32767)},
	{key: "topic.creation.default.partitions", class: Honoured, reason: "for a topic that riftline creates; -1 is the broker's default", check: whole(-1, maxInt)},
	{key: "topic.creation.default.*", class: Honoured, reason: "a setting of a topic that riftline creates"},
	{key: "topic.creation.groups", class: Refused, reason: notBuilt, check: later()},
	{key: "topic.creation.*", class: Refused, reason: "belongs to topic.creation.groups: " + notBuilt, check: later()},
	{key: "exactly.once.support", def: "requested", class: Honoured, reason: "required: a broker or an ACL that allows no transactions is refused; requested: publishes without them there, for a time in which no other run does, and says exactly_once=false", check: caseless([]string{"required", "requested"})},
	{key: "transaction.boundary", def: "poll", class: Honoured, reason: "what a poll publishes, it publishes as one", check: caseless([]string{"poll"}, "interval", "connector")},
	{key: "transaction.boundary.interval.ms", class: Ignored, reason: "belongs to transaction.boundary=interval", check: positive},
	{key: "offsets.storage.topic", class: Ignored, reason: "what is published is remembered in RIFTLINE_STATE, not in a topic"},
	{key: "producer.override.*", class: Unknown, sub: producerKeys},
	{key: "admin.override.*", class: Ignored, reason: "topics are created over the producer's connection"},
}

// connectSinkKeys are Connect's own keys on a sink.
var connectSinkKeys = []entry{
	{key: "tasks.max", def: "1", class: Honoured, reason: "how many tasks the job has; partitions are dealt out to them", check: positive},
	{key: "topics", class: Honoured, reason: "the topics that are archived", check: topicList},
	{key: "topics.regex", class: Honoured, reason: "the topics whose whole name matches when a drain begins, Kafka's own left out", check: pattern},
	{key: "key.converter", class: Ignored, reason: "keys are not archived, so they are not read"},
	{key: "key.converter.*", class: Ignored, reason: "keys are not archived, so they are not read", shape: closed},
	{key: "value.converter", class: Honoured, reason: "how values are read", check: class([]string{"AvroConverter"}, append([]string{"StringConverter"}, otherConverters...)...)},
	{key: "consumer.override.*", class: Unknown, sub: consumerKeys},
	{key: "admin.override.*", class: Ignored, reason: "nothing is administered over Kafka"},
}

var otherConverters = []string{"JsonConverter", "JsonSchemaConverter", "ProtobufConverter", "ByteArrayConverter",
	"DoubleConverter", "FloatConverter", "IntegerConverter", "LongConverter", "ShortConverter", "BooleanConverter", "SimpleHeaderConverter"}

const (
	topicNames   = "io.confluent.kafka.serializers.subject.TopicNameStrategy"
	valueSubject = "the subject of values: <topic>-value, the record's full name, or <topic>-<full name>; a sink looks up versions there, for schema.compatibility"
	keySubject   = "the subject of keys: <topic>-key, the record's full name, or <topic>-<full name>"
)

var subjectStrategies = []string{string(TopicNameStrategy), string(RecordNameStrategy), string(TopicRecordNameStrategy)}

// converterKeys are what may follow "key.converter." and "value.converter.": the settings of the AvroConverter and of
// its registry client.
var converterKeys = []entry{
	{key: "schema.registry.url", class: Honoured, reason: "the schema registry; several are tried in turn", shape: urlShape, check: urlList},
	{key: "basic.auth.credentials.source", alias: "schema.registry.basic.auth.credentials.source", def: "URL", class: Honoured, reason: "where the registry's user and password stand", check: caseless([]string{"USER_INFO", "URL", "SASL_INHERIT"})},
	{key: "basic.auth.user.info", alias: "schema.registry.basic.auth.user.info", class: Honoured, reason: "user:password for the registry", shape: closed},
	{key: "sasl.jaas.config", class: Honoured, reason: "user and password for the registry, with basic.auth.credentials.source=SASL_INHERIT", shape: jaasShape},
	{key: "bearer.auth.credentials.source", alias: "schema.registry.bearer.auth.credentials.source", class: Honoured, reason: "where the registry's bearer token stands", check: caseless([]string{"STATIC_TOKEN"}, "OAUTHBEARER", "SASL_OAUTHBEARER_INHERIT", "CUSTOM")},
	{key: "bearer.auth.token", alias: "schema.registry.bearer.auth.token", class: Honoured, reason: "a bearer token for the registry", shape: closed},
	{key: "bearer.auth.*", class: Refused, reason: notBuilt, shape: closed, check: later()},
	{key: "schema.registry.bearer.auth.*", class: Refused, reason: notBuilt, shape: closed, check: later()},
	{key: "schema.registry.ssl.*", class: Unknown, sub: sslKeys},
	{key: "proxy.host", class: Refused, reason: notBuilt, check: later()},
	{key: "proxy.port", class: Ignored, reason: "belongs to proxy.host", check: anyInt},
	{key: "auto.register.schemas", def: "true", class: Honoured, reason: "a new schema is registered", check: mustBe("true")},
	{key: "use.latest.version", def: "false", class: Honoured, reason: "the schema is the subject's latest, widened where the data asks for it", check: mustBe("false")},
	{key: "value.subject.name.strategy", def: topicNames, class: Honoured, reason: valueSubject, check: class(subjectStrategies)},
	{key: "key.subject.name.strategy", def: topicNames, class: Honoured, reason: keySubject, check: class(subjectStrategies)},
	{key: "subject.name.strategy", class: Honoured, reason: "what subjects are called, where nothing is said of keys or values alone", check: class(subjectStrategies)},
	{key: "enhanced.avro.schema.support", def: "false", class: Ignored, reason: "schemas do not pass through Connect's own types"},
	{key: "connect.meta.data", def: "true", class: Ignored, reason: "schemas do not pass through Connect's own types"},
	{key: "schemas.cache.config", alias: "schemas.cache.size", def: "1000", class: Ignored, reason: "all schemas of a run are held"},
	{key: "max.schemas.per.subject", def: "1000", class: Ignored, reason: "all schemas of a run are held"},
	{key: "schemas.enable", class: Ignored, reason: "belongs to the JsonConverter"},
	{key: "normalize.schemas", def: "false", class: Ignored, reason: "schemas are written in one form only"},
	{key: "latest.compatibility.strict", def: "true", class: Ignored, reason: "the registry's answer decides"},
	{key: "discard.type.doc.default", class: Ignored, reason: "schemas do not pass through Connect's own types"},
	{key: "allow.optional.map.keys", class: Ignored, reason: "schemas do not pass through Connect's own types"},
	{key: "generalized.sum.type.support", class: Ignored, reason: "schemas do not pass through Connect's own types"},
	{key: "scrub.invalid.names", class: Ignored, reason: "names are made valid always"},
	{key: "converter.type", class: Ignored, reason: "follows from key.converter and value.converter"},
	{key: "converter.encoding", class: Ignored, reason: "text is UTF-8"},
}
