package avrofile

import (
	"encoding/binary"
	"math"
	"slices"
)

// projector walks a writer's body and writes the reader's.
type projector struct {
	checker
	out  []byte
	most int
}

// maxSteps bounds how deep a projection nests; a level of a value is a few of them. The reader's check counts levels.
const maxSteps = 4 * maxDepth

const (
	reasonLarge = "it would become larger than a projected value may be"
)

// apply projects the value that begins at byte i and returns the byte after it, or failed.
func (x *projector) apply(c *change, i, depth int) int {
	if depth >= maxSteps {
		return x.fail(i, reasonDepth)
	}
	if len(x.out) > x.most {
		return x.fail(i, reasonLarge)
	}
	x.out = append(x.out, c.prefix...)
	switch c.kind {
	case changeCopy:
		end := x.run(c.copied, i, 0)
		if end >= 0 {
			x.out = append(x.out, x.b[i:end]...)
		}
		return end
	case changeToFloat, changeToDouble:
		v, i := x.long(i)
		if i < 0 {
			return failed
		}
		if c.kind == changeToFloat {
			x.out = binary.LittleEndian.AppendUint32(x.out, math.Float32bits(float32(v)))
		} else {
			x.out = binary.LittleEndian.AppendUint64(x.out, math.Float64bits(float64(v)))
		}
		return i
	case changeWiden:
		end := x.skip(4, i)
		if end >= 0 {
			v := math.Float32frombits(binary.LittleEndian.Uint32(x.b[i:]))
			x.out = binary.LittleEndian.AppendUint64(x.out, math.Float64bits(float64(v)))
		}
		return end
	case changeEnum:
		v, end := x.long(i)
		if end < 0 {
			return failed
		}
		if v < 0 || v >= int64(len(c.symbols)) {
			return x.fail(i, reasonEnum)
		}
		x.out = appendLong(x.out, int64(c.symbols[v]))
		return end
	case changeRecord:
		return x.reshape(c.record, i, depth)
	case changeBlocks:
		return x.items(c, i, depth)
	default:
		v, end := x.long(i)
		if end < 0 {
			return failed
		}
		if v < 0 || v >= int64(len(c.branches)) {
			return x.fail(i, reasonBranch)
		}
		return x.apply(c.branches[v], end, depth+1)
	}
}

func (x *projector) reshape(r *reshape, i, depth int) int {
	if !r.ordered {
		return x.reorder(r, i, depth)
	}
	next := 0
	for _, s := range r.slots {
		if s.move < 0 {
			x.out = append(x.out, s.def...)
			continue
		}
		for ; next <= s.move; next++ {
			if i = x.move(&r.moves[next], i, depth); i < 0 {
				return failed
			}
		}
	}
	for ; next < len(r.moves); next++ {
		if i = x.move(&r.moves[next], i, depth); i < 0 {
			return failed
		}
	}
	return i
}

func (x *projector) move(m *move, i, depth int) int {
	if m.to != nil {
		i = x.apply(m.to, i, depth+1)
	} else {
		i = x.run(m.drop, i, 0)
	}
	if i < 0 {
		x.path = join(m.name, x.path)
	}
	return i
}

// reorder writes the writer's fields one after another, then puts them into the reader's order.
func (x *projector) reorder(r *reshape, i, depth int) int {
	base := len(x.out)
	ends := make([]int, len(r.moves)+1)
	for k := range r.moves {
		if i = x.move(&r.moves[k], i, depth); i < 0 {
			return failed
		}
		ends[k+1] = len(x.out) - base
	}
	written := slices.Clone(x.out[base:])
	x.out = x.out[:base]
	for _, s := range r.slots {
		if s.move < 0 {
			x.out = append(x.out, s.def...)
		} else {
			x.out = append(x.out, written[ends[s.move]:ends[s.move+1]]...)
		}
	}
	return i
}

// items projects an array or a map, block by block. Blocks are written without their sizes.
func (x *projector) items(c *change, i, depth int) int {
	total := int64(0)
	for {
		start := i
		n, next := x.long(i)
		if next < 0 {
			return failed
		}
		i = next
		if n == 0 {
			x.out = appendLong(x.out, 0)
			return i
		}
		if n < 0 {
			if n == math.MinInt64 {
				return x.fail(start, reasonNegative)
			}
			n = -n
			if _, i = x.long(i); i < 0 {
				return failed
			}
		}
		if total += n; total > maxEmptyItems || n > maxEmptyItems || !c.empty && n > int64(len(x.b)-i) {
			return x.fail(start, reasonCount)
		}
		x.out = appendLong(x.out, n)
		if c.idle {
			continue
		}
		for range n {
			if c.isMap {
				length, from := x.long(i)
				end := x.text(length, from)
				if end < 0 {
					return failed
				}
				x.out = append(x.out, x.b[i:end]...)
				i = end
			}
			if i = x.apply(c.items, i, depth+1); i < 0 {
				return failed
			}
		}
	}
}

func appendLong(to []byte, v int64) []byte { return binary.AppendVarint(to, v) }
