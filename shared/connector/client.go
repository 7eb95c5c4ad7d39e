package connector

import (
	"maps"
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/secret"
)

// property is one property of a Kafka client or of a registry client.
type property struct {
	entry
	// key is how the user knows it: a key of the file, or an environment name.
	key string
	// text is the resolved value; for sasl.jaas.config the value as it is written.
	text string
	// known is false when the value hangs on a reference that is not resolved here.
	known bool
}

type properties map[string]property

func (p properties) get(name string) string { return p[name].text }

// key names a property in a message, also one that nobody gave.
func (p properties) key(name, otherwise string) string {
	if given, ok := p[name]; ok {
		return given.key
	}
	return otherwise
}

func (p properties) given(name string) bool {
	got, ok := p[name]
	return ok && (got.text != "" || !got.known)
}

// clientProperties gathers the properties of this connector's Kafka client.
func (e *examination) clientProperties() (p properties, prefix string) {
	p, prefix = properties{}, "producer.override."
	side, table := "producer.", producerKeys
	if e.c.Kind == SinkKind {
		prefix, side, table = "consumer.override.", "consumer.", consumerKeys
	}
	file := map[string]string{}
	for key := range e.c.Config {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			file[name] = key
		}
	}
	if _, ok := e.c.Config["bootstrap.servers"]; ok && (file["bootstrap.servers"] == "" || e.c.overrides["bootstrap.servers"]) {
		file["bootstrap.servers"] = "bootstrap.servers"
	}
	for _, name := range slices.Sorted(maps.Keys(file)) {
		if m, ok := findIn([][]entry{table}, name); ok && m.unknownIn == "" {
			text, known := e.values[file[name]]
			p[name] = property{entry: m.entry, key: file[name], text: text, known: known}
		}
	}
	for _, key := range e.w.keys() {
		if name, ok := strings.CutPrefix(key, side); ok {
			e.fromWorker(p, table, name, key)
		}
	}
	for _, key := range e.w.keys() {
		if key == "bootstrap.servers" || key == "security.protocol" || strings.HasPrefix(key, "sasl.") || strings.HasPrefix(key, "ssl.") {
			e.fromWorker(p, table, key, key)
		}
	}
	return p, prefix
}

// fromWorker adds a property of the worker unless something nearer gave it.
func (e *examination) fromWorker(p properties, table []entry, name, workerKey string) {
	raw, env, _ := e.w.get(workerKey)
	if _, ok := p[name]; ok {
		return
	}
	m, ok := findIn([][]entry{table}, name)
	if !ok || m.unknownIn != "" {
		e.verdicts = append(e.verdicts, Verdict{Key: workerKey, Value: secret.Mask(raw), From: env, Class: Unknown, Reason: "no client property that is known; it is not read"})
		e.warn(env, "is no client property that is known, and is not read", "take it out")
		return
	}
	p[name] = e.judgeWorker(m.entry, workerKey, env, raw)
}

// judgeWorker gives the verdict on a setting of the worker.
func (e *examination) judgeWorker(m entry, name, env, raw string) property {
	raw = strings.TrimSpace(raw)
	v := Verdict{Key: name, Value: show(m, raw), From: env, Class: m.class, Reason: m.reason}
	got := property{entry: m, key: env, text: raw, known: true}
	if m.shape != jaasShape && m.class != Ignored {
		got.text, got.known = e.resolve(env, raw, m.shape != open)
		got.text = strings.TrimSpace(got.text)
	}
	if got.known && m.check != nil {
		f := m.check(given{text: got.text, show: e.quoted(m, raw, got.text), raw: raw})
		v.Class, v.Reason = cmpClass(f.class, v.Class), cmpText(f.reason, v.Reason)
		if f.severity != 0 {
			e.add(Problem{Key: env, Severity: f.severity, Text: f.text, Suggestion: f.suggestion})
		}
	}
	if e.running() {
		for _, one := range inline(m, raw) {
			e.resolver.Hide(one)
		}
	}
	e.verdicts = append(e.verdicts, v)
	return got
}

