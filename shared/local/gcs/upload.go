package gcs

import (
	"bytes"
	"crypto/md5" //nolint:gosec // Cloud Storage's own checksum, not a means of protection
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// chunkUnit is what the size of every chunk but the last is a multiple of.
const chunkUnit = 256 << 10

// upload is an object that is being written: what it will be, and what must hold for it.
type upload struct {
	object        Stored
	preconditions preconditions
	crc32c, md5   string
}

// session is a resumable upload.
type session struct {
	upload
	data []byte
	// done is the final answer, sent again when the last chunk comes again.
	done *answer
}

// attributes are the properties of an object that a client may set.
type attributes struct {
	Kind            string            `json:"kind"`
	Bucket          string            `json:"bucket"`
	Name            string            `json:"name"`
	ContentType     string            `json:"contentType"`
	ContentEncoding string            `json:"contentEncoding"`
	CacheControl    string            `json:"cacheControl"`
	StorageClass    string            `json:"storageClass"`
	Metadata        map[string]string `json:"metadata"`
	CRC32C          string            `json:"crc32c"`
	MD5Hash         string            `json:"md5Hash"`
}

// uploadOf takes an insert's parameters and attributes; the answer counts when ok is false.
func (s *Server) uploadOf(c call, text []byte) (u upload, a answer, ok bool) {
	var at attributes
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&at); err != nil && err != io.EOF {
		if strings.Contains(err.Error(), "unknown field") {
			return u, unknown("the object's property: %v", err), false
		}
		return u, refusal(http.StatusBadRequest, "parseError", "%v", err), false
	}
	name := c.query.Get("name")
	if name == "" {
		name = at.Name
	}
	if at.Bucket != "" && at.Bucket != c.bucket || at.Name != "" && at.Name != name {
		return u, refusal(http.StatusBadRequest, "invalid", "the object's bucket or name differs from the request's"), false
	}
	if err := s.checkName(name); err != nil {
		return u, failed(err), false
	}
	size := 0
	for k, v := range at.Metadata {
		size += len(k) + len(v)
	}
	if size > maxMetadata {
		return u, refusal(http.StatusBadRequest, "invalid", "custom metadata of %d bytes; at most %d are allowed", size, maxMetadata), false
	}
	p, err := preconditionsOf(c.query)
	if err != nil {
		return u, refusal(http.StatusBadRequest, "invalidParameter", "%v", err), false
	}
	return upload{
		object: Stored{
			Bucket: c.bucket, Name: name, ContentType: at.ContentType, ContentEncoding: at.ContentEncoding,
			CacheControl: at.CacheControl, StorageClass: at.StorageClass, Metadata: at.Metadata,
		},
		preconditions: p, crc32c: at.CRC32C, md5: at.MD5Hash,
	}, answer{}, true
}

// doInsert stores an object sent in one request, or starts a session.
func (s *Server) doInsert(c call) answer {
	switch kind := c.query.Get("uploadType"); kind {
	case "multipart":
		text, media, mediaType, err := splitMultipart(c)
		if err != nil {
			return refusal(http.StatusBadRequest, "badRequest", "%v", err)
		}
		u, a, ok := s.uploadOf(c, text)
		if !ok {
			return a
		}
		if u.object.ContentType == "" {
			u.object.ContentType = mediaType
		}
		return s.finish(u, media, c.header)
	case "media":
		u, a, ok := s.uploadOf(c, nil)
		if !ok {
			return a
		}
		u.object.ContentType = c.header.Get("Content-Type")
		return s.finish(u, c.body, c.header)
	case "resumable":
		u, a, ok := s.uploadOf(c, c.body)
		if !ok {
			return a
		}
		if u.object.ContentType == "" {
			u.object.ContentType = c.header.Get("X-Upload-Content-Type")
		}
		id := "u" + strconv.Itoa(len(s.sessions)+1) + "-" + strconv.FormatInt(s.now().UnixNano(), 36)
		s.sessions[id] = &session{upload: u}
		location := fmt.Sprintf("%s/upload/storage/v1/b/%s/o?uploadType=resumable&name=%s&upload_id=%s",
			c.base, url.PathEscape(c.bucket), url.QueryEscape(u.object.Name), id)
		return answer{status: http.StatusOK, header: http.Header{"Location": {location}, "X-Guploader-Uploadid": {id}}}
	default:
		return unknown("uploadType=%q", kind)
	}
}

func splitMultipart(c call) (attributes, media []byte, mediaType string, err error) {
	kind, params, err := mime.ParseMediaType(c.header.Get("Content-Type"))
	if err != nil || kind != "multipart/related" {
		return nil, nil, "", fmt.Errorf("content type is not multipart/related but %q", c.header.Get("Content-Type"))
	}
	r := multipart.NewReader(bytes.NewReader(c.body), params["boundary"])
	var parts [2][]byte
	for i := range parts {
		p, err := r.NextRawPart()
		if err != nil {
			return nil, nil, "", fmt.Errorf("multipart body: %w", err)
		}
		if parts[i], err = io.ReadAll(p); err != nil {
			return nil, nil, "", fmt.Errorf("multipart body: %w", err)
		}
		mediaType = p.Header.Get("Content-Type")
	}
	if _, err := r.NextRawPart(); err != io.EOF {
		return nil, nil, "", fmt.Errorf("multipart body has not exactly two parts")
	}
	return parts[0], parts[1], mediaType, nil
}

