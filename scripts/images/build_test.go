//go:build linux

// Package images tests what scripts/images.sh builds: what is in the images, that the same commit makes the same bytes, and
// that their binaries run as nobody in a root that holds nothing else and cannot be written to.
package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/riftline/riftline/scripts/internal/require"
)

const nobody = 65532

var (
	names = []string{"poller", "sink"}
	// work is a folder for all tests, removed at the end.
	work string
)

func TestMain(m *testing.M) {
	if os.Getenv(confinedVariable) != "" {
		confine()
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if work, err = os.MkdirTemp("", "riftline-images-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Others have to get at the unpacked images.
	if err := os.Chmod(work, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(work) }()
	return m.Run()
}

// built is a clone of this tree with its images.
type built struct {
	clone, folder, commit, said string
}

var first = sync.OnceValues(func() (*built, error) { return build("first") })

// build copies the tree, commits what is there as the only commit, always at the same time, and builds the images.
func build(name string) (*built, error) {
	b, err := clone(name)
	if err != nil {
		return nil, err
	}
	out, err := command(b.clone, nil, "scripts/images.sh", "--folder", b.folder)
	if err != nil {
		return nil, fmt.Errorf("scripts/images.sh: %w\n%s", err, out)
	}
	b.said = out
	return b, nil
}

func clone(name string) (*built, error) {
	b := &built{clone: filepath.Join(work, name), folder: filepath.Join(work, name+"-images")}
	list, err := command("../..", nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, fmt.Errorf("listing the tree: %w\n%s", err, list)
	}
	for file := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		if err := copyFile(filepath.Join("../..", file), filepath.Join(b.clone, file)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	dates := []string{"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z"}
	for _, args := range [][]string{
		{"init", "--quiet"}, {"add", "--all"},
		{"-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--no-verify", "--message", "all"},
	} {
		if out, err := command(b.clone, dates, "git", args...); err != nil {
			return nil, fmt.Errorf("git %s: %w\n%s", args[0], err, out)
		}
	}
	commit, err := command(b.clone, nil, "git", "rev-parse", "HEAD")
	b.commit = strings.TrimSpace(commit)
	return b, err
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

// command gives what a command wrote to standard output, and to standard error if it failed.
func command(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String() + said.String(), err
	}
	return out.String(), nil
}

// need builds the tools and then the images, the first time.
func need(t *testing.T) *built {
	t.Helper()
	for _, tool := range []string{"ko", "crane"} {
		if out, err := command("../..", nil, "scripts/tools.sh", tool); err != nil {
			require.Skip(t, "images", fmt.Sprintf("scripts/tools.sh %s: %v\n%s", tool, err, out))
		}
	}
	b, err := first()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An image as an OCI layout holds it (github.com/opencontainers/image-spec).
type image struct {
	t        *testing.T
	folder   string
	digest   string
	manifest struct {
		MediaType string       `json:"mediaType"`
		Config    descriptor   `json:"config"`
		Layers    []descriptor `json:"layers"`
	}
	config struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Created      string `json:"created"`
		Config       struct {
			User       string            `json:"User"`
			Entrypoint []string          `json:"Entrypoint"`
			Cmd        []string          `json:"Cmd"`
			Env        []string          `json:"Env"`
			Labels     map[string]string `json:"Labels"`
		} `json:"config"`
	}
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
	Digest    string `json:"digest"`
}

func (b *built) image(t *testing.T, name string) *image {
	t.Helper()
	i := &image{t: t, folder: filepath.Join(b.folder, name)}
	data, err := os.ReadFile(filepath.Join(i.folder, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(data, &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("the index of %s: %v\n%s", name, err, data)
	}
	i.digest = index.Manifests[0].Digest
	i.decode(index.Manifests[0], &i.manifest)
	i.decode(i.manifest.Config, &i.config)
	return i
}

// blob reads what a descriptor describes, and checks that it does.
func (i *image) blob(d descriptor) []byte {
	i.t.Helper()
	sum := strings.TrimPrefix(d.Digest, "sha256:")
	data, err := os.ReadFile(filepath.Join(i.folder, "blobs", "sha256", sum))
	if err != nil {
		i.t.Fatal(err)
	}
	if is := sha256.Sum256(data); hex.EncodeToString(is[:]) != sum || int64(len(data)) != d.Size {
		i.t.Fatalf("blob %s is another one, of %d bytes", sum, len(data))
	}
	return data
}

func (i *image) decode(d descriptor, to any) {
	i.t.Helper()
	if err := json.Unmarshal(i.blob(d), to); err != nil {
		i.t.Fatal(err)
	}
}

// files calls f with each entry of the layers, in their order.
func (i *image) files(f func(h *tar.Header, content io.Reader)) {
	i.t.Helper()
	for _, layer := range i.manifest.Layers {
		unzipped, err := gzip.NewReader(bytes.NewReader(i.blob(layer)))
		if err != nil {
			i.t.Fatal(err)
		}
		for r := tar.NewReader(unzipped); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				i.t.Fatal(err)
			}
			f(h, r)
		}
	}
}

// unpack makes a root folder of the image's layers.
func (i *image) unpack(root string) {
	i.t.Helper()
	if err := os.MkdirAll(root, 0o755); err != nil {
		i.t.Fatal(err)
	}
	i.files(func(h *tar.Header, content io.Reader) {
		path := filepath.Join(root, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o755); err != nil {
				i.t.Fatal(err)
			}
			return
		}
		data, err := io.ReadAll(content)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, data, h.FileInfo().Mode().Perm())
		}
		if err != nil {
			i.t.Fatal(err)
		}
	})
}
