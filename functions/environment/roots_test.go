package environment

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/riftline/riftline/shared/local/riot"
)

// The process's own pool is read once, so each case is a process of its own, which verifies one certificate: that of an
// authority that everybody trusts, or the test's.
func TestRoots(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("roots: other systems have a verifier of their own")
	}
	if file := os.Getenv("RIFTLINE_TEST_CERTIFICATE"); file != "" {
		verify(t, file)
		return
	}
	folder := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var public string
	for c := range bundle.Roots() {
		if c.Constraint == nil {
			public = write("public.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate}))
			break
		}
	}
	server, err := riot.Start(riot.Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	own := write("own.pem", server.CA())
	none := filepath.Join(folder, "none")
	for name, tt := range map[string]struct {
		file, certificate string
		trusted           bool
	}{
		"nothing on the machine, a public authority":       {none, public, true},
		"nothing on the machine, the test's authority":     {none, own, false},
		"SSL_CERT_FILE has the test's, the test's":         {own, own, true},
		"SSL_CERT_FILE has the test's, a public authority": {own, public, false},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRoots$", "-test.v")
			cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+tt.file, "SSL_CERT_DIR="+none, "RIFTLINE_TEST_CERTIFICATE="+tt.certificate)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if trusted := strings.Contains(string(out), "trusted: yes"); trusted != tt.trusted {
				t.Errorf("%s", out)
			}
		})
	}
}

func verify(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	// As of the day on which it began, so that the test does not end with the certificate.
	if _, err := c.Verify(x509.VerifyOptions{CurrentTime: c.NotBefore.AddDate(0, 0, 1)}); err != nil {
		t.Logf("trusted: no, %v", err)
		return
	}
	t.Log("trusted: yes")
}
