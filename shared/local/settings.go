package local

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/connector"
)

// settings are the environment that the functions will be given, while it is put together.
type settings struct {
	o         Options
	variables map[string]string
	// overrides are what local mode itself puts over the files, so that an unmodified file runs.
	overrides map[string]map[string]string
	// own are the overrides of RIFTLINE_OVERRIDES and of the command line. They win.
	own map[string]map[string]string
	err error
}

func newSettings(o Options) *settings {
	s := &settings{
		o: o, variables: map[string]string{},
		overrides: map[string]map[string]string{}, own: map[string]map[string]string{},
	}
	for _, v := range o.Environ {
		if name, value, ok := strings.Cut(v, "="); ok {
			s.variables[name] = value
		}
	}
	if text := s.get("RIFTLINE_OVERRIDES"); text != "" {
		if err := json.Unmarshal([]byte(text), &s.own); err != nil {
			// The decoder's message may repeat a part of the text, which may hold a credential.
			s.err = fmt.Errorf(`%w: RIFTLINE_OVERRIDES must be JSON of the form {"connector":{"key":"value"}}, every value a string`, ErrConfiguration)
			s.own = map[string]map[string]string{}
		}
	}
	for name, keys := range o.Overrides {
		s.own[name] = merged(s.own[name], keys)
	}
	s.o.Source = o.Source.With(s.own[o.Source.Name])
	s.o.Sink = o.Sink.With(s.own[o.Sink.Name])
	return s
}

func merged(under, over map[string]string) map[string]string {
	out := maps.Clone(under)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, over)
	return out
}

func (s *settings) get(name string) string { return s.variables[name] }

func (s *settings) set(name, value string) { s.variables[name] = value }

// replace overrides a key of a connector where the file has one, unless the user did.
func (s *settings) replace(c connector.Connector, key, value string) {
	if _, has := c.Config[key]; !has {
		return
	}
	if s.overrides[c.Name] == nil {
		s.overrides[c.Name] = map[string]string{}
	}
	s.overrides[c.Name][key] = value
}

// embeddedBroker points both connectors at the broker, which asks for no credentials: what the files and the environment
// say about reaching another one has no meaning here, and its references are not to be resolved.
func (s *settings) embeddedBroker(addr string) {
	security := func(key string) bool {
		return strings.HasPrefix(key, "sasl.") || strings.HasPrefix(key, "ssl.") || key == "security.protocol"
	}
	for name := range s.variables {
		rest, ok := strings.CutPrefix(name, "CONNECT_")
		if !ok {
			continue
		}
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "PRODUCER_"), "CONSUMER_")
		key := strings.ToLower(strings.ReplaceAll(rest, "_", "."))
		if security(key) || key == "bootstrap.servers" {
			delete(s.variables, name)
		}
	}
	s.set("CONNECT_BOOTSTRAP_SERVERS", addr)
	for _, c := range []connector.Connector{s.o.Source, s.o.Sink} {
		for key := range c.Config {
			for _, prefix := range []string{"producer.override.", "consumer.override.", "admin.override."} {
				rest, ok := strings.CutPrefix(key, prefix)
				switch {
				case ok && rest == "bootstrap.servers":
					s.replace(c, key, addr)
				case ok && rest == "security.protocol":
					s.replace(c, key, "PLAINTEXT")
				case ok && security(rest):
					s.replace(c, key, "")
				}
			}
		}
	}
}

const (
	registryKey      = "value.converter.schema.registry.url"
	registryVariable = "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL"
)

// registryIsReal reports whether the environment or an override says where the registry is. The files' own address
// counts for nothing here: it is that of the place where they come from.
func (s *settings) registryIsReal() bool {
	for _, c := range []connector.Connector{s.o.Source, s.o.Sink} {
		if s.own[c.Name][registryKey] != "" {
			return true
		}
	}
	if url := s.get(registryVariable); url != "" {
		s.pointAtRegistry(url)
		return true
	}
	return false
}

func (s *settings) embeddedRegistry(url string) {
	for name := range s.variables {
		if strings.HasPrefix(name, "CONNECT_") && (strings.Contains(name, "_CONVERTER_SCHEMA_REGISTRY_") ||
			strings.Contains(name, "_CONVERTER_BASIC_AUTH_")) {
			delete(s.variables, name)
		}
	}
	s.set(registryVariable, url)
	s.set("CONNECT_KEY_CONVERTER_SCHEMA_REGISTRY_URL", url)
	s.pointAtRegistry(url)
	for _, c := range []connector.Connector{s.o.Source, s.o.Sink} {
		for key := range c.Config {
			for _, prefix := range []string{"key.converter.", "value.converter."} {
				rest, ok := strings.CutPrefix(key, prefix)
				if ok && (strings.HasPrefix(rest, "basic.auth.") || strings.HasPrefix(rest, "schema.registry.ssl.") ||
					strings.HasPrefix(rest, "schema.registry.basic.auth.")) {
					s.replace(c, key, "")
				}
			}
		}
	}
}

func (s *settings) pointAtRegistry(url string) {
	for _, c := range []connector.Connector{s.o.Source, s.o.Sink} {
		s.replace(c, registryKey, url)
		s.replace(c, "key.converter.schema.registry.url", url)
	}
}

// embeddedBucket leaves out the credentials of the real one.
func (s *settings) embeddedBucket() {
	if s.get("RIFTLINE_STATE") == "" {
		s.set("RIFTLINE_STATE", "gs://"+StateBucket)
	}
	s.replace(s.o.Sink, "gcs.credentials.json", "")
	s.replace(s.o.Sink, "gcs.credentials.path", "")
}

// resolve adds to RIFTLINE_RESOLVE: hostPort is reached at addr.
func (s *settings) resolve(hostPort, addr string) {
	entry := hostPort + "=" + addr
	if before := s.get("RIFTLINE_RESOLVE"); before != "" {
		entry = before + "," + entry
	}
	s.set("RIFTLINE_RESOLVE", entry)
}

// environ is the result, sorted.
func (s *settings) environ() ([]string, error) {
	if s.err != nil {
		return nil, s.err
	}
	all := map[string]map[string]string{}
	for name, keys := range s.overrides {
		all[name] = keys
	}
	for name, keys := range s.own {
		all[name] = merged(all[name], keys)
	}
	if len(all) > 0 {
		text, err := json.Marshal(all)
		if err != nil {
			return nil, fmt.Errorf("writing RIFTLINE_OVERRIDES: %w", err)
		}
		s.set("RIFTLINE_OVERRIDES", string(text))
	}
	out := make([]string, 0, len(s.variables))
	for name, value := range s.variables {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out, nil
}

// topics are those that the connectors name.
func topics(source, sink connector.Connector) []string {
	names := []string{source.Config["kafka.topic"]}
	names = append(names, strings.Split(sink.Config["topics"], ",")...)
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}
