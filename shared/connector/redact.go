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
	// userAndPassword finds them before a host, also where none may stand.
	userAndPassword = regexp.MustCompile(`[^\s,;/@:"'=]+:[^\s,@"']+@`)
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
func show(e entry, text string) string { return maskForms(showShape(e, text)) }

func showShape(e entry, text string) string {
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
		return showParams(text)
	case jaasShape:
		return showJAAS(text)
	}
	if secretValue.MatchString(text) {
		return secret.Mask(text)
	}
	return maskUsers(text)
}

// maskForms redacts what has the form of a credential wherever it stands.
func maskForms(text string) string {
	return maskMatches(credentialForm, text, "[redacted]")
}

// maskUsers redacts users and passwords that stand before a host.
func maskUsers(text string) string {
	return maskMatches(userAndPassword, text, "[redacted]@")
}

func maskMatches(what *regexp.Regexp, text, instead string) string {
	return secret.Map(text, func(part string, reference bool) string {
		if reference {
			return part
		}
		return what.ReplaceAllLiteralString(part, instead)
	})
}

func showHeaders(text string) string {
	parts := splitUnescaped(text)
	for i, part := range parts {
		name, value, ok := strings.Cut(part, ":")
		word, more, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch {
		case !ok || strings.Contains(name, "$"):
			parts[i] = secret.Mask(part)
		case !harmlessHeaders[strings.ToLower(strings.TrimSpace(name))] || looksRandom(strings.TrimSpace(value)) || more != "" && scheme.MatchString(word):
			parts[i] = strings.TrimSpace(name) + ": " + secret.Mask(strings.TrimSpace(value))
		case strings.Contains(value, "://"):
			parts[i] = name + ":" + showURL(value)
		}
	}
	return strings.Join(parts, ", ")
}

func showURL(text string) string {
	masked := maskReferences(requestURLKey, text)
	shown := ""
	if start, end, ok := userSpan(masked); ok {
		shown = text[:start] + secret.Mask(text[start:end])
		text, masked = text[end:], masked[end:]
	}
	end := len(text)
	if i := strings.IndexAny(masked, "?#"); i >= 0 {
		end = i
	}
	shown += text[:end]
	for end < len(text) {
		next := len(text)
		if i := strings.IndexAny(masked[end+1:], "?#"); i >= 0 {
			next = end + 1 + i
		}
		shown += text[end:end+1] + showParams(text[end+1:next])
		end = next
	}
	return shown
}

// userSpan finds what stands before the host of a URL: "user:password" before "@". It takes a text without a scheme for a
// URL that lacks it. A password with "/", "?" or "#" in it ends the authority too early, and what is left of it then
// stands where a port does; with a comma in it, the "@" is in the next URL of the list.
func userSpan(text string) (start, end int, ok bool) {
	scheme := strings.Index(text, "://")
	if scheme >= 0 {
		start = scheme + len("://")
	}
	authority := text[start:]
	if n := strings.IndexAny(authority, "/?#"); n >= 0 {
		authority = authority[:n]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		return start, start + at, true
	}
	last := strings.LastIndexByte(text[start:], '@')
	_, port, hasPort := strings.Cut(authority[strings.LastIndexByte(authority, ']')+1:], ":")
	switch {
	case scheme >= 0 && (!hasPort || strings.Trim(port, "0123456789"+masking) == ""):
		return 0, 0, false
	case last >= 0:
		return start, start + last, true
	case scheme >= 0:
		return start, start + len(authority), true
	}
	return 0, 0, false
}

func showParams(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := strings.IndexAny(text, "&;")
		if n < 0 {
			n = len(text)
		}
		name, value, ok := strings.Cut(text[:n], "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		switch hides := looksSecret(strings.TrimSpace(plain), strings.TrimSpace(value)); {
		case hides && ok:
			b.WriteString(name + "=" + secret.Mask(value))
		case hides:
			b.WriteString(secret.Mask(name))
		default:
			b.WriteString(text[:n])
		}
		if n < len(text) {
			b.WriteByte(text[n])
			n++
		}
		text = text[n:]
	}
	return b.String()
}

func showJAAS(text string) string {
	login, err := parseJAAS(text)
	if err != nil {
		return secret.Mask(text)
	}
	var b strings.Builder
	b.WriteString(showModule(login.module) + " " + login.flag)
	for _, o := range login.options {
		value := o.value
		if looksSecret(o.name, "") || !harmlessOptions[o.name] {
			value = secret.Mask(value)
		}
		b.WriteString(" " + o.name + `="` + value + `"`)
	}
	return b.String() + ";"
}

// showModule shows a login module's class, and nothing else that stands in its place.
func showModule(name string) string {
	if strings.HasSuffix(name, "LoginModule") {
		return name
	}
	return secret.Mask(name)
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
