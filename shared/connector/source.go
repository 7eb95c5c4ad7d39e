package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

var errKind = errors.New("the connector is of the other kind")

// Source returns the typed settings of a source connector, its references resolved by r. Every credential among them,
// also one that stands in the file, is made known to r's Scrub.
//
// The error is an *[Invalid] with everything that is wrong, which a reference that leads nowhere is too
// ([secret.ErrNotFound], [secret.ErrDenied]); or, when secrets could not be read for a reason that may pass, another
// error.
func (c Connector) Source(ctx context.Context, w Worker, r *secret.Resolver, o CheckOptions) (Source, error) {
	if c.Kind != SourceKind {
		return Source{}, fmt.Errorf("connector %s is a %s, not a source: %w", c.Name, c.Kind, errKind)
	}
	e := c.start(ctx, w, r, o)
	s := Source{
		Name:                c.Name,
		Topic:               e.text("kafka.topic"),
		Request:             e.request(),
		Response:            e.response(),
		Client:              e.httpClient(),
		RateLimitShare:      e.fraction("riftline.ratelimit.share"),
		KeyFallback:         e.bool("riftline.key.fallback"),
		Matrix:              e.templates.matrix,
		Timestamp:           e.timestamp.pointer,
		TimestampParser:     e.timestamp.parser,
		Initial:             e.initial(),
		Order:               Order(strings.ToUpper(e.filled("http.response.list.order.direction"))),
		Dedupe:              e.dedupe,
		KeyConverter:        e.converters.key,
		ValueConverter:      e.converters.value,
		Registry:            e.registry,
		ValueFields:         e.filled("riftline.value.fields"),
		RecordFormat:        RecordFormat(strings.ToLower(e.filled("riftline.record.format"))),
		ExactlyOnceRequired: !strings.EqualFold(e.values["exactly.once.support"], "requested"),
		MarkerTopic:         e.text("riftline.marker.topic"),
		MarkerAge:           e.span("riftline.marker.age"),
		TopicCreation:       e.topicCreation(),
		Kafka:               e.kafka,
	}
	s.Key, s.Offset = e.offsets()
	return s, e.invalid()
}

func (e *examination) offsets() (key []string, others map[string]string) {
	key, _ = e.keyPointers()
	pairs, _ := pairList(e.values["http.response.record.offset.pointer"])
	for _, p := range pairs {
		if p.name == "key" || p.name == "timestamp" {
			continue
		}
		if others == nil {
			others = map[string]string{}
		}
		others[p.name] = p.value
	}
	return key, others
}

func (e *examination) request() Request {
	q := Request{
		URL:         e.text(requestURLKey),
		Method:      e.filled("http.request.method"),
		Headers:     e.headers(),
		Params:      secret.New(params(e.values["http.request.params"])),
		BareNames:   e.templates.bare,
		OffsetNames: e.templates.offsets,
		Variables:   e.templates.variables,
	}
	if q.Method != "GET" && q.Method != "HEAD" {
		q.Body = e.secret("http.request.body")
	}
	q.Origins = e.origins(q)
	class := simpleClass(e.values["http.auth"])
	if strings.EqualFold(e.values["http.auth.type"], "Basic") && class != "NoneHttpAuthenticator" || class == "BasicHttpAuthenticator" {
		q.BasicUser, q.BasicPassword = e.text("http.auth.user"), e.secret("http.auth.password")
	}
	return q
}

// params takes the blanks out that castorm trims: "a=b & c = d" is "a=b&c=d".
func params(text string) string {
	var out []string
	masked, restore := template.Cut(text)
	for part := range strings.SplitSeq(masked, "&") {
		name, value, ok := strings.Cut(part, "=")
		if ok {
			out = append(out, strings.TrimSpace(name)+"="+strings.TrimSpace(value))
		}
	}
	return restore(strings.Join(out, "&"))
}

