package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const pastedSource = `{
  // the ladder of Korea
  "http.request.url": <https://kr.api.riotgames.com/lol/league/v4/challengerleagues/by-queue/RANKED_SOLO_5x5>,
  "http.request.headers": "X-Riot-Token: RGAPI-hunter2-hunter2",
  "name": "challenger",
  "tasks.max": 1,
  "kafka.topic": "challenger",
  "http.response.list.pointer": "/entries",
  "http.response.record.offset.pointer": "key=/puuid",
  "connector.class": "com.github.castorm.kafka.connect.http.HttpSourceConnector",
}
`

func contents(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFmtWritesTheStrictForm(t *testing.T) {
	file := write(t, "challenger.json", pastedSource)
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := command(t, "", "fmt", "--check", file)
	if code != exitTransient || strings.TrimSpace(out) != file || contents(t, file) != pastedSource {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	code, out, errOut = command(t, "", "fmt", file, userSink)
	if code != exitDone || strings.TrimSpace(out) != file {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	for _, want := range []string{"comments", "number without quotes", "<…>"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("nothing is said about %s:\n%s", want, errOut)
		}
	}
	if strings.Contains(out+errOut, "hunter2") {
		t.Errorf("the key is shown:\n%s%s", out, errOut)
	}
	first := contents(t, file)
	if !strings.HasPrefix(first, "{\n  \"http.request.url\": \"https://") || !strings.Contains(first, `"X-Riot-Token: RGAPI-hunter2-hunter2"`) {
		t.Errorf("it is\n%s", first)
	}
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
	code, out, errOut = command(t, "", "fmt", "-l", file, userSource, userSink)
	if code != exitDone || out+errOut != "" {
		t.Errorf("exit %d, a second time\n%s%s", code, out, errOut)
	}
}

func TestFmtOfStandardInput(t *testing.T) {
	code, out, errOut := command(t, pastedSource, "fmt", "-")
	if code != exitDone || !strings.HasPrefix(out, "{\n  \"http.request.url\"") || !strings.Contains(errOut, "comments") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	if code, again, _ := command(t, out, "fmt", "-"); code != exitDone || again != out {
		t.Errorf("exit %d\n%s", code, again)
	}
	if code, text, _ := command(t, pastedSource, "fmt", "--check", "-"); code != exitTransient || text != "-\n" {
		t.Errorf("exit %d: %q", code, text)
	}
	if code, _, _ := command(t, out, "fmt", "--check", "-"); code != exitDone {
		t.Errorf("exit %d", code)
	}
}

// TestFmtKeepsWhatItCannotRead leaves such a file as it is, does the others all the same, and shows no value.
func TestFmtKeepsWhatItCannotRead(t *testing.T) {
	good := write(t, "good.json", pastedSource)
	for name, text := range map[string]string{
		"twice":   `{"connector.class": "GcsSink", "http.auth.password": "hunter2", "http.auth.password": "hunter2"}`,
		"outside": `{"config": {"connector.class": "GcsSink"}, "password": "hunter2"}`,
		"torn":    `{"connector.class": "GcsSink", "password": "hunter2`,
		"nested":  `{"connector.class": "GcsSink", "password": {"is": "hunter2"}}`,
		"class":   `{"connector.class": "org.example.Other", "password": "hunter2"}`,
		"list":    `[1]`,
		"empty":   ``,
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, "bad.json", text)
			code, out, errOut := command(t, "", "fmt", file, good)
			if code != exitUsage || !strings.Contains(errOut, "bad.json") || contents(t, file) != text {
				t.Errorf("exit %d\n%s%s\n%s", code, out, errOut, contents(t, file))
			}
			if strings.Contains(out+errOut, "hunter2") {
				t.Errorf("a value is shown:\n%s%s", out, errOut)
			}
			if !strings.Contains(contents(t, good), `"tasks.max": "1"`) {
				t.Error("the other file was not formatted")
			}
		})
	}
}
