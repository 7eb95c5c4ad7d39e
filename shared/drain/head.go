package drain

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"

	"github.com/riftline/riftline/shared/bucket"
)

// headFormat is the newest version of the head that this build reads and writes. Version 2 adds skip and deadLetters,
// version 3 projectedFrom. A head is written as the oldest version that has a place for what it holds, so that an
// earlier build reads it if it can complete it.
const headFormat = 3

// Head is a topic-partition's position and the plan in flight, as they are stored.
type Head struct {
	// Format is the version of this structure.
	Format    int    `json:"format"`
	Connector string `json:"connector"`
	Topic     string `json:"topic"`
	// TopicID is Kafka's topic id as Kafka's tools print it; empty when the broker knows none.
	TopicID   string `json:"topicId"`
	Partition int32  `json:"partition"`
	// Start is where the archive of this partition began.
	Start int64 `json:"start"`
	// Frontier is the offset before which all is archived.
	Frontier int64 `json:"frontier"`
	// Skip are offsets from the frontier on that a person has decided to leave out (since version 2). The plan that passes
	// them records them in its Skipped, and takes them out here.
	Skip []Range `json:"skip,omitempty"`
	// Plan is nil when nothing is in flight.
	Plan *Plan `json:"plan"`
	// Sum is the CRC-32C (hexadecimal) of this object's JSON without it.
	Sum string `json:"sum,omitempty"`
}

// Plan fixes the objects that hold the records from First to before Next.
type Plan struct {
	// ID is 128 random bits, in hexadecimal.
	ID    string `json:"id"`
	First int64  `json:"first"`
	Next  int64  `json:"next"`
	// Codec is the Avro codec of the objects.
	Codec string `json:"codec"`
	// Skipped are records that no object holds, by policy.
	Skipped []Range `json:"skipped,omitempty"`
	// DeadLetters are those of Skipped that go to a dead-letter topic, nil for none (since version 2).
	DeadLetters *DeadLetterPlan `json:"deadLetters,omitempty"`
	Objects     []PlannedObject `json:"objects"`
}

// PlannedObject is one object of a plan.
type PlannedObject struct {
	Name string `json:"name"`
	// First, Last and Count describe the records that the object was planned with. Compaction or retention may leave it
	// with fewer.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	Count int64 `json:"count"`
	// SchemaID is the schema that the object is written with.
	SchemaID int `json:"schemaId"`
	// ProjectedFrom are the other schema ids, ascending, whose records the object holds projected to SchemaID (since
	// version 3).
	ProjectedFrom []int `json:"projectedFrom,omitempty"`
	// Offsets are the offsets whose records, those that Kafka has, the object holds.
	Offsets []Range `json:"offsets"`
}

// Range is offsets from the first to the second, both included.
type Range [2]int64

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errHead says that what is stored as a head is none.
var errHead = errors.New("not a head of this partition")

// HeadName is the name of a partition's head below RIFTLINE_STATE.
func HeadName(connector, topic string, partition int32) string {
	return "drain/" + connector + "/" + topic + "/" + strconv.FormatInt(int64(partition), 10) + ".json"
}

// Marshal returns the head as it is stored, with its sum.
func (h Head) Marshal() ([]byte, error) {
	h.Format = h.version()
	sum, err := h.sum()
	if err != nil {
		return nil, err
	}
	h.Sum = sum
	data, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding the head: %w", err)
	}
	return append(data, '\n'), nil
}

// version is the oldest one that has a place for all of the head.
func (h Head) version() int {
	projected := func(o PlannedObject) bool { return len(o.ProjectedFrom) > 0 }
	switch {
	case h.Plan != nil && slices.ContainsFunc(h.Plan.Objects, projected):
		return 3
	case len(h.Skip) > 0 || h.Plan != nil && h.Plan.DeadLetters != nil:
		return 2
	default:
		return 1
	}
}

func (h Head) sum() (string, error) {
	h.Sum = ""
	data, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("encoding the head: %w", err)
	}
	return fmt.Sprintf("%08x", crc32.Checksum(data, crcTable)), nil
}

