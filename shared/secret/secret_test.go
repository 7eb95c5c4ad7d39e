package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/secret"
)

type holder struct {
	Shown  secret.Value
	Listed []secret.Value
	ByName map[string]secret.Value
	buried secret.Value
}

func TestValueNeverShowsItself(t *testing.T) {
	const password = "hunter2-hunter2"
	v := secret.New(password)
	h := holder{Shown: v, Listed: []secret.Value{v}, ByName: map[string]secret.Value{"a": v}, buried: v}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%p", "%U", "%o", "%e"} {
		for _, what := range []any{v, &v, h, &h, []any{v}, map[string]any{"k": h}, fmt.Errorf("failed with %v", v), struct{ inner holder }{h}} {
			fmt.Fprintf(&out, verb+"\n", what)
		}
	}
	fmt.Fprintln(&out, v, h)
	for _, what := range []any{v, h, &h} {
		data, err := json.Marshal(what)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	if data, err := xml.Marshal(struct{ V secret.Value }{v}); err == nil {
		out.Write(data)
	}
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		log.Info("m", "v", v, "h", h, "pointer", &v, "error", errors.Join(fmt.Errorf("%w: %v", errors.New("x"), v)))
	}
	text := out.String()
	for _, form := range []string{password, fmt.Sprintf("%x", password), fmt.Sprintf("%X", password)} {
		if strings.Contains(text, form) {
			t.Errorf("the credential shows as %q", form)
		}
	}
	if !strings.Contains(text, "[redacted]") {
		t.Error("nothing was written at all")
	}
	if v.Reveal() != password || v.Empty() || !v.Equal(secret.New(password)) || v.Equal(secret.New("")) {
		t.Error("the credential is lost")
	}
}

func TestEmptyValue(t *testing.T) {
	var zero secret.Value
	for _, v := range []secret.Value{zero, secret.New("")} {
		if !v.Empty() || v.Reveal() != "" || fmt.Sprint(v) != "" || v != zero {
			t.Errorf("an empty value prints %q", fmt.Sprint(v))
		}
	}
}