// readKafka reads how the brokers are reached.
func (e *examination) readKafka() Kafka {
	p, prefix := e.clientProperties()
	k := Kafka{Protocol: "PLAINTEXT", ClientID: "riftline-" + e.c.Name, Client: map[string]string{}}
	if protocol := p.get("security.protocol"); protocol != "" {
		k.Protocol = strings.ToUpper(protocol)
	}
	if id := p.get("client.id"); id != "" {
		k.ClientID = id
	}
	for _, one := range commaList(p.get("bootstrap.servers")) {
		if _, after, ok := strings.Cut(one, "://"); ok {
			one = after
		}
		k.Brokers = append(k.Brokers, one)
	}
	if !p.given("bootstrap.servers") {
		e.missing("bootstrap.servers", "CONNECT_BOOTSTRAP_SERVERS", "is not given, so no Kafka broker is known", "the brokers: a run needs CONNECT_BOOTSTRAP_SERVERS")
	}
	protocolKnown := !p.given("security.protocol") || p["security.protocol"].known
	switch {
	case strings.HasPrefix(k.Protocol, "SASL"):
		k.SASL = e.readSASL(p, prefix)
	case p.given("sasl.jaas.config") && protocolKnown:
		e.warn(p.key("sasl.jaas.config", ""), "is not used, since security.protocol is "+k.Protocol, "write "+prefix+"security.protocol=SASL_SSL")
	}
	if strings.HasSuffix(k.Protocol, "SSL") {
		k.TLS = e.readTLS(p, "ssl.", prefix+"ssl.")
	}
	for name, one := range p {
		if one.known && one.text != "" && one.class == Honoured && passed[name] {
			k.Client[name] = one.text
		}
	}
	return k
}

// passed are the client properties that go on to the Kafka client by name.
var passed = map[string]bool{
	"client.rack": true, "request.timeout.ms": true, "retry.backoff.ms": true, "retry.backoff.max.ms": true,
	"metadata.max.age.ms": true, "connections.max.idle.ms": true, "socket.connection.setup.timeout.ms": true,
	"transaction.timeout.ms": true, "linger.ms": true, "batch.size": true, "compression.type": true,
	"max.request.size": true, "buffer.memory": true, "delivery.timeout.ms": true,
	"auto.offset.reset": true, "fetch.max.bytes": true, "max.partition.fetch.bytes": true, "fetch.min.bytes": true,
	"fetch.max.wait.ms": true,
}

// missing says that a setting comes from the worker: an error of a start, a row of validate.
func (e *examination) missing(key, env, text, reason string) {
	e.lacking = append(e.lacking, env)
	switch {
	case e.o.Local:
		e.verdicts = append(e.verdicts, Verdict{Key: key, From: fromDefault, Class: Honoured, Reason: "an embedded one stands in"})
	case e.running() || e.o.Worker:
		e.fail(key, text, "set "+env+", or "+key+" among the overrides")
	default:
		e.verdicts = append(e.verdicts, Verdict{Key: key, From: fromDefault, Class: Advised, Reason: reason})
	}
}

// readSASL reads who the client is.
func (e *examination) readSASL(p properties, prefix string) SASL {
	mechanism := strings.ToUpper(p.get("sasl.mechanism"))
	if !p.given("sasl.mechanism") {
		e.fail(p.key("security.protocol", prefix+"sasl.mechanism"), "asks for SASL, and no sasl.mechanism is given", "write "+prefix+"sasl.mechanism=PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, or CONNECT_SASL_MECHANISM")
		return SASL{}
	}
	s := SASL{Mechanism: mechanism}
	login, key, ok := e.readLogin(p, prefix, mechanism)
	if !ok {
		return s
	}
	if mechanism == "OAUTHBEARER" {
		e.readOAuth(&s, p, prefix, login, key)
		return s
	}
	if strings.EqualFold(login.option("tokenauth"), "true") {
		e.fail(key, "asks for a delegation token, and those are "+notBuilt, "write a user's name and password")
	}
	user, password := login.option("username"), login.option("password")
	if user == "" || password == "" {
		e.fail(key, "has no username or no password", `write …LoginModule required username="…" password="${gcpsecret:…}";`)
		return s
	}
	s.User, _ = e.resolve(key, user, false)
	if text, ok := e.resolve(key, password, true); ok {
		s.Password = secret.New(text)
	}
	return s
}

