package sourceoffset

import (
	"maps"
	"slices"
	"strings"
)

// Command is the command line by which a person acts on the source partition: "riftline offsets", the verb, the
// connector, its variables, and the flags.
func (p Partition) Command(verb string, flags ...string) string {
	words := []string{"riftline", "offsets", verb, p.Connector}
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		words = append(words, "--variable", quoted(name+"="+p.Variables[name]))
	}
	return strings.Join(append(words, flags...), " ")
}

// WaysToForget are the two commands that make a new object, whatever the old one is: from what the topic holds, or from
// nothing.
func (p Partition) WaysToForget() string {
	return "'" + p.Command("rebuild", "--from-topic") + "' takes what the topic holds for known, '" + p.Command("reset") + "' begins anew and publishes everything once more"
}

// quoted quotes a word for a POSIX shell where it needs that.
func quoted(word string) string {
	plain := strings.IndexFunc(word, func(r rune) bool {
		return !strings.ContainsRune("=._-/:,@+", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
