package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGotest(t *testing.T) {
	for _, c := range []struct {
		name, body string
		code       int
		want, not  []string
	}{
		{
			"a skip is shown with its reason, a pass is not",
			"func TestA(t *testing.T) { t.Log(\"quiet\") }\nfunc TestB(t *testing.T) { t.Skip(\"no broker here\") }",
			0,
			[]string{"SKIP\tsample\tTestB\tno broker here\n", "ok  \tsample", "1 passed, 0 failed, 1 skipped\n"},
			[]string{"quiet"},
		},
		{
			"a failure is shown whole",
			"func TestA(t *testing.T) { t.Log(\"before\"); t.Error(\"wrong\") }",
			1,
			[]string{"before", "wrong", "--- FAIL: TestA", "FAIL\tsample", "0 passed, 1 failed, 0 skipped\n"},
			nil,
		},
		{
			"what a failed test said first is found at the end, whatever came after it",
			"func TestA(t *testing.T) { t.Cleanup(func() { t.Log(strings.Repeat(\"log\\n\", 100)) }); t.Error(\"wrong\") }\n" +
				"func TestB(t *testing.T) { t.Run(\"c\", func(t *testing.T) { t.Error(\"worse\") }) }",
			1,
			[]string{"FAILED\tsample\tTestA\n    a_test.go:9: wrong\n", "FAILED\tsample\tTestB/c\n    a_test.go:10: worse\n0 passed, 3 failed, 0 skipped\n"},
			[]string{"FAILED\tsample\tTestB\n"},
		},
		{
			"a panic is shown",
			"func TestA(t *testing.T) { panic(\"boom\") }",
			1,
			[]string{"boom", "FAIL\tsample"},
			nil,
		},
		{
			"what does not compile fails",
			"func TestA(t *testing.T) { nonsense() }",
			1,
			[]string{"undefined: nonsense", "FAIL\tsample"},
			nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			source := "package sample\n\nimport (\n\t\"strings\"\n\t\"testing\"\n)\n\nvar _ = strings.Repeat\n" + c.body + "\n"
			for file, text := range map[string]string{"go.mod": "module sample\n\ngo 1.26\n", "a_test.go": source} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Chdir(dir)
			var out bytes.Buffer
			if code := run([]string{"./..."}, &out); code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
			for _, not := range c.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("%q in:\n%s", not, out.String())
				}
			}
		})
	}
}
