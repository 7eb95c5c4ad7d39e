package connector

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// infraCredentials is infra/credentials.json: by what Terraform knows a credential in clear text.
type infraCredentials struct {
	Keys            map[string]string `json:"keys"`
	Name            string            `json:"name"`
	Value           string            `json:"value"`
	Scheme          string            `json:"scheme"`
	Key             string            `json:"key"`
	Anywhere        string            `json:"anywhere"`
	HarmlessHeaders []string          `json:"harmless_headers"`
}

var shapeNames = map[shape]string{closed: "closed", headerShape: "headers", urlShape: "url", paramShape: "params", jaasShape: "jaas"}

// TestInfraKnowsTheCredentials keeps the list by which Terraform refuses a credential in clear text in step with the one
// by which it is hidden here.
func TestInfraKnowsTheCredentials(t *testing.T) {
	const file = "../../infra/credentials.json"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got infraCredentials
	in := json.NewDecoder(strings.NewReader(string(data)))
	in.DisallowUnknownFields()
	if err := in.Decode(&got); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	want := infraCredentials{
		Keys: hiddenKeys(), Name: secretName.String(), Value: secretValue.String(), Scheme: scheme.String(),
		HarmlessHeaders: slices.Sorted(maps.Keys(harmlessHeaders)),
		// These two are Terraform's own: the names of keys that no table knows, and forms that are unmistakable.
		Key: got.Key, Anywhere: got.Anywhere,
	}
	if got.Key == "" || got.Anywhere == "" {
		t.Errorf("%s lacks key or anywhere", file)
	}
	wanted, _ := json.MarshalIndent(want, "", "  ")
	held, _ := json.MarshalIndent(got, "", "  ")
	if string(wanted) != string(held) {
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		_ = enc.Encode(want)
		t.Errorf("%s does not have what the tables of this package have; it should be\n%s", file, out.String())
	}
}

// hiddenKeys are the keys and families of both kinds that may hold credentials, by how they hold them.
func hiddenKeys() map[string]string {
	out := map[string]string{}
	var walk func(prefix string, table []entry)
	walk = func(prefix string, table []entry) {
		for _, e := range table {
			family, isFamily := e.family()
			if isFamily && e.sub != nil {
				walk(prefix+family, e.sub)
				continue
			}
			// What stands in a family that nothing reads is judged by its name.
			if isFamily && e.class == Ignored || e.key == "http.request.body" {
				continue
			}
			if name, ok := shapeNames[e.shape]; ok {
				out[prefix+e.key] = name
				if e.alias != "" {
					out[prefix+e.alias] = name
				}
			}
		}
	}
	for _, kind := range []Kind{SourceKind, SinkKind} {
		for _, table := range tableOf(kind) {
			walk("", table)
		}
	}
	return out
}
