package secret

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestReferences(t *testing.T) {
	for s, want := range map[string][]Reference{
		"": nil,
		"X-Riot-Token: ${gcpsecret:riot-api-key}":      {{Provider: GCPSecret, Path: "riot-api-key"}},
		"${gcpsecret:projects/p/secrets/s/versions/3}": {{Provider: GCPSecret, Path: "projects/p/secrets/s/versions/3"}},
		"${env:A}${env:B}":                             {{Provider: Env, Path: "A"}, {Provider: Env, Path: "B"}},
		"${file:/etc/keys}":                            {{Provider: File, Path: "/etc/keys"}},
		"${file:/etc/keys.properties:riot.key}":        {{Provider: File, Path: "/etc/keys.properties", Key: "riot.key"}},
		"${dir:/var/secrets:token}":                    {{Provider: Dir, Path: "/var/secrets", Key: "token"}},
		"${offset.timestamp?datetime.iso}":             nil,
		"${vault:secret/x:y}":                          nil,
		"${var.platform}":                              nil,
		"${timestamp?string('HH:mm')}":                 nil,
		"$env:A} {env:A} ${env:A":                      nil,
		"${gcpsecret}":                                 nil,
		"${x ${env:A}}":                                {{Provider: Env, Path: "A"}},
		"${Env:A}":                                     nil,
	} {
		if got := References(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
		for _, ref := range want {
			if !strings.Contains(s, ref.String()) {
				t.Errorf("%q: the reference writes itself as %s", s, ref)
			}
		}
	}
}

func TestMaskAndWithout(t *testing.T) {
	for s, want := range map[string][2]string{
		"":                           {"", ""},
		"hunter2":                    {"[redacted]", "hunter2"},
		"${env:A}":                   {"${env:A}", ""},
		"Bearer ${env:A}":            {"[redacted]${env:A}", "Bearer "},
		"${env:U}:${gcpsecret:pass}": {"${env:U}[redacted]${gcpsecret:pass}", ":"},
	} {
		if got := [2]string{Mask(s), Without(s)}; got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// clock is a time that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func resolverWith(read Reader) (*Resolver, *clock) {
	c := &clock{t: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)}
	r := NewResolver(map[string]Reader{GCPSecret: read, Env: read})
	r.now = c.now
	return r, c
}

func TestResolve(t *testing.T) {
	r, _ := resolverWith(func(_ context.Context, path, _ string) (string, error) {
		if path == "missing" {
			return "", fmt.Errorf("no such thing: %w", ErrNotFound)
		}
		return "value-of-" + path + "${env:never}", nil
	})
	for s, want := range map[string]string{
		"plain ${offset.x}":           "plain ${offset.x}",
		"a=${gcpsecret:k}&b=${env:b}": "a=value-of-k${env:never}&b=value-of-b${env:never}",
	} {
		got, err := r.Resolve(t.Context(), s)
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
	_, err := r.Resolve(t.Context(), "${gcpsecret:missing} ${vault:x} ${file:/nowhere} ${env:k}")
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	for _, ref := range []string{"${gcpsecret:missing}", "${file:/nowhere}"} {
		if !strings.Contains(err.Error(), ref) {
			t.Errorf("%v does not name %s", err, ref)
		}
	}
	if strings.Contains(err.Error(), "value-of") {
		t.Errorf("the error holds a value: %v", err)
	}
}

func TestCacheHoldsFiveMinutes(t *testing.T) {
	var reads atomic.Int32
	r, c := resolverWith(func(context.Context, string, string) (string, error) {
		return fmt.Sprint("version-", reads.Add(1)), nil
	})
	resolve := func() string {
		t.Helper()
		got, err := r.Resolve(t.Context(), "${gcpsecret:k}")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	resolve()
	c.advance(keep - time.Second)
	if got := resolve(); got != "version-1" {
		t.Errorf("read again too early: %s", got)
	}
	c.advance(time.Second)
	if got := resolve(); got != "version-2" {
		t.Errorf("not read again after five minutes: %s", got)
	}
}

func TestRefresh(t *testing.T) {
	var reads atomic.Int32
	var value atomic.Value
	value.Store("first-key")
	r, _ := resolverWith(func(context.Context, string, string) (string, error) {
		reads.Add(1)
		if v := value.Load().(string); v != "" {
			return v, nil
		}
		return "", errors.New("down")
	})
	refresh := func(s string, want bool) {
		t.Helper()
		if changed, err := r.Refresh(t.Context(), s); err != nil || changed != want {
			t.Errorf("changed is %v, %v; want %v", changed, err, want)
		}
	}
	const s = "${gcpsecret:k} and ${gcpsecret:k}"
	if _, err := r.Resolve(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	refresh(s, false)
	if reads.Load() != 2 {
		t.Errorf("one resolve and one refresh made %d reads", reads.Load())
	}
	value.Store("second-key")
	refresh(s, true)
	refresh(s, false)
	refresh("no reference", false)
	before := reads.Load()
	if got, _ := r.Resolve(t.Context(), s); got != "second-key and second-key" || reads.Load() != before {
		t.Errorf("after a refresh: %q", got)
	}
	if got := r.Scrub("first-key second-key"); got != "[redacted] [redacted]" {
		t.Errorf("after a rotation Scrub leaves %q", got)
	}
	value.Store("")
	if _, err := r.Refresh(t.Context(), s); err == nil {
		t.Error("a failed read is no error")
	}
	if got, err := r.Resolve(t.Context(), s); err != nil || got != "second-key and second-key" {
		t.Errorf("a failed refresh lost the value held: %q, %v", got, err)
	}
}

func TestOneFlight(t *testing.T) {
	var reads atomic.Int32
	release := make(chan struct{})
	r, _ := resolverWith(func(context.Context, string, string) (string, error) {
		reads.Add(1)
		<-release
		return "value", nil
	})
	// The first caller gives up; its read goes on for the others.
	impatient, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := r.Resolve(impatient, "${env:A}")
		gone <- err
	}()
	for reads.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the impatient caller got %v", err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := r.Resolve(t.Context(), "${env:A}"); got != "value" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := reads.Load(); n != 1 {
		t.Errorf("%d reads", n)
	}
}

func TestErrorsAreNotHeld(t *testing.T) {
	var reads atomic.Int32
	r, _ := resolverWith(func(context.Context, string, string) (string, error) {
		if reads.Add(1) == 1 {
			return "", errors.New("down")
		}
		return "value", nil
	})
	if _, err := r.Resolve(t.Context(), "${env:A}"); err == nil {
		t.Fatal("no error")
	}
	if got, err := r.Resolve(t.Context(), "${env:A}"); got != "value" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestScrubFindsEveryForm(t *testing.T) {
	r := NewResolver(nil)
	const key = `p+ss/w"rd&<é> 1`
	r.Hide(key)
	escaped, _ := json.Marshal(key)
	for name, s := range map[string]string{
		"plain":              "token " + key + " refused",
		"query":              "https://h/?k=" + url.QueryEscape(key),
		"path":               "https://h/" + url.PathEscape(key),
		"JSON":               string(escaped),
		"quoted":             fmt.Sprintf("%q", key),
		"JSON without HTML":  `{"k":"p+ss/w\"rd&<é> 1"}`,
		"base64":             base64.StdEncoding.EncodeToString([]byte(key)),
		"base64 url":         base64.RawURLEncoding.EncodeToString([]byte(key)),
		"basic, one letter":  base64.StdEncoding.EncodeToString([]byte("u:" + key)),
		"basic, two letters": base64.StdEncoding.EncodeToString([]byte("us:" + key)),
		"basic, three":       base64.StdEncoding.EncodeToString([]byte("use:" + key + "!")),
		"SASL PLAIN message": base64.StdEncoding.EncodeToString([]byte("\x00user\x00" + key)),
		"twice":              key + key,
	} {
		got := r.Scrub(s)
		if !strings.Contains(got, "[redacted]") {
			t.Errorf("%s: %q is left as it is", name, s)
		}
		if strings.Contains(got, "w\"rd") || strings.Contains(got, "rd&") {
			t.Errorf("%s: %q shows the credential", name, got)
		}
	}
	if got := r.Scrub("nothing here"); got != "nothing here" {
		t.Errorf("got %q", got)
	}
}

// TestScrubFindsEveryPartOfAURL holds what each escape leaves as it is, in one credential.
func TestScrubFindsEveryPartOfAURL(t *testing.T) {
	const key = "pä/q:r@s?t,u;v=w+x y'z"
	r := NewResolver(nil)
	r.Hide(key)
	u := url.URL{Scheme: "https", User: url.UserPassword("user", key), Host: "h", Path: "/a/" + key + "/b", Fragment: key}
	for name, s := range map[string]string{
		"user information, path and fragment": u.String(),
		"user":                                (&url.URL{Scheme: "https", User: url.User(key), Host: "h"}).String(),
		"query, small digits":                 "k=" + strings.ToLower(url.QueryEscape(key)),
		"what castorm escapes in a query":     "https://h/?k=p%C3%A4/q:r@s?t,u;v=w+x%20y%27z",
		"quoted in ASCII":                     strconv.QuoteToASCII(key),
	} {
		got := r.Scrub(s)
		if !strings.Contains(got, "[redacted]") || strings.Contains(got, "u;v") || strings.Contains(got, "y'z") || strings.Contains(got, "%27z") || strings.Contains(got, "%3dw") {
			t.Errorf("%s: %q shows the credential", name, got)
		}
	}
}

func TestScrubOfLongCredentials(t *testing.T) {
	r := NewResolver(nil)
	pem := "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END " + "PRIVATE KEY-----\n"
	account, _ := json.Marshal(map[string]string{
		"type": "service_account", "private_key": pem, "private_key_id": "0123456789abcdef", "client_email": "sink@p.iam.gserviceaccount.com",
	})
	r.Hide(string(account))
	for _, s := range []string{
		string(account), pem, "line AQEFAASCBKcwggSjAgEAAoIB alone", "kid 0123456789abcdef",
		strings.ReplaceAll(pem, "\n", `\n`),
	} {
		got := r.Scrub(s)
		if strings.Contains(got, "AQEFAASCBK") || strings.Contains(got, "0123456789abcdef") {
			t.Errorf("%q shows the key", got)
		}
	}
	if got := r.Scrub("sink@p.iam.gserviceaccount.com"); !strings.Contains(got, "sink@p") {
		t.Errorf("an account's name is no credential: %q", got)
	}
	r.Hide("")
	r.Hide("ab")
	if got := r.Scrub("abacus"); got != "abacus" {
		t.Errorf("got %q", got)
	}
}

func TestLongerCredentialWins(t *testing.T) {
	r := NewResolver(nil)
	r.Hide("abcd")
	r.Hide("abcdefgh")
	if got := r.Scrub("x abcdefgh y"); got != "x [redacted] y" {
		t.Errorf("got %q", got)
	}
}

func TestResolvePlainHidesOnlySecretManager(t *testing.T) {
	r, _ := resolverWith(func(_ context.Context, path, _ string) (string, error) { return "value-" + path, nil })
	if _, err := r.ResolvePlain(t.Context(), "${env:bucket} ${gcpsecret:key}"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Refresh(t.Context(), "${env:bucket} ${gcpsecret:key}"); err != nil {
		t.Fatal(err)
	}
	if got := r.Scrub("value-bucket value-key"); got != "value-bucket [redacted]" {
		t.Errorf("got %q", got)
	}
	if _, err := r.Resolve(t.Context(), "${env:bucket}"); err != nil {
		t.Fatal(err)
	}
	if got := r.Scrub("value-bucket"); got != "[redacted]" {
		t.Errorf("resolved as a credential later: %q", got)
	}
}

func TestReaders(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := write("token", "abc\n\n")
	dos := write("dos", "abc\r\n")
	props := write("keys.properties", "# keys\nriot.key = RGAPI-1\npass\\:word:a\\=b\\u00e9\nempty=\nlong=one \\\n    two\n")
	large := write("large", strings.Repeat("x", largest+1))
	r := NewResolver(map[string]Reader{
		Env:  EnvReader(func(name string) (string, bool) { return "e-" + name, name != "NONE" }),
		File: FileReader(), Dir: DirReader(),
	})
	for s, want := range map[string]string{
		"${env:A}":                        "e-A",
		"${file:" + whole + "}":           "abc\n",
		"${file:" + dos + "}":             "abc",
		"${file:" + props + ":riot.key}":  "RGAPI-1",
		"${file:" + props + ":pass:word}": "a=bé",
		"${file:" + props + ":empty}":     "",
		"${file:" + props + ":long}":      "one two",
		"${dir:" + dir + ":token}":        "abc\n",
	} {
		if got, err := r.Resolve(t.Context(), s); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", s, got, err, want)
		}
	}
	for s, want := range map[string]error{
		"${env:NONE}":                  ErrNotFound,
		"${file:}":                     ErrNotFound,
		"${file:" + dir + "}":          ErrNotFound,
		"${file:" + dir + "/nothing}":  ErrNotFound,
		"${file:" + props + ":absent}": ErrNotFound,
		"${dir:" + dir + "}":           ErrNotFound,
		"${dir:" + dir + ":../x}":      ErrNotFound,
		"${dir:" + dir + ":..}":        ErrNotFound,
		"${file:" + large + "}":        nil,
	} {
		_, err := r.Resolve(t.Context(), s)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", s, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "RGAPI") || len(err.Error()) > 500) {
			t.Errorf("%s: the error shows what is in the file: %.200v", s, err)
		}
	}
}

func FuzzProperties(f *testing.F) {
	for _, s := range []string{"a=b", "a:b\\\n c", "\\u00e9=\\uD83D\\uDE00", "\\", "=", "a\\=b c", "!x\n#y\nz", "\\u12", "k=\\u12"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, value := range properties(s) {
			if len(name)+len(value) > 4*len(s)+16 {
				t.Errorf("%q grew to %q=%q", s, name, value)
			}
		}
	})
}

func FuzzReferences(f *testing.F) {
	for _, s := range []string{"${env:A}", "${${env:A}", "${file:a:b:c}", "${dir:", "}${gcpsecret:}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b strings.Builder
		for _, p := range split(s) {
			b.WriteString(p.text)
		}
		if b.String() != s {
			t.Errorf("the pieces of %q make %q", s, b.String())
		}
		rest := Without(s)
		for _, ref := range References(s) {
			if !strings.Contains(s, ref.Provider) || len(rest) > len(s) {
				t.Errorf("%q gives %v", s, ref)
			}
		}
	})
}