// readLogin reads sasl.jaas.config. It is not ok when there is nothing to judge or something is wrong, which is then
// reported.
func (e *examination) readLogin(p properties, prefix, mechanism string) (login jaas, key string, ok bool) {
	var want string
	switch mechanism {
	case "PLAIN":
		want = "PlainLoginModule"
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		want = "ScramLoginModule"
	case "OAUTHBEARER":
		want = "OAuthBearerLoginModule"
	default:
		return jaas{}, "", false
	}
	key = p.key("sasl.jaas.config", prefix+"sasl.jaas.config")
	text := p.get("sasl.jaas.config")
	if text == "" {
		if mechanism == "OAUTHBEARER" {
			return jaas{}, key, true
		}
		e.fail(key, "is missing, and sasl.mechanism="+mechanism+" takes user and password from it", want+` required username="…" password="${gcpsecret:…}";`)
		return jaas{}, key, false
	}
	if secret.Without(text) == "" {
		if text, ok = e.resolve(key, text, true); !ok {
			return jaas{}, key, false
		}
		for _, one := range inline(entry{shape: jaasShape}, text) {
			e.resolver.Hide(one)
		}
	}
	login, err := parseJAAS(text)
	if err != nil {
		e.fail(key, err.Error(), want+` required username="…" password="${gcpsecret:…}";`)
		return jaas{}, key, false
	}
	if simpleClass(login.module) != want {
		e.fail(key, "names "+quote(showModule(login.module))+", which does not go with sasl.mechanism="+mechanism, "write the module whose name ends in "+want)
		return jaas{}, key, false
	}
	return login, key, true
}

// readOAuth reads where OAUTHBEARER's tokens come from: Google's credentials, or a token endpoint by the client
// credentials grant (KIP-768; the option names of KIP-1139 too).
func (e *examination) readOAuth(s *SASL, p properties, prefix string, login jaas, key string) {
	if simpleClass(p.get("sasl.login.callback.handler.class")) == "GcpLoginCallbackHandler" {
		s.Google = true
		return
	}
	for _, o := range login.options {
		if strings.HasPrefix(o.name, "unsecured") {
			e.fail(key, "asks for unsecured tokens, and those are "+notBuilt, "write clientId and clientSecret")
			return
		}
	}
	either := func(option, name string) string {
		if v := p.get(name); v != "" {
			return v
		}
		return login.option(option)
	}
	s.TokenEndpoint = p.get("sasl.oauthbearer.token.endpoint.url")
	s.ClientID, _ = e.resolve(key, either("clientId", "sasl.oauthbearer.client.credentials.client.id"), false)
	s.Scope, _ = e.resolve(key, either("scope", "sasl.oauthbearer.scope"), false)
	if text, ok := e.resolve(key, either("clientSecret", "sasl.oauthbearer.client.credentials.client.secret"), true); ok {
		s.ClientSecret = secret.New(text)
	}
	if !p.given("sasl.oauthbearer.token.endpoint.url") {
		e.fail(p.key("sasl.mechanism", prefix+"sasl.mechanism"), "is OAUTHBEARER, and nothing says where its tokens come from",
			"for Google Managed Kafka write sasl.login.callback.handler.class=com.google.cloud.hosted.kafka.auth.GcpLoginCallbackHandler, else sasl.oauthbearer.token.endpoint.url")
		return
	}
	if either("clientId", "sasl.oauthbearer.client.credentials.client.id") == "" ||
		either("clientSecret", "sasl.oauthbearer.client.credentials.client.secret") == "" && !p.given("sasl.oauthbearer.client.credentials.client.secret") {
		e.fail(key, "has no clientId or no clientSecret for the token endpoint", `write …OAuthBearerLoginModule required clientId="…" clientSecret="${gcpsecret:…}";`)
	}
}
