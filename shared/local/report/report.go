// Package report keeps what the runs on a folder did, as report.json for programs and report.html for people.
//
// report.json is the memory: a later run on the folder reads it and adds to it. report.html is one page without any
// other file or address, drawn from it.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Format is the version of report.json. A file with a higher one is refused rather than damaged.
const Format = 1

// The files that [Report.Write] makes in its folder.
const (
	JSONFile = "report.json"
	HTMLFile = "report.html"
)

// Report is everything that happened, oldest first.
type Report struct {
	Format int `json:"format"`
	// Source and Sink are the connectors' names.
	Source string `json:"source"`
	Sink   string `json:"sink"`
	Topic  string `json:"topic"`
	Bucket string `json:"bucket"`
	// FlushSize is the sink's flush.size.
	FlushSize int  `json:"flush_size"`
	Simulated bool `json:"simulated"`
	// Runs counts the commands that added to this report.
	Runs    int       `json:"runs"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Polls   []Poll    `json:"polls"`
	Drains  []Drain   `json:"drains"`
	Objects []Object  `json:"objects"`
	Ladders []Ladder  `json:"ladders,omitempty"`
	Check   *Check    `json:"check,omitempty"`
}

// Poll is one poll.
type Poll struct {
	// Number counts the polls of all runs from 1.
	Number  int       `json:"number"`
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"`
	// Fetched = New + Changed + Unchanged + Repeated.
	Fetched   int `json:"fetched"`
	New       int `json:"new"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
	Repeated  int `json:"repeated,omitempty"`
	Left      int `json:"left"`
	Published int `json:"published"`
	Keyless   int `json:"keyless,omitempty"`
	// Bytes is the size of the decompressed answer.
	Bytes      int64 `json:"bytes"`
	DurationMS int64 `json:"duration_ms"`
	// FirstOffsets and LastOffsets are those of the records published, by partition.
	FirstOffsets map[int32]int64 `json:"first_offsets,omitempty"`
	LastOffsets  map[int32]int64 `json:"last_offsets,omitempty"`
	Error        string          `json:"error,omitempty"`
}

// Drain is one drain.
type Drain struct {
	// Number is that of the poll that it followed.
	Number     int         `json:"number"`
	At         time.Time   `json:"at"`
	Outcome    string      `json:"outcome"`
	Records    int64       `json:"records"`
	Objects    int64       `json:"objects"`
	Bytes      int64       `json:"bytes"`
	DurationMS int64       `json:"duration_ms"`
	Partitions []Partition `json:"partitions"`
	Error      string      `json:"error,omitempty"`
}

// Partition is a drain's part of one topic-partition.
type Partition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// From and To are the offsets up to which all was archived before and after.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Committed is the consumer group's offset, Lag what is left of the topic.
	Committed int64  `json:"committed"`
	Lag       int64  `json:"lag"`
	Stopped   string `json:"stopped,omitempty"`
}

// Object is one object in the bucket.
type Object struct {
	Name      string `json:"name"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// First is the offset of the first record, as the name says.
	First   int64 `json:"first"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	// Drain is the number of the drain after which it was there.
	Drain int `json:"drain"`
}

// Ladder is what a poll saw, from the top.
type Ladder struct {
	Poll int `json:"poll"`
	// Entries is the length of the whole ladder; Top are the first of it.
	Entries int        `json:"entries"`
	Top     []Standing `json:"top"`
}

// TopKept is how many standings of a ladder a report keeps.
const TopKept = 40

// Standing is a place in a ladder.
type Standing struct {
	Key    string `json:"key"`
	Points int64  `json:"points"`
}

// Check is what reading the topic and the archive back found.
type Check struct {
	// Topic is how many committed records the topic holds, from the first offset that the report knows.
	Topic int64 `json:"topic"`
	// Records were read back from Objects.
	Records int64 `json:"records"`
	Objects int64 `json:"objects"`
	// Missing counts records of the topic below the archived offset that no object holds; Twice those that two objects
	// hold, or an object under another offset than its name says; Waiting those that no drain has come to yet.
	Missing int64 `json:"missing"`
	Twice   int64 `json:"twice"`
	Waiting int64 `json:"waiting"`
	// Players of the Ladder entries of the last answer stand in the archive with the same content; 0 of 0 when no
	// answer is at hand to compare with.
	Players int `json:"players"`
	Ladder  int `json:"ladder"`
	// Error says why reading back failed.
	Error string `json:"error,omitempty"`
}

// Good reports whether the archive holds what the topic does, each record once.
func (c *Check) Good() bool {
	return c != nil && c.Error == "" && c.Missing == 0 && c.Twice == 0 && c.Players == c.Ladder
}

// ErrFormat says that report.json is of a newer riftline, or not a report.
var ErrFormat = errors.New("report.json can't be continued")

// Read reads the report of a folder; an empty one when there is none.
func Read(dir string) (*Report, error) {
	name := filepath.Join(dir, JSONFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Report{Format: Format}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the report: %w", err)
	}
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, name, err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("%w: %s has format %d, and this riftline knows %d", ErrFormat, name, r.Format, Format)
	}
	return r, nil
}

// Write replaces both files of a folder, each at once.
func (r *Report) Write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	page, err := r.HTML()
	if err != nil {
		return fmt.Errorf("drawing the report: %w", err)
	}
	for name, data := range map[string][]byte{JSONFile: append(text, '\n'), HTMLFile: page} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".new", data, 0o644); err != nil { //nolint:gosec // a report is there to be read
			return fmt.Errorf("writing the report: %w", err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return nil
}

// Totals are sums over a report.
type Totals struct {
	Polls, Failed                      int
	Fetched, New, Changed, Unchanged   int
	Left, Published                    int
	Fetch                              int64 // bytes of all answers
	Records, Objects, Bytes, Lag       int64
	Partitions                         int
	SmallestObject, LargestObjectBytes int64
}

// Totals sums the report up. Lag is that after the last drain.
func (r *Report) Totals() Totals {
	t := Totals{Polls: len(r.Polls)}
	for _, p := range r.Polls {
		t.Fetched += p.Fetched
		t.New += p.New
		t.Changed += p.Changed
		t.Unchanged += p.Unchanged
		t.Left += p.Left
		t.Published += p.Published
		t.Fetch += p.Bytes
		if p.Error != "" {
			t.Failed++
		}
	}
	for _, o := range r.Objects {
		t.Records += o.Records
		t.Objects++
		t.Bytes += o.Bytes
		if t.SmallestObject == 0 || o.Bytes < t.SmallestObject {
			t.SmallestObject = o.Bytes
		}
		t.LargestObjectBytes = max(t.LargestObjectBytes, o.Bytes)
	}
	if n := len(r.Drains); n > 0 {
		for _, p := range r.Drains[n-1].Partitions {
			t.Lag += p.Lag
			t.Partitions++
		}
	}
	return t
}
