package schema

import (
	"fmt"
	"strings"
	"testing"
)

func TestInfer(t *testing.T) {
	const clock = `{"name":"polled_at","type":{"type":"long","logicalType":"timestamp-millis"},"stamp":"polled_at"}`
	for name, c := range map[string]struct{ entries, stamps, fields string }{
		"a ladder": {
			`[{"puuid":"a","leaguePoints":1,"hotStreak":true},{"puuid":"b","leaguePoints":2,"hotStreak":false}]`, `{"tier":"MASTER","n":1,"r":0.5,"on":true,"gone":null}`,
			`{"name":"puuid","type":"string"},{"name":"leaguePoints","type":"long"},{"name":"hotStreak","type":"boolean"},` +
				`{"name":"tier","type":"string","stamp":"tier"},{"name":"n","type":"long","stamp":"n"},{"name":"r","type":"double","stamp":"r"},{"name":"on","type":"boolean","stamp":"on"},` + clock,
		},
		"first appearance orders": {`[{"b":1},{"a":1,"b":1},{"c":1}]`, "", `{"name":"b","type":["null","long"],"default":null},{"name":"a","type":["null","long"],"default":null},{"name":"c","type":["null","long"],"default":null}`},
		"integers and others":     {`[{"i":1,"d":1.0,"e":1e3,"m":1,"huge":9223372036854775808,"max":9223372036854775807},{"i":-2,"d":2,"e":2e3,"m":0.5,"huge":1,"max":-9223372036854775808}]`, "", `{"name":"i","type":"long"},{"name":"d","type":"double"},{"name":"e","type":"double"},{"name":"m","type":"double"},{"name":"huge","type":"double"},{"name":"max","type":"long"}`},
		"null and missing":        {`[{"a":1,"b":null},{"b":"x"}]`, "", `{"name":"a","type":["null","long"],"default":null},{"name":"b","type":["null","string"],"default":null}`},
		"nested": {
			`[{"mini":{"wins":1,"progress":"WLN"}},{"mini":{"wins":2}},{}]`, "",
			`{"name":"mini","type":["null",{"type":"record","name":"challenger_mini","fields":[{"name":"wins","type":"long"},{"name":"progress","type":["null","string"],"default":null}]}],"default":null}`,
		},
		"lists":                    {`[{"l":[1,2]},{"l":[]},{"l":[null,3]}]`, "", `{"name":"l","type":{"type":"array","items":["null","long"]}}`},
		"lists of objects":         {`[{"l":[{"a":1},{"b":true}]}]`, "", `{"name":"l","type":{"type":"array","items":{"type":"record","name":"challenger_l","fields":[{"name":"a","type":["null","long"],"default":null},{"name":"b","type":["null","boolean"],"default":null}]}}}`},
		"mixed types":              {`[{"m":1},{"m":"x"},{"m":true},{"m":[1.5]},{"m":{"a":1}},{"m":2}]`, "", `{"name":"m","type":["long","string","boolean",{"type":"array","items":"double"},{"type":"record","name":"challenger_m","fields":[{"name":"a","type":"long"}]}]}`},
		"mixed and null":           {`[{"m":"x"},{"m":null},{"m":1}]`, "", `{"name":"m","type":["null","string","long"],"default":null}`},
		"nothing but empty things": {`[{"k":1,"a":null,"b":[],"c":{},"d":[[],{"x":null}]}]`, "", `{"name":"k","type":"long"}`},
		"an empty list for an object": {
			`[{"a":{"x":1}},{"a":[]}]`, "",
			`{"name":"a","type":["null",{"type":"record","name":"challenger_a","fields":[{"name":"x","type":"long"}]}],"default":null}`,
		},
		"names that Avro does not take": {`[{"a-b":1,"a.b":2,"1st":3,"":4,"é":5,"a_b":6}]`, "", `{"name":"a_b","type":"long","json":"a-b"},{"name":"a_b_2","type":"long","json":"a.b"},{"name":"_1st","type":"long","json":"1st"},{"name":"_","type":"long","json":""},{"name":"__2","type":"long","json":"é"},{"name":"a_b_3","type":"long","json":"a_b"}`},
		"record names do not clash":     {`[{"a":{"b":{"c":1}},"a_b":{"c":1}}]`, "", `{"name":"a","type":{"type":"record","name":"challenger_a","fields":[{"name":"b","type":{"type":"record","name":"challenger_a_b","fields":[{"name":"c","type":"long"}]}}]}},{"name":"a_b","type":{"type":"record","name":"challenger_a_b_2","fields":[{"name":"c","type":"long"}]}}`},
		"a stamp that an entry uses":    {`[{"tier":1,"_tier":2,"polled_at":"x"}]`, `{"tier":"T"}`, `{"name":"tier","type":"long"},{"name":"_tier","type":"long"},{"name":"polled_at","type":"string"},{"name":"__tier","type":"string","stamp":"tier"},` + strings.Replace(clock, `"name":"polled_at"`, `"name":"_polled_at"`, 1)},
		"entries that are no objects":   {`["KR_1","KR_2"]`, `{}`, `{"name":"value","type":"string"},` + clock},
		"no entries":                    {`[]`, `{"tier":"T"}`, `{"name":"tier","type":"string","stamp":"tier"},` + clock},
	} {
		t.Run(name, func(t *testing.T) {
			s := infer(t, c.entries, c.stamps)
			if want := `{"type":"record","name":"challenger","fields":[` + c.fields + `]}`; s.Text() != want {
				t.Errorf("got  %s\nwant %s", s.Text(), want)
			}
			if again := parseSchema(t, s.Text()); !again.Equal(s) {
				t.Errorf("parsed it is %s", again.Text())
			}
			codec := codecOf(t, s)
			for _, e := range entries(t, c.entries) {
				roundTrip(t, s, codec, e, stamps(t, c.stamps))
			}
		})
	}
}

