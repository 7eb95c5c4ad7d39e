package record

import (
	"strconv"
	"strings"
)

// AsText returns what Jackson's JsonNode.asText gives for the value, which is how castorm's HTTP source makes keys: the
// text of a string, "true", "false", "null", an integer's digits, any other number as Java's Double.toString writes it,
// and nothing for an array or an object.
func (v *Value) AsText() string {
	switch v.Kind {
	case Null:
		return "null"
	case Bool, String:
		return v.Text
	case Number:
		if !strings.ContainsAny(v.Text, ".eE") {
			if v.Text == "-0" {
				return "0"
			}
			return v.Text
		}
		return javaDouble(v.Text)
	default:
		return ""
	}
}

// javaDouble writes a number as java.lang.Double.toString does: at least one digit on each side of the point, and
// computerised scientific notation outside of [10^-3, 10^7).
func javaDouble(literal string) string {
	// The error is only ever "out of range", for which the value is an infinity or zero, as in Java.
	d, _ := strconv.ParseFloat(literal, 64)
	text := strconv.FormatFloat(d, 'e', -1, 64)
	sign := ""
	if text[0] == '-' || text[0] == '+' {
		if text[0] == '-' {
			sign = "-"
		}
		text = text[1:]
	}
	if text == "Inf" {
		return sign + "Infinity"
	}
	mantissa, exponent, _ := strings.Cut(text, "e")
	e, _ := strconv.Atoi(exponent)
	digits := strings.Replace(mantissa, ".", "", 1)
	switch {
	case digits == "0":
		return sign + "0.0"
	case e >= 0 && e < 7:
		for len(digits) < e+2 {
			digits += "0"
		}
		return sign + digits[:e+1] + "." + digits[e+1:]
	case e < 0 && e >= -3:
		return sign + "0." + strings.Repeat("0", -e-1) + digits
	default:
		if len(digits) == 1 {
			digits += "0"
		}
		return sign + digits[:1] + "." + digits[1:] + "E" + strconv.Itoa(e)
	}
}
