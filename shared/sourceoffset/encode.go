package sourceoffset

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/riftline/riftline/shared/record"
)

func appendPartition(dst []byte, p Partition) []byte {
	dst = append(dst, `{"connector":`...)
	dst = appendString(dst, p.Connector)
	dst = append(dst, `,"variables":`...)
	dst = appendVariables(dst, p.Variables)
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendString writes s with the fewest escapes that JSON allows, so that any writer that escapes only what RFC 8259
// asks for produces the same bytes.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start, plain := 0, record.PlainLen(s)
	for i := plain; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// writers are kept, as one takes much memory to set up. They look for nothing that repeats: most of an object are ids and
// fingerprints, of which a Huffman code takes off the quarter that base64 has added, and other levels no more.
var writers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.HuffmanOnly) // the level is a valid one
	return w
}}

// bodies are buffers for what is not compressed, none larger than largestKept.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

const largestKept = 16 << 20

func keep(buffer *[]byte) {
	if cap(*buffer) <= largestKept {
		bodies.Put(buffer)
	}
}

// errNoText says that a state holds a text that is no UTF-8. Its JSON could not be read.
var errNoText = errors.New("a source offset object holds UTF-8 only")

// Encode returns the object's content: the state as gzip-compressed JSON with its sum. It fails when a text is no UTF-8.
func Encode(s State) ([]byte, error) {
	zip := writers.Get().(*gzip.Writer)
	defer writers.Put(zip)
	buffer := bodies.Get().(*[]byte)
	body := appendState((*buffer)[:0], s)
	*buffer = body
	defer keep(buffer)
	if !utf8.Valid(body) {
		return nil, errNoText
	}
	// Most of it is fingerprints and ids, which hardly shrink.
	out := bytes.NewBuffer(make([]byte, 0, len(body)+1024))
	zip.Reset(out)
	if _, err := zip.Write(body); err != nil {
		return nil, fmt.Errorf("compressing source offset object: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("compressing source offset object: %w", err)
	}
	return out.Bytes(), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// format is the oldest version that can say what the state holds. A reader of that version can read it, and what it
// would write back has lost nothing.
func (s State) format() int64 {
	if len(s.Cursor.Ahead) > 0 || s.Intent != nil && (s.Intent.Lease != nil || len(s.Intent.Cursor.Ahead) > 0) {
		return Format
	}
	return firstFormat
}

// encodeState is the canonical body with the sum in its place among the sorted members.
func encodeState(s State) []byte { return appendState(nil, s) }

// appendState is encodeState into dst, which is empty.
func appendState(dst []byte, s State) []byte {
	format := s.format()
	size := s.Base.Len()
	if s.Intent != nil {
		size += len(s.Intent.Changes)
	}
	dst = slices.Grow(dst, 1024+128*size)
	dst = append(dst, `{"base":`...)
	if s.Kind == Snapshot {
		dst = appendBase(dst, s.Base)
	} else {
		dst = appendCursor(dst, s.Cursor)
	}
	dst = append(dst, `,"claim":`...)
	dst = appendClaim(dst, s.Claim)
	dst = append(dst, `,"commits":`...)
	dst = strconv.AppendInt(dst, s.Commits, 10)
	dst = append(dst, `,"connector":`...)
	dst = appendString(dst, s.Partition.Connector)
	dst = append(dst, `,"fields":[`...)
	for i, name := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
	}
	dst = append(dst, `],"format":`...)
	dst = strconv.AppendInt(dst, format, 10)
	dst = append(dst, `,"intent":`...)
	dst = appendIntent(dst, s.Intent, s.Kind)
	dst = append(dst, `,"kind":`...)
	dst = appendString(dst, string(s.Kind))
	dst = append(dst, `,"last":`...)
	dst = appendOptional(dst, s.Last)
	dst = append(dst, `,"lastMarkerTopic":`...)
	dst = appendOptional(dst, s.LastMarkerTopic)
	dst = append(dst, `,"limits":{},"minReader":`...)
	dst = strconv.AppendInt(dst, format, 10)
	dst = append(dst, `,"partition":`...)
	dst = appendVariables(dst, s.Partition.Variables)
	dst = append(dst, `,"stopped":`...)
	dst = appendOptional(dst, s.Stopped)
	at := len(dst)
	dst = append(dst, `,"topic":`...)
	dst = appendString(dst, s.Topic)
	dst = append(dst, `,"topicId":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, s.TopicID[:])
	dst = append(dst, `"}`...)

	sum := fmt.Sprintf(`,"sum":"%08x"`, crc32.Checksum(dst, castagnoli))
	return slices.Insert(dst, at, []byte(sum)...)
}

func appendBase(dst []byte, b Base) []byte {
	dst = append(dst, '{')
	for i := range b.list {
		if i > 0 {
			dst = append(dst, ',')
		}
		known := &b.list[i]
		dst = appendString(dst, known.key)
		dst = append(dst, ':')
		if known.MissingSince.IsZero() {
			dst = appendFingerprint(dst, known.Fingerprint)
			continue
		}
		dst = append(dst, '[')
		dst = appendFingerprint(dst, known.Fingerprint)
		dst = append(dst, ',', '"')
		dst = known.MissingSince.UTC().AppendFormat(dst, time.RFC3339)
		dst = append(dst, '"', ']')
	}
	return append(dst, '}')
}

func appendIntent(dst []byte, i *Intent, kind Kind) []byte {
	if i == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"at":`...)
	dst = appendTime(dst, i.At)
	dst = append(dst, `,"changes":`...)
	if kind == Snapshot {
		dst = appendChanges(dst, i.Changes)
	} else {
		dst = appendCursor(dst, i.Cursor)
	}
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, i.ID)
	if i.Lease != nil {
		dst = appendLease(dst, i.Lease)
	} else {
		dst = append(dst, `,"markerTopic":`...)
		dst = appendString(dst, i.MarkerTopic)
	}
	dst = append(dst, `,"until":`...)
	dst = appendTime(dst, i.Until)
	return append(dst, '}')
}

func appendChanges(dst []byte, changes []Change) []byte {
	dst = append(dst, '{')
	for n := range changes {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, changes[n].Key)
		dst = append(dst, ':')
		if f := changes[n].Fingerprint; f != nil {
			dst = appendFingerprint(dst, *f)
		} else {
			dst = append(dst, "null"...)
		}
	}
	return append(dst, '}')
}

func appendClaim(dst []byte, c *Claim) []byte {
	if c == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"at":`...)
	dst = appendTime(dst, c.At)
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, c.ID)
	dst = append(dst, `,"until":`...)
	dst = appendTime(dst, c.Until)
	return append(dst, '}')
}

func appendVariables(dst []byte, variables map[string]string) []byte {
	dst = append(dst, '{')
	for i, name := range sortedKeys(variables) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendString(dst, variables[name])
	}
	return append(dst, '}')
}

func appendFingerprint(dst []byte, f Fingerprint) []byte {
	dst = append(dst, '"')
	dst = base64.RawURLEncoding.AppendEncode(dst, f[:])
	return append(dst, '"')
}

// appendOptional writes null for the empty string.
func appendOptional(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, s)
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	return append(dst, '"')
}
