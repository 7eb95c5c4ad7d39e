package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/cost"
)

func (a *app) validateCommand() *cobra.Command {
	var strict, worker, withCost bool
	var set []string
	var assumed *cost.Assumptions
	c := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Explain every key of connector files and list all that is wrong with them",
		Long: `validate says of every key of a connector file what becomes of it here: honoured, ignored, refused, or honoured with
advice, each with the reason. All problems are listed at once. No reference to a secret is followed, nothing is dialled.

A key that nobody knows is a warning; one that looks like a slip of a known key is an error.

With --cost it prints instead what the connectors cost in a month on paper: Google Cloud's list prices, what is free,
what is left to pay, and which changes would pay. Sources and sinks are added up, so give all files at once.

The forms in which connector files are pasted (// and /* */ comments, <…> around a URL, Connect's REST form) are
read, with a warning.`,
		Example: `  riftline validate infra/connectors/*.json
  riftline validate --strict challenger.json                        # an unknown key is an error
  riftline validate --set gcs-sink:flush.size=1000 gcs-sink.json    # with a key that wins over the file
  CONNECT_BOOTSTRAP_SERVERS=kafka:9092 riftline validate --worker infra/connectors/*.json
  riftline validate --cost --changes-per-day 5000 infra/connectors/*.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			overrides, err := a.overrides(set)
			if err == nil {
				err = costOnly(c, withCost)
			}
			if err != nil {
				return err
			}
			if withCost {
				return a.cost(files, overrides, set, *assumed)
			}
			return a.validate(files, overrides, set, connector.CheckOptions{Strict: strict, Worker: worker})
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "make an unknown key an error")
	c.Flags().BoolVar(&worker, "worker", false, "check too that the CONNECT_* variables of this environment say all that the files leave open")
	c.Flags().StringArrayVar(&set, "set", nil, setHelp)
	c.Flags().BoolVar(&withCost, "cost", false, "print what a month costs, in place of the explanation")
	assumed = costFlags(c)
	return c
}

const setHelp = "`NAME:KEY=VALUE`, a key of connector NAME that wins over its file (may be repeated)"

func (a *app) validate(files []string, overrides map[string]map[string]string, set []string, o connector.CheckOptions) error {
	w := connector.NewWorker(a.environ)
	named := map[string]string{}
	bad := false
	for i, file := range files {
		if i > 0 {
			_, _ = fmt.Fprintln(a.out)
		}
		c, err := readConnector(file)
		var invalid *connector.Invalid
		switch {
		case errors.As(err, &invalid) && c.Kind == 0:
			// Without a kind there is no telling what its keys mean.
			_, _ = fmt.Fprintf(a.out, "%v\n", invalid)
			bad = true
			continue
		case err != nil && invalid == nil:
			_, _ = fmt.Fprintf(a.out, "%v\n", err)
			bad = true
			continue
		}
		c = c.With(overrides[c.Name])
		verdicts, problems := c.Explain(w, o)
		if invalid != nil {
			problems = append(invalid.Problems.Errors(), problems...)
		}
		if other, taken := named[c.Name]; taken {
			problems = append(problems, connector.Problem{
				Key: "name", Severity: connector.Error,
				Text:       fmt.Sprintf("%s is the name of the connector in %s too", c.Name, other),
				Suggestion: "give each connector a name of its own",
			})
		}
		named[c.Name] = file
		connector.Render(a.out, c, verdicts, problems)
		bad = bad || len(problems.Errors()) > 0
	}
	if err := unknownNames(set, func(name string) bool { return named[name] != "" }); err != nil {
		return err
	}
	if bad {
		return quiet{exitUsage}
	}
	return nil
}

func readConnector(file string) (connector.Connector, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return connector.Connector{}, usage("reading a connector file: %w", err)
	}
	return connector.Parse(file, data)
}

// unknownNames refuses a --set for a connector that is not at hand, as it would change nothing and say nothing.
func unknownNames(set []string, known func(string) bool) error {
	for _, s := range set {
		if name, _, _ := strings.Cut(s, ":"); !known(name) {
			return usage("--set %s:…: there is no connector of that name here", name)
		}
	}
	return nil
}

// overrides are those of RIFTLINE_OVERRIDES with those of --set over them.
func (a *app) overrides(set []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	if text := a.getenv("RIFTLINE_OVERRIDES"); text != "" {
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			// The decoder's message may repeat a part of the text, which may hold a credential.
			return nil, usage(`RIFTLINE_OVERRIDES must be JSON of the form {"connector":{"key":"value"}}, every value a string`)
		}
	}
	for _, s := range set {
		name, assignment, ok := strings.Cut(s, ":")
		key, value, assigned := strings.Cut(assignment, "=")
		if !ok || !assigned || name == "" || key == "" {
			return nil, usage("--set %s is not of the form NAME:KEY=VALUE", name)
		}
		if out[name] == nil {
			out[name] = map[string]string{}
		}
		out[name][key] = value
	}
	return out, nil
}
