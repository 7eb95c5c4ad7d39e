package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/logging"
)

// Read reads the variables of environ ("NAME=value"; the last of two alike counts). The error lists everything that is
// wrong. A variable that is not set is no error here: what a run needs is asked for when it runs; see Require.
func Read(environ []string) (*Environment, error) {
	vars := make(map[string]string, len(environ))
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok {
			vars[name] = value
		}
	}
	lookup := func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	e := &Environment{
		ConnectorsURL: strings.TrimSpace(vars["RIFTLINE_CONNECTORS"]),
		ConnectorName: strings.TrimSpace(vars["RIFTLINE_CONNECTOR"]),
		StateURL:      strings.TrimSpace(vars["RIFTLINE_STATE"]),
		Worker:        connector.NewWorker(environ),
		Brokers:       list(vars["CONNECT_BOOTSTRAP_SERVERS"]),
		files:         map[string]held{},
	}
	_, levelErr := logging.ReadLevel(vars[logging.LevelVariable])
	errs := []error{
		levelErr,
		readDuration("RIFTLINE_DEADLINE", vars, &e.Deadline),
		readDuration("RIFTLINE_INTENT_MARGIN", vars, &e.PollDeps.UntilMargin),
		e.readOverrides(vars["RIFTLINE_OVERRIDES"]),
		e.readResolve(vars["RIFTLINE_RESOLVE"]),
		e.readPush(vars["RIFTLINE_AUDIENCE"], vars["RIFTLINE_INVOKERS"]),
	}
	if e.StateURL != "" && !isBucket(e.StateURL) {
		errs = append(errs, fmt.Errorf("RIFTLINE_STATE=%q is not of the form gs://bucket/prefix", e.StateURL))
	}
	if strings.Contains(e.ConnectorsURL, "://") && !isBucket(e.ConnectorsURL) {
		errs = append(errs, fmt.Errorf("RIFTLINE_CONNECTORS=%q is neither a folder nor of the form gs://bucket/prefix", e.ConnectorsURL))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	e.finish(lookup)
	return e, nil
}

// Require fails with the names of those variables that are not set.
func (e *Environment) Require(names ...string) error {
	var errs []error
	for _, name := range names {
		if e.Getenv(name) == "" {
			errs = append(errs, fmt.Errorf("%s is not set: %s", name, meanings[name]))
		}
	}
	return errors.Join(errs...)
}

var meanings = map[string]string{
	"RIFTLINE_CONNECTORS": "it names the folder or gs://bucket/prefix with connector files",
	"RIFTLINE_CONNECTOR":  "it names the sink connector to drain",
	"RIFTLINE_STATE":      "it names the bucket for state, gs://bucket/prefix",
}

func isBucket(url string) bool {
	rest, ok := strings.CutPrefix(url, "gs://")
	name, _, _ := strings.Cut(rest, "/")
	return ok && name != ""
}

func readDuration(name string, vars map[string]string, to *time.Duration) error {
	text := vars[name]
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return fmt.Errorf("%s=%q is no duration such as 60s or 10m", name, text)
	}
	*to = d
	return nil
}

func (e *Environment) readOverrides(text string) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &e.Overrides); err != nil {
		// The decoder's message may repeat a part of the text, which may hold a credential.
		return errors.New(`RIFTLINE_OVERRIDES is no JSON object of the form {"connector": {"key": "value"}}, every value a string`)
	}
	return nil
}

// readResolve reads "host:port=addr:port,…".
func (e *Environment) readResolve(text string) error {
	var errs []error
	for _, item := range list(text) {
		from, to, ok := strings.Cut(item, "=")
		from, to = strings.TrimSpace(from), strings.TrimSpace(to)
		if !ok || !isHostPort(from) || !isHostPort(to) {
			errs = append(errs, fmt.Errorf("RIFTLINE_RESOLVE: %q is not of the form host:port=addr:port", item))
			continue
		}
		if e.Resolve == nil {
			e.Resolve = map[string]string{}
		}
		e.Resolve[strings.ToLower(from)] = to
	}
	return errors.Join(errs...)
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != ""
}

func (e *Environment) readPush(audience, invokers string) error {
	e.Audience, e.Invokers = strings.TrimSpace(audience), list(invokers)
	if (e.Audience == "") != (len(e.Invokers) == 0) {
		return errors.New("RIFTLINE_AUDIENCE and RIFTLINE_INVOKERS belong together: anyone can make a token for any audience, so set both or neither")
	}
	var errs []error
	for _, invoker := range e.Invokers {
		if a, err := mail.ParseAddress(invoker); err != nil || a.Address != invoker {
			errs = append(errs, fmt.Errorf("RIFTLINE_INVOKERS: %q is no account's e-mail address", invoker))
		}
	}
	return errors.Join(errs...)
}

func list(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
