// Package registry runs a Confluent-compatible schema registry inside this process, for local mode and for tests.
//
// The REST API is srfake's, the fake of the franz-go client library. What srfake lacks and a real registry has is added
// in front of it: a schema that is not compatible with the subject's is refused with 409, wrong credentials with 401,
// and what was registered outlives the process when it is given a file.
package registry

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// maxBody bounds a request; a registry's schemas are kilobytes.
const maxBody = 4 << 20

// Options says what registry [New] starts. The zero value is a registry in memory on a free port, BACKWARD, open to
// all.
type Options struct {
	// File is the journal of what was registered and configured, one JSON line per change. Empty means memory.
	File string
	// Port is the port on 127.0.0.1; 0 takes a free one.
	Port int
	// User and Password are asked for (basic authentication) when User is not empty.
	User, Password string
	// Compatibility is the global level; BACKWARD, Confluent's default, when empty. What the journal says wins.
	Compatibility string
}

// Fault is what [Registry.Intercept] makes of one request.
type Fault struct {
	// Status and Body are answered in place of the real answer; Status 0 lets the request through.
	Status int
	Body   string
	// After lets the request take effect before the fault is answered: an answer that was lost.
	After bool
	// Drop closes the connection without an answer.
	Drop bool
	// Hang keeps the request waiting until its client gives up or the registry is closed.
	Hang bool
}

// Request is what an interceptor is shown.
type Request struct {
	Method, Path string
	// N counts the requests since the start, from 1.
	N int
}

// Registry is a running registry.
type Registry struct {
	o       Options
	fake    http.Handler
	server  *http.Server
	url     string
	closing chan struct{}
	close   sync.Once

	// changes serialises whatever changes the registry, so that the check of a schema and its registration are one.
	changes sync.Mutex
	journal *journal

	mu        sync.Mutex
	intercept func(Request) Fault
	requests  int
}

// New starts a registry on 127.0.0.1, continuing what the journal holds.
func New(o Options) (*Registry, error) {
	r := &Registry{o: o, fake: srfake.NewRegistry().Handler(), closing: make(chan struct{})}
	if o.Compatibility != "" {
		if status, body := r.do(http.MethodPut, "/config", fmt.Sprintf(`{"compatibility":%q}`, o.Compatibility)); status != http.StatusOK {
			return nil, fmt.Errorf("setting the registry's compatibility to %q: %s", o.Compatibility, body)
		}
	}
	if o.File != "" {
		j, err := openJournal(o.File, func(c change) error {
			if status, body := r.do(c.Method, c.Path, c.Body); status >= http.StatusMultipleChoices {
				return fmt.Errorf("replaying %s %s of %s: %s", c.Method, c.Path, o.File, body)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		r.journal = j
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port))) //nolint:noctx // a local listener
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded schema registry: %w", err), r.journal.close())
	}
	r.url = "http://" + l.Addr().String()
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(l) }()
	return r, nil
}

// URL is the registry's base URL.
func (r *Registry) URL() string { return r.url }

// Intercept makes f see each request before it is handled. One interceptor at a time; nil removes it.
func (r *Registry) Intercept(f func(Request) Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.intercept = f
}

// Requests is the number of requests so far.
func (r *Registry) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// Close stops the registry; with a file, what it holds stays there. A second call does nothing.
func (r *Registry) Close() (err error) {
	r.close.Do(func() {
		close(r.closing)
		err = errors.Join(r.server.Close(), r.journal.close())
	})
	return err
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests++
	seen, intercept := Request{req.Method, req.URL.Path, r.requests}, r.intercept
	r.mu.Unlock()
	var f Fault
	if intercept != nil {
		f = intercept(seen)
	}
	switch {
	case f.Hang:
		select {
		case <-req.Context().Done():
		case <-r.closing:
		}
		return
	case f.After:
		r.handle(httptest.NewRecorder(), req)
	}
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
	default:
		r.handle(w, req)
	}
}

