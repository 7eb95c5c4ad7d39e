// Package logging writes structured logs: the JSON that Cloud Logging reads, or one readable line on a terminal.
//
// The logger of a run travels in its context: [With] puts it there, [From] takes it out. Field names are those of
// "Cloud Logging, structured logging, special JSON fields": severity, message, time, logging.googleapis.com/trace,
// logging.googleapis.com/spanId, logging.googleapis.com/trace_sampled, logging.googleapis.com/sourceLocation.
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Options say how a logger of [New] writes.
type Options struct {
	// Level is the least severe level that is written.
	Level slog.Level
	// JSON selects Cloud Logging's structured form instead of text.
	JSON bool
	// Scrub, unless nil, is applied to the message and to every string and error among the attributes, in groups too,
	// and to any other value whose printed form it would change. It is applied when a line is written, so that it also
	// covers attributes that a logger was given before the credential in them became known.
	Scrub func(string) string
}

// New returns a logger that writes to w, one line and one Write per record.
//
// In JSON, records of level error and above carry their source location. In text, a line is the time of day, the level,
// the message and the attributes.
func New(w io.Writer, o Options) *slog.Logger {
	h := &handler{scrub: o.Scrub, level: o.Level}
	if o.JSON {
		h.inner, h.json = newJSON(w), true
	} else {
		h.inner = newText(w)
	}
	return slog.New(h)
}

// LevelVariable is the environment variable that [FromEnv] takes the level from.
const LevelVariable = "RIFTLINE_LOG_LEVEL"

// FromEnv returns a logger as the environment asks for it: JSON in Cloud Run (K_SERVICE or CLOUD_RUN_JOB is set), text
// elsewhere, at the level of RIFTLINE_LOG_LEVEL (debug, info, warn or error; info unless set). A level that does not
// exist is info, with a warning. The parameter scrub may be nil.
func FromEnv(w io.Writer, environ func(string) string, scrub func(string) string) *slog.Logger {
	o := Options{JSON: environ("K_SERVICE") != "" || environ("CLOUD_RUN_JOB") != "", Scrub: scrub}
	level, err := ReadLevel(environ(LevelVariable))
	o.Level = level
	log := New(w, o)
	if err != nil {
		log.LogAttrs(context.Background(), slog.LevelWarn, "the level cannot be read; info is used", slog.Any("error", err))
	}
	return log
}

// ReadLevel reads a level as RIFTLINE_LOG_LEVEL has it: debug, info, warn or error in any case, info when empty. The
// error names variable and values; the level is info then.
func ReadLevel(text string) (slog.Level, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return slog.LevelInfo, fmt.Errorf("%s=%q is none of debug, info, warn, error", LevelVariable, text)
}

type contextKey struct{}

// With returns a context that carries log.
func With(ctx context.Context, log *slog.Logger) context.Context {
	return context.WithValue(ctx, contextKey{}, log)
}

// From returns the logger that ctx carries; one that discards everything when there is none, and never nil.
func From(ctx context.Context) *slog.Logger {
	if log, ok := ctx.Value(contextKey{}).(*slog.Logger); ok && log != nil {
		return log
	}
	return slog.New(slog.DiscardHandler)
}

// Trace returns a context whose logger ties every line to the request that header names. The parameter header is the
// request's X-Cloud-Trace-Context ("TRACE_ID/SPAN_ID;o=OPTIONS", Cloud Trace), project the project that the trace
// belongs to. A header that is not of this form, or no project, leaves ctx as it is.
func Trace(ctx context.Context, header, project string) context.Context {
	attrs := traceAttrs(header, project)
	if attrs == nil {
		return ctx
	}
	return With(ctx, slog.New(From(ctx).Handler().WithAttrs(attrs)))
}
