//go:build linux

package images

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/riftline/riftline/scripts/internal/require"
)

// confinedVariable names the root that a process of this test binary is to confine itself to.
const confinedVariable = "RIFTLINE_CONFINED_ROOT"

// notConfined is the exit code of a process that could not confine itself.
const notConfined = 97

// confined is a command that runs a program as nobody, without a way to become somebody, in a root that nobody can write
// to. The process belongs to mounts of its own, and to users of its own if this one is not root.
func confined(root string, env []string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append([]string{confinedVariable + "=" + root}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		cmd.Env = append(cmd.Env, confinedVariable+"_USERS=own")
	}
	return cmd
}

// confine is what the process of confined does; it does not return.
func confine() {
	runtime.LockOSThread()
	root := os.Getenv(confinedVariable)
	ownUsers := os.Getenv(confinedVariable+"_USERS") != ""
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, confinedVariable) {
			env = append(env, v)
		}
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"keeping mounts to itself", func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") }},
		{"mounting the root on itself", func() error { return syscall.Mount(root, root, "", syscall.MS_BIND, "") }},
		{"making it read-only", func() error {
			return syscall.Mount("", root, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY|syscall.MS_NOSUID|syscall.MS_NODEV, "")
		}},
		{"finding it read-only", func() error {
			err := os.WriteFile(filepath.Join(root, "written"), nil, 0o600)
			if errors.Is(err, syscall.EROFS) {
				return nil
			}
			return fmt.Errorf("writing to it: %w", err)
		}},
		{"giving up privileges to come", noNewPrivileges},
		{"running the program", func() error {
			if ownUsers {
				return runAsNobody(root, env)
			}
			return becomeNobody(root, env)
		}},
	} {
		if err := step.do(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", step.what, err)
			os.Exit(notConfined)
		}
	}
}

// noNewPrivileges is prctl(PR_SET_NO_NEW_PRIVS, 1), for this thread and what it starts.
func noNewPrivileges() error {
	const setNoNewPrivileges = 38
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivileges, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// becomeNobody is for root.
func becomeNobody(root string, env []string) error {
	return errors.Join(syscall.Chroot(root), os.Chdir("/"), syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody),
		syscall.Exec(os.Args[1], os.Args[1:], env))
}

// runAsNobody is for who is root among users of his own only, and has no other user to become: the program gets users of
// its own once more.
func runAsNobody(root string, env []string) error {
	cmd := &exec.Cmd{Path: os.Args[1], Args: os.Args[1:], Dir: "/", Env: env, Stdout: os.Stdout, Stderr: os.Stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: 0, Size: 1}},
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return err
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

// needConfinement skips a test where the kernel lets nobody confine a process.
func needConfinement(t *testing.T) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	// The program is not there: all that is asked is how far it comes.
	out, err := confined(root, nil, "/none").CombinedOutput()
	if !strings.Contains(string(out), "running the program") {
		require.Skip(t, "images", fmt.Sprintf("the kernel forbids it: %v %s", err, out))
	}
}
