package httpsource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/ratelimit"
)

const (
	// maxTries is how often one answer is asked for; the waits between are 1, 2, 4 and 8 s without a Retry-After.
	maxTries = 5
	// maxWait is the longest wait between two tries, for a context without a deadline as well.
	maxWait = 2 * time.Minute
	// maxMargin is what a run needs after its fetch to encode and publish; a short deadline gives a quarter of itself.
	maxMargin = 5 * time.Second
	// maxRetryAfter bounds what a Retry-After may ask for.
	maxRetryAfter = 24 * time.Hour
)

// Fetch asks the API and cuts the answer into entries. It tries again within the deadline of ctx, as the package
// comment says.
//
// Its error is an [*UnauthorizedError], a [*DeferredError], an [*UpstreamError] (which wraps the context's error when
// ctx ended) or a [*BodyError].
func (c *Client) Fetch(ctx context.Context) (Answer, error) {
	f := fetch{Client: c, log: logging.From(ctx), url: c.location(), last: c.lastStart(ctx)}
	ctx = context.WithValue(ctx, countKey{}, &f.answer.Requests)
	for try := 1; ; try++ {
		ticket, err := f.admit(ctx)
		if err != nil {
			return Answer{}, err
		}
		outcome := f.ask(ctx, ticket)
		if outcome.err == nil {
			return f.answer, nil
		}
		if !outcome.retry || ctx.Err() != nil {
			return Answer{}, outcome.err
		}
		wait := c.backOff(try)
		if outcome.asked {
			wait = outcome.after + time.Duration(c.rand()*float64(250*time.Millisecond))
		}
		start := c.now().Add(wait)
		if try == maxTries || wait > maxWait || start.After(f.last) {
			return Answer{}, f.giveUp(outcome, start)
		}
		f.log.DebugContext(ctx, "waiting before the API is asked again", slog.String("url", f.url),
			slog.Int("status", outcome.status), slog.Duration("wait", wait), slog.Int("try", try), slog.String("riotTrace", outcome.trace))
		if err := c.sleep(ctx, wait); err != nil {
			return Answer{}, &UpstreamError{Status: outcome.status, URL: f.url, Requests: f.answer.Requests, Trace: outcome.trace,
				Err: fmt.Errorf("waiting to ask again: %w", err)}
		}
		f.answer.Wait += wait
	}
}

// admit waits until the API's rate limits leave a request.
func (f *fetch) admit(ctx context.Context) (ratelimit.Ticket, error) {
	for {
		now := f.now()
		ticket, at := f.limits.Take(f.use, now)
		if at.IsZero() {
			return ticket, nil
		}
		wait := at.Sub(now)
		if wait > maxWait || at.After(f.last) {
			return ticket, &DeferredError{Until: at, URL: f.url}
		}
		f.log.DebugContext(ctx, "waiting for the API's rate limits", slog.String("url", f.url), slog.Duration("wait", wait))
		if err := f.sleep(ctx, wait); err != nil {
			return ticket, &UpstreamError{URL: f.url, Requests: f.answer.Requests, Err: fmt.Errorf("waiting for the API's rate limits: %w", err)}
		}
		f.answer.Wait += wait
	}
}

// fetch is one call of Fetch.
type fetch struct {
	*Client
	log    *slog.Logger
	url    string
	last   time.Time
	answer Answer
}

// outcome is how one try ended.
type outcome struct {
	err    error
	retry  bool
	status int
	trace  string
	// asked and after are the API's Retry-After.
	asked bool
	after time.Duration
}

func (f *fetch) giveUp(o outcome, until time.Time) error {
	if o.status == http.StatusTooManyRequests {
		return &DeferredError{Until: until, Status: o.status, URL: f.url, Trace: o.trace}
	}
	return o.err
}

