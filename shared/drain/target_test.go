package drain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hamba/avro/v2/ocf"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

// evolved is schema 2 as a registry that checks compatibility would take it after schema 1; older is schema 3, which
// cannot be read as either of them.
const (
	evolved = `{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"},{"name":"more","type":"long","default":7}]}`
	apart   = `{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"pad","type":{"type":"array","items":"string"}}]}`
	other   = `{"type":"record","name":"other","fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"}]}`
)

func compatible(w *world, level string) {
	w.schemas.texts = map[int]string{1: schema1, 2: evolved, 3: apart, 4: other}
	w.sink.SchemaCompatibility, w.sink.FlushSize = level, 4
}

// sendOf appends a record of each of these schemas.
func (w *world) sendOf(ids ...int) {
	w.t.Helper()
	for _, id := range ids {
		r := w.record(0, id, "pad")
		if id == 3 {
			r.Value = append(binary.AppendVarint(r.Value[:5], w.next), 2, 6, 'p', 'a', 'd', 0)
		}
		w.send(r)
	}
}

// layout is what each object holds: by the offset in its name, "schema: record=more …".
func (w *world) layout() map[int64]string {
	w.t.Helper()
	all := map[int64]string{}
	for _, o := range w.server.Objects(archiveBucket, "") {
		first, _ := strconv.ParseInt(objectName.FindStringSubmatch(o.Name)[3], 10, 64)
		d, err := ocf.NewDecoder(bytes.NewReader(o.Data))
		if err != nil {
			w.t.Fatal(err)
		}
		text := o.Metadata[metaSchema] + ":"
		for d.HasNext() {
			var r map[string]any
			if err := d.Decode(&r); err != nil {
				w.t.Fatalf("%s: %v", o.Name, err)
			}
			text += fmt.Sprintf(" %v", r["n"])
			if more, ok := r["more"]; ok {
				text += fmt.Sprintf("=%v", more)
			}
		}
		if d.Error() != nil {
			w.t.Fatal(d.Error())
		}
		all[first] = text
	}
	return all
}

func (w *world) wantObjects(want map[int64]string) {
	w.t.Helper()
	if got := w.layout(); !maps.Equal(got, want) {
		w.t.Errorf("objects hold %v, want %v", got, want)
	}
}

func TestSchemaCompatibility(t *testing.T) {
	t.Parallel()
	const back, forth, full = connector.CompatibilityBackward, connector.CompatibilityForward, connector.CompatibilityFull
	for _, tt := range []struct {
		name, level string
		rotate      bool
		ids         []int
		want        map[int64]string
	}{
		{"none", connector.CompatibilityNone, false, []int{1, 2, 1, 2}, map[int64]string{0: "1: 1 3", 1: "2: 2=-2 4=-4"}},
		{"older to newer", back, false, []int{2, 1, 1, 2}, map[int64]string{0: "2: 1=-1 2=7 3=7 4=-4"}},
		{"a newer one is not projected", back, false, []int{1, 2, 1, 2}, map[int64]string{0: "1: 1", 1: "2: 2=-2 3=7 4=-4"}},
		{"full is as backward", full, false, []int{1, 2, 1, 2}, map[int64]string{0: "1: 1", 1: "2: 2=-2 3=7 4=-4"}},
		{"newer to older", forth, false, []int{1, 2, 1, 2}, map[int64]string{0: "1: 1 2 3 4"}},
		{"an older one is not projected", forth, false, []int{2, 1, 2, 1}, map[int64]string{0: "2: 1=-1", 1: "1: 2 3 4"}},
		{"rotate: older to newer", back, true, []int{1, 2, 1, 2, 1, 1}, map[int64]string{0: "1: 1", 1: "2: 2=-2 3=7 4=-4 5=7", 5: "1: 6"}},
		{"rotate: newer to older", forth, true, []int{2, 1, 2, 2}, map[int64]string{0: "2: 1=-1", 1: "1: 2 3 4"}},
		{"a flush forgets", back, false, []int{2, 1, 1, 1, 1, 2}, map[int64]string{0: "2: 1=-1 2=7 3=7 4=7", 4: "1: 5", 5: "2: 6=-6"}},
		{"no way by resolution", back, false, []int{3, 1, 3, 2, 1, 1}, map[int64]string{0: "3: 1 3", 1: "1: 2", 3: "2: 4=-4", 4: "1: 5 6"}},
		{"rotate: no way by resolution", full, true, []int{3, 1, 1, 3}, map[int64]string{0: "3: 1", 1: "1: 2 3", 3: "3: 4"}},
		{"record types of other names", back, false, []int{2, 4, 1, 4}, map[int64]string{0: "2: 1=-1 3=7", 1: "4: 2 4"}},
		{"rotate: record types of other names", back, true, []int{2, 4, 1, 4}, map[int64]string{0: "2: 1=-1", 1: "4: 2", 2: "1: 3", 3: "4: 4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			compatible(w, tt.level)
			w.sink.SchemaChangeRotates = tt.rotate
			w.sendOf(tt.ids...)
			w.drain(Drained)
			w.wantObjects(tt.want)
			if got := w.lag(0); got != 0 {
				t.Errorf("the lag is %d", got)
			}
		})
	}
}

