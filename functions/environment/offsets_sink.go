package environment

import (
	"context"
	"errors"
	"fmt"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/secret"
)

// Sink hands a sink's settings and what a drain of it works with to do. The error is do's, or says why it could not
// begin; it holds no credential.
func (e *Environment) Sink(ctx context.Context, name string, do func(context.Context, connector.Sink, drain.Deps) error) error {
	ctx = e.WithLog(ctx)
	c, err := e.sinkFile(ctx, name)
	if err != nil {
		return e.scrub(err)
	}
	return e.scrub(e.withSink(ctx, c, do))
}

func (e *Environment) withSink(ctx context.Context, c connector.Connector, do func(context.Context, connector.Sink, drain.Deps) error) error {
	s, err := c.Sink(ctx, e.Worker, e.Secrets, connector.CheckOptions{Local: e.Local})
	var invalid *connector.Invalid
	switch {
	case errors.As(err, &invalid), errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrDenied):
		return drain.Configuration(err)
	case err != nil:
		return fmt.Errorf("resolving connector %s: %w", c.Name, err)
	}
	deps := e.DrainDeps
	done, err := e.drainDeps(ctx, s, &deps)
	if err != nil {
		return err
	}
	defer done()
	return do(ctx, s, deps)
}
