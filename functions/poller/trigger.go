package poller

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"strconv"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/poll"
)

// maxBody bounds a trigger. Pub/Sub's base64 and attributes are more than the message, so it is generous.
const maxBody = 256 << 10

// trigger asks for one poll.
type trigger struct {
	Connector string
	Variables map[string]string
}

func parseTrigger(data []byte) (trigger, error) {
	const form = `a trigger is {"connector":"NAME","variables":{…}}`
	var given struct {
		Connector string             `json:"connector"`
		Variables map[string]*string `json:"variables"`
	}
	var t trigger
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	if err := in.Decode(&given); err != nil {
		return t, fmt.Errorf("%s: %w", form, err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return t, fmt.Errorf("%s, and nothing behind it", form)
	}
	if t.Connector = given.Connector; t.Connector == "" {
		return t, fmt.Errorf("%s: connector is missing", form)
	}
	for name, value := range given.Variables {
		if value == nil {
			return t, fmt.Errorf("%s: the variable %.64q is null; write its value, or leave it out", form, name)
		}
		if t.Variables == nil {
			t.Variables = map[string]string{}
		}
		t.Variables[name] = *value
	}
	return t, nil
}

// poll answers POST /Poll.
func (s *service) poll(w http.ResponseWriter, r *http.Request) {
	body, ok := s.accept(w, r)
	if !ok {
		return
	}
	t, err := parseTrigger(body)
	if err != nil {
		s.answer(w, r, poll.Failed("", nil, poll.Fail(poll.Refused, err), time.Now()), false)
		return
	}
	s.run(w, r, t, false)
}

// pollEvent answers POST /PollEvent. Pub/Sub knows two answers: a 2xx status, done with this message; any other, send
// it again. What a new delivery cannot repair is therefore done with, and logged as an error.
func (s *service) pollEvent(w http.ResponseWriter, r *http.Request) {
	body, ok := s.accept(w, r)
	if !ok {
		return
	}
	data, err := messageData(r.Header, body)
	var t trigger
	if err == nil {
		t, err = parseTrigger(data)
	}
	if err != nil {
		summary := poll.Failed("", nil, poll.Fail(poll.Refused, err), time.Now())
		ctx := s.env.WithLog(r.Context())
		logging.From(ctx).ErrorContext(ctx, "a message that asks for no poll is dropped", slog.String("error", summary.Error))
		s.answer(w, r, summary, true)
		return
	}
	s.run(w, r, t, true)
}

func (s *service) run(w http.ResponseWriter, r *http.Request, t trigger, pubsub bool) {
	ctx, done, ok := s.begin(r)
	if !ok {
		s.answer(w, r, poll.Failed(t.Connector, t.Variables, poll.Fail(poll.Unavailable, errStopping), time.Now()), pubsub)
		return
	}
	defer done()
	ctx = logging.Trace(s.env.WithLog(ctx), r.Header.Get("X-Cloud-Trace-Context"), s.env.Getenv("GOOGLE_CLOUD_PROJECT"))
	// The summary says all that the error says.
	summary, _ := s.polls.Poll(ctx, t.Connector, t.Variables)
	s.answer(w, r, summary, pubsub)
}

// answer writes the summary with the status that the outcome stands for.
func (s *service) answer(w http.ResponseWriter, _ *http.Request, summary poll.Summary, pubsub bool) {
	status := summary.Outcome.HTTPStatus()
	if pubsub {
		status = http.StatusOK
		if !summary.Outcome.PubSubAck() {
			status = http.StatusInternalServerError
		}
	} else if status == http.StatusServiceUnavailable {
		wait := max(1, int(math.Ceil(time.Until(summary.RetryAfter).Seconds())))
		w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	writeJSON(w, status, summary)
}

// accept checks method, token and size, and reads the body. It has answered when it returns false.
func (s *service) accept(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeError(w, http.StatusMethodNotAllowed, "use POST")
		return nil, false
	}
	if s.auth != nil {
		if err := s.auth.authenticate(r); err != nil {
			ctx := s.env.WithLog(r.Context())
			logging.From(ctx).WarnContext(ctx, "refused a trigger", slog.Any("error", err))
			status := http.StatusUnauthorized
			if errors.Is(err, errForbidden) {
				status = http.StatusForbidden
			}
			writeError(w, status, "this caller may not trigger a poll")
			return nil, false
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a trigger has at most %d bytes", maxBody))
		return nil, false
	case err != nil:
		writeError(w, http.StatusBadRequest, "the body did not arrive whole")
		return nil, false
	}
	return body, true
}

// messageData takes the data of a Pub/Sub message out of what a push subscription or Eventarc sends: Pub/Sub's own
// envelope, a CloudEvent (structured or binary) around that envelope, or the bare data of a subscription with payload
// unwrapping.
func messageData(header http.Header, body []byte) ([]byte, error) {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if header.Get("Ce-Specversion") != "" || (err == nil && media == "application/cloudevents+json") {
		request := &http.Request{Header: header, Body: io.NopCloser(bytes.NewReader(body))}
		event, err := cloudevents.NewEventFromHTTPRequest(request)
		if err != nil {
			return nil, fmt.Errorf("reading the CloudEvent: %w", err)
		}
		body = event.Data()
	}
	var envelope struct {
		Message *struct {
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, fmt.Errorf("reading the Pub/Sub message: %w", err)
	}
	if envelope.Message == nil {
		return body, nil
	}
	return envelope.Message.Data, nil
}

// ready answers GET /ready.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.polls.Ready(r.Context()); err != nil {
		writeError(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.WriteHeader(http.StatusOK)
}

func writeError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, map[string]string{"error": text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
	// The process may end as soon as the handler says that it is done.
	_ = http.NewResponseController(w).Flush()
}
