package connector

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

// ErrVariables says that a request cannot be made with the variables that are given: one is missing, is used by no
// template, holds what it must not hold where it stands, or leads to a host that is not allowed.
var ErrVariables = errors.New("the request variables cannot be used")

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrVariables, fmt.Sprintf(format, args...))
}

// maxValue bounds the value of a request variable.
const maxValue = 512

// Fill returns the request with its templates filled in by q.Values, so that its texts are what is sent. Values are
// escaped for the place where they stand: nothing in them can end a path segment, a parameter, a header or a JSON text.
// A request variable in the URL's scheme or host, or in the header Host, must lead to one of q.Origins. Errors wrap
// [ErrVariables], or [template.ErrValue] when an offset property is not what the template takes it for.
func (q Request) Fill() (Request, error) {
	for name, value := range q.Values.Var {
		if len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return q, unusable("the value of %s is longer than %d bytes, has control characters in it or is no UTF-8", name, maxValue)
		}
	}
	var err error
	if q.URL, err = q.fillURL(); err != nil {
		return q, fmt.Errorf("http.request.url: %w", err)
	}
	params, err := q.fill(q.Params.Reveal(), fillQuery)
	if err != nil {
		return q, fmt.Errorf("http.request.params: %w", err)
	}
	q.Params = secret.New(params)
	q.Headers = slices.Clone(q.Headers)
	for i, h := range q.Headers {
		filled := false
		value, err := q.fill(h.Value.Reveal(), func(before string, p template.Piece) (string, error) {
			filled = filled || p.Filled
			return fillHeader(before, p)
		})
		if err == nil && filled && strings.EqualFold(h.Name, "Host") {
			err = q.checkHost(value)
		}
		if err != nil {
			return q, fmt.Errorf("header %s of http.request.headers: %w", h.Name, err)
		}
		q.Headers[i].Value = secret.New(value)
	}
	body, err := q.fill(q.Body.Reveal(), q.fillBody())
	if err != nil {
		return q, fmt.Errorf("http.request.body: %w", err)
	}
	q.Body = secret.New(body)
	return q, nil
}

// Check tells whether a request can be made with these variables, whatever the offset properties are. Errors as in
// [Request.Fill].
func (q Request) Check(variables map[string]string) error {
	q.Values = template.Values{Var: variables, Offset: map[string]string{}}
	for _, name := range q.OffsetNames {
		q.Values.Offset[name] = "1970-01-01T00:00:00Z"
	}
	_, err := q.Fill()
	return err
}

// Host is the host of the URL, with "x" in the place of interpolations. It is empty when the URL is none.
func (q Request) Host() string {
	u, err := url.Parse(plainURL(q.URL))
	if err != nil {
		return ""
	}
	return u.Hostname()
}

var cutWord = regexp.MustCompile("\ue000[0-9]+\ue001")

// plainURL is a URL with something harmless in the place of its interpolations.
func plainURL(text string) string {
	masked, _ := template.Cut(text)
	if at := cutWord.FindStringIndex(masked); at != nil && at[0] == 0 && strings.HasPrefix(masked[at[1]:], "://") {
		masked = "https" + masked[at[1]:]
	}
	// A digit may stand for a port too.
	return cutWord.ReplaceAllStringFunc(masked, func(word string) string {
		if strings.Contains(masked, ":"+word) {
			return "1"
		}
		return "x"
	})
}

