// Package logging writes structured logs: the JSON that Cloud Logging reads, or one readable line on a terminal.
//
// The logger of a run travels in its context: [With] puts it there, [From] takes it out.
package logging

import (
	"context"
	"io"
	"log/slog"
)

// Options say how a logger of [New] writes.
type Options struct {
	// Level is the least severe level that is written.
	Level slog.Level
	// JSON selects Cloud Logging's structured form instead of text.
	JSON bool
	// Scrub, unless nil, is applied to the message and to every string and error among the attributes.
	Scrub func(string) string
}

// New returns a logger that writes to w.
func New(w io.Writer, o Options) *slog.Logger { return slog.New(slog.DiscardHandler) }

// FromEnv returns a logger as the environment asks for it: JSON in Cloud Run (K_SERVICE or CLOUD_RUN_JOB is set), text
// elsewhere, at the level of RIFTLINE_LOG_LEVEL (debug, info, warn or error; info unless set).
func FromEnv(w io.Writer, environ func(string) string, scrub func(string) string) *slog.Logger {
	return slog.New(slog.DiscardHandler)
}

type contextKey struct{}

// With returns a context that carries log.
func With(ctx context.Context, log *slog.Logger) context.Context {
	return context.WithValue(ctx, contextKey{}, log)
}

// From returns the logger that ctx carries, one that discards everything when there is none, and never nil.
func From(ctx context.Context) *slog.Logger {
	if log, ok := ctx.Value(contextKey{}).(*slog.Logger); ok && log != nil {
		return log
	}
	return slog.New(slog.DiscardHandler)
}

// Trace returns a context whose logger ties every line to the request that header, the request's
// X-Cloud-Trace-Context ("TRACE_ID/SPAN_ID;o=1"), names.
func Trace(ctx context.Context, header, project string) context.Context { return ctx }
