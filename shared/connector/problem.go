package connector

import (
	"fmt"
	"strings"
)

// Severity says what a [Problem] means for a run.
type Severity uint8

// The severities, the gravest first.
const (
	// Error refuses the connector.
	Error Severity = iota + 1
	// Warning is something that probably is not meant.
	Warning
	// Advice works, and would be better another way.
	Advice
)

// String returns "error", "warning" or "advice".
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Advice:
		return "advice"
	}
	return fmt.Sprintf("severity %d", uint8(s))
}

// Problem is one thing to say about a connector file. It never holds a credential.
type Problem struct {
	// Key is the key it is about, empty for the file as a whole.
	Key      string
	Severity Severity
	// Text says what is wrong, Suggestion what to write instead; Suggestion may be empty.
	Text       string
	Suggestion string
}

// sentence is the key and the text, which goes on after the key unless it begins with a quoted value.
func (p Problem) sentence() string {
	switch {
	case p.Key == "":
		return p.Text
	case strings.HasPrefix(p.Text, `"`):
		return p.Key + ": " + p.Text
	}
	return p.Key + " " + p.Text
}

// String returns the problem as one line: "error: flush.size is missing; …".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Severity.String())
	b.WriteString(": ")
	b.WriteString(p.sentence())
	if p.Suggestion != "" {
		b.WriteString("; ")
		b.WriteString(p.Suggestion)
	}
	return b.String()
}

// Problems are the problems of one connector file.
type Problems []Problem

// Errors returns those that refuse the connector.
func (p Problems) Errors() Problems {
	var out Problems
	for _, one := range p {
		if one.Severity == Error {
			out = append(out, one)
		}
	}
	return out
}

// Invalid is the error for a connector that cannot run as it is written. It lists everything that is wrong.
type Invalid struct {
	// Name is the connector's name, empty when the file does not give a usable one.
	Name string
	// Origin is where the file came from.
	Origin string
	// Problems are all errors; it may hold warnings and advice too.
	Problems Problems

	causes []error
}

// Unwrap returns the errors of references that lead nowhere: [secret.ErrNotFound], [secret.ErrDenied].
func (e *Invalid) Unwrap() []error { return e.causes }

// Error lists all errors, one a line when there are several.
func (e *Invalid) Error() string {
	errs := e.Problems.Errors()
	what := e.Origin
	if what == "" {
		what = "connector " + e.Name
	}
	if len(errs) == 1 {
		return what + ": " + strings.TrimPrefix(errs[0].String(), "error: ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d problems", what, len(errs))
	for _, p := range errs {
		b.WriteString("\n  ")
		b.WriteString(strings.TrimPrefix(p.String(), "error: "))
	}
	return b.String()
}
