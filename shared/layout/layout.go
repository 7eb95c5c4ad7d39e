// Package layout says where a record belongs in the bucket: the object names and partitioners of Confluent's storage
// sinks, byte for byte. It is pure: nothing here reads or writes anything.
package layout

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/riftline/riftline/shared/connector"
)

// Extension is the extension of Avro objects, whatever their codec.
const Extension = ".avro"

// Names builds and reads object names.
type Names struct {
	// TopicsDir is topics.dir; blank means no prefix.
	TopicsDir string
	// DirectoryDelim is directory.delim, "/" in Confluent's default.
	DirectoryDelim string
	// FileDelim is file.delim, "+" in Confluent's default.
	FileDelim string
	// ZeroPad is filename.offset.zero.pad.width, 10 in Confluent's default. An offset with more digits is never cut.
	ZeroPad int
	// Extension is what a name ends with, dot included.
	Extension string
}

// NewNames returns the names of a sink's objects.
func NewNames(s connector.Sink) Names {
	return Names{
		TopicsDir:      s.TopicsDir,
		DirectoryDelim: s.DirectoryDelim,
		FileDelim:      s.FileDelim,
		ZeroPad:        s.ZeroPad,
		Extension:      Extension,
	}
}

// Object is the name of the object of a topic-partition and an encoded partition whose first record has offset first:
//
//	<topics.dir>/<topic>/<encoded partition>/<topic>+<partition>+<first, zero-padded>.avro
func (n Names) Object(topic string, partition int32, encoded string, first int64) string {
	var b strings.Builder
	b.WriteString(n.TopicPrefix(topic))
	b.WriteString(encoded)
	b.WriteString(n.DirectoryDelim)
	b.WriteString(topic)
	b.WriteString(n.FileDelim)
	b.WriteString(strconv.FormatInt(int64(partition), 10))
	b.WriteString(n.FileDelim)
	digits := strconv.FormatInt(first, 10)
	for i := len(digits); i < n.ZeroPad; i++ {
		b.WriteByte('0')
	}
	b.WriteString(digits)
	b.WriteString(n.Extension)
	return b.String()
}

// ErrName says that Cloud Storage takes no object of a name.
var ErrName = errors.New("not a name that Cloud Storage takes")

// maxName is the most bytes that the name of an object has.
const maxName = 1024

// CheckName makes sure that an object may have a name, which can hold the value of a record's field (Cloud Storage, "Object
// name requirements"). ErrName.
func CheckName(name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("%w: it has %d bytes and may have %d: %q…", ErrName, len(name), maxName, name[:80])
	case !utf8.ValidString(name) || strings.ContainsAny(name, "\r\n"):
		return fmt.Errorf("%w: it holds a line break or what is not UTF-8: %q", ErrName, name)
	case strings.HasPrefix(name, ".well-known/acme-challenge/"):
		return fmt.Errorf("%w: %q is reserved", ErrName, name)
	}
	return nil
}

// TopicPrefix is what the names of all objects of a topic start with, whatever their partition.
func (n Names) TopicPrefix(topic string) string {
	if strings.TrimSpace(n.TopicsDir) == "" {
		return topic + n.DirectoryDelim
	}
	return n.TopicsDir + n.DirectoryDelim + topic + n.DirectoryDelim
}

// Parsed is what an object name says.
type Parsed struct {
	Partition int32
	// Encoded is the encoded partition, "partition=0" in the default layout.
	Encoded string
	First   int64
}

// Parse reads the name of an object of a topic. It is false for a name that no layout gives, which includes one of
// another topic. Any number of leading zeros is understood, as filename.offset.zero.pad.width may have been changed,
// and any extension.
func (n Names) Parse(topic, name string) (Parsed, bool) {
	rest, ok := strings.CutPrefix(name, n.TopicPrefix(topic))
	if !ok {
		return Parsed{}, false
	}
	start := n.DirectoryDelim + topic + n.FileDelim
	at := strings.LastIndex(rest, start)
	if at <= 0 {
		return Parsed{}, false
	}
	partition, after, ok := strings.Cut(rest[at+len(start):], n.FileDelim)
	if !ok {
		return Parsed{}, false
	}
	p, ok := parseDigits(partition)
	if !ok || p > 1<<31-1 || strconv.FormatInt(p, 10) != partition {
		return Parsed{}, false
	}
	end := 0
	for end < len(after) && after[end] >= '0' && after[end] <= '9' {
		end++
	}
	first, ok := parseDigits(after[:end])
	if !ok || (end < len(after) && after[end] != '.') {
		return Parsed{}, false
	}
	return Parsed{Partition: int32(p), Encoded: rest[:at], First: first}, true
}

func parseDigits(s string) (int64, bool) {
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil
}