// ParseHead reads a stored head. It refuses a newer format, a wrong sum and what contradicts itself.
func ParseHead(data []byte) (Head, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Head{}, fmt.Errorf("%w: %w", errHead, err)
	}
	if version.Format > headFormat {
		return Head{}, fmt.Errorf("it was written by a newer version of riftline (format %d, this one reads %d): run that version", version.Format, headFormat)
	}
	if version.Format < 1 {
		return Head{}, fmt.Errorf("%w: format %d", errHead, version.Format)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var h Head
	if err := dec.Decode(&h); err != nil {
		return Head{}, fmt.Errorf("%w: %w", errHead, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Head{}, fmt.Errorf("%w: text after its end", errHead)
	}
	sum, err := h.sum()
	if err != nil {
		return Head{}, err
	}
	if h.Sum != sum {
		return Head{}, fmt.Errorf("%w: its sum is %s and should be %q: it was changed by hand or damaged", errHead, sum, h.Sum)
	}
	if err := h.check(); err != nil {
		return Head{}, fmt.Errorf("%w: %w", errHead, err)
	}
	return h, nil
}

// check looks for what no run writes: completing such a plan could lose or double records.
func (h Head) check() error {
	if h.Start < 0 || h.Frontier < h.Start {
		return fmt.Errorf("frontier %d, start %d", h.Frontier, h.Start)
	}
	if !ascending(h.Skip) {
		return errors.New("the offsets to skip are out of order")
	}
	p := h.Plan
	if p == nil {
		return nil
	}
	if d := p.DeadLetters; d != nil && (d.Topic == "" || len(d.Offsets) == 0 || !ascending(d.Offsets) || d.Offsets[0][0] < p.First || d.Offsets[len(d.Offsets)-1][1] >= p.Next) {
		return fmt.Errorf("the plan's dead letters do not fit [%d,%d)", p.First, p.Next)
	}
	if p.ID == "" || p.First != h.Frontier || p.Next <= p.First {
		return fmt.Errorf("a plan %q of [%d,%d) at frontier %d", p.ID, p.First, p.Next, h.Frontier)
	}
	for _, o := range p.Objects {
		if o.Name == "" || len(o.Offsets) == 0 || o.Offsets[0][0] != o.First || o.Offsets[len(o.Offsets)-1][1] != o.Last ||
			o.First < p.First || o.Last >= p.Next {
			return fmt.Errorf("the plan's object %q does not fit [%d,%d)", o.Name, p.First, p.Next)
		}
		if !ascending(o.Offsets) {
			return fmt.Errorf("the plan's object %q has offsets out of order", o.Name)
		}
		if slices.Contains(o.ProjectedFrom, o.SchemaID) || !slices.IsSorted(o.ProjectedFrom) {
			return fmt.Errorf("the plan's object %q of schema %d is projected from %v", o.Name, o.SchemaID, o.ProjectedFrom)
		}
	}
	return nil
}

// reach is the offset before which all is archived, or is by the plan in flight.
func (h Head) reach() int64 {
	if h.Plan != nil {
		return h.Plan.Next
	}
	return h.Frontier
}

// ascending says whether ranges are what they should be: each of an offset at least, in order, apart.
func ascending(ranges []Range) bool {
	for i, r := range ranges {
		if r[1] < r[0] || (i > 0 && r[0] <= ranges[i-1][1]) {
			return false
		}
	}
	return true
}

// topicID is a topic id as Kafka's tools print it.
func topicID(id [16]byte) string {
	if id == ([16]byte{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// load reads the head and remembers its generation. It is false when there is none.
func (p *partition) load(ctx context.Context) (bool, error) {
	name := HeadName(p.sink.Name, p.topic.Name, p.number)
	url := p.deps.Heads.URL(name)
	o, err := p.deps.Heads.Read(ctx, name)
	if errors.Is(err, bucket.ErrAbsent) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the head %s: %w", url, err)
	}
	h, err := ParseHead(o.Data)
	if err != nil {
		return false, p.stop("the head %s cannot be used: %v. Put its last good version back (gcloud storage restore), then `riftline drain %s`", url, err, p.sink.Name)
	}
	if h.Connector != p.sink.Name || h.Topic != p.topic.Name || h.Partition != p.number {
		return false, p.stop("the head %s is that of connector %s, %s/%d: it was copied there. Put the right one back (gcloud storage restore), then `riftline drain %s`; nothing was written",
			url, h.Connector, h.Topic, h.Partition, p.sink.Name)
	}
	p.head, p.generation = h, o.Generation
	return true, nil
}

// save writes the head on condition of the generation that was read. bucket.ErrLost when another run was first.
func (p *partition) save(ctx context.Context, h Head, generation int64, mine func(Head) bool) error {
	data, err := h.Marshal()
	if err != nil {
		return err
	}
	name := HeadName(p.sink.Name, p.topic.Name, p.number)
	g, err := p.deps.Heads.CompareAndSet(ctx, name, data,
		bucket.PutOptions{IfGeneration: generation, ContentType: "application/json"},
		func(o bucket.Object) bool {
			found, err := ParseHead(o.Data)
			return err == nil && mine(found)
		})
	if err != nil {
		return fmt.Errorf("writing the head %s: %w", p.deps.Heads.URL(name), err)
	}
	p.head, p.generation = h, g
	return nil
}
