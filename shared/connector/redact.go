package connector

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

// harmlessHeaders are those whose values are shown.
var harmlessHeaders = map[string]bool{
	"accept": true, "accept-charset": true, "accept-encoding": true, "accept-language": true, "cache-control": true,
	"connection": true, "content-encoding": true, "content-language": true, "content-type": true, "date": true,
	"expect": true, "from": true, "host": true, "if-modified-since": true, "if-none-match": true, "origin": true,
	"pragma": true, "prefer": true, "range": true, "referer": true, "user-agent": true,
}

var (
	// secretName is wider than what is taken for a credential: hiding too much does no harm.
	secretName  = regexp.MustCompile(`(?i)token|secret|passw|pwd|auth|credential|cookie|session|signature|api[._-]?key|access[._-]?key|private|(^|[._-])(key|sig|appid)$`)
	secretValue = regexp.MustCompile(`^RGAPI-|-----BEGIN|^AIza|^ya29\.|^ey[A-Za-z0-9_-]{10,}\.`)
	scheme      = regexp.MustCompile(`(?i)^\s*(bearer|basic|token|apikey|digest)\s*$`)
	// placeholder finds what stands in instructions for a credential that the reader has to fill in.
	placeholder = regexp.MustCompile(`(?i)\{\s*[a-z][^{}$]*\}|<[a-z][^<>/]*>|\byour[ _-]|\b(api|access)[ _-]?(key|token)[ _-]here\b|^x{4,}$|^changeme$|^\*{3,}$|RGAPI-[x*]+`)
)

// looksSecret reports whether a value with this name is likely to be a credential.
func looksSecret(name, value string) bool {
	return secretName.MatchString(name) || looksRandom(value)
}

// looksRandom reports whether text has a credential's form: a known prefix, or long, of one word, with letters and
// digits mixed.
func looksRandom(text string) bool {
	if secretValue.MatchString(text) {
		return true
	}
	if len(text) < 24 || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("/,;:", r) }) {
		return false
	}
	return strings.ContainsFunc(text, unicode.IsDigit) && strings.ContainsFunc(text, unicode.IsLetter)
}

// show returns a value as it may be written: credentials redacted, references as they stand.
func show(e entry, text string) string {
	switch e.shape {
	case closed:
		return secret.Mask(text)
	case headerShape:
		return showHeaders(text)
	case urlShape:
		parts := strings.Split(text, ",")
		for i, part := range parts {
			parts[i] = showURL(part)
		}
		return strings.Join(parts, ",")
	case paramShape:
		return showParams(text, "&")
	case jaasShape:
		return showJAAS(text)
	}
	if secretValue.MatchString(text) {
		return secret.Mask(text)
	}
	return text
}

func showHeaders(text string) string {
	parts := splitUnescaped(text)
	for i, part := range parts {
		name, value, ok := strings.Cut(part, ":")
		switch {
		case !ok || strings.Contains(name, "$"):
			parts[i] = secret.Mask(part)
		case !harmlessHeaders[strings.ToLower(strings.TrimSpace(name))] || looksRandom(strings.TrimSpace(value)):
			parts[i] = strings.TrimSpace(name) + ": " + secret.Mask(strings.TrimSpace(value))
		}
	}
	return strings.Join(parts, ", ")
}

func showURL(text string) string {
	base, query, hasQuery := strings.Cut(text, "?")
	if before, after, ok := strings.Cut(base, "://"); ok {
		if user, rest, ok := cutUser(after); ok {
			base = before + "://" + secret.Mask(user) + "@" + rest
		}
	}
	if !hasQuery {
		return base
	}
	return base + "?" + showParams(query, "&")
}

// cutUser splits "user:password@host/path" at the "@" of its authority.
func cutUser(after string) (user, rest string, ok bool) {
	authority := after
	if slash := strings.IndexByte(after, '/'); slash >= 0 {
		authority = after[:slash]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return "", after, false
	}
	return after[:at], after[at+1:], true
}

func showParams(text, separator string) string {
	parts := strings.Split(text, separator)
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		if ok && looksSecret(strings.TrimSpace(name), strings.TrimSpace(value)) {
			parts[i] = name + "=" + secret.Mask(value)
		}
	}
	return strings.Join(parts, separator)
}

func showJAAS(text string) string {
	login, err := parseJAAS(text)
	if err != nil {
		return secret.Mask(text)
	}
	var b strings.Builder
	b.WriteString(login.module + " " + login.flag)
	for _, o := range login.options {
		value := o.value
		if looksSecret(o.name, "") || !harmlessOptions[o.name] {
			value = secret.Mask(value)
		}
		b.WriteString(" " + o.name + `="` + value + `"`)
	}
	return b.String() + ";"
}

var harmlessOptions = map[string]bool{"username": true, "clientId": true, "scope": true, "serviceName": true, "tokenauth": true}

// inline returns the credentials that stand in a value in clear text, in every form in which they may be written.
func inline(e entry, text string) []string {
	s := shapeByName(e.key)
	if s == open {
		s = e.shape
	}
	var out []string
	for _, one := range locateIn(s, e.key, text) {
		if one.Placeholder {
			continue
		}
		value := one.Value.Reveal()
		out = append(out, value)
		if s == urlShape || s == paramShape {
			if plain, err := url.QueryUnescape(value); err == nil && plain != value {
				out = append(out, plain)
			}
		}
	}
	return out
}

// hasPlaceholder reports whether a credential of the value is still what its instructions had there.
func hasPlaceholder(e entry, text string) bool {
	switch e.shape {
	case headerShape:
		for _, part := range splitUnescaped(text) {
			_, value, _ := strings.Cut(part, ":")
			if placeholder.MatchString(withoutTemplates(e, strings.TrimSpace(value))) {
				return true
			}
		}
		return false
	case closed:
		trimmed := strings.TrimSpace(withoutTemplates(e, text))
		return e.key != "http.request.body" && !strings.Contains(trimmed, `"`) && placeholder.MatchString(trimmed)
	case urlShape, paramShape, jaasShape:
		return placeholder.MatchString(withoutTemplates(e, text))
	}
	return false
}

// withoutTemplates returns a value without its references and, where it may be a request template, without what is
// filled in.
func withoutTemplates(e entry, text string) string {
	text = secret.Without(text)
	if e.key == headersKey || slices.Contains(templateKeys, e.key) {
		text = template.Without(text)
	}
	return text
}
