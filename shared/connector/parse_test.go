package connector

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t *testing.T, path string) Connector {
	t.Helper()
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(path, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const infra = "../../infra/connectors/"

func TestPastedFormsAreTheSameFile(t *testing.T) {
	const headers, credentials = "http.request.headers", "gcs.credentials.json"
	for path, c := range map[string]struct {
		strict string
		apart  string // the key in which they differ on purpose
		notes  []string
	}{
		"testdata/challenger-pasted.json": {infra + "challenger.json", headers, []string{"comments", "<…>", "comma", "number"}},
		"testdata/challenger-rest.json":   {infra + "challenger.json", headers, []string{"<…>", "REST"}},
		"testdata/gcs-sink-pasted.json":   {infra + "gcs-sink.json", credentials, []string{"<…>", "number", "object"}},
	} {
		want, got := read(t, c.strict), read(t, path)
		if got.Name != want.Name || got.Kind != want.Kind {
			t.Errorf("%s: %s, %s", path, got.Name, got.Kind)
		}
		a, b := maps.Clone(got.Config), maps.Clone(want.Config)
		for _, config := range []map[string]string{a, b} {
			delete(config, c.apart)
			delete(config, "name") // the REST form has it outside
		}
		if !maps.Equal(a, b) {
			t.Errorf("%s:\n got %v\nwant %v", path, a, b)
		}
		if got.Config[c.apart] == "" {
			t.Errorf("%s: %s is lost", path, c.apart)
		}
		text := ""
		for _, note := range got.Notes {
			text += note.String() + "\n"
			if note.Severity != Warning {
				t.Errorf("%s: a note is %v", path, note)
			}
		}
		for _, part := range c.notes {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no note on %q:\n%s", path, part, text)
			}
		}
		if strings.Contains(text, "RGAPI") || strings.Contains(text, "Tm90QUtleU") {
			t.Errorf("%s: a note shows a credential:\n%s", path, text)
		}
	}
}

func TestStrictFilesHaveNoNotes(t *testing.T) {
	for _, path := range []string{"challenger.json", "gcs-sink.json"} {
		if c := read(t, infra+path); len(c.Notes) > 0 {
			t.Errorf("%s: %v", path, c.Notes)
		}
	}
}

const (
	sourceClass = `"connector.class":"com.github.castorm.kafka.connect.http.HttpSourceConnector"`
	sinkClass   = `"connector.class":"io.confluent.connect.gcs.GcsSinkConnector"`
)

func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		origin, text string
		wantName     string
		kind         Kind
		key, value   string
		note         string
	}{
		"a comment inside a string is text": {"f.json", `{` + sourceClass + `, "a": "http://x /* y */ // z" , }`, "f", SourceKind, "a", "http://x /* y */ // z", "comma"},
		"an escaped quote ends no string":   {"f.json", `{` + sourceClass + `, "a": "\"//" /* x */}`, "f", SourceKind, "a", `"//`, "comments"},
		"a boolean":                         {"f.json", `{` + sinkClass + `, "a": true}`, "f", SinkKind, "a", "true", "boolean"},
		"a null is left out":                {"f.json", `{` + sinkClass + `, "a": null}`, "f", SinkKind, "a", "", "null"},
		"the name of the file":              {"gs://b/connectors/eu.ladder.json", `{` + sinkClass + `}`, "eu.ladder", SinkKind, "", "", ""},
		"the key name":                      {"f.json", `{` + sinkClass + `,"name":"n"}`, "n", SinkKind, "", "", ""},
		"REST name before the key":          {"f.json", `{"name":"outer","config":{` + sinkClass + `,"name":"inner"}}`, "outer", SinkKind, "", "", "Connect refuses"},
		"something else beside config":      {"f.json", `{"name":"n","more":"x","config":{` + sinkClass + `}}`, "n", SinkKind, "", "", "outside"},
		"a key called config":               {"f.json", `{` + sinkClass + `,"config":"x"}`, "f", SinkKind, "config", "x", ""},
		"a byte order mark":                 {"f.json", "\ufeff{" + sinkClass + `}`, "f", SinkKind, "", "", "byte order"},
		"a short class name":                {"f.json", `{"connector.class":"GcsSink"}`, "f", SinkKind, "", "", ""},
		"an accented value":                 {"f.json", `{` + sinkClass + `,"a":"é\u00e9"}`, "f", SinkKind, "a", "éé", ""},
		"a bracketed value":                 {"f.json", `{` + sinkClass + `,"a":<x>}`, "f", SinkKind, "a", "x", "<…>"},
		"brackets that are no URL stay":     {"f.json", `{` + sinkClass + `,"a":"<x>"}`, "f", SinkKind, "a", "<x>", ""},
	} {
		got, err := Parse(c.origin, []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Name != c.wantName || got.Kind != c.kind || got.Config[c.key] != c.value {
			t.Errorf("%s: %+v", name, got)
		}
		text := ""
		for _, note := range got.Notes {
			text += note.String()
		}
		if c.note == "" && text != "" || !strings.Contains(text, c.note) {
			t.Errorf("%s: notes %q, want %q", name, text, c.note)
		}
	}
}

