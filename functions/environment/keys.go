package environment

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/logging"
)

// keyAgeWithin is how long the end of a run may wait to learn when a key was added: mostly the answer came long before.
const keyAgeWithin = 250 * time.Millisecond

// oldestKey says for a run's summary which is the oldest version of Secret Manager among those that c's references lead
// to, and how many days ago it was added. Nothing is said when that is not known.
func (e *Environment) oldestKey(ctx context.Context, c connector.Connector) []slog.Attr {
	wait, cancel := context.WithTimeout(ctx, keyAgeWithin)
	defer cancel()
	version, err := e.Secrets.Oldest(wait, append(c.References(), e.Worker.References()...))
	if err != nil {
		logging.From(ctx).DebugContext(ctx, "a key's age is not known", slog.String("connector", c.Name), slog.String("reason", err.Error()))
	}
	if version.Created.IsZero() {
		return nil
	}
	return keyAttrs(version.Secret, version.Number, time.Since(version.Created))
}

// keyAttrs gives the age in days, rounded down to hundredths.
func keyAttrs(name, version string, age time.Duration) []slog.Attr {
	days := math.Floor(max(0, age.Hours()/24)*100) / 100
	return []slog.Attr{slog.Float64("oldest_key_days", days), slog.String("oldest_key", name), slog.String("oldest_key_version", version)}
}
