// Package sourceoffset keeps what is known to be published: one source offset object per source partition.
//
// A source partition is a connector together with its request variables. Its object lies in the state bucket at
// poll/<connector>/<h>.json, where h is the first 16 hexadecimal digits of the SHA-256 of the partition's canonical
// JSON. It is gzip-compressed JSON with sorted member names, and is changed only by compare-and-set on its generation:
//
//	base     what the topic holds: for each key the fingerprint of its last published entry
//	last     the id of the last transaction that is known to be committed
//	intent   what a run is about to publish, under a new random id, with the time until which others leave it alone
//	claim    a run that is finding out what became of an intent
//	stopped  why no run may go on before a person has decided
//	sum      CRC-32C (Castagnoli) over the canonical body without this member
//
// Without an intent, base is the whole truth. With one, the topic holds either base or base with the intent's changes,
// and the marker that the intent's transaction leaves in Kafka says which. An intent that is a lease is published without
// a transaction: the topic holds any part of it, and the records behind the lease's watermarks say which.
//
// Format 2 has leases, and entries ahead of a log's cursor. An object that holds neither is written in format 1, which
// older versions go on reading.
//
// An object that cannot be trusted (wrong sum, another connector, an unknown kind, a newer format) is an error and is
// never taken for a partition without history.
package sourceoffset
