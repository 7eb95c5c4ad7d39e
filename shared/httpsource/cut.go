package httpsource

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/riftline/riftline/shared/record"
)

// startBytes is how much of a body an error shows.
const startBytes = 80

// take reads the body of an answer that is to be processed. It reports whether asking again may help.
func (f *fetch) take(response *http.Response, trace string) (retry bool, err error) {
	switch response.StatusCode {
	case http.StatusNoContent, http.StatusResetContent, http.StatusNotModified:
		f.none()
		return false, nil
	}
	bad := &BodyError{Status: response.StatusCode, ContentType: clip(f.scrubText(response.Header.Get("Content-Type")), startBytes), URL: f.url, Trace: trace}
	buffer := bodies.Get().(*bytes.Buffer)
	defer keep(buffer)
	body, err := f.read(buffer, response)
	bad.Bytes = int64(len(body))
	f.answer.Bytes = bad.Bytes
	var tooLarge *tooLargeError
	switch {
	case errors.As(err, &tooLarge):
		bad.Reason = fmt.Sprintf("the body is larger than riftline.response.max.bytes, %d; ask for less, or raise it", f.response.MaxBytes)
		return false, bad
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, errEncoding):
		bad.Reason, bad.Err = "the body cannot be decompressed", f.scrub(err)
		return false, bad
	case err != nil:
		o := f.transport(response.Request.Context(), fmt.Errorf("reading the body: %w", err), nil)
		return o.retry, o.err
	}
	// A byte order mark is no JSON, but servers send it and OkHttp takes it off.
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if reason := noJSON(body, bad.ContentType); reason != "" {
		bad.Reason, bad.Start = reason, f.start(body)
		return false, bad
	}
	root, err := record.Parse(body)
	if err != nil {
		bad.Reason, bad.Err, bad.Start = "the body is not JSON", f.scrub(err), f.start(body)
		return false, bad
	}
	if err := f.cut(&root); err != nil {
		bad.Reason = f.scrubText(err.Error())
		return false, bad
	}
	return false, nil
}

func (f *fetch) none() {
	f.answer.Entries, f.answer.Items, f.answer.Bytes = nil, nil, 0
	if f.stamped {
		f.answer.Stamps = f.ownStamps([]record.Field{})
	}
}

// bodies are buffers for bodies, none larger than largestKept. Nothing of an answer lies in them once it is parsed.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const largestKept = 16 << 20

// lastSize is the size of the last body, as the next one is mostly about as large.
var lastSize atomic.Int64

func keep(buffer *bytes.Buffer) {
	if buffer.Cap() <= largestKept {
		buffer.Reset()
		bodies.Put(buffer)
	}
}

type tooLargeError struct{}

func (*tooLargeError) Error() string { return "larger than allowed" }

var errEncoding = errors.New("an encoding other than gzip")

// read returns the decompressed body, which lies in the buffer. A gzip stream is known by its first bytes, which no JSON
// text begins with, so that it makes no difference whether the server declared it.
func (f *fetch) read(body *bytes.Buffer, response *http.Response) ([]byte, error) {
	switch encoding := strings.ToLower(strings.TrimSpace(f.scrubText(response.Header.Get("Content-Encoding")))); encoding {
	case "", "identity", "gzip", "x-gzip":
	default:
		return nil, fmt.Errorf("%w: %s", errEncoding, clip(encoding, startBytes))
	}
	sized := response.ContentLength
	buffered := bufio.NewReader(response.Body)
	var from io.Reader = buffered
	if magic, _ := buffered.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		from, sized = unzipped, 4*sized
	}
	if sized <= 0 {
		sized = lastSize.Load()
	}
	if sized > 0 {
		body.Grow(int(min(sized, f.response.MaxBytes)) + bytes.MinRead)
	}
	n, err := body.ReadFrom(io.LimitReader(from, f.response.MaxBytes+1))
	if n > f.response.MaxBytes {
		return body.Bytes(), &tooLargeError{}
	}
	lastSize.Store(min(n, largestKept))
	return body.Bytes(), err
}

