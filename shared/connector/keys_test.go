package connector

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of the sink's keys anew")

// sinkKeyTable is where people read what becomes of a sink's keys.
const sinkKeyTable = "gcs-sink-keys.md"

// proof is a key of Confluent's sink and the tests that show what becomes of it, each as folder.Test. later are values
// that are refused as not built yet, separated by blanks.
type proof struct{ key, tests, later string }

const (
	ignored   = "shared/connector.TestIgnoredKeysChangeNothing"
	refused   = "shared/connector.TestNotBuiltIsRefused"
	arrives   = "shared/connector.TestEverySinkSettingArrives"
	golden    = "shared/layout.TestGoldenNames"
	rotation  = "shared/layout.TestRotation"
	unread    = "shared/connector.TestWhatThePartitionerDoesNotReadIsIgnored"
	formatted = "shared/avrofile.TestEveryReaderReadsEveryCodec"
)

// proofs are all keys that a configuration of Confluent's sink may have, in the order of its documentation: Connect's,
// the connector's, those of the storage and the partitioner, and those of its form in Confluent Cloud.
var proofs = []proof{
	{"name", "shared/connector.TestTheUsersSink shared/connector.TestForms", ""},
	{"connector.class", "shared/connector.TestForms", ""},
	{"tasks.max", arrives + " shared/drain.TestFault32TaskCountsOverlap", ""},
	{"topics", arrives + " shared/drain.TestManyTopics", ""},
	{"topics.regex", "shared/connector.TestTopicsByPattern shared/drain.TestManyTopics", ""},
	{"key.converter", ignored, ""},
	{"value.converter", refused + " shared/drain.TestValuesThatCannotBeArchived", "JsonConverter StringConverter ProtobufConverter"},
	{"value.converter.schema.registry.url", "shared/connector.TestRegistry", ""},
	{"header.converter", ignored, ""},
	{"transforms", refused, ""},
	{"predicates", refused, ""},
	{"config.action.reload", ignored, ""},
	{"errors.tolerance", "shared/drain.TestErrorPolicies", ""},
	{"errors.retry.timeout", ignored, ""},
	{"errors.retry.delay.max.ms", ignored, ""},
	{"errors.log.enable", "shared/drain.TestErrorPolicies", ""},
	{"errors.log.include.messages", "shared/drain.TestErrorPolicies", ""},
	{"errors.deadletterqueue.topic.name", "shared/drain.TestDeadLetters shared/connector.TestLayoutsThatAreRefused", ""},
	{"errors.deadletterqueue.topic.replication.factor", "shared/connector.TestErrorPolicy", ""},
	{"errors.deadletterqueue.context.headers.enable", "shared/drain.TestDeadLetters shared/drain.TestDeadLettersWithoutHeaders", ""},
	{"consumer.override.auto.offset.reset", arrives, ""},

	{"format.class", refused + " " + formatted, "JsonFormat ByteArrayFormat ParquetFormat"},
	{"flush.size", rotation + " shared/drain.TestFirstDrainThenNothingThenMore", ""},
	{"rotate.interval.ms", rotation + " shared/drain.TestRotationByRecordTime shared/connector.TestRotationArrives", ""},
	{"rotate.schedule.interval.ms", rotation + " shared/drain.TestRotationBySchedule shared/connector.TestRotationArrives", ""},
	{"rotate.file.on.partition.change", rotation + " shared/drain.TestRotationByRecordTime", ""},
	{"schema.cache.size", ignored, ""},
	{"enhanced.avro.schema.support", ignored, ""},
	{"connect.meta.data", ignored, ""},
	{"allow.optional.map.keys", ignored, ""},
	{"retry.backoff.ms", ignored, ""},
	{"shutdown.timeout.ms", ignored, ""},
	{"filename.offset.zero.pad.width", golden, ""},
	{"avro.codec", formatted + " shared/drain.TestEveryCodec " + golden, "bzip2"},
	{"parquet.codec", ignored, ""},
	{"schema.compatibility", "shared/connector.TestSchemaCompatibilityArrives shared/drain.TestSchemaCompatibility shared/drain.TestSchemasInterleaved", ""},
	{"gcs.bucket.name", arrives, ""},
	{"gcs.part.size", arrives + " shared/drain.TestFault30StreamedObjectIsLargerThanAPart", ""},
	{"gcs.part.retries", ignored, ""},
	{"gcs.retry.backoff.ms", ignored, ""},
	{"gcs.credentials.path", arrives, ""},
	{"gcs.credentials.json", "functions/environment.TestCredentialsThatCannotBeUsed " + arrives, ""},
	{"gcs.credentials.provider.class", ignored, ""},
	{"gcs.proxy.url", refused, "http://proxy:3128"},
	{"gcs.proxy.user", ignored, ""},
	{"gcs.proxy.password", ignored, ""},
	{"gcs.compression.type", refused, "gzip"},
	{"gcs.compression.level", ignored, ""},
	{"format.bytearray.extension", ignored, ""},
	{"format.bytearray.separator", ignored, ""},
	{"json.decimal.format", ignored, ""},
	{"behavior.on.null.values", "shared/drain.TestNullValuesThatAreIgnoredAreRecorded " + refused, "write"},
	{"report.null.values.to.dlq", "shared/connector.TestEveryDocumentedKeyIsClassified", ""},
	{"store.kafka.keys", refused, "true"},
	{"store.kafka.headers", refused, "true"},
	{"keys.format.class", ignored, ""},
	{"headers.format.class", ignored, ""},
	{"tombstone.encoded.partition", ignored, ""},
	{"max.write.duration.ms", ignored, ""},
	{"partitioner.max.open.files", rotation + " shared/drain.TestMaxOpenFiles", ""},
	{"enable.conditional.writes", ignored + " shared/drain.TestFault19ForeignObjectUnderAPlannedName", ""},
	{"max.files.scan.limit", ignored, ""},

	{"storage.class", ignored, ""},
	{"topics.dir", golden + " shared/layout.TestObjectNames", ""},
	{"store.url", refused, "http://minio:9000"},
	{"directory.delim", golden + " shared/drain.TestOtherDelimitersAndNoTopicsDir", ""},
	{"file.delim", golden + " shared/drain.TestOtherDelimitersAndNoTopicsDir", ""},
	{"partitioner.class", golden + " shared/drain.TestFieldLayout shared/drain.TestHourlyLayoutOverDaylightSaving", ""},
	{"partition.field.name", golden + " shared/avrofile.TestFieldsAreRead shared/drain.TestFieldLayout " + unread, ""},
	{"partition.duration.ms", golden + " shared/connector/joda.TestTruncateOverDaylightSaving " + unread, ""},
	{"path.format", golden + " shared/connector/joda.TestPatterns shared/connector/joda.TestPatternsThatAreRefused", ""},
	{"locale", "shared/connector.TestLayoutsArrive shared/connector.TestLayoutsThatAreRefused", ""},
	{"timezone", golden + " shared/connector/joda.TestZones", ""},
	{"timestamp.extractor", golden + " shared/drain.TestWallclockLayout shared/drain.TestHourlyLayoutOverDaylightSaving", ""},
	{"timestamp.field", golden + " shared/connector/joda.TestParse " + unread, ""},
	{"schema.generator.class", ignored, ""},
	{"confluent.license", ignored, ""},
	{"confluent.topic.bootstrap.servers", ignored, ""},
	{"confluent.topic.replication.factor", ignored, ""},
	{"confluent.topic.security.protocol", "shared/connector.TestEveryDocumentedKeyIsClassified", ""},

	{"kafka.auth.mode", ignored, ""},
	{"kafka.service.account.id", ignored, ""},
	{"kafka.api.key", ignored, ""},
	{"kafka.api.secret", ignored, ""},
	{"kafka.endpoint", ignored, ""},
	{"gcs.credentials.config", refused, ""},
	{"input.data.format", refused, "JSON JSON_SR PROTOBUF BYTES STRING"},
	{"output.data.format", refused, "JSON PARQUET BYTES"},
	{"input.key.format", ignored, ""},
	{"time.interval", refused, "HOURLY DAILY"},
	{"schema.context.name", refused, "other"},
	{"subject.name.strategy", "shared/connector.TestSubjectStrategies", ""},
	{"value.subject.name.strategy", "shared/connector.TestSubjectStrategies shared/drain.TestVersionsAreLookedUpInTheRightSubject", ""},
	{"key.subject.name.strategy", ignored, ""},
	{"max.poll.interval.ms", ignored, ""},
	{"max.poll.records", ignored, ""},
}

