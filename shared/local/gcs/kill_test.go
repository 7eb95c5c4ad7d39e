package gcs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/riftline/riftline/shared/local/gcs"
)

const childDir = "RIFTLINE_TEST_GCS_CHILD"

// TestMain turns the test binary into the process that is killed when it is told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

func writeUntilKilled(dir string) {
	s, err := gcs.New(gcs.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		// The metadata tells the content, so that an object whose two files do not belong together shows.
		o := gcs.Stored{
			Bucket: bucket, Name: fmt.Sprintf("d/%d", i%3), Data: bytes.Repeat([]byte{byte('a' + i%26)}, 10_000+i%100),
			Metadata: map[string]string{"byte": string(rune('a' + i%26)), "size": fmt.Sprint(10_000 + i%100)},
		}
		if _, err := s.Put(o); err != nil {
			panic(err)
		}
		if i%7 == 6 {
			if err := s.Delete(bucket, o.Name); err != nil {
				panic(err)
			}
		}
		if i == 40 {
			if err := os.WriteFile(filepath.Join(dir, "busy"), nil, 0o600); err != nil {
				panic(err)
			}
		}
	}
}

func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	var last int64
	for round := range 6 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		busy := filepath.Join(dir, "busy")
		until(t, func() bool { _, err := os.Stat(busy); return err == nil })
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		if err := os.Remove(busy); err != nil {
			t.Fatal(err)
		}
		s, err := gcs.New(gcs.Options{Dir: dir})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		newest := last
		for _, o := range s.Objects(bucket, "d/") {
			want := bytes.Repeat([]byte(o.Metadata["byte"]), 10_000)
			if fmt.Sprint(len(o.Data)) != o.Metadata["size"] || !bytes.HasPrefix(o.Data, want) {
				t.Fatalf("round %d: %s holds %d bytes %q…, described as %v", round, o.Name, len(o.Data), o.Data[:1], o.Metadata)
			}
			newest = max(newest, o.Generation)
		}
		after, err := s.Put(gcs.Stored{Bucket: bucket, Name: "after"})
		if err != nil || after.Generation <= newest {
			t.Fatalf("round %d: generation %d after %d, %v", round, after.Generation, newest, err)
		}
		last = after.Generation
		_ = s.Close()
	}
}
