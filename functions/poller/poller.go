// Package poller is the Cloud Run function that polls source connectors: over HTTP at /Poll, and for Pub/Sub messages
// at /PollEvent.
package poller

// Main serves until SIGTERM or SIGINT and returns the process's exit code.
func Main() int { return 1 }
