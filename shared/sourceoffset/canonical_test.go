package sourceoffset

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDecodeCanonicalReadsWhatIsWritten(t *testing.T) {
	s := fullState()
	s.Base = NewBase(map[string]Known{"": {Fingerprint: fp(1)}, "a": {Fingerprint: fp(2), MissingSince: noon.Truncate(time.Second)}, "a~": {Fingerprint: fp(3)}})
	body := encodeState(s)
	got, ok := decodeCanonical(body)
	want, err := decodeAny(body)
	if err != nil || !ok || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(got.Base, s.Base) {
		t.Fatalf("%+v (%t), want %+v (%v)", got, ok, want, err)
	}
}

// Whatever is written in another way is left to decodeAny, also where it means the same.
func TestDecodeCanonicalLeavesTheRest(t *testing.T) {
	s := State{Partition: Partition{Connector: "c"}, Topic: "t", Kind: Snapshot,
		Base: NewBase(map[string]Known{"a": {Fingerprint: fp(1)}, "b": {Fingerprint: fp(2), MissingSince: noon.Truncate(time.Second)}})}
	body := string(encodeState(s))
	if _, ok := decodeCanonical([]byte(body)); !ok {
		t.Fatalf("%s is not read", body)
	}
	for name, change := range map[string][2]string{
		"a space":                    {`{"base":{`, `{"base": {`},
		"a space before a colon":     {`"a":`, `"a" :`},
		"an escape":                  {`"a":`, `"\u0061":`},
		"no ASCII":                   {`"b":`, `"é":`},
		"a key twice":                {`"b":`, `"a":`},
		"keys that are not sorted":   {`"a":`, `"c":`},
		"no fingerprint":             {`"a":"`, `"a":"!`},
		"a fingerprint of more bits": {fp(1).String(), strings.Replace(fp(1).String(), fp(1).String()[21:], "B", 1)},
		"a time with an offset":      {`Z"]`, `+00:00"]`},
		"a time that is none":        {`2026-`, `2026+`},
		"a pair of three":            {`Z"]`, `Z",""]`},
		"a base twice":               {`,"commits"`, `,"base":{},"commits"`},
		"a wrong sum":                {`"sum":"`, `"sum":"0`},
		"a log":                      {`"kind":"snapshot"`, `"kind":"timestamp"`},
		"a newer format":             {`"minReader":1`, `"minReader":3`},
		"no base":                    {`{"base":{`, `{"bases":{`},
		"an end":                     {body[len(body)/2:], ``},
		"more":                       {`"}`, `"} {}`},
	} {
		changed := strings.Replace(body, change[0], change[1], 1)
		if name == "more" {
			changed = body + " {}"
		}
		if changed == body {
			t.Fatalf("%s: nothing was changed in %s", name, body)
		}
		if got, ok := decodeCanonical([]byte(changed)); ok {
			t.Errorf("%s: %s is read as %+v", name, changed, got)
		}
	}
}
