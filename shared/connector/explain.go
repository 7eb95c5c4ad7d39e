package connector

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/secret"
)

// Explain says what becomes of every key of the connector, of the worker's settings that it falls back on, and of the
// defaults that differ from Connect's, in the order of the file; and everything there is to say about them, errors first.
// No reference is resolved and no file is read, so that it runs anywhere; what hangs on a reference is judged when the
// connector starts. Missing brokers or a missing registry are no problem here, since the worker's environment of the
// machine that runs the connector has them.
func (c Connector) Explain(w Worker, o CheckOptions) ([]Verdict, Problems) {
	e := c.examine(context.Background(), w, nil, o)
	return e.verdicts, e.problems.sorted()
}

// sorted puts errors first and advice last; each in the order in which it was found, and nothing twice.
func (p Problems) sorted() Problems {
	var out Problems
	for _, one := range p {
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	slices.SortStableFunc(out, func(a, b Problem) int { return cmp.Compare(a.Severity, b.Severity) })
	return out
}

// requestKeys are those whose references are read once more when the API answers 401 or 403.
var requestKeys = []string{
	"http.request.url", "http.request.headers", "http.request.params", "http.request.body",
	"http.auth.user", "http.auth.password", "http.client.proxy.password", "http.client.keystore.password",
}

// RefreshSecrets reads the references of the request (URL, headers, parameters, body, authentication) once more, past
// the resolver's cache, and reports whether one changed: then [Connector.Source] gives a request with the new
// credentials. It is for one fresh read after a 401 or 403.
func (c Connector) RefreshSecrets(ctx context.Context, r *secret.Resolver) (changed bool, err error) {
	var texts []string
	for _, key := range requestKeys {
		texts = append(texts, c.Config[key])
	}
	return r.Refresh(ctx, strings.Join(texts, "\n"))
}
