package connector

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/secret"
)

// given is a value as a check sees it: references resolved, blanks around it gone.
type given struct {
	text string
	// show is how messages may quote it.
	show string
	// raw is the value as it is written, where references stand for themselves.
	raw string
}

// finding is what a check says of a value. The zero finding says nothing: the table's class and reason hold.
type finding struct {
	class      Class
	reason     string
	severity   Severity
	text       string
	suggestion string
}

type check func(given) finding

const notBuilt = "known, not built yet"

func bad(text, suggestion string) finding {
	return finding{class: Refused, reason: text, severity: Error, text: text, suggestion: suggestion}
}

func unbuilt(v given, suggestion string) finding {
	return finding{class: Refused, reason: notBuilt, severity: Error,
		text: fmt.Sprintf("%s is %s, and would change what is written", v.show, notBuilt), suggestion: suggestion}
}

// always refuses every value but the empty one.
func always(why, suggestion string) check {
	return func(v given) finding {
		if v.text == "" {
			return finding{class: Ignored, reason: "empty, so nothing is asked for"}
		}
		return bad(why, suggestion)
	}
}

// later is for keys that are not built: only values that ask for nothing are taken.
func later(harmless ...string) check {
	return func(v given) finding {
		if v.text == "" || slices.Contains(harmless, v.text) {
			return finding{class: Honoured, reason: "asks for what is done anyway (other values are " + notBuilt + ")"}
		}
		if len(harmless) == 0 {
			return unbuilt(v, "take it out")
		}
		return unbuilt(v, "take it out, or write "+harmless[0])
	}
}

// choice takes the values in built, refuses those in unready as not built yet, and any other as wrong.
func choice(built []string, unready ...string) check {
	return func(v given) finding {
		switch {
		case slices.Contains(built, v.text):
			return finding{}
		case slices.Contains(unready, v.text):
			return unbuilt(v, "write "+strings.Join(built, " or "))
		}
		return bad(fmt.Sprintf("%s is not one of %s", v.show, strings.Join(append(slices.Clone(built), unready...), ", ")),
			"write "+strings.Join(built, " or "))
	}
}

// caseless is choice for values that are taken in any case.
func caseless(built []string, unready ...string) check {
	inner := choice(built, unready...)
	return func(v given) finding {
		for _, known := range append(slices.Clone(built), unready...) {
			if strings.EqualFold(known, v.text) {
				v.text = known
			}
		}
		return inner(v)
	}
}

// class is choice for the names of Java classes: full, or the simple name alone.
func class(built []string, unready ...string) check {
	return func(v given) finding {
		simple := simpleClass(v.text)
		switch {
		case slices.Contains(built, simple):
			return finding{}
		case slices.Contains(unready, simple):
			return unbuilt(v, "write the class whose name ends in "+built[0])
		}
		return bad(v.show+" is a class that riftline has no counterpart of", "write the class whose name ends in "+built[0])
	}
}

// schemaCompatibility takes the levels that Confluent's sinks know. They take every other text for NONE without a word,
// the registry's transitive levels too.
func schemaCompatibility(v given) finding {
	f := caseless([]string{CompatibilityNone, CompatibilityBackward, CompatibilityForward, CompatibilityFull})(v)
	if f.text == "" {
		return finding{}
	}
	return bad(v.show+" means NONE to Confluent's sinks, as every text but BACKWARD, FORWARD and FULL does", "write NONE to keep it so, or one of the three")
}

func boolean(v given) finding {
	switch strings.ToLower(v.text) {
	case "true", "false":
		return finding{}
	}
	return bad(v.show+" is neither true nor false", `write "true" or "false"`)
}

// mustBe is a boolean of which one value is not built.
func mustBe(want string) check {
	return func(v given) finding {
		if f := boolean(v); f.text != "" {
			return f
		}
		return later(want)(given{text: strings.ToLower(v.text), show: v.show})
	}
}

// whole takes integers from least to most.
func whole(least, most int64) check {
	return func(v given) finding {
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil {
			return bad(v.show+" is not an integer", fmt.Sprintf("write a number from %d to %d", least, most))
		}
		if n < least || n > most {
			return bad(fmt.Sprintf("%s is out of range", v.show), fmt.Sprintf("write a number from %d to %d", least, most))
		}
		return finding{}
	}
}

