package connector

const byInfra = "read by infra, not by the functions"

// riftlineSourceKeys are riftline's own settings of a source.
var riftlineSourceKeys = []entry{
	{key: "riftline.dedupe", def: "auto", class: Honoured, reason: "how a poll knows what is new; auto is timestamp with a timestamp pointer, none with the Passthrough filter or where the request uses ${offset.…}, else snapshot", check: choice([]string{"auto", "snapshot", "timestamp", "none"})},
	{key: "riftline.dedupe.ignore", class: Honoured, reason: "parts of an entry whose change is no change", check: pointerList},
	{key: "riftline.dedupe.keep", def: "30d", class: Honoured, reason: "how long a key that left the answer is remembered", check: span},
	{key: "riftline.tombstones", def: "false", class: Honoured, reason: "whether a key that left a snapshot is published with a null value and forgotten", check: boolean},
	{key: "riftline.key.fallback", def: "true", class: Honoured, reason: "whether /puuid may stand in for a key pointer that no entry has", check: boolean},
	{key: "riftline.record.format", def: "auto", class: Honoured, reason: "typed Avro, or castorm's key struct and envelope; auto is castorm where the subject's latest schema is that envelope, else typed", check: choice([]string{"auto", "typed", "castorm"})},
	{key: "riftline.value.schema", class: Refused, reason: notBuilt, check: later()},
	{key: "riftline.value.fields", def: "auto", class: Honoured, reason: "whether fields are stamped on each record (tier, queue, platform, polled_at)", check: choice([]string{"auto", "none"})},
	{key: "riftline.request.variables", class: Honoured, reason: "values of ${var.…}; each combination is a source partition of its own, and a trigger's variables win", check: matrixList},
	{key: "riftline.request.hosts", class: Honoured, reason: "further hosts that request variables may lead to", check: hostList},
	{key: "riftline.pagination", def: "none", class: Honoured, check: later("none")},
	{key: "riftline.pagination.param", class: Ignored, reason: "belongs to riftline.pagination"},
	{key: "riftline.pagination.start", class: Ignored, reason: "belongs to riftline.pagination"},
	{key: "riftline.pagination.size", class: Ignored, reason: "belongs to riftline.pagination"},
	{key: "riftline.pagination.size.param", class: Ignored, reason: "belongs to riftline.pagination"},
	{key: "riftline.pagination.pointer", class: Ignored, reason: "belongs to riftline.pagination"},
	{key: "riftline.pagination.max.pages", def: "1000", class: Ignored, reason: "belongs to riftline.pagination", check: positive},
	{key: "riftline.response.max.bytes", def: "67108864", class: Honoured, reason: "a larger answer, decompressed, fails the poll", check: whole(1, 1<<40)},
	{key: "riftline.ratelimit.share", def: "1.0", class: Honoured, reason: "the part of each of the API's rate-limit windows that this connector may use", check: fraction},
	{key: "riftline.chain.from", class: Refused, reason: notBuilt, check: later()},
	{key: "riftline.chain.variables", class: Refused, reason: notBuilt, check: later()},
	{key: "riftline.marker.topic", class: Honoured, reason: "the topic under which the marker of a poll is committed; the data topic unless set", check: topic},
	{key: "riftline.marker.age", def: "12h", class: Honoured, reason: "an absent marker of a younger poll means that it was not committed", check: span},
}

// riftlineSinkKeys are riftline's own settings of a sink.
var riftlineSinkKeys = []entry{
	{key: "riftline.flush.on.drain.end", def: "true", class: Honoured, reason: "whether a drain writes its last, unfinished file; false leaves it for the next, as Connect does", check: boolean},
	{key: "riftline.schema.change", def: "sibling", class: Honoured, reason: "sibling keeps one file per schema open until a flush; rotate closes all at every change, as Connect does", check: choice([]string{"sibling", "rotate"})},
	{key: "riftline.flush.bytes", def: "0", class: Honoured, reason: "bytes of records, uncompressed, after which a flush is made, over all files of a topic-partition; 0 is off", check: whole(0, 1<<40)},
	{key: "riftline.memory.max.bytes", def: "33554432", class: Honoured, reason: "what a drain may hold of all its topic-partitions together before it writes, in equal parts; open files that hold more than their part are closed early", check: whole(1<<20, 1<<40)},
}

// riftlineKeys are riftline's own settings that both kinds have.
var riftlineKeys = []entry{
	{key: "riftline.schedule", class: Honoured, reason: byInfra + ": when a run is triggered", check: cron},
	{key: "riftline.schedule.timezone", def: "UTC", class: Honoured, reason: byInfra},
	{key: "riftline.trigger", def: "http", class: Honoured, reason: byInfra + ": how a run is triggered", check: choice([]string{"http", "pubsub"})},
	{key: "riftline.paused", def: "false", class: Honoured, reason: byInfra + ": keeps everything, triggers nothing", check: boolean},
}
