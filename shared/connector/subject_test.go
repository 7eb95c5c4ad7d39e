package connector

import (
	"strings"
	"testing"
)

func TestSubjectStrategies(t *testing.T) {
	t.Parallel()
	const prefix = "io.confluent.kafka.serializers.subject."
	for name, c := range map[string]struct {
		file       string
		set        map[string]string
		environ    []string
		value, key string
	}{
		"none":              {"gcs-sink", nil, nil, "t-value", "t-key"},
		"of values":         {"gcs-sink", map[string]string{"value.converter.value.subject.name.strategy": prefix + "RecordNameStrategy"}, nil, "a.R", "t-key"},
		"of both":           {"gcs-sink", map[string]string{"value.converter.subject.name.strategy": "TopicRecordNameStrategy"}, nil, "t-a.R", "t-a.R"},
		"Confluent Cloud's": {"gcs-sink", map[string]string{"subject.name.strategy": "RecordNameStrategy"}, nil, "a.R", "t-key"},
		"Confluent Cloud's of values": {"gcs-sink", map[string]string{"subject.name.strategy": "RecordNameStrategy", "value.subject.name.strategy": "TopicRecordNameStrategy"},
			nil, "t-a.R", "t-key"},
		"the worker's": {"gcs-sink", nil, []string{"CONNECT_VALUE_CONVERTER_VALUE_SUBJECT_NAME_STRATEGY=" + prefix + "RecordNameStrategy"}, "a.R", "t-key"},
		"of a source": {"challenger", map[string]string{"key.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.value.subject.name.strategy": prefix + "TopicRecordNameStrategy",
			"key.converter.key.subject.name.strategy": prefix + "RecordNameStrategy"}, nil, "t-a.R", "a.R"},
		"of a source, topic": {"challenger", map[string]string{"value.converter.value.subject.name.strategy": prefix + "TopicNameStrategy"}, nil, "t-value", "t-key"},
	} {
		file := read(t, infra+c.file+".json").With(c.set)
		w := NewWorker(c.environ)
		var r Registry
		if c.file == "gcs-sink" {
			s, err := file.Sink(t.Context(), w, resolver(nil), CheckOptions{Local: true})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			r = s.Registry
		} else {
			s, err := file.Source(t.Context(), w, resolver(map[string]string{"riot-api-key": "k"}), CheckOptions{Local: true})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			r = s.Registry
		}
		if got := r.ValueSubject.Subject("t", "a.R", false); got != c.value {
			t.Errorf("%s: values are under %s, want %s", name, got, c.value)
		}
		if got := r.KeySubject.Subject("t", "a.R", true); got != c.key {
			t.Errorf("%s: keys are under %s, want %s", name, got, c.key)
		}
	}
}

func TestSchemaCompatibilityArrives(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": CompatibilityNone, "NONE": CompatibilityNone, "BACKWARD": CompatibilityBackward, "FORWARD": CompatibilityForward, "full": CompatibilityFull} {
		set := map[string]string{"schema.compatibility": text}
		if text == "" {
			set = nil
		}
		s, err := read(t, infra+"gcs-sink.json").With(set).Sink(t.Context(), Worker{}, resolver(nil), CheckOptions{Local: true})
		if err != nil || s.SchemaCompatibility != want {
			t.Errorf("%q became %q, want %s: %v", text, s.SchemaCompatibility, want, err)
		}
	}
	// Confluent's sinks take it for NONE and say nothing.
	_, err := read(t, infra+"gcs-sink.json").With(map[string]string{"schema.compatibility": "BACKWARD_TRANSITIVE"}).
		Sink(t.Context(), Worker{}, resolver(nil), CheckOptions{Local: true})
	if err == nil || !strings.Contains(err.Error(), "means NONE") {
		t.Errorf("BACKWARD_TRANSITIVE: %v", err)
	}
}
