// Package step names the instants of the poll and the drain protocol at which a process may die, so that tests can
// kill it there.
//
// Only a binary built with the tag "steps" acts on them; see [Reached]. Names are "poll.<n>.<what>" and
// "drain.<n>.<what>", where <n> is the protocol's step.
package step
