package connector

import (
	"strings"
	"testing"
)

// The keys that users of the two connectors may have, as their documentation and code list them. They stand here once
// more, apart from the tables, so that one that falls out of a table is missed.
const (
	connectDocumented = `name connector.class tasks.max key.converter value.converter header.converter
		key.converter.schema.registry.url value.converter.schema.registry.url value.converter.schemas.enable
		transforms transforms.rename.type predicates predicates.p.type
		errors.tolerance errors.retry.timeout errors.retry.delay.max.ms errors.log.enable errors.log.include.messages
		config.action.reload`

	sourceDocumented = `topic.creation.default.replication.factor topic.creation.default.partitions
		topic.creation.default.cleanup.policy topic.creation.groups topic.creation.fast.include
		producer.override.linger.ms exactly.once.support transaction.boundary transaction.boundary.interval.ms
		offsets.storage.topic
		kafka.topic http.request.url http.request.method http.request.headers http.request.params http.request.body
		http.request.factory http.request.template.factory http.offset.initial http.timer http.timer.interval.millis
		http.timer.catchup.interval.millis http.throttler.interval.millis http.throttler.catchup.interval.millis
		http.client http.client.connection.timeout.millis http.client.read.timeout.millis http.client.ttl.millis
		http.client.connection.ttl.millis http.client.max-idle http.client.proxy.host http.client.proxy.port
		http.client.proxy.username http.client.proxy.password http.client.keystore http.client.keystore.password
		http.auth http.auth.type http.auth.user http.auth.password http.response.parser http.response.policy
		http.response.policy.parser http.response.policy.codes.process http.response.policy.codes.skip
		http.response.record.parser http.response.record.mapper http.response.list.pointer http.response.record.pointer
		http.response.record.offset.pointer http.response.record.key.pointer http.response.record.timestamp.pointer
		http.response.record.timestamp.parser http.response.record.timestamp.parser.delegate
		http.response.record.timestamp.parser.pattern http.response.record.timestamp.parser.zone
		http.response.record.timestamp.parser.regex http.response.record.timestamp.parser.regex.delegate
		http.record.sorter http.response.list.order.direction http.record.filter.factory
		http.record.schema.key.property.name http.record.schema.value.property.name
		riftline.dedupe riftline.dedupe.ignore riftline.dedupe.keep riftline.tombstones riftline.key.fallback
		riftline.record.format riftline.value.schema riftline.value.fields riftline.request.variables
		riftline.request.hosts riftline.pagination riftline.pagination.param riftline.pagination.start
		riftline.pagination.size riftline.pagination.size.param riftline.pagination.pointer
		riftline.pagination.max.pages riftline.response.max.bytes riftline.ratelimit.share riftline.chain.from
		riftline.chain.variables riftline.marker.topic riftline.marker.age`

	sinkDocumented = `topics topics.regex consumer.override.fetch.max.bytes admin.override.client.id
		errors.deadletterqueue.topic.name errors.deadletterqueue.topic.replication.factor
		errors.deadletterqueue.context.headers.enable
		format.class flush.size rotate.interval.ms rotate.schedule.interval.ms schema.cache.size
		enhanced.avro.schema.support connect.meta.data allow.optional.map.keys retry.backoff.ms shutdown.timeout.ms
		filename.offset.zero.pad.width avro.codec parquet.codec schema.compatibility gcs.bucket.name gcs.part.size
		gcs.part.retries gcs.retry.backoff.ms gcs.credentials.path gcs.credentials.json gcs.credentials.provider.class
		gcs.proxy.url gcs.proxy.user gcs.proxy.password gcs.compression.type gcs.compression.level
		format.bytearray.extension format.bytearray.separator json.decimal.format behavior.on.null.values
		report.null.values.to.dlq store.kafka.keys store.kafka.headers keys.format.class headers.format.class
		tombstone.encoded.partition max.write.duration.ms rotate.file.on.partition.change partitioner.max.open.files
		enable.conditional.writes max.files.scan.limit storage.class topics.dir store.url directory.delim file.delim
		partitioner.class partition.field.name partition.duration.ms path.format locale timezone timestamp.extractor
		timestamp.field schema.generator.class confluent.license confluent.topic.bootstrap.servers
		confluent.topic.replication.factor confluent.topic.sasl.jaas.config kafka.auth.mode kafka.service.account.id
		gcs.credentials.config input.data.format output.data.format time.interval schema.context.name
		subject.name.strategy
		riftline.flush.on.drain.end riftline.schema.change riftline.flush.bytes riftline.memory.max.bytes`

	riftlineDocumented = `riftline.schedule riftline.schedule.timezone riftline.trigger riftline.paused`
)

