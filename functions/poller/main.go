package poller

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
)

// stopWithin is how long polls in flight may take to end after SIGTERM. Cloud Run sends SIGKILL after 10 s.
const stopWithin = 8 * time.Second

// Main serves the functions on PORT (8080 unless set) until SIGTERM or SIGINT, lets the polls in flight publish or take
// back what they began, and returns the process's exit code: 0, or 2 when the environment is not usable.
func Main() int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	s, err := process()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "poller: %v\n", err)
		return 2
	}
	log := s.env.Log
	port := s.env.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	failed := make(chan error, 1)
	go func() { failed <- funcframework.StartHostPort("", port) }()
	select {
	case err := <-failed:
		log.ErrorContext(ctx, "serving", slog.String("port", port), slog.Any("error", err))
		return 1
	case <-ctx.Done():
	}
	log.InfoContext(context.WithoutCancel(ctx), "stopping: polls in flight publish or take back what they began")
	code := 0
	if !s.shutdown(stopWithin) {
		log.ErrorContext(context.WithoutCancel(ctx), "a poll did not end in time; the next one settles what it began")
		code = 1
	}
	if err := s.env.Close(); err != nil {
		log.WarnContext(context.WithoutCancel(ctx), "closing clients", slog.Any("error", err))
	}
	return code
}
