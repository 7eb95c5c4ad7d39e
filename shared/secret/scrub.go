package secret

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// shortest is the length below which Scrub does not look for a text: so short a text is found in every other word.
const shortest = 4

// Hide makes Scrub hide v, a credential that came from elsewhere than a reference. Of a text of several lines (a PEM
// file) every longer line is hidden as well, of a service account's JSON key its private parts. Credentials of fewer
// than four characters are not looked for.
func (r *Resolver) Hide(v string) {
	r.hidden.Lock()
	defer r.hidden.Unlock()
	fresh := false
	for _, part := range parts(v) {
		if len(part) >= shortest && !r.known[part] {
			r.known[part] = true
			fresh = true
		}
	}
	if !fresh {
		return
	}
	var all []string
	for part := range r.known {
		all = append(all, forms(part)...)
	}
	// The replacer takes the first of its pairs that matches, so the longest has to come first.
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	all = slices.Compact(all)
	pairs := make([]string, 0, 2*len(all))
	for _, form := range all {
		pairs = append(pairs, form, hidden)
	}
	r.scrubber.Store(strings.NewReplacer(pairs...))
}

// Scrub replaces every credential known so far by "[redacted]": as it is, percent-encoded, escaped as in JSON or in a
// quoted Go string, and inside base64.
func (r *Resolver) Scrub(s string) string {
	if replacer := r.scrubber.Load(); replacer != nil {
		return replacer.Replace(s)
	}
	return s
}

// privateFields are the members of a JSON credential (service account key, authorized user, external account) that are
// secret by themselves.
var privateFields = []string{"private_key", "private_key_id", "client_secret", "refresh_token", "password", "token", "api_key"}

func parts(v string) []string {
	trimmed := strings.TrimSpace(v)
	out := []string{v, trimmed}
	var object map[string]any
	if strings.HasPrefix(trimmed, "{") && json.Unmarshal([]byte(trimmed), &object) == nil {
		for _, name := range privateFields {
			if text, ok := object[name].(string); ok && text != "" {
				out = append(out, parts(text)...)
			}
		}
		return out
	}
	if strings.Contains(trimmed, "\n") {
		for line := range strings.Lines(trimmed) {
			line = strings.TrimSpace(line)
			if len(line) >= 16 && !strings.HasPrefix(line, "-----") {
				out = append(out, line)
			}
		}
	}
	return out
}

// percentForms are the ways in which text may be escaped in a URL: each part of one keeps other characters as they are.
func percentForms(text string) []string {
	user := url.User(text).String()
	password := url.UserPassword("", text).String()[1:]
	path := (&url.URL{Path: "/" + text}).EscapedPath()[1:]
	fragment := (&url.URL{Fragment: text}).EscapedFragment()
	return []string{url.QueryEscape(text), url.PathEscape(text), user, password, path, fragment, escapeLiteral(text)}
}

// escapeLiteral is what OkHttp makes of a query that is taken for an escaped one.
func escapeLiteral(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"'<>`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// smallHex writes the digits of percent-encoded bytes small, as many programs do.
func smallHex(escaped string) string {
	return percentByte.ReplaceAllStringFunc(escaped, strings.ToLower)
}

var percentByte = regexp.MustCompile(`%[0-9A-F]{2}`)

// forms returns the ways in which text may be found in what is written.
func forms(text string) []string {
	out := []string{text}
	for _, escaped := range percentForms(text) {
		out = append(out, escaped, smallHex(escaped))
	}
	for _, quoted := range []string{strconv.Quote(text), strconv.QuoteToASCII(text)} {
		out = append(out, quoted[1:len(quoted)-1])
	}
	if escaped, err := json.Marshal(text); err == nil {
		out = append(out, string(escaped[1:len(escaped)-1]))
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(text) == nil {
		escaped := strings.TrimSuffix(b.String(), "\n")
		out = append(out, escaped[1:len(escaped)-1])
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		// Inside a longer text (user:password) the credential may begin at each of three places of a group of three
		// bytes. The characters that it shares with its neighbours differ; the ones between are the same.
		for lead := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, lead), text...))
			from := []int{0, 2, 3}[lead]
			to := len(encoded)
			if (lead+len(text))%3 != 0 {
				to--
			}
			if to-from >= 8 {
				out = append(out, encoded[from:to])
			}
		}
		if whole := encoding.EncodeToString([]byte(text)); len(whole) >= 8 {
			out = append(out, whole)
		}
	}
	return out
}
