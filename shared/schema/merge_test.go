package schema

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/record"
)

func TestMerge(t *testing.T) {
	const space = `{"type":"record","name":"Old","namespace":"com.example","fields":[%s]}`
	for name, c := range map[string]struct{ old, entries, stamps, want string }{
		"nothing new":           {`{"name":"a","type":"long","doc":"kept"}`, `[{"a":1}]`, "", `{"name":"a","type":"long","doc":"kept"}`},
		"an int stays":          {`{"name":"a","type":"int"}`, `[{"a":1}]`, "", `{"name":"a","type":"int"}`},
		"an int becomes a long": {`{"name":"a","type":"int"}`, `[{"a":3000000000}]`, "", `{"name":"a","type":"long"}`},
		"a long becomes double": {`{"name":"a","type":"long"}`, `[{"a":1.5}]`, "", `{"name":"a","type":"double"}`},
		"a double stays":        {`{"name":"a","type":"double"}`, `[{"a":1}]`, "", `{"name":"a","type":"double"}`},
		"a float":               {`{"name":"a","type":"float"}`, `[{"a":1.5}]`, "", `{"name":"a","type":"double"}`},
		"a logical type stays":  {`{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}`, `[{"a":1}]`, "", `{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}`},
		"a logical type goes with its number": {`{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}`, `[{"a":1.5}]`, "",
			`{"name":"a","type":"double"}`},
		"a new field":                  {`{"name":"a","type":"long"}`, `[{"b":"x","a":1}]`, "", `{"name":"a","type":"long"},{"name":"b","type":["null","string"],"default":null}`},
		"a field that left":            {`{"name":"a","type":"long"},{"name":"b","type":"string"}`, `[{"a":1}]`, "", `{"name":"a","type":"long"},{"name":"b","type":["null","string"],"default":null}`},
		"a field that left, default":   {`{"name":"a","type":"long"},{"name":"b","type":"string","default":"x"}`, `[{"a":1}]`, "", `{"name":"a","type":"long"},{"name":"b","type":["string","null"],"default":"x"}`},
		"missing in some":              {`{"name":"a","type":"long"}`, `[{"a":1},{"a":null}]`, "", `{"name":"a","type":["null","long"],"default":null}`},
		"nullable stays":               {`{"name":"a","type":["long","null"],"default":0}`, `[{"a":1}]`, "", `{"name":"a","type":["long","null"],"default":0}`},
		"another type":                 {`{"name":"a","type":"long"}`, `[{"a":"x"},{"a":1}]`, "", `{"name":"a","type":["long","string"]}`},
		"another type, null":           {`{"name":"a","type":["null","long"],"default":null}`, `[{"a":"x"},{"a":1.5}]`, "", `{"name":"a","type":["null","double","string"],"default":null}`},
		"a union with both numbers":    {`{"name":"a","type":["long","double"]}`, `[{"a":1.5},{"a":1}]`, "", `{"name":"a","type":["long","double"]}`},
		"an enum":                      {`{"name":"a","type":{"type":"enum","name":"E","symbols":["A"]}}`, `[{"a":"B"}]`, "", `{"name":"a","type":[{"type":"enum","name":"E","symbols":["A"]},"string"]}`},
		"a map takes an object":        {`{"name":"a","type":{"type":"map","values":"int"}}`, `[{"a":{"x":1,"y":2.5}}]`, "", `{"name":"a","type":{"type":"map","values":"double"}}`},
		"list items":                   {`{"name":"a","type":{"type":"array","items":"long"}}`, `[{"a":[null,0.5]}]`, "", `{"name":"a","type":{"type":"array","items":["null","double"]}}`},
		"a nested record keeps names":  {`{"name":"a","type":{"type":"record","name":"Inner","fields":[{"name":"x","type":"long"}]}}`, `[{"a":{"y":true}}]`, "", `{"name":"a","type":{"type":"record","name":"Inner","fields":[{"name":"x","type":["null","long"],"default":null},{"name":"y","type":["null","boolean"],"default":null}]}}`},
		"a new record takes a name":    {`{"name":"a","type":{"type":"record","name":"challenger_b","fields":[{"name":"x","type":"long"}]}}`, `[{"a":{"x":1},"b":{"y":1}}]`, "", `{"name":"a","type":{"type":"record","name":"challenger_b","fields":[{"name":"x","type":"long"}]}},{"name":"b","type":["null",{"type":"record","name":"challenger_b_2","fields":[{"name":"y","type":"long"}]}],"default":null}`},
		"a renamed field is found":     {`{"name":"x","type":"long","json":"a-b"}`, `[{"a-b":1}]`, "", `{"name":"x","type":"long","json":"a-b"}`},
		"a stamp somebody registered":  {`{"name":"a","type":"long"},{"name":"tier","type":"string"}`, `[{"a":1}]`, `{"tier":"T"}`, `{"name":"a","type":"long"},{"name":"tier","type":"string","stamp":"tier"},{"name":"polled_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null,"stamp":"polled_at"}`},
		"a stamp that an entry takes":  {`{"name":"tier","type":"string","stamp":"tier"}`, `[{"tier":1}]`, `{"tier":"T"}`, `{"name":"tier","type":"string","stamp":"tier"},{"name":"tier_2","type":["null","long"],"default":null,"json":"tier"},{"name":"polled_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null,"stamp":"polled_at"}`},
		"a placeholder of null":        {`{"name":"a","type":"null","default":null}`, `[{"a":1}]`, "", `{"name":"a","type":["null","long"],"default":null}`},
		"a type that is referred to":   {`{"name":"a","type":{"type":"record","name":"P","fields":[{"name":"x","type":"long"}]}},{"name":"b","type":"P"}`, `[{"a":{"x":0.5},"b":{"y":1}}]`, "", `{"name":"a","type":{"type":"record","name":"P","fields":[{"name":"x","type":["null","double"],"default":null},{"name":"y","type":["null","long"],"default":null}]}},{"name":"b","type":"P"}`},
		"a type that refers to itself": {`{"name":"v","type":"long"},{"name":"next","type":["null","Old"],"default":null}`, `[{"v":1,"next":{"v":2,"next":null,"w":1}}]`, "", `{"name":"v","type":"long"},{"name":"next","type":["null","Old"],"default":null},{"name":"w","type":["null","long"],"default":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			old := parseSchema(t, fmt.Sprintf(space, c.old))
			before := old.Text()
			inferred := infer(t, c.entries, c.stamps)
			merged := merge(t, inferred, old)
			if want := fmt.Sprintf(space, c.want); merged.Text() != want {
				t.Errorf("got  %s\nwant %s", merged.Text(), want)
			}
			readable(t, old.Text(), merged.Text())
			if old.Text() != before || merged.Equal(old) != (before == merged.Text()) {
				t.Error("merging changed the old schema, or Equal is wrong")
			}
			if again := merge(t, infer(t, c.entries, c.stamps), parseSchema(t, merged.Text())); !again.Equal(merged) {
				t.Errorf("merging once more gives %s", again.Text())
			}
			codecOf(t, merged)
			for _, e := range entries(t, c.entries) {
				if _, err := merged.AppendBody(nil, e, stamps(t, c.stamps), polled); err != nil {
					t.Errorf("encoding %s: %v", record.AppendJSON(nil, e), err)
				}
			}
		})
	}
}

func TestMergeWithoutLatest(t *testing.T) {
	s := infer(t, `[{"a":1}]`, "")
	if m := merge(t, s, nil); !m.Equal(s) {
		t.Errorf("got %s", m.Text())
	}
}

func TestCastormsEnvelopeIsRefused(t *testing.T) {
	old := parseSchema(t, `{"type":"record","name":"Value","namespace":"com.github.castorm.kafka.connect.http","fields":[{"name":"value","type":"string"}]}`)
	if _, err := infer(t, `[{"a":1}]`, "").Merge(old); !errors.Is(err, ErrUnmergeable) {
		t.Errorf("got %v", err)
	}
}

func TestStampsOfASeason(t *testing.T) {
	full := infer(t, `[{"p":"a"}]`, `{"tier":"T","leagueId":"L","platform":"kr"}`)
	between := merge(t, infer(t, `[{"p":"a"}]`, `{"tier":"T","platform":"kr"}`), full)
	readable(t, full.Text(), between.Text())
	again := merge(t, infer(t, `[{"p":"a"}]`, `{"tier":"T","leagueId":"L","platform":"kr"}`), parseSchema(t, between.Text()))
	if !again.Equal(between) {
		t.Errorf("the schema changes with every season: %s", again.Text())
	}
	roundTrip(t, between, codecOf(t, between), value(t, `{"p":"a"}`), stamps(t, `{"tier":"T","platform":"kr"}`))
}

func TestParseSchemaRefuses(t *testing.T) {
	for _, text := range []string{
		``, `"string"`, `string`, `[]`, `{}`, `{"type":"record"}`, `{"type":"record","name":"a"}`, `{"type":"record","name":"a","fields":[{"name":"x"}]}`,
		`{"type":"record","name":"a","fields":[{"name":"x","type":"nope"}]}`, `{"type":"record","name":"a","fields":[{"name":"x","type":["long",["null"]]}]}`,
		`{"type":"record","name":"a","fields":[{"name":"x","type":"long"},{"name":"x","type":"long"}]}`, `{"type":"record","name":"a","fields":[{"name":"x","type":{"type":"fixed","name":"f"}}]}`,
		`{"type":"record","name":"a","fields":[{"name":"x","type":{"type":"record","name":"a","fields":[]}}]}`, `{"type":"record","name":"a","fields":[{"name":"x","type":["long","long"]}]}`,
		`{"type":"record","name":"a","fields":[{"name":"x","type":[]}]}`, `{"type":"record","name":"a","fields":[{"name":"x","type":{"type":"array"}}]}`,
	} {
		if s, err := ParseSchema(text); err == nil {
			t.Errorf("%s is taken for %s", text, s.Text())
		}
	}
}

// TestRandomEvolution merges the schemas of random answers one into the other and checks every promise of Merge.
func TestRandomEvolution(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		var latest *Schema
		var old []*record.Value
		for range 4 {
			list := randomEntries(r)
			stamp := randomStamps(r)
			inferred, err := Infer(list, stamp, "challenger")
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			merged := merge(t, inferred, latest)
			if latest != nil {
				readable(t, latest.Text(), merged.Text())
			}
			codec := codecOf(t, merged)
			for _, e := range list {
				roundTrip(t, merged, codec, e, stamp)
			}
			latest = parseSchema(t, merged.Text())
			if again := merge(t, inferred, latest); !again.Equal(latest) {
				t.Errorf("seed %d: the same answer changes the schema\n%s\n%s", seed, latest.Text(), again.Text())
			}
			for _, e := range old {
				if _, err := latest.AppendBody(nil, e, []record.Field{}, polled); err != nil {
					var fit *FitError
					if !asFit(err, &fit) || !strings.Contains(fit.Reason, "is missing") {
						t.Errorf("seed %d: an earlier entry does not fit any more: %v", seed, err)
					}
				}
			}
			old = append(old, list...)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

func randomEntries(r *rand.Rand) []*record.Value {
	var list []*record.Value
	for range r.IntN(5) {
		list = append(list, randomValue(r, 3))
	}
	return list
}

func randomStamps(r *rand.Rand) []record.Field {
	stamp := []record.Field{}
	for _, name := range []string{"a", "tier", "x-y"} {
		if r.IntN(2) == 0 {
			stamp = append(stamp, record.Field{Name: name, Value: record.Value{Kind: record.String, Text: "s"}})
		}
	}
	return stamp
}

func randomValue(r *rand.Rand, depth int) *record.Value {
	names := []string{"a", "b", "a_b", "x-y", "1", "tier", "polled_at"}
	k := r.IntN(10)
	if depth == 3 && k < 9 {
		k = 9
	}
	switch {
	case k == 0:
		return &record.Value{}
	case k < 2:
		return &record.Value{Kind: record.Bool, Text: []string{"true", "false"}[r.IntN(2)]}
	case k < 5:
		return &record.Value{Kind: record.Number, Text: []string{"1", "-5", "0.5", "1e3", "4000000000", "9223372036854775808", "1.0"}[r.IntN(7)]}
	case k < 6 || depth == 0:
		return &record.Value{Kind: record.String, Text: []string{"", "é", "text"}[r.IntN(3)]}
	case k < 8:
		v := &record.Value{Kind: record.Array}
		for range r.IntN(3) {
			v.Items = append(v.Items, *randomValue(r, depth-1))
		}
		return v
	default:
		v := &record.Value{Kind: record.Object}
		for _, i := range r.Perm(len(names))[:r.IntN(len(names))] {
			v.Fields = append(v.Fields, record.Field{Name: names[i], Value: *randomValue(r, depth-1)})
		}
		return v
	}
}

func FuzzParseSchema(f *testing.F) {
	f.Add(`{"type":"record","name":"a","namespace":"b.c","fields":[{"name":"x","type":["null",{"type":"array","items":"a"}],"default":null},{"name":"y","type":{"type":"map","values":{"type":"fixed","name":"f","size":3}}}]}`)
	f.Add(`{"type":"record","name":"a","fields":[{"name":"x","type":{"type":"enum","name":"e","symbols":["A"],"doc":"d"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchema(text)
		if err != nil {
			return
		}
		again, err := ParseSchema(s.Text())
		if err != nil || !again.Equal(s) {
			t.Fatalf("%s is written as %s and read back as %v, %v", text, s.Text(), again, err)
		}
		inferred, err := Infer(nil, []record.Field{}, "n")
		if err != nil {
			t.Fatal(err)
		}
		merged, err := inferred.Merge(s)
		if err != nil {
			return
		}
		if twice, err := inferred.Merge(merged); err != nil || !twice.Equal(merged) {
			t.Fatalf("merging twice gives %v, %v", twice, err)
		}
	})
}
