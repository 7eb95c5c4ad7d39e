package record

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecordedAnswers reads real API answers when RIOT_RECORDED names a folder with them.
func TestRecordedAnswers(t *testing.T) {
	root := os.Getenv("RIOT_RECORDED")
	if root == "" {
		t.Skip("RIOT_RECORDED names no folder with recorded answers")
	}
	read := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		v, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		canonical := string(AppendCanonical(nil, &v))
		again := parse(t, string(AppendJSON(nil, &v)))
		reverse(&again)
		if string(AppendCanonical(nil, &again)) != canonical {
			t.Errorf("%s: canonical form depends on the order of members", path)
		}
		return nil
	})
	if err != nil || read == 0 {
		t.Fatalf("read %d files: %v", read, err)
	}
}
