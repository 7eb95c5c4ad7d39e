package connector

import (
	"net/url"
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/secret"
)

// converter reads key.converter or value.converter: the connector's, else the worker's, else otherwise.
func (e *examination) converter(key string, otherwise Converter) Converter {
	name := e.values[key]
	if name == "" && !e.open[key] {
		raw, env, ok := e.w.get(key)
		if !ok {
			return otherwise
		}
		m, _ := find(e.c.Kind, key)
		name = e.judgeWorker(m.entry, key, env, raw).text
	}
	for _, built := range []Converter{StringConverter, AvroConverter} {
		if simpleClass(name) == simpleClass(string(built)) {
			return built
		}
	}
	// A converter that is not built was refused by name; what is returned is not used.
	return otherwise
}

func (e *examination) readSourceConverters() {
	e.converters.key = e.converter("key.converter", StringConverter)
	e.converters.value = e.converter("value.converter", AvroConverter)
	e.registry = e.readRegistry("value.converter.", true)
	if e.converters.key != AvroConverter {
		return
	}
	own := e.readRegistry("key.converter.", false)
	e.registry.KeySubject = own.KeySubject
	if len(own.URLs) > 0 && !slices.Equal(own.URLs, e.registry.URLs) && len(e.registry.URLs) > 0 {
		e.fail("key.converter.schema.registry.url", "is another registry than that of the values, and two registries are "+notBuilt, "write the same one")
	}
}

func (e *examination) readSinkConverters() {
	e.converters.value = e.converter("value.converter", AvroConverter)
	e.registry = e.readRegistry("value.converter.", true)
}

// readRegistry reads where schemas are kept, from the keys under prefix and the worker's under the same prefix.
func (e *examination) readRegistry(prefix string, needed bool) Registry {
	p := properties{}
	for key := range e.c.Config {
		m, ok := find(e.c.Kind, key)
		if !ok || m.unknownIn != "" || !strings.HasPrefix(m.canonical, prefix) {
			continue
		}
		text, known := e.values[m.canonical]
		p[strings.TrimPrefix(m.canonical, prefix)] = property{entry: m.entry, key: key, text: text, known: known}
	}
	for _, key := range e.w.keys() {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if m, ok := findIn([][]entry{converterKeys}, name); ok {
			e.fromWorker(p, converterKeys, m.canonical, key)
		} else {
			e.fromWorker(p, converterKeys, name, key)
		}
	}
	r := Registry{ValueSubject: e.subjects(p, "value"), KeySubject: e.subjects(p, "key")}
	if !p.given("schema.registry.url") {
		if needed {
			e.missing(prefix+"schema.registry.url", "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL",
				"is not given, and Avro needs a schema registry", "the schema registry: a run needs CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL")
		}
		return r
	}
	e.readRegistryURLs(&r, p)
	e.readRegistryUser(&r, p, prefix)
	e.readRegistryToken(&r, p, prefix)
	r.TLS = e.readTLS(p, "schema.registry.ssl.", prefix+"schema.registry.ssl.")
	return r
}

// subjects reads how subjects are named: by the setting for values or keys, else by the one for both. A sink of
// Confluent Cloud has them among its own keys.
func (e *examination) subjects(p properties, side string) SubjectStrategy {
	names := []string{p.get(side + ".subject.name.strategy"), p.get("subject.name.strategy")}
	if side == "value" {
		names = append(names, e.values["value.subject.name.strategy"], e.values["subject.name.strategy"])
	}
	for _, name := range names {
		switch s := SubjectStrategy(simpleClass(name)); s {
		case TopicNameStrategy, RecordNameStrategy, TopicRecordNameStrategy:
			return s
		}
	}
	return ""
}

// readRegistryUser reads the user and the password of basic.auth.credentials.source; those in the URLs are read already.
func (e *examination) readRegistryUser(r *Registry, p properties, prefix string) {
	const sourceKey = "basic.auth.credentials.source"
	info := p["basic.auth.user.info"]
	switch source := strings.ToUpper(p.get(sourceKey)); {
	case source == "USER_INFO":
		user, password, ok := strings.Cut(info.text, ":")
		switch {
		case info.key == "":
			e.fail(p.key(sourceKey, ""), "is USER_INFO, and basic.auth.user.info is missing", "write "+prefix+"basic.auth.user.info=${gcpsecret:…}, which holds user:password")
		case info.known && !ok:
			e.fail(info.key, "is not user:password", "write the user, a colon and the password")
		case info.known:
			r.User, r.Password = user, secret.New(password)
			if e.running() {
				e.resolver.Hide(password)
			}
		}
	case p.given("basic.auth.user.info"):
		e.warn(info.key, "is not used: Connect reads it only with basic.auth.credentials.source=USER_INFO", "write "+prefix+"basic.auth.credentials.source=USER_INFO")
	case source == "SASL_INHERIT":
		e.inheritSASL(r, p, prefix)
	}
}

// inheritSASL takes the user and the password of the converter's own sasl.jaas.config, else those of the Kafka client.
func (e *examination) inheritSASL(r *Registry, p properties, prefix string) {
	sasl := e.kafka.SASL
	if p.given("sasl.jaas.config") {
		mechanism := "PLAIN"
		if strings.Contains(p.get("sasl.jaas.config"), "ScramLoginModule") {
			mechanism = "SCRAM-SHA-512"
		}
		p["sasl.mechanism"] = property{key: prefix + "sasl.mechanism", text: mechanism, known: true}
		sasl = e.readSASL(p, prefix)
	}
	if sasl.User == "" && len(e.problems.Errors()) == 0 {
		e.fail(p.key("basic.auth.credentials.source", ""), "is SASL_INHERIT, and the Kafka client has no user and password (sasl.mechanism PLAIN or SCRAM)",
			"write "+prefix+"sasl.jaas.config, or USER_INFO and "+prefix+"basic.auth.user.info=${gcpsecret:…}")
	}
	r.User, r.Password = sasl.User, sasl.Password
}

// readRegistryToken reads a bearer token.
func (e *examination) readRegistryToken(r *Registry, p properties, prefix string) {
	const sourceKey, bearerKey = "bearer.auth.credentials.source", "bearer.auth.token" //nolint:gosec // names of keys
	token := p[bearerKey]
	switch {
	case p.given(sourceKey) && !p.given(bearerKey):
		e.fail(p.key(sourceKey, ""), "asks for a bearer token, and bearer.auth.token is missing", "write "+prefix+bearerKey+"=${gcpsecret:…}")
	case p.given(bearerKey) && !p.given(sourceKey):
		e.warn(token.key, "is not used: Confluent's client reads it only with bearer.auth.credentials.source=STATIC_TOKEN", "write "+prefix+sourceKey+"=STATIC_TOKEN")
	case token.known && token.text != "":
		if r.User != "" {
			e.fail(token.key, "is given, and a user and a password too", "leave one of them out")
			return
		}
		r.Token = secret.New(token.text)
		if e.running() {
			e.resolver.Hide(token.text)
		}
	}
}

// readRegistryURLs takes user and password out of the URLs, where Connect looks for them by default.
func (e *examination) readRegistryURLs(r *Registry, p properties) {
	for _, one := range commaList(p.get("schema.registry.url")) {
		u, err := url.Parse(one)
		if err != nil {
			continue
		}
		if u.User != nil {
			password, _ := u.User.Password()
			r.User, r.Password = u.User.Username(), secret.New(password)
			if e.running() {
				e.resolver.Hide(password)
			}
			u.User = nil
		}
		r.URLs = append(r.URLs, strings.TrimSuffix(u.String(), "/"))
	}
}