func documented(kind Kind) []string {
	all := connectDocumented + " " + riftlineDocumented + " "
	if kind == SinkKind {
		return strings.Fields(all + sinkDocumented)
	}
	return strings.Fields(all + sourceDocumented)
}

func TestEveryDocumentedKeyIsClassified(t *testing.T) {
	for _, kind := range []Kind{SourceKind, SinkKind} {
		for _, key := range documented(kind) {
			m, ok := find(kind, key)
			if !ok || m.unknownIn != "" {
				t.Errorf("a %s does not know %s", kind, key)
				continue
			}
			if m.class == Unknown || m.class == 0 {
				t.Errorf("%s of a %s has the class %v", key, kind, m.class)
			}
		}
	}
}

func TestTheTablesAreSound(t *testing.T) {
	for _, kind := range []Kind{SourceKind, SinkKind} {
		for _, tables := range [][][]entry{tableOf(kind), {converterKeys}, {producerKeys}, {consumerKeys}, {sslKeys}} {
			seen := map[string]bool{}
			for _, table := range tables {
				for _, e := range table {
					for _, name := range []string{e.key, e.alias} {
						if name != "" && seen[name] {
							t.Errorf("%s stands in the tables of a %s twice", name, kind)
						}
						seen[name] = true
					}
					checkEntry(t, e)
				}
			}
		}
	}
}

func checkEntry(t *testing.T, e entry) {
	t.Helper()
	_, family := e.family()
	if e.class == 0 {
		t.Errorf("%s has no class", e.key)
	}
	if e.sub != nil && !family {
		t.Errorf("%s has members and is no family", e.key)
	}
	if e.sub != nil {
		return
	}
	reason := e.reason
	if e.check != nil {
		shown := given{text: e.def, show: quote(e.def), raw: e.def}
		f := e.check(shown)
		reason += f.reason
		// GSSAPI and JKS are defaults of the Java client that are not built: then the key has to be given.
		if e.def != "" && f.severity == Error && e.def != "GSSAPI" && e.def != "JKS" {
			t.Errorf("%s refuses its own default %q: %s", e.key, e.def, f.text)
		}
		// Whatever a check gets, it has to say something or nothing, and not to fail.
		for _, text := range []string{"", "x", "-1", "0", "1", "99999999999999999999", "true", "${offset.x}", "=,=", ":", "\x00", strings.Repeat("ü", 500)} {
			f := e.check(given{text: text, show: quote(text), raw: text})
			if f.severity == Error && (f.text == "" || f.suggestion == "") {
				t.Errorf("%s=%q: an error without text or suggestion: %+v", e.key, text, f)
			}
			if f.severity == Error && f.class != Refused {
				t.Errorf("%s=%q: an error, and the class %v", e.key, text, f.class)
			}
			if len(f.text) > 400 {
				t.Errorf("%s: a message of %d bytes", e.key, len(f.text))
			}
		}
	}
	if reason == "" {
		t.Errorf("%s gives no reason", e.key)
	}
}

