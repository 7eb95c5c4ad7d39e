package connector

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/riftline/riftline/shared/secret"
)

// Credential is a stretch of a connector's value that is a credential in clear text, or a placeholder where one is meant
// to stand. Terraform refuses a connector file that has one; testdata/credentials.json lists cases of both kinds.
type Credential struct {
	// Key is the connector's key that holds it.
	Key string
	// Part says what it is within the value: a header's name, a query parameter, an option of a login module, "password"
	// of a URL; empty where the whole value is the credential.
	Part string
	// Value is what a secret has to hold so that a reference can stand in its place.
	Value secret.Value
	// Placeholder is true for text that instructions have where the reader's own credential belongs.
	Placeholder bool

	start, end int
	quote      bool
}

// Credentials returns the credentials that stand in the connector file in clear text, in the order of the file. It goes
// by the names of keys, and so finds them under keys that nobody knows as well; and in any value by forms that nothing
// but a credential has.
func (c Connector) Credentials() []Credential {
	var out []Credential
	for _, key := range c.keys() {
		out = append(out, locate(key, c.Config[key])...)
	}
	return out
}

// Replace returns a copy of c in which references to Secret Manager stand in place of its credentials. The function name
// gives each one's secret; with an empty name the credential stays where it is.
func (c Connector) Replace(name func(Credential) string) Connector {
	return c.replace(func(one Credential) string {
		secretName := name(one)
		if secretName == "" {
			return ""
		}
		reference := secret.Reference{Provider: secret.GCPSecret, Path: secretName}.String()
		if one.quote {
			reference = `"` + reference + `"`
		}
		return reference
	})
}

// Masked returns a copy of c that may be shown: its credentials are "[redacted]".
func (c Connector) Masked() Connector {
	return c.replace(func(one Credential) string { return secret.Mask(one.Value.Reveal()) })
}

// replace puts texts in place of the credentials; an empty text leaves one where it is.
func (c Connector) replace(text func(Credential) string) Connector {
	d := c
	d.Config = maps.Clone(c.Config)
	for _, key := range c.keys() {
		var b strings.Builder
		raw, at := c.Config[key], 0
		for _, one := range locate(key, raw) {
			if instead := text(one); instead != "" {
				b.WriteString(raw[at:one.start] + instead)
				at = one.end
			}
		}
		b.WriteString(raw[at:])
		d.Config[key] = b.String()
	}
	return d
}

// foreign finds what has the form of a config provider's reference.
var foreign = regexp.MustCompile(`\$\{[A-Za-z][A-Za-z0-9_-]*:[^{}]*\}`)

// foreignIn returns the references of a value to config providers that riftline does not have (${vault:path:key}).
func foreignIn(text string) []string {
	return slices.DeleteFunc(foreign.FindAllString(text, -1), func(one string) bool { return len(secret.References(one)) > 0 })
}

// References returns the references of the file to providers that riftline has.
func (c Connector) References() []secret.Reference {
	var out []secret.Reference
	for _, key := range c.keys() {
		out = append(out, secret.References(c.Config[key])...)
	}
	return out
}

// WorkerSettings returns the environment names of what the connector takes from its worker: without a default where a
// start misses them, and converters that the file does not name.
func (c Connector) WorkerSettings() []string {
	var out []string
	for key, env := range map[string]string{"key.converter": "CONNECT_KEY_CONVERTER", "value.converter": "CONNECT_VALUE_CONVERTER"} {
		if strings.TrimSpace(c.Config[key]) == "" && (c.Kind == SourceKind || key == "value.converter") {
			out = append(out, env)
		}
	}
	out = append(out, c.examine(context.Background(), Worker{}, nil, CheckOptions{}).lacking...)
	slices.Sort(out)
	return slices.Compact(out)
}

// SecretNames gives credentials the names of secrets: the same value the same name, different values different names.
// The zero SecretNames has given none.
type SecretNames struct {
	byValue map[string]string
	taken   map[string]bool
}

// Take keeps a name from being given, because a reference leads to it already. The resource name of a secret takes its
// last part.
func (n *SecretNames) Take(path string) {
	n.init()
	if _, after, ok := strings.Cut(path, "/secrets/"); ok {
		path, _, _ = strings.Cut(after, "/")
	}
	n.taken[path] = true
}

// Name returns the name of the secret for a credential of the connector so called. Names are made of key and part, as
// Secret Manager takes them: letters, digits, "-" and "_", at most 255.
func (n *SecretNames) Name(connector string, one Credential) string {
	n.init()
	value := one.Value.Reveal()
	if one.Placeholder {
		// Two placeholders alike need not stand for the same.
		value = "placeholder\x00" + proposedName(connector, one)
	}
	if name, ok := n.byValue[value]; ok {
		return name
	}
	base := proposedName(connector, one)
	name := base
	for i := 2; n.taken[name]; i++ {
		name = base + "-" + strconv.Itoa(i)
	}
	n.taken[name] = true
	n.byValue[value] = name
	return name
}

func (n *SecretNames) init() {
	if n.taken == nil {
		n.taken, n.byValue = map[string]bool{}, map[string]string{}
	}
}

const riotName = "riot-api-key"

var notInSecretName = regexp.MustCompile(`[^A-Za-z0-9_]+`)

func proposedName(connector string, one Credential) string {
	if strings.EqualFold(one.Part, "X-Riot-Token") || strings.HasPrefix(one.Value.Reveal(), "RGAPI-") {
		return riotName
	}
	text := connector + "-" + secretPart(one)
	return strings.Trim(cutText(notInSecretName.ReplaceAllString(text, "-"), 200), "-")
}

// secretPart is the short name of what a credential is for.
func secretPart(one Credential) string {
	key := one.Key
	switch {
	case strings.HasPrefix(key, "gcs.credentials."):
		return "credentials"
	case strings.HasSuffix(key, "basic.auth.user.info"), strings.HasSuffix(key, "schema.registry.url"):
		return "registry-password"
	case strings.HasSuffix(key, "sasl.jaas.config"):
		if one.Part == "" || one.Part == "password" {
			return "kafka-password"
		}
		return "kafka-" + strings.ToLower(one.Part)
	case strings.HasPrefix(key, "http.request."):
		if one.Part != "" {
			return strings.ToLower(one.Part)
		}
		return "api-key"
	}
	for _, prefix := range []string{"producer.override.", "consumer.override.", "value.converter.", "confluent.topic."} {
		key = strings.TrimPrefix(key, prefix)
	}
	if key = strings.TrimPrefix(key, "http.client."); one.Part != "" {
		key += "-" + one.Part
	}
	return strings.ToLower(key)
}

func cutText(text string, most int) string {
	if len(text) > most {
		return text[:most]
	}
	return text
}

// Describe says which credential of a connector this is, without showing it: "the header X-Riot-Token of
// http.request.headers".
func (one Credential) Describe() string {
	switch shapeByName(one.Key) {
	case headerShape:
		return fmt.Sprintf("the header %s of %s", one.Part, one.Key)
	case urlShape, paramShape, jaasShape, userInfoShape, bodyShape:
		if one.Part != "" {
			return fmt.Sprintf("%s in %s", one.Part, one.Key)
		}
	}
	return one.Key
}
