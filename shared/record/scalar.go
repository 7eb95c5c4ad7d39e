package record

// ScalarKind is the kind of a [Scalar].
type ScalarKind uint8

// The kinds of a scalar.
const (
	// NullScalar is no value.
	NullScalar ScalarKind = iota
	// IntScalar is a whole number.
	IntScalar
	// BoolScalar is a truth value.
	BoolScalar
	// TextScalar is a text, or the symbol of an enum.
	TextScalar
)

// Scalar is the value of one field of an encoded record, as a sink's partitioner wants it.
type Scalar struct {
	Kind ScalarKind
	// Int is the number of an IntScalar, and 0 or 1 of a BoolScalar.
	Int int64
	// Text is that of a TextScalar. It may lie inside the record that it was read from.
	Text []byte
}
