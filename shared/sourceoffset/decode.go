package sourceoffset

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/gzip"
)

// maxBody bounds the decompressed body. 10,000 keys take about 1 MB. Tests lower it.
var maxBody int64 = 256 << 20

// Decode reads an object's content. ErrDamaged, ErrNewer; never a State that was not written as it is.
func Decode(data []byte) (State, error) {
	buffer := bodies.Get().(*[]byte)
	body, err := decompress(data, buffer)
	if err != nil {
		return State{}, err
	}
	defer keep(buffer)
	if s, ok := decodeCanonical(body); ok {
		return s, nil
	}
	return decodeAny(body)
}

// decodeAny reads a body of any form.
func decodeAny(body []byte) (State, error) {
	kind, err := checkVersion(body)
	if err != nil {
		return State{}, err
	}
	return decode(body, kind, nil)
}

// decode reads a body, of which base may have been read before.
func decode(body []byte, kind Kind, before *readBefore) (State, error) {
	d := decoder{in: jsontext.NewDecoder(bytes.NewReader(body)), body: body, kind: kind, before: before}
	s, err := d.state()
	if err != nil {
		return State{}, err
	}
	if d.format < s.format() {
		return State{}, fmt.Errorf("%w: it holds what its format %d does not know", ErrDamaged, d.format)
	}
	if err := s.check(); err != nil {
		return State{}, err
	}
	return s, nil
}

// decompress takes a body that is not compressed as it is: a download may have been decompressed on its way, and the
// sum guards the body in both cases. Else the body lies in the buffer.
func decompress(data []byte, buffer *[]byte) ([]byte, error) {
	if len(data) < 2 || data[0] != 0x1f || data[1] != 0x8b {
		return data, nil
	}
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: decompressing: %w", ErrDamaged, err)
	}
	// The last four bytes say how large the content is (RFC 1952, ISIZE), which is no more than a hint: deflate makes at
	// most a thousandth of it.
	hint := min(int64(binary.LittleEndian.Uint32(data[len(data)-4:])), 1024*int64(len(data)), maxBody)
	body := bytes.NewBuffer(slices.Grow((*buffer)[:0], int(hint)+bytes.MinRead))
	if _, err := body.ReadFrom(io.LimitReader(zip, maxBody+1)); err != nil {
		return nil, fmt.Errorf("%w: decompressing: %w", ErrDamaged, err)
	}
	if int64(body.Len()) > maxBody {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrDamaged, maxBody)
	}
	*buffer = body.Bytes()
	return *buffer, nil
}

