package poll

import (
	"errors"
	"time"

	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// OffsetsReport is what is known of a source partition, and what was done about it. It holds no credential.
type OffsetsReport struct {
	Connector string            `json:"connector"`
	Variables map[string]string `json:"variables,omitempty"`
	Topic     string            `json:"topic"`
	Object    string            `json:"object"`
	// Generation is the object's, 0 when there is none.
	Generation int64 `json:"generation"`
	// Refused says why a poll does not take the object.
	Refused string `json:"refused,omitempty"`

	Before *OffsetsState `json:"state,omitempty"`
	Marker *MarkerReport `json:"marker,omitempty"`
	// HeldUntil is up to when a run that may be alive is left alone.
	HeldUntil time.Time `json:"held_until,omitzero"`

	// After is what was written, or would be.
	After   *OffsetsState  `json:"after,omitempty"`
	Rebuilt *RebuildReport `json:"rebuilt,omitempty"`
	DryRun  bool           `json:"dry_run,omitempty"`
	Written bool           `json:"written"`
	Audit   string         `json:"audit,omitempty"`
	// Next says what a person can do.
	Next  string `json:"next,omitempty"`
	Error string `json:"error,omitempty"`
	// Units are the source partitions of a connector that has several.
	Units []OffsetsReport `json:"units,omitempty"`

	// ExitCode is that of the command: 0 done, 1 transient, 2 configuration or usage, 3 a person must decide.
	ExitCode int `json:"-"`
}

// OffsetsState is a source offset object for people.
type OffsetsState struct {
	Kind string `json:"kind"`
	// Keys counts what is known, Left the keys among them that left the snapshot.
	Keys    int           `json:"keys"`
	Left    int           `json:"left,omitempty"`
	Commits int64         `json:"commits"`
	Last    string        `json:"last,omitempty"`
	Cursor  *CursorReport `json:"cursor,omitempty"`
	Intent  *IntentReport `json:"intent,omitempty"`
	Claim   *ClaimReport  `json:"claim,omitempty"`
	Stopped string        `json:"stopped,omitempty"`
	// Known has the fingerprint of each key, when that was asked for.
	Known map[string]string `json:"known,omitempty"`
}

// IntentReport is an intent that is in flight or was left behind.
type IntentReport struct {
	ID          string    `json:"id"`
	At          time.Time `json:"at"`
	Until       time.Time `json:"until"`
	MarkerTopic string    `json:"marker_topic,omitempty"`
	Changes     int       `json:"changes"`
	// Lease is there when the intent is published without a transaction.
	Lease *LeaseReport `json:"lease,omitempty"`
}

// LeaseReport is what an intent says that is published without a transaction.
type LeaseReport struct {
	// Records counts the intent's records, Watermarks are the topic's ends, by partition, from before it.
	Records    int64   `json:"records"`
	Watermarks []int64 `json:"watermarks"`
}

// CursorReport is up to where a log is published.
type CursorReport struct {
	At time.Time `json:"at,omitzero"`
	// Keys counts the keys that were published with that timestamp, Ahead the entries that were published behind it.
	Keys   int               `json:"keys"`
	Ahead  int               `json:"ahead,omitempty"`
	Offset map[string]string `json:"offset,omitempty"`
}

// ClaimReport is a claim.
type ClaimReport struct {
	ID    string    `json:"id"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
}

// MarkerReport is the marker as Kafka has it.
type MarkerReport struct {
	Group   string `json:"group"`
	Topic   string `json:"topic"`
	ID      string `json:"id,omitempty"`
	Commits int64  `json:"commits,omitempty"`
	// Means says what it tells of the object.
	Means string `json:"means"`
}

func (o *operation) means(m kafka.Marker, ok bool) string {
	switch i := o.st.Intent; {
	case i != nil && i.Lease != nil:
		return "the intent is published without a transaction and leaves none: its records in the topic tell what became of it"
	case !ok && i != nil:
		return "there is none: the intent was not committed, or its marker has expired"
	case !ok:
		return "there is none: nothing was published yet, or it has expired"
	case i != nil && m.ID == i.ID:
		return "the intent was committed"
	case m.ID == o.st.Last && i != nil:
		return "the intent was not committed"
	case m.ID == o.st.Last:
		return "it is that of the last transaction that is known"
	}
	return "it is none that the object knows of: the object was deleted, restored or replaced by hand"
}

// show adds to the report what a person may do, and that there is something to decide.
func (o *operation) show(err error) {
	p := o.store.Partition
	if err != nil {
		o.report.Error = err.Error()
		outcome, _ := outcomeOf(err, o.d.Now())
		o.report.ExitCode = outcome.ExitCode()
	}
	switch m := o.report.Marker; {
	case errors.Is(o.found.Refused, sourceoffset.ErrNewer):
		o.report.Next, o.report.ExitCode = "update riftline", Stopped.ExitCode()
	case o.found.Refused != nil:
		o.report.Next, o.report.ExitCode = p.WaysToForget(), Stopped.ExitCode()
	case o.st.Stopped != "":
		o.report.Next, o.report.ExitCode = o.waysOn(), Stopped.ExitCode()
	case !o.report.HeldUntil.IsZero():
		o.report.Next = "a run is publishing, or is left alone until then; nothing is to be done"
	case o.st.Intent != nil:
		o.report.Next = "the next poll settles the intent; nothing is to be done"
	case o.gen == 0 && m != nil && m.ID == "":
		o.report.Next = "the next poll publishes everything; where castorm's source has filled the topic, '" + p.Command("rebuild", "--from-topic") + "' takes that for known"
	case m != nil && m.ID != "" && m.ID != o.st.Last:
		o.report.Next, o.report.ExitCode = p.WaysToForget(), Stopped.ExitCode()
	}
}

// waysOn are the commands that lift a stop.
func (o *operation) waysOn() string {
	p := o.store.Partition
	if i := o.st.Intent; i != nil && (i.Lease != nil || o.report.Marker == nil || o.report.Marker.ID == "") {
		return settleCommands(p) + "; else " + p.WaysToForget()
	}
	return p.WaysToForget()
}

func settleCommands(p sourceoffset.Partition) string {
	return "'" + p.Command("settle", "--committed") + "' if the topic holds the records of the intent, '" + p.Command("settle", "--not-committed") + "' if not"
}

func (o *operation) describe(st sourceoffset.State) *OffsetsState {
	s := &OffsetsState{
		Kind: string(st.Kind), Keys: st.Base.Len(), Left: st.Base.Len() - st.Base.Present(), Commits: st.Commits, Last: st.Last, Stopped: st.Stopped,
	}
	if c := st.Cursor; st.Kind != sourceoffset.Snapshot {
		s.Cursor = &CursorReport{At: c.At, Keys: len(c.Keys), Ahead: len(c.Ahead), Offset: c.Offset}
	}
	if i := st.Intent; i != nil {
		s.Intent = &IntentReport{ID: i.ID, At: i.At, Until: i.Until, MarkerTopic: i.MarkerTopic, Changes: len(i.Changes)}
		if l := i.Lease; l != nil {
			s.Intent.Lease = &LeaseReport{Records: l.Records, Watermarks: l.Watermarks}
		}
	}
	if c := st.Claim; c != nil {
		s.Claim = &ClaimReport{ID: c.ID, At: c.At, Until: c.Until}
	}
	if o.q.Keys {
		s.Known = make(map[string]string, st.Base.Len())
		for key, known := range st.Base.All() {
			s.Known[key] = known.Fingerprint.String()
		}
	}
	return s
}
