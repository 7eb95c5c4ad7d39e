package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

// examination is one look at a connector. Without a resolver it is validate's: references stay, and what hangs on them
// is not judged. With one it is a start's: everything is resolved, and what a run cannot do without is missed.
type examination struct {
	ctx      context.Context
	c        Connector
	w        Worker
	o        CheckOptions
	resolver *secret.Resolver

	verdicts []Verdict
	problems Problems
	// values are the resolved values by canonical key, blanks around them gone.
	values map[string]string
	// open are the keys whose value is not known here: they hold references, or could not be resolved.
	open map[string]bool
	// lacking are the environment names of settings that neither the file nor the worker gives.
	lacking []string
	// causes are resolving errors that say that a reference leads nowhere; transient is one that may pass.
	causes    []error
	transient error
	literal   bool
	templates templates
	dedupe    Dedupe
	timestamp timestamps

	kafka      Kafka
	registry   Registry
	converters struct{ key, value Converter }
}

func (c Connector) examine(ctx context.Context, w Worker, r *secret.Resolver, o CheckOptions) *examination {
	e := &examination{ctx: ctx, c: c, w: w, o: o, resolver: r, values: map[string]string{}, open: map[string]bool{}}
	e.problems = append(e.problems, c.Notes...)
	e.literal = simpleClass(strings.TrimSpace(c.Config["http.request.template.factory"])) == "NoTemplateFactory"
	for _, key := range c.keys() {
		e.judge(key)
	}
	e.required()
	if c.Kind == SourceKind {
		e.readTemplates()
		e.readDedupe()
	}
	e.kafka = e.readKafka()
	if c.Kind == SinkKind {
		e.readSinkConverters()
		e.adviseSink()
	} else {
		e.readSourceConverters()
		e.adviseSource()
	}
	return e
}

// start is examine for a start, which has a resolver always.
func (c Connector) start(ctx context.Context, w Worker, r *secret.Resolver, o CheckOptions) *examination {
	if r == nil {
		r = secret.NewResolver(nil)
	}
	return c.examine(ctx, w, r, o)
}

// running is true for a start, false for validate.
func (e *examination) running() bool { return e.resolver != nil }

func (e *examination) add(p Problem) { e.problems = append(e.problems, p) }

func (e *examination) fail(key, text, suggestion string) {
	e.add(Problem{Key: key, Severity: Error, Text: text, Suggestion: suggestion})
}

func (e *examination) warn(key, text, suggestion string) {
	e.add(Problem{Key: key, Severity: Warning, Text: text, Suggestion: suggestion})
}

// advise adds an advice and marks the key's verdict.
func (e *examination) advise(key, text, suggestion string) {
	e.add(Problem{Key: key, Severity: Advice, Text: text, Suggestion: suggestion})
	e.mark(key, Advised)
}

func (e *examination) mark(key string, class Class) {
	for i := range e.verdicts {
		if e.verdicts[i].Key == key && (e.verdicts[i].Class == Honoured || e.verdicts[i].Class == Ignored) {
			e.verdicts[i].Class = class
		}
	}
}

// judge gives the verdict on one key of the file.
func (e *examination) judge(key string) {
	raw := e.c.Config[key]
	m, known := find(e.c.Kind, key)
	if !known || m.unknownIn != "" {
		e.unknown(key, m.unknownIn)
		return
	}
	v := Verdict{Key: key, Value: show(m.entry, raw), From: e.c.from(key), Class: m.class, Reason: m.reason}
	if m.canonical != key {
		if _, both := e.c.Config[m.canonical]; both {
			v.Class, v.Reason = Ignored, "another name of "+m.canonical+", which is given too and wins"
			e.verdicts = append(e.verdicts, v)
			e.warn(key, "is another name of "+m.canonical+", which is given too and wins", "take it out")
			return
		}
		e.warn(key, "is another name of "+m.canonical, "write "+m.canonical)
	}
	text, ok := e.value(m.entry, m.canonical, key, raw)
	if ok && m.check != nil {
		f := m.check(given{text: text, show: e.quoted(m.entry, raw, text), raw: raw})
		if f.severity == Error && text == "" && e.c.overrides[key] && !m.required {
			// The way to take a key of the file back, where an empty text means nothing by itself.
			f = finding{class: Ignored, reason: "taken back by an override"}
			delete(e.values, m.canonical)
		}
		v.Class, v.Reason = cmpClass(f.class, v.Class), cmpText(f.reason, v.Reason)
		if f.severity != 0 {
			e.add(Problem{Key: key, Severity: f.severity, Text: f.text, Suggestion: f.suggestion})
		}
	}
	e.verdicts = append(e.verdicts, v)
	e.credentials(key, m.entry, raw)
	if at := foreignIn(raw); len(at) > 0 && v.Class != Ignored {
		e.fail(key, "refers to "+strings.Join(at, ", ")+": riftline has no such config provider, and the reference leads nowhere", "store what it stands for, and write ${gcpsecret:NAME}")
	}
}

