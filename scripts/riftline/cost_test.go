package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/cost"
)

func TestValidateCost(t *testing.T) {
	code, out, errOut := command(t, "", "validate", "--cost", userSource, userSink)
	if code != exitDone || errOut != "" {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	// The page of the user's case and the command are one computation.
	page, err := os.ReadFile(filepath.Join("..", "..", "infra", "COST.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"challenger: 43,200 runs × 1 source partition; 72,000 records",
		"gcs-sink: 720 drains × 1 task; 72,000 records → 24,480 objects, 34 a drain (flush.size=3)",
		"flush.size=1000 instead of 3 saves", "--changes-per-day 2400", "the broker and the schema registry",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	for row := range strings.SplitSeq(out, "\n") {
		fields := strings.Fields(row)
		if strings.HasPrefix(row, "  Cloud ") || strings.HasPrefix(row, "  Secret ") || strings.HasPrefix(row, "  together") {
			due := fields[len(fields)-1]
			if !strings.Contains(string(page), "| "+due+" |") {
				t.Errorf("the page does not have %s of %q", due, row)
			}
		}
	}
	code, out, _ = command(t, "", "validate", "--cost", "--set", "gcs-sink:flush.size=1000", "--set", "gcs-sink:riftline.schedule=0 4 * * *",
		"--set", "challenger:riftline.request.variables=platform=kr,euw1; queue=a,b,c", "--set", "challenger:http.timer.interval.millis=300000", "--changes-per-day", "100", userSource, userSink)
	for _, want := range []string{"challenger: 8,640 runs × 6 source partitions; 18,000 records", "gcs-sink: 30 drains × 1 task; 18,000 records → 30 objects"} {
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q:\n%s", code, want, out)
		}
	}
}

func TestMonthOfFiles(t *testing.T) {
	parse := func(text string) connector.Connector {
		t.Helper()
		c, err := connector.Parse("x.json", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	source := func(name, more string) connector.Connector {
		return parse(`{"name":"` + name + `","connector.class":"HttpSourceConnector","kafka.topic":"` + name + `","http.auth.password":"${gcpsecret:a}"` + more + `}`)
	}
	m, err := monthOf([]connector.Connector{
		source("one", `,"http.request.headers":"X: ${gcpsecret:b}, Y: ${gcpsecret:a}, Z: ${env:e}","riftline.trigger":"pubsub"`),
		source("two", `,"riftline.paused":"true","http.timer.interval.millis":"1000"`),
		source("three", `,"http.timer.interval.millis":"1000"`),
		parse(`{"name":"sink","connector.class":"GcsSink","topics":"one, two ,elsewhere","flush.size":"10","tasks.max":"2","riftline.flush.on.drain.end":"False"}`),
		parse(`{"name":"all","connector.class":"GcsSink","topics.regex":"t.*e","flush.size":"1000","riftline.paused":"true","gcs.credentials.json":"${gcpsecret:c}"}`),
	}, cost.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	want := cost.Month{
		Assumptions: cost.Defaults(), SecretCount: 3,
		Sources: []cost.Source{
			{Name: "one", Topic: "one", Runs: cost.Minutes, Units: 1, Secrets: 2, ThroughPubSub: true},
			{Name: "two", Topic: "two", Runs: 0, Units: 1, Secrets: 1},
			// A schedule knows no less than a minute.
			{Name: "three", Topic: "three", Runs: cost.Minutes, Units: 1, Secrets: 1},
		},
		Sinks: []cost.Sink{
			{Name: "sink", Drains: 720, Tasks: 2, FlushSize: 10, LeavesRest: true, Records: 2 * 72000},
			{Name: "all", Drains: 0, Tasks: 1, FlushSize: 1000, Records: 72000, Secrets: 1},
		},
	}
	for i := range want.Sources {
		if m.Sources[i] != want.Sources[i] {
			t.Errorf("%+v\nwant %+v", m.Sources[i], want.Sources[i])
		}
	}
	for i := range want.Sinks {
		if m.Sinks[i] != want.Sinks[i] {
			t.Errorf("%+v\nwant %+v", m.Sinks[i], want.Sinks[i])
		}
	}
	if m.SecretCount != 3 || math.IsNaN(m.Due()) || math.IsInf(m.Due(), 0) {
		t.Errorf("%v secrets, %v", m.SecretCount, m.Due())
	}
}

func TestCostRefuses(t *testing.T) {
	bad := write(t, "bad.json", `{"name":"s","connector.class":"GcsSink","topics":"t","flush.size":"three"}`)
	pattern := write(t, "pattern.json", `{"name":"s","connector.class":"GcsSink","topics.regex":"(","flush.size":"3"}`)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"an assumption without it": {[]string{"--run-seconds", "2", userSource}, "belongs to --cost"},
		"no number":                {[]string{"--cost", "--changes-per-day", "NaN", userSource}, "--changes-per-day"},
		"less than none":           {[]string{"--cost", "--gib=-1", userSource}, "--gib"},
		"a flush.size of words":    {[]string{"--cost", bad}, "flush.size is not a number"},
		"a pattern that is none":   {[]string{"--cost", pattern}, "topics.regex"},
		"a schedule that is none":  {[]string{"--cost", "--set", "gcs-sink:riftline.schedule=hourly", userSink}, "riftline.schedule"},
		"two of one name":          {[]string{"--cost", userSink, userSink}, "is the name of"},
		"set for nobody":           {[]string{"--cost", "--set", "nobody:flush.size=3", userSink}, "no connector of that name"},
		"a file that is missing":   {[]string{"--cost", "none.json"}, "none.json"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(t, "", append([]string{"validate"}, c.args...)...)
			if code != exitUsage || !strings.Contains(errOut, c.says) {
				t.Errorf("exit %d\n%s%s\nwant 2 and %q", code, out, errOut, c.says)
			}
		})
	}
}
