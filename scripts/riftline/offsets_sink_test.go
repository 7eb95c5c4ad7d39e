package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestOffsetsOfASink(t *testing.T) {
	c := newCloud(t)
	run := func(want int, says string, args ...string) string {
		t.Helper()
		code, out, errOut := commandIn(t, c.environ, "", append([]string{"offsets"}, args...)...)
		if code != want || !strings.Contains(out+errOut, says) {
			t.Fatalf("%v: exit %d, want %d and %q\n%s%s", args, code, want, says, out, errOut)
		}
		return out + errOut
	}
	run(exitDone, "no head gs://state/riftline/drain/archive/things/0.json yet", "show", "archive")
	c.command(t, exitDone, "poll", "things")
	c.command(t, exitDone, "drain", "archive")
	run(exitDone, "things/0", "show", "archive")

	client, err := kgo.NewClient(kgo.SeedBrokers(c.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "things", Value: []byte("no schema id")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := commandIn(t, c.environ, "", "drain", "archive")
	_, line, ok := strings.Cut(out+errOut, "`riftline offsets skip archive things/0 ")
	if code != exitStopped || !ok {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	offset, _, _ := strings.Cut(line, "`")
	var positions []struct{ Lag int64 }
	if err := json.Unmarshal([]byte(run(exitDone, `"lag": 1`, "show", "archive", "--json")), &positions); err != nil || len(positions) != 1 {
		t.Fatalf("%v, %v", positions, err)
	}
	run(exitStopped, "would be taken for archived", "set", "archive", "things/0", "4")
	run(exitStopped, "object: gs://archive/topics/things/partition=0/things+0+0000000000.avro", "set", "archive", "things/0", "0")
	run(exitStopped, "the one that the head is about", "reset", "archive", "things/0")
	run(exitUsage, "no topic-partition things/7", "set", "archive", "things/7", "0")
	run(exitUsage, "no sink", "skip", "things", "things/0", "0")
	if text := run(exitDone, "would become", "skip", "archive", "things/0", offset, "--dry-run"); strings.Contains(text, "by hand") {
		t.Errorf("a dry run leaves an audit line: %s", text)
	}
	run(exitDone, "offsets were changed by hand", "skip", "archive", "things/0", offset)
	run(exitDone, "to be skipped: [["+offset+" "+offset+"]]", "show", "archive")
	if s := c.command(t, exitDone, "drain", "archive"); s["left"] != 0.0 {
		t.Errorf("the drain: %v", s)
	}
}
