package gcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call is a request taken apart.
type call struct {
	op     Op
	bucket string
	name   string
	query  url.Values
	header http.Header
	body   []byte
	base   string // scheme and host as the client sees them
}

// answer is what is sent back, made before anything is written so that a fault can throw it away.
type answer struct {
	status int
	header http.Header
	body   []byte
	// serve, when not nil, writes the body itself (ranges).
	serve func(http.ResponseWriter, *http.Request)
}

// refusal is an answer in the shape of the JSON API's errors.
func refusal(status int, reason, format string, args ...any) answer {
	message := fmt.Sprintf(format, args...)
	body, _ := json.Marshal(map[string]any{"error": map[string]any{
		"code": status, "message": message,
		"errors": []any{map[string]any{"domain": "global", "reason": reason, "message": message}},
	}})
	return answer{status: status, header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body: body}
}

func unknown(format string, args ...any) answer {
	return refusal(http.StatusNotImplemented, "notImplemented", "the storage stand-in does not know "+format, args...)
}

func failed(err error) answer {
	if errors.Is(err, errBadName) {
		return refusal(http.StatusBadRequest, "invalid", "%v", err)
	}
	return refusal(http.StatusInternalServerError, "backendError", "%v", err)
}

func structured(v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return failed(err)
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body: body}
}

// Handler answers the API without the server's own listener.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The body is read first: only then does the server notice that a client has gone.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		c, ok := parse(r, body)
		if !ok {
			s.write(w, r, unknown("%s %s", r.Method, r.URL.RequestURI()))
			return
		}
		s.carryOut(w, r, c, s.fault(c))
	})
}

// fault counts the request and asks what is to go wrong with it.
func (s *Server) fault(c call) Fault {
	s.mu.Lock()
	s.counts[c.op]++
	n, f := s.counts[c.op], s.intercept
	s.mu.Unlock()
	if f == nil {
		return Fault{}
	}
	return f(Request{Op: c.op, Bucket: c.bucket, Name: c.name, N: n})
}

func (s *Server) carryOut(w http.ResponseWriter, r *http.Request, c call, f Fault) {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		case <-s.closed:
		}
	}
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-s.closed:
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	case f.DropBefore:
		panic(http.ErrAbortHandler)
	case f.Before != 0:
		s.write(w, r, refusal(f.Before, "injected", "injected before the request was carried out"))
		return
	}
	a := s.do(c)
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.After != 0:
		a = refusal(f.After, "injected", "injected after the request was carried out")
	}
	s.write(w, r, a)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, a answer) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if a.serve != nil {
		a.serve(w, r)
		return
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// parse tells what a request asks for; false when the stand-in has no such thing.
func parse(r *http.Request, body []byte) (call, bool) {
	c := call{query: r.URL.Query(), header: r.Header, body: body, base: "http://" + r.Host}
	path, upload := strings.CutPrefix(r.URL.EscapedPath(), "/upload")
	path, download := strings.CutPrefix(path, "/download")
	path, ok := strings.CutPrefix(path, "/storage/v1/b")
	if !ok || upload && download {
		return c, false
	}
	var parts []string
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		text, err := url.PathUnescape(part)
		if err != nil {
			return c, false
		}
		parts = append(parts, text)
	}
	c.bucket = parts[0]
	switch {
	case path == "" && r.Method == http.MethodPost && !upload:
		c.op = OpBucketCreate
		var b struct{ Name string }
		_ = json.Unmarshal(body, &b)
		c.bucket = b.Name
	case len(parts) == 1 && r.Method == http.MethodGet && c.bucket != "":
		c.op = OpBucketGet
	case len(parts) == 2 && parts[1] == "o" && upload && (r.Method == http.MethodPost || r.Method == http.MethodPut):
		c.op, c.name = OpInsert, c.query.Get("name")
		if c.query.Get("upload_id") != "" {
			c.op = OpUpload
		}
	case len(parts) == 2 && parts[1] == "o" && r.Method == http.MethodGet && !upload:
		c.op, c.name = OpList, c.query.Get("prefix")
	case len(parts) == 3 && parts[1] == "o" && r.Method == http.MethodGet && !upload:
		c.op, c.name = OpGet, parts[2]
		if c.query.Get("alt") == "media" {
			c.op = OpRead
		}
	case len(parts) == 3 && parts[1] == "o" && r.Method == http.MethodDelete && !upload:
		c.op, c.name = OpDelete, parts[2]
	default:
		return c, false
	}
	return c, true
}