const maxInt = 1<<31 - 1

var (
	anyInt   = whole(-maxInt-1, maxInt)
	count    = whole(0, maxInt)
	positive = whole(1, maxInt)
	anyLong  = whole(-1<<63, 1<<63-1)
)

var topicPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func validTopic(name string) bool {
	return topicPattern.MatchString(name) && name != "." && name != ".."
}

func topic(v given) finding {
	if !validTopic(v.text) {
		return bad(v.show+" is not a topic's name", `1 to 249 letters, digits, ".", "_" and "-"`)
	}
	return finding{}
}

func topicList(v given) finding {
	list := commaList(v.text)
	if len(list) == 0 {
		return bad("names no topic", "write topics, separated by commas")
	}
	seen := map[string]bool{}
	for _, name := range list {
		if !validTopic(name) {
			return bad(fmt.Sprintf("%s holds what is not a topic's name", v.show), `1 to 249 letters, digits, ".", "_" and "-", separated by commas`)
		}
		if seen[name] {
			return bad(fmt.Sprintf("%s names a topic twice", v.show), "name it once")
		}
		seen[name] = true
	}
	return finding{}
}

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

func bucketName(v given) finding {
	if strings.HasPrefix(v.text, "gs://") {
		return bad(v.show+" is a URL, not a bucket's name", "write the name alone, without gs://")
	}
	if !bucketPattern.MatchString(v.text) {
		return bad(v.show+" is not a bucket's name", "3 to 222 lower-case letters, digits, \"-\", \"_\" and \".\", a letter or digit first and last")
	}
	return finding{}
}

func httpURL(v given) finding {
	u, err := url.Parse(v.text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return bad("is not an http or https URL", "write https://host/path")
	}
	return finding{}
}

// requestURL is httpURL for a URL that may be a template.
func requestURL(v given) finding {
	v.text = plainURL(v.text)
	return httpURL(v)
}

func urlList(v given) finding {
	list := commaList(v.text)
	if len(list) == 0 {
		return bad("names no URL", "write http://registry:8081")
	}
	for _, one := range list {
		if f := httpURL(given{text: one, show: "the URL"}); f.text != "" {
			return f
		}
	}
	return finding{}
}

func pointer(v given) finding {
	if !validPointer(v.text) {
		return bad(v.show+" is not a JSON pointer", `write "/name" or "/outer/inner"; "/" is the whole`)
	}
	return finding{}
}

var pointerEscape = regexp.MustCompile(`~($|[^01])`)

func validPointer(text string) bool {
	return (text == "" || text[0] == '/') && !pointerEscape.MatchString(text)
}

func pointerList(v given) finding {
	for _, one := range commaList(v.text) {
		if f := pointer(given{text: one, show: quote(one)}); f.text != "" {
			return f
		}
	}
	return finding{}
}

func offsetPointers(v given) finding {
	pairs, err := pairList(v.text)
	if err != nil {
		return bad(err.Error(), "write name=/pointer, separated by commas: key=/puuid")
	}
	for _, p := range pairs {
		if f := pointer(given{text: p.value, show: quote(p.value)}); f.text != "" {
			return f
		}
	}
	return finding{}
}

func offsetPairs(v given) finding {
	if _, err := pairList(v.text); err != nil {
		return bad(err.Error(), "write name=value, separated by commas")
	}
	return finding{}
}

func codes(v given) finding {
	if _, err := codeRanges(v.text); err != nil {
		return bad(err.Error(), `write codes and ranges, separated by commas: "200..299, 304"`)
	}
	return finding{}
}

func paramList(v given) finding {
	masked, _ := template.Cut(v.text)
	for part := range strings.SplitSeq(masked, "&") {
		if part = strings.TrimSpace(part); part != "" && !strings.Contains(part, "=") {
			return bad("has a part without \"=\"", `write "a=b & c=d"`)
		}
	}
	return finding{}
}

func span(v given) finding {
	if d, err := parseSpan(v.text); err != nil || d <= 0 {
		return bad(v.show+" is not a length of time", `write "30d", "12h" or "90m"`)
	}
	return finding{}
}

