package connector

import (
	"maps"
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/secret"
)

// Worker holds what Kafka Connect takes from its worker's configuration, read from the environment names of Confluent's
// Connect images: CONNECT_BOOTSTRAP_SERVERS is bootstrap.servers.
type Worker struct{ settings map[string]workerSetting }

type workerSetting struct{ name, value string }

const workerPrefix = "CONNECT_"

// NewWorker reads the CONNECT_* names of environ, which is in the form of os.Environ ("NAME=value"). As in the images, a
// "_" of the name is a ".", "__" a "_" and "___" a "-". Names set to the empty text are as if they were not set.
func NewWorker(environ []string) Worker {
	w := Worker{settings: map[string]workerSetting{}}
	toKey := strings.NewReplacer("___", "-", "__", "_", "_", ".")
	for _, pair := range environ {
		name, value, ok := strings.Cut(pair, "=")
		rest, connect := strings.CutPrefix(name, workerPrefix)
		if !ok || !connect || rest == "" || value == "" {
			continue
		}
		w.settings[toKey.Replace(strings.ToLower(rest))] = workerSetting{name, value}
	}
	return w
}

// get returns the value of a worker property and the environment name that it came from.
func (w Worker) get(key string) (value, name string, ok bool) {
	s, ok := w.settings[key]
	return s.value, s.name, ok
}

// keys are the worker properties that are set, sorted.
func (w Worker) keys() []string { return slices.Sorted(maps.Keys(w.settings)) }

// References returns the references of all settings. Among them may be some that a connector does not use.
func (w Worker) References() []secret.Reference {
	var out []secret.Reference
	for _, key := range w.keys() {
		out = append(out, secret.References(w.settings[key].value)...)
	}
	return out
}