// TestProjectedPlansAreCompletedAsPlanned: wherever the run is killed, what the plan says is written, to the byte, by a
// run that would project nothing and compress.
func TestProjectedPlansAreCompletedAsPlanned(t *testing.T) {
	t.Parallel()
	fill := func(w *world) {
		compatible(w, connector.CompatibilityBackward)
		w.sendOf(2, 1, 1, 2, 1, 2, 1)
	}
	reference := newWorld(t, 1)
	fill(reference)
	reference.drain(Drained)
	want := map[string][]byte{}
	for _, o := range reference.server.Objects(archiveBucket, "") {
		want[o.Name] = o.Data
	}
	planned := 0
	var plan *Plan
	killedEverywhere(t, 1, fill, func(w *world) connector.Sink {
		plan = nil
		if h := w.headIfAny(0); h != nil && h.Plan != nil {
			plan = h.Plan
			planned++
			if h.Format != 3 || !slices.Equal(plan.Objects[0].ProjectedFrom, []int{1}) {
				w.t.Errorf("the head has format %d and the plan %+v", h.Format, plan.Objects)
			}
		}
		s := w.sink
		s.SchemaCompatibility, s.Codec, s.FlushSize = connector.CompatibilityNone, "snappy", 2
		return s
	}, func(w *world) {
		w.verify()
		if plan == nil {
			return
		}
		objects := map[string][]byte{}
		for _, o := range w.server.Objects(archiveBucket, "") {
			objects[o.Name] = o.Data
		}
		for _, o := range plan.Objects {
			if !bytes.Equal(objects[o.Name], want[o.Name]) {
				w.t.Errorf("%s has other bytes than without a kill", o.Name)
			}
		}
	})
	if planned < 3 {
		t.Errorf("only %d runs were killed with a plan in flight", planned)
	}
}

// TestProjectedPlanWhoseSchemasAreGone stops with the way on.
func TestProjectedPlanWhoseSchemasAreGone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world, *Plan){
		"the writer's":        func(w *world, _ *Plan) { delete(w.schemas.texts, 1) },
		"the reader's":        func(w *world, _ *Plan) { delete(w.schemas.texts, 2) },
		"no projection":       func(w *world, _ *Plan) { w.schemas.texts[2] = schema2 },
		"one not in the plan": func(_ *world, p *Plan) { p.Objects[0].ProjectedFrom = []int{3} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			compatible(w, connector.CompatibilityBackward)
			w.sendOf(2, 1)
			d, _ := mortal(w.deps(), 3) // birth, commit, plan
			w.drainAny(w.sink, d)
			h := w.head(0)
			if h.Plan == nil {
				t.Fatal("there is no plan")
			}
			change(w, h.Plan)
			w.putHead(h, w.server.Objects(stateBucket, "")[0].Generation)
			wantText(t, w.drain(Stopped).Partitions[0].Stopped, "does not fit", "`riftline drain gcs-sink`", "--abandon-plan")
		})
	}
}

// TestVersionsAreLookedUpInTheRightSubject also says that the versions decide, not the ids.
func TestVersionsAreLookedUpInTheRightSubject(t *testing.T) {
	t.Parallel()
	for strategy, subject := range map[connector.SubjectStrategy]string{
		"": "challenger-value", connector.TopicNameStrategy: "challenger-value", connector.RecordNameStrategy: "entry", connector.TopicRecordNameStrategy: "challenger-entry",
	} {
		w := newWorld(t, 1)
		compatible(w, connector.CompatibilityBackward)
		w.sink.Registry.ValueSubject = strategy
		w.schemas.versions = map[string]map[int]int{subject: {1: 9, 2: 8}, "another": {1: 1, 2: 2}}
		w.sendOf(2, 1, 2)
		w.drain(Drained)
		// Schema 1 is the newer one here: it opens a file of its own, and 2 is projected to it.
		w.wantObjects(map[int64]string{0: "2: 1=-1", 1: "1: 2 3"})
	}
}

