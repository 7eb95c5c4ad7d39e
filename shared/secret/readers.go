package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// largest is the most that a file of a reference may hold: Secret Manager's own limit is 64 KiB.
const largest = 1 << 20

// EnvReader reads ${env:NAME}. The parameter lookup is os.LookupEnv or a stand-in. A variable that is set to the empty
// text is found.
func EnvReader(lookup func(string) (string, bool)) Reader {
	return func(_ context.Context, path, _ string) (string, error) {
		value, ok := lookup(path)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set: %w", path, ErrNotFound)
		}
		return value, nil
	}
}

// FileReader reads ${file:/path}, a whole file without its last line break, and ${file:/path:key}, one entry of a Java
// properties file (as Kafka's FileConfigProvider does).
func FileReader() Reader {
	return func(_ context.Context, path, key string) (string, error) {
		text, err := readFile(path)
		if err != nil {
			return "", err
		}
		if key == "" {
			return trimLineBreak(text), nil
		}
		value, ok := properties(text)[key]
		if !ok {
			return "", fmt.Errorf("%s has no entry %q: %w", path, key, ErrNotFound)
		}
		return value, nil
	}
}

// DirReader reads ${dir:/path:file}, one file of a folder (as Kafka's DirectoryConfigProvider does, and as secrets are
// mounted), without its last line break.
func DirReader() Reader {
	return func(_ context.Context, path, key string) (string, error) {
		if key == "" || key == "." || key == ".." || strings.ContainsAny(key, `/\`) {
			return "", fmt.Errorf("%q is not a file's name; write ${dir:/folder:file}: %w", key, ErrNotFound)
		}
		text, err := readFile(filepath.Join(path, key))
		return trimLineBreak(text), err
	}
}

func readFile(path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("no path is given: %w", ErrNotFound)
	}
	f, err := os.Open(filepath.Clean(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no file %s: %w", path, ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("the file %s may not be read by this user: %w", path, ErrDenied)
	case err != nil:
		return "", fmt.Errorf("opening the file of a secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return "", fmt.Errorf("%s is a folder; write ${dir:%s:file}: %w", path, path, ErrNotFound)
	}
	data, err := io.ReadAll(io.LimitReader(f, largest+1))
	if err != nil {
		return "", fmt.Errorf("reading the file of a secret: %w", err)
	}
	if len(data) > largest {
		return "", fmt.Errorf("the file %s has more than %d bytes, which is no secret", path, largest)
	}
	return string(data), nil
}

func trimLineBreak(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}