func (r *Registry) handle(w http.ResponseWriter, req *http.Request) {
	if !r.allowed(req) {
		w.Header().Set("WWW-Authenticate", `Basic realm="SchemaRegistry"`)
		refuse(w, http.StatusUnauthorized, http.StatusUnauthorized, "Unauthorized")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, http.StatusRequestEntityTooLarge, "the request is too large or was cut off")
		return
	}
	path := req.URL.EscapedPath()
	if req.URL.RawQuery != "" {
		path += "?" + req.URL.RawQuery
	}
	if req.Method == http.MethodGet {
		r.pass(w, req.Method, path, string(body))
		return
	}
	r.changes.Lock()
	defer r.changes.Unlock()
	switch kind, subject, version := route(req); kind {
	case registers:
		r.register(w, subject, path, string(body))
	case checks:
		r.check(w, subject, version, path, string(body))
	case looks:
		r.pass(w, req.Method, path, string(body))
	case changesIt:
		r.apply(w, change{req.Method, path, string(body)})
	}
}

func (r *Registry) allowed(req *http.Request) bool {
	if r.o.User == "" {
		return true
	}
	user, password, ok := req.BasicAuth()
	return ok && subtle.ConstantTimeCompare([]byte(user), []byte(r.o.User)) == 1 &&
		subtle.ConstantTimeCompare([]byte(password), []byte(r.o.Password)) == 1
}

// register stores a schema unless the subject's compatibility level forbids it.
func (r *Registry) register(w http.ResponseWriter, subject, path, body string) {
	schema, err := decodeSchema(body)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, sr.ErrInvalidSchema.Code, err.Error())
		return
	}
	// A schema that the subject has already is answered with its id, whatever the level; and it changes nothing.
	known, _ := r.do(http.MethodPost, "/subjects/"+escape(subject), body)
	if known == http.StatusOK {
		r.pass(w, http.MethodPost, path, body)
		return
	}
	problems, err := r.incompatible(subject, "", schema)
	switch {
	case err != nil:
		refuse(w, http.StatusUnprocessableEntity, sr.ErrInvalidSchema.Code, err.Error())
	case len(problems) > 0:
		refuse(w, http.StatusConflict, http.StatusConflict,
			fmt.Sprintf("Schema being registered is incompatible with an earlier schema for subject %q, details: %v", subject, problems))
	default:
		r.apply(w, change{http.MethodPost, path, body})
	}
}

func (r *Registry) check(w http.ResponseWriter, subject, version, path, body string) {
	// srfake knows which subjects and versions exist; its verdict itself is always "compatible".
	status, answer := r.do(http.MethodPost, path, body)
	if status != http.StatusOK {
		reply(w, status, []byte(answer))
		return
	}
	schema, err := decodeSchema(body)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, sr.ErrInvalidSchema.Code, err.Error())
		return
	}
	problems, err := r.incompatible(subject, version, schema)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, sr.ErrInvalidSchema.Code, err.Error())
		return
	}
	out, _ := json.Marshal(struct {
		Compatible bool     `json:"is_compatible"`
		Messages   []string `json:"messages,omitempty"`
	}{len(problems) == 0, problems})
	reply(w, http.StatusOK, out)
}

// apply makes a change and writes it to the journal before it is answered.
func (r *Registry) apply(w http.ResponseWriter, c change) {
	status, answer := r.do(c.Method, c.Path, c.Body)
	if status < http.StatusMultipleChoices {
		if err := r.journal.append(c); err != nil {
			refuse(w, http.StatusInternalServerError, 50001, "writing the registry's journal: "+err.Error())
			return
		}
	}
	reply(w, status, []byte(answer))
}

func (r *Registry) pass(w http.ResponseWriter, method, path, body string) {
	status, answer := r.do(method, path, body)
	reply(w, status, []byte(answer))
}

// do asks srfake.
func (r *Registry) do(method, path, body string) (status int, answer string) {
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(context.Background(), method, path, bytes.NewBufferString(body))
	r.fake.ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

func reply(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	body, _ := json.Marshal(struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
	}{code, message})
	reply(w, status, body)
}
