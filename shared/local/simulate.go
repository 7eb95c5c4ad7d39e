package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/secret"
)

// riotDomain is what the simulator answers for.
const riotDomain = ".api.riotgames.com"

// progress is how far the simulated ladder has moved; with the seed it is the ladder.
type progress struct {
	Seed     uint64 `json:"seed"`
	Advances int    `json:"advances"`
}

func (l *Local) startSimulator(_ context.Context, s *settings) error {
	if !l.o.Simulate {
		return nil
	}
	u, err := url.Parse(l.o.Source.Config["http.request.url"])
	if err != nil || u.Scheme != "https" || !strings.HasSuffix(u.Hostname(), riotDomain) {
		return fmt.Errorf("%w: --simulate stands in for https://<platform>%s only, and http.request.url of %s is another address; leave --simulate out to poll the address itself",
			ErrConfiguration, riotDomain, l.o.Source.Name)
	}
	p, err := l.readProgress()
	if err != nil {
		return err
	}
	l.seed = p.Seed
	server, err := riot.Start(riot.Options{Seed: p.Seed, Advances: p.Advances, Key: l.simulatedKey(s)}, 0)
	if err != nil {
		return err
	}
	l.Simulator = server
	l.closers = append(l.closers, server.Close)
	port := u.Port()
	if port == "" {
		port = "443"
	}
	s.resolve(u.Hostname()+":"+port, server.Addr())
	return nil
}

// Advance moves the simulated ladder on. How far it is then is written down before anybody can see the new ladder, so
// that a run that goes on after a kill never shows an earlier one.
func (l *Local) Advance() (riot.Movement, error) {
	text, err := json.Marshal(progress{l.seed, l.Simulator.Advances() + 1})
	if err != nil {
		return riot.Movement{}, err
	}
	name := l.state("riot.json")
	if err := os.WriteFile(name+".new", append(text, '\n'), 0o600); err != nil {
		return riot.Movement{}, fmt.Errorf("writing how far the simulated ladder is: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return riot.Movement{}, fmt.Errorf("writing how far the simulated ladder is: %w", err)
	}
	return l.Simulator.Advance(), nil
}

func (l *Local) readProgress() (progress, error) {
	p := progress{Seed: 1}
	name := l.state("riot.json")
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return p, fmt.Errorf("reading how far the simulated ladder is: %w", err)
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("reading %s: %w; remove it to begin with the first ladder again", name, err)
	}
	return p, nil
}

// simulatedKey is the key that the simulator takes: the one that the source will send, where that can be known without
// asking anybody, so that a file with the user's own key runs as it is.
func (l *Local) simulatedKey(s *settings) string {
	for header := range strings.SplitSeq(l.o.Source.Config["http.request.headers"], ",") {
		name, value, _ := strings.Cut(header, ":")
		value = strings.TrimSpace(value)
		if !strings.EqualFold(strings.TrimSpace(name), "X-Riot-Token") {
			continue
		}
		if !strings.Contains(value, "${") {
			return value
		}
		for _, r := range secret.References(value) {
			if key := s.get(variableOf(r)); key != "" {
				return key
			}
		}
	}
	return riot.DefaultKey
}

// readers read references without a cloud: a secret's value is the environment's, under its name in capitals.
func (l *Local) readers(s *settings) map[string]secret.Reader {
	lookup := func(name string) (string, bool) {
		v, ok := s.variables[name]
		return v, ok
	}
	gcp := l.o.SecretManager
	if gcp == nil {
		gcp = func(_ context.Context, path, _ string) (string, error) {
			name := variableOf(secret.Reference{Provider: "gcpsecret", Path: path})
			if v := s.get(name); v != "" {
				return v, nil
			}
			if l.Simulator != nil {
				return l.Simulator.Key(), nil
			}
			return "", fmt.Errorf("%w: ${gcpsecret:%s} is read from the environment here: set %s, or read Secret Manager with --secrets gcp",
				secret.ErrNotFound, path, name)
		}
	}
	return map[string]secret.Reader{
		"gcpsecret": gcp,
		"env":       secret.EnvReader(lookup),
		"file":      secret.FileReader(),
		"dir":       secret.DirReader(),
	}
}

// variableOf is the environment variable that stands in for a secret: riot-api-key, or
// projects/P/secrets/riot-api-key/versions/7, is RIOT_API_KEY.
func variableOf(r secret.Reference) string {
	name := r.Path
	if r.Provider == "env" {
		if r.Key != "" {
			return r.Key
		}
		return name
	}
	if _, after, ok := strings.Cut(name, "/secrets/"); ok {
		name, _, _ = strings.Cut(after, "/")
	}
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
