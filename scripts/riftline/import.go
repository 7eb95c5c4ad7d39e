package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/secret"
)

// importOptions are the flags of import.
type importOptions struct {
	files   []string
	connect string
	names   []string
	out     string
	project string
	value   string
	write   bool
	force   bool
	store   bool
	stored  bool
}

func (a *app) importCommand() *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use:   "import FILE... | --connect URL",
		Short: "Put references in place of the credentials in connector files, also straight from Kafka Connect",
		Long: `import reads connector files, or all connectors of a running Kafka Connect that riftline stands in for, and puts
${gcpsecret:NAME} in place of every credential: in headers, parameters, URLs, login modules, key files, passwords. The
same value gets the same secret. Everything else keeps its meaning; what is written is the strict form of riftline fmt,
in which comments are lost.

Without --write or --out nothing is written: it shows what would change, credentials hidden, and prints for each secret
the line that stores it. In that line the value goes through a pipe, from import --value to gcloud; no value is ever
shown, written to a file or passed as an argument. With --store the values go to Secret Manager without gcloud; a secret
that holds something else already is left as it is.

References to other places (${file:…}, ${env:…}, ${dir:…}) stay; those to providers that riftline does not have are
reported. The result is checked as riftline validate does.`,
		Example: `  riftline import challenger.json gcs-sink.json                 # shows what it would do
  riftline import challenger.json --value riot-api-key | gcloud secrets create riot-api-key --data-file=-
  riftline import challenger.json --write --stored              # once the values are in Secret Manager
  riftline import *.json --out infra/connectors --store --project my-project
  riftline import --connect http://connect:8083 --out infra/connectors
  riftline import --connect 'https://${env:CONNECT_USER}:${env:CONNECT_PASSWORD}@connect:8083' --connector challenger`,
		RunE: func(c *cobra.Command, files []string) error {
			o.files = files
			if err := o.check(); err != nil {
				return err
			}
			return a.newImporter(o).run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.connect, "connect", "", "`URL` of Kafka Connect's REST interface, in place of files; user and password in it may be references")
	f.StringArrayVar(&o.names, "connector", nil, "with --connect, only the connector `NAME` (may be repeated)")
	f.StringVar(&o.out, "out", "", "write NAME.json of each connector into the folder `DIR`")
	f.BoolVar(&o.write, "write", false, "write the files in place")
	f.BoolVar(&o.force, "force", false, "with --out, overwrite files that are there and differ")
	f.BoolVar(&o.store, "store", false, "store the values in Secret Manager")
	f.StringVar(&o.project, "project", "", "the `PROJECT` whose Secret Manager it is; GOOGLE_CLOUD_PROJECT unless given")
	f.BoolVar(&o.stored, "stored", false, "with --write: the values are in Secret Manager already")
	f.StringVar(&o.value, "value", "", "write the value of the secret `NAME` into the pipe that the standard output is, and do nothing else")
	c.MarkFlagsMutuallyExclusive("write", "out")
	c.MarkFlagsMutuallyExclusive("store", "stored")
	c.MarkFlagsMutuallyExclusive("value", "out")
	c.MarkFlagsMutuallyExclusive("value", "write")
	c.MarkFlagsMutuallyExclusive("value", "store")
	return c
}

func (o importOptions) check() error {
	switch {
	case o.connect == "" && len(o.files) == 0:
		return usage("import takes connector files, or --connect URL")
	case o.connect != "" && len(o.files) > 0:
		return usage("import takes connector files or --connect URL, not both")
	case o.connect != "" && o.write:
		return usage("--write writes files in place; with --connect say where: --out DIR")
	case o.connect == "" && len(o.names) > 0:
		return usage("--connector belongs to --connect")
	case o.force && o.out == "":
		return usage("--force belongs to --out")
	case o.stored && !o.write:
		return usage("--stored belongs to --write")
	}
	return nil
}