// headers resolves each header's value by itself. Only a list that stands behind one reference as a whole is resolved
// before it is cut.
func (e *examination) headers() []Header {
	const key = "http.request.headers"
	raw := e.values[key]
	if raw != "" && secret.Without(raw) == "" {
		text, ok := e.resolve(key, raw, true)
		if !ok {
			return nil
		}
		if f := headers(given{text: text, raw: raw}); f.text != "" {
			e.fail(key, f.text, f.suggestion)
			return nil
		}
		raw = text
		for _, one := range inline(entry{shape: headerShape}, text) {
			e.resolver.Hide(one)
		}
		// What a reference leads to is no template.
		raw = template.Escape(raw)
	}
	parts, err := splitHeaders(raw)
	if err != nil {
		return nil
	}
	var out []Header
	for _, p := range parts {
		value, ok := e.resolveTemplate(key, p.value, true)
		value = strings.TrimSpace(value)
		switch {
		case !ok:
			continue
		case value == "" && p.value != "":
			e.fail(key, "gives "+p.name+" what leads to an empty text", "store the credential anew")
			continue
		case !validHeaderValue(value):
			e.fail(key, "gives "+p.name+" what leads to a text with line breaks or control characters", "store the credential as one line")
			continue
		}
		out = append(out, Header{Name: p.name, Value: secret.New(value)})
	}
	return out
}

func (e *examination) response() Response {
	r := Response{
		ListPointer:   e.text("http.response.list.pointer"),
		RecordPointer: e.text("http.response.record.pointer"),
		MaxBytes:      e.long("riftline.response.max.bytes"),
	}
	r.Process, _ = codeRanges(e.text("http.response.policy.codes.process"))
	r.Skip, _ = codeRanges(e.text("http.response.policy.codes.skip"))
	return r
}

func (e *examination) httpClient() HTTPClient {
	c := HTTPClient{
		ConnectTimeout: e.millis("http.client.connection.timeout.millis"),
		ReadTimeout:    defaultReadTimeout,
		KeepAlive:      e.millis("http.client.ttl.millis"),
		MaxIdle:        e.int("http.client.max-idle"),
	}
	if e.has("http.client.read.timeout.millis") {
		c.ReadTimeout = e.millis("http.client.read.timeout.millis")
	}
	if e.has("http.client.proxy.host") {
		c.ProxyHost, c.ProxyPort = e.text("http.client.proxy.host"), e.int("http.client.proxy.port")
		c.ProxyUser, c.ProxyPassword = e.text("http.client.proxy.username"), e.secret("http.client.proxy.password")
	}
	if e.has("http.client.keystore") {
		c.Keystore, c.KeystorePassword = e.text("http.client.keystore"), e.secret("http.client.keystore.password")
	}
	return c
}

func (e *examination) topicCreation() *TopicCreation {
	const prefix = "topic.creation.default."
	if value, _, ok := e.w.get("topic.creation.enable"); ok && strings.EqualFold(value, "false") {
		return nil
	}
	var t *TopicCreation
	for key, value := range e.values {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if t == nil {
			t = &TopicCreation{Partitions: -1, Replication: -1, Configs: map[string]string{}}
		}
		switch name {
		case "partitions":
			t.Partitions = int32(e.long(key))
		case "replication.factor":
			t.Replication = int16(e.long(key))
		default:
			t.Configs[name] = value
		}
	}
	if t != nil && t.Partitions == 0 {
		t.Partitions = -1
	}
	if t != nil && t.Replication == 0 {
		t.Replication = -1
	}
	return t
}

// Interval is how often a source is to be polled: http.timer.interval.millis, which local mode and infra read. A value
// that is not a number, or hangs on a reference, gives castorm's default of a minute.
func (c Connector) Interval() time.Duration {
	for _, key := range []string{"http.timer.interval.millis", "http.throttler.interval.millis"} {
		if d, err := time.ParseDuration(strings.TrimSpace(c.Config[key]) + "ms"); err == nil && d > 0 {
			return d
		}
	}
	return time.Minute
}
