package drain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro/ocf"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/schema"
)

// The schemas of the poison: 10 has every type of Avro, 11 items that take no bytes, 12 is none, 13 is one of Protobuf.
const (
	everyType = `{"type":"record","name":"entry","fields":[
	 {"name":"n","type":"long"},{"name":"pad","type":"string"},{"name":"bool","type":"boolean"},{"name":"int","type":"int"},
	 {"name":"float","type":"float"},{"name":"double","type":"double"},{"name":"bytes","type":"bytes"},
	 {"name":"enum","type":{"type":"enum","name":"suit","symbols":["A","B","C"]}},
	 {"name":"fixed","type":{"type":"fixed","name":"four","size":4}},
	 {"name":"union","type":["null","string"]},{"name":"array","type":{"type":"array","items":"long"}},
	 {"name":"map","type":{"type":"map","values":"string"}},
	 {"name":"inner","type":{"type":"record","name":"inner","fields":[{"name":"text","type":"string"}]}},
	 {"name":"list","type":{"type":"record","name":"node","fields":[{"name":"next","type":["null","node"]}]}},
	 {"name":"decimal","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
	 {"name":"date","type":{"type":"int","logicalType":"date"}}]}`
	nulls = `{"type":"record","name":"entry","fields":[{"name":"n","type":"long"},{"name":"pad","type":"string"},{"name":"nulls","type":{"type":"array","items":"null"}}]}`
)

func poisoned(w *world) {
	w.schemas.texts = map[int]string{1: schema1, 10: everyType, 11: nulls, 12: `{"type":"recor"}`}
	w.schemas.unusable = map[int]error{13: fmt.Errorf("%w: it is a PROTOBUF schema", schema.ErrUnusable)}
}

func head(id uint32) []byte { return binary.BigEndian.AppendUint32([]byte{0}, id) }

