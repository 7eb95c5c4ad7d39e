package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	fieldPrefix   = "logging.googleapis.com/"
	fieldTrace    = fieldPrefix + "trace"
	fieldSpan     = fieldPrefix + "spanId"
	fieldSampled  = fieldPrefix + "trace_sampled"
	fieldLocation = fieldPrefix + "sourceLocation"
)

// handler keeps the attributes of WithAttrs and WithGroup until a record is written, since a credential in them may
// become known only later.
type handler struct {
	inner slog.Handler
	level slog.Level
	json  bool
	scrub func(string) string
	steps []step
}

// step is one WithGroup (group is set) or one WithAttrs.
type step struct {
	group string
	attrs []slog.Attr
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(step{group: name})
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(step{attrs: attrs})
}

func (h *handler) with(s step) slog.Handler {
	c := *h
	c.steps = append(slices.Clip(h.steps), s)
	return &c
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	attrs := make([]slog.Attr, 0, r.NumAttrs()+4)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	for _, s := range slices.Backward(h.steps) {
		if s.group != "" {
			attrs = []slog.Attr{{Key: s.group, Value: slog.GroupValue(attrs...)}}
		} else {
			attrs = append(slices.Clone(s.attrs), attrs...)
		}
	}
	out := slog.NewRecord(r.Time, r.Level, h.clean(r.Message), 0)
	for _, a := range attrs {
		if !h.json && strings.HasPrefix(a.Key, fieldPrefix) {
			continue
		}
		out.AddAttrs(h.cleanAttr(a))
	}
	if h.json && r.Level >= slog.LevelError && r.PC != 0 {
		out.AddAttrs(location(r.PC))
	}
	return h.inner.Handle(ctx, out)
}

func (h *handler) clean(s string) string {
	if h.scrub == nil {
		return s
	}
	return h.scrub(s)
}

func (h *handler) cleanAttr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(h.clean(v.String()))
	case slog.KindGroup:
		members := make([]slog.Attr, 0, len(v.Group()))
		for _, m := range v.Group() {
			members = append(members, h.cleanAttr(m))
		}
		v = slog.GroupValue(members...)
	case slog.KindDuration:
		v = slog.StringValue(v.Duration().String())
	case slog.KindAny:
		v = h.cleanAny(v)
	}
	return slog.Attr{Key: a.Key, Value: v}
}

func (h *handler) cleanAny(v slog.Value) slog.Value {
	switch x := v.Any().(type) {
	case nil:
		return v
	case error:
		return slog.StringValue(h.clean(fmt.Sprint(x)))
	case fmt.Stringer:
		return slog.StringValue(h.clean(fmt.Sprint(x)))
	case []byte:
		return slog.StringValue(h.clean(string(x)))
	}
	if h.scrub == nil {
		return v
	}
	// A structure is kept as it is unless one of the ways in which it would be written shows a credential.
	text := fmt.Sprintf("%+v", v.Any())
	if cleaned := h.scrub(text); cleaned != text {
		return slog.StringValue(cleaned)
	}
	if data, err := json.Marshal(v.Any()); err == nil {
		if cleaned := h.scrub(string(data)); cleaned != string(data) {
			return slog.StringValue(cleaned)
		}
	}
	return v
}

// location names a file by its folder and base name: enough to find it, and no path of the machine that built it.
func location(pc uintptr) slog.Attr {
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return slog.Group(fieldLocation,
		slog.String("file", path.Join(path.Base(path.Dir(f.File)), path.Base(f.File))),
		slog.String("line", strconv.Itoa(f.Line)),
		slog.String("function", f.Function))
}

func newJSON(w io.Writer) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: slog.Level(-128),
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch a.Key {
			case slog.LevelKey:
				if l, ok := a.Value.Any().(slog.Level); ok {
					return slog.String("severity", severity(l))
				}
			case slog.MessageKey:
				a.Key = "message"
			}
			return a
		},
	})
}

func severity(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "ERROR"
	case l >= slog.LevelWarn:
		return "WARNING"
	case l >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

// text writes "15:04:05 INFO  message  name=value name=value". The attributes are slog's own text form.
type text struct {
	mu    sync.Mutex
	w     io.Writer
	buf   bytes.Buffer
	attrs slog.Handler
}

func newText(w io.Writer) slog.Handler {
	t := &text{w: w}
	t.attrs = slog.NewTextHandler(&t.buf, &slog.HandlerOptions{
		Level: slog.Level(-128),
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			_, level := a.Value.Any().(slog.Level)
			if a.Key == slog.LevelKey && level || a.Key == slog.MessageKey && a.Value.String() == "" {
				return slog.Attr{}
			}
			return a
		},
	})
	return t
}

func (t *text) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs and WithGroup are never called: [handler] keeps both to itself.
func (t *text) WithAttrs([]slog.Attr) slog.Handler { return t }
func (t *text) WithGroup(string) slog.Handler      { return t }

func (t *text) Handle(ctx context.Context, r slog.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Reset()
	rest := slog.NewRecord(time.Time{}, r.Level, "", 0)
	r.Attrs(func(a slog.Attr) bool {
		rest.AddAttrs(a)
		return true
	})
	var line strings.Builder
	if !r.Time.IsZero() {
		line.WriteString(r.Time.Format("15:04:05 "))
	}
	fmt.Fprintf(&line, "%-5s %s", r.Level, strings.ReplaceAll(r.Message, "\n", " "))
	if err := t.attrs.Handle(ctx, rest); err != nil {
		return err
	}
	if attrs := strings.TrimSpace(t.buf.String()); attrs != "" {
		line.WriteString("  ")
		line.WriteString(attrs)
	}
	line.WriteByte('\n')
	_, err := io.WriteString(t.w, line.String())
	return err
}