// checkVersion looks for the version first, and by itself, as a newer format may differ in everything else. It returns
// the kind, on which the form of base depends.
func checkVersion(body []byte) (kind Kind, err error) {
	// Names that repeat are found by the reading that follows; to look for them twice is most of a reading.
	in := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	if in.PeekKind() != '{' {
		return "", fmt.Errorf("%w: no JSON object", ErrDamaged)
	}
	if _, err := in.ReadToken(); err != nil {
		return "", fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	format, minReader := int64(-1), int64(-1)
	for in.PeekKind() == '"' {
		name, err := in.ReadToken()
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		var to *int64
		isKind := false
		switch name.String() {
		case "format":
			to = &format
		case "minReader":
			to = &minReader
		case "kind":
			isKind = in.PeekKind() == '"'
		}
		if !isKind && (to == nil || in.PeekKind() != '0') {
			if err := in.SkipValue(); err != nil {
				return "", fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			continue
		}
		value, err := in.ReadToken()
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if isKind {
			kind = Kind(value.String())
			continue
		}
		if *to, err = parseInt(value); err != nil {
			return "", err
		}
	}
	switch {
	case format < 1 || minReader < 1:
		return "", fmt.Errorf("%w: no format", ErrDamaged)
	case format > Format || minReader > Format:
		return "", fmt.Errorf("%w: format %d, and this version reads %d; update it", ErrNewer, format, Format)
	case kind != Snapshot && kind != Timestamp && kind != None:
		return "", fmt.Errorf("%w: unknown kind %q", ErrDamaged, kind)
	}
	return kind, nil
}

type decoder struct {
	// before is nil when nothing was read before.
	before *readBefore
	in     *jsontext.Decoder
	body   []byte
	kind   Kind
	sum    string
	// format is the lower one of format and minReader.
	format int64
	// sumFrom and sumTo are the bytes of the member sum and of the comma that goes with it.
	sumFrom, sumTo int64
}

func (d *decoder) state() (s State, err error) {
	err = d.object(func(name string, from int64) error {
		switch name {
		case "base":
			s.Base = NewBase(nil)
			if d.before != nil {
				s.Base, err = d.before.base, d.in.SkipValue()
			} else if d.kind == Snapshot {
				s.Base, err = d.base()
			} else {
				s.Cursor, err = d.cursor("base")
			}
		case "claim":
			s.Claim, err = d.claim()
		case "commits":
			s.Commits, err = d.integer()
		case "connector":
			s.Partition.Connector, err = d.text()
		case "fields":
			s.Fields, err = d.texts()
		case "format", "minReader":
			var n int64
			if n, err = d.integer(); d.format == 0 || n < d.format {
				d.format = n
			}
		case "intent":
			s.Intent, err = d.intent()
		case "kind":
			var kind string
			kind, err = d.text()
			s.Kind = Kind(kind)
		case "last":
			s.Last, err = d.id()
		case "lastMarkerTopic":
			s.LastMarkerTopic, err = d.text()
		case "limits":
			err = d.in.SkipValue()
		case "partition":
			s.Partition.Variables, err = d.variables()
		case "stopped":
			s.Stopped, err = d.text()
		case "sum":
			d.sumFrom = from
			d.sum, err = d.text()
			d.sumTo = d.in.InputOffset()
		case "topic":
			s.Topic, err = d.text()
		case "topicId":
			s.TopicID, err = d.topicID()
		default:
			err = fmt.Errorf("%w: unknown member %q", ErrNewer, name)
		}
		return err
	})
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return State{}, damaged(err)
	}
	return s, d.checkSum()
}

// damaged makes the JSON reader's errors ErrDamaged.
func damaged(err error) error {
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (d *decoder) checkSum() error {
	if d.sumTo == 0 {
		return fmt.Errorf("%w: no sum", ErrDamaged)
	}
	head, tail := d.body[:d.sumFrom], d.body[d.sumTo:]
	if d.before != nil {
		// Base comes first, so whatever it had more lies before the sum.
		whole := d.before.body
		head = whole[:len(whole)-len(d.body)+int(d.sumFrom)]
	}
	// The offset before a name is the end of the value before it, so a leading comma is inside the range. For a first
	// member the comma behind it goes.
	if len(head) > 0 && head[len(head)-1] == '{' && len(tail) > 0 && tail[0] == ',' {
		tail = tail[1:]
	}
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, tail)
	if got := fmt.Sprintf("%08x", sum); got != d.sum {
		return fmt.Errorf("%w: its sum is %s and should be %s", ErrDamaged, got, d.sum)
	}
	return nil
}

// end fails when anything but white space follows.
func (d *decoder) end() error {
	if _, err := d.in.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one JSON value", ErrDamaged)
	}
	return nil
}

// object reads an object; from is the offset behind what comes before the name.
func (d *decoder) object(member func(name string, from int64) error) error {
	open, err := d.in.ReadToken()
	if err != nil {
		return err
	}
	if open.Kind() != '{' {
		return fmt.Errorf("%w: %v where an object belongs", ErrDamaged, open.Kind())
	}
	for {
		from := d.in.InputOffset()
		name, err := d.in.ReadToken()
		if err != nil {
			return err
		}
		if name.Kind() == '}' {
			return nil
		}
		if err := member(name.String(), from); err != nil {
			return err
		}
	}
}

// text reads a string; null is the empty one.
func (d *decoder) text() (string, error) {
	t, err := d.in.ReadToken()
	if err != nil {
		return "", err
	}
	switch t.Kind() {
	case '"':
		return t.String(), nil
	case 'n':
		return "", nil
	}
	return "", fmt.Errorf("%w: %v where a string belongs", ErrDamaged, t.Kind())
}

