// Package avrofile checks Avro bodies against their schema without decoding them, and writes them as they are into
// Avro object container files.
//
// A Kafka value in Confluent's wire format is Avro binary already, so archiving it is: check that the body fits its
// schema to its last byte ([Walk.Check]), append it to a block ([Writer.Append]). A body that is one byte short would
// make every reader stop in the middle of the file; that is why nothing is appended unchecked.
//
// Formats: Avro 1.12 specification, "Binary Encoding" and "Object Container Files".
package avrofile
