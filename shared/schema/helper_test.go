package schema

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/riftline/riftline/shared/record"
	"github.com/twmb/avro"
)

var polled = time.UnixMilli(1_790_000_000_123)

func value(t testing.TB, text string) *record.Value {
	t.Helper()
	v, err := record.Parse([]byte(text))
	if err != nil {
		t.Fatalf("parsing %s: %v", text, err)
	}
	return &v
}

// entries parses a JSON array.
func entries(t testing.TB, text string) []*record.Value {
	t.Helper()
	v := value(t, text)
	list := make([]*record.Value, len(v.Items))
	for i := range v.Items {
		list[i] = &v.Items[i]
	}
	return list
}

// stamps are the members of a JSON object; nil for "".
func stamps(t testing.TB, text string) []record.Field {
	t.Helper()
	if text == "" {
		return nil
	}
	return append([]record.Field{}, value(t, text).Fields...)
}

func infer(t testing.TB, list, stamp string) *Schema {
	t.Helper()
	s, err := Infer(entries(t, list), stamps(t, stamp), "challenger")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parseSchema(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := ParseSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func merge(t testing.TB, s, latest *Schema) *Schema {
	t.Helper()
	m, err := s.Merge(latest)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// readable checks with an independent library that data of the old schema is read by the new one, which is what a
// registry at BACKWARD demands.
func readable(t testing.TB, old, new string) {
	t.Helper()
	writer, err := avro.Parse(old)
	if err != nil {
		t.Fatalf("the old schema does not parse: %v\n%s", err, old)
	}
	reader, err := avro.Parse(new)
	if err != nil {
		t.Fatalf("the new schema does not parse: %v\n%s", err, new)
	}
	if err := avro.CheckCompatibility(writer, reader); err != nil {
		t.Errorf("not backward compatible: %v\nold %s\nnew %s", err, old, new)
	}
}

// roundTrip encodes an entry, decodes it with goavro to the last byte and compares.
func roundTrip(t testing.TB, s *Schema, codec *goavro.Codec, entry *record.Value, stamp []record.Field) {
	t.Helper()
	body, err := s.AppendBody([]byte("head"), entry, stamp, polled)
	if err != nil {
		t.Errorf("encoding %s: %v\nschema %s", record.AppendJSON(nil, entry), err, s.Text())
		return
	}
	native, rest, err := codec.NativeFromBinary(body[len("head"):])
	if err != nil || len(rest) != 0 {
		t.Errorf("decoding %s: %d bytes are left, %v\nschema %s", record.AppendJSON(nil, entry), len(rest), err, s.Text())
		return
	}
	got := native.(map[string]any)
	members := entry.Fields
	if entry.Kind != record.Object {
		members = []record.Field{{Name: entryValue, Value: *entry}}
	}
	if err := sameFields(s.root, members, stamp, got); err != nil {
		t.Errorf("%s became %v: %v\nschema %s", record.AppendJSON(nil, entry), got, err, s.Text())
	}
}

func codecOf(t testing.TB, s *Schema) *goavro.Codec {
	t.Helper()
	codec, err := goavro.NewCodec(s.Text())
	if err != nil {
		t.Fatalf("goavro refuses %s: %v", s.Text(), err)
	}
	return codec
}

func sameFields(n *node, members, stamp []record.Field, got map[string]any) error {
	used := 0
	for _, f := range n.fields {
		var want *record.Value
		switch from := members; f.role {
		case fromClock:
			if stamp != nil {
				if at, ok := unwrap(got[f.name]).(time.Time); !ok || !at.Equal(polled) {
					return fmt.Errorf("%s is %v", f.name, got[f.name])
				}
				continue
			}
		case fromStamp:
			from = stamp
			fallthrough
		case fromEntry:
			for i := range from {
				if from[i].Name == f.source {
					want = &from[i].Value
					if f.role == fromEntry {
						used++
					}
				}
			}
		}
		if err := same(f.typ, want, got[f.name]); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for i := range members {
		if isEmpty(&members[i].Value) {
			used++ // at least as many as were counted above are accounted for
		}
	}
	if used < len(members) {
		return fmt.Errorf("%d of %d members are there", used, len(members))
	}
	return nil
}

func unwrap(v any) any {
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		for name, inner := range m {
			if strings.Contains(name, ".") || isTypeName(name) {
				return inner
			}
		}
	}
	return v
}

func isTypeName(name string) bool {
	return strings.HasPrefix(name, "challenger_") || name == "array" || name == "long" || name == "double" || name == "string" || name == "boolean" || name == "int" || name == "long.timestamp-millis"
}

func same(n *node, want *record.Value, got any) error {
	differ := fmt.Errorf("%v (%T) where %+v was written", got, got, want)
	if n.kind == kindUnion {
		if got == nil {
			if want == nil || isEmpty(want) {
				return nil
			}
			return differ
		}
		m, ok := got.(map[string]any)
		if !ok || want == nil {
			return differ
		}
		for name, inner := range m {
			for _, b := range n.branches {
				if b.kind.String() == name || b.name == name {
					return same(b, want, inner)
				}
			}
		}
		return differ
	}
	if want == nil {
		return differ
	}
	ok := false
	switch want.Kind {
	case record.Bool:
		ok = got == (want.Text == "true")
	case record.String:
		ok = got == want.Text
	case record.Number:
		switch got := got.(type) {
		case int64:
			ok = strconv.FormatInt(got, 10) == want.Text || want.Text == "-0" && got == 0
		case int32:
			ok = strconv.FormatInt(int64(got), 10) == want.Text
		case float64:
			f, err := strconv.ParseFloat(want.Text, 64)
			ok = err == nil && math.Float64bits(f) == math.Float64bits(got)
		}
	case record.Array:
		list, isList := got.([]any)
		if ok = isList && len(list) == len(want.Items); ok {
			for i := range list {
				if err := same(n.items, &want.Items[i], list[i]); err != nil {
					return fmt.Errorf("%d: %w", i, err)
				}
			}
		}
	case record.Object:
		m, isMap := got.(map[string]any)
		if ok = isMap; ok {
			return sameFields(n, want.Fields, nil, m)
		}
	}
	if !ok {
		return differ
	}
	return nil
}