// parseSpan reads a Go duration, or whole days ("30d").
func parseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 64)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is not a number of days", shorten(text))
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

var cronField = regexp.MustCompile(`^[0-9A-Za-z*/,\-]+$`)

func cron(v given) finding {
	fields := strings.Fields(v.text)
	if len(fields) != 5 || slices.ContainsFunc(fields, func(f string) bool { return !cronField.MatchString(f) }) {
		return bad(v.show+" is not a cron schedule", `write five fields: "*/5 * * * *" is every five minutes`)
	}
	return finding{}
}

func fraction(v given) finding {
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || !(f > 0 && f <= 1) {
		return bad(v.show+" is not a part of a whole", "write a number above 0 and up to 1")
	}
	return finding{}
}

// quote quotes a value for a message.
func quote(s string) string { return strconv.Quote(shorten(s)) }

func headers(v given) finding {
	// A whole list behind one reference can be judged only when it is resolved.
	if secret.Without(v.text) == "" && v.text != "" {
		return finding{}
	}
	if _, err := splitHeaders(v.text); err != nil {
		return bad(err.Error(), `write "Name: Value, Name2: Value2", and \, for a comma inside a value`)
	}
	return finding{}
}

func brokers(v given) finding {
	list := commaList(v.text)
	if len(list) == 0 {
		return bad("names no broker", "write host:port, separated by commas")
	}
	for _, one := range list {
		if _, after, ok := strings.Cut(one, "://"); ok {
			one = after
		}
		host, port, err := net.SplitHostPort(one)
		n, portErr := strconv.Atoi(port)
		if err != nil || host == "" || portErr != nil || n < 1 || n > 65535 {
			return bad(v.show+" holds what is not host:port", "write host:port, separated by commas")
		}
	}
	return finding{}
}

// proxyHost takes the name or the address of a host. Nothing else could be reached, and a user's password that stands
// before the host would be in every message of a failed connection.
func proxyHost(v given) finding {
	host := strings.TrimSuffix(strings.TrimPrefix(v.text, "["), "]")
	if net.ParseIP(host) == nil && strings.ContainsAny(v.text, ":/@ \t?#[]") {
		return bad(v.show+" is not a host", "write the host alone; port, user and password are http.client.proxy.port, …username and …password")
	}
	return finding{}
}

func delimiter(v given) finding {
	if v.text == "" || strings.ContainsAny(v.text, "\r\n") {
		return bad(v.show+" can not stand between the parts of a name", `write "/" or "+"`)
	}
	return finding{}
}

// credentialsJSON says nothing of what is in the value.
func credentialsJSON(v given) finding {
	var key struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal([]byte(v.text), &key); err != nil {
		return bad("is not JSON", "write the service account's key file as one string, or better a reference: ${gcpsecret:NAME}")
	}
	if key.Type == "" {
		return bad("is JSON, and no credential of Google's: it has no \"type\"", "write the service account's key file as one string, or better a reference: ${gcpsecret:NAME}")
	}
	return finding{}
}

const keytool = "convert it: keytool -importkeystore -srckeystore FILE.jks -destkeystore FILE.p12 -deststoretype PKCS12; then write PKCS12"

func storeType(v given) finding {
	switch strings.ToUpper(v.text) {
	case "PEM", "PKCS12":
		return finding{}
	case "JKS":
		return bad("JKS is Java's own format and is not read", keytool)
	}
	return bad(v.show+" is not a store that can be read", "write PEM or PKCS12")
}

func hostCheck(v given) finding {
	if v.text == "" || strings.EqualFold(v.text, "https") {
		return finding{}
	}
	return bad(v.show+" is not a way to check a host's name", `write "https", or leave it empty`)
}

// isolation takes read_uncommitted too, which is the Java client's default and what Connect reads with.
func isolation(v given) finding {
	if v.text == "read_uncommitted" {
		return finding{class: Advised, reason: "read_committed all the same", severity: Warning,
			text: "read_committed is used all the same: what a poll did not commit must not be archived", suggestion: "take it out"}
	}
	return choice([]string{"read_committed"})(v)
}
