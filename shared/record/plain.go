package record

import "math/bits"

// The same byte eight times over, for looking at eight bytes of a text at once.
const (
	eachOne   = 0x0101010101010101
	eachHigh  = 0x8080808080808080
	eachSpace = ' ' * eachOne
	eachQuote = '"' * eachOne
	eachSlash = '\\' * eachOne
)

// PlainLen returns how many bytes at the beginning of s a JSON text holds between quotes as they are, whoever writes it:
// those before the first that is a quote, a backslash, a control character or no ASCII.
func PlainLen(s string) int {
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		b := s[n : n+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, slash := x^eachQuote, x^eachSlash
		// In each term the lowest high bit that is set is that of the first byte found; a borrow sets only bits above it.
		found := (x | (x-eachSpace)&^x | (quote-eachOne)&^quote | (slash-eachOne)&^slash) & eachHigh
		if found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for ; n < len(s); n++ {
		if c := s[n]; c < ' ' || c >= 0x80 || c == '"' || c == '\\' {
			break
		}
	}
	return n
}
