package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// firstKeys stand first where nobody has put a connector's keys in order: what it is, and what it moves.
var firstKeys = []string{"name", "connector.class", "tasks.max", "kafka.topic", "topics", "topics.regex"}

// Strict returns the connector file in the one form that Terraform's jsondecode and Connect's REST interface both take:
// a JSON object of strings, one key a line, in the order of the file and in the flat or the REST form as it was read.
// Parsing it gives the same connector. What the file has beside "config" in the REST form is left out where Connect
// writes it itself (tasks, type, initial_state, initial_offsets), and is an *[Invalid] otherwise.
func (c Connector) Strict() ([]byte, error) {
	if len(c.outside) > 0 {
		var p Problems
		for _, key := range c.outside {
			p = append(p, Problem{Key: key, Severity: Error, Text: `stands outside "config", where nothing reads it`, Suggestion: `move it into "config", or take it out`})
		}
		return nil, &Invalid{Name: c.Name, Origin: c.Origin, Problems: p}
	}
	var b bytes.Buffer
	if !c.rest {
		c.writeConfig(&b, "")
		b.WriteByte('\n')
		return b.Bytes(), nil
	}
	b.WriteString("{\n")
	if c.restName != "" {
		fmt.Fprintf(&b, "  \"name\": %s,\n", jsonString(c.restName))
	}
	b.WriteString("  \"config\": ")
	c.writeConfig(&b, "  ")
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

// Sorted returns a copy of c with its keys in order for who has none of his own, as Connect's REST interface: name, class,
// tasks and topics first, the others sorted.
func (c Connector) Sorted() Connector {
	c.order = slices.SortedFunc(maps.Keys(c.Config), func(x, y string) int {
		if byRank := rank(x) - rank(y); byRank != 0 {
			return byRank
		}
		return strings.Compare(x, y)
	})
	return c
}

func (c Connector) writeConfig(b *bytes.Buffer, indent string) {
	keys := c.keys()
	b.WriteString("{")
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "\n%s  %s: %s", indent, jsonString(key), jsonString(c.Config[key]))
	}
	if len(keys) > 0 {
		b.WriteString("\n" + indent)
	}
	b.WriteByte('}')
}

// rank is where a key stands: among the first, or after them.
func rank(key string) int {
	if at := slices.Index(firstKeys, key); at >= 0 {
		return at
	}
	return len(firstKeys)
}

// jsonString writes text as a JSON string, with no more escapes than it takes.
func jsonString(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A string can always be encoded.
	_ = enc.Encode(text)
	return strings.TrimSuffix(b.String(), "\n")
}
