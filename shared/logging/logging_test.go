package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/secret"
)

const key = "RGAPI-0123-hunter2"

func scrub(s string) string { return strings.ReplaceAll(s, key, "[redacted]") }

func environ(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func decode(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("not one JSON object: %v\n%s", err, line)
	}
	return m
}

func TestJSONHasCloudLoggingsFields(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelDebug: "DEBUG", slog.LevelInfo: "INFO", slog.LevelWarn: "WARNING", slog.LevelError: "ERROR",
	} {
		var buf bytes.Buffer
		log := logging.New(&buf, logging.Options{Level: slog.LevelDebug, JSON: true})
		log.Log(t.Context(), level, "poll done", slog.Int("new", 3), slog.Duration("took", 1500*time.Millisecond))
		m := decode(t, buf.Bytes())
		if m["severity"] != want || m["message"] != "poll done" || m["new"] != 3.0 || m["took"] != "1.5s" {
			t.Errorf("%v: got %v", level, m)
		}
		if _, err := time.Parse(time.RFC3339Nano, m["time"].(string)); err != nil {
			t.Errorf("time: %v", err)
		}
		location, has := m["logging.googleapis.com/sourceLocation"].(map[string]any)
		if has != (level == slog.LevelError) {
			t.Errorf("%v: source location present is %v", level, has)
		}
		if has && (location["file"] != "logging/logging_test.go" || !strings.Contains(location["function"].(string), "TestJSON")) {
			t.Errorf("source location: %v", location)
		}
		for _, other := range []string{"msg", "level"} {
			if _, has := m[other]; has {
				t.Errorf("slog's own field %q is written too", other)
			}
		}
	}
}

func TestLevelKeepsQuiet(t *testing.T) {
	var buf bytes.Buffer
	log := logging.New(&buf, logging.Options{Level: slog.LevelWarn, JSON: true})
	log.InfoContext(t.Context(), "nothing to see")
	if log.Enabled(t.Context(), slog.LevelInfo) || buf.Len() != 0 {
		t.Errorf("wrote %q below its level", buf.String())
	}
}

func TestTextIsOneReadableLine(t *testing.T) {
	var buf bytes.Buffer
	log := logging.New(&buf, logging.Options{})
	log.With(slog.String("connector", "challenger")).WithGroup("kafka").
		WarnContext(t.Context(), "broker\nslow", slog.String("topic", "two words"), slog.String("msg", "kept"))
	line := buf.String()
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Errorf("not one line: %q", line)
	}
	want := `WARN  broker slow  connector=challenger kafka.topic="two words" kafka.msg=kept`
	if !strings.Contains(line, want) {
		t.Errorf("got %q, want %q in it", line, want)
	}
}

func TestTextLeavesOutCloudLoggingsFields(t *testing.T) {
	var buf bytes.Buffer
	ctx := logging.With(t.Context(), logging.New(&buf, logging.Options{}))
	ctx = logging.Trace(ctx, "105445aa7843bc8bf206b12000100000/1;o=1", "p")
	logging.From(ctx).ErrorContext(ctx, "stopped")
	if strings.Contains(buf.String(), "googleapis") {
		t.Errorf("got %q", buf.String())
	}
}

type header struct{ Values http.Header }

type loud struct{ text string }

func (l loud) String() string { return l.text }

func TestNoCredentialPasses(t *testing.T) {
	wrapped := fmt.Errorf("asking: %w", errors.New("token "+key))
	var none *bytes.Buffer
	log := map[string]func(*slog.Logger){
		"message":        func(l *slog.Logger) { l.InfoContext(t.Context(), "got "+key) },
		"string":         func(l *slog.Logger) { l.InfoContext(t.Context(), "m", slog.String("a", key)) },
		"error":          func(l *slog.Logger) { l.InfoContext(t.Context(), "m", slog.Any("error", wrapped)) },
		"stringer":       func(l *slog.Logger) { l.InfoContext(t.Context(), "m", slog.Any("a", loud{key})) },
		"nil stringer":   func(l *slog.Logger) { l.InfoContext(t.Context(), key, slog.Any("a", none)) },
		"bytes":          func(l *slog.Logger) { l.InfoContext(t.Context(), "m", slog.Any("a", []byte(key))) },
		"strings":        func(l *slog.Logger) { l.InfoContext(t.Context(), "m", slog.Any("a", []string{"x", key})) },
		"struct":         func(l *slog.Logger) { l.InfoContext(t.Context(), "m", slog.Any("a", header{http.Header{"T": {key}}})) },
		"nested groups":  func(l *slog.Logger) { l.InfoContext(t.Context(), "m", slog.Group("g", slog.Group("h", "a", key))) },
		"with":           func(l *slog.Logger) { l.With("a", key).InfoContext(t.Context(), "m") },
		"with in group":  func(l *slog.Logger) { l.WithGroup("g").With("a", key).InfoContext(t.Context(), "m", "b", key) },
		"an unresolved":  func(l *slog.Logger) { l.InfoContext(t.Context(), "m", slog.Any("a", slog.AnyValue(wrapped))) },
		"errors in with": func(l *slog.Logger) { l.With("error", wrapped).WithGroup("g").ErrorContext(t.Context(), "m") },
	}
	for name, write := range log {
		for _, form := range []bool{true, false} {
			var buf bytes.Buffer
			write(logging.New(&buf, logging.Options{JSON: form, Scrub: scrub}))
			if strings.Contains(buf.String(), "hunter2") {
				t.Errorf("%s (JSON %v): %s", name, form, buf.String())
			}
			if !strings.Contains(buf.String(), "[redacted]") {
				t.Errorf("%s (JSON %v): the credential never came to the handler: %s", name, form, buf.String())
			}
			if form {
				decode(t, buf.Bytes())
			}
		}
	}
}

