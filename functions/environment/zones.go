package environment

import (
	// A layout by time needs the time zones, and the image that a binary runs in may have none. The machine's own, where
	// it has them, go before these.
	_ "time/tzdata"
)
