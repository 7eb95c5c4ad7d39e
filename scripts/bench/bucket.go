package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/riftline/riftline/shared/local/gcs"
)

// The bucket's two ways, by the beginning of a bucket's name. discarding takes an upload as it comes, compares its
// CRC32C, counts its records and forgets its content, so that it takes as little of the machine as a bucket can that
// looks at what it gets. All others are kept in memory by shared/local/gcs, which computes MD5 too, as fake-gcs-server
// does.
const (
	discarding = "discard-"
	keeping    = "keep-"
)

// A stored object is what the benchmark is told of one.
type stored struct {
	Name  string `json:"name"`
	Codec string `json:"codec"`
	Size  int64  `json:"size"`
	digest
	// Created is Unix time in nanoseconds.
	Created int64 `json:"created"`
}

// bucketServer is the role "bucket": Cloud Storage in a process of its own.
type bucketServer struct {
	gcs     *gcs.Server
	handler http.Handler

	mu        sync.Mutex
	discarded map[string]map[string]stored // by bucket and name
	sessions  map[string]*session
	holds     map[string]*hold
}

// hold makes the writes of a bucket wait once it has a number of objects.
type hold struct {
	after   int
	waiting int
	done    chan struct{}
}

// upload is a discarded object that is being written.
type upload struct {
	bucket, name string
	attributes   attributes
	count        containerCount
	sum          uint32
	size         int64
}

type session struct{ upload }

type attributes struct {
	Name        string            `json:"name"`
	ContentType string            `json:"contentType"`
	CRC32C      string            `json:"crc32c"`
	Metadata    map[string]string `json:"metadata"`
}

func (u *upload) Write(p []byte) (int, error) {
	u.sum = crc32.Update(u.sum, castagnoli, p)
	u.size += int64(len(p))
	return u.count.Write(p)
}

// serveBucket answers until its standard input ends, so that it cannot outlive the benchmark.
func serveBucket(ctx context.Context, args []string) error {
	if err := flag.NewFlagSet("bucket", flag.ContinueOnError).Parse(args); err != nil {
		return errUsage
	}
	inner, err := gcs.New(gcs.Options{})
	if err != nil {
		return err
	}
	s := &bucketServer{gcs: inner, handler: inner.Handler(), discarded: map[string]map[string]stored{}, sessions: map[string]*session{}, holds: map[string]*hold{}}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/bench/objects", s.objects)
	mux.HandleFunc("/bench/bucket", s.makeOrDrop)
	mux.HandleFunc("/bench/hold", s.hold)
	mux.HandleFunc("/bench/held", s.held)
	mux.HandleFunc("/ladder", ladderPage())
	mux.Handle("/", s)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	fmt.Println("http://" + l.Addr().String())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return errors.Join(server.Close(), inner.Close())
}

