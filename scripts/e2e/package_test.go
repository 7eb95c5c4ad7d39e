//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// packageFailure is a line that says which test failed, or what a test said.
var packageFailure = regexp.MustCompile(`(?m)^ *(--- FAIL: |[a-z_]+_test\.go:\d+: ).*$`)

// The tests of package kafka that know a real broker from the in-process one run on real ones here: fencing, markers,
// codecs, groups, and each way to log in.
func TestKafkaPackageOnRealBrokers(t *testing.T) {
	t.Parallel()
	brokers := map[string]*peer{"Kafka 4.1.0": kafka}
	if long() {
		brokers["Kafka 3.9.1"], brokers["transaction.version 0"] = kafka39, kafkaVersion0
	}
	for name, broker := range brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vars := broker.need(t)
			cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-timeout", "10m", "-run", "/broker|TestSecureBroker", "./shared/kafka")
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "RIFTLINE_KAFKA="+vars["BOOTSTRAP"])
			if vars["SASL_SSL"] != "" {
				cmd.Env = append(cmd.Env, "RIFTLINE_KAFKA_SECURE="+filepath.Join(broker.dir, "env"))
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				for _, line := range packageFailure.FindAllString(string(out), -1) {
					t.Error(strings.TrimSpace(line))
				}
				t.Fatalf("%v\n%s", err, out)
			}
			if n := strings.Count(string(out), "/broker ("); n < 10 {
				t.Errorf("only %d tests ran on the broker:\n%s", n, out)
			}
			if vars["SASL_SSL"] != "" && !strings.Contains(string(out), "--- PASS: TestSecureBroker") {
				t.Errorf("TestSecureBroker did not run:\n%s", out)
			}
		})
	}
}
