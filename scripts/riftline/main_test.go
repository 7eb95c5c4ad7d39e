package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	userSource = filepath.Join("..", "..", "infra", "connectors", "challenger.json")
	userSink   = filepath.Join("..", "..", "infra", "connectors", "gcs-sink.json")
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestUsageMistakes(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown command":        {[]string{"rum"}, "run"},
		"unknown flag":           {[]string{"run", "--polss", "3"}, "--polss"},
		"no files":               {[]string{"run"}, "required flag"},
		"nothing to validate":    {[]string{"validate"}, "at least 1"},
		"a file that is missing": {[]string{"validate", filepath.Join(dir, "none.json")}, "none.json"},
		"source and sink swapped": {
			[]string{"run", "--out", dir, "--source", userSink, "--sink", userSource}, "--sink",
		},
		"set for nobody":             {[]string{"validate", "--set", "nobody:flush.size=3", userSink}, "no connector of that name"},
		"run with set for nobody":    {[]string{"run", "--simulate", "--out", dir, "--set", "nobody:flush.size=3", "--source", userSource, "--sink", userSink}, "no connector of that name"},
		"a sink of another topic":    {[]string{"run", "--simulate", "--out", dir, "--set", "gcs-sink:topics=other", "--source", userSource, "--sink", userSink}, "does not archive it"},
		"cat of no container file":   {[]string{"cat", userSink}, "not an Avro object container file"},
		"set without a name":         {[]string{"validate", "--set", "flush.size=3", userSink}, "NAME:KEY=VALUE"},
		"time that runs backwards":   {[]string{"run", "--out", dir, "--interval", "-5s", "--polls", "0", "--simulate", "--source", userSource, "--sink", userSink}, "--interval"},
		"another kind of bucket":     {[]string{"run", "--out", dir, "--gcs", "fake", "--source", userSource, "--sink", userSink}, "--gcs"},
		"a task too many":            {[]string{"drain", "gcs-sink", "--task", "2", "--tasks", "2"}, "--task"},
		"a variable without a value": {[]string{"poll", "challenger", "--variable", "x"}, "NAME=VALUE"},
		"a URL that is not simulated": {
			[]string{"run", "--simulate", "--out", dir, "--set", "challenger:http.request.url=https://example.com", "--source", userSource, "--sink", userSink}, "--simulate",
		},
		"a bucket's name that is none": {
			[]string{"run", "--simulate", "--out", filepath.Join(dir, "bucket"), "--set", "gcs-sink:gcs.bucket.name=No_Bucket!", "--set", "gcs-sink:flush.size=many", "--source", userSource, "--sink", userSink}, "flush.size",
		},
		"an offset that is none":    {[]string{"offsets", "set", "gcs-sink", "challenger/0", "many"}, "not an offset"},
		"a partition that is none":  {[]string{"offsets", "set", "gcs-sink", "challenger", "1"}, "TOPIC/PARTITION"},
		"a range backwards":         {[]string{"offsets", "skip", "gcs-sink", "challenger/0", "5..3"}, "OFFSET..OFFSET"},
		"no environment to poll in": {[]string{"poll", "challenger"}, "RIFTLINE_"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(t, "", c.args...)
			if code != exitUsage || !strings.Contains(errOut+out, c.says) {
				t.Errorf("exit %d\n%s%s\nwant 2 and %q", code, out, errOut, c.says)
			}
		})
	}
}

func TestValidateExplainsTheUsersFiles(t *testing.T) {
	code, out, errOut := command(t, "", "validate", userSource, userSink)
	if code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	for _, key := range []string{"http.request.url", "http.response.record.offset.pointer", "flush.size", "gcs.bucket.name", "confluent.topic.bootstrap.servers"} {
		if !strings.Contains(out, key) {
			t.Errorf("validate does not speak of %s", key)
		}
	}
	code, out, _ = command(t, "", "validate", "--set", "gcs-sink:flush.size=1000", userSink)
	if code != exitDone || !strings.Contains(out, "1000") {
		t.Errorf("exit %d; an override is not shown:\n%s", code, out)
	}
}

func TestValidateListsAllMistakesOfAllFiles(t *testing.T) {
	bad := write(t, "bad.json", `{
		"name": "bad sink!", "connector.class": "io.confluent.connect.gcs.GcsSinkConnector", "topics": "",
		"flush.size": "three", "gcs.part.size": "1", "riftline.flush.on.drain.ends": "true", "transforms": "x"
	}`)
	torn := write(t, "torn.json", `{"name": `)
	// A file that is not there keeps none of the others from being looked at.
	code, out, _ := command(t, "", "validate", filepath.Join(t.TempDir(), "none.json"), bad, torn)
	if code != exitUsage {
		t.Errorf("exit %d, want 2", code)
	}
	for _, key := range []string{"none.json", "name", "flush.size", "gcs.part.size", "riftline.flush.on.drain.ends", "transforms", "torn.json"} {
		if !strings.Contains(out, key) {
			t.Errorf("validate does not speak of %s:\n%s", key, out)
		}
	}
}

func TestValidateRefusesTwoNamesAlike(t *testing.T) {
	data, err := os.ReadFile(userSink)
	if err != nil {
		t.Fatal(err)
	}
	other := write(t, "other.json", string(data))
	code, out, _ := command(t, "", "validate", userSink, other)
	if code != exitUsage || !strings.Contains(out, "gcs-sink is the name of the connector in") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestALogLevelThatIsNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	code, out, errOut := commandIn(t, []string{"RIFTLINE_LOG_LEVEL=verbose"}, "", "run", "--simulate", "--out", dir, "--source", userSource, "--sink", userSink)
	if code != exitUsage || !strings.Contains(errOut, "debug, info, warn, error") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "objects", 1: "object", 2: "objects"} {
		if got := plural(n, "object"); got != want {
			t.Errorf("%d %s", n, got)
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {}, {"run", "--help"}, {"validate", "--help"}, {"poll", "--help"}, {"drain", "--help"}, {"cat", "--help"}, {"import", "--help"}, {"fmt", "--help"}, {"offsets", "--help"}, {"offsets", "show", "--help"}, {"offsets", "set", "--help"}, {"offsets", "reset", "--help"}, {"offsets", "settle", "--help"}, {"offsets", "rebuild", "--help"}, {"offsets", "skip", "--help"}, {"completion", "bash"}} {
		code, out, errOut := command(t, "", args...)
		if code != exitDone || out == "" || errOut != "" {
			t.Errorf("%v: exit %d, %d bytes, %s", args, code, len(out), errOut)
		}
		if args := strings.Join(args, " "); strings.HasSuffix(args, "--help") && (!strings.Contains(out, "Examples:") || !strings.Contains(out, "Exit codes:")) {
			t.Errorf("%s shows no example, or not the exit codes", args)
		}
	}
}

func TestVersion(t *testing.T) {
	code, out, _ := command(t, "", "version")
	if code != exitDone || !strings.HasPrefix(out, "riftline ") || !strings.Contains(out, "go1.") {
		t.Errorf("exit %d, %q", code, out)
	}
}

func TestLastVariableWins(t *testing.T) {
	a := &app{environ: []string{"A=1", "AB=3", "A=2"}, out: &bytes.Buffer{}}
	if got := a.getenv("A"); got != "2" {
		t.Errorf("A is %q, want 2", got)
	}
}
