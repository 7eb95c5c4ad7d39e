// Package schema infers an Avro record schema from JSON entries, evolves it with what a registry holds, writes entries
// as Avro binary in Confluent's wire format, and asks the registry.
//
// # From JSON to Avro
//
// Fields are in the order in which an answer first shows them. JSON integers become long, other numbers double, and a
// field with both is a double; integers that 64 bits do not hold are doubles. Objects become records, arrays arrays, and
// a place that holds several types a union. A field that some entries lack, or that is null in some, is nullable with
// the default null. What has no content anywhere (null, an empty array or object, and containers of nothing else) has no
// type yet: its field is left out until an answer shows one, and is nullable from then on. An entry that is no object
// becomes a record with the one field "value".
//
// Names that Avro does not take are changed by a fixed rule (each other character becomes "_", a leading digit gets one
// in front, a clash gets "_2", "_3", …), and the field's attribute "json" keeps the original, by which encoding and later
// schemas find it. Stamps, the fields that the poll adds, carry the attribute "stamp"; one whose name an entry also uses
// gets "_" in front. A nested record is named after its way from the root, so no name occurs twice.
//
// # Evolution
//
// [Schema.Merge] only ever does what a reader of the new schema may meet in data of the old one (Avro 1.12
// specification, Schema Resolution), so a registry at BACKWARD accepts the result: the order and the names of the latest
// schema stay, new fields are appended nullable with the default null, int becomes long, long and float become double, a
// type becomes a union that has it, and a field that left the data stays and becomes nullable. Everything else of the
// latest schema, such as documentation, aliases and logical types, is kept as it is.
//
// # castorm's records
//
// castorm's HTTP source wraps each entry as JSON text in an envelope of its own. [Registry.EnsureStruct] and [Struct]
// write that envelope, and its key, as Confluent's converter does, so that a topic which castorm filled can be carried on.
package schema
