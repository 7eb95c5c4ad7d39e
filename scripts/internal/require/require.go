// Package require lets a test leave out what a machine cannot run without anybody mistaking that for a pass.
package require

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Skip skips the test with the reason why this machine cannot run it, unless RIFTLINE_REQUIRE (a comma-separated list)
// names what: then the test fails.
func Skip(t testing.TB, what, reason string) {
	t.Helper()
	if Required(what) {
		t.Fatalf("%s is required here: %s", what, reason)
	}
	t.Skipf("%s: %s", what, reason)
}

// Required tells whether RIFTLINE_REQUIRE names what.
func Required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("RIFTLINE_REQUIRE"), ","), what)
}