// TestSchemasWithoutAVersion cannot be archived under a level, whatever is open; under NONE nobody asks.
func TestSchemasWithoutAVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	compatible(w, connector.CompatibilityFull)
	w.schemas.versions = map[string]map[int]int{"challenger-value": {1: 1}}
	w.sendOf(1, 2, 1)
	wantText(t, w.drain(Stopped).Partitions[0].Stopped, "record at offset 1 ", "version of schema 2", "challenger-value", "FULL")
	w.wantObjects(map[int64]string{0: "1: 1"})
	w.sink.Errors.Tolerate = true
	w.drain(Drained)
	w.wantObjects(map[int64]string{0: "1: 1", 2: "1: 3"})

	w = newWorld(t, 1)
	compatible(w, connector.CompatibilityNone)
	w.schemas.versions = map[string]map[int]int{}
	w.sendOf(1, 2)
	w.drain(Drained)

	w = newWorld(t, 1)
	compatible(w, connector.CompatibilityFull)
	w.sendOf(1)
	w.schemas.fail = errors.New("the registry is down")
	w.drain(Failed)
	w.wantNames()
}

// TestValuesThatCannotBeProjected: the schemas resolve, this value does not.
func TestValuesThatCannotBeProjected(t *testing.T) {
	t.Parallel()
	const raw = `{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"pad","type":"bytes"}]}`
	fill := func() *world {
		w := newWorld(t, 1)
		compatible(w, connector.CompatibilityBackward)
		w.schemas.texts = map[int]string{1: raw, 2: schema1}
		for i, pad := range []string{"text", "bytes", "\xff\xfe", "text"} {
			r := w.record(0, 1, pad)
			r.Value[4] = []byte{2, 1, 1, 2}[i]
			w.send(r)
		}
		return w
	}
	w := fill()
	reason := w.drain(Stopped).Partitions[0].Stopped
	wantText(t, reason, "record at offset 2 ", "schema 1 to 2", "BACKWARD", "not UTF-8", "`riftline offsets skip gcs-sink challenger/0 2`")
	w.wantObjects(map[int64]string{0: "2: 1 2"})
	// That flush has forgotten the newer schema, so the record is the first of a file of its own now.
	w.drain(Drained)
	w.wantObjects(map[int64]string{0: "2: 1 2", 2: "1: 3", 3: "2: 4"})

	w = fill()
	w.tolerant()
	w.drain(Drained)
	w.wantObjects(map[int64]string{0: "2: 1 2 4"})
	letters := w.letters()
	if len(letters) != 1 || !strings.HasSuffix(string(letters[0].Value), "\xff\xfe") {
		t.Errorf("dead letters: %v", letters)
	}
}

// TestUnknownSchemasAreAskedForOnce however many records have one.
func TestUnknownSchemasAreAskedForOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.tolerant()
	for range 50 {
		w.send(&kgo.Record{Topic: topicName, Value: value(99, 1, "pad")})
	}
	w.drain(Drained)
	if w.schemas.asked != 1 {
		t.Errorf("the registry was asked %d times", w.schemas.asked)
	}
}

// TestManyRecordsOfTwoSchemas: 100,000 records that alternate between two schemas make two files per flush.
func TestManyRecordsOfTwoSchemas(t *testing.T) {
	t.Parallel()
	const n, flush = 100_000, 25_000
	w := newWorld(t, 1)
	w.sink.FlushSize, w.sink.Codec = flush, "snappy"
	var records []*kgo.Record
	for i := range n {
		records = append(records, w.record(0, 1+i%2, "p"))
	}
	if err := w.kgo.ProduceSync(w.ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if sum := w.drain(Drained); sum.Records != n {
		t.Fatalf("%+v", sum)
	}
	var want []string
	for at := 0; at < n; at += flush {
		want = append(want, object(0, at), object(0, at+1))
	}
	w.wantNames(want...)
	for i, name := range want {
		all := w.read(name)
		if len(all) != flush/2 {
			t.Errorf("%s has %d records", name, len(all))
		}
		for k, r := range all {
			if r != int64(i/2*flush+i%2+2*k+1) {
				t.Fatalf("%s: record %d is %d", name, k, r)
			}
		}
	}
}
