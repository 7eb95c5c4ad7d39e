package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/twmb/avro"
)

// avroJSON writes decoded Avro values as plain JSON: fields in the schema's order, unions bare, logical types as people
// write them.
type avroJSON struct {
	root  *avro.SchemaNode
	named map[string]*avro.SchemaNode
}

func newAvroJSON(s *avro.Schema) *avroJSON {
	j := &avroJSON{root: s.Root(), named: map[string]*avro.SchemaNode{}}
	j.collect(j.root)
	return j
}

// collect remembers named types, so that a field may refer to one by its name.
func (j *avroJSON) collect(n *avro.SchemaNode) {
	if n == nil {
		return
	}
	if n.Name != "" {
		full := n.Name
		if n.Namespace != "" {
			full = n.Namespace + "." + n.Name
		}
		j.named[full] = n
	}
	for i := range n.Fields {
		j.collect(&n.Fields[i].Type)
	}
	for i := range n.Branches {
		j.collect(&n.Branches[i])
	}
	j.collect(n.Items)
	j.collect(n.Values)
}

func (j *avroJSON) append(dst []byte, v any) []byte { return j.value(dst, j.root, v) }

func (j *avroJSON) value(dst []byte, n *avro.SchemaNode, v any) []byte {
	n = j.resolve(n)
	if n != nil && n.Type == "union" {
		n = j.branch(n, v)
	}
	switch x := v.(type) {
	case nil:
		return append(dst, "null"...)
	case map[string]any:
		return j.object(dst, n, x)
	case []any:
		dst = append(dst, '[')
		for i, item := range x {
			if i > 0 {
				dst = append(dst, ',')
			}
			var items *avro.SchemaNode
			if n != nil {
				items = n.Items
			}
			dst = j.value(dst, items, item)
		}
		return append(dst, ']')
	}
	return scalar(dst, n, v)
}

// object writes a record's fields in the schema's order, or a map's entries sorted.
func (j *avroJSON) object(dst []byte, n *avro.SchemaNode, m map[string]any) []byte {
	dst = append(dst, '{')
	put := func(name string, t *avro.SchemaNode) {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(quote(dst, name), ':')
		dst = j.value(dst, t, m[name])
	}
	if n != nil && len(n.Fields) > 0 {
		for i := range n.Fields {
			put(n.Fields[i].Name, &n.Fields[i].Type)
		}
		return append(dst, '}')
	}
	var values *avro.SchemaNode
	if n != nil {
		values = n.Values
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		put(name, values)
	}
	return append(dst, '}')
}

func (j *avroJSON) resolve(n *avro.SchemaNode) *avro.SchemaNode {
	if n == nil {
		return nil
	}
	if named, ok := j.named[n.Type]; ok {
		return named
	}
	return n
}

// branch finds the union's branch that a decoded value came from. Where two branches decode to the same Go type they
// also print alike.
func (j *avroJSON) branch(union *avro.SchemaNode, v any) *avro.SchemaNode {
	for i := range union.Branches {
		b := j.resolve(&union.Branches[i])
		if fits(b, v) {
			return b
		}
	}
	return nil
}

func fits(n *avro.SchemaNode, v any) bool {
	switch x := v.(type) {
	case map[string]any:
		if n.Type == "map" {
			return true
		}
		if len(n.Fields) != len(x) || n.Type != "record" && n.Type != "error" {
			return false
		}
		for i := range n.Fields {
			if _, ok := x[n.Fields[i].Name]; !ok {
				return false
			}
		}
		return true
	case []any:
		return n.Type == "array"
	case time.Time:
		return slices.Contains([]string{
			"date", "timestamp-millis", "timestamp-micros", "timestamp-nanos",
			"local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos",
		}, n.LogicalType)
	case *big.Rat:
		return n.LogicalType == "decimal"
	}
	return false
}

func scalar(dst []byte, n *avro.SchemaNode, v any) []byte {
	switch x := v.(type) {
	case bool:
		return strconv.AppendBool(dst, x)
	case int32:
		return strconv.AppendInt(dst, int64(x), 10)
	case int64:
		return strconv.AppendInt(dst, x, 10)
	case float32:
		return float(dst, float64(x), 32)
	case float64:
		return float(dst, x, 64)
	case string:
		return quote(dst, x)
	case []byte:
		return quote(dst, base64.StdEncoding.EncodeToString(x))
	case [16]byte:
		return quote(dst, fmt.Sprintf("%x-%x-%x-%x-%x", x[:4], x[4:6], x[6:8], x[8:10], x[10:]))
	case time.Time:
		return quote(dst, x.Format(layoutOf(n)))
	case time.Duration:
		return quote(dst, time.Time{}.Add(x).Format("15:04:05.999999999"))
	case *big.Rat:
		scale := 0
		if n != nil {
			scale = n.Scale
		}
		return append(dst, x.FloatString(scale)...)
	}
	// What is left (Avro's duration) has a JSON form of its own.
	text, err := json.Marshal(v)
	if err != nil {
		return quote(dst, fmt.Sprint(v))
	}
	return append(dst, text...)
}

func layoutOf(n *avro.SchemaNode) string {
	switch {
	case n == nil:
	case n.LogicalType == "date":
		return time.DateOnly
	case n.LogicalType == "local-timestamp-millis", n.LogicalType == "local-timestamp-micros", n.LogicalType == "local-timestamp-nanos":
		return "2006-01-02T15:04:05.999999999"
	case n.LogicalType == "timestamp-millis":
		return "2006-01-02T15:04:05.000Z07:00"
	}
	return time.RFC3339Nano
}

// float writes a number; JSON has no word for those that are none, so they become strings, as in Java's encoding.
func float(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

func quote(dst []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		// Bytes that are no UTF-8 become U+FFFD.
		quoted, _ = jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return quoted
}