// finish judges preconditions and checksums against this instant and stores the object.
func (s *Server) finish(u upload, data []byte, h http.Header) answer {
	o := u.object
	key := o.Bucket + "/" + o.Name
	if rate := s.options.WritesPerSecond; rate > 0 {
		if at, ok := s.written[key]; ok && s.now().Sub(at) < time.Duration(float64(time.Second)/rate) {
			return refusal(http.StatusTooManyRequests, "rateLimitExceeded", "The object %s exceeded the rate limit for object mutation operations (create, update, and delete).", key)
		}
	}
	if a, ok := u.preconditions.judge(s.buckets[o.Bucket][o.Name], false); !ok {
		return a
	}
	sums := map[string][]string{"crc32c": {u.crc32c}, "md5": {u.md5}}
	for _, line := range h.Values("X-Goog-Hash") {
		for one := range strings.SplitSeq(line, ",") {
			kind, sum, _ := strings.Cut(strings.TrimSpace(one), "=")
			sums[kind] = append(sums[kind], sum)
		}
	}
	md := md5.Sum(data) //nolint:gosec // see the import
	have := map[string]string{"crc32c": encodeCRC(crc32.Checksum(data, castagnoli)), "md5": encode(md[:])}
	for kind, wanted := range sums {
		for _, want := range wanted {
			if want != "" && want != have[kind] {
				return refusal(http.StatusBadRequest, "invalid", "Provided %s %q doesn't match calculated %s %q.", kind, want, kind, have[kind])
			}
		}
	}
	o.Data = data
	stored, err := s.put(o)
	if err != nil {
		return failed(err)
	}
	return structured(resourceOf(stored))
}

// doUpload takes one chunk of a session, or tells how far it is.
func (s *Server) doUpload(c call) answer {
	x := s.sessions[c.query.Get("upload_id")]
	if x == nil || x.object.Bucket != c.bucket {
		return refusal(http.StatusNotFound, "notFound", "no such upload session")
	}
	if x.done != nil {
		return *x.done
	}
	r, err := parseRange(c.header.Get("Content-Range"), len(c.body))
	if err != nil {
		return refusal(http.StatusBadRequest, "badRequest", "%v", err)
	}
	switch {
	case r.first > int64(len(x.data)):
		return refusal(http.StatusServiceUnavailable, "badRequest", "chunk starts at %d but only %d bytes have come", r.first, len(x.data))
	case r.total < 0 && len(c.body)%chunkUnit != 0:
		return refusal(http.StatusBadRequest, "badRequest", "chunk of %d bytes is no multiple of %d and not the last", len(c.body), chunkUnit)
	}
	// Bytes that have come already are not taken a second time.
	if have := int64(len(x.data)) - r.first; have < int64(len(c.body)) {
		x.data = append(x.data, c.body[have:]...)
	}
	if r.total < 0 || r.total != int64(len(x.data)) {
		return incomplete(c.header, int64(len(x.data)))
	}
	a := s.finish(x.upload, x.data, c.header)
	if a.status == http.StatusOK {
		x.data, x.done = nil, &a
	}
	return a
}

func incomplete(h http.Header, have int64) answer {
	a := answer{status: http.StatusPermanentRedirect, header: http.Header{}}
	if have > 0 {
		a.header.Set("Range", fmt.Sprintf("bytes=0-%d", have-1))
	}
	if h.Get("X-Guploader-No-308") == "yes" {
		a.status = http.StatusOK
		a.header.Set("X-Http-Status-Code-Override", "308")
	}
	return a
}

// contentRange is a chunk's place; total is -1 while it is not known.
type contentRange struct{ first, total int64 }

func parseRange(text string, size int) (contentRange, error) {
	bad := fmt.Errorf("content range %q does not describe a body of %d bytes", text, size)
	rest, ok := strings.CutPrefix(text, "bytes ")
	span, all, cut := strings.Cut(rest, "/")
	if !ok || !cut {
		return contentRange{}, bad
	}
	r := contentRange{total: -1}
	if all != "*" {
		n, err := strconv.ParseInt(all, 10, 64)
		if err != nil || n < 0 {
			return r, bad
		}
		r.total = n
	}
	if span == "*" {
		if size != 0 {
			return r, bad
		}
		return r, nil
	}
	first, last, _ := strings.Cut(span, "-")
	a, err1 := strconv.ParseInt(first, 10, 64)
	b, err2 := strconv.ParseInt(last, 10, 64)
	if err1 != nil || err2 != nil || a < 0 || b-a+1 != int64(size) || r.total >= 0 && b+1 > r.total {
		return r, bad
	}
	r.first = a
	return r, nil
}
