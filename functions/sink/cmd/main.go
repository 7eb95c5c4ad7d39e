// Command sink is the Cloud Run job that drains a sink connector's topics into Cloud Storage.
package main

import (
	"os"

	"github.com/riftline/riftline/functions/sink"
)

func main() { os.Exit(sink.Main()) }
