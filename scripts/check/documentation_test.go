package check

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sources parses the Go files that are no tests.
func sources(t *testing.T) (*token.FileSet, map[string]*ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	parsed := map[string]*ast.File{}
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/testdata/") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(root(t), name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		parsed[name] = f
	}
	return fset, parsed
}

func TestExportedNamesAreDocumented(t *testing.T) {
	_, parsed := sources(t)
	packageDoc := map[string]bool{}
	for name, f := range parsed {
		folder := filepath.Dir(name)
		packageDoc[folder] = packageDoc[folder] || f.Doc != nil
		for _, missing := range undocumented(f) {
			t.Errorf("%s: %s has no doc comment", name, missing)
		}
	}
	for folder, ok := range packageDoc {
		if !ok {
			t.Errorf("%s: no package comment", folder)
		}
	}
}

// undocumented names what a file exports without a comment. A comment on a group of constants or variables counts for
// its members; a field needs none where its name says it.
func undocumented(f *ast.File) []string {
	var missing []string
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && receiverIsExported(d) {
				missing = append(missing, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
						missing = append(missing, s.Name.Name)
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
							missing = append(missing, n.Name)
						}
					}
				}
			}
		}
	}
	return missing
}

func receiverIsExported(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.IsExported() {
			exported = true
		}
		return true
	})
	return exported
}

var (
	variable = regexp.MustCompile(`^(RIFTLINE_[A-Z][A-Z_]*[A-Z]|RIOT_API_KEY|VULNDB|TF_WRAPPER|RIOT_RECORDED|STORAGE_EMULATOR_HOST|SSL_CERT_FILE|CLOUD_RUN_TASK_(INDEX|COUNT))$`)
	key      = regexp.MustCompile(`^riftline(\.[a-z]+)+$`)
)

// Every environment variable that the code reads and every riftline.* key that a connector file may have stands in the
// README.
func TestReadmeNamesEverySetting(t *testing.T) {
	if !slices.Contains(files(t), "README.md") {
		t.Skip("there is no README.md yet")
	}
	readme := string(read(t, "README.md"))
	_, parsed := sources(t)
	settings := map[string]string{}
	for name, f := range parsed {
		// What only test binaries act on is no setting.
		if strings.HasPrefix(name, "shared/step/") {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && (variable.MatchString(s) || key.MatchString(s)) {
					settings[s] = name
				}
			}
			return true
		})
	}
	if len(settings) < 10 {
		t.Fatalf("only %d settings found in the code", len(settings))
	}
	for _, s := range slices.Sorted(maps.Keys(settings)) {
		// A name that goes on (RIFTLINE_CONNECTOR, RIFTLINE_CONNECTORS) is another name.
		if !regexp.MustCompile(`(^|[^\w.])` + regexp.QuoteMeta(s) + `($|[^\w.]|\.[^a-z])`).MatchString(readme) {
			t.Errorf("README.md does not name %s, which %s has", s, settings[s])
		}
	}
}

func TestReadmeLinksExist(t *testing.T) {
	if !slices.Contains(files(t), "README.md") {
		t.Skip("there is no README.md yet")
	}
	names := files(t)
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)[)#]`).FindAllStringSubmatch(string(read(t, "README.md")), -1) {
		target := strings.TrimSuffix(strings.TrimPrefix(m[1], "./"), "/")
		if !slices.ContainsFunc(names, func(n string) bool { return n == target || strings.HasPrefix(n, target+"/") }) {
			t.Errorf("README.md links %s, which is not in the repository", m[1])
		}
	}
}