func TestWhatIsNoConnectorFile(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":             {" \n", []string{"empty"}},
		"an array":            {"[]", []string{"another JSON value"}},
		"half an object":      {`{"a": "b"`, []string{"ends too early"}},
		"a syntax error":      {"{\n  \"a\": \"b\"\n  \"c\": \"hunter2\"\n}", []string{"line 3, column 3"}},
		"two objects":         {`{` + sinkClass + `} {}`, []string{"something follows"}},
		"no class":            {`{"name":"x"}`, []string{"connector.class is missing"}},
		"another class":       {`{"connector.class":"io.confluent.connect.s3.S3SinkConnector"}`, []string{"not a connector that riftline stands in for"}},
		"a misspelt class":    {`{"connector.class":"io.confluent.connect.gcs.GcsSinkConector"}`, []string{"did you mean io.confluent.connect.gcs.GcsSinkConnector?"}},
		"several at once":     {`{"name":"a b","a":"1","a":"2","b":[1],"c":{}}`, []string{"more than once", "b is not a string", "c is not a string", "connector.class is missing", `"a b" is not usable`}},
		"a name too long":     {`{` + sinkClass + `,"name":"` + strings.Repeat("x", 65) + `"}`, []string{"1 to 64"}},
		"an empty key":        {`{` + sinkClass + `,"":"x"}`, []string{"a key is empty"}},
		"a key twice in REST": {`{"name":"n","config":{` + sinkClass + `,"flush.size":"1","flush.size":"2"}}`, []string{"flush.size stands in the file more than once"}},
		"invalid UTF-8":       {"{" + sinkClass + ",\"a\":\"\xff\"}", []string{"not a JSON object"}},
		"an unended comment":  {`{` + sinkClass + ` /* x`, []string{"not a JSON object"}},
	} {
		_, err := Parse("f.json", []byte(c.text))
		var invalid *Invalid
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", name, err, want)
			}
		}
		if len(invalid.Problems.Errors()) != len(c.want) {
			t.Errorf("%s: %d errors, want %d: %v", name, len(invalid.Problems.Errors()), len(c.want), err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
	}
	if _, err := Parse("f.json", []byte(strings.Repeat(" ", largest+1))); err == nil || !strings.Contains(err.Error(), "right file") {
		t.Errorf("too large: %v", err)
	}
}

func TestTwoOfOneName(t *testing.T) {
	a := Connector{Name: "a", Origin: "a.json"}
	b := Connector{Name: "b", Origin: "b.json"}
	again := Connector{Name: "a", Origin: "copy.json"}
	if err := Names([]Connector{a, b}); err != nil {
		t.Error(err)
	}
	err := Names([]Connector{a, b, again})
	var invalid *Invalid
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "a.json") || invalid.Origin != "copy.json" {
		t.Errorf("got %v", err)
	}
}

func TestOverrides(t *testing.T) {
	c := read(t, infra+"gcs-sink.json")
	d := c.With(map[string]string{"flush.size": "500", "topics.dir": "", "name": "other", "connector.class": "x"}).
		With(map[string]string{"bootstrap.servers": "b:9092"})
	if c.Config["flush.size"] != "3" || len(c.overrides) != 0 {
		t.Error("With changes the original")
	}
	if d.Name != "gcs-sink" || d.Kind != SinkKind || d.Config["flush.size"] != "500" {
		t.Errorf("%+v", d)
	}
	verdicts, problems := d.Explain(Worker{}, CheckOptions{})
	from := map[string]string{}
	for _, v := range verdicts {
		from[v.Key] = v.From + " " + v.Value
	}
	for key, want := range map[string]string{"flush.size": "override 500", "topics.dir": "override ", "bootstrap.servers": "override b:9092", "topics": "file challenger"} {
		if from[key] != want {
			t.Errorf("%s: from %q, want %q", key, from[key], want)
		}
	}
	if n := len(problems.Errors()); n != 2 {
		t.Errorf("name and connector.class can not be overridden: %v", problems.Errors())
	}
}

func TestAnEmptyOverrideTakesAKeyBack(t *testing.T) {
	c := read(t, infra+"challenger.json")
	c.Config["riftline.dedupe"] = "timestamp"
	c.Config["http.client.read.timeout.millis"] = "2000"
	if _, problems := c.Explain(Worker{}, CheckOptions{}); len(problems.Errors()) != 1 {
		t.Fatalf("%v", problems)
	}
	d := c.With(map[string]string{"riftline.dedupe": "", "http.client.read.timeout.millis": ""})
	_, problems := d.Explain(Worker{}, CheckOptions{})
	s, _ := d.Source(t.Context(), Worker{}, nil, CheckOptions{Local: true})
	if len(problems.Errors()) != 0 || s.Client.ReadTimeout != defaultReadTimeout {
		t.Errorf("%v, %v", s.Client.ReadTimeout, problems)
	}
	if _, problems := c.With(map[string]string{"riftline.dedupe": "", "kafka.topic": ""}).Explain(Worker{}, CheckOptions{}); len(problems.Errors()) != 1 {
		t.Errorf("a key that has to be there can not be taken back: %v", problems)
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{infra + "challenger.json", infra + "gcs-sink.json", "testdata/challenger-pasted.json", "testdata/challenger-rest.json", "testdata/gcs-sink-pasted.json", "testdata/five-mistakes.json"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{` + sinkClass + `,"a":<b>,//x` + "\n}"))
	f.Add([]byte(`{"config":{"config":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.json", data)
		var invalid *Invalid
		if err != nil {
			if !errors.As(err, &invalid) || len(invalid.Problems.Errors()) == 0 || err.Error() == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		if !ValidName(c.Name) || c.Kind != SourceKind && c.Kind != SinkKind {
			t.Fatalf("%+v", c)
		}
		verdicts, _ := c.Explain(NewWorker([]string{"CONNECT_SASL_JAAS_CONFIG=x", "CONNECT_SECURITY_PROTOCOL=SASL_SSL"}), CheckOptions{Strict: true})
		seen := map[string]bool{}
		for _, v := range verdicts {
			seen[v.Key] = true
		}
		for key := range c.Config {
			if !seen[key] {
				t.Errorf("no verdict on %q", key)
			}
		}
		var out strings.Builder
		Render(&out, c, verdicts, nil)
	})
}
