// Package gcs is a small, strict stand-in for Cloud Storage: the part of its JSON API that riftline's storage client
// uses, with every precondition and checksum judged as the real service judges them.
//
// Sources: Cloud Storage JSON API v1, and its pages on resumable uploads, request preconditions and hashes. What the
// stand-in does not know it refuses with 501 rather than leave it out: an ignored precondition hides exactly the bugs
// that a stand-in is for. It is meant for a client that reads through the JSON API (storage.WithJSONReads).
//
// # Objects in a folder
//
// With [Options].Dir the content of gs://bucket/name is the plain file Dir/bucket/name, and everything else about it
// lies in Dir/.riftline-gcs. A write is prepared there and becomes real by one rename (of its description); what a
// process killed after that instant has not moved into place yet is moved by the next [New]. So a reader of the API
// sees an object old or new and never a mixture, and generations never come twice. Files that somebody put into
// Dir/bucket, changed or removed by hand are taken over at the next start.
package gcs

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options configures a [Server].
type Options struct {
	// Dir is where objects are kept, as plain files Dir/<bucket>/<name>; empty means memory.
	Dir string
	// Addr is the address to listen on; empty means a free port of 127.0.0.1.
	Addr string
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
	// OpInsert is an upload in one request, or the request that starts a resumable one.
	OpInsert Op = "insert"
	// OpUpload is one chunk of a resumable upload.
	OpUpload Op = "upload"
	// OpGet asks for an object's attributes, OpRead for its content.
	OpGet    Op = "get"
	OpRead   Op = "read"
	OpList   Op = "list"
	OpDelete Op = "delete"
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
	// Delay waits before anything is done, at most until the client has gone.
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
	Size            int64
	Generation      int64
	Metageneration  int64
	CRC32C          uint32
	MD5             []byte
	ContentType     string
	ContentEncoding string
	CacheControl    string
	StorageClass    string
	Metadata        map[string]string
	Created         time.Time
}

// Server is the stand-in. It is safe for concurrent use.
type Server struct {
	options Options
	now     func() time.Time

	listener net.Listener
	http     *http.Server
	closed   chan struct{}
	close    sync.Once

	mu        sync.Mutex
	buckets   map[string]map[string]*Stored
	disk      *disk
	last      int64 // the last generation given
	sessions  map[string]*session
	written   map[string]time.Time
	intercept func(Request) Fault
	counts    map[Op]int
}

// New starts a server. With a Dir that holds an earlier server's objects it goes on with them.
func New(o Options) (*Server, error) {
	s := &Server{
		options:  o,
		now:      o.Now,
		closed:   make(chan struct{}),
		buckets:  map[string]map[string]*Stored{},
		sessions: map[string]*session{},
		written:  map[string]time.Time{},
		counts:   map[Op]int{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.last = s.now().UnixMicro()
	if o.Dir != "" {
		d, err := openDisk(o.Dir)
		if err != nil {
			return nil, err
		}
		s.disk = d
		if err := s.load(); err != nil {
			return nil, fmt.Errorf("opening the bucket folder %s: %w", o.Dir, err)
		}
	}
	addr := o.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for storage requests: %w", err)
	}
	s.listener = l
	s.http = &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 30 * time.Second}
	go func() { _ = s.http.Serve(l) }()
	return s, nil
}

// URL is the server's address, "http://127.0.0.1:port", fit for STORAGE_EMULATOR_HOST.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close stops the server; requests that hang are ended.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		close(s.closed)
		err = s.http.Close()
	})
	return err
}

// Intercept asks f about each request from now on; nil ends it. f may be called from several goroutines at once.
func (s *Server) Intercept(f func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Count says how many requests of an operation have come.
func (s *Server) Count(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[op]
}

// CreateBucket makes a bucket, if it is not there.
func (s *Server) CreateBucket(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.createBucket(name)
}

// Objects lists what a bucket holds below a prefix, in order of the names, with the content; Data is nil for a file that
// another program has changed or removed.
func (s *Server) Objects(bucket, prefix string) []Stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Stored
	for _, name := range s.names(bucket, prefix) {
		o := *s.buckets[bucket][name]
		o.Data, _ = s.content(&o)
		out = append(out, o)
	}
	return out
}

// Put stores an object, whatever is there, and returns it with its generation. The bucket is created if need be.
func (s *Server) Put(o Stored) (Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.createBucket(o.Bucket); err != nil {
		return Stored{}, err
	}
	if err := s.checkName(o.Name); err != nil {
		return Stored{}, err
	}
	stored, err := s.put(o)
	if err != nil {
		return Stored{}, err
	}
	return *stored, nil
}

// Delete removes an object, if it is there.
func (s *Server) Delete(bucket, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[bucket][name] == nil {
		return nil
	}
	return s.remove(bucket, name)
}