func TestInferRefusesNothingAtAll(t *testing.T) {
	for _, list := range []string{`[]`, `[{}]`, `[{"a":null}]`, `[null]`} {
		if s, err := Infer(entries(t, list), nil, "x"); err == nil {
			t.Errorf("%s gives %s", list, s.Text())
		}
	}
}

func TestInferNames(t *testing.T) {
	for name, want := range map[string]string{"challenger": "challenger", "riot.ladder-kr": "riot_ladder_kr", "1": "_1", "": "_"} {
		s, err := Infer(entries(t, `[{"a":1}]`), nil, name)
		if err != nil || s.Name() != want {
			t.Errorf("%q gives %v, %v", name, s, err)
		}
	}
}

func TestHeader(t *testing.T) {
	for _, id := range []int{1, 258, 1<<31 - 1} {
		value := append(AppendHeader([]byte{}, id), 7)
		got, body, ok := ParseHeader(value)
		if !ok || got != id || len(body) != 1 || body[0] != 7 {
			t.Errorf("%d became %d, %v, %v", id, got, body, ok)
		}
	}
	for _, value := range [][]byte{nil, {0}, {0, 0, 0, 1}, {1, 0, 0, 0, 1}, {0, 0xff, 0, 0, 1}, []byte("{}")} {
		if id, _, ok := ParseHeader(value); ok {
			t.Errorf("%v is taken for schema %d", value, id)
		}
	}
	if id, body, ok := ParseHeader([]byte{0, 0, 0, 0, 9}); !ok || id != 9 || len(body) != 0 {
		t.Error("an empty body is one")
	}
}

