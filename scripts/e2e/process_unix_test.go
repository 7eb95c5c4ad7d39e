//go:build unix

package e2e

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the command the head of a process group, so that what it starts can be killed with it.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
