// Package kafka is riftline's Kafka client: client options from connector settings, the transactional producer of the
// poll protocol and the partition reader of the drain protocol.
//
// # A transaction with a marker
//
// [Producer.Publish] sends records and, in the same transaction, commits an offset of the group that bears the
// transactional id's name; its metadata is "1 <id>", the id of the intent that the records carry out. So whether an
// intent was published is one OffsetFetch, however many records there are (KIP-98, KIP-447). The offset itself counts
// the transactions and is only for people.
//
// The client library's own group support is not used, so AddOffsetsToTxn and TxnOffsetCommit are sent as raw requests,
// as a producer that is no member (generation -1, no member id). The library does not know that they belong to its
// transaction: it ends a transaction only if records were produced in it. Therefore records come first and each one's
// acknowledgement is looked at.
//
// The epoch is the protocol's only fence. [Producer.Fence] asks for the producer id explicitly, because the library
// would otherwise do it at the first record; the id and epoch obtained there are those that every later step must still
// have, because the library may get a new epoch by itself after an error, and a producer with a new epoch is no longer
// the one that looked at the intent after its fence.
//
// An error of the commit itself means that the outcome is unknown, whatever it says: the library sends EndTxn again by
// itself, so a refusal may answer the second of two, the first of which was carried out.
//
// Success of the commit is not believed either before the marker has been read back: see [Producer.Publish].
//
// # Without a transaction
//
// Where the brokers refuse the transactional id [Producer.Send] publishes idempotently with a client of its own, and says
// of each record whether it is there as far as that is known. [Producer.Transactions] finds out whether they do without
// taking the id over.
//
// # A partition without a group
//
// [Reader] fetches one partition with raw requests (isolation read_committed) from one offset to another, both fixed
// before. What it reports as next is the offset after everything it looked at: transaction markers, aborted records and
// offsets that compaction removed are behind it too, so that a drain reaches its end without a record to show for it.
//
// Where much is left after its first response a reader makes a connection of its own, with the same TLS and SASL, and
// reads into buffers that are used again: the library clears a new one for each response, and brokers answer the requests
// of one connection one after another. What is read there is looked at as everything else is, and after any failure the
// library's connection is the one again.
package kafka
