package sourceoffset

import (
	"bytes"
	"encoding/base64"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/record"
)

// baseBegins is how every object begins that this package writes.
const baseBegins = `{"base":{`

// fingerprintLen is how many characters a fingerprint has.
var fingerprintLen = base64.RawURLEncoding.EncodedLen(len(Fingerprint{}))

// decodeCanonical reads a body whose base is as this package writes it, which most of an object is: its keys sorted and
// without an escape. false means no more than that decodeAny has to read the body.
func decodeCanonical(body []byte) (State, bool) {
	if !bytes.HasPrefix(body, []byte(baseBegins)) {
		return State{}, false
	}
	c := canonical{text: string(body[len(baseBegins):])}
	base, ok := c.base()
	if !ok {
		return State{}, false
	}
	// What is left is read as any other object, with an empty base.
	rest := append([]byte(baseBegins+"}"), c.text[c.at:]...)
	kind, err := checkVersion(rest)
	if err != nil || kind != Snapshot {
		return State{}, false
	}
	s, err := decode(rest, kind, &readBefore{base: base, body: body})
	return s, err == nil
}

// readBefore is a base that was read already, and the body that it was in.
type readBefore struct {
	base Base
	body []byte
}

// canonical reads a base behind its brace.
type canonical struct {
	text string
	at   int
}

func (c *canonical) base() (Base, bool) {
	var b Base
	for before := ""; ; {
		from := c.at
		key, ok := c.key()
		if !ok || b.list != nil && key <= before {
			return b, false
		}
		known, ok := c.known()
		if !ok {
			return b, false
		}
		if b.list == nil {
			// The other members are about as long as the first one.
			b.list = make([]knownKey, 0, (len(c.text)-from)/(c.at-from+1)+1)
		}
		b.list, before = append(b.list, knownKey{key, known}), key
		switch {
		case c.take(`,`):
		case c.take(`}`):
			return b, true
		default:
			return b, false
		}
	}
}

func (c *canonical) take(s string) bool {
	if !strings.HasPrefix(c.text[c.at:], s) {
		return false
	}
	c.at += len(s)
	return true
}

// key reads a name and the colon behind it.
func (c *canonical) key() (string, bool) {
	if !c.take(`"`) {
		return "", false
	}
	rest := c.text[c.at:]
	n := record.PlainLen(rest)
	c.at += n
	return rest[:n], c.take(`":`)
}

// known reads "fingerprint" or ["fingerprint","missing since"].
func (c *canonical) known() (k Known, ok bool) {
	missing := c.take(`[`)
	if !c.take(`"`) || len(c.text)-c.at < fingerprintLen {
		return k, false
	}
	n, err := strictBase64.Decode(k.Fingerprint[:], []byte(c.text[c.at:c.at+fingerprintLen]))
	c.at += fingerprintLen
	if err != nil || n != len(k.Fingerprint) || !c.take(`"`) {
		return k, false
	}
	if !missing {
		return k, true
	}
	const length = len("2006-01-02T15:04:05Z")
	if !c.take(`,"`) || len(c.text)-c.at < length {
		return k, false
	}
	k.MissingSince, err = time.Parse("2006-01-02T15:04:05Z", c.text[c.at:c.at+length])
	k.MissingSince = k.MissingSince.UTC()
	if err != nil || k.MissingSince.Format(time.RFC3339) != c.text[c.at:c.at+length] {
		return k, false
	}
	c.at += length
	return k, c.take(`"]`)
}
