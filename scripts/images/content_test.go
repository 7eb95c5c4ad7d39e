//go:build linux

package images

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestManifests(t *testing.T) {
	b := need(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			i := b.image(t, name)
			c := i.config.Config
			if i.config.OS != "linux" || i.config.Architecture != "amd64" {
				t.Errorf("it is for %s/%s", i.config.OS, i.config.Architecture)
			}
			if c.User != "65532:65532" {
				t.Errorf("it runs as %q", c.User)
			}
			if !slices.Equal(c.Entrypoint, []string{"/ko-app/cmd"}) || len(c.Cmd) != 0 {
				t.Errorf("entry point %q, command %q", c.Entrypoint, c.Cmd)
			}
			for label, want := range map[string]string{
				"org.opencontainers.image.title": "riftline-" + name, "org.opencontainers.image.revision": b.commit,
				"org.opencontainers.image.source": "https://github.com/riftline/riftline",
			} {
				if c.Labels[label] != want {
					t.Errorf("label %s is %q", label, c.Labels[label])
				}
			}
			if i.config.Created != "2026-01-02T03:04:05Z" {
				t.Errorf("created %s, which is not when it was committed", i.config.Created)
			}
			var size int64
			for _, layer := range i.manifest.Layers {
				size += layer.Size
			}
			t.Logf("%s: %.1f MB compressed", name, float64(size)/1e6)
			if size >= 40e6 {
				t.Errorf("%d bytes compressed", size)
			}
		})
	}
}

// An image holds one program and folders: no shell, no library, no certificate, no link to elsewhere.
func TestImagesHoldOneProgram(t *testing.T) {
	b := need(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			var programs []string
			b.image(t, name).files(func(h *tar.Header, content io.Reader) {
				if h.Typeflag == tar.TypeDir {
					return
				}
				programs = append(programs, h.Name)
				if h.Typeflag != tar.TypeReg || h.Mode&0o6022 != 0 || h.Mode&0o111 != 0o111 {
					t.Errorf("%s: type %c, mode %o", h.Name, h.Typeflag, h.Mode)
				}
				data, err := io.ReadAll(content)
				if err != nil {
					t.Fatal(err)
				}
				checkProgram(t, name, data)
			})
			if !slices.Equal(programs, []string{"/ko-app/cmd"}) {
				t.Errorf("it holds %q", programs)
			}
		})
	}
}

func checkProgram(t *testing.T, name string, data []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program wants libraries: it has %v", p.Type)
		}
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if info.Path != "github.com/riftline/riftline/functions/"+name+"/cmd" {
		t.Errorf("it is %s", info.Path)
	}
	if dir, err := filepath.Abs("../.."); err != nil || bytes.Contains(data, []byte(dir)) || bytes.Contains(data, []byte(work)) {
		t.Errorf("it holds a path of this machine (%v)", err)
	}
}

// The list of contents names each module of the program with its version, and the image that it is about.
func TestSBOM(t *testing.T) {
	b := need(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(b.folder, name+".spdx.json"))
			if err != nil {
				t.Fatal(err)
			}
			var sbom struct {
				Version  string `json:"spdxVersion"`
				Packages []struct {
					Name    string `json:"name"`
					Version string `json:"versionInfo"`
				} `json:"packages"`
			}
			if err := json.Unmarshal(data, &sbom); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(sbom.Version, "SPDX-2.") {
				t.Errorf("it is %q", sbom.Version)
			}
			listed := map[string]string{}
			for _, p := range sbom.Packages {
				listed[p.Name] = p.Version
			}
			i := b.image(t, name)
			if _, ok := listed[i.digest]; !ok {
				t.Errorf("it is not about %s", i.digest)
			}
			for _, m := range modules(t, i) {
				if listed[m.path] != m.version {
					t.Errorf("%s %s: listed is %q", m.path, m.version, listed[m.path])
				}
			}
			for _, wanted := range []string{"github.com/twmb/franz-go", "cloud.google.com/go/storage", "golang.org/x/crypto/x509roots/fallback"} {
				if listed[wanted] == "" {
					t.Errorf("%s is not listed", wanted)
				}
			}
		})
	}
}

type module struct{ path, version string }

// modules are those that the program itself says it was built from.
func modules(t *testing.T, i *image) []module {
	t.Helper()
	var found []module
	i.files(func(h *tar.Header, content io.Reader) {
		if h.Typeflag != tar.TypeReg {
			return
		}
		data, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		info, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range info.Deps {
			found = append(found, module{d.Path, d.Version})
		}
	})
	if len(found) < 20 {
		t.Fatalf("only %d modules in the program", len(found))
	}
	return found
}

// contents reads a folder, by path.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		relative, _ := filepath.Rel(folder, path)
		found[relative] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