// importer is one run of import.
type importer struct {
	*app
	o        importOptions
	resolver *secret.Resolver
	// asked is the address of the Kafka Connect that was asked.
	asked   string
	found   []*imported
	skipped []string
	// broken are connectors that cannot be read.
	broken  []error
	names   connector.SecretNames
	secrets []*importedSecret
}

// imported is one connector on its way.
type imported struct {
	origin string
	// file is where it was read, target where it goes; both may be empty.
	file, target  string
	old, data     []byte
	before, after connector.Connector
	// named are the secrets of its credentials, in their order.
	named []*importedSecret
}

// importedSecret is a value on its way into Secret Manager.
type importedSecret struct {
	name        string
	value       secret.Value
	placeholder bool
	// uses say where it stands.
	uses   []string
	stored secret.Stored
}

func (a *app) newImporter(o importOptions) *importer {
	if o.project == "" {
		o.project = a.getenv("GOOGLE_CLOUD_PROJECT")
	}
	return &importer{app: a, o: o, resolver: secret.NewResolver(map[string]secret.Reader{
		secret.Env:       secret.EnvReader(a.lookup),
		secret.File:      secret.FileReader(),
		secret.Dir:       secret.DirReader(),
		secret.GCPSecret: secret.GCPReader(a.newSecretManager, o.project),
	})}
}

// run reads everything, then checks that it can be written, then stores, then writes: what fails leaves all files as
// they were.
func (m *importer) run(ctx context.Context) error {
	err := m.importAll(ctx)
	var done quiet
	if err == nil || errors.As(err, &done) {
		return err
	}
	// No error is meant to show a credential; this makes sure of it.
	var f *failure
	code := exitUsage
	if errors.As(err, &f) {
		code = f.code
	}
	return &failure{code, errors.New(m.resolver.Scrub(err.Error()))}
}

func (m *importer) importAll(ctx context.Context) error {
	if err := m.read(ctx); err != nil {
		return err
	}
	m.nameSecrets()
	if m.o.value != "" {
		return m.pipe()
	}
	if err := m.prepare(); err != nil {
		return err
	}
	if m.o.store {
		if err := m.storeAll(ctx); err != nil {
			return err
		}
	}
	for _, one := range m.found {
		if err := m.writeOne(one); err != nil {
			return err
		}
	}
	return m.report()
}

func (m *importer) read(ctx context.Context) error {
	if m.o.connect != "" {
		if err := m.fromConnect(ctx); err != nil {
			return err
		}
	}
	for _, file := range m.o.files {
		data, err := os.ReadFile(file)
		if err != nil {
			return usage("reading a connector file: %w", err)
		}
		m.take(file, file, data)
	}
	return nil
}

// take parses one connector. What cannot be read is reported at the end, and keeps the others from nothing.
func (m *importer) take(origin, file string, data []byte) {
	c, err := connector.Parse(origin, data)
	if err != nil {
		m.broken = append(m.broken, err)
		return
	}
	if file == "" {
		// Connect answers in no order.
		c = c.Sorted()
	}
	m.found = append(m.found, &imported{origin: origin, file: file, old: data, before: c})
}

// nameSecrets names the secrets of all credentials, apart from those that references lead to already.
func (m *importer) nameSecrets() {
	for _, one := range m.found {
		for _, ref := range one.before.References() {
			if ref.Provider == secret.GCPSecret {
				m.names.Take(ref.Path)
			}
		}
	}
	byName := map[string]*importedSecret{}
	for _, one := range m.found {
		for _, credential := range one.before.Credentials() {
			name := m.names.Name(one.before.Name, credential)
			s := byName[name]
			if s == nil {
				s = &importedSecret{name: name, value: credential.Value, placeholder: credential.Placeholder}
				byName[name] = s
				m.secrets = append(m.secrets, s)
				m.resolver.Hide(credential.Value.Reveal())
			}
			s.uses = append(s.uses, one.before.Name+": "+credential.Describe())
			one.named = append(one.named, s)
		}
		at := 0
		one.after = one.before.Replace(func(connector.Credential) string {
			at++
			return one.named[at-1].name
		})
	}
}

