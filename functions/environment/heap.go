package environment

// headroom is how much garbage may lie in the heap before the first collection, less what is in use. A poll of 10,000
// entries leaves about 40 MB.
const headroom = 64 << 20

// GiveHeapRoom has the runtime collect no garbage before the heap has 64 MiB, and beyond that when it has doubled, as it
// does by itself. A poll has few megabytes in use at its end: the runtime would collect several times while it runs, each
// time going over all that the poll still needs. What a poll takes is bounded as before, with 64 MiB more at most.
//
// It holds for as long as the environment is used, and does nothing when GOGC or GOMEMLIMIT say what is wanted.
func (e *Environment) GiveHeapRoom() {
	if e.Getenv("GOGC") == "" && e.Getenv("GOMEMLIMIT") == "" {
		// The runtime's goal is twice what is in use, and this counts as in use. It is never touched, so the system gives
		// no memory for it.
		e.ballast = make([]byte, headroom/2)
	}
}