// origin is scheme, host and port of a URL in one form.
func origin(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// place is where in a request a value is filled in. It returns what is written for it; before is what stands before it.
type place func(before string, p template.Piece) (string, error)

func (q Request) fill(text string, where place) (string, error) {
	if text == "" {
		return "", nil
	}
	t, err := template.Parse(text, q.BareNames)
	if err != nil {
		return "", err
	}
	pieces, err := t.Pieces(q.Values)
	var missing *template.MissingError
	if errors.As(err, &missing) {
		return "", unusable("%v", err)
	}
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range pieces {
		written, err := where(b.String(), p)
		if err != nil {
			return "", err
		}
		b.WriteString(written)
	}
	return b.String(), nil
}

// hostPart is what a variable may fill in before a URL's path.
var hostPart = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func (q Request) fillURL() (string, error) {
	guarded := false
	text, err := q.fill(q.URL, func(before string, p template.Piece) (string, error) {
		_, after, inHost := strings.Cut(before, "://")
		rest := strings.IndexAny(after, "/?#")
		if !p.Filled {
			return encodeLiteral(before, p.Text), nil
		}
		switch {
		case !inHost || rest < 0:
			guarded = true
			if !hostPart.MatchString(p.Text) || strings.Contains(p.Text, "..") {
				return "", unusable("a value before the path has other characters than letters, digits, \"-\" and \".\"")
			}
			return p.Text, nil
		case strings.ContainsAny(after[rest:], "?#"):
			return fillQuery(before, p)
		}
		return fillPath(before, p)
	})
	if err != nil {
		return "", err
	}
	u, err := url.Parse(text)
	if err != nil {
		// url.Parse's error repeats the whole URL, which may hold a credential.
		return "", unusable("what is filled in makes no URL")
	}
	if err := checkSegments(q.URL, u); err != nil {
		return "", err
	}
	if !guarded {
		return text, nil
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", unusable("the scheme %q is neither http nor https", u.Scheme)
	case u.User != nil:
		return "", unusable("a URL whose host is filled in must have no user in it")
	case strings.Contains(u.Hostname(), ":") || u.Hostname() == "":
		return "", unusable("the host is none that may be filled in")
	case !slices.Contains(q.Origins, origin(u)):
		return "", unusable("%s is none of the hosts that the connector file itself leads to, nor of riftline.request.hosts", origin(u))
	}
	return text, nil
}

// checkHost refuses a header Host that was filled in unless it names one of the origins: what stands before several hosts
// goes by it.
func (q Request) checkHost(value string) error {
	scheme, _, _ := strings.Cut(q.URL, "://")
	u, err := url.Parse(scheme + "://" + value)
	if err != nil || u.Host != value || !slices.Contains(q.Origins, origin(u)) {
		return unusable("it is none of the hosts that the connector file itself leads to, nor of riftline.request.hosts")
	}
	return nil
}

// checkSegments refuses "." and ".." in a path that is filled in, also with parameters (";…") behind them, which some
// servers take off first.
func checkSegments(written string, u *url.URL) error {
	if template.Without(written) == written {
		return nil
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		plain, err := url.PathUnescape(segment)
		if plain, _, _ = strings.Cut(plain, ";"); err != nil || plain == "." || plain == ".." {
			return unusable("the path has the segment %q in it", segment)
		}
	}
	return nil
}

func fillPath(_ string, p template.Piece) (string, error) {
	lower := strings.ToLower(p.Raw)
	if p.Var && (strings.ContainsAny(lower, `/\`) || strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c")) {
		return "", unusable("a value in the path has a slash in it")
	}
	if p.Encoded {
		return p.Text, nil
	}
	return escape(p.Text, "-._~!$&'()*+,;=:@"), nil
}

func fillQuery(before string, p template.Piece) (string, error) {
	switch {
	case !p.Filled:
		return strings.ReplaceAll(encodeLiteral("?", p.Text), "#", "%23"), nil
	case p.Encoded:
		return p.Text, nil
	}
	return escape(p.Text, "-._~:@,/!*()"), nil
}

func fillHeader(_ string, p template.Piece) (string, error) {
	if p.Filled && !validHeaderValue(p.Text) {
		return "", unusable("a value in a header has control characters in it")
	}
	return p.Text, nil
}

var jsonScalar = regexp.MustCompile(`^(-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null)$`)

// fillBody escapes by what the body is: JSON, a form, or text.
func (q Request) fillBody() place {
	start := strings.TrimSpace(q.Body.Reveal())
	if strings.HasPrefix(start, "{") || strings.HasPrefix(start, "[") {
		return fillJSON
	}
	for _, h := range q.Headers {
		if strings.EqualFold(h.Name, "Content-Type") && strings.Contains(strings.ToLower(h.Value.Reveal()), "x-www-form-urlencoded") {
			return func(before string, p template.Piece) (string, error) {
				if !p.Filled {
					return p.Text, nil
				}
				return fillQuery(before, p)
			}
		}
	}
	return func(_ string, p template.Piece) (string, error) { return p.Text, nil }
}

func fillJSON(before string, p template.Piece) (string, error) {
	switch {
	case !p.Filled:
		return p.Text, nil
	case !insideText(before):
		if !jsonScalar.MatchString(p.Text) {
			return "", unusable("a value outside of quotes in a JSON body is no number, true, false or null")
		}
		return p.Text, nil
	}
	var b strings.Builder
	for _, r := range p.Text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String(), nil
}

// insideText reports whether a JSON text is open at the end of s.
func insideText(s string) bool {
	open := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && open:
			i++
		case s[i] == '"':
			open = !open
		}
	}
	return open
}

const hexDigits = "0123456789ABCDEF"

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// escape percent-encodes all but letters, digits and the characters in keep.
func escape(text, keep string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; isAlphanumeric(c) || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// encodeLiteral percent-encodes what may not stand in a query as it is, as castorm's OkHttp does with a query that is
// encoded already: blanks, quotes, angle brackets and what is not ASCII. Text before a query stays as it is.
func encodeLiteral(before, text string) string {
	at := 0
	if !strings.Contains(before, "?") {
		if at = strings.IndexByte(text, '?'); at < 0 {
			return text
		}
	}
	var b strings.Builder
	b.WriteString(text[:at])
	for i := at; i < len(text); i++ {
		// Control characters stay, to be refused: a secret that was stored with a line break would be sent with it.
		if c := text[i]; c != ' ' && c < 0x80 && strings.IndexByte(`"'<>`, c) < 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// HostWith is the host of the URL with these request variables, or [Request.Host] where it is not known.
func (q Request) HostWith(variables map[string]string) string {
	text, err := fillBeforePath(q.URL, q.BareNames, template.Values{Var: variables})
	if err != nil {
		return q.Host()
	}
	u, err := url.Parse(text)
	if err != nil {
		return q.Host()
	}
	return strings.ToLower(u.Hostname())
}
