// Command poller serves the functions of package poller.
package main

import (
	"os"

	"github.com/riftline/riftline/functions/poller"
)

func main() { os.Exit(poller.Main()) }