// parameters are the query parameters of each operation; another one with a value is refused.
var parameters = map[Op][]string{
	OpBucketGet:    {"projection"},
	OpBucketCreate: {"project", "projection"},
	OpInsert:       {"name", "uploadType", "projection", "ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch"},
	OpUpload:       {"name", "uploadType", "upload_id"},
	OpGet:          {"projection", "generation", "ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch"},
	OpRead:         {"projection", "generation", "ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch"},
	OpList:         {"projection", "prefix", "startOffset", "endOffset", "pageToken", "maxResults", "delimiter"},
	OpDelete:       {"generation", "ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch"},
}

func (s *Server) do(c call) answer {
	for key, values := range c.query {
		switch {
		case key == "alt" || key == "prettyPrint" || key == "fields" || slices.Contains(parameters[c.op], key):
		case values[0] == "" || values[0] == "false":
		default:
			return unknown("the parameter %s of %s", key, c.op)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.op == OpBucketCreate {
		return s.doBucketCreate(c)
	}
	if s.buckets[c.bucket] == nil {
		return refusal(http.StatusNotFound, "notFound", "The specified bucket does not exist.")
	}
	switch c.op {
	case OpBucketGet:
		return structured(map[string]any{"kind": "storage#bucket", "id": c.bucket, "name": c.bucket, "location": "LOCAL", "storageClass": "STANDARD", "metageneration": "1"})
	case OpInsert:
		return s.doInsert(c)
	case OpUpload:
		return s.doUpload(c)
	case OpList:
		return s.doList(c)
	default:
		return s.doObject(c)
	}
}

func (s *Server) doBucketCreate(c call) answer {
	if s.buckets[c.bucket] != nil {
		return refusal(http.StatusConflict, "conflict", "You already own this bucket.")
	}
	var b map[string]any
	if err := json.Unmarshal(c.body, &b); err != nil {
		return refusal(http.StatusBadRequest, "parseError", "%v", err)
	}
	for key := range b {
		if key != "name" && key != "location" && key != "storageClass" {
			return unknown("the bucket's property %s", key)
		}
	}
	if err := s.createBucket(c.bucket); err != nil {
		return failed(err)
	}
	return structured(map[string]any{"kind": "storage#bucket", "id": c.bucket, "name": c.bucket, "location": "LOCAL", "storageClass": "STANDARD", "metageneration": "1"})
}

// doObject gets, reads or deletes an object.
func (s *Server) doObject(c call) answer {
	p, err := preconditionsOf(c.query)
	if err != nil {
		return refusal(http.StatusBadRequest, "invalidParameter", "%v", err)
	}
	o := s.buckets[c.bucket][c.name]
	if o == nil || p.generation != nil && *p.generation != o.Generation {
		return refusal(http.StatusNotFound, "notFound", "No such object: %s/%s", c.bucket, c.name)
	}
	if a, ok := p.judge(o, c.op != OpDelete); !ok {
		return a
	}
	switch c.op {
	case OpGet:
		return structured(resourceOf(o))
	case OpDelete:
		if err := s.remove(c.bucket, c.name); err != nil {
			return failed(err)
		}
		return answer{status: http.StatusNoContent}
	default:
		return s.doRead(c, o)
	}
}

func (s *Server) doRead(c call, o *Stored) answer {
	data, err := s.content(o)
	if err != nil {
		return failed(err)
	}
	h := http.Header{
		"Content-Type":                   {o.ContentType},
		"X-Goog-Generation":              {fmt.Sprint(o.Generation)},
		"X-Goog-Metageneration":          {fmt.Sprint(o.Metageneration)},
		"X-Goog-Hash":                    {"crc32c=" + encodeCRC(o.CRC32C), "md5=" + encode(o.MD5)},
		"X-Goog-Storage-Class":           {o.StorageClass},
		"X-Goog-Stored-Content-Length":   {fmt.Sprint(o.Size)},
		"X-Goog-Stored-Content-Encoding": {"identity"},
		"Last-Modified":                  {o.Created.Format(http.TimeFormat)},
	}
	if o.ContentEncoding != "" {
		h.Set("X-Goog-Stored-Content-Encoding", o.ContentEncoding)
		if o.ContentEncoding == "gzip" && !strings.Contains(c.header.Get("Accept-Encoding"), "gzip") {
			return transcoded(h, data)
		}
		h.Set("Content-Encoding", o.ContentEncoding)
		if c.header.Get("Range") == "" {
			h.Set("Content-Length", strconv.Itoa(len(data)))
			return answer{status: http.StatusOK, header: h, body: data}
		}
	}
	return answer{header: h, serve: func(w http.ResponseWriter, r *http.Request) {
		// A zero time keeps ServeContent from answering conditional headers that the API does not have.
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}}
}
