package httpsource

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/ratelimit"
	"github.com/riftline/riftline/shared/record"
)

// Options is what a client takes besides the connector's settings. The zero value is ready for use.
type Options struct {
	// Resolve maps "host:port" of a URL to the "addr:port" that is dialled in its place. The Host header and the name
	// that TLS checks stay those of the URL, as with curl's --connect-to. Such a host is never asked through a proxy.
	Resolve map[string]string
	// RootCAs are the certificates that servers are checked against; nil means the system's (SSL_CERT_FILE).
	RootCAs *x509.CertPool
	// Limits keeps requests within the API's rate limits, for all clients that share it; nil leaves that to the API.
	Limits *ratelimit.Limiter
	// UserAgent is sent unless the connector sets the header; "riftline" when empty.
	UserAgent string
	// Scrub takes credentials out of what an error shows, before it is cut to length; nil leaves it to the caller, and to
	// what the client knows by itself.
	Scrub func(string) string
	// Now is the clock; time.Now when nil. It must agree with the deadline of the context that Fetch is given.
	Now func() time.Time
	// Sleep waits d or until ctx ends, whose error it then returns; a timer when nil.
	Sleep func(ctx context.Context, d time.Duration) error
	// Rand gives the jitter of waits, in [0, 1); math/rand when nil.
	Rand func() float64
}

// Client asks one API with the settings of one source connector. It is safe for concurrent use and keeps connections
// open between calls as http.client.ttl.millis and http.client.max-idle say.
type Client struct {
	http     *http.Client
	requests requestCounter

	url    *url.URL
	header http.Header
	host   string
	method string
	body   string

	response connector.Response
	platform string
	// variables are the request variables, sorted by name.
	variables []record.Field
	stamped   bool
	timeout   time.Duration

	limits *ratelimit.Limiter
	use    ratelimit.Use

	secrets []string
	scrubs  func(string) string
	now     func() time.Time
	sleep   func(ctx context.Context, d time.Duration) error
	rand    func() float64
}

// Answer is what one poll got.
type Answer struct {
	// Entries are the records of the answer in its order, the record pointer applied.
	Entries []record.Value
	// Items are the elements of the list that the entries were cut from, index by index. The offset pointers (key,
	// timestamp) point into these, as in castorm. It is the same slice as Entries when the record pointer is the root.
	Items []record.Value
	// Stamps are the fields that are added to each record: the scalar members beside the list pointer's way, from the
	// root down, then the request variables, then platform. They are nil, not empty, when riftline.value.fields is none.
	Stamps []record.Field
	// Bytes is the size of the decompressed body.
	Bytes int64
	// Status is the HTTP status that ended the fetch.
	Status int
	// Requests counts the requests that were sent, retries and redirects included.
	Requests int
	// Wait is the time spent waiting for the API's rate limits and between tries.
	Wait time.Duration
}

// New prepares a client for the settings of s, whose request templates it fills in with s.Request.Values; no request is
// made. It fails when the URL, a header or the client certificate cannot be used; the error names the key and never the
// value. It wraps connector.ErrVariables or template.ErrValue when the values do not fit the templates.
func New(s connector.Source, o Options) (*Client, error) {
	variables := s.Request.Values.Var
	// What templates are filled with tells apart what a method is asked for, seldom methods.
	endpoint, _, _ := strings.Cut(s.Request.URL, "?")
	filled, err := s.Request.Fill()
	if err != nil {
		return nil, fmt.Errorf("filling in the request: %w", err)
	}
	s.Request = filled
	target, err := parseURL(s.Request)
	if err != nil {
		return nil, err
	}
	c := &Client{
		method: strings.ToUpper(s.Request.Method), response: s.Response, timeout: s.Client.ReadTimeout,
		stamped: s.ValueFields != "none", now: o.Now, sleep: o.Sleep, rand: o.Rand,
		limits: o.Limits, scrubs: o.Scrub,
	}
	c.use = ratelimit.Use{Connector: s.Name, Share: s.RateLimitShare, Host: target.Host, Endpoint: c.method + " " + endpoint}
	c.defaults()
	switch c.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		c.body = s.Request.Body.Reveal()
	}
	if err := c.setHeader(s.Request, target, o.UserAgent); err != nil {
		return nil, err
	}
	target.User = nil
	c.url = target
	c.platform = platform(target.Hostname())
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		c.variables = append(c.variables, record.Field{Name: name, Value: record.Value{Kind: record.String, Text: variables[name]}})
	}
	c.secrets = secrets(s)
	transport, err := newTransport(s.Client, o)
	if err != nil {
		return nil, err
	}
	c.requests.next = transport
	c.http = &http.Client{Transport: &c.requests, CheckRedirect: c.checkRedirect}
	return c, nil
}