func cmpClass(a, b Class) Class {
	if a != 0 {
		return a
	}
	return b
}

func cmpText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// quoted is how messages may show a value: not at all when it is a credential or comes from a reference.
func (e *examination) quoted(m entry, raw, text string) string {
	switch {
	case m.shape != open:
		return "the value"
	case len(secret.References(raw)) > 0:
		return "what " + shorten(show(m, raw)) + " leads to"
	}
	return quote(text)
}

// value resolves a value and keeps it under its canonical key. It is not ok when the value is not known here.
func (e *examination) value(m entry, canonical, key, raw string) (string, bool) {
	raw = strings.TrimSpace(raw)
	if m.shape == headerShape || m.shape == jaasShape {
		// Cut first and resolve then, so that a credential's own commas and quotes cut nothing.
		e.values[canonical] = raw
		return raw, true
	}
	if m.class == Ignored || e.skipped(canonical) {
		if len(secret.References(raw)) > 0 {
			return "", false
		}
		e.values[canonical] = raw
		return raw, true
	}
	text, ok := e.resolveShaped(m, key, raw)
	if !ok {
		e.open[canonical] = true
		return "", false
	}
	text = strings.TrimSpace(text)
	e.values[canonical] = text
	return text, true
}

// resolveShaped resolves a value; of a URL all but the host is taken for credentials, since a host that nobody may see
// makes messages useless. Where a reference leads to more than a credential, the credential in it is hidden as well.
func (e *examination) resolveShaped(m entry, key, raw string) (string, bool) {
	resolve := e.resolve
	if slices.Contains(templateKeys, m.key) {
		resolve = e.resolveTemplate
	}
	var text string
	var ok bool
	if m.shape == urlShape {
		text, ok = resolveURLs(raw, strings.HasSuffix(m.key, "schema.registry.url"), func(part string, credential bool) (string, bool) { return resolve(key, part, credential) })
	} else {
		text, ok = resolve(key, raw, m.shape != open)
	}
	if ok && e.running() && text != raw {
		for _, one := range inline(m, text) {
			e.resolver.Hide(one)
		}
	}
	return text, ok
}

// resolveURLs resolves what stands before the path of a URL, or of each one of a list, apart from the rest.
func resolveURLs(raw string, list bool, resolve func(part string, credential bool) (string, bool)) (text string, ok bool) {
	masked := maskReferences(requestURLKey, raw)
	ok = true
	take := func(to int, credential bool) {
		part, found := resolve(raw[:to], credential)
		text, ok = text+part, ok && found
		raw, masked = raw[to:], masked[to:]
	}
	for raw != "" {
		end := len(raw)
		if n := strings.IndexByte(masked, ','); list && n >= 0 {
			end = n + 1
		}
		path := 0
		if n := strings.Index(masked[:end], "://"); n >= 0 {
			path = n + len("://")
		}
		if n := strings.IndexAny(masked[path:end], "/?#"); n >= 0 {
			path += n
		} else {
			path = end
		}
		end -= path
		take(path, strings.Contains(masked[:path], "@"))
		take(end, true)
	}
	return text, ok
}

// resolveTemplate is resolve for a request template: what a reference leads to stands for itself in it.
func (e *examination) resolveTemplate(key, raw string, credential bool) (string, bool) {
	ok := true
	text := secret.Map(raw, func(part string, reference bool) string {
		switch {
		case reference:
			resolved, found := e.resolve(key, part, credential)
			ok = ok && found
			return template.Escape(resolved)
		case e.literal:
			return template.Escape(part)
		}
		return part
	})
	return text, ok
}

// skipped keys are not resolved: the embedded bucket has no credentials.
func (e *examination) skipped(canonical string) bool {
	return e.o.Local && strings.HasPrefix(canonical, "gcs.credentials.")
}

// resolve replaces the references of raw. Without a resolver, or when one leads nowhere, it is not ok.
func (e *examination) resolve(key, raw string, credential bool) (string, bool) {
	if len(secret.References(raw)) == 0 {
		return raw, true
	}
	if !e.running() {
		return "", false
	}
	read := e.resolver.ResolvePlain
	if credential {
		read = e.resolver.Resolve
	}
	text, err := read(e.ctx, raw)
	switch {
	case err == nil:
		return text, true
	case errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrDenied):
		e.causes = append(e.causes, err)
		e.fail(key, strings.ReplaceAll(err.Error(), "\n", "; "), "")
	default:
		e.transient = errors.Join(e.transient, fmt.Errorf("%s: %w", key, err))
	}
	return "", false
}

