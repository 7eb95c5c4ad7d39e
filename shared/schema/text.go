package schema

import (
	"strconv"

	"github.com/riftline/riftline/shared/record"
)

// writer writes a schema as JSON: a named type in full at its first place and by its name after that.
type writer struct {
	dst     []byte
	written map[*node]bool
}

func render(n *node) string {
	w := writer{written: map[*node]bool{}}
	w.schema(n, "")
	return string(w.dst)
}

func (w *writer) schema(n *node, space string) {
	switch {
	case n.kind == kindUnion:
		w.raw("[")
		for i, b := range n.branches {
			w.comma(i)
			w.schema(b, space)
		}
		w.raw("]")
	case n.kind.named():
		w.named(n, space)
	case n.kind == kindArray:
		w.raw(`{"type":"array","items":`)
		w.schema(n.items, space)
		w.attributes(n.attributes)
		w.raw("}")
	case n.kind == kindMap:
		w.raw(`{"type":"map","values":`)
		w.schema(n.items, space)
		w.attributes(n.attributes)
		w.raw("}")
	case len(n.attributes) == 0:
		w.quoted(n.kind.String())
	default:
		w.raw(`{"type":`)
		w.quoted(n.kind.String())
		w.attributes(n.attributes)
		w.raw("}")
	}
}

func (w *writer) named(n *node, space string) {
	if w.written[n] {
		name := n.name
		if namespace(name) == space {
			name = short(name)
		}
		w.quoted(name)
		return
	}
	w.written[n] = true
	w.raw(`{"type":`)
	w.quoted(n.kind.String())
	w.raw(`,"name":`)
	w.quoted(short(n.name))
	own := namespace(n.name)
	if own != space {
		w.raw(`,"namespace":`)
		w.quoted(own)
	}
	switch n.kind {
	case kindRecord:
		w.raw(`,"fields":[`)
		for i := range n.fields {
			w.comma(i)
			w.field(&n.fields[i], own)
		}
		w.raw("]")
	case kindEnum:
		w.raw(`,"symbols":[`)
		for i, s := range n.symbols {
			w.comma(i)
			w.quoted(s)
		}
		w.raw("]")
	default:
		w.raw(`,"size":`)
		w.dst = strconv.AppendInt(w.dst, int64(n.size), 10)
	}
	w.attributes(n.attributes)
	w.raw("}")
}

func (w *writer) field(f *field, space string) {
	w.raw(`{"name":`)
	w.quoted(f.name)
	w.raw(`,"type":`)
	w.schema(f.typ, space)
	if f.def != nil {
		w.raw(`,"default":`)
		w.dst = record.AppendJSON(w.dst, f.def)
	}
	w.attributes(f.attributes)
	w.raw("}")
}

func (w *writer) attributes(list []record.Field) {
	for i := range list {
		w.raw(",")
		w.quoted(list[i].Name)
		w.raw(":")
		w.dst = record.AppendJSON(w.dst, &list[i].Value)
	}
}

func (w *writer) comma(i int) {
	if i > 0 {
		w.raw(",")
	}
}

func (w *writer) raw(s string) { w.dst = append(w.dst, s...) }

func (w *writer) quoted(s string) {
	w.dst = record.AppendJSON(w.dst, &record.Value{Kind: record.String, Text: s})
}
