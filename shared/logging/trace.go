package logging

import (
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
)

var traceHeader = regexp.MustCompile(`^([0-9a-fA-F]{32})(?:/([0-9]+))?(?:;o=([0-9]+))?$`)

func traceAttrs(header, project string) []slog.Attr {
	m := traceHeader.FindStringSubmatch(header)
	if m == nil || project == "" {
		return nil
	}
	attrs := []slog.Attr{slog.String(fieldTrace, "projects/"+project+"/traces/"+m[1])}
	// The header has the span in decimal, Cloud Logging wants 16 hexadecimal digits.
	if span, err := strconv.ParseUint(m[2], 10, 64); err == nil && span != 0 {
		attrs = append(attrs, slog.String(fieldSpan, fmt.Sprintf("%016x", span)))
	}
	if m[3] != "" {
		attrs = append(attrs, slog.Bool(fieldSampled, m[3] != "0"))
	}
	return attrs
}
