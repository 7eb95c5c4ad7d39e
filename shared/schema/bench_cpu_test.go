//go:build unix

package schema

import (
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time that the process has used.
func cpu() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// perCPUSecond reports entries per second of processor time, garbage collection included, so that other load on the
// machine does not count.
func perCPUSecond(b *testing.B, from time.Duration) {
	b.Helper()
	b.ReportMetric(benchEntries*float64(b.N)/(cpu()-from).Seconds(), "entries/cpu-s")
}
