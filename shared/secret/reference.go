package secret

import (
	"strings"
)

// The providers whose references are resolved. Every other ${…} is not a reference.
const (
	GCPSecret = "gcpsecret"
	Env       = "env"
	File      = "file"
	Dir       = "dir"
)

// Reference is one ${provider:path} or ${provider:path:key}. Path is the whole rest for gcpsecret and env, whose
// references have no key.
type Reference struct{ Provider, Path, Key string }

// String returns the reference as it is written.
func (r Reference) String() string {
	if r.Key == "" {
		return "${" + r.Provider + ":" + r.Path + "}"
	}
	return "${" + r.Provider + ":" + r.Path + ":" + r.Key + "}"
}

// References returns the references of s in their order, repeated ones too. Only those of the four providers are
// references; any other ${…} is left to whoever reads s.
func References(s string) []Reference {
	var out []Reference
	for _, p := range split(s) {
		if p.isReference {
			out = append(out, p.reference)
		}
	}
	return out
}

// Mask returns s with everything but its references replaced by "[redacted]": what may be shown of a text that holds
// credentials.
func Mask(s string) string {
	var b strings.Builder
	for _, p := range split(s) {
		switch {
		case p.isReference:
			b.WriteString(p.text)
		case strings.TrimSpace(p.text) != "":
			b.WriteString(hidden)
		}
	}
	return b.String()
}

// Without returns s with its references taken out.
func Without(s string) string {
	var b strings.Builder
	for _, p := range split(s) {
		if !p.isReference {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// piece is a stretch of a text: one reference, or what stands between two.
type piece struct {
	text        string
	reference   Reference
	isReference bool
}

func split(s string) []piece {
	var out []piece
	plain, at := 0, 0
	for {
		i := strings.Index(s[at:], "${")
		if i < 0 {
			break
		}
		i += at
		n := strings.IndexByte(s[i:], '}')
		if n < 0 {
			break
		}
		end := i + n + 1
		ref, ok := parseReference(s[i+2 : end-1])
		if !ok {
			// "${x ${env:A}": the reference may begin inside.
			at = i + 2
			continue
		}
		if i > plain {
			out = append(out, piece{text: s[plain:i]})
		}
		out = append(out, piece{text: s[i:end], reference: ref, isReference: true})
		plain, at = end, end
	}
	if plain < len(s) {
		out = append(out, piece{text: s[plain:]})
	}
	return out
}

func parseReference(inside string) (Reference, bool) {
	provider, rest, ok := strings.Cut(inside, ":")
	if !ok {
		return Reference{}, false
	}
	switch provider {
	case GCPSecret, Env:
		return Reference{Provider: provider, Path: rest}, true
	case File, Dir:
		path, key, _ := strings.Cut(rest, ":")
		return Reference{Provider: provider, Path: path, Key: key}, true
	}
	return Reference{}, false
}

// Map returns s with each of its parts replaced by what f makes of it; reference says whether the part is a reference or
// stands between two.
func Map(s string, f func(part string, reference bool) string) string {
	var b strings.Builder
	for _, p := range split(s) {
		b.WriteString(f(p.text, p.isReference))
	}
	return b.String()
}
