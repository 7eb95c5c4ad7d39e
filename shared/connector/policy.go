package connector

import (
	"fmt"
	"slices"
	"strings"
)

// ErrorPolicy is what becomes of records that a sink cannot archive: errors.* and report.null.values.to.dlq.
type ErrorPolicy struct {
	// Tolerate is true for errors.tolerance=all: such a record is skipped, and its partition goes on.
	Tolerate bool
	// DeadLetterTopic is errors.deadletterqueue.topic.name, where skipped records go; empty for none.
	DeadLetterTopic string
	// DeadLetterReplication is the replication factor with which that topic is created.
	DeadLetterReplication int16
	// DeadLetterHeaders says that dead letters have the headers __connect.errors.*.
	DeadLetterHeaders bool
	// NullDeadLetters says that null values which are ignored go to the dead-letter topic too.
	NullDeadLetters bool
	// Log says that each skipped record is logged, LogRecord that its coordinates and timestamp are.
	Log, LogRecord bool
}

// The keys of a sink's error policy that are read in more than one place.
const (
	tolerance       = "errors.tolerance"
	deadLetterTopic = "errors.deadletterqueue.topic.name"
)

// tolerateSinkKeys are Connect's keys about records that a sink cannot archive.
var tolerateSinkKeys = []entry{
	{key: tolerance, def: "none", class: Honoured, reason: "none: a record that cannot be archived stops its partition; all: it is skipped, recorded, and sent to the dead-letter topic if one is named", check: caseless([]string{"none", "all"})},
	{key: "errors.log.enable", def: "false", class: Honoured, reason: "each skipped record is logged; what stops a partition is always logged", check: boolean},
	{key: "errors.log.include.messages", def: "false", class: Honoured, reason: "topic, partition, offset and timestamp of a skipped record are logged, as in Connect; what it holds is not", check: boolean},
	{key: deadLetterTopic, class: Honoured, reason: "where skipped records go, each at least once", check: topic},
	{key: "errors.deadletterqueue.topic.replication.factor", def: "3", class: Honoured, reason: "for a dead-letter topic that riftline creates", check: whole(1, 32767)},
	{key: "errors.deadletterqueue.context.headers.enable", def: "false", class: Honoured, reason: "dead letters say in headers __connect.errors.* where they come from and what was wrong", check: boolean},
	{key: "errors.deadletterqueue.*", class: Ignored, reason: "not a key of Connect's dead-letter topic"},
}

// tolerateSourceKeys are those that a source has.
var tolerateSourceKeys = []entry{
	{key: tolerance, def: "none", class: Honoured, reason: "the first bad record fails the poll, and nothing is skipped", check: caseless([]string{"none"}, "all")},
	{key: "errors.log.enable", def: "false", class: Ignored, reason: "a bad record is always logged", check: boolean},
	{key: "errors.log.include.messages", def: "false", class: Ignored, reason: "what a record holds is never logged", check: boolean},
}

func (e *examination) errorPolicy() ErrorPolicy {
	return ErrorPolicy{
		Tolerate:              strings.EqualFold(e.filled(tolerance), "all"),
		DeadLetterTopic:       e.values[deadLetterTopic],
		DeadLetterReplication: int16(e.int("errors.deadletterqueue.topic.replication.factor")),
		DeadLetterHeaders:     e.bool("errors.deadletterqueue.context.headers.enable"),
		NullDeadLetters:       e.bool("report.null.values.to.dlq"),
		Log:                   e.bool("errors.log.enable"),
		LogRecord:             e.bool("errors.log.include.messages"),
	}
}

// adviseErrors says what the keys of the error policy mean together.
func (e *examination) adviseErrors() {
	all := strings.EqualFold(e.values[tolerance], "all")
	name := e.values[deadLetterTopic]
	switch {
	case name != "" && slices.Contains(commaList(e.values["topics"]), name):
		e.fail(deadLetterTopic, fmt.Sprintf("is %s, which is one of topics: a dead letter would come back", quote(name)), "write another topic's name")
	case name != "" && !all:
		e.advise(deadLetterTopic, "is not written to while errors.tolerance is none: the record that Connect sends there before its task fails stops the partition here", `write errors.tolerance=all, or take it out`)
	case name == "" && all:
		e.advise(tolerance, "is all without a dead-letter topic: records that cannot be archived are skipped and only counted and logged", "write errors.deadletterqueue.topic.name")
	}
}
