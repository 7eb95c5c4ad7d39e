package httpsource

import (
	"time"
)

// UnauthorizedError says that the API refused the credentials (401 or 403). It is never retried here.
type UnauthorizedError struct {
	Status int
	URL    string // without query and user information
	Trace  string // X-Riot-Edge-Trace-Id, when the API gave one
}

// Error implements error.
func (e *UnauthorizedError) Error() string { return "" }

// DeferredError says that the API asks to wait longer than the run may take. Nothing was fetched.
type DeferredError struct {
	// Until is the first moment at which a request is welcome.
	Until  time.Time
	Status int
	URL    string
}

// Error implements error.
func (e *DeferredError) Error() string { return "" }

// UpstreamError says that the API gave no usable status: 5xx or a transport failure after the retries, or a status
// that is neither processed nor skipped.
type UpstreamError struct {
	// Status is 0 when no answer came.
	Status   int
	URL      string
	Requests int
	Trace    string
	// Err is the transport's error, nil when an answer came. It names no query, header or body.
	Err error
}

// Error implements error.
func (e *UpstreamError) Error() string { return "" }

// Unwrap returns the transport's error.
func (e *UpstreamError) Unwrap() error { return e.Err }

// BodyError says that the body of an answer cannot be used: not JSON, HTML, too large, or without the list pointer.
type BodyError struct {
	Status      int
	ContentType string
	Bytes       int64
	URL         string
	// Reason says what is wrong and what to do about it.
	Reason string
	// Start is the beginning of the body, at most 80 bytes, quoted by Error.
	Start string
	Trace string
	Err   error
}

// Error implements error.
func (e *BodyError) Error() string { return "" }

// Unwrap returns the parser's error, if there is one.
func (e *BodyError) Unwrap() error { return e.Err }
