package fakes

import (
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// TestFakesRunWhileOthersAreMade: a program that is started inherits what is open for writing for a moment, and a file
// that anybody may write to is not run.
func TestFakesRunWhileOthersAreMade(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				p := New(t, "fake")
				if out, err := exec.CommandContext(t.Context(), filepath.Join(p.dir, "bin", "fake")).CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				if n := len(p.Calls()); n != 1 {
					t.Errorf("%d calls", n)
				}
			}
		})
	}
	all.Wait()
}
