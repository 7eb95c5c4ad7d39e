package environment

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/poll"
)

// logged gives the fields of the one line that f logs, as Cloud Logging gets it.
func logged(t *testing.T, f func(*slog.Logger)) map[string]any {
	t.Helper()
	var out bytes.Buffer
	f(logging.New(&out, logging.Options{JSON: true}))
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return fields
}

// TestMetricsReadWhatIsLogged keeps the log-based metrics of infra in step with the summaries: what their filters and
// labels read is there in every line, also of a run that did nothing, and outcomes are called so.
func TestMetricsReadWhatIsLogged(t *testing.T) {
	files, err := filepath.Glob("../../infra/modules/alerts/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v %v", files, err)
	}
	var config strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		config.Write(data)
	}
	key := keyAttrs("projects/1/secrets/k", "3", 36*time.Hour)
	polled := logged(t, func(log *slog.Logger) {
		logSummary(logging.With(t.Context(), log), poll.Summary{Outcome: poll.NothingNew}, key...)
	})
	drained := logged(t, func(log *slog.Logger) {
		logDrain(logging.With(t.Context(), log), drain.Summary{Outcome: drain.NothingNew}, key...)
	})
	if polled["message"] != "poll" || drained["message"] != "drain" {
		t.Errorf("messages %v and %v", polled["message"], drained["message"])
	}
	read := map[string]bool{}
	for _, m := range regexp.MustCompile(`jsonPayload\.([a-z_]+)`).FindAllStringSubmatch(config.String(), -1) {
		read[m[1]] = true
	}
	// Labels are extracted by their own names.
	for _, m := range regexp.MustCompile(`labels += \[([^\]]*)\]`).FindAllStringSubmatch(config.String(), -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			read[strings.Trim(name, ` "`)] = true
		}
	}
	if len(read) < 7 || !read["oldest_key_days"] {
		t.Errorf("only %v are read", read)
	}
	for _, name := range slices.Sorted(maps.Keys(read)) {
		_, ofPolls := polled[name]
		_, ofDrains := drained[name]
		if !ofDrains || !ofPolls && (name == "connector" || name == "outcome" || name == "message" || name == "oldest_key_days") {
			t.Errorf("jsonPayload.%s is read and not logged: by polls %v, by drains %v", name, ofPolls, ofDrains)
		}
	}
	known := []string{
		string(poll.Published), string(poll.NothingNew), string(poll.AnotherRun), string(poll.Deferred), string(poll.Unavailable), string(poll.Upstream),
		string(poll.Unauthorized), string(poll.Refused), string(poll.SchemaRefused), string(poll.Stopped), string(poll.Unknown),
		string(drain.Drained), string(drain.NothingNew), string(drain.AnotherRun), string(drain.DeadlineReached), string(drain.Interrupted),
		string(drain.Failed), string(drain.Misconfigured), string(drain.Stopped),
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`outcome(?:=one_of\(|=\(|=)((?:\\"[a-z_]+\\"(?:,| OR )?)+)`).FindAllStringSubmatch(config.String(), -1) {
		for _, outcome := range regexp.MustCompile(`[a-z_]+`).FindAllString(m[1], -1) {
			named[outcome] = true
		}
	}
	for outcome := range named {
		if !slices.Contains(known, outcome) {
			t.Errorf("no run ends as %q", outcome)
		}
	}
	// One that a person stops is no failure of its own.
	for _, outcome := range known {
		if !named[outcome] && outcome != string(drain.Interrupted) {
			t.Errorf("no metric counts the outcome %q", outcome)
		}
	}
}

// TestDrainLogSumsUp shows that what metrics count of partitions arrives in the one line of the drain.
func TestDrainLogSumsUp(t *testing.T) {
	line := logged(t, func(log *slog.Logger) {
		logDrain(logging.With(t.Context(), log), drain.Summary{Skipped: 3, DeadLetters: 2, Lost: 5, Outcome: drain.Drained})
	})
	for name, want := range map[string]float64{"skipped": 3, "dead_letters": 2, "lost": 5} {
		if line[name] != want {
			t.Errorf("%s is %v", name, line[name])
		}
	}
}
