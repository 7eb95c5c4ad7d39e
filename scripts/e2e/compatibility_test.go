//go:build unix

package e2e

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// TestCompatibilityAndReferencesEndToEnd: two versions of a schema in a real registry, which refer to a type of another
// subject and stand under a subject that their name is part of; records of the older one are projected to the newer.
func TestCompatibilityAndReferencesEndToEnd(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, options{flushSize: 10, sinkKeys: map[string]string{
		"schema.compatibility": "BACKWARD", "avro.codec": "zstandard",
		"value.converter.value.subject.name.strategy": "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
	}})
	// The types' names are this test's own, as all pipelines share the registry.
	space := strings.ReplaceAll(p.topic, "-", "_")
	register := func(subject, text string, references ...sr.SchemaReference) int {
		s, err := p.schemas.CreateSchema(t.Context(), subject, sr.Schema{Schema: text, References: references})
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		return s.ID
	}
	register(p.topic+"-money", fmt.Sprintf(`{"type":"record","name":"Money","namespace":%q,"fields":[{"name":"cents","type":"long"},{"name":"unit","type":{"type":"enum","name":"Unit","symbols":["EUR","KRW"]}}]}`, space))
	money := sr.SchemaReference{Name: space + ".Money", Subject: p.topic + "-money", Version: 1}
	order := func(more string) string {
		return fmt.Sprintf(`{"type":"record","name":"Order","namespace":%q,"fields":[{"name":"n","type":"long"},{"name":"price","type":"Money"},{"name":"paid","type":["null","Money"],"default":null}%s]}`, space, more)
	}
	subject := p.topic + "-" + space + ".Order"
	older := register(subject, order(""), money)
	newer := register(subject, order(`,{"name":"note","type":"string","default":"none"}`), money)
	for n, id := range []int{newer, older, older, newer} {
		v := binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
		v = binary.AppendVarint(v, int64(n))
		v = append(binary.AppendVarint(v, int64(100*n)), 2) // KRW
		v = append(binary.AppendVarint(v, 1), 2, 0)         // one cent in EUR
		if id == newer {
			v = append(v, 4, 'h', 'i')
		}
		if err := p.client.ProduceSync(t.Context(), &kgo.Record{Topic: p.topic, Value: v}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	p.mustDrain()
	files := p.saveObjects(t)
	if len(files) != 1 {
		t.Fatalf("%d objects", len(files))
	}
	var want []string
	for n, note := range []string{"hi", "none", "none", "hi"} {
		want = append(want, fmt.Sprintf(`[0,{"n":%d,"price":{"cents":%d,"unit":"KRW"},"paid":{"%s.Money":{"cents":1,"unit":"EUR"}},"note":%q}]`, n, 100*n, space, note))
	}
	for reader, printed := range map[string]string{
		"fastavro": python(t, "read_json.py", files...), "Apache Avro": avroTools(t, "tojson", files[0]),
	} {
		lines := strings.Split(strings.TrimSpace(printed), "\n")
		if len(lines) != len(want) {
			t.Fatalf("%s reads %d records", reader, len(lines))
		}
		for i, line := range lines {
			if reader != "fastavro" {
				line = "[0," + line + "]"
			}
			if !sameJSON(t, []byte(line), []byte(want[i])) {
				t.Errorf("%s: record %d is %s, want %s", reader, i, line, want[i])
			}
		}
	}
}
