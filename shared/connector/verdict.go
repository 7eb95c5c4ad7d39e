package connector

import "fmt"

// Class says what becomes of a key.
type Class uint8

// The classes of a [Verdict].
const (
	// Honoured keys do here what they do in Connect; a difference is said in the reason.
	Honoured Class = iota + 1
	// Ignored keys have no meaning here, and leaving them out changes nothing.
	Ignored
	// Refused keys would change results and are not built: with such a value the connector does not run.
	Refused
	// Advised keys are honoured, and there is something to know about them.
	Advised
	// Unknown keys are none of Connect's, of the connector's and of riftline's.
	Unknown
)

// String returns the class as validate prints it.
func (c Class) String() string {
	switch c {
	case Honoured:
		return "honoured"
	case Ignored:
		return "ignored"
	case Refused:
		return "refused"
	case Advised:
		return "advice"
	case Unknown:
		return "unknown"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Verdict is what riftline makes of one key.
type Verdict struct {
	Key string
	// Value is what the key is set to, credentials redacted; references stand as they are written.
	Value string
	// From is "file", "override", "default" or the environment name of a worker setting.
	From   string
	Class  Class
	Reason string
}

// CheckOptions say how strict a check is and what stands in for what.
type CheckOptions struct {
	// Strict makes a key that nobody knows an error, where it otherwise is a warning.
	Strict bool
	// Local says that an embedded broker, registry and bucket stand in where none is configured, so that a missing one
	// is no problem, and that the credentials of the archive bucket are not asked for.
	Local bool
	// Worker makes Explain miss what a run takes from the worker's environment (brokers, schema registry): the
	// environment is that of the run.
	Worker bool
}

// The places of [Verdict.From] that are no environment name.
const (
	fromFile     = "file"
	fromOverride = "override"
	fromDefault  = "default"
)
