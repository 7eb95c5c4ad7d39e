package avrofile

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// dice are decisions taken from a fuzzer's bytes; when these have ended, every decision is the first one.
type dice struct {
	data []byte
	// keys counts the keys of maps, as goavro takes none twice.
	keys int
	// lost says that a value was begun which has no end, or hardly any.
	lost bool
}

func (d *dice) byte() byte {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

// n is a number below most.
func (d *dice) n(most int) int { return int(d.byte()) % most }

// model is a schema as the generator knows it, apart from the package's own parser.
type model struct {
	kind    string
	name    string
	fields  []modelField
	items   []*model
	symbols []string
	symbol  string // an enum's default
	aliases []string
	size    int
	logical string
}

type modelField struct {
	name    string
	typ     *model
	def     any
	hasDef  bool
	aliases []string
}

// maker makes random schemas.
type maker struct {
	*dice
	named []*model
	count int
}

var (
	scalarKinds  = []string{"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
	logicalKinds = map[string][]string{
		"int":    {"date", "time-millis"},
		"long":   {"time-micros", "timestamp-millis", "timestamp-micros", "local-timestamp-millis"},
		"string": {"uuid"},
		"bytes":  {"decimal"},
	}
	spaces = []string{"", "a.", "a.b."}
)

func (m *maker) schema(depth int) *model {
	kinds := 8
	if depth < 5 {
		kinds = 15
	}
	switch n := m.n(kinds); n {
	case 8, 9:
		return m.record(depth)
	case 10:
		return &model{kind: "array", items: []*model{m.schema(depth + 1)}}
	case 11:
		return &model{kind: "map", items: []*model{m.schema(depth + 1)}}
	case 12:
		return m.union(depth)
	case 13:
		return m.enumOrFixed()
	case 14:
		if len(m.named) > 0 {
			return m.named[m.n(len(m.named))]
		}
		return &model{kind: "string"}
	default:
		s := &model{kind: scalarKinds[n]}
		if l := logicalKinds[s.kind]; len(l) > 0 && m.n(4) == 1 {
			s.logical = l[m.n(len(l))]
		}
		return s
	}
}

func (m *maker) define(s *model, prefix string) *model {
	m.count++
	s.name = spaces[m.n(len(spaces))] + prefix + strconv.Itoa(m.count)
	m.named = append(m.named, s)
	return s
}

func (m *maker) record(depth int) *model {
	r := m.define(&model{kind: "record"}, "R")
	for i := range m.n(6) {
		f := modelField{name: "f" + strconv.Itoa(i), typ: m.schema(depth + 1)}
		if holds(f.typ, r) {
			// A record that has to hold itself has no value.
			f.typ = &model{kind: "union", items: []*model{{kind: "null"}, r}}
			if m.n(2) == 1 {
				f.typ = &model{kind: "array", items: []*model{r}}
			}
		}
		r.fields = append(r.fields, f)
	}
	return r
}

// holds says whether every value of s has one of r in it.
func holds(s, r *model) bool { return holdsOnce(s, r, map[*model]bool{}) }

func holdsOnce(s, r *model, seen map[*model]bool) bool {
	if s == r {
		return true
	}
	if s.kind != "record" || seen[s] {
		return false
	}
	seen[s] = true
	return slices.ContainsFunc(s.fields, func(f modelField) bool { return holdsOnce(f.typ, r, seen) })
}

func (m *maker) union(depth int) *model {
	u := &model{kind: "union"}
	for range 1 + m.n(4) {
		b := m.schema(depth + 1)
		if b.kind != "union" && !slices.ContainsFunc(u.items, func(o *model) bool { return o.kind == b.kind && o.name == b.name }) {
			u.items = append(u.items, b)
		}
	}
	if len(u.items) == 0 {
		u.items = []*model{{kind: "null"}, {kind: "long"}}
	}
	return u
}

func (m *maker) enumOrFixed() *model {
	if m.n(2) == 0 {
		e := m.define(&model{kind: "enum"}, "E")
		for i := range 1 + m.n(4) {
			e.symbols = append(e.symbols, "S"+strconv.Itoa(i))
		}
		return e
	}
	f := m.define(&model{kind: "fixed"}, "F")
	if f.size = m.n(17); f.size == 12 {
		f.logical = "duration"
	}
	return f
}

// text is the schema's JSON. plain leaves out logical types.
func (s *model) text(plain bool) string {
	b, err := json.Marshal(s.json(plain, map[*model]bool{}))
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (s *model) json(plain bool, done map[*model]bool) any {
	if s.name != "" && done[s] {
		return s.name
	}
	done[s] = true
	if s.kind == "union" {
		branches := []any{}
		for _, b := range s.items {
			branches = append(branches, b.json(plain, done))
		}
		return branches
	}
	o := map[string]any{"type": s.kind}
	if s.logical != "" && !plain {
		o["logicalType"] = s.logical
		if s.logical == "decimal" {
			o["precision"], o["scale"] = 9, 2
		}
	}
	if s.name != "" {
		o["name"] = s.name
		if !strings.Contains(s.name, ".") {
			o["namespace"] = ""
		}
		if len(s.aliases) > 0 {
			o["aliases"] = s.aliases
		}
	}
	switch s.kind {
	case "array":
		o["items"] = s.items[0].json(plain, done)
	case "map":
		o["values"] = s.items[0].json(plain, done)
	case "fixed":
		o["size"] = s.size
	case "enum":
		o["symbols"] = s.symbols
		if s.symbol != "" {
			o["default"] = s.symbol
		}
	case "record":
		fields := []any{}
		for _, f := range s.fields {
			x := map[string]any{"name": f.name, "type": f.typ.json(plain, done)}
			if f.hasDef {
				x["default"] = f.def
			}
			if len(f.aliases) > 0 {
				x["aliases"] = f.aliases
			}
			fields = append(fields, x)
		}
		o["fields"] = fields
	}
	return o
}

// body appends a random value; deep ones end as soon as they can.
func (d *dice) body(to []byte, s *model, depth int) []byte {
	if d.lost = d.lost || depth > 150 || len(to) > 1<<15; d.lost {
		return to
	}
	switch s.kind {
	case "null":
		return to
	case "boolean":
		return append(to, byte(d.n(2)))
	case "int":
		return binary.AppendVarint(to, int64(int32(d.long())))
	case "long":
		return binary.AppendVarint(to, d.long())
	case "float":
		return binary.LittleEndian.AppendUint32(to, math.Float32bits(float32(d.long())/8))
	case "double":
		return binary.LittleEndian.AppendUint64(to, math.Float64bits(float64(d.long())/8))
	case "string":
		if s.logical == "uuid" {
			return append(binary.AppendVarint(to, 36), "b9e4d6d0-5a6d-3f5c-9a3c-6c7f1a0ad001"...)
		}
		t := strings.Repeat("añ日", d.n(8))
		return append(binary.AppendVarint(to, int64(len(t))), t...)
	case "bytes":
		n := d.n(4)
		return append(binary.AppendVarint(to, int64(n)), make([]byte, n)...)
	case "fixed":
		for range s.size {
			to = append(to, d.byte())
		}
		return to
	case "enum":
		return binary.AppendVarint(to, int64(d.n(len(s.symbols))))
	case "union":
		at := d.n(len(s.items))
		if depth > 20 {
			at = shallowest(s)
		}
		return d.body(binary.AppendVarint(to, int64(at)), s.items[at], depth+1)
	case "record":
		for _, f := range s.fields {
			to = d.body(to, f.typ, depth+1)
		}
		return to
	}
	for blocks := d.n(3); blocks > 0 && depth < 20; blocks-- {
		n := 1 + d.n(3)
		var items []byte
		for range n {
			if s.kind == "map" {
				d.keys++
				key := strconv.Itoa(d.keys)
				items = append(binary.AppendVarint(items, int64(len(key))), key...)
			}
			items = d.body(items, s.items[0], depth+1)
		}
		if d.n(3) == 0 {
			to = binary.AppendVarint(binary.AppendVarint(to, int64(-n)), int64(len(items)))
		} else {
			to = binary.AppendVarint(to, int64(n))
		}
		to = append(to, items...)
	}
	return append(to, 0)
}

// shallowest is a branch that leads to the end of a value.
func shallowest(u *model) int {
	for i, b := range u.items {
		if b.kind != "record" && b.kind != "union" {
			return i
		}
	}
	return 0
}

func (d *dice) long() int64 {
	switch d.n(4) {
	case 0:
		return int64(d.n(256)) - 128
	case 1:
		return int64(d.n(256))<<24 | int64(d.n(256))<<8
	case 2:
		return -(int64(d.n(256))<<50 | int64(d.n(256)))
	default:
		return [...]int64{math.MaxInt64, math.MinInt64, math.MaxInt32, math.MinInt32, 1 << 53, 0, -1, 63, 64, -64, -65}[d.n(11)]
	}
}

// evolve is the schema that a reader has after some changes, most of which can be read. done are those evolved already.
func (m *maker) evolve(s *model, done map[*model]*model) *model {
	if known, ok := done[s]; ok {
		return known
	}
	c := new(model)
	*c = *s
	if s.name != "" {
		done[s] = c
	}
	c.items = slices.Clone(s.items)
	for i := range c.items {
		if c.items[i] = m.evolve(s.items[i], done); s.kind == "union" && c.items[i].kind == "union" {
			c.items[i] = s.items[i]
		}
	}
	switch change := m.n(12); s.kind {
	case "int", "long", "float", "string", "bytes":
		to := map[string][]string{"int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"}, "string": {"bytes"}, "bytes": {"string"}}[s.kind]
		if change < 3 && s.logical == "" {
			c.kind = to[change%len(to)]
		}
		if change == 4 {
			return &model{kind: "union", items: []*model{{kind: "null"}, c}}
		}
	case "union":
		if change < 3 && !slices.ContainsFunc(c.items, func(b *model) bool { return b.kind == "boolean" }) {
			c.items = append(c.items, &model{kind: "boolean"})
		}
		if change == 3 && len(c.items) > 1 {
			slices.Reverse(c.items)
		}
		c.items = distinct(c.items)
	case "enum":
		c.symbols = slices.Clone(s.symbols)
		if change < 3 {
			c.symbols = append(c.symbols, "X")
		}
		if change == 3 && len(c.symbols) > 1 {
			c.symbols, c.symbol = c.symbols[1:], c.symbols[1]
		}
	case "record":
		m.evolveRecord(s, c, change, done)
	}
	if c.name != "" && m.n(8) == 1 {
		c.aliases, c.name = []string{c.name}, c.name+"x"
	}
	return c
}

// distinct leaves one branch of a type, as promotions may have made two alike.
func distinct(branches []*model) []*model {
	var kept []*model
	for _, b := range branches {
		if !slices.ContainsFunc(kept, func(o *model) bool { return o.kind == b.kind && o.name == b.name }) {
			kept = append(kept, b)
		}
	}
	return kept
}

func (m *maker) evolveRecord(s, c *model, change int, done map[*model]*model) {
	c.fields = nil
	for _, f := range s.fields {
		f.typ = m.evolve(f.typ, done)
		switch m.n(8) {
		case 0:
			continue
		case 1:
			f.aliases, f.name = []string{f.name}, f.name+"y"
		}
		c.fields = append(c.fields, f)
	}
	if change < 4 {
		for i := range 1 + m.n(2) {
			typ, def := m.withDefault()
			c.fields = append(c.fields, modelField{name: fmt.Sprintf("new%d", i), typ: typ, def: def, hasDef: true})
		}
	}
	if change%2 == 1 {
		slices.Reverse(c.fields)
	}
}

func (m *maker) withDefault() (*model, any) {
	choices := []struct {
		typ *model
		def any
	}{
		{&model{kind: "union", items: []*model{{kind: "null"}, {kind: "string"}}}, nil},
		{&model{kind: "long"}, -7},
		{&model{kind: "int"}, 12},
		{&model{kind: "double"}, 1.5},
		{&model{kind: "float"}, -0.25},
		{&model{kind: "boolean"}, true},
		{&model{kind: "string"}, "añ"},
		{&model{kind: "bytes"}, "\u00ff\u0001"},
		{&model{kind: "array", items: []*model{{kind: "int"}}}, []any{1, 2}},
		{&model{kind: "map", items: []*model{{kind: "string"}}}, map[string]any{"b": "2", "a": "1"}},
		{m.define(&model{kind: "enum", symbols: []string{"U", "V"}}, "N"), "V"},
		{m.define(&model{kind: "fixed", size: 2}, "N"), "\u0000\u00fe"},
		{m.define(&model{kind: "record", fields: []modelField{{name: "a", typ: &model{kind: "int"}, def: 3, hasDef: true},
			{name: "b", typ: &model{kind: "string"}}}}, "N"), map[string]any{"b": "x"}},
		{&model{kind: "union", items: []*model{{kind: "string"}, {kind: "null"}}}, "s"},
	}
	c := choices[m.n(len(choices))]
	return c.typ, c.def
}
