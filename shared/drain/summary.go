package drain

import (
	"fmt"
	"time"
)

// Summary says what one drain did.
type Summary struct {
	Connector string `json:"connector"`
	Task      int    `json:"task"`
	Tasks     int    `json:"tasks"`
	// Partitions are those of this task, sorted by topic and number.
	Partitions []PartitionSummary `json:"partitions"`
	// Records, Objects and Bytes count what this drain made durable; Bytes are those of the objects.
	Records int64 `json:"records"`
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
	// Skipped, DeadLetters and Lost are the sums of the partitions'.
	Skipped     int64 `json:"skipped,omitempty"`
	DeadLetters int64 `json:"dead_letters,omitempty"`
	Lost        int64 `json:"lost,omitempty"`
	// Left is how many offsets up to the log end seen at the start are left to the next drain.
	Left int64 `json:"left"`
	// Duration is how long the drain took; DurationMS the same in milliseconds.
	Duration   time.Duration `json:"-"`
	DurationMS int64         `json:"duration_ms"`
	Outcome    Outcome       `json:"outcome"`
	// Error is the first failure, empty when all went well.
	Error string `json:"error,omitempty"`
}

// PartitionSummary says what one drain did to one topic-partition.
type PartitionSummary struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// From and To are the frontier before and after: all below it is archived. Both are -1 when the head was not read.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Records, Objects and Bytes count what this drain made durable, not what another run had done already.
	Records int64 `json:"records"`
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
	// Skipped counts records that are archived nowhere, by policy (null values that are ignored, records that are
	// tolerated) or by a person's decision.
	Skipped int64 `json:"skipped,omitempty"`
	// DeadLetters counts those of them that this drain sent to the dead-letter topic; one that completes a plan sends the
	// plan's again.
	DeadLetters int64 `json:"dead_letters,omitempty"`
	// Lost counts offsets that Kafka's retention removed before they were archived.
	Lost int64 `json:"lost,omitempty"`
	// Completed is true when a plan of an earlier run was found and completed.
	Completed bool `json:"completed,omitempty"`
	// Committed is the group's committed offset after the drain, -1 when there is none.
	Committed int64 `json:"committed"`
	// Lag is the log end (last stable offset) seen at the start less To.
	Lag int64 `json:"lag"`
	// Stopped says why a person must decide before this partition can go on, empty otherwise.
	Stopped string `json:"stopped,omitempty"`
	// Error is a passing failure, empty otherwise.
	Error string `json:"error,omitempty"`
	// Outcome is this partition's own.
	Outcome Outcome `json:"outcome"`
}

// Outcome is how a drain ended.
type Outcome string

// The outcomes, from the best to the worst.
const (
	// Drained: all up to the log end seen at the start is archived.
	Drained Outcome = "drained"
	// NothingNew: there was nothing to archive.
	NothingNew Outcome = "nothing_new"
	// AnotherRun: another run is ahead of this one.
	AnotherRun Outcome = "another_run"
	// DeadlineReached: the deadline came first; Left says how much is left.
	DeadlineReached Outcome = "deadline"
	// Interrupted: the drain was told to stop (SIGTERM).
	Interrupted Outcome = "interrupted"
	// Failed: a passing failure; run it again.
	Failed Outcome = "failed"
	// Misconfigured: settings or rights are wrong.
	Misconfigured Outcome = "misconfigured"
	// Stopped: a person must decide.
	Stopped Outcome = "stopped"
)

// ExitCode is the exit code of the job: 0 done, nothing to do or another run ahead; 1 passing, run it again; 2 settings;
// 3 a person must decide.
func (o Outcome) ExitCode() int {
	switch o {
	case Drained, NothingNew, AnotherRun, DeadlineReached:
		return 0
	case Misconfigured:
		return 2
	case Stopped:
		return 3
	default:
		return 1
	}
}

// total fills in what the partitions add up to.
func (s *Summary) total() {
	s.Outcome = NothingNew
	for _, p := range s.Partitions {
		s.Records += p.Records
		s.Objects += p.Objects
		s.Bytes += p.Bytes
		s.Skipped += p.Skipped
		s.DeadLetters += p.DeadLetters
		s.Lost += p.Lost
		s.Left += p.Lag
		if severity(p.Outcome) > severity(s.Outcome) {
			s.Outcome = p.Outcome
		}
	}
}

// Misused is the summary of a drain that could not begin.
func Misused(connector string, task, tasks int, err error) Summary {
	return Summary{
		Connector: connector, Task: task, Tasks: tasks, Partitions: []PartitionSummary{},
		Outcome: outcomeOf(err), Error: err.Error(),
	}
}

// Configuration marks an error as one of settings or rights: its outcome is [Misconfigured].
func Configuration(err error) error { return fmt.Errorf("%w: %w", errConfiguration, err) }
