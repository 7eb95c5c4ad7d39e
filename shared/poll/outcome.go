package poll

import "net/http"

// Outcome is how a poll ended. It decides what the trigger is told.
type Outcome string

// The outcomes of a poll.
const (
	// Published: changes were committed to the topic.
	Published Outcome = "published"
	// NothingNew: the answer holds nothing that the topic does not.
	NothingNew Outcome = "nothing_new"
	// AnotherRun: another run is publishing or was ahead; nothing was published here.
	AnotherRun Outcome = "another_run"
	// Deferred: the API or the deadline asks to come back at RetryAfter.
	Deferred Outcome = "deferred"
	// Unavailable: Kafka, the registry or the state bucket is down or slow. What was begun is released.
	Unavailable Outcome = "unavailable"
	// Upstream: the API gave no usable answer, after the retries.
	Upstream Outcome = "upstream"
	// Unauthorized: the API refused the credentials, also after one fresh read of the secret.
	Unauthorized Outcome = "unauthorized"
	// Refused: the trigger, the configuration or a right is wrong, or the topic is missing and not to be created.
	Refused Outcome = "refused"
	// SchemaRefused: the registry refuses the schema.
	SchemaRefused Outcome = "schema_refused"
	// Stopped: a person must decide before this source partition is polled again.
	Stopped Outcome = "stopped"
	// Unknown: whether the transaction committed could not be found out in this run, or something unforeseen failed.
	// The next run settles it.
	Unknown Outcome = "unknown"
)

type answer struct {
	status int
	ack    bool
	exit   int
}

var answers = map[Outcome]answer{
	Published:     {http.StatusOK, true, 0},
	NothingNew:    {http.StatusOK, true, 0},
	AnotherRun:    {http.StatusOK, true, 0},
	Deferred:      {http.StatusServiceUnavailable, true, 1},
	Unavailable:   {http.StatusServiceUnavailable, false, 1},
	Upstream:      {http.StatusBadGateway, false, 1},
	Unauthorized:  {http.StatusBadGateway, true, 2},
	Refused:       {http.StatusBadRequest, true, 2},
	SchemaRefused: {http.StatusInternalServerError, true, 2},
	Stopped:       {http.StatusConflict, true, 3},
	Unknown:       {http.StatusInternalServerError, false, 1},
}

func (o Outcome) answer() answer {
	if a, ok := answers[o]; ok {
		return a
	}
	return answers[Unknown]
}

// HTTPStatus is the status that an HTTP trigger is answered with.
func (o Outcome) HTTPStatus() int { return o.answer().status }

// PubSubAck reports whether a Pub/Sub message is done with. Pub/Sub sends a message that is not acknowledged again, at
// once and however long the trouble lasts, so only what a new delivery may repair is not acknowledged.
func (o Outcome) PubSubAck() bool { return o.answer().ack }

// ExitCode is the exit code of a command: 0 done, 1 transient, 2 configuration, 3 a person must decide.
func (o Outcome) ExitCode() int { return o.answer().exit }

// Failed reports whether the poll did not do what it was asked to.
func (o Outcome) Failed() bool { return o.answer().status != http.StatusOK }