// Close drops idle connections. The client can be used again afterwards.
func (c *Client) Close() { c.requests.next.CloseIdleConnections() }

func (c *Client) defaults() {
	if c.method == "" {
		c.method = http.MethodGet
	}
	if c.response.MaxBytes <= 0 {
		c.response.MaxBytes = 64 << 20
	}
	if c.response.Process == nil && c.response.Skip == nil {
		c.response.Process = []connector.CodeRange{{From: 200, To: 299}}
		c.response.Skip = []connector.CodeRange{{From: 300, To: 399}}
	}
	if c.use.Share <= 0 {
		c.use.Share = 1
	}
	if c.timeout <= 0 {
		c.timeout = 10 * time.Second
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.sleep == nil {
		c.sleep = sleep
	}
	if c.rand == nil {
		c.rand = randomFraction
	}
}

func parseURL(r connector.Request) (*url.URL, error) {
	target, err := url.Parse(r.URL)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Hostname() == "" {
		// url.Parse's error repeats the whole URL, which may hold a credential.
		return nil, fmt.Errorf("reading http.request.url: not an http or https URL with a host")
	}
	target.Fragment = ""
	if params := strings.Trim(r.Params.Reveal(), "?&"); params != "" {
		if hasControl(params) {
			return nil, fmt.Errorf("reading http.request.params: the query has a line break or another control character in it")
		}
		if target.RawQuery != "" {
			target.RawQuery += "&"
		}
		target.RawQuery += params
	}
	return target, nil
}

func (c *Client) setHeader(r connector.Request, target *url.URL, userAgent string) error {
	if userAgent == "" {
		userAgent = "riftline"
	}
	c.header = http.Header{}
	for _, h := range r.Headers {
		// A secret that was stored with a line break at its end is common, and no header value ends in white space.
		name, value := strings.TrimSpace(h.Name), strings.TrimSpace(h.Value.Reveal())
		if !isToken(name) {
			return fmt.Errorf("reading http.request.headers: %q is no header name", name)
		}
		if hasControl(value) {
			return fmt.Errorf("reading http.request.headers: the value of %s has a line break or another control character in it", name)
		}
		if strings.EqualFold(name, "Host") {
			c.host = value
			continue
		}
		c.header.Add(name, value)
	}
	if c.header.Get("User-Agent") == "" {
		c.header.Set("User-Agent", userAgent)
	}
	if c.header.Get("Accept-Encoding") == "" {
		c.header.Set("Accept-Encoding", "gzip")
	}
	user, password := r.BasicUser, r.BasicPassword.Reveal()
	if user == "" && target.User != nil {
		user = target.User.Username()
		password, _ = target.User.Password()
	}
	if user != "" && c.header.Get("Authorization") == "" {
		request := http.Request{Header: c.header}
		request.SetBasicAuth(user, password)
	}
	return nil
}

// platform is the routing value of a Riot host ("kr" of kr.api.riotgames.com), empty for any other host.
func platform(host string) string {
	name, found := strings.CutSuffix(strings.ToLower(host), ".api.riotgames.com")
	if !found || strings.Contains(name, ".") {
		return ""
	}
	return name
}

// plainHeaders never carry a credential; their values ("gzip", "application/json") are words that messages need.
var plainHeaders = map[string]bool{
	"Accept": true, "Accept-Charset": true, "Accept-Encoding": true, "Accept-Language": true, "Cache-Control": true,
	"Connection": true, "Content-Type": true, "Host": true, "Origin": true, "User-Agent": true,
}

// secrets are the texts of a request that no error may show, the longest first so that none leaves a part of another.
func secrets(s connector.Source) []string {
	found := []string{s.Request.Params.Reveal(), s.Request.Body.Reveal(), s.Request.BasicPassword.Reveal(),
		s.Client.ProxyPassword.Reveal(), s.Client.KeystorePassword.Reveal()}
	for _, pair := range strings.Split(s.Request.Params.Reveal(), "&") {
		if _, value, ok := strings.Cut(pair, "="); ok {
			found = append(found, value)
			if plain, err := url.QueryUnescape(value); err == nil {
				found = append(found, plain)
			}
		}
	}
	for _, h := range s.Request.Headers {
		if !plainHeaders[http.CanonicalHeaderKey(h.Name)] {
			found = append(found, strings.TrimSpace(h.Value.Reveal()))
		}
	}
	if target, err := url.Parse(s.Request.URL); err == nil {
		if password, ok := target.User.Password(); ok {
			found = append(found, password)
		}
		for _, values := range target.Query() {
			found = append(found, values...)
		}
	}
	return longestFirst(found)
}

func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