// ask sends one request and takes its answer.
func (f *fetch) ask(ctx context.Context, ticket ratelimit.Ticket) outcome {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	request, err := f.request(ctx)
	if err != nil {
		ticket.Failed(f.now())
		return outcome{err: err}
	}
	response, err := f.http.Do(request)
	if err != nil {
		ticket.Failed(f.now())
		if response != nil {
			_ = response.Body.Close()
		}
		return f.transport(ctx, err, response)
	}
	defer func() {
		// A short rest is read so that the connection can be used again.
		_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
		_ = response.Body.Close()
	}()
	status := response.StatusCode
	f.answer.Status = status
	now, blocked := f.now(), time.Duration(-1)
	after, asked := retryAfter(response.Header.Get("Retry-After"), now)
	if asked && status == http.StatusTooManyRequests {
		blocked = after
	}
	ticket.Answered(response.Header, blocked, now)
	o := outcome{status: status, trace: clip(f.scrubText(response.Header.Get("X-Riot-Edge-Trace-Id")), 64)}
	f.log.DebugContext(ctx, "the API answered", slog.String("url", f.url), slog.Int("status", status), slog.String("riotTrace", o.trace))
	switch {
	case within(f.response.Process, status):
		o.retry, o.err = f.take(response, o.trace)
	case within(f.response.Skip, status):
		f.log.InfoContext(ctx, "the API's status is one to skip: no entries", slog.String("url", f.url), slog.Int("status", status))
		f.none()
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		o.err = &UnauthorizedError{Status: status, URL: f.url, Trace: o.trace}
	default:
		o.err = &UpstreamError{Status: status, URL: f.url, Requests: f.answer.Requests, Trace: o.trace}
		o.retry = status >= 500 || status == http.StatusTooManyRequests
		o.after, o.asked = after, asked
	}
	return o
}

func (f *fetch) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if f.body != "" {
		body = strings.NewReader(f.body)
	}
	request, err := http.NewRequestWithContext(ctx, f.method, f.Client.url.String(), body)
	if err != nil {
		return nil, &UpstreamError{URL: f.url, Err: f.scrub(err)}
	}
	request.Header = f.header.Clone()
	request.Host = f.host
	return request, nil
}

// transport judges a request that got no answer.
func (f *fetch) transport(ctx context.Context, err error, response *http.Response) outcome {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		// Its text has the whole URL in it.
		err = wrapped.Err
	}
	o := outcome{retry: true}
	var redirect *redirectError
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &redirect):
		o.retry = false
		if response != nil {
			o.status = response.StatusCode
		}
	case errors.As(err, &certificate):
		o.retry = false
		err = fmt.Errorf("checking the server's certificate: %w", err)
	case errors.As(err, &plain):
		o.retry = false
		err = fmt.Errorf("the server does not speak TLS, is http.request.url an http one? %w", err)
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		err = fmt.Errorf("no complete answer within %v (http.client.read.timeout.millis, or the run's deadline): %w", f.timeout, err)
	}
	o.err = &UpstreamError{Status: o.status, URL: f.url, Requests: f.answer.Requests, Err: f.scrub(err)}
	return o
}

// backOff is 1, 2, 4, 8 s, each with up to a quarter more so that clients that failed together do not return together.
func (c *Client) backOff(try int) time.Duration {
	wait := time.Second << min(try-1, 3)
	return wait + time.Duration(c.rand()*float64(wait)/4)
}

// lastStart is the last moment at which a try may begin.
func (c *Client) lastStart(ctx context.Context) time.Time {
	now := c.now()
	deadline, ok := ctx.Deadline()
	if !ok {
		return now.Add(maxTries * maxWait)
	}
	return deadline.Add(-min(maxMargin, deadline.Sub(now)/4))
}

// retryAfter reads the header in either of its forms, seconds or a date (RFC 9110, 10.2.3).
func retryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil {
		if seconds < 0 {
			return 0, false
		}
		return time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxRetryAfter), true
}

func within(ranges []connector.CodeRange, status int) bool {
	for _, r := range ranges {
		if r.From <= status && status <= r.To {
			return true
		}
	}
	return false
}

// location is the URL as it may be shown.
func (c *Client) location() string {
	return (&url.URL{Scheme: c.url.Scheme, Host: c.url.Host, Path: c.url.Path, RawPath: c.url.RawPath}).String()
}

// scrub returns err, or an error with the same text less the request's credentials when they are in it.
func (c *Client) scrub(err error) error {
	text := err.Error()
	if clean := c.scrubText(text); clean != text {
		return errors.New(clean)
	}
	return err
}

func (c *Client) scrubText(text string) string {
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, "[redacted]")
	}
	if c.scrubs != nil {
		text = c.scrubs(text)
	}
	return text
}
