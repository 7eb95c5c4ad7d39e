// Package sink is the entry point of the sink job.
package sink

// Main runs the job and returns its exit code.
func Main() int { return 2 }
