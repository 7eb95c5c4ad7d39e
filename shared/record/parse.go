package record

import "errors"

// ErrSyntax is wrapped by every error of [Parse]: the text is not one JSON value, is not UTF-8, or is nested too deeply.
var ErrSyntax = errors.New("not valid JSON")

// Parse reads one JSON value.
func Parse(data []byte) (Value, error) { return Value{}, ErrSyntax }

// At returns the value that pointer names (RFC 6901). "" and "/" are v itself.
func (v *Value) At(pointer string) (*Value, bool) { return nil, false }

// Field returns the member of an object with this name.
func (v *Value) Field(name string) (*Value, bool) { return nil, false }

// AsText returns the text of a scalar as Jackson's asText has it; "" for an array or an object.
func (v *Value) AsText() string { return "" }

// AppendCanonical appends the canonical JSON of v to dst.
func AppendCanonical(dst []byte, v *Value) []byte { return dst }

// AppendJSON appends v as compact JSON in its own order to dst.
func AppendJSON(dst []byte, v *Value) []byte { return dst }
