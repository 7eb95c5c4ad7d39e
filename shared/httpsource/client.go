// Package httpsource asks an HTTP API once per poll and cuts the answer into entries.
package httpsource

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/record"
)

// Options is what a client takes besides the connector's settings. The zero value is ready for use.
type Options struct {
	// Resolve maps "host:port" of a URL to the "addr:port" that is dialled in its place. The Host header and the name
	// that TLS checks stay those of the URL, as with curl's --connect-to.
	Resolve map[string]string
	// RootCAs are the certificates that servers are checked against; nil means the system's (SSL_CERT_FILE).
	RootCAs *x509.CertPool
	// UserAgent is sent unless the connector sets the header; "riftline" when empty.
	UserAgent string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Sleep waits d or until ctx ends, whose error it then returns; a timer when nil.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Client asks one API with the settings of one source connector.
type Client struct{}

// Answer is what one poll got.
type Answer struct {
	// Entries are the records of the answer in its order, the record pointer applied.
	Entries []record.Value
	// Stamps are the fields that are added to each record: scalar members on the way of the list pointer, then platform.
	Stamps []record.Field
	// Bytes is the size of the decompressed body.
	Bytes int64
	// Status is the HTTP status that the entries came with.
	Status int
	// Requests counts the requests that were sent, retries and redirects included.
	Requests int
	// Wait is the time spent waiting between tries.
	Wait time.Duration
}

// New prepares a client.
func New(s connector.Source, o Options) (*Client, error) { return nil, errors.New("not built") }

// Fetch asks the API and cuts the answer into entries.
func (c *Client) Fetch(ctx context.Context) (Answer, error) { return Answer{}, errors.New("not built") }

// Close drops idle connections.
func (c *Client) Close() {}
