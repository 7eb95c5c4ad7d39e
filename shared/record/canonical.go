package record

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends v to dst as compact JSON, its members in their order and its numbers as they came.
func AppendJSON(dst []byte, v *Value) []byte {
	switch v.Kind {
	case Array:
		dst = append(dst, '[')
		for i := range v.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, &v.Items[i])
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i := range v.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendQuoted(dst, v.Fields[i].Name)
			dst = append(dst, ':')
			dst = AppendJSON(dst, &v.Fields[i].Value)
		}
		return append(dst, '}')
	case String:
		return appendQuoted(dst, v.Text)
	case Number, Bool:
		return append(dst, v.Text...)
	default:
		return append(dst, "null"...)
	}
}

// AppendCanonical appends v to dst as canonical JSON: two values have the same canonical JSON exactly when they are
// equal as JSON, whatever the order of members, the white space, the escapes or the way numbers are written.
//
// Members are sorted by the bytes of their names. A number is written by its exact decimal value, never by way of a
// binary float: 1, 1.0 and 10e-1 are "1", integers and decimals of any length keep every digit, and minus zero is zero.
// (RFC 8785 sorts by UTF-16 units and rounds numbers to doubles, so it is not that.)
func AppendCanonical(dst []byte, v *Value) []byte {
	switch v.Kind {
	case Array:
		dst = append(dst, '[')
		for i := range v.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendCanonical(dst, &v.Items[i])
		}
		return append(dst, ']')
	case Object:
		return appendSorted(dst, v.Fields)
	case String:
		return appendQuoted(dst, v.Text)
	case Number:
		return appendNumber(dst, v.Text)
	case Bool:
		return append(dst, v.Text...)
	default:
		return append(dst, "null"...)
	}
}

func appendSorted(dst []byte, fields []Field) []byte {
	// Most objects are small: their order is kept on the stack and found by insertion.
	var small [32]uint16
	var order []uint16
	switch {
	case len(fields) <= len(small):
		order = small[:len(fields)]
		for i := range fields {
			j := i
			for ; j > 0 && fields[order[j-1]].Name > fields[i].Name; j-- {
				order[j] = order[j-1]
			}
			order[j] = uint16(i)
		}
	default:
		return appendSortedMany(dst, fields)
	}
	dst = append(dst, '{')
	for n, i := range order {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, fields[i].Name)
		dst = append(dst, ':')
		dst = AppendCanonical(dst, &fields[i].Value)
	}
	return append(dst, '}')
}

func appendSortedMany(dst []byte, fields []Field) []byte {
	order := make([]*Field, len(fields))
	for i := range fields {
		order[i] = &fields[i]
	}
	slices.SortFunc(order, func(a, b *Field) int { return strings.Compare(a.Name, b.Name) })
	dst = append(dst, '{')
	for n, f := range order {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, f.Name)
		dst = append(dst, ':')
		dst = AppendCanonical(dst, &f.Value)
	}
	return append(dst, '}')
}

func appendQuoted(dst []byte, s string) []byte {
	if PlainLen(s) < len(s) {
		// The error says that s was not UTF-8, which Parse lets through nowhere; what is not gets U+FFFD.
		dst, _ = jsontext.AppendQuote(dst, s)
		return dst
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// plainDigits is how many digits a number may have to be written without an exponent.
const plainDigits = 21

// appendNumber appends the one form of a JSON number's value: plain up to plainDigits digits, else d.ddde±x.
func appendNumber(dst []byte, literal string) []byte {
	if isPlainInteger(literal) {
		return append(dst, literal...)
	}
	negative := literal[0] == '-'
	digits, exponent := literal, ""
	if negative {
		digits = digits[1:]
	}
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		digits, exponent = digits[:i], digits[i+1:]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return append(dst, '0')
	}
	significant := strings.TrimRight(digits, "0")
	shift := len(digits) - len(significant) - len(fraction)
	if negative {
		dst = append(dst, '-')
	}
	if len(exponent) > 15 {
		return appendHuge(dst, significant, exponent, shift)
	}
	e, _ := strconv.Atoi(exponent)
	// The value is significant × 10^e.
	return appendDecimal(dst, significant, e+shift)
}

func appendDecimal(dst []byte, significant string, e int) []byte {
	n := len(significant)
	switch {
	case e >= 0 && n+e <= plainDigits:
		dst = append(dst, significant...)
		return append(dst, strings.Repeat("0", e)...)
	case e < 0 && n+e > 0 && n <= plainDigits:
		dst = append(dst, significant[:n+e]...)
		dst = append(dst, '.')
		return append(dst, significant[n+e:]...)
	case e < 0 && n+e <= 0 && -e <= plainDigits:
		dst = append(dst, "0."...)
		dst = append(dst, strings.Repeat("0", -(n+e))...)
		return append(dst, significant...)
	default:
		return strconv.AppendInt(appendMantissa(dst, significant), int64(e+n-1), 10)
	}
}

// appendHuge writes numbers whose exponent does not fit an integer or might be padded with zeros. Exponents are added to
// digit by digit: to read one of a million digits as a number takes seconds.
func appendHuge(dst []byte, significant, exponent string, shift int) []byte {
	negative := exponent[0] == '-'
	digits := strings.TrimLeft(exponent, "+-0")
	if len(digits) <= 15 {
		e, _ := strconv.Atoi(digits)
		if negative {
			e = -e
		}
		return appendDecimal(dst, significant, e+shift)
	}
	// No text is so long that the rest would count against 10^15.
	dst, shift = appendMantissa(dst, significant), shift+len(significant)-1
	if negative {
		dst, shift = append(dst, '-'), -shift
	}
	return appendSum(dst, digits, int64(shift))
}

// tailDigits is how many of the last digits of a long number are added to at once.
const tailDigits = 18

// appendSum appends digits + n, where n is small against what the digits say.
func appendSum(dst []byte, digits string, n int64) []byte {
	at := max(0, len(digits)-tailDigits)
	tail, _ := strconv.ParseInt(digits[at:], 10, 64)
	if tail += n; at == 0 {
		return strconv.AppendInt(dst, tail, 10)
	}
	const whole = 1_000_000_000_000_000_000
	head, step := []byte(digits[:at]), byte(0)
	switch {
	case tail >= whole:
		tail, step = tail-whole, 1
	case tail < 0:
		tail, step = tail+whole, 255
	}
	for i := at - 1; i >= 0 && step != 0; i-- {
		head[i] += step
		switch {
		case head[i] > '9':
			head[i] = '0'
		case head[i] < '0':
			head[i] = '9'
		default:
			step = 0
		}
	}
	if step == 1 {
		dst = append(dst, '1')
	}
	from := len(dst)
	dst = append(dst, head...)
	dst = append(dst, strconv.FormatInt(whole+tail, 10)[1:]...)
	if zeros := len(dst[from:]) - len(bytes.TrimLeft(dst[from:], "0")); step == 0 && zeros > 0 {
		dst = append(dst[:from], dst[from+zeros:]...)
	}
	return dst
}

func appendMantissa(dst []byte, significant string) []byte {
	dst = append(dst, significant[0])
	if len(significant) > 1 {
		dst = append(dst, '.')
		dst = append(dst, significant[1:]...)
	}
	return append(dst, 'e')
}

// isPlainInteger reports whether a literal is in its canonical form already, which nearly all numbers are.
func isPlainInteger(literal string) bool {
	digits := strings.TrimPrefix(literal, "-")
	if len(digits) > plainDigits || literal == "-0" {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return digits != ""
}
