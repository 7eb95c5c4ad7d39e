package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/riftline/riftline/shared/connector"
)

func (a *app) fmtCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "fmt FILE...",
		Short: "Write connector files in their strict form",
		Long: `fmt rewrites connector files in the strict form that Terraform and Connect both take: a JSON object of strings, one key
a line, in the order of the file; flat or in Connect's REST form, as it was. The names of the files that it changed are
listed.

No value changes. What JSON does not have is taken out or put right, with a warning: comments are lost, numbers and
booleans get quotes, <…> around a URL goes, and so does what Connect's REST interface adds beside "config". A key that
stands twice is an error, and the file stays as it is.`,
		Example: `  riftline fmt infra/connectors/*.json
  riftline fmt --check infra/connectors/*.json     # lists the files that are not in the strict form, changes none; exit 1 if there is one
  riftline fmt - <pasted.json >challenger.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			if len(files) == 1 && files[0] == "-" {
				return a.fmtInput(check)
			}
			return a.fmt(files, check)
		},
	}
	c.Flags().BoolVarP(&check, "check", "l", false, "list the files that are not in the strict form, and change none; exit code 1 if there is one")
	return c
}

func (a *app) fmtInput(check bool) error {
	data, err := io.ReadAll(io.LimitReader(a.in, 16<<20))
	if err != nil {
		return usage("reading a connector file: %w", err)
	}
	strict, err := a.strict("-", data)
	if err != nil {
		return err
	}
	if !check {
		_, err := a.out.Write(strict)
		return err
	}
	if !bytes.Equal(data, strict) {
		_, _ = fmt.Fprintln(a.out, "-")
		return quiet{exitTransient}
	}
	return nil
}

// fmt goes on after a file that cannot be formatted, and ends with the worst code.
func (a *app) fmt(files []string, check bool) error {
	code := exitDone
	for _, file := range files {
		changed, err := a.fmtFile(file, check)
		switch {
		case err != nil:
			_, _ = fmt.Fprintf(a.err, "riftline: %v\n", err)
			code = exitUsage
		case changed:
			_, _ = fmt.Fprintln(a.out, file)
			if check {
				code = max(code, exitTransient)
			}
		}
	}
	if code != exitDone {
		return quiet{code}
	}
	return nil
}

func (a *app) fmtFile(file string, check bool) (changed bool, err error) {
	if file == "-" {
		return false, usage("- is the standard input, and stands alone")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("reading a connector file: %w", err)
	}
	strict, err := a.strict(file, data)
	if err != nil || bytes.Equal(data, strict) || check {
		return err == nil && !bytes.Equal(data, strict), err
	}
	return true, replaceFile(file, strict)
}

// strict parses a file and returns its strict form. What it says of the form goes to stderr.
func (a *app) strict(file string, data []byte) ([]byte, error) {
	c, err := connector.Parse(file, data)
	if err != nil {
		return nil, err
	}
	strict, err := c.Strict()
	if err != nil {
		return nil, err
	}
	for _, note := range c.Notes {
		_, _ = fmt.Fprintf(a.err, "%s: %v\n", file, note)
	}
	return strict, nil
}

// replaceFile writes a file anew with the permissions that it had, as a whole or not at all.
func replaceFile(file string, data []byte) error {
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("writing a connector file: %w", err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return fmt.Errorf("writing a connector file: %w", err)
	}
	return writeFile(target, data, info.Mode().Perm())
}

// writeFile writes beside the file and renames, so that nobody reads half of it.
func writeFile(file string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".riftline-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
