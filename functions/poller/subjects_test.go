package poller

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/riftline/riftline/shared/poll"
)

// TestSubjectStrategies: schemas are registered under the subjects that the strategies name, typed records and castorm's.
func TestSubjectStrategies(t *testing.T) {
	t.Parallel()
	const strategy = "io.confluent.kafka.serializers.subject."
	for name, tt := range map[string]struct {
		environ []string
		want    []string
	}{
		"topic":        {nil, []string{"challenger-key", "challenger-value"}},
		"record":       {[]string{"CONNECT_VALUE_CONVERTER_VALUE_SUBJECT_NAME_STRATEGY=" + strategy + "RecordNameStrategy"}, []string{"challenger", "challenger-key"}},
		"topic record": {[]string{"CONNECT_VALUE_CONVERTER_VALUE_SUBJECT_NAME_STRATEGY=" + strategy + "TopicRecordNameStrategy", "CONNECT_KEY_CONVERTER_KEY_SUBJECT_NAME_STRATEGY=" + strategy + "RecordNameStrategy"}, []string{"challenger-challenger", "com.github.castorm.kafka.connect.http.Key"}},
		"castorm's": {[]string{"CONNECT_VALUE_CONVERTER_VALUE_SUBJECT_NAME_STRATEGY=" + strategy + "RecordNameStrategy",
			`RIFTLINE_OVERRIDES={"challenger":{"http.request.headers":"X-Riot-Token: ${env:RIOT_API_KEY}","riftline.record.format":"castorm"}}`},
			[]string{"challenger-key", "com.github.castorm.kafka.connect.http.Value"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			environ := append([]string{"CONNECT_KEY_CONVERTER=io.confluent.connect.avro.AvroConverter", "CONNECT_KEY_CONVERTER_SCHEMA_REGISTRY_URL=" + w.registry.URL()}, tt.environ...)
			w.serve("a=1 b=1")
			w.mustPoll(w.service(environ...), poll.Published)
			client, err := sr.NewClient(sr.URLs(w.registry.URL()))
			if err != nil {
				t.Fatal(err)
			}
			subjects, err := client.Subjects(t.Context())
			slices.Sort(subjects)
			if err != nil || !slices.Equal(subjects, tt.want) {
				t.Errorf("subjects %q, want %q: %v", subjects, tt.want, err)
			}
		})
	}
}
