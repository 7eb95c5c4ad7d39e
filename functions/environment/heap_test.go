package environment

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestGiveHeapRoom(t *testing.T) {
	goal := func() uint64 {
		runtime.GC()
		sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	for _, environ := range [][]string{{"GOGC=100"}, {"GOMEMLIMIT=1GiB"}} {
		e, err := Read(environ)
		if err != nil {
			t.Fatal(err)
		}
		e.GiveHeapRoom()
		if got := goal(); got >= headroom {
			t.Errorf("with %s the goal is %d bytes", environ, got)
		}
	}
	e, err := Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.GiveHeapRoom()
	if got := goal(); got < headroom || got > 2*headroom {
		t.Errorf("the goal is %d bytes", got)
	}
	runtime.KeepAlive(e)
}