// TestNotBuiltIsRefused has the values that would change results and are not built. None may pass in silence.
func TestNotBuiltIsRefused(t *testing.T) {
	for key, values := range map[string][]string{
		"http.request.url":                                {"https://h/${offset.timestamp}", "https://h/${offset.x?upper_case}", "https://${offset.key!\"x\"}.h/"},
		"http.request.headers":                            {"A: ${offset.key}"},
		"http.client.proxy.host":                          {"http://proxy", "user:password@proxy", "proxy:8080", "proxy/x", "a b"},
		"http.request.params":                             {"a=${timestamp?datetime.iso}"},
		"http.request.body":                               {`<#if offset.x>`, "#{offset.x}"},
		"http.response.record.timestamp.parser":           {"com.example.Own", "com.github.castorm.kafka.connect.http.response.timestamp.RegexTimestampParser2"},
		"http.response.record.timestamp.parser.pattern":   {"yyyy-MM-dd Q", "HH:mm"},
		"http.response.record.timestamp.parser.zone":      {"Mars/Olympus"},
		"http.response.record.mapper":                     {"com.github.castorm.kafka.connect.http.record.StringKvSourceRecordMapper"},
		"http.response.parser":                            {"com.github.castorm.kafka.connect.http.response.KvHttpResponseParser"},
		"http.response.list.order.direction":              {"UP"},
		"http.record.filter.factory":                      {"com.example.Own"},
		"key.converter":                                   {"org.apache.kafka.connect.json.JsonConverter"},
		"value.converter":                                 {"org.apache.kafka.connect.json.JsonConverter", "org.apache.kafka.connect.storage.StringConverter", "com.example.Own"},
		"value.converter.auto.register.schemas":           {"false"},
		"value.converter.value.subject.name.strategy":     {"com.example.OwnStrategy"},
		"value.converter.bearer.auth.credentials.source":  {"OAUTHBEARER", "CUSTOM"},
		"value.converter.bearer.auth.issuer.endpoint.url": {"https://idp"},
		"transforms":                                      {"rename"},
		"transforms.rename.type":                          {"x"},
		"predicates":                                      {"p"},
		"errors.tolerance":                                {"all"},
		"transaction.boundary":                            {"interval"},
		"topic.creation.groups":                           {"fast"},
		"producer.override.transactional.id":              {"mine"},
		"producer.override.acks":                          {"1", "0"},
		"producer.override.enable.idempotence":            {"false"},
		"producer.override.partitioner.class":             {"com.example.Own"},
		"riftline.dedupe":                                 {"timestamp", "sometimes"},
		"riftline.tombstones":                             {"perhaps"},
		"riftline.record.format":                          {"json"},
		"riftline.value.schema":                           {"ladder.avsc"},
		"riftline.request.variables":                      {"platform=kr,euw1", "platform", "a b=c"},
		"riftline.request.hosts":                          {"https://h/path", "[::1]", "user@h"},
		"riftline.pagination":                             {"page"},
		"riftline.ratelimit.share":                        {"0", "1.1", "-0.5", "NaN", "Inf", "half"},
		"riftline.chain.from":                             {"ladder"},
		"riftline.chain.variables":                        {"puuid=/puuid"},
	} {
		refusedIn(t, infra+"challenger.json", key, values)
	}
	for key, values := range map[string][]string{
		"format.class":               {"io.confluent.connect.gcs.format.json.JsonFormat", "io.confluent.connect.gcs.format.bytearray.ByteArrayFormat", "io.confluent.connect.gcs.format.parquet.ParquetFormat"},
		"avro.codec":                 {"bzip2"},
		"schema.compatibility":       {"BACKWARD_TRANSITIVE", "FULL_TRANSITIVE", "yes"},
		"partitioner.class":          {"com.example.Own"},
		"timestamp.extractor":        {"com.example.Own"},
		"behavior.on.null.values":    {"write"},
		"store.kafka.keys":           {"true"},
		"store.kafka.headers":        {"TRUE"},
		"gcs.compression.type":       {"gzip"},
		"gcs.proxy.url":              {"http://proxy"},
		"store.url":                  {"http://minio"},
		"time.interval":              {"HOURLY"},
		"input.data.format":          {"JSON_SR"},
		"consumer.override.group.id": {"mine"},
		"gcs.credentials.config":     {"x"},
		"value.converter":            {"org.apache.kafka.connect.json.JsonConverter"},
	} {
		refusedIn(t, infra+"gcs-sink.json", key, values)
	}
}

func refusedIn(t *testing.T, path, key string, values []string) {
	t.Helper()
	for _, value := range values {
		c := read(t, path)
		c.Config[key] = value
		verdicts, problems := c.Explain(Worker{}, CheckOptions{})
		class := Class(0)
		for _, v := range verdicts {
			if v.Key == key {
				class = v.Class
			}
		}
		errs := problems.Errors()
		if class != Refused || len(errs) == 0 || errs[0].Key != key {
			t.Errorf("%s=%s: class %v, errors %v", key, value, class, errs)
		}
		var err error
		if c.Kind == SourceKind {
			_, err = c.Source(t.Context(), Worker{}, nil, CheckOptions{Local: true})
		} else {
			_, err = c.Sink(t.Context(), Worker{}, nil, CheckOptions{Local: true})
		}
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: a start says %v", key, value, err)
		}
	}
}

// TestDefaultsWrittenOutChangeNothing gives every key the value that it has anyway, as generated files do.
func TestDefaultsWrittenOutChangeNothing(t *testing.T) {
	for _, path := range []string{infra + "challenger.json", infra + "gcs-sink.json"} {
		c := read(t, path)
		for _, table := range tableOf(c.Kind) {
			for _, e := range table {
				if _, family := e.family(); family || e.def == "" || c.Config[e.key] != "" {
					continue
				}
				c.Config[e.key] = e.def
			}
		}
		_, problems := c.Explain(Worker{}, CheckOptions{Strict: true})
		if errs := problems.Errors(); len(errs) > 0 {
			t.Errorf("%s: %v", path, errs)
		}
	}
}

