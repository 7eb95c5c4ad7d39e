package connector

const (
	tlsSetting  = "how the broker is checked and what certificate is shown"
	goTLS       = "Go's TLS has its own safe choice"
	ownProtocol = "set by the protocol that makes a poll exactly once"
	noGroup     = "partitions are dealt out to tasks; there is no group membership"
	ownClient   = "the Go client decides this itself"
)

// sslKeys are what may follow "ssl." in a client's or a registry's properties.
var sslKeys = []entry{
	{key: "truststore.type", def: "JKS", class: Honoured, reason: tlsSetting, check: storeType},
	{key: "truststore.location", class: Honoured, reason: tlsSetting},
	{key: "truststore.password", class: Honoured, reason: "opens the truststore", shape: closed},
	{key: "truststore.certificates", class: Honoured, reason: tlsSetting},
	{key: "keystore.type", def: "JKS", class: Honoured, reason: tlsSetting, check: storeType},
	{key: "keystore.location", class: Honoured, reason: tlsSetting},
	{key: "keystore.password", class: Honoured, reason: "opens the keystore", shape: closed},
	{key: "keystore.certificate.chain", class: Honoured, reason: tlsSetting},
	{key: "keystore.key", class: Honoured, reason: "the client's private key", shape: closed},
	{key: "key.password", class: Honoured, reason: "opens the private key", shape: closed},
	{key: "endpoint.identification.algorithm", def: "https", class: Honoured, reason: "empty: the certificate is checked, the name in it is not", check: hostCheck},
	{key: "protocol", class: Ignored, reason: goTLS},
	{key: "enabled.protocols", class: Ignored, reason: goTLS},
	{key: "cipher.suites", class: Ignored, reason: goTLS},
	{key: "provider", class: Ignored, reason: goTLS},
	{key: "engine.factory.class", class: Refused, reason: notBuilt, check: later()},
	{key: "keymanager.algorithm", class: Ignored, reason: goTLS},
	{key: "trustmanager.algorithm", class: Ignored, reason: goTLS},
	{key: "secure.random.implementation", class: Ignored, reason: goTLS},
}

// clientKeys are the properties that every Kafka client has.
var clientKeys = []entry{
	{key: "bootstrap.servers", class: Honoured, reason: "the brokers", check: brokers},
	{key: "security.protocol", def: "PLAINTEXT", class: Honoured, reason: "how the brokers are reached", check: caseless([]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})},
	{key: "ssl.*", class: Unknown, sub: sslKeys},
	{key: "sasl.mechanism", def: "GSSAPI", class: Honoured, reason: "how riftline says who it is", check: caseless([]string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}, "GSSAPI", "AWS_MSK_IAM")},
	{key: "sasl.jaas.config", class: Honoured, reason: "user and password", shape: jaasShape},
	{key: "sasl.login.callback.handler.class", class: Honoured, reason: "where an OAUTHBEARER token comes from", check: class([]string{"OAuthBearerLoginCallbackHandler", "GcpLoginCallbackHandler"})},
	{key: "sasl.client.callback.handler.class", class: Refused, reason: notBuilt, check: later()},
	{key: "sasl.oauthbearer.token.endpoint.url", class: Honoured, reason: "where OAUTHBEARER tokens are fetched", shape: urlShape, check: httpURL},
	{key: "sasl.oauthbearer.client.credentials.client.id", class: Honoured, reason: "client credentials for the token endpoint"},
	{key: "sasl.oauthbearer.client.credentials.client.secret", class: Honoured, reason: "client credentials for the token endpoint", shape: closed},
	{key: "sasl.oauthbearer.scope", class: Honoured, reason: "scope of the token"},
	{key: "sasl.oauthbearer.*", class: Ignored, reason: "the broker's part, or a detail that the Go client decides itself"},
	{key: "sasl.login.*", class: Ignored, reason: ownClient},
	{key: "sasl.kerberos.*", class: Ignored, reason: "belongs to GSSAPI"},
	{key: "client.id", class: Honoured, reason: "how this client is called in the broker's logs and quotas"},
	{key: "client.rack", class: Honoured, reason: "where this client stands"},
	{key: "client.dns.lookup", class: Ignored, reason: ownClient},
	{key: "request.timeout.ms", class: Honoured, reason: "how long one request may take", check: positive},
	{key: "retry.backoff.ms", class: Honoured, reason: "pause before a request is tried again", check: count},
	{key: "retry.backoff.max.ms", class: Honoured, reason: "longest pause before a request is tried again", check: count},
	{key: "metadata.max.age.ms", class: Honoured, reason: "how long metadata is held", check: positive},
	{key: "connections.max.idle.ms", class: Honoured, reason: "how long an idle connection is kept", check: anyLong},
	{key: "reconnect.backoff.ms", class: Ignored, reason: ownClient, check: count},
	{key: "reconnect.backoff.max.ms", class: Ignored, reason: ownClient, check: count},
	{key: "socket.connection.setup.timeout.ms", class: Honoured, reason: "how long connecting may take", check: positive},
	{key: "socket.connection.setup.timeout.max.ms", class: Ignored, reason: ownClient, check: positive},
	{key: "send.buffer.bytes", class: Ignored, reason: ownClient, check: anyInt},
	{key: "receive.buffer.bytes", class: Ignored, reason: ownClient, check: anyInt},
	{key: "interceptor.classes", class: Ignored, reason: "interceptors are Java classes"},
	{key: "confluent.monitoring.*", class: Ignored, reason: "interceptors are Java classes"},
	{key: "metric.reporters", class: Ignored, reason: "metrics are the run's summary"},
	{key: "metrics.*", class: Ignored, reason: "metrics are the run's summary"},
	{key: "enable.metrics.push", class: Ignored, reason: "metrics are the run's summary"},
	{key: "auto.include.jmx.reporter", class: Ignored, reason: "metrics are the run's summary"},
	{key: "metadata.recovery.*", class: Ignored, reason: ownClient},
	{key: "security.providers", class: Ignored, reason: goTLS},
}

