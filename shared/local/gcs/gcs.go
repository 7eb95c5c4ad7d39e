// Package gcs is a small, strict stand-in for Cloud Storage: the part of its JSON API that riftline's storage client
// uses, with every precondition and checksum judged as the real service judges them.
package gcs

import (
	"errors"
	"net/http"
	"time"
)

var errNotYet = errors.New("not built yet")

// Options configures a [Server].
type Options struct {
	// Dir is where objects are kept, as plain files Dir/<bucket>/<name>; empty means memory.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// WritesPerSecond, when above 0, answers 429 to writes of one name beyond that rate, as Cloud Storage does above 1.
	WritesPerSecond float64
}

// Op is what a request asks for.
type Op string

// The operations.
const (
	OpBucketGet    Op = "bucket.get"
	OpBucketCreate Op = "bucket.create"
	OpInsert       Op = "insert" // one-request upload, and the request that starts a resumable one
	OpUpload       Op = "upload" // one chunk of a resumable upload
	OpGet          Op = "get"    // an object's attributes
	OpRead         Op = "read"   // an object's content
	OpList         Op = "list"
	OpDelete       Op = "delete"
)

// Request is what a fault is decided on.
type Request struct {
	Op     Op
	Bucket string
	// Name is the object's name, or the prefix of a listing.
	Name string
	// N counts the requests of this Op, from 1.
	N int
}

// Fault is what goes wrong with a request; the zero value is nothing.
type Fault struct {
	// Before, when not 0, is the status answered without doing anything.
	Before int
	// After, when not 0, is the status answered after the request was carried out.
	After int
	// Drop carries the request out and then breaks the connection without an answer.
	Drop bool
	// DropBefore breaks the connection without doing anything.
	DropBefore bool
	// Delay waits before anything is done.
	Delay time.Duration
	// Hang holds the request, without doing anything, until the client has gone or the server is closed.
	Hang bool
	// Until, when not nil, holds the request until it is closed, then goes on even if the client has gone: a request
	// delayed in the network.
	Until <-chan struct{}
}

// Stored is an object as it is kept.
type Stored struct {
	Bucket          string
	Name            string
	Data            []byte
	Generation      int64
	Metageneration  int64
	CRC32C          uint32
	MD5             []byte
	ContentType     string
	ContentEncoding string
	Metadata        map[string]string
	Created         time.Time
	Updated         time.Time
}

// Server is the stand-in; it listens on a loopback port.
type Server struct{}

// New starts a server.
func New(o Options) (*Server, error) { return nil, errNotYet }

// URL is the server's address, "http://127.0.0.1:port", fit for STORAGE_EMULATOR_HOST.
func (s *Server) URL() string { return "" }

// Handler answers the API without the server's own listener.
func (s *Server) Handler() http.Handler { return nil }

// Intercept asks f about each request from now on; nil ends it.
func (s *Server) Intercept(f func(Request) Fault) {}

// Count says how many requests of an operation have come.
func (s *Server) Count(op Op) int { return 0 }

// CreateBucket makes a bucket, if it is not there.
func (s *Server) CreateBucket(name string) error { return errNotYet }

// Objects lists what a bucket holds below a prefix, in order of the names, with the content.
func (s *Server) Objects(bucket, prefix string) []Stored { return nil }

// Put stores an object, whatever is there, and returns it with its generation. The bucket is created if need be.
func (s *Server) Put(o Stored) (Stored, error) { return Stored{}, errNotYet }

// Delete removes an object, if it is there.
func (s *Server) Delete(bucket, name string) error { return errNotYet }

// Close stops the server.
func (s *Server) Close() error { return nil }
