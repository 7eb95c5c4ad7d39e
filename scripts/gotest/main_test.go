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
			[]string{"FAILED\tsample\tTestA\n    a_test.go:11: wrong\n", "FAILED\tsample\tTestB/c\n    a_test.go:12: worse\n0 passed, 3 failed, 0 skipped\n"},
			[]string{"FAILED\tsample\tTestB\n"},
		},
		{
			"and whatever came before it",
			"func TestA(t *testing.T) { for range 100 { fmt.Fprintln(os.Stderr, \"of a process\"); fmt.Fprintln(t.Output(), \"of a part\") }; t.Error(\"wrong\\nmore\" + strings.Repeat(\"\\nlog\", 100) + \"\\nthe end\") }\n" +
				"func TestB(t *testing.T) { for n := range 100 { t.Log(\"log\", n) }; t.Fatal(\"worse\") }",
			1,
			[]string{
				"FAILED\tsample\tTestA\n    a_test.go:11: wrong\n        more\n", "        log\n        the end\nFAILED\tsample\tTestB\n    a_test.go:12: log 0\n",
				"    a_test.go:12: log 99\n    a_test.go:12: worse\n0 passed, 2 failed, 0 skipped\n",
			},
			nil,
		},
		{
			"a panic is shown",
			"func TestA(t *testing.T) { panic(\"boom\") }",
			1,
			[]string{"FAIL\tsample", "FAILED\tsample\tTestA\npanic: boom"},
			nil,
		},
		{
			"an end outside of a test is shown",
			"func TestMain(*testing.M) { fmt.Println(\"no folder\"); os.Exit(1) }",
			1,
			[]string{"FAILED\tsample\nno folder\n"},
			nil,
		},
		{
			"what does not compile fails",
			"func TestA(t *testing.T) { nonsense() }",
			1,
			[]string{"FAIL\tsample", "FAILED\tsample\n# sample [sample.test]\n./a_test.go:11:28: undefined: nonsense\n"},
			nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			source := "package sample\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"strings\"\n\t\"testing\"\n)\n\nvar _, _, _ = fmt.Println, os.Exit, strings.Repeat\n" + c.body + "\n"
			for file, text := range map[string]string{"go.mod": "module sample\n\ngo 1.26\n", "a_test.go": source} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Chdir(dir)
			var out bytes.Buffer
			kept := filepath.Join(t.TempDir(), "failures")
			if code := run([]string{"./..."}, &out, kept); code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
			data, err := os.ReadFile(kept)
			if os.IsNotExist(err) {
				err = nil
			}
			if err != nil || !strings.Contains(out.String(), string(data)) || (len(data) > 0) != (c.code != 0) {
				t.Errorf("the failures in the file (%v):\n%s", err, data)
			}
			for _, not := range c.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("%q in:\n%s", not, out.String())
				}
			}
		})
	}
}
