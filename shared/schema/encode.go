package schema

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/record"
)

// kindsOfJSON is the number of record's kinds and one more for integers.
const kindsOfJSON = 7

const jsonInteger = 6

// compile finds, for a union, the branch that each kind of JSON value goes to.
func (n *node) compile() {
	if n.kind != kindUnion {
		return
	}
	for i := range n.branch {
		n.branch[i] = -1
	}
	set := func(at int, i int) {
		if n.branch[at] < 0 {
			n.branch[at] = int16(i)
		}
	}
	for i, b := range n.branches {
		switch b.kind {
		case kindNull:
			set(int(record.Null), i)
		case kindBoolean:
			set(int(record.Bool), i)
		case kindInt, kindLong:
			// A long takes every integer that an int takes.
			if at := n.branch[jsonInteger]; at >= 0 && n.branches[at].kind == kindInt {
				n.branch[jsonInteger] = -1
			}
			set(jsonInteger, i)
		case kindFloat, kindDouble:
			if at := n.branch[record.Number]; at >= 0 && n.branches[at].kind == kindFloat {
				n.branch[record.Number] = -1
			}
			set(int(record.Number), i)
		case kindString:
			set(int(record.String), i)
		case kindArray:
			set(int(record.Array), i)
		case kindRecord, kindMap:
			set(int(record.Object), i)
		}
	}
}

// FitError says where and why an entry does not fit its schema. It shows no value.
type FitError struct {
	// Path is a JSON pointer into the entry, or the name of a stamp.
	Path string
	// Reason is the rest of a sentence that begins with "the value".
	Reason string
}

// Error implements error.
func (e *FitError) Error() string {
	return fmt.Sprintf("writing %s: the value %s", e.Path, e.Reason)
}

func misfit(format string, args ...any) *FitError {
	return &FitError{Reason: fmt.Sprintf(format, args...)}
}

func (e *FitError) under(name string) *FitError {
	e.Path = "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1") + e.Path
	return e
}

