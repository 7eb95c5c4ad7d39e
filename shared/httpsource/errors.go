package httpsource

import (
	"fmt"
	"strings"
	"time"
)

// UnauthorizedError says that the API refused the credentials (401 or 403). It is never retried here: the caller reads
// the secret once more and asks again at most once.
type UnauthorizedError struct {
	Status int
	// URL is without query and user information, as in all errors of this package.
	URL string
	// Trace is X-Riot-Edge-Trace-Id when the API gave one; its support asks for it.
	Trace string
}

// Error implements error.
func (e *UnauthorizedError) Error() string {
	advice := "no credentials, or ones it does not know; check http.request.headers and http.auth.*"
	if e.Status == 403 {
		advice = "an expired or blocked key, or a path that this key may not ask for; check http.request.headers, http.auth.* and the URL"
	}
	return fmt.Sprintf("asking %s: the API answers %d: %s%s", e.URL, e.Status, advice, trace(e.Trace))
}

// DeferredError says that the API, or its rate limits, ask to wait longer than the run may take. Nothing was fetched; the
// next trigger at or after Until may try again.
type DeferredError struct {
	// Until is the first moment at which a request is welcome.
	Until time.Time
	// Status is 0 when the API was not asked, as its rate limits leave no request.
	Status int
	URL    string
	Trace  string
}

// Error implements error.
func (e *DeferredError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("asking %s: the API's rate limits, or the part of them that riftline.ratelimit.share leaves, allow no request before %s, which is too late for this run",
			e.URL, e.Until.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("asking %s: the API answers %d and wants no request before %s, which is too late for this run%s",
		e.URL, e.Status, e.Until.UTC().Format(time.RFC3339), trace(e.Trace))
}

// UpstreamError says that the API gave no usable status: 5xx or a failed connection after the retries, or a status that
// is neither processed nor skipped.
type UpstreamError struct {
	// Status is 0 when no answer came.
	Status   int
	URL      string
	Requests int
	Trace    string
	// Err is the transport's error, nil when an answer came. When the context ended it wraps the context's error.
	Err error
}

// Error implements error.
func (e *UpstreamError) Error() string {
	tries := ""
	if e.Requests > 1 {
		tries = fmt.Sprintf(", after %d requests", e.Requests)
	}
	if e.Err != nil {
		return fmt.Sprintf("asking %s: %v%s%s", e.URL, e.Err, tries, trace(e.Trace))
	}
	var advice string
	switch {
	case e.Status >= 500:
		advice = "; it is the API that fails, the next poll tries again"
	case e.Status == 404:
		advice = "; check http.request.url, or add 404 to http.response.policy.codes.skip if it means that there is nothing"
	default:
		advice = "; check http.request.*, or add the code to http.response.policy.codes.skip if it means that there is nothing"
	}
	return fmt.Sprintf("asking %s: the API answers %d%s%s%s", e.URL, e.Status, tries, advice, trace(e.Trace))
}

// Unwrap returns the transport's error.
func (e *UpstreamError) Unwrap() error { return e.Err }

// BodyError says that the body of an answer cannot be used: not JSON, HTML, too large, or without the list pointer.
// Nothing of it was taken.
type BodyError struct {
	Status      int
	ContentType string
	// Bytes is how much of the body was read, decompressed.
	Bytes int64
	URL   string
	// Reason says what is wrong and what to do about it.
	Reason string
	// Start is the beginning of the body, at most 80 bytes, when it helps to see it.
	Start string
	Trace string
	// Err is the parser's or decompressor's error, if there is one.
	Err error
}

// Error implements error.
func (e *BodyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "reading the answer of %s: %s", e.URL, e.Reason)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	contentType := e.ContentType
	if contentType == "" {
		contentType = "none"
	}
	fmt.Fprintf(&b, " (status %d, content type %s, %d bytes", e.Status, contentType, e.Bytes)
	if e.Start != "" {
		fmt.Fprintf(&b, ", beginning with %q", e.Start)
	}
	b.WriteByte(')')
	b.WriteString(trace(e.Trace))
	return b.String()
}

// Unwrap returns the parser's error, if there is one.
func (e *BodyError) Unwrap() error { return e.Err }

func trace(id string) string {
	if id == "" {
		return ""
	}
	return fmt.Sprintf(" [X-Riot-Edge-Trace-Id %s]", id)
}
