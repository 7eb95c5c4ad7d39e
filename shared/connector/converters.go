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
	var r Registry
	if !p.given("schema.registry.url") {
		if needed {
			e.missing(prefix+"schema.registry.url", "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL",
				"is not given, and Avro needs a schema registry", "the schema registry: a run needs CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL")
		}
		return r
	}
	e.readRegistryURLs(&r, p)
	if strings.EqualFold(p.get("basic.auth.credentials.source"), "USER_INFO") {
		info := p["basic.auth.user.info"]
		user, password, ok := strings.Cut(info.text, ":")
		switch {
		case info.key == "":
			e.fail(p.key("basic.auth.credentials.source", ""), "is USER_INFO, and basic.auth.user.info is missing", "write "+prefix+"basic.auth.user.info=${gcpsecret:…}, which holds user:password")
		case info.known && !ok:
			e.fail(info.key, "is not user:password", "write the user, a colon and the password")
		case info.known:
			r.User, r.Password = user, secret.New(password)
			if e.running() {
				e.resolver.Hide(password)
			}
		}
	} else if p.given("basic.auth.user.info") {
		e.warn(p.key("basic.auth.user.info", ""), "is not used: Connect reads it only with basic.auth.credentials.source=USER_INFO", "write "+prefix+"basic.auth.credentials.source=USER_INFO")
	}
	r.TLS = e.readTLS(p, "schema.registry.ssl.", prefix+"schema.registry.ssl.")
	return r
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
