package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
)

// report says what was done or would be, what is left to do, and what validate thinks of the result. It ends with the
// exit code for what is wrong.
func (m *importer) report() error {
	bad := false
	for _, one := range m.found {
		m.reportOne(one)
		bad = m.reportVerdicts(one) || bad
	}
	for _, s := range m.skipped {
		m.printf("left out  %s\n", s)
	}
	for _, err := range m.broken {
		m.printf("left out  %s\n", strings.ReplaceAll(m.resolver.Scrub(err.Error()), "\n", "\n          "))
	}
	if len(m.found)+len(m.skipped)+len(m.broken) == 0 {
		m.printf("there is no connector at %s\n", m.asked)
	}
	m.reportSecrets()
	if m.o.connect != "" && len(m.found) > 0 {
		m.reportWorker()
	}
	if bad || len(m.broken) > 0 {
		return quiet{exitUsage}
	}
	return nil
}

func (m *importer) printf(format string, args ...any) { _, _ = fmt.Fprintf(m.out, format, args...) }

func (m *importer) reportOne(one *imported) {
	goes := ""
	switch {
	case one.target == "":
		goes = "  (nothing is written; --out DIR writes it)"
		if m.o.connect == "" {
			goes = "  (nothing is written; --write or --out DIR does)"
		}
	case one.target != one.file:
		goes = " → " + one.target
	}
	m.printf("%s  (%s, %s)%s\n\n", one.after.Name, one.after.Kind, one.origin, goes)
	masked := one.before.Masked()
	for _, key := range slices.Sorted(maps.Keys(one.after.Config)) {
		if one.after.Config[key] != one.before.Config[key] {
			m.printf("  - %s: %s\n  + %s: %s\n", key, oneLine(masked.Config[key]), key, oneLine(one.after.Config[key]))
		}
	}
	if len(one.named) == 0 {
		m.printf("  no credential in it\n")
	}
	for _, note := range one.before.Notes {
		m.printf("  %v\n", note)
	}
	m.printf("\n")
}

// oneLine shortens a value for a line of the report.
func oneLine(text string) string {
	const most = 160
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// reportVerdicts sums up what validate says, and reports whether it finds errors.
func (m *importer) reportVerdicts(one *imported) (bad bool) {
	verdicts, problems := one.after.Explain(connector.NewWorker(m.environ), connector.CheckOptions{})
	count := map[connector.Class]int{}
	for _, v := range verdicts {
		count[v.Class]++
	}
	var parts []string
	for _, class := range []connector.Class{connector.Honoured, connector.Advised, connector.Ignored, connector.Refused, connector.Unknown} {
		if n := count[class]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, class))
		}
	}
	m.printf("  validate: %s\n", strings.Join(parts, ", "))
	for _, p := range problems {
		if p.Severity != connector.Advice && !slices.Contains(one.before.Notes, p) {
			m.printf("  %s\n", m.resolver.Scrub(p.String()))
		}
	}
	m.printf("\n")
	return len(problems.Errors()) > 0
}

func (m *importer) reportSecrets() {
	if len(m.secrets) == 0 {
		return
	}
	written := m.o.write || m.o.out != ""
	switch {
	case m.o.store:
		m.printf("Secrets in project %s:\n\n", m.o.project)
	case m.o.stored:
		m.printf("Secrets that the files refer to:\n\n")
	default:
		m.printf("Secrets, each with the line that stores it; the value goes through the pipe and is shown nowhere:\n\n")
	}
	for _, s := range m.secrets {
		m.printf("  %s  (%s)\n", s.name, strings.Join(s.uses, "; "))
		switch {
		case s.placeholder:
			m.printf("    a placeholder stood there: read -rs KEY && printf %%s \"$KEY\" | %s\n", m.gcloud(s.name))
		case m.o.store:
			m.printf("    %s\n", s.stored)
		case !m.o.stored:
			m.printf("    %s --value %s | %s\n", m.again(), s.name, m.gcloud(s.name))
		}
	}
	m.printf("\n")
	if !m.o.store && !m.o.stored {
		m.printf("Where Terraform makes the secrets, as infra/ does, apply first and then add a version: gcloud secrets versions add NAME --data-file=-\n")
	}
	if m.o.write || !written {
		m.printf("A key that stood in a file is still in that file's history and in every copy of it: get a new one, and add it as a new version.\n")
	}
	m.printf("\n")
}

// gcloud is the command that stores a secret whose value comes in through a pipe.
func (m *importer) gcloud(name string) string {
	line := "gcloud secrets create " + name + " --data-file=-"
	if m.o.project != "" {
		line += " --project=" + quoteShell(m.o.project)
	}
	return line
}

// again is this command line as far as it says what is imported. A password in it is not repeated.
func (m *importer) again() string {
	if m.o.connect == "" {
		return "riftline import " + quoteAll(m.o.files)
	}
	line := "riftline import --connect " + quoteShell(withoutPassword(m.o.connect))
	for _, name := range m.o.names {
		line += " --connector " + quoteShell(name)
	}
	return line
}

// withoutPassword puts "…" in place of user and password, unless they are references.
func withoutPassword(argument string) string {
	scheme, after, ok := strings.Cut(argument, "://")
	user, rest, hasUser := cutAuthority(after)
	if !ok || !hasUser || strings.Trim(secret.Without(user), ":") == "" {
		return argument
	}
	return scheme + "://…@" + rest
}

var plainArgument = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

func quoteShell(text string) string {
	if plainArgument.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func quoteAll(texts []string) string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = quoteShell(text)
	}
	return strings.Join(out, " ")
}

// reportWorker says what a connector takes from its worker, which Connect's REST interface does not tell.
func (m *importer) reportWorker() {
	needs := map[string][]string{}
	for _, one := range m.found {
		for _, env := range one.after.WorkerSettings() {
			needs[env] = append(needs[env], one.after.Name)
		}
	}
	if len(needs) > 0 {
		m.printf("Connect's REST interface does not tell the worker's settings. Set these as the worker has them (connect-distributed.properties, or the CONNECT_* variables of its image):\n\n")
		for _, env := range slices.SortedFunc(maps.Keys(needs), byImportance) {
			text := ""
			if strings.HasSuffix(env, "_CONVERTER") {
				text = "; unset, it is " + map[string]string{"CONNECT_KEY_CONVERTER": "StringConverter", "CONNECT_VALUE_CONVERTER": "AvroConverter"}[env]
			}
			m.printf("  %s  (%s%s)\n", env, strings.Join(needs[env], ", "), text)
		}
		m.printf("\n  and CONNECT_SECURITY_PROTOCOL, CONNECT_SASL_*, CONNECT_SSL_* if the brokers ask for them\n\n")
	}
	m.printf("Before a connector runs here, stop it there: PUT %s/connectors/NAME/stop, or DELETE it before Connect 3.5. A sink that is only paused stays in its consumer group.\n", m.asked)
}

// byImportance puts the brokers first.
func byImportance(a, b string) int {
	first := func(s string) int {
		if s == "CONNECT_BOOTSTRAP_SERVERS" {
			return 0
		}
		return 1
	}
	return cmp.Or(first(a)-first(b), strings.Compare(a, b))
}
