package gcs

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// resource is an object in the JSON API. Numbers of 64 bits are strings there.
type resource struct {
	Kind            string            `json:"kind"`
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	Bucket          string            `json:"bucket"`
	Generation      int64             `json:"generation,string"`
	Metageneration  int64             `json:"metageneration,string"`
	ContentType     string            `json:"contentType,omitempty"`
	ContentEncoding string            `json:"contentEncoding,omitempty"`
	CacheControl    string            `json:"cacheControl,omitempty"`
	StorageClass    string            `json:"storageClass"`
	Size            uint64            `json:"size,string"`
	MD5Hash         string            `json:"md5Hash"`
	CRC32C          string            `json:"crc32c"`
	ETag            string            `json:"etag"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	TimeCreated     time.Time         `json:"timeCreated"`
	Updated         time.Time         `json:"updated"`
}

func resourceOf(o *Stored) resource {
	return resource{
		Kind: "storage#object", ID: fmt.Sprintf("%s/%s/%d", o.Bucket, o.Name, o.Generation), Name: o.Name, Bucket: o.Bucket,
		Generation: o.Generation, Metageneration: o.Metageneration, ContentType: o.ContentType,
		ContentEncoding: o.ContentEncoding, CacheControl: o.CacheControl, StorageClass: o.StorageClass,
		Size: uint64(o.Size), MD5Hash: encode(o.MD5), CRC32C: encodeCRC(o.CRC32C), ETag: fmt.Sprintf("%d/%d", o.Generation, o.Metageneration),
		Metadata: o.Metadata, TimeCreated: o.Created, Updated: o.Created,
	}
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func encodeCRC(sum uint32) string { return encode(binary.BigEndian.AppendUint32(nil, sum)) }

// preconditions are those of a request; nil is one that was not given.
type preconditions struct {
	generation              *int64
	match, notMatch         *int64
	metaMatch, metaNotMatch *int64
}

func preconditionsOf(q url.Values) (preconditions, error) {
	var p preconditions
	for key, to := range map[string]**int64{
		"generation":        &p.generation,
		"ifGenerationMatch": &p.match, "ifGenerationNotMatch": &p.notMatch,
		"ifMetagenerationMatch": &p.metaMatch, "ifMetagenerationNotMatch": &p.metaNotMatch,
	} {
		text := q.Get(key)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return p, fmt.Errorf("%s is no number: %q", key, text)
		}
		*to = &n
	}
	return p, nil
}

// judge holds the preconditions against an object, nil when there is none. reading makes a failed "not match" a 304.
func (p preconditions) judge(o *Stored, reading bool) (answer, bool) {
	var generation, metageneration int64
	if o != nil {
		generation, metageneration = o.Generation, o.Metageneration
	}
	no := refusal(http.StatusPreconditionFailed, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
	switch {
	case p.match != nil && *p.match != generation,
		p.metaMatch != nil && (o == nil || *p.metaMatch != metageneration):
		return no, false
	case p.notMatch != nil && *p.notMatch == generation,
		p.metaNotMatch != nil && o != nil && *p.metaNotMatch == metageneration:
		if reading {
			return answer{status: http.StatusNotModified}, false
		}
		return no, false
	}
	return answer{}, true
}

// transcoded is a gzip object for a client that does not take gzip.
func transcoded(h http.Header, data []byte) answer {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return failed(fmt.Errorf("object with content encoding gzip is none: %w", err))
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return failed(fmt.Errorf("object with content encoding gzip is none: %w", err))
	}
	h.Set("Warning", "214 UploadServer gunzipped")
	return answer{status: http.StatusOK, header: h, body: plain}
}

const maxPage = 1000

func (s *Server) doList(c call) answer {
	q := c.query
	limit := maxPage
	if text := q.Get("maxResults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return refusal(http.StatusBadRequest, "invalidParameter", "maxResults is no number: %q", text)
		}
		if n > 0 {
			limit = min(n, maxPage)
		}
	}
	after, err := base64.URLEncoding.DecodeString(q.Get("pageToken"))
	if err != nil {
		return refusal(http.StatusBadRequest, "invalid", "pageToken is none of ours")
	}
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	var items []resource
	var prefixes []string
	var token, last string
	for _, name := range s.names(c.bucket, prefix) {
		// last is a name, or a prefix that stands for all names below it.
		entry, folded := name, false
		if delimiter != "" {
			if i := strings.Index(name[len(prefix):], delimiter); i >= 0 {
				entry, folded = name[:len(prefix)+i+len(delimiter)], true
			}
		}
		switch {
		case entry <= string(after) && len(after) > 0,
			folded && entry == last,
			name < q.Get("startOffset"),
			q.Get("endOffset") != "" && name >= q.Get("endOffset"):
			continue
		}
		if len(items)+len(prefixes) == limit {
			token = base64.URLEncoding.EncodeToString([]byte(last))
			break
		}
		last = entry
		if folded {
			prefixes = append(prefixes, entry)
		} else {
			items = append(items, resourceOf(s.buckets[c.bucket][name]))
		}
	}
	page := map[string]any{"kind": "storage#objects"}
	if len(items) > 0 {
		page["items"] = items
	}
	if len(prefixes) > 0 {
		page["prefixes"] = prefixes
	}
	if token != "" {
		page["nextPageToken"] = token
	}
	return structured(page)
}
