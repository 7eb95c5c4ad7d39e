package check

import (
	"encoding/json"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
)

// Dependencies point one way: functions and scripts → poll, drain → steps. A step imports no other step; what belongs
// to no step may be imported by all. Each package is listed with those of the module that it may import; a name stands
// for the package and for what lies under it.
var (
	everyones = []string{"shared/connector", "shared/secret", "shared/bucket", "shared/logging", "shared/record", "shared/step"}
	steps     = []string{"shared/httpsource", "shared/ratelimit", "shared/sourceoffset", "shared/schema", "shared/kafka", "shared/layout", "shared/avrofile"}

	arrows = map[string][]string{
		"shared/connector":      {"shared/secret"},
		"shared/secret":         {},
		"shared/bucket":         {},
		"shared/logging":        {},
		"shared/record":         {},
		"shared/step":           {},
		"shared/httpsource":     with(everyones, "shared/ratelimit"),
		"shared/ratelimit":      everyones,
		"shared/sourceoffset":   everyones,
		"shared/schema":         everyones,
		"shared/kafka":          everyones,
		"shared/layout":         everyones,
		"shared/avrofile":       everyones,
		"shared/poll":           with(everyones, "shared/httpsource", "shared/sourceoffset", "shared/schema", "shared/kafka"),
		"shared/drain":          with(everyones, "shared/layout", "shared/avrofile", "shared/schema", "shared/kafka"),
		"shared/local":          append(with(everyones, "shared/poll", "shared/drain"), steps...),
		"functions/environment": append(with(everyones, "shared/poll", "shared/drain"), steps...),
		"functions/poller":      with(everyones, "functions/environment", "shared/poll"),
		"functions/sink":        with(everyones, "functions/environment", "shared/drain"),
		// The command that people type wires all of it.
		"scripts/riftline": {"shared", "functions"},
		"scripts":          {"scripts"},
	}
)

func with(some []string, more ...string) []string { return append(slices.Clone(some), more...) }

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, all, err := command(t.Context(), t, nil, "go", "list", "-json=ImportPath,Imports,Deps,GoFiles", "./...")
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, all)
	}
	var found []listed
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
	return found
}

// within tells whether the package lies in one of the folders, and in which.
func within(pkg string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return pkg == f || strings.HasPrefix(pkg, f+"/") })
}

// rule finds the longest folder of arrows that holds the package.
func rule(pkg string) (string, bool) {
	for at := pkg; at != "."; at = path.Dir(at) {
		if _, ok := arrows[at]; ok {
			return at, true
		}
	}
	return "", false
}

func TestPackageArrows(t *testing.T) {
	for _, p := range packages(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module+"/")
		folder, ok := rule(pkg)
		if !ok {
			t.Errorf("%s: no rule says what it may import", pkg)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			if ours && !within(to, with(arrows[folder], folder)) {
				t.Errorf("%s imports %s", pkg, to)
			}
		}
	}
}

// What is deployed carries no stand-in.
func TestDeployedBinariesHoldNoStandIns(t *testing.T) {
	checked := 0
	for _, p := range packages(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module+"/")
		if !strings.HasPrefix(pkg, "functions/") {
			continue
		}
		checked++
		for _, dep := range p.Deps {
			for _, unwanted := range []string{module + "/shared/local", "github.com/twmb/franz-go/pkg/kfake", "github.com/twmb/franz-go/pkg/sr/srfake", "net/http/httptest", "testing"} {
				if dep == unwanted || strings.HasPrefix(dep, unwanted+"/") {
					t.Errorf("%s links %s", pkg, dep)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no package found in functions")
	}
}

// What is deployed, and the command that people type, bring the time zones of connector files and CA certificates along.
func TestBinariesHoldTimeZonesAndRoots(t *testing.T) {
	mains := []string{"functions/poller/cmd", "functions/sink/cmd", "scripts/riftline"}
	for _, p := range packages(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module+"/")
		at := slices.Index(mains, pkg)
		if at < 0 {
			continue
		}
		mains = slices.Delete(mains, at, at+1)
		for _, wanted := range []string{"time/tzdata", "golang.org/x/crypto/x509roots/fallback"} {
			if !slices.Contains(p.Deps, wanted) {
				t.Errorf("%s does not link %s", pkg, wanted)
			}
		}
	}
	if len(mains) > 0 {
		t.Errorf("no package %v", mains)
	}
}

// The rule itself must be able to fail.
func TestArrowsRefuse(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"shared/kafka", "shared/bucketfoo"},
		{"shared/kafka", "shared/schema"},
		{"shared/drain", "shared/poll"},
		{"shared/local/gcs", "functions/environment"},
		{"functions/poller/cmd", "shared/local"},
		{"shared/secret", "shared/connector"},
	} {
		folder, ok := rule(c.from)
		if !ok || within(c.to, with(arrows[folder], folder)) {
			t.Errorf("%s may import %s", c.from, c.to)
		}
	}
}
