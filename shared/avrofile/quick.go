package avrofile

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/riftline/riftline/shared/record"
)

// A quick program says of nearly every body that fits that it does, and nothing of the others: it has no paths, no
// reasons, and one step for a row of fields of one type. What it does not accept, the program that it was made of judges,
// so that it must accept nothing which that one does not.
type quick []quickOp

type quickOp struct {
	code kind
	// n is how many values of the type follow each other; a fixed's or several numbers' bytes together, an enum's number
	// of symbols, or a mark's place.
	n        int
	call     *quickProgram
	branches []*quickProgram
}

type quickProgram struct {
	ops   quick
	empty bool
}

// quicken makes quick programs, one for each program.
type quicken map[*program]*quickProgram

func (q quicken) program(p *program) *quickProgram {
	if p == nil {
		return nil
	}
	if made, ok := q[p]; ok {
		return made
	}
	made := &quickProgram{empty: p.empty}
	q[p] = made
	for i := range p.ops {
		o := q.op(&p.ops[i])
		if n := len(made.ops); n > 0 && made.ops[n-1].joins(o) {
			made.ops[n-1].n += o.n
			continue
		}
		made.ops = append(made.ops, o)
	}
	return made
}

func (q quicken) op(o *op) quickOp {
	out := quickOp{code: o.code, n: 1, call: q.program(o.call)}
	switch o.code {
	case kindDouble:
		out.code, out.n = kindFixed, 8
	case kindFloat:
		out.code, out.n = kindFixed, 4
	case kindFixed:
		out.n = int(o.size)
	case kindEnum, kindMark:
		out.n = int(o.size)
	case kindUnion:
		for _, b := range o.branches {
			out.branches = append(out.branches, q.program(b))
		}
	}
	return out
}

// joins says whether a step can be one with the step before it.
func (o *quickOp) joins(next quickOp) bool {
	if o.code != next.code {
		return false
	}
	switch o.code {
	case kindString, kindLong, kindInt, kindBoolean, kindBytes:
		return true
	case kindFixed:
		return o.n <= math.MaxInt-next.n
	default:
		return false
	}
}

// fits says whether b is one value, to its last byte, and sets the places of marks.
func (p *quickProgram) fits(b []byte, marks []record.Scalar) bool {
	return p.ops.run(b, 0, 0, marks) == len(b)
}

// run goes over the values from byte i on and returns the byte after them, or failed.
func (q quick) run(b []byte, i, depth int, marks []record.Scalar) int {
	for k := range q {
		o := &q[k]
		switch o.code {
		case kindString:
			i = quickTexts(b, i, o.n, 0)
		case kindLong:
			i = quickLongs(b, i, o.n)
		case kindBoolean:
			i = quickBooleans(b, i, o.n)
		case kindUnion:
			i = o.union(b, i, depth, marks)
		case kindFixed:
			if o.n > len(b)-i {
				return failed
			}
			i += o.n
		case kindArray, kindMap:
			i = o.blocks(b, i, depth)
		case kindInt:
			i = quickInts(b, i, o.n)
		case kindBytes:
			for range o.n {
				n, at := quickLength(b, i)
				if at < 0 || n > len(b)-at {
					return failed
				}
				i = at + n
			}
		case kindEnum:
			var n int
			if n, i = quickLength(b, i); n >= o.n {
				return failed
			}
		case kindRecord:
			if depth >= maxDepth {
				return failed
			}
			i = o.call.ops.run(b, i, depth+1, marks)
		case kindMark:
			marks[o.n].Int = int64(i)
		default:
			return failed
		}
		if i < 0 {
			return failed
		}
	}
	return i
}

func (o *quickOp) union(b []byte, i, depth int, marks []record.Scalar) int {
	n, i := quickLength(b, i)
	if i < 0 || n >= len(o.branches) || depth >= maxDepth {
		return failed
	}
	if branch := o.branches[n].ops; len(branch) > 0 {
		return branch.run(b, i, depth+1, marks)
	}
	return i
}