func TestCredentialThatBecomesKnownLater(t *testing.T) {
	r := secret.NewResolver(nil)
	var buf bytes.Buffer
	log := logging.New(&buf, logging.Options{Scrub: r.Scrub}).With("a", key)
	r.Hide(key)
	log.InfoContext(t.Context(), "m")
	if strings.Contains(buf.String(), "hunter2") {
		t.Error(buf.String())
	}
}

func TestGroupsNest(t *testing.T) {
	var buf bytes.Buffer
	log := logging.New(&buf, logging.Options{JSON: true})
	base := log.With("a", 1).WithGroup("g")
	base.With("b", 2).InfoContext(t.Context(), "m", "c", 3)
	base.With("other", 9)
	m := decode(t, buf.Bytes())
	g, _ := m["g"].(map[string]any)
	if m["a"] != 1.0 || g["b"] != 2.0 || g["c"] != 3.0 || len(g) != 2 {
		t.Errorf("got %v", m)
	}
}

func TestFromEnv(t *testing.T) {
	for name, c := range map[string]struct {
		env       []string
		json      bool
		debug     bool
		complaint bool
	}{
		"a terminal":           {nil, false, false, false},
		"a function":           {[]string{"K_SERVICE", "poller"}, true, false, false},
		"a job":                {[]string{"CLOUD_RUN_JOB", "sink"}, true, false, false},
		"debug":                {[]string{"RIFTLINE_LOG_LEVEL", "DEBUG"}, false, true, false},
		"a level that is none": {[]string{"RIFTLINE_LOG_LEVEL", "loud"}, false, false, true},
	} {
		var buf bytes.Buffer
		log := logging.FromEnv(&buf, environ(c.env...), nil)
		if got := buf.Len() > 0; got != c.complaint {
			t.Errorf("%s: complaint is %v: %s", name, got, buf.String())
		}
		buf.Reset()
		log.InfoContext(t.Context(), "m")
		if got := strings.HasPrefix(buf.String(), "{"); got != c.json {
			t.Errorf("%s: JSON is %v: %s", name, got, buf.String())
		}
		if got := log.Enabled(t.Context(), slog.LevelDebug); got != c.debug {
			t.Errorf("%s: debug is %v", name, got)
		}
	}
}

func TestFromIsNeverNil(t *testing.T) {
	for _, ctx := range []context.Context{context.Background(), logging.With(context.Background(), nil)} {
		logging.From(ctx).ErrorContext(ctx, "to nobody")
	}
}

func TestTrace(t *testing.T) {
	const id = "105445aa7843bc8bf206b12000100000"
	for name, c := range map[string]struct {
		header, project string
		want            map[string]any
	}{
		"whole":        {id + "/74;o=1", "p", map[string]any{"trace": "projects/p/traces/" + id, "spanId": "000000000000004a", "trace_sampled": true}},
		"id only":      {id, "p", map[string]any{"trace": "projects/p/traces/" + id}},
		"not sampled":  {id + "/1;o=0", "p", map[string]any{"trace": "projects/p/traces/" + id, "spanId": "0000000000000001", "trace_sampled": false}},
		"no header":    {"", "p", nil},
		"no project":   {id + "/74;o=1", "", nil},
		"not a header": {`"},"x":"` + id, "p", nil},
	} {
		var buf bytes.Buffer
		ctx := logging.With(t.Context(), logging.New(&buf, logging.Options{JSON: true}))
		ctx = logging.Trace(ctx, c.header, c.project)
		logging.From(ctx).InfoContext(ctx, "m")
		m := decode(t, buf.Bytes())
		for _, field := range []string{"trace", "spanId", "trace_sampled"} {
			if got := m["logging.googleapis.com/"+field]; got != c.want[field] {
				t.Errorf("%s: %s is %v, want %v", name, field, got, c.want[field])
			}
		}
	}
}

func TestLinesDoNotMix(t *testing.T) {
	var buf bytes.Buffer
	log := logging.New(&buf, logging.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				log.InfoContext(t.Context(), "m", "worker", i, "text", strings.Repeat("x", 100))
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
	if len(lines) != 400 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		if !strings.HasSuffix(line, "xxx") || strings.Count(line, "worker=") != 1 {
			t.Fatalf("a torn line: %q", line)
		}
	}
}