func noJSON(body []byte, contentType string) string {
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0:
		return "the body is empty where JSON was expected"
	case text[0] == '<' || strings.HasPrefix(strings.ToLower(contentType), "text/html"):
		if text[0] == '{' || text[0] == '[' {
			return ""
		}
		return "the body is HTML or XML, not JSON: a proxy or an error page answered in place of the API, or http.request.url is a web page"
	default:
		return ""
	}
}

// cut applies the list pointer, the stamps and the record pointer.
func (f *fetch) cut(root *record.Value) error {
	list, found := root.At(f.response.ListPointer)
	if !found {
		return fmt.Errorf("http.response.list.pointer %q finds nothing: the answer is %s", f.response.ListPointer, f.describe(root))
	}
	var items []record.Value
	switch list.Kind {
	case record.Array:
		items = list.Items
	case record.Object:
		// As in castorm: an object in place of a list is a list of one.
		items = []record.Value{*list}
	default:
		return fmt.Errorf("http.response.list.pointer %q finds %s where a list or an object was expected: the answer is %s",
			f.response.ListPointer, f.describe(list), f.describe(root))
	}
	entries := items
	if f.response.RecordPointer != "" && f.response.RecordPointer != "/" {
		entries = make([]record.Value, len(items))
		for i := range items {
			entry, found := items[i].At(f.response.RecordPointer)
			if !found {
				return fmt.Errorf("http.response.record.pointer %q finds nothing in entry %d of %d, which is %s",
					f.response.RecordPointer, i, len(items), f.describe(&items[i]))
			}
			entries[i] = *entry
		}
	}
	f.answer.Items, f.answer.Entries = items, entries
	if f.stamped {
		f.answer.Stamps = f.ownStamps(siblings(root, f.response.ListPointer))
	}
	return nil
}

// siblings are the scalar members of the objects that the list pointer goes through, without nulls. A name that occurs
// at two levels is taken from the inner one.
func siblings(root *record.Value, pointer string) []record.Field {
	found := []record.Field{}
	v := root
	for _, token := range record.Tokens(pointer) {
		for _, member := range v.Fields {
			switch member.Value.Kind {
			case record.Bool, record.Number, record.String:
				found = setField(found, member)
			}
		}
		next, ok := v.Child(token)
		if !ok {
			break
		}
		v = next
	}
	return found
}

func setField(fields []record.Field, f record.Field) []record.Field {
	for i := range fields {
		if fields[i].Name == f.Name {
			fields[i].Value = f.Value
			return fields
		}
	}
	return append(fields, f)
}

// ownStamps appends what the answer does not say: the request variables and the platform.
func (f *fetch) ownStamps(stamps []record.Field) []record.Field {
	own := f.variables
	if f.platform != "" {
		own = append(own[:len(own):len(own)], record.Field{Name: "platform", Value: record.Value{Kind: record.String, Text: f.platform}})
	}
	for _, field := range own {
		if !slices.ContainsFunc(stamps, func(s record.Field) bool { return s.Name == field.Name }) {
			stamps = append(stamps, field)
		}
	}
	return stamps
}

// describe says what a value is: its kind, its size, and the names (never the values) of its first members.
func (c *Client) describe(v *record.Value) string {
	switch v.Kind {
	case record.Array:
		return fmt.Sprintf(`an array of %d (the pointer "/" is the array itself)`, len(v.Items))
	case record.Object:
		if len(v.Fields) == 0 {
			return "an object without members"
		}
		const shown = 12
		var names []string
		for i := range v.Fields {
			if i == shown {
				names = append(names, fmt.Sprintf("and %d more", len(v.Fields)-shown))
				break
			}
			names = append(names, clip(c.scrubText(v.Fields[i].Name), 40))
		}
		return "an object with the members " + strings.Join(names, ", ")
	case record.String:
		return "a text"
	case record.Number:
		return "a number"
	case record.Bool:
		return "true or false"
	default:
		return "null"
	}
}

func (c *Client) start(body []byte) string {
	// Scrubbed before it is cut, else half of a credential at the cut would stay.
	return clip(c.scrubText(string(body[:min(len(body), 64<<10)])), startBytes)
}

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
