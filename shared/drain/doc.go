// Package drain archives the records of a sink connector's topics: each committed record in exactly one object, once,
// whatever is killed, overlaps, comes late or is reconfigured in between.
//
// # State
//
// Kafka's committed offset is only a cache. The truth is one small object per topic-partition, the head, which is
// changed only by writing it on condition of its generation:
//
//	drain/<connector>/<topic>/<partition>.json
//	{format, connector, topic, topicId, partition, start, frontier, skip, plan, sum}
//
// All records from start to before the frontier that Kafka still has are archived, or were skipped by a recorded
// decision. A plan fixes, before any object becomes visible, what is written next: the exact names, offsets, schema ids
// and the codec of consecutive objects. Data objects are created only under a name that the plan in the head lists, only
// if they do not exist, and bear the plan's id in their metadata. The plan also records what it leaves out: null values,
// what cannot be archived and is tolerated, and what a person decided to skip (the head's skip, until a plan passes it).
//
// # Steps
//
//  1. Read the log's bounds (the end is the last stable offset: read_committed), then the head.
//  2. No head: genesis. The consumer group must be inactive. Start at its committed offset, else by auto.offset.reset.
//     Objects that Confluent's sink left from that offset on, as its commit may lag, are walked: each must begin at the
//     first archivable record that is in no object before it, and holds as many as its blocks say; the archive begins
//     after them. Whatever else is there is a reason to stop. Create the head if it does not exist, and begin again
//     whatever the answer.
//  3. Another topic id, or a log that ends before the frontier: stop, the topic was re-created or truncated. A log that
//     starts after the frontier: retention took records; say so loudly, or stop with auto.offset.reset=none.
//  4. A plan is there, whoever wrote it: complete it exactly as it says. Configuration, partitioner and clock of this
//     run do not matter. An object without a surviving record is not created.
//     What would hold more than the partition's memory is made by reading the offsets again.
//  5. The frontier is now the plan's end.
//  6. Commit the frontier to the group, if the group is behind.
//  7. Read on and assign the records to files, by encoded partition and schema. A flush closes all open files of the
//     partition, so a flush point cuts the log: by the sink's rotation, or because the files hold more than the memory
//     or a plan can take. A plan holds whole flushes only. Large files stream into uploads that are not finished.
//     With schema.compatibility a record may belong to a file of another schema than its own: it is projected there by
//     Avro's schema resolution, and the plan says which schemas an object's records were projected from.
//  8. Write the head with the plan, on condition of its generation. Lost: another run is ahead; drop everything and
//     begin again.
//  9. Create the objects, in any order; then send what the plan leaves out to the dead-letter topic, if one is named.
//     Who completes a plan in step 4 sends that again: at least once.
//  10. All durable: the frontier moves, back to 6.
//  11. At the end write the head without the plan. Losing this is harmless.
//
// Step 7 of the next batch runs while steps 8 to 10 of a batch do, and no further ahead. What it has is in memory and in
// uploads that are not finished, so nobody sees it: it begins where the batch before ends, is planned when that one is
// durable, and is thrown away when that one is lost. What it comes upon, the end or a reason to stop, is acted on then.
// Both batches together hold the partition's part of riftline.memory.max.bytes: see budget.
//
// # Why it holds
//
// The condition on the head's generation makes all plans of a partition one chain. A name belongs to fixed offsets for
// ever, so a create that is late, repeated or hung in the network is harmless: the first one wins and all of them mean
// the same records. The head leaves a plan only by a run that saw all of it durable. The group's offset is committed
// after that, so it never runs ahead of the archive, and it is read at genesis only.
//
// # Outcomes of a create
//
// Written: durable. Precondition failed, or unknown: read the object's attributes. With this plan's id: durable. Absent:
// create it again. With another id, or none: somebody else's object, which is never overwritten; stop the partition.
//
// # Proof
//
// The tests hold a model of these steps (model_test.go): a program walks through every state that overlapping tasks, lost
// and late writes, retention, compaction and lost group offsets can lead to, and finds each deliberate fault in it. The
// calls of real drains, killed and asleep at every change, have to be steps of the model, so that whoever changes their
// order changes the model too.
package drain