// ServeHTTP takes the uploads of discarding buckets; all else is for the stand-in.
func (s *bucketServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, isUpload := strings.CutPrefix(r.URL.Path, "/upload/storage/v1/b/")
	name, _, _ := strings.Cut(path, "/")
	if isUpload {
		if err := s.wait(r.Context(), name); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	if !isUpload || !strings.HasPrefix(name, discarding) {
		s.handler.ServeHTTP(w, r)
		return
	}
	if err := s.take(w, r, name); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// errHeld is a write that was held until its hold ended.
var errHeld = errors.New("write was held")

// wait holds a write that is to be held; it never goes on.
func (s *bucketServer) wait(ctx context.Context, bucket string) error {
	s.mu.Lock()
	h := s.holds[bucket]
	if h == nil || h.after > 0 {
		if h != nil {
			h.after--
		}
		s.mu.Unlock()
		return nil
	}
	h.waiting++
	s.mu.Unlock()
	select {
	case <-h.done:
		// Its client was killed: a server that has not read the body does not see that, and would create the object.
		return errHeld
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take reads one request of an upload, as the JSON API has them: an object in one request, the beginning of a resumable
// upload, or a part of one.
func (s *bucketServer) take(w http.ResponseWriter, r *http.Request, bucket string) error {
	query := r.URL.Query()
	if id := query.Get("upload_id"); id != "" {
		return s.takePart(w, r, id)
	}
	if query.Get("ifGenerationMatch") != "0" {
		return fmt.Errorf("the discarding bucket only knows ifGenerationMatch=0, not %q", query.Get("ifGenerationMatch"))
	}
	u := upload{bucket: bucket, name: query.Get("name")}
	switch query.Get("uploadType") {
	case "multipart":
		if err := u.readMultipart(r); err != nil {
			return err
		}
		return s.finish(w, &u)
	case "resumable":
		if err := json.NewDecoder(r.Body).Decode(&u.attributes); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		u.nameIt()
		s.mu.Lock()
		id := "u" + strconv.Itoa(len(s.sessions)+1)
		s.sessions[id] = &session{u}
		s.mu.Unlock()
		w.Header().Set("Location", fmt.Sprintf("http://%s/upload/storage/v1/b/%s/o?uploadType=resumable&name=%s&upload_id=%s", r.Host, bucket, url.QueryEscape(u.name), id))
		return nil
	}
	return fmt.Errorf("the discarding bucket knows no uploadType=%q", query.Get("uploadType"))
}

func (u *upload) nameIt() {
	if u.name == "" {
		u.name = u.attributes.Name
	}
}

// pieces are the buffers through which content passes.
var pieces = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// readMultipart reads the attributes and then the content as it comes. What ends the body has a known length.
func (u *upload) readMultipart(r *http.Request) error {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	boundary := "--" + params["boundary"]
	body := bufio.NewReaderSize(r.Body, 64<<10)
	part := func(into *bytes.Buffer, end string) error {
		for {
			line, err := body.ReadString('\n')
			if err != nil {
				return fmt.Errorf("reading the parts of an upload: %w", err)
			}
			if strings.TrimRight(line, "\r\n") == end {
				return nil
			}
			into.WriteString(line)
		}
	}
	var header, text bytes.Buffer
	for _, step := range []struct {
		into *bytes.Buffer
		end  string
	}{{&header, boundary}, {&header, ""}, {&text, boundary}, {&header, ""}} {
		if err := part(step.into, step.end); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(text.Bytes(), &u.attributes); err != nil {
		return fmt.Errorf("reading the attributes of an upload: %w", err)
	}
	u.nameIt()
	return u.readUntil(body, []byte("\r\n"+boundary+"--"))
}

// readUntil takes everything before the end, which line breaks may follow.
func (u *upload) readUntil(body io.Reader, end []byte) error {
	p, _ := pieces.Get().(*[]byte)
	defer pieces.Put(p)
	buf := *p
	hold := len(end) + 2
	have := 0
	for {
		n, err := body.Read(buf[have:])
		have += n
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if ready := have - hold; ready > 0 {
			if _, err := u.Write(buf[:ready]); err != nil {
				return err
			}
			have = copy(buf, buf[ready:have])
		}
	}
	rest, ok := bytes.CutSuffix(bytes.TrimRight(buf[:have], "\r\n"), end)
	if !ok {
		return errors.New("an upload is cut off")
	}
	_, err := u.Write(rest)
	return err
}

func (s *bucketServer) takePart(w http.ResponseWriter, r *http.Request, id string) error {
	s.mu.Lock()
	x := s.sessions[id]
	s.mu.Unlock()
	if x == nil {
		return fmt.Errorf("there is no upload %s", id)
	}
	_, total, _ := strings.Cut(r.Header.Get("Content-Range"), "/")
	p, _ := pieces.Get().(*[]byte)
	defer pieces.Put(p)
	if _, err := io.CopyBuffer(struct{ io.Writer }{x}, struct{ io.Reader }{r.Body}, *p); err != nil {
		return err
	}
	if total != "*" && total == strconv.FormatInt(x.size, 10) {
		return s.finish(w, &x.upload)
	}
	w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", x.size-1))
	if r.Header.Get("X-GUploader-No-308") == "yes" {
		w.Header().Set("X-Http-Status-Code-Override", "308")
		return nil
	}
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// finish makes an object visible if there is none of its name and it is what its checksum says.
func (s *bucketServer) finish(w http.ResponseWriter, u *upload) error {
	if err := u.count.end(); err != nil {
		return fmt.Errorf("object %s: %w", u.name, err)
	}
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, u.sum))
	if want := u.attributes.CRC32C; want != "" && want != sum {
		return fmt.Errorf("object %s has checksum %s and not %s", u.name, sum, want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := s.discarded[u.bucket]
	if objects == nil {
		return fmt.Errorf("there is no bucket %s", u.bucket)
	}
	if _, there := objects[u.name]; there {
		w.WriteHeader(http.StatusPreconditionFailed)
		return nil
	}
	objects[u.name] = stored{Name: u.name, Codec: u.count.codec, Size: u.size, digest: u.count.digest, Created: time.Now().UnixNano()}
	// The stand-in answers whoever asks for attributes or lists.
	o, err := s.gcs.Put(gcs.Stored{Bucket: u.bucket, Name: u.name, Metadata: u.attributes.Metadata})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{
		"kind": "storage#object", "bucket": u.bucket, "name": u.name, "generation": strconv.FormatInt(o.Generation, 10), "metageneration": "1",
		"size": strconv.FormatInt(u.size, 10), "crc32c": sum, "contentType": u.attributes.ContentType, "metadata": u.attributes.Metadata,
	})
}

// objects tells what a bucket holds.
func (s *bucketServer) objects(w http.ResponseWriter, r *http.Request) {
	bucket := r.URL.Query().Get("bucket")
	all := []stored{}
	s.mu.Lock()
	for _, o := range s.discarded[bucket] {
		all = append(all, o)
	}
	s.mu.Unlock()
	if !strings.HasPrefix(bucket, discarding) {
		for _, o := range s.gcs.Objects(bucket, "") {
			var c containerCount
			_, err := c.Write(o.Data)
			if err = errors.Join(err, c.end()); err != nil {
				http.Error(w, fmt.Sprintf("object %s: %v", o.Name, err), http.StatusInternalServerError)
				return
			}
			all = append(all, stored{Name: o.Name, Codec: c.codec, Size: o.Size, digest: c.digest, Created: o.Created.UnixNano()})
		}
	}
	_ = json.NewEncoder(w).Encode(all)
}

// makeOrDrop makes a bucket (POST), or empties it (DELETE).
func (s *bucketServer) makeOrDrop(w http.ResponseWriter, r *http.Request) {
	bucket := r.URL.Query().Get("bucket")
	var err error
	if r.Method == http.MethodPost {
		err = s.gcs.CreateBucket(bucket)
	}
	s.mu.Lock()
	if s.discarded[bucket] = nil; strings.HasPrefix(bucket, discarding) {
		s.discarded[bucket] = map[string]stored{}
	}
	s.mu.Unlock()
	if r.Method == http.MethodDelete {
		for _, o := range s.gcs.Objects(bucket, "") {
			err = errors.Join(err, s.gcs.Delete(bucket, o.Name))
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// hold makes writes wait (POST), or drops those that wait and lets others pass (DELETE).
func (s *bucketServer) hold(w http.ResponseWriter, r *http.Request) {
	bucket := r.URL.Query().Get("bucket")
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodDelete {
		if h := s.holds[bucket]; h != nil {
			close(h.done)
		}
		delete(s.holds, bucket)
		return
	}
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.holds[bucket] = &hold{after: after, done: make(chan struct{})}
}

// held says how many writes have come to wait.
func (s *bucketServer) held(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	if h := s.holds[r.URL.Query().Get("bucket")]; h != nil {
		n = h.waiting
	}
	_, _ = fmt.Fprintln(w, n)
}
