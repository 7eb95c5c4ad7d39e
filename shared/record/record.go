// Package record holds a JSON value as an API sent it: fields in their order, numbers by their text.
//
// It is what moves between the steps of a poll: the HTTP source cuts an answer into entries, the source offset
// fingerprints them, the schema step infers their Avro type and encodes them.
package record

// Kind is the JSON type of a [Value].
type Kind uint8

// The kinds of a JSON value. The zero Kind is Null.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// Value is one JSON value. Values are read-only once parsed and may share memory with the answer they came from.
type Value struct {
	Kind Kind
	// Text is the decoded text of a String, the literal of a Number ("1e3" stays "1e3"), "true" or "false" of a
	// Bool; empty otherwise.
	Text string
	// Items are the elements of an Array.
	Items []Value
	// Fields are the members of an Object, in the order of the text. A name that the text repeats appears once,
	// with its last value.
	Fields []Field
}

// Field is one member of an Object.
type Field struct {
	Name  string
	Value Value
}