func (e *examination) unknown(key, family string) {
	v := Verdict{Key: key, Value: secret.Mask(e.c.Config[key]), From: e.c.from(key), Class: Unknown}
	p := Problem{Key: key, Severity: Warning}
	other := SinkKind
	if e.c.Kind == SinkKind {
		other = SourceKind
	}
	near, isNear := closest(e.c.Kind, key)
	m, elsewhere := find(other, key)
	switch {
	case elsewhere && m.unknownIn == "":
		v.Reason = "is a key of a " + other.String()
		p.Text, p.Suggestion = "is a key of a "+other.String()+", and this is a "+e.c.Kind.String(), "take it out"
	case isNear:
		v.Reason = "did you mean " + near + "?"
		p.Severity, p.Text, p.Suggestion = Error, "is not a key that anyone knows", "did you mean "+near+"?"
	case family != "":
		v.Reason = "nothing under " + family + " is called so; it is not read"
		p.Text, p.Suggestion = "is not known under "+family+" and is not read", "take it out"
	default:
		v.Reason = "neither Connect, nor the connector, nor riftline knows it; it is not read"
		p.Text, p.Suggestion = "is not a key that anyone knows, and is not read", "take it out"
	}
	if strings.HasPrefix(key, "riftline.") || e.o.Strict {
		p.Severity = Error
	}
	e.verdicts = append(e.verdicts, v)
	e.add(p)
	e.credentials(key, entry{}, e.c.Config[key])
}

// credentials makes credentials that stand in the file known to Scrub, and says what to do about them.
func (e *examination) credentials(key string, m entry, raw string) {
	found := locate(key, raw)
	name := (&SecretNames{}).Name(e.c.Name, Credential{Key: key})
	if len(found) > 0 {
		name = (&SecretNames{}).Name(e.c.Name, found[0])
	}
	if hasPlaceholder(m, raw) || slices.ContainsFunc(found, func(c Credential) bool { return c.Placeholder }) {
		e.advise(key, "looks as if a placeholder of the instructions was left in", "write ${gcpsecret:"+name+"}, or the value itself")
	}
	clear := inline(entry{key: key, shape: m.shape}, raw)
	if e.running() {
		for _, one := range clear {
			e.resolver.Hide(one)
		}
	}
	if slices.ContainsFunc(found, func(c Credential) bool { return !c.Placeholder }) {
		e.advise(key, "holds a credential in clear text; it is never logged, but it is in the file for everyone who can read that, and Terraform refuses it",
			fmt.Sprintf("riftline import %s writes ${gcpsecret:%s} in its place and prints the gcloud line that stores it", e.c.Origin, name))
	}
}

// required reports keys that a connector cannot do without.
func (e *examination) required() {
	for _, table := range tableOf(e.c.Kind) {
		for _, m := range table {
			if _, ok := e.c.Config[m.key]; m.required && (!ok || strings.TrimSpace(e.c.Config[m.key]) == "") && !slices.ContainsFunc(e.problems, func(p Problem) bool { return p.Key == m.key && p.Severity == Error }) {
				e.fail(m.key, "is missing", "write it: "+m.reason)
			}
		}
	}
}

// has reports whether the file or an override gives a key, and not as an empty text.
func (e *examination) has(key string) bool {
	if e.open[key] {
		return true
	}
	return e.values[key] != ""
}

// text is the value of a key, or what the connector that is replaced takes without it.
func (e *examination) text(key string) string {
	if v, ok := e.values[key]; ok {
		return v
	}
	if m, ok := find(e.c.Kind, key); ok {
		return m.def
	}
	return ""
}

// filled is text, with the default in place of an empty value.
func (e *examination) filled(key string) string {
	if v := e.text(key); v != "" {
		return v
	}
	m, _ := find(e.c.Kind, key)
	return m.def
}

// The typed forms give zero for what a check has refused already.

func (e *examination) int(key string) int { return int(e.long(key)) }

func (e *examination) long(key string) int64 {
	n, err := strconv.ParseInt(e.filled(key), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (e *examination) fraction(key string) float64 {
	f, err := strconv.ParseFloat(e.filled(key), 64)
	if err != nil {
		return 0
	}
	return f
}

func (e *examination) bool(key string) bool { return strings.EqualFold(e.filled(key), "true") }

func (e *examination) millis(key string) time.Duration {
	return time.Duration(e.long(key)) * time.Millisecond
}

func (e *examination) span(key string) time.Duration {
	d, err := parseSpan(e.filled(key))
	if err != nil {
		return 0
	}
	return d
}

func (e *examination) secret(key string) secret.Value { return secret.New(e.values[key]) }

// invalid returns what keeps the connector from starting, or nil. An error that may pass is not an *Invalid.
func (e *examination) invalid() error {
	if len(e.problems.Errors()) > 0 {
		return &Invalid{Name: e.c.Name, Origin: e.c.Origin, Problems: e.problems, causes: e.causes}
	}
	if e.transient != nil {
		return fmt.Errorf("reading the secrets of connector %s: %w", e.c.Name, e.transient)
	}
	return nil
}
