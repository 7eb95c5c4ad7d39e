// Package secret keeps credentials out of everything that is written, and finds them where a connector file refers to
// them.
//
// A [Value] is a credential that does not show itself. A [Resolver] replaces the references of a text
// (${gcpsecret:…}, ${env:…}, ${file:…}, ${dir:…}; the form is that of Kafka Connect's config providers, KIP-297) and
// knows every credential it has seen, so that [Resolver.Scrub] can take them out of anything that is about to be
// written.
package secret

import (
	"fmt"
	"log/slog"
)

const hidden = "[redacted]"

// Value is a credential. It shows itself only through Reveal; every way of printing, logging or marshalling it writes
// "[redacted]", or nothing when it is empty.
type Value struct {
	// text is a pointer since fmt prints unexported fields of other packages' structures without asking their methods:
	// of a pointer at depth it prints the address only.
	text *string
}

// New hides text in a Value.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{text: &text}
}

// Reveal returns the credential itself. Call it only where it is handed to the peer that asks for it.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// Empty reports whether there is no credential.
func (v Value) Empty() bool { return v.text == nil }

// Equal reports whether both are the same credential.
func (v Value) Equal(o Value) bool { return v.Reveal() == o.Reveal() }

// String implements fmt.Stringer.
func (v Value) String() string {
	if v.Empty() {
		return ""
	}
	return hidden
}

// GoString implements fmt.GoStringer, for %#v.
func (v Value) GoString() string { return "secret.Value(" + v.String() + ")" }

// Format implements fmt.Formatter, so that no verb reaches the text.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.String())) }

// LogValue implements slog.LogValuer.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText implements encoding.TextMarshaler, and so JSON.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
