// Package joda has what Confluent's time-based partitioners take from Joda-Time: patterns of path.format, time zones by
// their ids, the cutting of time into pieces, and ISO 8601 texts. Connector files are written for Joda-Time, and the
// names of objects depend on it to the byte, daylight saving included.
//
// Instants are milliseconds since 1970-01-01T00:00Z, as Connect has them.
package joda
