package connector

import (
	"regexp"
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

// The patterns by which credentials are found. Terraform's check has them too; testdata/credentials.json holds them and
// the cases that both are tested with.
var (
	// closedKey matches keys whose value is a credential as a whole.
	closedKey = regexp.MustCompile(`(?i)(password|passwd|passphrase|secret|credentials\.json|credentials\.config|keystore\.key|(api|access|private|secret)[._-]?key|(^|[._-])token|\.license)$`)
	// secretPartName matches the names of headers, parameters, members and options whose value is a credential.
	secretPartName = regexp.MustCompile(`(?i)token|secret|passw|pwd|(^|[._-])auth([._-]|$)|authori[sz]ation|oauth|credential|cookie|session|signature|(api|access|auth|private|subscription)[._-]?key|(^|[._-])(key|sig|appid)$`)
	// credentialForm matches, in any value of any key, what is nothing but a credential: Riot's keys, private keys in PEM,
	// Google's API keys and access tokens, JSON Web Tokens.
	credentialForm = regexp.MustCompile(`RGAPI-[0-9A-Za-z*-]+|-----BEGIN [A-Z0-9 -]*KEY-----[\s\S]*?-----END [A-Z0-9 -]*KEY-----|AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z_.-]{10,}|eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]*`)
	bodyMember     = regexp.MustCompile(`"([^"\\]+)"\s*:\s*"((?:[^"\\]|\\.)*)"`)
)

// shapeByName says how a value holds credentials, by its key's name alone.
func shapeByName(key string) shape {
	switch {
	case key == headersKey:
		return headerShape
	case key == "http.request.params":
		return paramShape
	case key == "http.request.body":
		return bodyShape
	case strings.HasSuffix(key, "sasl.jaas.config"):
		return jaasShape
	case strings.HasSuffix(key, "basic.auth.user.info"):
		return userInfoShape
	case strings.HasSuffix(key, ".url"):
		return urlShape
	case closedKey.MatchString(key):
		return closed
	}
	return open
}

// locate finds the credentials of one value, in their order.
func locate(key, text string) []Credential {
	return locateIn(shapeByName(key), key, text)
}

func locateIn(s shape, key, text string) []Credential {
	l := locator{key: key, text: text, masked: maskReferences(key, text)}
	switch s {
	case closed:
		l.add("", 0, len(text), nil)
	case headerShape:
		l.headers()
	case urlShape:
		l.urls()
	case paramShape:
		l.params(0, len(text))
	case jaasShape:
		l.jaas()
	case userInfoShape:
		if colon := strings.IndexByte(l.masked, ':'); colon >= 0 {
			l.add("password", colon+1, len(text), nil)
		} else {
			l.add("", 0, len(text), nil)
		}
	case bodyShape:
		l.body()
	}
	l.forms()
	slices.SortFunc(l.found, func(a, b Credential) int { return a.start - b.start })
	return l.found
}

// masking stands for each byte of a reference or an interpolation, so that nothing moves.
const masking = "\x00"

// maskReferences blots out what is filled in: references, those to providers that riftline does not have as well, and
// in a request template interpolations.
func maskReferences(key, text string) string {
	out := []byte(secret.Map(text, func(part string, reference bool) string {
		if reference {
			return strings.Repeat(masking, len(part))
		}
		return part
	}))
	blot := func(start, end int) {
		for i := start; i < end; i++ {
			out[i] = masking[0]
		}
	}
	if key == headersKey || slices.Contains(templateKeys, key) {
		for _, at := range template.Spans(string(out)) {
			blot(at[0], at[1])
		}
	}
	for _, at := range foreign.FindAllIndex(out, -1) {
		blot(at[0], at[1])
	}
	return string(out)
}

type locator struct {
	key, text, masked string
	found             []Credential
}

// add takes what stands in clear text between start and end. The function decode turns it into what a secret has to
// hold; nil is for text that a reference may stand in for as it is.
func (l *locator) add(part string, start, end int, decode func(string) string) {
	for start < end {
		n := strings.Index(l.masked[start:end], masking)
		if n < 0 {
			n = end - start
		}
		l.stretch(part, start, start+n, decode)
		start += n
		for start < end && l.masked[start] == masking[0] {
			start++
		}
	}
}

func (l *locator) stretch(part string, start, end int, decode func(string) string) {
	start += len(l.text[start:end]) - len(strings.TrimLeft(l.text[start:end], " \t\r\n"))
	end = start + len(strings.TrimRight(l.text[start:end], " \t\r\n"))
	if start >= end {
		return
	}
	value := l.text[start:end]
	if decode != nil {
		value = decode(value)
	}
	placed := placeholder.MatchString(value) && !strings.Contains(value, `"`)
	l.found = append(l.found, Credential{Key: l.key, Part: part, Value: secret.New(value), Placeholder: placed, start: start, end: end})
}

func (l *locator) headers() {
	start := 0
	for i := 0; i <= len(l.masked); i++ {
		if i < len(l.masked) && (l.masked[i] != ',' || i > 0 && l.masked[i-1] == '\\') {
			continue
		}
		l.header(start, i)
		start = i + 1
	}
}

func (l *locator) header(start, end int) {
	name, value, ok := strings.Cut(l.masked[start:end], ":")
	if !ok {
		return
	}
	from := start + len(name) + 1
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if harmlessHeaders[strings.ToLower(name)] || !secretPartName.MatchString(name) && !looksRandom(strings.ReplaceAll(value, masking, "")) {
		return
	}
	word, _, _ := strings.Cut(value, " ")
	if scheme.MatchString(word) {
		from += strings.Index(l.masked[from:end], word) + len(word)
	}
	l.add(name, from, end, func(text string) string { return strings.ReplaceAll(text, `\,`, ",") })
}

func (l *locator) params(start, end int) {
	for part := range strings.SplitSeq(l.masked[start:end], "&") {
		name, value, ok := strings.Cut(part, "=")
		plain := strings.TrimSpace(name)
		if ok && (secretPartName.MatchString(plain) || looksRandom(strings.TrimSpace(strings.ReplaceAll(value, masking, "")))) {
			l.add(plain, start+len(name)+1, start+len(part), nil)
		}
		start += len(part) + 1
	}
}

func (l *locator) urls() {
	if !strings.HasSuffix(l.key, "schema.registry.url") {
		l.url(0, len(l.masked))
		return
	}
	start := 0
	for part := range strings.SplitSeq(l.masked, ",") {
		l.url(start, start+len(part))
		start += len(part) + 1
	}
}

func (l *locator) url(start, end int) {
	at := start
	if from, to, ok := userSpan(l.masked[start:end]); ok {
		from, to = start+from, start+to
		name, _, hasPassword := strings.Cut(l.masked[from:to], ":")
		if hasPassword {
			l.add("password", from+len(name)+1, to, nil)
		} else if looksRandom(name) {
			l.add("user", from, to, nil)
		}
		at = to
	}
	if n := strings.IndexByte(l.masked[at:end], '?'); n >= 0 {
		l.params(at+n+1, end)
	}
}

// jaas takes the options of a login module that are credentials; of a text that is none, all of it, since nobody can
// tell what of it is.
func (l *locator) jaas() {
	login, err := parseJAAS(l.text)
	if err != nil {
		l.add("", 0, len(l.text), nil)
		return
	}
	for _, o := range login.options {
		if harmlessOptions[o.name] || !secretPartName.MatchString(o.name) {
			continue
		}
		first := l.text[o.start]
		if first == '"' || first == '\'' {
			l.add(o.name, o.start+1, o.end-1, unescapeWord)
			continue
		}
		before := len(l.found)
		l.add(o.name, o.start, o.end, nil)
		// A reference has characters that end a word without quotes in Java.
		if len(l.found) == before+1 && l.found[before].start == o.start && l.found[before].end == o.end {
			l.found[before].quote = true
		}
	}
}

func (l *locator) body() {
	for _, at := range bodyMember.FindAllStringSubmatchIndex(l.masked, -1) {
		if name := l.masked[at[2]:at[3]]; secretPartName.MatchString(name) {
			l.add(name, at[4], at[5], nil)
		}
	}
	if !strings.ContainsAny(l.masked, "{}<>\"") {
		l.params(0, len(l.text))
	}
}

// forms takes what has the form of a credential wherever it stands.
func (l *locator) forms() {
	for _, at := range credentialForm.FindAllStringIndex(l.masked, -1) {
		if !slices.ContainsFunc(l.found, func(c Credential) bool { return at[0] < c.end && c.start < at[1] }) {
			l.add("", at[0], at[1], nil)
		}
	}
}