// AppendBody appends the entry with its stamps to dst as Avro binary (Avro 1.12 specification, Binary Encoding).
// polledAt is written as milliseconds to polled_at, and null when stamps is nil. It builds nothing in between and
// allocates only when dst must grow.
//
// What does not fit is a [*FitError], and dst is returned as it came: a member that the schema does not have and that
// has content, a type that the schema does not take, an integer out of range, a null or a missing member where null is
// not allowed.
func (s *Schema) AppendBody(dst []byte, entry *record.Value, stamps []record.Field, polledAt time.Time) ([]byte, error) {
	fields := entry.Fields
	if entry.Kind != record.Object {
		fields = []record.Field{{Name: entryValue, Value: *entry}}
	}
	out, err := appendFields(dst, s.root, fields, stamps, polledAt)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// appendFields returns a *FitError and not an error, so that the caller on the way up can add its part of the path.
func appendFields(dst []byte, n *node, members, stamps []record.Field, polledAt time.Time) ([]byte, *FitError) {
	next, used := 0, 0
	var err *FitError
	for i := range n.fields {
		f := &n.fields[i]
		var v *record.Value
		switch f.role {
		case fromEntry:
			// Members mostly come in the order of the schema.
			if next < len(members) && members[next].Name == f.source {
				v = &members[next].Value
				next++
				used++
			} else if at := find(members, f.source); at >= 0 {
				v = &members[at].Value
				next = at + 1
				used++
			}
		case fromStamp:
			if at := find(stamps, f.source); at >= 0 {
				v = &stamps[at].Value
			}
		case fromClock:
			if stamps != nil {
				if dst, err = appendMillis(dst, f.typ, polledAt.UnixMilli()); err != nil {
					return dst, err.under(f.source)
				}
				continue
			}
		}
		if v == nil {
			dst, err = appendMissing(dst, f.typ)
		} else {
			dst, err = appendValue(dst, f.typ, v)
		}
		if err != nil {
			return dst, err.under(f.source)
		}
	}
	if used < len(members) {
		return dst, unknownMember(n, members)
	}
	return dst, nil
}

// unknownMember looks for a member that has content and no field.
func unknownMember(n *node, members []record.Field) *FitError {
	for i := range members {
		m := &members[i]
		known := slices.ContainsFunc(n.fields, func(f field) bool { return f.role == fromEntry && f.source == m.Name })
		if !known && !isEmpty(&m.Value) {
			return misfit("has no field in the schema %s", n.name).under(m.Name)
		}
	}
	return nil
}

func find(fields []record.Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}

// isEmpty reports whether a value has no content: null, or a container of nothing else.
func isEmpty(v *record.Value) bool {
	switch v.Kind {
	case record.Null:
		return true
	case record.Array:
		return !slices.ContainsFunc(v.Items, func(v record.Value) bool { return !isEmpty(&v) })
	case record.Object:
		return !slices.ContainsFunc(v.Fields, func(f record.Field) bool { return !isEmpty(&f.Value) })
	default:
		return false
	}
}

func appendMissing(dst []byte, n *node) ([]byte, *FitError) {
	if n.kind == kindNull {
		return dst, nil
	}
	if at := n.nullBranch(); at >= 0 {
		return binary.AppendVarint(dst, int64(at)), nil
	}
	return dst, misfit("is missing, and the schema has no null for it")
}

func appendMillis(dst []byte, n *node, millis int64) ([]byte, *FitError) {
	if n.kind == kindUnion && n.branch[jsonInteger] >= 0 {
		at := n.branch[jsonInteger]
		dst, n = binary.AppendVarint(dst, int64(at)), n.branches[at]
	}
	if n.kind == kindLong {
		return binary.AppendVarint(dst, millis), nil
	}
	var literal [20]byte
	return appendValue(dst, n, &record.Value{Kind: record.Number, Text: string(strconv.AppendInt(literal[:0], millis, 10))})
}

func appendValue(dst []byte, n *node, v *record.Value) ([]byte, *FitError) {
	switch n.kind {
	case kindUnion:
		return appendUnion(dst, n, v)
	case kindString:
		if v.Kind == record.String {
			return append(binary.AppendVarint(dst, int64(len(v.Text))), v.Text...), nil
		}
	case kindInt, kindLong:
		if v.Kind == record.Number {
			return appendInteger(dst, n.kind, v.Text)
		}
	case kindBoolean:
		if v.Kind == record.Bool {
			if v.Text == "true" {
				return append(dst, 1), nil
			}
			return append(dst, 0), nil
		}
	case kindFloat, kindDouble:
		if v.Kind == record.Number {
			return appendFloat(dst, n.kind, v.Text)
		}
	case kindRecord:
		if v.Kind == record.Object {
			return appendFields(dst, n, v.Fields, nil, time.Time{})
		}
	case kindArray:
		if v.Kind == record.Array {
			return appendArray(dst, n, v.Items)
		}
	case kindMap:
		if v.Kind == record.Object {
			return appendMap(dst, n, v.Fields)
		}
	case kindEnum:
		if at := slices.Index(n.symbols, v.Text); v.Kind == record.String && at >= 0 {
			return binary.AppendVarint(dst, int64(at)), nil
		}
	case kindNull:
		if isEmpty(v) {
			return dst, nil
		}
	}
	return dst, misfit("is %s, which the schema's %s does not take", describe(v), n.kind)
}

func appendUnion(dst []byte, n *node, v *record.Value) ([]byte, *FitError) {
	at := n.branch[v.Kind]
	switch v.Kind {
	case record.Number:
		if i, ok := parseLong(v.Text); ok {
			if to := n.branch[jsonInteger]; to >= 0 && (n.branches[to].kind == kindLong || at < 0 || isInt(i)) {
				at = to
			}
		}
	case record.String:
		// A symbol of an enum goes there; the text branch is for the others.
		for i, b := range n.branches {
			if b.kind == kindEnum && slices.Contains(b.symbols, v.Text) {
				at = int16(i)
				break
			}
		}
	}
	var err *FitError
	if at >= 0 {
		var out []byte
		if out, err = appendValue(binary.AppendVarint(dst, int64(at)), n.branches[at], v); err == nil {
			return out, nil
		}
	}
	// What has no content has no type, so it may meet one that does not take it, and says no more than null does.
	if null := n.branch[record.Null]; null >= 0 && isEmpty(v) {
		return binary.AppendVarint(dst, int64(null)), nil
	}
	if at < 0 {
		return dst, misfit("is %s, for which the schema's union has no branch", describe(v))
	}
	return dst, err
}

func isInt(i int64) bool { return i >= math.MinInt32 && i <= math.MaxInt32 }

func appendInteger(dst []byte, k kind, literal string) ([]byte, *FitError) {
	i, ok := parseLong(literal)
	switch {
	case !ok && strings.ContainsAny(literal, ".eE"):
		return dst, misfit("is not written as an integer, and the schema's %s takes nothing else", k)
	case !ok, k == kindInt && !isInt(i):
		return dst, misfit("is out of the range of the schema's %s", k)
	}
	return binary.AppendVarint(dst, i), nil
}

func appendFloat(dst []byte, k kind, literal string) ([]byte, *FitError) {
	d, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return dst, misfit("is out of the range of a double")
	}
	if k == kindDouble {
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(d)), nil
	}
	if f := float32(d); float64(f) == d {
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(f)), nil
	}
	return dst, misfit("has more digits than the schema's float keeps")
}

func appendArray(dst []byte, n *node, items []record.Value) ([]byte, *FitError) {
	if len(items) > 0 {
		dst = binary.AppendVarint(dst, int64(len(items)))
	}
	var err *FitError
	for i := range items {
		if dst, err = appendValue(dst, n.items, &items[i]); err != nil {
			return dst, err.under(strconv.Itoa(i))
		}
	}
	return append(dst, 0), nil
}

func appendMap(dst []byte, n *node, fields []record.Field) ([]byte, *FitError) {
	if len(fields) > 0 {
		dst = binary.AppendVarint(dst, int64(len(fields)))
	}
	var err *FitError
	for i := range fields {
		dst = append(binary.AppendVarint(dst, int64(len(fields[i].Name))), fields[i].Name...)
		if dst, err = appendValue(dst, n.items, &fields[i].Value); err != nil {
			return dst, err.under(fields[i].Name)
		}
	}
	return append(dst, 0), nil
}

func describe(v *record.Value) string {
	switch v.Kind {
	case record.Null:
		return "null"
	case record.Bool:
		return "true or false"
	case record.Number:
		return "a number"
	case record.String:
		return "a text"
	case record.Array:
		return "an array"
	default:
		return "an object"
	}
}

// parseLong reads a JSON integer literal that 64 bits hold. It reports false for every other number.
func parseLong(literal string) (int64, bool) {
	digits, negative := literal, false
	if literal != "" && literal[0] == '-' {
		digits, negative = literal[1:], true
	}
	if digits == "" || len(digits) > 19 {
		return 0, false
	}
	var n uint64
	for i := range len(digits) {
		c := digits[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	switch {
	case negative && n <= 1<<63:
		return -int64(n), true
	case !negative && n <= math.MaxInt64:
		return int64(n), true
	default:
		return 0, false
	}
}
