// Package poll runs one poll of one source partition: it asks the API, finds out what the topic does not hold yet, and
// publishes exactly that, once, whatever dies or overlaps.
//
// # The protocol
//
// What is published is known from the source offset object (package sourceoffset), which is changed only by
// compare-and-set, and from a marker that each transaction leaves in Kafka: a transactional offset commit of the group
// riftline-<connector>-<h> with the id of the intent as its metadata (KIP-98 makes it atomic with the records). The
// topic is not read back, and a poll that finds nothing new is one read of the object and no Kafka request at all.
//
//  1. Load the object. An intent or claim that is still young belongs to a run that may be alive: leave. An old one, or
//     this run's own, is recovered first. An absent object is a source partition without history.
//  2. Fetch the whole answer. Never before the load, so that an older answer cannot follow a newer one.
//  3. Compare it with base. Nothing new ends the poll without a write. (One exception: where a key that was noted to have
//     left is back, and nothing was written for half of riftline.dedupe.keep, its return is noted at the generation that
//     was loaded. It would be forgotten and published again else.)
//  4. Connect: the topic must be the one that the object knows. Register the schema and encode every record, so that
//     what cannot be encoded fails before anything is announced.
//  5. Write the intent under a new random id, with the changes, at the generation that was loaded.
//  6. Fence: take over the transactional id. Whoever held it before can no longer commit.
//  7. Look again: the object must still be at the generation of the intent. Otherwise somebody judged this run dead
//     while it slept, and it must publish nothing.
//  8. Check that the marker is that of the last transaction, or has expired. Otherwise the object was restored or
//     replaced by hand: stop.
//  9. Publish records and marker in one transaction.
//  10. Close: write base with the changes, without the intent.
//
// A failure before the commit was asked for can never become a commit: the transaction is aborted and the intent
// released. A failure of the commit itself, fenced or not, leaves the outcome unknown: this run recovers its own intent
// once, and otherwise the next run does.
//
// Recovery has four steps. R1 claims the intent by compare-and-set, so that an owner that wakes up sees the claim when
// it looks again. R2 fences, which aborts the owner's open transaction or waits for its commit. R3 reads the marker,
// stable: the intent's id means committed; that of the last transaction, or none while the intent is young, means not
// committed. R4 is for a marker that may have expired: the topic is searched for records with the intent's id in their
// header riftline-id. Whatever fits none of these stops the source partition until a person has decided. The result is
// carried by this run's next write.
//
// More than 10,000 changes, or 32 MiB of them, go in several transactions: after each commit one write closes it and
// announces the next. A run that ends in between leaves a prefix that is published and known.
//
// What a person changes by hand (Operate, the commands "riftline offsets") follows the same order: the object is claimed,
// the producer fenced, and only then the marker or the topic read and the result written, all by compare-and-set. So a
// poll that is under way cannot publish on what was known before. Every stop names the command that goes on.
//
// # Without transactions
//
// Where the brokers refuse the transactional id, and exactly.once.support=requested allows it, an intent is a lease. That
// is found out in step 4, before anything is announced and without taking the id over. Steps 1 to 5 are the same; the
// intent also carries the ends of the topic's partitions from before it was written. There is no fence and no marker:
//
//   - The object is looked at again, and the clock: once the intent's until has passed nothing is sent.
//   - The records are produced idempotently, each with the intent's id and the name of its entry in its headers, and
//     nothing is tried again after until. Each part has an intent of its own.
//   - Every record acknowledged: close. Some refused, and every request answered: it is known which records are there, and
//     the close says just that. Anything else leaves the intent as it is.
//   - Recovery waits until half a minute after until, reads the topic from the intent's ends to the present ones, and takes
//     the entries for published whose records are there. The next write carries that, and is the claim as well. What a log
//     has ahead of its cursor then is kept in the cursor. With riftline.dedupe=none a part is as good as nothing.
//   - Where a record that is missing may have been removed since (the log was truncated, its start has moved, single
//     records were compacted away) the source partition stops, and a person decides.
//
// It is exact as long as a run sends nothing after its lease, and nothing of it arrives half a minute later. A process
// that stands still between its look at the clock and the send, and a request that is on its way for so long, can publish
// a value twice: only a fence could help. A poll that worked so says exactly_once=false. What an intent was announced as
// decides how it is recovered, whatever setting and brokers say by then. Package model has the lease too, with both of
// these doublings.
//
// # Logs and units
//
// With riftline.dedupe=timestamp the answer is a part of a log. Instead of a fingerprint for each key the object holds a
// cursor: the newest timestamp that was published, and the keys that were published with it, so that of entries that
// share a timestamp none is lost or doubled when they come in different answers. Entries are published in the order of
// their timestamps, and the intent holds the cursor after its last record; each transaction therefore ends at a place
// from which the next poll can go on. The offset properties that request templates use are part of the cursor. When they
// moved and there is nothing to publish, the cursor is written without a transaction.
//
// A connector with request variables is several source partitions, its units. [RunAll] polls them one after the other;
// where a run ended is noted in poll/<connector>/units.json, which decides the order of the next one and nothing else.
//
// # Times
//
// Times only decide who waits for whom, never what is true. The exceptions are the age up to which an absent marker means
// "not committed" (riftline.marker.age), which must stay well below the broker's offsets.retention.minutes, and the end of
// a lease, for which the clocks of the machines may differ by half a minute.
package poll
