package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
)

// ErrNoConnector says that there is no connector file of that name.
var ErrNoConnector = errors.New("there is no such connector")

// holdFor is how long a connector file is held, and so how long a changed one may go unseen.
const holdFor = 5 * time.Minute

// maxFile bounds a connector file. Real ones are a few kilobytes.
const maxFile = 1 << 20

type held struct {
	c connector.Connector
	// until is the zero time for a connector that was given, not read.
	until time.Time
}

// Hold makes a connector known without a file in RIFTLINE_CONNECTORS. Overrides still apply to it.
func (e *Environment) Hold(c connector.Connector) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files[c.Name] = held{c: c}
}

// Connector reads <name>.json, which is then held for five minutes, and applies the overrides. ErrNoConnector when
// there is none; *connector.Invalid.
func (e *Environment) Connector(ctx context.Context, name string) (connector.Connector, error) {
	if !connector.ValidName(name) {
		return connector.Connector{}, fmt.Errorf("connector %.80q: %w: a name has 1 to 64 of A-Z a-z 0-9 . _ -", name, ErrNoConnector)
	}
	e.mu.Lock()
	h, ok := e.files[name]
	e.mu.Unlock()
	if ok && (h.until.IsZero() || time.Now().Before(h.until)) {
		return h.c.With(e.Overrides[name]), nil
	}
	c, err := e.readFile(ctx, name+".json")
	if err != nil {
		return connector.Connector{}, err
	}
	if c.Name != name {
		return connector.Connector{}, fmt.Errorf("connector %q: %w: %s calls itself %q; name the file %s.json", name, ErrNoConnector, c.Origin, c.Name, c.Name)
	}
	e.mu.Lock()
	e.files[name] = held{c: c, until: time.Now().Add(holdFor)}
	e.mu.Unlock()
	return c.With(e.Overrides[name]), nil
}

// Connectors returns all connectors: those of RIFTLINE_CONNECTORS, and those that were given, in the order of their
// names. The error lists every file that cannot be used, and names that two files share.
func (e *Environment) Connectors(ctx context.Context) ([]connector.Connector, error) {
	var all []connector.Connector
	e.mu.Lock()
	for _, h := range e.files {
		if h.until.IsZero() {
			all = append(all, h.c)
		}
	}
	e.mu.Unlock()
	if e.ConnectorsURL != "" {
		names, err := e.listFiles(ctx)
		if err != nil {
			return nil, err
		}
		var errs []error
		for _, name := range names {
			c, err := e.readFile(ctx, name)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			all = append(all, c)
		}
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
	}
	if err := connector.Names(all); err != nil {
		return nil, err
	}
	for i, c := range all {
		all[i] = c.With(e.Overrides[c.Name])
	}
	slices.SortFunc(all, func(a, b connector.Connector) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// readFile reads one connector file by its name in RIFTLINE_CONNECTORS.
func (e *Environment) readFile(ctx context.Context, file string) (connector.Connector, error) {
	if e.ConnectorsURL == "" {
		return connector.Connector{}, fmt.Errorf("connector file %s: %w: RIFTLINE_CONNECTORS is not set", file, ErrNoConnector)
	}
	if !isBucket(e.ConnectorsURL) {
		return readLocal(filepath.Join(e.ConnectorsURL, file))
	}
	b, err := e.bucket(ctx, e.ConnectorsURL)
	if err != nil {
		return connector.Connector{}, err
	}
	o, err := b.Read(ctx, file)
	if errors.Is(err, bucket.ErrAbsent) {
		return connector.Connector{}, fmt.Errorf("connector file %s: %w", b.URL(file), ErrNoConnector)
	}
	if err != nil {
		return connector.Connector{}, fmt.Errorf("reading connector file: %w", err)
	}
	return parse(b.URL(file), o.Data)
}

func readLocal(file string) (connector.Connector, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return connector.Connector{}, fmt.Errorf("connector file %s: %w", file, ErrNoConnector)
	}
	if err != nil {
		return connector.Connector{}, fmt.Errorf("reading connector file: %w", err)
	}
	return parse(file, data)
}

func parse(origin string, data []byte) (connector.Connector, error) {
	if len(data) > maxFile {
		return connector.Connector{}, fmt.Errorf("reading connector file %s: it has %d bytes, which is no connector file", origin, len(data))
	}
	return connector.Parse(origin, data)
}

// listFiles returns the names of all *.json files in RIFTLINE_CONNECTORS, not of those in folders below.
func (e *Environment) listFiles(ctx context.Context) ([]string, error) {
	var names []string
	if !isBucket(e.ConnectorsURL) {
		entries, err := os.ReadDir(e.ConnectorsURL)
		if err != nil {
			return nil, fmt.Errorf("listing connector files: %w", err)
		}
		for _, entry := range entries {
			if !entry.IsDir() && path.Ext(entry.Name()) == ".json" {
				names = append(names, entry.Name())
			}
		}
		return names, nil
	}
	b, err := e.bucket(ctx, e.ConnectorsURL)
	if err != nil {
		return nil, err
	}
	for o, err := range b.List(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("listing connector files: %w", err)
		}
		if path.Ext(o.Name) == ".json" && !strings.Contains(o.Name, "/") {
			names = append(names, o.Name)
		}
	}
	return names, nil
}
