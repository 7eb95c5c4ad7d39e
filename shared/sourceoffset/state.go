package sourceoffset

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// The versions of objects. An object is written in the oldest one that can say what it holds, so that an older riftline
// goes on reading it for as long as that is safe, and this package reads both.
const (
	// Format is the newest version: an intent may be a lease, and a cursor may know entries ahead of it. A reader of the
	// one before must not touch such an object, and says that it was written by a newer version.
	Format = 2
	// firstFormat has none of these.
	firstFormat = 1
)

// Errors of objects that cannot be used. None of them means "nothing is known yet".
var (
	// ErrDamaged says that an object is not what was written: no gzip or JSON, a wrong sum, an unknown kind.
	ErrDamaged = errors.New("source offset object is damaged")
	// ErrForeign says that an intact object belongs to another connector, source partition or topic.
	ErrForeign = errors.New("source offset object belongs to something else")
	// ErrNewer says that a newer version of riftline wrote the object.
	ErrNewer = errors.New("source offset object was written by a newer version")
)

// Kind says how a source partition knows what is new.
type Kind string

// The kinds of a State.
const (
	// Snapshot compares each answer with base.
	Snapshot Kind = "snapshot"
	// Timestamp takes each answer for a log, of which all is known up to the cursor.
	Timestamp Kind = "timestamp"
	// None publishes each answer. Of the cursor it keeps the offset properties alone.
	None Kind = "none"
)

// Partition is what is polled: a connector with its request variables.
type Partition struct {
	Connector string
	// Variables are the request variables by name, nil when there are none. Variables that come per record from a
	// chained source are not among them.
	Variables map[string]string
}

// Hash is the first 16 hexadecimal digits of the SHA-256 of the partition's canonical JSON,
// {"connector":…,"variables":{…}}.
func (p Partition) Hash() string {
	sum := sha256.Sum256(appendPartition(nil, p))
	return hex.EncodeToString(sum[:8])
}

// Object is the name of the partition's source offset object below the state prefix.
func (p Partition) Object() string { return "poll/" + p.Connector + "/" + p.Hash() + ".json" }

// TransactionalID is the Kafka transactional.id of the partition's producer, and the group that holds its marker.
func (p Partition) TransactionalID() string { return "riftline-" + p.Connector + "-" + p.Hash() }

// String is the partition's canonical JSON, for messages.
func (p Partition) String() string { return string(appendPartition(nil, p)) }

func (p Partition) equal(o Partition) bool {
	return p.Connector == o.Connector && maps.Equal(p.Variables, o.Variables)
}

// Fingerprint identifies the content of an entry: the first 128 bits of the SHA-256 of its canonical JSON without the
// ignored pointers.
type Fingerprint [16]byte

// String is the form in which a fingerprint is stored: 22 characters of unpadded URL-safe base64 (RFC 4648).
func (f Fingerprint) String() string { return base64.RawURLEncoding.EncodeToString(f[:]) }

// strictBase64 takes nothing but what is written of the same bytes.
var strictBase64 = base64.RawURLEncoding.Strict()

// ParseFingerprint reads what String gives; ErrDamaged.
func ParseFingerprint(s string) (f Fingerprint, err error) {
	if len(s) != fingerprintLen {
		return f, fmt.Errorf("%w: %q is no fingerprint", ErrDamaged, s)
	}
	if _, err := strictBase64.Decode(f[:], []byte(s)); err != nil {
		return f, fmt.Errorf("%w: %q is no fingerprint", ErrDamaged, s)
	}
	return f, nil
}

// Change is a key that an intent publishes. A nil Fingerprint forgets the key.
type Change struct {
	Key         string
	Fingerprint *Fingerprint
}

// Intent is what a run is about to publish.
type Intent struct {
	// ID is 128 random bits in hexadecimal, never used again.
	ID string
	// At is when the intent was written, Until is the time up to which other runs leave it alone. A zero Until is past.
	At, Until time.Time
	// MarkerTopic is the topic under which the transaction leaves its marker. A lease has none.
	MarkerTopic string
	// Lease is set when the intent is published without a transaction.
	Lease *Lease
	// Changes are what base becomes when the transaction commits, sorted by key, none of which comes twice. They are for
	// the kind Snapshot.
	Changes []Change
	// Cursor is what the cursor becomes when the transaction commits. It is for the other kinds.
	Cursor Cursor
}

// Lease is what an intent says that is published without a transaction, in which case a part of its records may be in
// the topic, and Until is the time after which its run sends nothing more.
type Lease struct {
	// Watermarks are the ends of the topic's partitions, by number, from before the intent was written: its records are
	// at these offsets or later ones.
	Watermarks []int64
	// Records counts the records of the intent.
	Records int64
}

// Claim is a run that is finding out what became of the intent. An owner that sees a claim must not publish.
type Claim struct {
	ID        string
	At, Until time.Time
}

// State is the content of a source offset object.
type State struct {
	Partition Partition
	Topic     string
	// TopicID is the id that Kafka gave the topic; a topic that is deleted and made again has another.
	TopicID [16]byte
	// Commits counts committed transactions, for people.
	Commits int64
	// Last is the id of the last committed transaction, empty when there was none. Publishing without one leaves it as
	// it is, as it leaves no marker.
	Last string
	// LastMarkerTopic is the topic under which the marker of Last lies.
	LastMarkerTopic string
	Kind            Kind
	// Base is what is known with the kind Snapshot, Cursor with the others.
	Base   Base
	Cursor Cursor
	// Fields are the sorted names of the members that the entries of the last published answer had.
	Fields  []string
	Intent  *Intent
	Claim   *Claim
	Stopped string
}

// NewID returns 128 random bits in hexadecimal, for an intent or a claim. A nil reader means crypto/rand.
func NewID(r io.Reader) (string, error) {
	if r == nil {
		r = rand.Reader
	}
	var b [16]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return "", fmt.Errorf("drawing a random id: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Committed returns the state after all of the intent was published: base with the changes or the intent's cursor, no
// intent and no claim, and after a transaction its id as the last one.
func (s State) Committed() State {
	if s.Intent == nil {
		return s.Released()
	}
	if s.Kind == Snapshot {
		s.Base = s.Base.With(s.Intent.Changes)
	} else {
		s.Cursor = s.Intent.Cursor
	}
	if s.Intent.Lease == nil {
		s.Last, s.LastMarkerTopic = s.Intent.ID, s.Intent.MarkerTopic
		s.Commits++
	}
	s.Intent, s.Claim = nil, nil
	return s
}

// Released returns the state after the intent's transaction was found or made to be uncommitted.
func (s State) Released() State {
	s.Intent, s.Claim = nil, nil
	return s
}

// SortChanges returns the changes in the form that an Intent holds. No key may come twice.
func SortChanges(list []Change) []Change {
	out := make([]Change, len(list))
	for n, p := range inOrder(len(list), func(i int) string { return list[i].Key }) {
		out[n] = list[p.at]
	}
	return out
}

// Change returns what becomes of a key, and whether anything does.
func (i *Intent) Change(key string) (f *Fingerprint, ok bool) {
	at, ok := slices.BinarySearchFunc(i.Changes, key, func(c Change, key string) int { return strings.Compare(c.Key, key) })
	if !ok {
		return nil, false
	}
	return i.Changes[at].Fingerprint, true
}
