package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
)

const (
	connectTimeout = 30 * time.Second
	// connectLargest bounds what is read of one answer of Connect's.
	connectLargest = 64 << 20
)

// connectAPI is the REST interface of a Kafka Connect cluster.
type connectAPI struct {
	base *url.URL
	// given says that there are a user and a password.
	given          bool
	user, password string
	client         *http.Client
}

// newConnectAPI reads http://USER:PASSWORD@host:port/path, in which user and password may be references. No error shows
// the argument.
func newConnectAPI(ctx context.Context, argument string, r *secret.Resolver) (*connectAPI, error) {
	c := &connectAPI{client: &http.Client{Timeout: connectTimeout}}
	scheme, after, ok := strings.Cut(argument, "://")
	user, rest, hasUser := cutAuthority(after)
	base, err := url.Parse(scheme + "://" + rest)
	if !ok || err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" {
		return nil, usage("--connect takes the URL of Kafka Connect's REST interface: http://host:8083, or 'https://${env:CONNECT_USER}:${env:CONNECT_PASSWORD}@host:8083'")
	}
	c.base = base
	if !hasUser {
		return c, nil
	}
	c.given = true
	name, password := splitUser(user)
	if c.user, err = userPart(ctx, name, r); err == nil {
		c.password, err = userPart(ctx, password, r)
	}
	if err != nil {
		return nil, usage("the user of --connect: %w", err)
	}
	r.Hide(c.password)
	return c, nil
}

// cutAuthority splits "user@host/path" at the last "@" before the path, references left whole.
func cutAuthority(after string) (user, rest string, ok bool) {
	masked := maskedReferences(after)
	authority := masked
	if end := strings.IndexAny(masked, "/?#"); end >= 0 {
		authority = masked[:end]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return "", after, false
	}
	return after[:at], after[at+1:], true
}

func splitUser(user string) (name, password string) {
	if colon := strings.IndexByte(maskedReferences(user), ':'); colon >= 0 {
		return user[:colon], user[colon+1:]
	}
	return user, ""
}

// maskedReferences blots references out; nothing moves.
func maskedReferences(text string) string {
	return secret.Map(text, func(part string, reference bool) string {
		if reference {
			return strings.Repeat("x", len(part))
		}
		return part
	})
}

// userPart resolves references; what stands in clear text is percent-encoded, as in every URL.
func userPart(ctx context.Context, text string, r *secret.Resolver) (string, error) {
	if len(secret.References(text)) > 0 {
		return r.Resolve(ctx, text)
	}
	plain, err := url.PathUnescape(text)
	if err != nil {
		return "", errors.New("is not percent-encoded as it should be")
	}
	return plain, nil
}

// shown is the interface's address as it may be printed.
func (c *connectAPI) shown() string { return strings.TrimSuffix(c.base.String(), "/") }

// connectors returns the configurations of all connectors by name.
func (c *connectAPI) connectors(ctx context.Context) (map[string]map[string]string, error) {
	body, err := c.get(ctx, "expand=info", "connectors")
	if err != nil {
		return nil, err
	}
	var expanded map[string]struct {
		Info struct {
			Config map[string]*string `json:"config"`
		} `json:"info"`
	}
	out := map[string]map[string]string{}
	if json.Unmarshal(body, &expanded) == nil {
		for name, one := range expanded {
			if one.Info.Config == nil {
				return nil, c.odd("connectors?expand=info")
			}
			out[name] = given(one.Info.Config)
		}
		return out, nil
	}
	// Connect before 2.3 answers with the names alone.
	var names []string
	if json.Unmarshal(body, &names) != nil {
		return nil, c.odd("connectors")
	}
	for _, name := range names {
		body, err := c.get(ctx, "", "connectors", name, "config")
		if err != nil {
			return nil, err
		}
		var config map[string]*string
		if json.Unmarshal(body, &config) != nil || config == nil {
			return nil, c.odd("connectors/" + name + "/config")
		}
		out[name] = given(config)
	}
	return out, nil
}

// given leaves null values out.
func given(config map[string]*string) map[string]string {
	out := map[string]string{}
	for key, value := range config {
		if value != nil {
			out[key] = *value
		}
	}
	return out
}

func (c *connectAPI) odd(what string) error {
	return usage("%s/%s does not answer as Kafka Connect does: is it Connect's REST interface?", c.shown(), what)
}

// get asks once. Errors show neither the credentials nor what was answered.
func (c *connectAPI) get(ctx context.Context, query string, segments ...string) ([]byte, error) {
	u := c.base.JoinPath(escaped(segments)...)
	u.RawQuery = query
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, usage("--connect: %w", err)
	}
	q.Header.Set("Accept", "application/json")
	if c.given {
		q.SetBasicAuth(c.user, c.password)
	}
	answer, err := c.client.Do(q)
	if err != nil {
		return nil, &failure{exitTransient, fmt.Errorf("asking Kafka Connect: %w", err)}
	}
	defer func() { _ = answer.Body.Close() }()
	switch code := answer.StatusCode; {
	case code == http.StatusOK:
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return nil, usage("asking Kafka Connect: %s answers %s: write user and password into --connect, best as references: 'https://${env:CONNECT_USER}:${env:CONNECT_PASSWORD}@host:8083'", u, answer.Status)
	case code == http.StatusConflict || code == http.StatusTooManyRequests || code >= 500:
		return nil, &failure{exitTransient, fmt.Errorf("asking Kafka Connect: %s answers %s: run it again", u, answer.Status)}
	default:
		return nil, usage("asking Kafka Connect: %s answers %s: is it the URL of Connect's REST interface?", u, answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, connectLargest))
	if err != nil {
		return nil, &failure{exitTransient, fmt.Errorf("reading the answer of Kafka Connect: %w", err)}
	}
	return body, nil
}

func escaped(segments []string) []string {
	out := make([]string, len(segments))
	for i, s := range segments {
		out[i] = url.PathEscape(s)
	}
	return out
}

// fromConnect takes the connectors that riftline stands in for, or those that are named, and says which it left out.
func (m *importer) fromConnect(ctx context.Context) error {
	api, err := newConnectAPI(ctx, m.o.connect, m.resolver)
	if err != nil {
		return err
	}
	m.asked = api.shown()
	all, err := api.connectors(ctx)
	if err != nil {
		return err
	}
	for _, name := range m.o.names {
		if _, ok := all[name]; !ok {
			return usage("--connector %s: there is no such connector at %s; there are: %s", name, m.asked, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if len(m.o.names) > 0 && !slices.Contains(m.o.names, name) {
			continue
		}
		config := all[name]
		class := config["connector.class"]
		if !connector.Replaces(class) {
			m.skipped = append(m.skipped, fmt.Sprintf("%s: %s is neither castorm's HTTP source nor Confluent's GCS sink", name, class))
			continue
		}
		config["name"] = name
		data, err := json.Marshal(config)
		if err != nil {
			return usage("connector %s: %w", name, err)
		}
		m.take(m.asked+"/connectors/"+name, "", data)
	}
	return nil
}