// TestSinkKeyTable keeps the table true: it is made of what the code says of each key, no key is missing, and every test
// that it names exists.
func TestSinkKeyTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The keys of Confluent's GCS sink\n\n" +
		"What becomes of each key that a configuration of `io.confluent.connect.gcs.GcsSinkConnector` may have, and the test that shows it. " +
		"`riftline validate FILE` says the same of a file of yours. *Honoured*: does here what it does there. *Ignored*: leaving it out changes nothing. " +
		"*Refused*: would change what is written; with such a value the sink does not start. " +
		"riftline's own keys are in the [README](../../README.md#riftlines-own-settings).\n\n" +
		"Made by `go test ./shared/connector -run TestSinkKeyTable -update`.\n\n" +
		"| key | class | unless given | what it means here | values not built yet | shown by |\n| --- | --- | --- | --- | --- | --- |\n")
	seen := map[string]bool{}
	for _, p := range proofs {
		m, ok := find(SinkKind, p.key)
		if !ok || m.unknownIn != "" || m.class == Unknown || m.class == 0 {
			t.Errorf("%s is not known", p.key)
			continue
		}
		if seen[p.key] {
			t.Errorf("%s stands in the table twice", p.key)
		}
		seen[p.key] = true
		b.WriteString(p.row(t, m))
	}
	for _, table := range [][]entry{connectKeys, connectSinkKeys, gcsKeys} {
		for _, e := range table {
			if _, family := e.family(); !family && !seen[e.key] && e.key != "bootstrap.servers" {
				t.Errorf("%s is missing", e.key)
			}
		}
	}
	if *update {
		if err := os.WriteFile(sinkKeyTable, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(sinkKeyTable)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != b.String() {
		t.Errorf("%s is not what the code says: run go test ./shared/connector -run TestSinkKeyTable -update", sinkKeyTable)
	}
}

func (p proof) row(t *testing.T, m match) string {
	t.Helper()
	var later []string
	for _, value := range strings.Fields(p.later) {
		later = append(later, "`"+value+"`")
		f := finding{}
		if m.check != nil {
			f = m.check(given{text: value, show: quote(value), raw: value})
		}
		if f.class != Refused || !strings.Contains(f.text+f.reason+m.reason, notBuilt) && p.key != "value.converter" {
			t.Errorf("%s=%s: %+v", p.key, value, f)
		}
	}
	var tests []string
	for _, name := range strings.Fields(p.tests) {
		folder, test, _ := strings.Cut(name, ".")
		if !testExists(t, folder, test) {
			t.Errorf("%s: there is no test %s in %s", p.key, test, folder)
		}
		tests = append(tests, fmt.Sprintf("[%s](../../%s)", test, folder))
	}
	if len(tests) == 0 {
		t.Errorf("%s: no test shows what becomes of it", p.key)
	}
	reason := m.reason
	if reason == "" && m.check != nil {
		reason = m.check(given{text: m.def, show: quote(m.def), raw: m.def}).reason
	}
	def := ""
	if m.def != "" {
		def = "`" + m.def + "`"
	}
	if m.required {
		def = "required"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", p.key, m.class, def, strings.ReplaceAll(reason, "|", `\|`), strings.Join(later, ", "), strings.Join(tests, ", "))
}

func testExists(t *testing.T, folder, test string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ` + test + `\(t \*testing\.T\)`)
	return slices.ContainsFunc(names, func(name string) bool {
		data, err := os.ReadFile(name)
		return err == nil && declared.Match(data)
	})
}

// TestIgnoredKeysChangeNothing gives each key that is ignored a value of its own.
func TestIgnoredKeysChangeNothing(t *testing.T) {
	base := read(t, infra+"gcs-sink.json")
	want, err := base.Sink(t.Context(), worker, resolver(nil), CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, p := range proofs {
		m, _ := find(SinkKind, p.key)
		if m.class != Ignored || !strings.Contains(p.tests, ignored) {
			if m.class == Ignored && p.tests == ignored {
				t.Errorf("%s is not tried", p.key)
			}
			continue
		}
		at := slices.IndexFunc([]string{"5", "false", "true", "none", "x", m.def}, func(v string) bool {
			return v != m.def && (m.check == nil || m.check(given{text: v, show: quote(v), raw: v}).severity != Error)
		})
		value := cmp.Or([]string{"5", "false", "true", "none", "x", m.def}[max(at, 0)], "x")
		if at < 0 {
			value = m.def
		}
		tried++
		got, err := base.With(map[string]string{p.key: value}).Sink(t.Context(), worker, resolver(nil), CheckOptions{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s=%s: %v\n got %+v\nwant %+v", p.key, value, err, got, want)
		}
	}
	if tried < 30 {
		t.Errorf("only %d keys were tried", tried)
	}
}
