package record

import (
	"slices"
	"strings"
)

// Canonical writes the same as [AppendCanonical], and remembers how the members of the objects that it wrote before are
// sorted: most objects have the same names in the same order. The zero value is ready. It is not safe for concurrent use.
type Canonical struct {
	// shapes are by the lowest three bits of an object's depth.
	shapes [8]shape
}

// shape is how objects with these names, in this order, are written.
type shape struct {
	names []string
	// order are the places of the names as they are sorted, labels what is written before the values of these: a comma
	// but for the first one, the name and a colon.
	order  []int
	labels []string
	// missed counts the objects in a row that had other names.
	missed int
}

// mostMissed is after how many misses a shape stays as it is, as remembering one costs more than sorting.
const mostMissed = 16

// Append appends v to dst as canonical JSON.
func (c *Canonical) Append(dst []byte, v *Value) []byte { return c.append(dst, v, 0) }

func (c *Canonical) append(dst []byte, v *Value, depth int) []byte {
	switch v.Kind {
	case Array:
		dst = append(dst, '[')
		for i := range v.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = c.append(dst, &v.Items[i], depth)
		}
		return append(dst, ']')
	case Object:
		s := &c.shapes[depth%len(c.shapes)]
		if s.fits(v.Fields) {
			s.missed = 0
		} else if s.missed >= mostMissed {
			return appendSorted(dst, v.Fields)
		} else {
			// A new one, as an object further in may need the place.
			*s = newShape(v.Fields, s.missed+1)
		}
		order, labels := s.order, s.labels
		dst = append(dst, '{')
		for n, i := range order {
			dst = append(dst, labels[n]...)
			dst = c.append(dst, &v.Fields[i].Value, depth+1)
		}
		return append(dst, '}')
	case String:
		return appendQuoted(dst, v.Text)
	case Number:
		return appendNumber(dst, v.Text)
	default:
		return AppendCanonical(dst, v)
	}
}

func (s *shape) fits(fields []Field) bool {
	if len(fields) != len(s.names) {
		return false
	}
	for i := range fields {
		if fields[i].Name != s.names[i] {
			return false
		}
	}
	return true
}

func newShape(fields []Field, missed int) shape {
	n := len(fields)
	s := shape{names: make([]string, n), order: make([]int, n), labels: make([]string, n), missed: missed}
	for i := range fields {
		s.names[i], s.order[i] = fields[i].Name, i
	}
	slices.SortFunc(s.order, func(a, b int) int { return strings.Compare(s.names[a], s.names[b]) })
	var label []byte
	for n, i := range s.order {
		if label = label[:0]; n > 0 {
			label = append(label, ',')
		}
		s.labels[n] = string(append(appendQuoted(label, s.names[i]), ':'))
	}
	return s
}