// producerKeys are what may follow "producer.override." on a source.
var producerKeys = append([]entry{
	{key: "acks", def: "all", class: Honoured, reason: ownProtocol, check: choice([]string{"all", "-1"}, "0", "1")},
	{key: "enable.idempotence", def: "true", class: Honoured, reason: ownProtocol, check: mustBe("true")},
	{key: "transactional.id", class: Refused, reason: ownProtocol, check: always("is given by riftline, since it fences overlapping polls", "take it out")},
	{key: "transaction.timeout.ms", class: Honoured, reason: "when the broker gives a dead poll's transaction up", check: whole(1000, maxInt)},
	{key: "linger.ms", class: Honoured, reason: "how long a batch waits for more records", check: count},
	{key: "batch.size", class: Honoured, reason: "bytes of a batch", check: count},
	{key: "compression.type", class: Honoured, reason: "how batches are compressed", check: choice([]string{"none", "gzip", "snappy", "lz4", "zstd"})},
	{key: "compression.gzip.level", class: Ignored, reason: ownClient, check: anyInt},
	{key: "compression.lz4.level", class: Ignored, reason: ownClient, check: anyInt},
	{key: "compression.zstd.level", class: Ignored, reason: ownClient, check: anyInt},
	{key: "max.request.size", class: Honoured, reason: "bytes of the largest batch", check: positive},
	{key: "buffer.memory", class: Honoured, reason: "bytes that may wait to be sent", check: whole(1, 1<<40)},
	{key: "delivery.timeout.ms", class: Honoured, reason: "how long a record may take to be acknowledged", check: positive},
	{key: "max.block.ms", class: Ignored, reason: "every wait ends with the run's deadline", check: anyLong},
	{key: "retries", class: Ignored, reason: "requests are tried again until the deadline", check: count},
	{key: "max.in.flight.requests.per.connection", class: Ignored, reason: ownProtocol, check: positive},
	{key: "partitioner.class", class: Refused, reason: notBuilt, check: later()},
	{key: "partitioner.*", class: Ignored, reason: "records are dealt out by the hash of their key, as Java's default does"},
	{key: "key.serializer", class: Ignored, reason: "key.converter decides"},
	{key: "value.serializer", class: Ignored, reason: "value.converter decides"},
}, clientKeys...)

// consumerKeys are what may follow "consumer.override." on a sink.
var consumerKeys = append([]entry{
	{key: "auto.offset.reset", def: "earliest", class: Honoured, reason: "where a drain begins that finds no committed offset", check: choice([]string{"earliest", "latest", "none"})},
	{key: "isolation.level", def: "read_committed", class: Honoured, reason: "always read_committed: what a poll did not commit is not archived", check: isolation},
	{key: "fetch.max.bytes", class: Honoured, reason: "bytes of one answer", check: positive},
	{key: "max.partition.fetch.bytes", class: Honoured, reason: "bytes of one answer per partition", check: positive},
	{key: "fetch.min.bytes", class: Honoured, reason: "bytes that the broker waits for", check: count},
	{key: "fetch.max.wait.ms", class: Honoured, reason: "how long the broker waits for them", check: count},
	{key: "check.crcs", class: Ignored, reason: "checksums are checked always"},
	{key: "group.id", class: Refused, reason: "the group is connect-<name>, as in Connect", check: always("is given by riftline: the group is connect-<name>, as in Connect", "take it out")},
	{key: "group.instance.id", class: Ignored, reason: noGroup},
	{key: "group.protocol", class: Ignored, reason: noGroup},
	{key: "group.remote.assignor", class: Ignored, reason: noGroup},
	{key: "partition.assignment.strategy", class: Ignored, reason: noGroup},
	{key: "session.timeout.ms", class: Ignored, reason: noGroup},
	{key: "heartbeat.interval.ms", class: Ignored, reason: noGroup},
	{key: "max.poll.records", class: Ignored, reason: "reading is bounded in bytes"},
	{key: "max.poll.interval.ms", class: Ignored, reason: noGroup},
	{key: "default.api.timeout.ms", class: Ignored, reason: "every wait ends with the run's deadline"},
	{key: "enable.auto.commit", class: Ignored, reason: "offsets are committed when their records are durable"},
	{key: "auto.commit.interval.ms", class: Ignored, reason: "offsets are committed when their records are durable"},
	{key: "allow.auto.create.topics", class: Ignored, reason: "a drain creates no topic"},
	{key: "exclude.internal.topics", class: Ignored, reason: "the topics are named"},
	{key: "key.deserializer", class: Ignored, reason: "keys are not archived"},
	{key: "value.deserializer", class: Ignored, reason: "value.converter decides"},
}, clientKeys...)
