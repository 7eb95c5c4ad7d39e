package main

import "github.com/spf13/cobra"

func (a *app) offsetsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "offsets",
		Short: "Show where connectors stand, and say where they go on",
		Example: `  riftline offsets show gcs-sink
  riftline offsets skip gcs-sink challenger/0 4711`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.showOffsets(), a.setOffset(), a.resetOffsets(), a.skipOffsets())
	return c
}
