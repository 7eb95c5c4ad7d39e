package environment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/connectivity"
)

// TestSecretsOfALocationAreReadThere: each location's client asks that location's address, and goes with the others.
func TestSecretsOfALocationAreReadThere(t *testing.T) {
	login := filepath.Join(t.TempDir(), "login.json")
	if err := os.WriteFile(login, []byte(`{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", login)
	e, err := Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	var open []func() connectivity.State
	for location, want := range map[string]string{
		"":             "secretmanager.googleapis.com:443",
		"europe-west1": "secretmanager.europe-west1.rep.googleapis.com:443",
	} {
		client, err := e.secretManager(t.Context(), location)
		if err != nil {
			t.Fatal(err)
		}
		//nolint:staticcheck // Every connection of the pool has the same target.
		conn := client.Connection()
		if got := conn.Target(); !strings.HasSuffix(got, "/"+want) && got != want {
			t.Errorf("%q is read at %s", location, got)
		}
		open = append(open, conn.GetState)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for _, state := range open {
		if got := state(); got != connectivity.Shutdown {
			t.Errorf("a client is %v after Close", got)
		}
	}
}
