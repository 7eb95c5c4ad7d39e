package connector

const (
	byScheduler    = "when a poll runs is the trigger's business"
	noTimestamp    = "no timestamp pointer is given, so nothing is parsed"
	typedRecords   = "records are cut out and typed by riftline itself"
	noProxy        = "no proxy is given"
	noBasic        = "belongs to http.auth.type=Basic"
	requestSetting = "sent with every request"
)

// castormKeys are the keys of com.github.castorm.kafka.connect.http.HttpSourceConnector, 0.8.11, with the defaults of
// its code. Where its README differs, the README's name is an alias.
var castormKeys = []entry{
	{key: "kafka.topic", class: Honoured, required: true, reason: "the topic that records are published to", check: topic},

	{key: "http.request.url", class: Honoured, required: true, reason: "asked at every poll", shape: urlShape, check: requestURL},
	{key: "http.request.method", def: "GET", class: Honoured, reason: "how it is asked", check: choice([]string{"GET", "POST", "PUT", "PATCH", "HEAD"})},
	{key: "http.request.headers", class: Honoured, reason: requestSetting, shape: headerShape, check: headers},
	{key: "http.request.params", class: Honoured, reason: "added to the URL as it stands, already encoded", shape: paramShape, check: paramList},
	{key: "http.request.body", class: Honoured, reason: "sent with POST, PUT and PATCH", shape: closed},
	{key: "http.request.factory", def: "com.github.castorm.kafka.connect.http.request.template.TemplateHttpRequestFactory", class: Ignored, reason: "its default is what riftline does", check: class([]string{"TemplateHttpRequestFactory"})},
	{key: "http.request.template.factory", def: "com.github.castorm.kafka.connect.http.request.template.freemarker.BackwardsCompatibleFreeMarkerTemplateFactory", class: Honoured, reason: "what ${…} in a request means: FreeMarker's interpolations, or itself (NoTemplateFactory)", check: class([]string{"BackwardsCompatibleFreeMarkerTemplateFactory", "FreeMarkerTemplateFactory", "NoTemplateFactory"})},
	{key: "http.offset.initial", class: Honoured, reason: "the offset properties before anything was published", check: offsetPairs},

	{key: "http.timer", def: "com.github.castorm.kafka.connect.timer.AdaptableIntervalTimer", class: Ignored, reason: byScheduler, check: class([]string{"AdaptableIntervalTimer", "FixedIntervalTimer"})},
	{key: "http.timer.interval.millis", alias: "http.throttler.interval.millis", def: "60000", class: Honoured, reason: "infra makes the schedule from it (riftline.schedule wins); the poller itself runs when it is triggered", check: anyLong},
	{key: "http.timer.catchup.interval.millis", alias: "http.throttler.catchup.interval.millis", def: "30000", class: Ignored, reason: byScheduler + "; a poll fetches everything there is", check: anyLong},

	{key: "http.client", def: "com.github.castorm.kafka.connect.http.client.okhttp.OkHttpClient", class: Ignored, reason: "its default is what riftline does", check: class([]string{"OkHttpClient"})},
	{key: "http.client.connection.timeout.millis", def: "2000", class: Honoured, reason: "how long connecting may take", check: whole(1, maxInt)},
	{key: "http.client.read.timeout.millis", def: "2000", class: Honoured, reason: "how long the answer may stay silent", check: whole(1, maxInt)},
	{key: "http.client.ttl.millis", alias: "http.client.connection.ttl.millis", def: "300000", class: Honoured, reason: "how long an idle connection is kept", check: whole(0, 1<<40)},
	{key: "http.client.max-idle", def: "1", class: Honoured, reason: "how many idle connections are kept", check: count},
	{key: "http.client.proxy.host", class: Honoured, reason: "the proxy that requests go through", check: proxyHost},
	{key: "http.client.proxy.port", def: "3128", class: Honoured, reason: "the proxy's port", check: whole(1, 65535)},
	{key: "http.client.proxy.username", class: Honoured, reason: "the proxy's user"},
	{key: "http.client.proxy.password", class: Honoured, reason: "the proxy's password", shape: closed},
	{key: "http.client.keystore", class: Honoured, reason: "a PKCS#12 file with the client's certificate"},
	{key: "http.client.keystore.password", class: Honoured, reason: "opens the keystore", shape: closed},

	{key: "http.auth", def: "com.github.castorm.kafka.connect.http.auth.ConfigurableHttpAuthenticator", class: Honoured, reason: "http.auth.type decides", check: class([]string{"ConfigurableHttpAuthenticator", "NoneHttpAuthenticator", "BasicHttpAuthenticator"})},
	{key: "http.auth.type", def: "NONE", class: Honoured, reason: "how riftline says who it is", check: caseless([]string{"None", "Basic"})},
	{key: "http.auth.user", class: Honoured, reason: noBasic},
	{key: "http.auth.password", class: Honoured, reason: noBasic, shape: closed},

	{key: "http.response.parser", def: "com.github.castorm.kafka.connect.http.response.PolicyHttpResponseParser", class: Ignored, reason: "its default is what riftline does", check: class([]string{"PolicyHttpResponseParser"}, "KvHttpResponseParser")},
	{key: "http.response.policy", def: "com.github.castorm.kafka.connect.http.response.StatusCodeHttpResponsePolicy", class: Ignored, reason: "its default is what riftline does", check: class([]string{"StatusCodeHttpResponsePolicy"})},
	{key: "http.response.policy.parser", def: "com.github.castorm.kafka.connect.http.response.KvHttpResponseParser", class: Ignored, reason: "its default is what riftline does", check: class([]string{"KvHttpResponseParser"})},
	{key: "http.response.policy.codes.process", def: "200..299", class: Honoured, reason: "status codes whose body is read", check: codes},
	{key: "http.response.policy.codes.skip", def: "300..399", class: Honoured, reason: "status codes that count as an answer without entries", check: codes},
	{key: "http.response.record.parser", def: "com.github.castorm.kafka.connect.http.response.jackson.JacksonKvRecordHttpResponseParser", class: Ignored, reason: typedRecords, check: class([]string{"JacksonKvRecordHttpResponseParser"})},
	{key: "http.response.record.mapper", alias: "http.record.mapper", def: "com.github.castorm.kafka.connect.http.record.SchemedKvSourceRecordMapper", class: Honoured, reason: "riftline.record.format decides: typed Avro, or castorm's text in an envelope", check: class([]string{"SchemedKvSourceRecordMapper"}, "StringKvSourceRecordMapper")},
	{key: "http.response.list.pointer", def: "/", class: Honoured, reason: "where the entries are in the answer; \"/\" is the whole", check: pointer},
	{key: "http.response.record.pointer", def: "/", class: Honoured, reason: "which part of an entry is the record; \"/\" is the whole", check: pointer},
	{key: "http.response.record.offset.pointer", class: Honoured, reason: "\"key\" is the record's key, \"timestamp\" its timestamp; other names are for request templates", check: offsetPointers},
	{key: "http.response.record.key.pointer", class: Honoured, reason: "deprecated in castorm, and wins over key=… in the offset pointer; several are joined with \"+\"", check: pointerList},
	{key: timestampKey + ".pointer", class: Honoured, reason: "deprecated in castorm, and wins over timestamp=… in the offset pointer", check: pointer},
	{key: timestampKey + ".parser", def: "com.github.castorm.kafka.connect.http.response.timestamp.EpochMillisOrDelegateTimestampParser", class: Honoured, reason: "how timestamps are read"},
	{key: timestampKey + ".parser.delegate", def: "com.github.castorm.kafka.connect.http.response.timestamp.DateTimeFormatterTimestampParser", class: Honoured, reason: "belongs to the timestamp parser"},
	{key: timestampKey + ".parser.pattern", def: "yyyy-MM-dd'T'HH:mm:ss[.SSS]X", class: Honoured, reason: "belongs to the timestamp parser"},
	{key: timestampKey + ".parser.zone", def: "UTC", class: Honoured, reason: "belongs to the timestamp parser"},
	{key: timestampKey + ".parser.regex", def: ".*", class: Honoured, reason: "belongs to the timestamp parser"},
	{key: timestampKey + ".parser.regex.delegate", def: "com.github.castorm.kafka.connect.http.response.timestamp.DateTimeFormatterTimestampParser", class: Honoured, reason: "belongs to the timestamp parser"},

	{key: "http.record.sorter", def: "com.github.castorm.kafka.connect.http.record.OrderDirectionSourceRecordSorter", class: Ignored, reason: "its default is what riftline does", check: class([]string{"OrderDirectionSourceRecordSorter"})},
	{key: "http.response.list.order.direction", def: "IMPLICIT", class: Honoured, reason: "entries are published from the oldest to the newest; IMPLICIT compares the first timestamp with the last", check: caseless([]string{"IMPLICIT", "ASC", "DESC"})},
	{key: "http.record.filter.factory", def: "com.github.castorm.kafka.connect.http.record.OffsetRecordFilterFactory", class: Honoured, reason: "what of a log is new, where riftline.dedupe is timestamp; Passthrough publishes every answer", check: class([]string{"OffsetRecordFilterFactory", "OffsetTimestampRecordFilterFactory", passthrough})},
	{key: "http.record.schema.key.property.name", class: Ignored, reason: "castorm's README has it, its code does not"},
	{key: "http.record.schema.value.property.name", class: Ignored, reason: "castorm's README has it, its code does not"},
}