func (d *decoder) texts() ([]string, error) {
	t, err := d.in.ReadToken()
	if err != nil {
		return nil, err
	}
	if t.Kind() != '[' {
		return nil, fmt.Errorf("%w: %v where an array belongs", ErrDamaged, t.Kind())
	}
	var list []string
	for d.in.PeekKind() == '"' {
		s, err := d.text()
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	if t, err = d.in.ReadToken(); err != nil {
		return nil, err
	}
	if t.Kind() != ']' {
		return nil, fmt.Errorf("%w: %v among names", ErrDamaged, t.Kind())
	}
	return list, nil
}

func (d *decoder) integer() (int64, error) {
	t, err := d.in.ReadToken()
	if err != nil {
		return 0, err
	}
	return parseInt(t)
}

func parseInt(t jsontext.Token) (n int64, err error) {
	if t.Kind() != '0' {
		return 0, fmt.Errorf("%w: %v where a number belongs", ErrDamaged, t.Kind())
	}
	n, err = strconv.ParseInt(t.String(), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %s where a count belongs", ErrDamaged, t.String())
	}
	return n, nil
}

// id reads the id of an intent or claim; null is none.
func (d *decoder) id() (string, error) {
	s, err := d.text()
	if err != nil || s == "" {
		return "", err
	}
	if b, err := hex.DecodeString(s); err != nil || len(b) != 16 {
		return "", fmt.Errorf("%w: %q is no id", ErrDamaged, s)
	}
	return s, nil
}

// instant reads a time. One that cannot be read is the zero time, which is long past: times decide who waits, never
// what is true.
func (d *decoder) instant() (time.Time, error) {
	s, err := d.text()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if t = t.UTC().Truncate(time.Millisecond); err != nil || t.Year() < 1 || t.Year() > 9999 {
		t = time.Time{}
	}
	return t, nil
}

func (d *decoder) variables() (m map[string]string, err error) {
	err = d.object(func(name string, _ int64) error {
		if m == nil {
			m = map[string]string{}
		}
		m[name], err = d.text()
		return err
	})
	return m, err
}

func (d *decoder) topicID() (id [16]byte, err error) {
	s, err := d.text()
	if err != nil {
		return id, err
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%w: %q is no topic id", ErrDamaged, s)
	}
	return [16]byte(b), nil
}

func (d *decoder) base() (Base, error) {
	// A key and what is known of it are rarely shorter.
	b := Base{make([]knownKey, 0, len(d.body)/256)}
	err := d.object(func(key string, _ int64) error {
		known, err := d.known()
		b.list = append(b.list, knownKey{key, known})
		return err
	})
	return b.sorted(), err
}

// known reads "fingerprint" or ["fingerprint","missing since"].
func (d *decoder) known() (k Known, err error) {
	array := d.in.PeekKind() == '['
	if array {
		if _, err := d.in.ReadToken(); err != nil {
			return k, err
		}
	}
	s, err := d.text()
	if err != nil {
		return k, err
	}
	if k.Fingerprint, err = ParseFingerprint(s); err != nil || !array {
		return k, err
	}
	if s, err = d.text(); err != nil {
		return k, err
	}
	k.MissingSince, err = time.Parse(time.RFC3339, s)
	if k.MissingSince = k.MissingSince.UTC(); err != nil || k.MissingSince.Format(time.RFC3339) != s {
		return k, fmt.Errorf("%w: %q is no time as it is written here", ErrDamaged, s)
	}
	t, err := d.in.ReadToken()
	if err != nil {
		return k, err
	}
	if t.Kind() != ']' {
		return k, fmt.Errorf("%w: %v behind a fingerprint", ErrDamaged, t.Kind())
	}
	return k, nil
}

func (d *decoder) intent() (*Intent, error) {
	if d.in.PeekKind() == 'n' {
		_, err := d.in.ReadToken()
		return nil, err
	}
	i := &Intent{}
	err := d.object(func(name string, _ int64) (err error) {
		switch name {
		case "at":
			i.At, err = d.instant()
		case "changes":
			if d.kind == Snapshot {
				i.Changes, err = d.changes()
			} else {
				i.Cursor, err = d.cursor("intent.changes")
			}
		case "id":
			i.ID, err = d.id()
		case "lease":
			i.Lease, err = d.lease()
		case "markerTopic":
			i.MarkerTopic, err = d.text()
		case "until":
			i.Until, err = d.instant()
		default:
			err = fmt.Errorf("%w: unknown member intent.%q", ErrNewer, name)
		}
		return err
	})
	return i, err
}

func (d *decoder) changes() ([]Change, error) {
	var list []Change
	err := d.object(func(key string, _ int64) error {
		s, err := d.text()
		if err != nil {
			return err
		}
		if s == "" {
			list = append(list, Change{Key: key})
			return nil
		}
		f, err := ParseFingerprint(s)
		list = append(list, Change{key, &f})
		return err
	})
	return SortChanges(list), err
}

func (d *decoder) claim() (*Claim, error) {
	if d.in.PeekKind() == 'n' {
		_, err := d.in.ReadToken()
		return nil, err
	}
	c := &Claim{}
	err := d.object(func(name string, _ int64) (err error) {
		switch name {
		case "at":
			c.At, err = d.instant()
		case "id":
			c.ID, err = d.id()
		case "until":
			c.Until, err = d.instant()
		default:
			err = fmt.Errorf("%w: unknown member claim.%q", ErrNewer, name)
		}
		return err
	})
	return c, err
}

// check looks for what an intact object of this format never holds.
func (s State) check() error {
	var what string
	switch {
	case s.Partition.Connector == "" || s.Topic == "":
		what = "no connector or topic"
	case s.Base.IsZero():
		what = "no base"
	case s.Kind == None && (s.Cursor.positioned() || s.Intent != nil && s.Intent.Cursor.positioned()):
		what = "a position with kind none"
	case s.Intent != nil && (s.Intent.ID == "" || (s.Intent.MarkerTopic == "") != (s.Intent.Lease != nil)):
		what = "an intent without id, or without either marker topic or lease"
	case s.Intent != nil && s.Intent.Lease != nil && !s.Intent.leaseHolds(s.Kind):
		what = "a lease without its end, watermarks or records"
	case s.Claim != nil && s.Claim.ID == "":
		what = "a claim without id"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrDamaged, what)
}