func TestAppendBodyRefuses(t *testing.T) {
	s := parseSchema(t, `{"type":"record","name":"r","fields":[
		{"name":"n","type":"long","default":0},{"name":"i","type":["null","int"],"default":null},{"name":"s","type":["null","string"],"default":null},
		{"name":"l","type":["null",{"type":"array","items":{"type":"record","name":"x","fields":[{"name":"a/b","type":"boolean"}]}}],"default":null},
		{"name":"f","type":["null","float"],"default":null},{"name":"e","type":["null",{"type":"enum","name":"en","symbols":["A"]}],"default":null},
		{"name":"raw","type":["null","bytes"],"default":null}]}`)
	for entry, path := range map[string]string{
		`{}`: "/n", `{"n":null}`: "/n", `{"n":1.5}`: "/n", `{"n":1.0}`: "/n", `{"n":"1"}`: "/n", `{"n":9223372036854775808}`: "/n", `{"n":1,"i":2147483648}`: "/i",
		`{"n":1,"s":5}`: "/s", `{"n":1,"l":[{"a/b":true},{"a/b":1}]}`: "/l/1/a~1b", `{"n":1,"l":[{"a/b":true},{}]}`: "/l/1/a~1b", `{"n":1,"new":{"x":[0]}}`: "/new",
		`{"n":1,"f":0.1}`: "/f", `{"n":1,"e":"B"}`: "/e", `{"n":1,"raw":"x"}`: "/raw", `{"n":1,"l":[{"a/b":true,"c":1}]}`: "/l/0/c",
	} {
		out, err := s.AppendBody([]byte("kept"), value(t, entry), nil, polled)
		var fit *FitError
		if !asFit(err, &fit) || fit.Path != path || string(out) != "kept" {
			t.Errorf("%s: %v, returned %q; want an error at %s", entry, err, out, path)
		}
	}
	for _, entry := range []string{`{"n":1,"new":[{"x":null}],"s":[],"l":[{}]}`, `{"f":0.5,"e":"A","n":-1,"i":-2147483648}`} {
		if _, err := s.AppendBody(nil, value(t, entry), nil, polled); err != nil {
			t.Errorf("%s: %v", entry, err)
		}
	}
	double := infer(t, `[{"d":0.5}]`, "")
	if _, err := double.AppendBody(nil, value(t, `{"d":1e999}`), nil, polled); err == nil {
		t.Error("a number past every double is written")
	}
}

func asFit(err error, to **FitError) bool {
	fit, ok := err.(*FitError) //nolint:errorlint // it comes bare
	*to = fit
	return ok
}

func TestEncodeIntoRegisteredTypes(t *testing.T) {
	s := parseSchema(t, `{"type":"record","name":"r","namespace":"com.example","fields":[
		{"name":"tier","type":{"type":"enum","name":"Tier","symbols":["MASTER","CHALLENGER"]}},
		{"name":"other","type":["null","Tier","string"]},
		{"name":"counts","type":{"type":"map","values":"int"}},
		{"name":"n","type":["int","double","null"]}]}`)
	codec := codecOf(t, s)
	for entry, want := range map[string]string{
		`{"tier":"CHALLENGER","other":"MASTER","counts":{"a":1,"b":-2},"n":5}`: "map[counts:map[a:1 b:-2] n:map[int:5] other:map[com.example.Tier:MASTER] tier:CHALLENGER]",
		`{"tier":"MASTER","other":"?","counts":{},"n":5000000000}`:             "map[counts:map[] n:map[double:5e+09] other:map[string:?] tier:MASTER]",
		`{"tier":"MASTER","other":null,"counts":{"":0},"n":null}`:              "map[counts:map[:0] n:<nil> other:<nil> tier:MASTER]",
	} {
		body, err := s.AppendBody(nil, value(t, entry), nil, polled)
		if err != nil {
			t.Fatal(err)
		}
		native, rest, err := codec.NativeFromBinary(body)
		if got := fmt.Sprint(native); err != nil || len(rest) > 0 || got != want {
			t.Errorf("%s is %s, %v", entry, got, err)
		}
	}
}

func TestAppendBodyDoesNotAllocate(t *testing.T) {
	list := entries(t, `[{"puuid":"a","lp":1,"rate":0.5,"hot":true,"mini":{"wins":1,"progress":"WLN"},"tags":["x"]},{"puuid":"b","lp":2,"rate":1,"hot":false,"tags":[]}]`)
	stamp := stamps(t, `{"tier":"MASTER"}`)
	s, err := Infer(list, stamp, "challenger")
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(2000, func() {
		for _, e := range list {
			if _, err := s.AppendBody(dst, e, stamp, polled); err != nil {
				t.Fatal(err)
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
