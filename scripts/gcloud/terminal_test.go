//go:build linux

package gcloud

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/riftline/riftline/scripts/internal/require"
)

// terminal opens a pseudo-terminal: what a person has in front of him, and what his programs have.
func terminal(t *testing.T) (person, programs *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		require.Skip(t, "gcloud", "this machine has no pseudo-terminals: "+err.Error())
	}
	t.Cleanup(func() { _ = person.Close() })
	var number, unlocked int32
	for request, to := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(unsafe.Pointer(to))); errno != 0 {
			t.Fatal(errno)
		}
	}
	programs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = programs.Close() })
	return person, programs
}

// A terminal does not show what is typed into it, however early.
func TestSecretFromATerminal(t *testing.T) {
	t.Parallel()
	person, programs := terminal(t)
	p := connected(t)
	cmd := exec.CommandContext(t.Context(), "../secret.sh", "riot-api-key", "--project", "p")
	cmd.Env = append(os.Environ(), p.Path())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = programs, programs, programs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The other end's last holder is the script, so that reading ends with it.
	_ = programs.Close()
	var seen bytes.Buffer
	buffer := make([]byte, 4096)
	for !strings.Contains(seen.String(), "not shown): ") {
		n, err := person.Read(buffer)
		if err != nil {
			t.Fatalf("%v: %q", err, seen.String())
		}
		seen.Write(buffer[:n])
	}
	if _, err := io.WriteString(person, credential+"\n"); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := person.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, seen.String())
	}
	if strings.Contains(seen.String(), credential) {
		t.Errorf("the terminal shows it: %q", seen.String())
	}
	if calls := p.Calls(); len(calls) != 1 || calls[0].Stdin != credential {
		t.Errorf("calls: %v", calls)
	}
}