func TestUnknownKeys(t *testing.T) {
	for name, c := range map[string]struct {
		path, key string
		strict    bool
		severity  Severity
		says      string
	}{
		"one letter wrong":              {infra + "gcs-sink.json", "flush.sise", false, Error, "did you mean flush.size?"},
		"two letters missing":           {infra + "gcs-sink.json", "gcs.bucket.nam", false, Error, "did you mean gcs.bucket.name?"},
		"capitals":                      {infra + "gcs-sink.json", "Flush.Size", false, Error, "did you mean flush.size?"},
		"something else":                {infra + "gcs-sink.json", "my.own.note", false, Warning, "not read"},
		"something else, strictly":      {infra + "gcs-sink.json", "my.own.note", true, Error, "not read"},
		"riftline's, misspelt":          {infra + "challenger.json", "riftline.deduplicate", false, Error, "not a key"},
		"riftline's, of the other kind": {infra + "challenger.json", "riftline.flush.bytes", false, Error, "is a key of a sink"},
		"a sink's on a source":          {infra + "challenger.json", "gcs.part.size", false, Warning, "is a key of a sink"},
		"a source's on a sink":          {infra + "gcs-sink.json", "http.request.url", false, Warning, "is a key of a source"},
		"in a family":                   {infra + "challenger.json", "producer.override.no.such.thing", false, Warning, "not known under producer.override.*"},
		"in a family, one letter wrong": {infra + "challenger.json", "producer.override.linger.mss", false, Error, "did you mean producer.override.linger.ms?"},
		"the bare prefix of a family":   {infra + "challenger.json", "producer.override.", true, Error, "not a key"},
	} {
		conn := read(t, c.path)
		conn.Config[c.key] = "hunter2"
		verdicts, problems := conn.Explain(Worker{}, CheckOptions{Strict: c.strict})
		found := false
		for _, p := range problems {
			if p.Key == c.key && p.Severity == c.severity && strings.Contains(p.String(), c.says) {
				found = true
			}
		}
		if !found {
			t.Errorf("%s: %v", name, problems)
		}
		for _, v := range verdicts {
			if v.Key == c.key && (v.Class != Unknown || v.Reason == "" || strings.Contains(v.Value, "hunter2")) {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

func TestAliases(t *testing.T) {
	c := read(t, infra+"challenger.json")
	delete(c.Config, "http.timer.interval.millis")
	c.Config["http.client.connection.ttl.millis"] = "1000"
	c.Config["http.throttler.interval.millis"] = "120000"
	_, problems := c.Explain(Worker{}, CheckOptions{})
	for _, want := range []string{"http.client.connection.ttl.millis is another name of http.client.ttl.millis", "http.throttler.interval.millis is another name"} {
		if !strings.Contains(list(problems), want) {
			t.Errorf("no warning %q in\n%s", want, list(problems))
		}
	}
	s, err := c.Source(t.Context(), Worker{}, nil, CheckOptions{Local: true})
	_ = s
	if err == nil || !strings.Contains(err.Error(), "riot-api-key") {
		t.Errorf("without a reader the reference leads nowhere: %v", err)
	}
	if s.Client.KeepAlive.Milliseconds() != 1000 || c.Interval().Milliseconds() != 120000 {
		t.Errorf("%v, %v", s.Client.KeepAlive, c.Interval())
	}
	c.Config["http.client.ttl.millis"] = "2000"
	if s, _ := c.Source(t.Context(), Worker{}, nil, CheckOptions{Local: true}); s.Client.KeepAlive.Milliseconds() != 2000 {
		t.Errorf("the alias wins: %v", s.Client.KeepAlive)
	}
}

func list(p Problems) string {
	var b strings.Builder
	for _, one := range p {
		b.WriteString(one.String() + "\n")
	}
	return b.String()
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		most int
		want int
	}{
		{"", "", 2, 0}, {"a", "", 2, 1}, {"flush.size", "flush.size", 2, 0}, {"flsh.size", "flush.size", 2, 1},
		{"topic", "topics", 2, 1}, {"kitten", "sitting", 3, 3}, {"kitten", "sitting", 2, 3}, {"abc", "xyz", 5, 3}, {"a", "abcd", 2, 3},
	} {
		if got := distance(c.a, c.b, c.most); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