func zigzag(v int64) []byte { return binary.AppendVarint(nil, v) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func words(s string) []byte { return join(zigzag(int64(len(s))), []byte(s)) }

// fieldsOf10 are the encoded fields of a good record of schema 10, in order.
var fieldsOf10 = []struct {
	name string
	good []byte
}{
	{"n", zigzag(1)}, {"pad", words("pad")}, {"bool", []byte{1}}, {"int", zigzag(-5)}, {"float", make([]byte, 4)}, {"double", make([]byte, 8)},
	{"bytes", words("\xff\x00")}, {"enum", zigzag(2)}, {"fixed", []byte("four")}, {"union", join(zigzag(1), words("there"))},
	{"array", join(zigzag(-2), zigzag(2), zigzag(1), zigzag(2), zigzag(1), zigzag(3), zigzag(0))},
	{"map", join(zigzag(1), words("key"), words("value"), zigzag(0))}, {"inner", words("text")}, {"list", join(zigzag(1), zigzag(1), zigzag(0))},
	{"decimal", words("\x01\x02")}, {"date", zigzag(20000)},
}

// with is a record of schema 10 with other bytes in place of a field's.
func with(name string, bad ...[]byte) []byte {
	value := head(10)
	for _, f := range fieldsOf10 {
		if f.name == name {
			value = append(value, join(bad...)...)
		} else {
			value = append(value, f.good...)
		}
	}
	return value
}

type poison struct {
	name  string
	value []byte
}

// poisons are values that some reader of an Avro file would stop at, or read as something else.
func poisons() []poison {
	over := bytes.Repeat([]byte{0x80}, 10)
	endless := bytes.Repeat([]byte{0x80}, 40)
	wide := append(bytes.Repeat([]byte{0xff}, 9), 0x7f)
	good := with("")
	all := []poison{
		{"an empty value", []byte{}},
		{"one byte", []byte{0}},
		{"half a header", []byte{0, 0, 0}},
		{"another magic byte", append([]byte{1}, good[1:]...)},
		{"magic 0xff", append([]byte{0xff}, good[1:]...)},
		{"JSON", []byte(`{"n":1,"pad":"pad"}`)},
		{"text", []byte("hello, world")},
		{"an Avro file", []byte("Obj\x01\x04\x16avro.schema")},
		{"Avro without a header", good[5:]},
		{"an unknown schema id", append(head(999), good[5:]...)},
		{"schema id 0", append(head(0), good[5:]...)},
		{"a negative schema id", append(head(math.MaxUint32), good[5:]...)},
		{"a schema that is none", append(head(12), good[5:]...)},
		{"a schema of Protobuf", append(head(13), good[5:]...)},
		{"the body of another schema", append(head(1), good[5:]...)},
		{"the body of a shorter schema", append(head(10), value(1, 1, "pad")[5:]...)},
		{"a header alone", head(10)},
		{"a byte too many", append(with(""), 0)},
		{"two records", append(with(""), good[5:]...)},
		{"a thousand bytes too many", append(with(""), make([]byte, 1000)...)},
		{"random bytes", append(head(10), 0x9c, 0x41, 0xd3, 0x07, 0xee, 0x5a, 0xf1, 0x88, 0x23)},
		{"zeros", append(head(10), make([]byte, 9)...)},
		{"ones", append(head(10), bytes.Repeat([]byte{0xff}, 64)...)},
		{"spaces", append(head(10), bytes.Repeat([]byte{' '}, 64)...)},
	}
	at := 5
	for _, f := range fieldsOf10 {
		all = append(all, poison{"cut off before " + f.name, good[:at]})
		if at += len(f.good); len(f.good) > 1 {
			all = append(all, poison{"cut off inside " + f.name, good[:at-1]})
		}
	}
	for _, name := range []string{"n", "int", "date", "enum", "union", "array", "map", "pad", "bytes"} {
		all = append(all,
			poison{"an overlong number for " + name, with(name, over, []byte{0})},
			poison{"a number without end for " + name, with(name, endless)},
			poison{"a number of more than 64 bits for " + name, with(name, wide)})
	}
	for _, name := range []string{"int", "date"} {
		all = append(all,
			poison{name + " of 33 bits", with(name, zigzag(math.MaxInt32+1))},
			poison{name + " of 33 bits, negative", with(name, zigzag(math.MinInt32-1))},
			poison{name + " of 64 bits", with(name, zigzag(math.MinInt64))})
	}
	for _, name := range []string{"pad", "bytes", "decimal", "inner"} {
		all = append(all,
			poison{"a negative length for " + name, with(name, zigzag(-1), []byte("pad"))},
			poison{"the least length for " + name, with(name, zigzag(math.MinInt64), []byte("pad"))},
			poison{"the largest length for " + name, with(name, zigzag(math.MaxInt64), []byte("pad"))},
			poison{"a length of 4 GiB for " + name, with(name, zigzag(1<<32), []byte("pad"))},
			poison{"a length beyond the end for " + name, with(name, zigzag(1000), []byte("pad"))})
	}
	for name, text := range map[string]string{"an overlong form": "\xc0\x80", "a byte of no text": "\xff", "a surrogate": "\xed\xa0\x80", "half a character": "\xf0\x9f", "beyond Unicode": "\xf4\x90\x80\x80"} {
		all = append(all, poison{"text with " + name, with("pad", words(text))}, poison{"a key with " + name, with("map", zigzag(1), words(text), words("v"), zigzag(0))})
	}
	for name, bad := range map[string][][]byte{
		"bool: 2":               {{2}},
		"bool: 255":             {{255}},
		"enum: one too far":     {zigzag(3)},
		"enum: -1":              {zigzag(-1)},
		"enum: far":             {zigzag(math.MaxInt64)},
		"union: one too far":    {zigzag(2), words("there")},
		"union: -1":             {zigzag(-1), words("there")},
		"union: far":            {zigzag(math.MaxInt64)},
		"union: the other's":    {zigzag(0), words("éééééééééé")},
		"array: too few items":  {zigzag(9), zigzag(1), zigzag(0)},
		"array: far too many":   {zigzag(1 << 40), zigzag(1), zigzag(0)},
		"array: the most":       {zigzag(math.MaxInt64)},
		"array: the least":      {zigzag(math.MinInt64), zigzag(1), zigzag(1), zigzag(0)},
		"array: block too long": {zigzag(-1), zigzag(2), zigzag(1), zigzag(0)},
		"array: block short":    {zigzag(-2), zigzag(1), zigzag(1), zigzag(2), zigzag(0)},
		"array: negative size":  {zigzag(-1), zigzag(-1), zigzag(1), zigzag(0)},
		"array: size beyond":    {zigzag(-1), zigzag(1 << 40), zigzag(1), zigzag(0)},
		"array: no end":         {bytes.Repeat(join(zigzag(1), zigzag(7)), 5000)},
		"map: too few items":    {zigzag(9), words("k"), words("v"), zigzag(0)},
		"map: far too many":     {zigzag(1 << 40), words("k"), words("v"), zigzag(0)},
		"map: block too long":   {zigzag(-1), zigzag(9), words("k"), words("v"), zigzag(0)},
		"map: negative key":     {zigzag(1), zigzag(-1), words("v"), zigzag(0)},
		"map: no end":           {bytes.Repeat(join(zigzag(1), words("k"), words("v")), 5000)},
		"list: 600 deep":        {bytes.Repeat(zigzag(1), 600), zigzag(0)},
		"list: 300,000 deep":    {bytes.Repeat(zigzag(1), 300_000), zigzag(0)},
		"list: no end":          {bytes.Repeat(zigzag(1), 400)},
	} {
		all = append(all, poison{name, with(strings.SplitN(name, ":", 2)[0], bad...)})
	}
	of11 := join(head(11), zigzag(1), words("pad"))
	return append(all,
		poison{"more nulls than a list can have", join(of11, zigzag(math.MaxInt32), zigzag(0))},
		poison{"more nulls in two blocks", join(of11, zigzag(1<<30), zigzag(1<<30), zigzag(0))},
		poison{"the most nulls", join(of11, zigzag(math.MaxInt64), zigzag(0))},
		poison{"nulls without end", join(of11, bytes.Repeat(zigzag(5), 5000))},
	)
}

// TestPoisonStopsItsPartition: each of the values stops its partition at its offset, and what is before it is archived
// as if it were not there.
func TestPoisonStopsItsPartition(t *testing.T) {
	t.Parallel()
	all := poisons()
	if len(all) < 100 {
		t.Fatalf("only %d values", len(all))
	}
	w, clean := newWorld(t, int32(len(all))), newWorld(t, int32(len(all)))
	var records, alone []*kgo.Record
	for i, p := range all {
		records = append(records, w.record(int32(i), 1, "pad"), &kgo.Record{Topic: topicName, Partition: int32(i), Value: p.value}, w.record(int32(i), 1, "pad"))
		alone = append(alone, &kgo.Record{Topic: topicName, Partition: int32(i), Value: records[3*i].Value})
	}
	poisoned(w)
	if err := errors.Join(w.kgo.ProduceSync(w.ctx, records...).FirstErr(), clean.kgo.ProduceSync(w.ctx, alone...).FirstErr()); err != nil {
		t.Fatal(err)
	}
	sum := w.drain(Stopped)
	clean.drain(Drained)
	want := clean.server.Objects(archiveBucket, "")
	if got := w.server.Objects(archiveBucket, ""); len(got) != len(all) || len(want) != len(all) {
		t.Fatalf("%d objects, %d without poison, of %d partitions", len(got), len(want), len(all))
	}
	for i, o := range w.server.Objects(archiveBucket, "") {
		if o.Name != want[i].Name || !bytes.Equal(o.Data, want[i].Data) {
			t.Errorf("%s is not what it is without poison", o.Name)
		}
	}
	for i, p := range sum.Partitions {
		if !strings.Contains(p.Stopped, "the record at offset 1 cannot be archived") {
			t.Errorf("%s: %q", all[i].name, p.Stopped)
		}
	}
}

// TestPoisonIsDeadLettered: with errors.tolerance=all the file is, to the byte, what it is without poison, every reader
// reads it, and each of the values is a dead letter.
func TestPoisonIsDeadLettered(t *testing.T) {
	t.Parallel()
	all := poisons()
	w, clean := newWorld(t, 1), newWorld(t, 1)
	w.tolerant()
	var records, goods []*kgo.Record
	for i, p := range all {
		r := &kgo.Record{Topic: topicName, Value: with("pad", words(fmt.Sprint(i)))}
		records = append(records, r, &kgo.Record{Topic: topicName, Value: p.value})
		goods = append(goods, &kgo.Record{Topic: topicName, Value: r.Value})
	}
	for _, each := range []*world{w, clean} {
		poisoned(each)
		each.sink.FlushSize, each.sink.Codec = 1000, "deflate"
	}
	if err := errors.Join(w.kgo.ProduceSync(w.ctx, records...).FirstErr(), clean.kgo.ProduceSync(w.ctx, goods...).FirstErr()); err != nil {
		t.Fatal(err)
	}
	w.drain(Drained)
	clean.drain(Drained)
	got, want := w.server.Objects(archiveBucket, ""), clean.server.Objects(archiveBucket, "")
	if len(got) != 1 || len(want) != 1 || !bytes.Equal(got[0].Data, want[0].Data) {
		t.Fatalf("%d objects, %d without poison, or of other bytes", len(got), len(want))
	}
	readByAll(t, got[0].Data, len(all))
	letters := w.letters()
	if len(letters) != len(all) {
		t.Fatalf("%d dead letters of %d", len(letters), len(all))
	}
	for i, l := range letters {
		if !bytes.Equal(l.Value, all[i].value) {
			t.Errorf("%s: the dead letter is another", all[i].name)
		}
	}
}

func readByAll(t *testing.T, file []byte, records int) {
	t.Helper()
	r, err := goavro.NewOCFReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for r.Scan() {
		if _, err := r.Read(); err != nil {
			t.Fatalf("goavro: record %d: %v", n, err)
		}
		n++
	}
	if r.Err() != nil || n != records {
		t.Errorf("goavro reads %d records: %v", n, r.Err())
	}
	other, err := ocf.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for n = 0; ; n++ {
		var v any
		if err = other.Decode(&v); err != nil {
			break
		}
	}
	if !errors.Is(err, io.EOF) || n != records {
		t.Errorf("twmb/avro reads %d records: %v", n, err)
	}
}