// pipe writes one value where nobody can read it but the next command.
func (m *importer) pipe() error {
	at := slices.IndexFunc(m.secrets, func(s *importedSecret) bool { return s.name == m.o.value })
	if at < 0 {
		return usage("--value %s: there is no credential that this secret would hold", m.o.value)
	}
	if m.secrets[at].placeholder {
		return usage("--value %s: what stands there is a placeholder; store the credential itself: read -rs KEY && printf %%s \"$KEY\" | gcloud secrets create %s --data-file=-", m.o.value, m.o.value)
	}
	if !isPipe(m.out) {
		return usage("--value writes into a pipe only, so that no value is shown or kept: riftline import … --value %s | gcloud secrets create %s --data-file=-", m.o.value, m.o.value)
	}
	if _, err := io.WriteString(m.out, m.secrets[at].value.Reveal()); err != nil {
		return &failure{exitTransient, fmt.Errorf("writing into the pipe: %w", err)}
	}
	return nil
}

func isPipe(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// prepare makes the strict forms and finds out whether they may be written, before anything is.
func (m *importer) prepare() error {
	targets := map[string]string{}
	for _, one := range m.found {
		data, err := one.after.Strict()
		if err != nil {
			return err
		}
		one.data = data
		switch {
		case m.o.write:
			one.target = one.file
		case m.o.out != "":
			one.target = filepath.Join(m.o.out, one.after.Name+".json")
		default:
			continue
		}
		if other, ok := targets[one.target]; ok {
			return usage("%s and %s would both become %s: give each connector a name of its own", other, one.origin, one.target)
		}
		targets[one.target] = one.origin
		if m.o.write {
			continue
		}
		was, err := os.ReadFile(one.target)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return usage("reading %s: %w", one.target, err)
		case !bytes.Equal(was, one.data) && !m.o.force:
			return usage("%s is there already and differs: nothing is written; take it away, or say --force", one.target)
		}
	}
	if m.o.write && !m.o.store && !m.o.stored && slices.ContainsFunc(m.secrets, func(s *importedSecret) bool { return !s.placeholder }) {
		return usage("--write would take the credentials out of the files: store them first (riftline import %s without --write prints the lines) and say --stored, or let --store --project PROJECT do it", quoteAll(m.o.files))
	}
	return nil
}

func (m *importer) storeAll(ctx context.Context) error {
	if m.o.project == "" {
		return usage("--store needs --project PROJECT, or GOOGLE_CLOUD_PROJECT")
	}
	client, err := m.newSecretManager(ctx, "")
	if err != nil {
		return &failure{exitUsage, fmt.Errorf("connecting to Secret Manager (is there a login? see gcloud auth application-default login): %w", err)}
	}
	defer func() { _ = client.Close() }()
	for _, s := range m.secrets {
		if s.placeholder {
			continue
		}
		s.stored, err = secret.Store(ctx, client, m.o.project, s.name, s.value)
		switch {
		case errors.Is(err, secret.ErrOther):
			return &failure{exitStopped, fmt.Errorf("no file was written: %w", err)}
		case errors.Is(err, secret.ErrDenied), errors.Is(err, secret.ErrNotFound):
			return &failure{exitUsage, fmt.Errorf("no file was written: %w", err)}
		case err != nil:
			return &failure{exitTransient, fmt.Errorf("no file was written: %w", err)}
		}
	}
	return nil
}

// writeOne writes one connector where it goes, unless that is what stands there.
func (m *importer) writeOne(one *imported) error {
	switch {
	case one.target == "":
		return nil
	case m.o.write:
		if bytes.Equal(one.old, one.data) {
			return nil
		}
		if err := replaceFile(one.target, one.data); err != nil {
			return &failure{exitTransient, err}
		}
		return nil
	}
	if err := os.MkdirAll(m.o.out, 0o755); err != nil { // #nosec G301 -- what is written there holds no secret
		return usage("writing into --out: %w", err)
	}
	if err := writeFile(one.target, one.data, 0o644); err != nil {
		return &failure{exitTransient, err}
	}
	return nil
}
