// Package secret keeps credentials out of everything that is written.
package secret

import (
	"fmt"
	"log/slog"
)

const hidden = "[redacted]"

// Value is a credential. It shows itself only through Reveal; every way of printing, logging or marshalling it writes
// "[redacted]", or nothing when it is empty.
type Value struct{ text string }

// New hides text in a Value.
func New(text string) Value { return Value{text: text} }

// Reveal returns the credential itself. Call it only where it is handed to the peer that asks for it.
func (v Value) Reveal() string { return v.text }

// Empty reports whether there is no credential.
func (v Value) Empty() bool { return v.text == "" }

// String implements fmt.Stringer.
func (v Value) String() string {
	if v.text == "" {
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
