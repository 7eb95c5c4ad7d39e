package connector

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Kind says which way a connector moves records.
type Kind uint8

// The kinds of a [Connector].
const (
	SourceKind Kind = iota + 1
	SinkKind
)

// String returns "source" or "sink".
func (k Kind) String() string {
	switch k {
	case SourceKind:
		return "source"
	case SinkKind:
		return "sink"
	}
	return "connector of no kind"
}

// The connector classes that riftline stands in for.
const (
	SourceClass = "com.github.castorm.kafka.connect.http.HttpSourceConnector"
	SinkClass   = "io.confluent.connect.gcs.GcsSinkConnector"
)

// Connector is a connector file as it was parsed: nothing in it is resolved or checked yet, apart from its name and its
// class. It may hold credentials in Config; [Connector.Explain] shows it without them.
type Connector struct {
	// Name is the REST form's name, else the key "name", else the file's base name.
	Name string
	Kind Kind
	// Config are the keys and their values, those of [Connector.With] included.
	Config map[string]string
	// Origin is where the file came from, for messages.
	Origin string
	// Notes are the warnings of the parser: forms that are tolerated.
	Notes Problems

	// order are the keys in the order of the file.
	order []string
	// overrides are the keys of Config that With set.
	overrides map[string]bool
	// rest says that the file has the REST form, restName its outer name; outside are keys beside "config" that nobody
	// reads.
	rest     bool
	restName string
	outside  []string
}

// With returns a copy of c in which overrides win over the file's keys. [Connector.Explain] shows where a value comes
// from. The keys name and connector.class cannot be overridden: they say which connector it is.
func (c Connector) With(overrides map[string]string) Connector {
	d := c
	d.Config = maps.Clone(c.Config)
	if d.Config == nil {
		d.Config = map[string]string{}
	}
	d.overrides = maps.Clone(c.overrides)
	if d.overrides == nil {
		d.overrides = map[string]bool{}
	}
	d.order = slices.Clone(c.order)
	d.Notes = slices.Clone(c.Notes)
	for _, key := range slices.Sorted(maps.Keys(overrides)) {
		if key == "name" || key == "connector.class" {
			d.Notes = append(d.Notes, Problem{Key: key, Severity: Error, Text: "cannot be overridden, since it says which connector this is",
				Suggestion: "take it out of the overrides"})
			continue
		}
		if _, had := d.Config[key]; !had {
			d.order = append(d.order, key)
		}
		d.Config[key] = overrides[key]
		d.overrides[key] = true
	}
	return d
}

// from says where the value of a key of Config comes from.
func (c Connector) from(key string) string {
	if c.overrides[key] {
		return fromOverride
	}
	return fromFile
}

// keys are the keys of Config in the order of the file; keys that someone put into Config without [Parse] follow.
func (c Connector) keys() []string {
	out := make([]string, 0, len(c.Config))
	seen := make(map[string]bool, len(c.Config))
	for _, key := range c.order {
		if _, ok := c.Config[key]; ok && !seen[key] {
			out = append(out, key)
			seen[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Config)) {
		if !seen[key] {
			out = append(out, key)
		}
	}
	return out
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ValidName reports whether name can be a connector's name: 1 to 64 letters, digits, ".", "_" and "-". It is part of
// object names, group names and URLs.
func ValidName(name string) bool {
	return namePattern.MatchString(name) && name != "." && name != ".."
}

// nameOf returns the base name of a file without ".json".
func nameOf(origin string) string {
	base := path.Base(strings.ReplaceAll(origin, `\`, "/"))
	return strings.TrimSuffix(base, ".json")
}

// Names checks connectors that run side by side: two of one name are an error.
func Names(all []Connector) error {
	seen := map[string]string{}
	for _, c := range all {
		if before, ok := seen[c.Name]; ok {
			return &Invalid{Name: c.Name, Origin: c.Origin, Problems: Problems{{
				Key: "name", Severity: Error,
				Text:       fmt.Sprintf("%q is the name of %s too", c.Name, before),
				Suggestion: "give one of them another name",
			}}}
		}
		seen[c.Name] = c.Origin
	}
	return nil
}

// kindOf finds the kind by connector.class. Connect takes a class by its full name, its simple name, or that without
// "Connector".
func kindOf(class string) (Kind, bool) {
	for kind, full := range map[Kind]string{SourceKind: SourceClass, SinkKind: SinkClass} {
		simple := simpleClass(full)
		if class == full || class == simple || class == strings.TrimSuffix(simple, "Connector") {
			return kind, true
		}
	}
	return 0, false
}

// Replaces reports whether riftline stands in for a connector of this class.
func Replaces(class string) bool {
	_, ok := kindOf(strings.TrimSpace(class))
	return ok
}

func simpleClass(class string) string { return class[strings.LastIndexByte(class, '.')+1:] }
