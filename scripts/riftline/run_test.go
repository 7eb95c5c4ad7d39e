package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hamba/avro/v2/ocf"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local"
	"github.com/riftline/riftline/shared/local/report"
	"github.com/riftline/riftline/shared/local/riot"
)

// TestMain makes the test binary the command, for the tests that kill it.
func TestMain(m *testing.M) {
	if os.Getenv("RIFTLINE_TEST_COMMAND") != "" {
		main()
	}
	os.Exit(m.Run())
}

const archiveFolder = "gcs/riftline-archive/topics/challenger/partition=0"

func simulate(dir string, more ...string) []string {
	return append([]string{"run", "--simulate", "--source", userSource, "--sink", userSink, "--out", dir}, more...)
}

func readReport(t *testing.T, dir string) *report.Report {
	t.Helper()
	r, err := report.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// objectRecords reads all objects in the order of their offsets, with another library than the command's.
func objectRecords(t *testing.T, folder string) []map[string]any {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.avro"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var out []map[string]any
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := ocf.NewDecoder(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for d.HasNext() {
			var v map[string]any
			if err := d.Decode(&v); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out = append(out, v)
		}
		if err := d.Error(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return out
}

func content(v map[string]any) string {
	return fmt.Sprint(v["puuid"], v["leaguePoints"], v["wins"], v["losses"], v["veteran"], v["inactive"], v["freshBlood"], v["hotStreak"])
}

// checkArchive is what a folder promises: no player's record equals the one before it, and the last ones are the ladder
// as the simulator had it after so many advances.
func checkArchive(t *testing.T, dir string, advances int) {
	t.Helper()
	last := map[string]string{}
	for i, v := range objectRecords(t, filepath.Join(dir, archiveFolder)) {
		key := fmt.Sprint(v["puuid"])
		if last[key] == content(v) {
			t.Errorf("record %d repeats what %s had before: %s", i, key, content(v))
		}
		last[key] = content(v)
	}
	sim, err := riot.New(riot.Options{Seed: 1, Advances: advances})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sim.Ladder("kr", "RANKED_SOLO_5x5", riot.Challenger) {
		want := fmt.Sprint(p.PUUID, p.LeaguePoints, p.Wins, p.Losses, p.Veteran, p.Inactive, p.FreshBlood, p.HotStreak)
		if last[p.PUUID] != want {
			t.Errorf("the archive ends with %q, the ladder says %q", last[p.PUUID], want)
		}
	}
}

func TestRunAndGoOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	code, out, errOut := command(t, "", simulate(dir, "--polls", "3")...)
	if code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	for _, want := range []string{"poll  1", "drain 3", "300 of 300 players", "report.html", "Read back:"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	for _, name := range []string{"challenger+0+0000000000.avro", "challenger+0+0000000003.avro", "challenger+0+0000000297.avro"} {
		if _, err := os.Stat(filepath.Join(dir, archiveFolder, name)); err != nil {
			t.Error(err)
		}
	}
	r := readReport(t, dir)
	if len(r.Polls) != 3 || len(r.Drains) != 3 || len(r.Ladders) != 3 || !r.Check.Good() {
		t.Fatalf("%d polls, %d drains, %d ladders, %+v", len(r.Polls), len(r.Drains), len(r.Ladders), r.Check)
	}
	for i, p := range r.Polls {
		if p.Fetched != 300 || p.New+p.Changed+p.Unchanged != 300 || p.Published != p.New+p.Changed || p.Error != "" {
			t.Errorf("poll %d: %+v", i+1, p)
		}
		if i == 0 != (p.New == 300) || i > 0 && (p.Changed == 0 || p.Unchanged < 150) {
			t.Errorf("poll %d found %d new, %d changed, %d unchanged", i+1, p.New, p.Changed, p.Unchanged)
		}
		if n := len(r.Drains[i].Partitions); n != 1 || r.Drains[i].Partitions[0].Lag != 0 || r.Drains[i].Records != int64(p.Published) {
			t.Errorf("drain %d: %+v after %d records", i+1, r.Drains[i], p.Published)
		}
	}
	checkArchive(t, dir, 2)

	code, out, errOut = command(t, "", simulate(dir, "--polls", "2")...)
	if code != exitDone {
		t.Fatalf("the second run: exit %d\n%s%s", code, out, errOut)
	}
	r = readReport(t, dir)
	if len(r.Polls) != 5 || r.Runs != 2 || r.Polls[3].Number != 4 || r.Polls[3].New > 50 || !r.Check.Good() {
		t.Errorf("after the second run: %d polls, poll 4 %+v, %+v", len(r.Polls), r.Polls[3], r.Check)
	}
	checkArchive(t, dir, 4)

	// A drain alone finds nothing, and the report says so.
	code, out, errOut = command(t, "", simulate(dir, "--polls", "0")...)
	if code != exitDone || !strings.Contains(out, "nothing to archive, lag 0") {
		t.Errorf("a drain alone: exit %d\n%s%s", code, out, errOut)
	}
}

func TestTheKeyIsNowhere(t *testing.T) {
	const key = "RGAPI-never-write-this-key"
	dir := filepath.Join(t.TempDir(), "out")
	var answers atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Riot-Token") != key || answers.Add(1) > 1 {
			http.Error(w, `{"status":{"message":"Forbidden `+r.Header.Get("X-Riot-Token")+`","status_code":403}}`, http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"entries":[{"puuid":"a","leaguePoints":1},{"puuid":"b","leaguePoints":2}]}`))
	}))
	defer api.Close()
	environ := []string{"RIOT_API_KEY=" + key, "RIFTLINE_LOG_LEVEL=debug"}
	code, out, errOut := commandIn(t, environ, "", "run", "--source", userSource, "--sink", userSink, "--out", dir,
		"--polls", "2", "--interval", "0s", "--set", "challenger:http.request.url="+api.URL, "--set", "challenger:http.response.record.offset.pointer=key=/puuid")
	if code != exitUsage {
		t.Errorf("exit %d, want 2 for the refused key\n%s%s", code, out, errOut)
	}
	r := readReport(t, dir)
	if len(r.Polls) != 2 || r.Polls[0].Published != 2 || r.Polls[1].Error == "" || !r.Check.Good() {
		t.Errorf("the run did not go on as it should: %+v, %+v", r.Polls, r.Check)
	}
	if n := len(r.Ladders); n == 0 || len(r.Ladders[n-1].Top) != 2 || r.Ladders[n-1].Top[0].Key != "b" {
		t.Errorf("the ladder that the archive tells is %+v", r.Ladders)
	}
	if strings.Contains(out+errOut, key) {
		t.Errorf("the key is printed:\n%s%s", out, errOut)
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if bytes.Contains(data, []byte(key)) {
			t.Errorf("the key is in %s", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAnyAPIGoesOnAfterAFailedPoll(t *testing.T) {
	var polls atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch polls.Add(1) {
		case 2:
			_, _ = w.Write([]byte("<html>maintenance</html>"))
		default:
			_, _ = fmt.Fprintf(w, `[{"id":1,"v":%d},{"id":2,"v":0}]`, polls.Load())
		}
	}))
	defer api.Close()
	dir := filepath.Join(t.TempDir(), "out")
	source := write(t, "things.json", fmt.Sprintf(`{"connector.class":"com.github.castorm.kafka.connect.http.HttpSourceConnector",
		"kafka.topic":"things","http.request.url":%q,"http.response.record.offset.pointer":"key=/id"}`, api.URL))
	code, out, errOut := command(t, "", "run", "--source", source, "--sink", userSink, "--out", dir, "--polls", "3", "--interval", "0s",
		"--set", "gcs-sink:topics=things", "--set", "gcs-sink:flush.size=2")
	r := readReport(t, dir)
	if code == exitDone || len(r.Polls) != 3 || r.Polls[1].Error == "" || r.Polls[1].Published != 0 {
		t.Fatalf("exit %d, %+v\n%s%s", code, r.Polls, out, errOut)
	}
	if r.Polls[2].Changed != 1 || r.Polls[2].Unchanged != 1 || r.Check.Topic != 3 || !r.Check.Good() {
		t.Errorf("after the failed poll: %+v, %+v", r.Polls[2], r.Check)
	}
	if len(r.Ladders) != 0 {
		t.Error("what has no points is drawn as a ladder")
	}
}

// process is the command in a process of its own.
func process(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "RIFTLINE_TEST_COMMAND=1")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the process said: %s", errOut.String())
		}
	})
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// until waits for a condition that must come.
func until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s never came", what)
		}
	}
}

func TestRunGoesOnAfterAKill(t *testing.T) {
	line := func(text string) func(*testing.T, string, *bufio.Scanner) {
		return func(t *testing.T, _ string, out *bufio.Scanner) {
			t.Helper()
			until(t, text, func() bool { return out.Scan() && strings.Contains(out.Text(), text) })
		}
	}
	file := func(name string) func(*testing.T, string, *bufio.Scanner) {
		return func(t *testing.T, dir string, _ *bufio.Scanner) {
			t.Helper()
			until(t, name, func() bool {
				_, err := os.Stat(filepath.Join(dir, name))
				return err == nil
			})
		}
	}
	for name, moment := range map[string]func(*testing.T, string, *bufio.Scanner){
		"before the first poll":         line("riftline run"),
		"between publishing and drain":  line("poll  1"),
		"in the middle of the drain":    file(archiveFolder + "/challenger+0+0000000150.avro"),
		"after the ladder moved":        file(".state/riot.json"),
		"while the third drain goes on": line("poll  3"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			cmd, out := process(t, simulate(dir, "--polls", "4")...)
			moment(t, dir, out)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()

			code, text, errOut := command(t, "", simulate(dir, "--polls", "2")...)
			if code != exitDone {
				t.Fatalf("going on: exit %d\n%s%s", code, text, errOut)
			}
			r := readReport(t, dir)
			if !r.Check.Good() || r.Check.Topic == 0 || r.Check.Waiting != 0 {
				t.Errorf("after going on: %+v", r.Check)
			}
			var progress struct{ Advances int }
			data, err := os.ReadFile(filepath.Join(dir, ".state", "riot.json"))
			if err == nil {
				err = json.Unmarshal(data, &progress)
			}
			if err != nil {
				t.Fatal(err)
			}
			checkArchive(t, dir, progress.Advances)
		})
	}
}

func TestAnotherRunOnTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	cmd, out := process(t, simulate(dir, "--polls", "2", "--interval", "1h")...)
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	until(t, "drain 1", func() bool { return out.Scan() && strings.Contains(out.Text(), "drain 1") })
	code, _, errOut := command(t, "", simulate(dir)...)
	if code != exitTransient || !strings.Contains(errOut, "in use by another riftline run") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}

func TestAnInterruptedRunIsSummedUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	cmd, out := process(t, simulate(dir, "--polls", "2", "--interval", "1h")...)
	until(t, "drain 1", func() bool { return out.Scan() && strings.Contains(out.Text(), "drain 1") })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest := ""
	for out.Scan() {
		rest += out.Text() + "\n"
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitTransient || !strings.Contains(rest, "Read back:") {
		t.Errorf("exit %d\n%s", code, rest)
	}
	if r := readReport(t, dir); len(r.Polls) != 1 || !r.Check.Good() {
		t.Errorf("the report is %+v", r)
	}
}

// TestOpeningShowsNoCredential has URLs that are none before their templates are filled in.
func TestOpeningShowsNoCredential(t *testing.T) {
	for _, address := range []string{
		"https://user:Hunter2x@h/x?api_key=Hunter2x#Hunter2x", "https://${var.platform}.h/x?api_key=Hunter2x", "https://user:Hunter2x@${var.platform}.h/x",
		"https://${var.platform}.h/x?a=b&sig=Hunter2x",
	} {
		var out strings.Builder
		s := &session{
			source: connector.Connector{Name: "a", Kind: connector.SourceKind, Config: map[string]string{"http.request.url": address}},
			local:  &local.Local{}, report: &report.Report{},
		}
		(&progress{out: &out}).opening(s)
		if !strings.Contains(out.String(), ".h/x") && !strings.Contains(out.String(), "//h/x") || strings.Contains(out.String(), "Hunter2x") {
			t.Errorf("%s is shown in\n%s", address, out.String())
		}
	}
}
