package connector

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
)

func strict(t *testing.T, c Connector) string {
	t.Helper()
	data, err := c.Strict()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestStrictForm(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"flat": {
			"\xef\xbb\xbf{ // ours\n\"z\": 1, \"topics\": \"t\", \"name\": \"s\", \"a\": \"<https://h/>\", \"n\": null,\n\"connector.class\": \"GcsSink\", \"tasks.max\": 2, \"e\": \"\", \"x\": true,}",
			"{\n  \"z\": \"1\",\n  \"topics\": \"t\",\n  \"name\": \"s\",\n  \"a\": \"https://h/\",\n  \"connector.class\": \"GcsSink\",\n  \"tasks.max\": \"2\",\n  \"e\": \"\",\n  \"x\": \"true\"\n}\n",
		},
		"REST": {
			`{"tasks": [], "type": "sink", "config": {"topics": "t", "connector.class": "GcsSink"}, "name": "s"}`,
			"{\n  \"name\": \"s\",\n  \"config\": {\n    \"topics\": \"t\",\n    \"connector.class\": \"GcsSink\"\n  }\n}\n",
		},
		"REST without a name": {
			`{"config": {"connector.class": "GcsSink"}}`,
			"{\n  \"config\": {\n    \"connector.class\": \"GcsSink\"\n  }\n}\n",
		},
		"numbers and unicode stay": {
			`{"connector.class":"GcsSink","a":1.50e3,"b":18446744073709551616,"c":"caf\u00e9 \ud83d\ude00 <&> \u0000\n\"\\","d":"\u2028"}`,
			"{\n  \"connector.class\": \"GcsSink\",\n  \"a\": \"1.50e3\",\n  \"b\": \"18446744073709551616\",\n  \"c\": \"café 😀 <&> \\u0000\\n\\\"\\\\\",\n  \"d\": \"\\u2028\"\n}\n",
		},
	} {
		conn, err := Parse("x.json", []byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := strict(t, conn); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestSortedKeys(t *testing.T) {
	conn, err := Parse("x.json", []byte(`{"z":"","topics":"t","b":"","tasks.max":"1","connector.class":"GcsSink","a":"","name":"s"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(conn.Sorted().keys(), " "); got != "name connector.class tasks.max topics a b z" {
		t.Errorf("the order is %s", got)
	}
	if got := strings.Join(conn.keys(), " "); got != "z topics b tasks.max connector.class a name" {
		t.Errorf("the file's order became %s", got)
	}
}

func TestStrictRefusesWhatWouldBeLost(t *testing.T) {
	conn, err := Parse("x.json", []byte(`{"config": {"connector.class": "GcsSink"}, "flush.size": "3"}`))
	if err != nil {
		t.Fatal(err)
	}
	var invalid *Invalid
	if _, err := conn.Strict(); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "flush.size") {
		t.Errorf("%v", err)
	}
	if _, err := Parse("x.json", []byte(`{"connector.class": "GcsSink", "a": "1", "a": "2"}`)); err == nil || !strings.Contains(err.Error(), "more than once") {
		t.Errorf("a key twice: %v", err)
	}
}

// TestTheShippedFilesAreStrict keeps them as riftline fmt writes them.
func TestTheShippedFilesAreStrict(t *testing.T) {
	for _, path := range []string{infra + "challenger.json", infra + "gcs-sink.json"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := strict(t, read(t, path)); got != string(data) {
			t.Errorf("%s is not in the strict form; it is:\n%s", path, got)
		}
	}
}

func FuzzStrict(f *testing.F) {
	for _, path := range []string{infra + "challenger.json", infra + "gcs-sink.json", "testdata/challenger-pasted.json", "testdata/challenger-rest.json", "testdata/gcs-sink-pasted.json"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"name":"a","config":{"name":"b","connector.class":"GcsSink","k":" < https://h > "}}`))
	f.Add([]byte(`{"config":"x","connector.class":"GcsSink","\u2028":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("n.json", data)
		if err != nil {
			return
		}
		once, err := c.Strict()
		if err != nil {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("not JSON: %s", once)
		}
		d, err := Parse("n.json", once)
		if err != nil {
			t.Fatalf("%v in\n%s", err, once)
		}
		if d.Name != c.Name || d.Kind != c.Kind || !maps.Equal(d.Config, c.Config) {
			t.Errorf("%+v became %+v", c, d)
		}
		for _, note := range d.Notes {
			if note.Key != "name" {
				t.Errorf("a strict file has the note %v", note)
			}
		}
		if twice, err := d.Strict(); err != nil || string(twice) != string(once) {
			t.Errorf("%s\nbecame (%v)\n%s", once, err, twice)
		}
	})
}
