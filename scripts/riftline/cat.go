package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cloud.google.com/go/storage"
	"github.com/spf13/cobra"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/iterator"

	"github.com/riftline/riftline/shared/bucket"
)

func (a *app) catCommand() *cobra.Command {
	var schema bool
	c := &cobra.Command{
		Use:   "cat FILE.avro|FOLDER|gs://BUCKET/OBJECT|gs://BUCKET/PREFIX/|-...",
		Short: "Print the records of Avro objects as JSON lines",
		Long: `cat reads Avro object container files, whichever codec they use (null, deflate, snappy, zstandard), and prints one
record a line, as JSON, fields in the schema's order. A folder, or a prefix that ends with a slash, stands for all .avro
files below it in the order of their names, which is the order of their offsets.

Dates and times are printed as RFC 3339 has them, decimals as numbers, UUIDs as usual, bytes as base64.`,
		Example: `  riftline cat .riftline/gcs/riftline-archive/topics/challenger/
  riftline cat gs://my-archive/topics/challenger/partition=0/challenger+0+0000000000.avro
  riftline cat --schema challenger+0+0000000000.avro
  riftline cat .riftline/gcs/riftline-archive/ | jq 'select(.hotStreak) | .puuid'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			out := bufio.NewWriter(a.out)
			err := a.cat(c.Context(), args, out, schema)
			return errors.Join(err, out.Flush())
		},
	}
	c.Flags().BoolVar(&schema, "schema", false, "print the schema that each file holds in place of its records")
	return c
}

func (a *app) cat(ctx context.Context, args []string, out io.Writer, schema bool) error {
	print := func(name string, r io.Reader) error {
		if err := catFile(r, out, schema); err != nil {
			code := exitTransient
			if errors.Is(err, errNoContainer) {
				code = exitUsage
			}
			return &failure{code, fmt.Errorf("reading %s: %w", name, err)}
		}
		return ctx.Err()
	}
	var client *storage.Client
	for _, arg := range args {
		switch {
		case arg == "-":
			if err := print("standard input", a.in); err != nil {
				return err
			}
		case strings.HasPrefix(arg, "gs://"):
			if client == nil {
				c, err := bucket.NewClient(ctx)
				if err != nil {
					return &failure{exitUsage, fmt.Errorf("opening Cloud Storage: %w", err)}
				}
				client = c
				defer func() { _ = c.Close() }()
			}
			if err := catObjects(ctx, client, arg, print); err != nil {
				return err
			}
		default:
			if err := catPath(arg, print); err != nil {
				return err
			}
		}
	}
	return nil
}

func catPath(path string, print func(string, io.Reader) error) error {
	files := []string{path}
	info, err := os.Stat(path)
	if err != nil {
		return usage("%w", err)
	}
	if info.IsDir() {
		files = files[:0]
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && strings.HasSuffix(name, ".avro") {
				files = append(files, name)
			}
			return err
		})
		if err != nil {
			return usage("%w", err)
		}
		slices.Sort(files)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return usage("%w", err)
		}
		err = print(name, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func catObjects(ctx context.Context, client *storage.Client, url string, print func(string, io.Reader) error) error {
	name, object, _ := strings.Cut(strings.TrimPrefix(url, "gs://"), "/")
	b := client.Bucket(name)
	objects := []string{object}
	if object == "" || strings.HasSuffix(object, "/") {
		objects = objects[:0]
		for it := b.Objects(ctx, &storage.Query{Prefix: object}); ; {
			attrs, err := it.Next()
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				return &failure{exitTransient, fmt.Errorf("listing %s: %w", url, err)}
			}
			if strings.HasSuffix(attrs.Name, ".avro") {
				objects = append(objects, attrs.Name)
			}
		}
	}
	for _, o := range objects {
		r, err := b.Object(o).NewReader(ctx)
		if errors.Is(err, storage.ErrObjectNotExist) || errors.Is(err, storage.ErrBucketNotExist) {
			return usage("gs://%s/%s: %w", name, o, err)
		}
		if err != nil {
			return &failure{exitTransient, fmt.Errorf("reading gs://%s/%s: %w", name, o, err)}
		}
		err = print("gs://"+name+"/"+o, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// errNoContainer says that a file is something else, or was cut off in its header.
var errNoContainer = errors.New("not an Avro object container file")

func catFile(r io.Reader, out io.Writer, schema bool) error {
	file, err := ocf.NewReader(bufio.NewReader(r))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoContainer, err)
	}
	defer func() { _ = file.Close() }()
	if schema {
		_, err := fmt.Fprintf(out, "%s\n", file.Metadata()["avro.schema"])
		return err
	}
	lines := newAvroJSON(file.Schema())
	var line []byte
	for n := 0; ; n++ {
		var v any
		err := file.Decode(&v)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		line = append(lines.append(line[:0], v), '\n')
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
}