// blocks goes over an array or a map whose blocks have no sizes; the others are rare.
func (o *quickOp) blocks(b []byte, i, depth int) int {
	if depth >= maxDepth || o.call.empty {
		return failed
	}
	items := o.call.ops
	for {
		n, at := quickLength(b, i)
		if at < 0 || n > len(b)-at {
			return failed
		}
		if i = at; n == 0 {
			return i
		}
		switch {
		case o.code == kindArray && len(items) == 1 && items[0].code == kindLong:
			i = quickLongs(b, i, n*items[0].n)
		case o.code == kindArray && len(items) == 1 && items[0].code == kindString:
			i = quickTexts(b, i, n*items[0].n, 0)
		case o.code == kindMap && len(items) == 1 && items[0].code == kindFixed:
			i = quickTexts(b, i, n, items[0].n)
		default:
			for ; n > 0; n-- {
				if o.code == kindMap {
					if i = quickTexts(b, i, 1, 0); i < 0 {
						return failed
					}
				}
				if i = items.run(b, i, depth+1, nil); i < 0 {
					return failed
				}
			}
		}
		if i < 0 {
			return failed
		}
	}
}

// high are the top bits of eight bytes: set in a byte of a number that another one follows, and of a text beyond ASCII.
const high = 0x8080808080808080

// quickLength reads a number from 0 to 2^27-1, as a length, a count or a branch is; others are left to the slower way.
func quickLength(b []byte, i int) (n, next int) {
	if i >= len(b) {
		return 0, failed
	}
	u := uint32(b[i])
	if i++; u >= 0x80 {
		u &= 0x7f
		for shift := 7; ; shift += 7 {
			if shift == 28 || i >= len(b) {
				return 0, failed
			}
			x := b[i]
			i++
			u |= uint32(x&0x7f) << shift
			if x < 0x80 {
				break
			}
		}
	}
	if u&1 != 0 {
		return 0, failed
	}
	return int(u >> 1), i
}

// quickTexts goes over texts with a number of bytes after each of them, which may be anything.
func quickTexts(b []byte, i, count, after int) int {
	for ; count > 0; count-- {
		var n int
		if i < len(b) && b[i] < 0x80 {
			n = int(b[i])
			if i++; n&1 != 0 {
				return failed
			}
			n >>= 1
		} else if n, i = quickLength(b, i); i < 0 {
			return failed
		}
		if n > len(b)-i {
			return failed
		}
		s := b[i : i+n]
		if n >= 8 {
			// The last word overlaps the one before it.
			seen := binary.LittleEndian.Uint64(s) | binary.LittleEndian.Uint64(s[n-8:])
			for rest := s[8:]; len(rest) > 8; rest = rest[8:] {
				seen |= binary.LittleEndian.Uint64(rest)
			}
			if seen&high != 0 && !utf8.Valid(s) {
				return failed
			}
		} else if !shortText(s) {
			return failed
		}
		if i += n; after > len(b)-i {
			return failed
		}
		i += after
	}
	return i
}

// shortText says whether a text of up to 7 bytes is UTF-8.
func shortText(s []byte) bool {
	var seen uint32
	if n := len(s); n >= 4 {
		seen = binary.LittleEndian.Uint32(s) | binary.LittleEndian.Uint32(s[n-4:])
	} else {
		for _, x := range s {
			seen |= uint32(x)
		}
	}
	return seen&(high&math.MaxUint32) == 0 || utf8.Valid(s)
}

func quickBooleans(b []byte, i, count int) int {
	if count > len(b)-i {
		return failed
	}
	var seen byte
	for _, x := range b[i : i+count] {
		seen |= x
	}
	if seen > 1 {
		return failed
	}
	return i + count
}

// quickLongs looks at eight bytes at a time: as many numbers end there as have no top bit.
func quickLongs(b []byte, i, count int) int {
	for count > 0 && len(b)-i >= 8 {
		ends := ^binary.LittleEndian.Uint64(b[i:]) & high
		n := bits.OnesCount64(ends)
		if n == 0 {
			break // longer than eight bytes
		}
		for ; n > count; n-- {
			ends &^= 1 << (63 - bits.LeadingZeros64(ends))
		}
		count -= n
		i += 8 - bits.LeadingZeros64(ends)/8
	}
	for ; count > 0; count-- {
		for start := i; ; i++ {
			if i >= len(b) || i-start == 9 && b[i] > 1 {
				return failed
			}
			if b[i] < 0x80 {
				break
			}
		}
		i++
	}
	return i
}

func quickInts(b []byte, i, count int) int {
	for ; count > 0; count-- {
		for start := i; ; i++ {
			if i >= len(b) || i-start == 4 && b[i] > 0x0f {
				return failed
			}
			if b[i] < 0x80 {
				break
			}
		}
		i++
	}
	return i
}
