package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/riftline/riftline/shared/connector"
)

// planted are credentials in every place that a connector file has for one. None may come out of import anywhere.
var planted = []string{
	"RGAPI-hunter2-riot", "bearer-hunter2-b", "query-hunter2-q", "url-hunter2-p", "body-hunter2-o",
	"basic-hunter2-a", "proxy-hunter2-r", "keystore-hunter2-k", "jaas-hunter2-j", "registry-hunter2-g", "regurl-hunter2-u",
	"QUtleU5vdEFLZXk", "8675309001122", "license-hunter2-l", "unknown-hunter2-n", "comment-hunter2-c",
}

const plantedSource = `{
  // the old key was comment-hunter2-c
  "name": "full-source",
  "connector.class": "com.github.castorm.kafka.connect.http.HttpSourceConnector",
  "kafka.topic": "t",
  "http.request.url": "https://user:url-hunter2-p@example.com/x?page=1&api_key=query-hunter2-q",
  "http.request.method": "POST",
  "http.request.body": "{\"client_secret\": \"body-hunter2-o\"}",
  "http.request.headers": "X-Riot-Token: RGAPI-hunter2-riot, Authorization: Bearer bearer-hunter2-b",
  "http.response.record.offset.pointer": "key=/id",
  "http.auth.type": "Basic", "http.auth.user": "u", "http.auth.password": "basic-hunter2-a",
  "http.client.proxy.host": "p", "http.client.proxy.password": "proxy-hunter2-r",
  "http.client.keystore": "/k.p12", "producer.override.ssl.key.password": 8675309001122, "http.client.keystore.password": "keystore-hunter2-k",
  "producer.override.security.protocol": "SASL_SSL", "producer.override.sasl.mechanism": "PLAIN",
  "producer.override.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"jaas-hunter2-j\";",
  "my.own.token": "unknown-hunter2-n"
}`

const plantedSink = `{
  "name": "full-sink",
  "config": {
    "connector.class": "io.confluent.connect.gcs.GcsSinkConnector",
    "topics": "t", "flush.size": 1000, "gcs.bucket.name": "archive",
    "storage.class": "io.confluent.connect.gcs.storage.GcsStorage",
    "format.class": "io.confluent.connect.gcs.format.avro.AvroFormat",
    "value.converter.schema.registry.url": "http://u:regurl-hunter2-u@registry:8081",
    "value.converter.basic.auth.credentials.source": "USER_INFO",
    "value.converter.basic.auth.user.info": "u:registry-hunter2-g",
    "gcs.credentials.json": {"type": "service_account", "private_key": "-----BEGIN MADE-UP KEY-----\nQUtleU5vdEFLZXk=\n-----END MADE-UP KEY-----\n"},
    "confluent.license": "license-hunter2-l",
    "consumer.override.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"jaas-hunter2-j\";"
  }
}`

// shows fails the test where a planted credential stands in a text, in one of the forms that it may take.
func shows(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range planted {
		for _, form := range []string{secret, url.QueryEscape(secret), base64.RawStdEncoding.EncodeToString([]byte(secret))[:12]} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows %s", where, secret)
			}
		}
	}
}

// showsFiles is shows for all files under a folder.
func showsFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			shows(t, path, contents(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func plantedFiles(t *testing.T) (source, sink string) {
	t.Helper()
	return write(t, "full-source.json", plantedSource), write(t, "full-sink.json", plantedSink)
}

func TestImportShowsWhatItWouldDo(t *testing.T) {
	source, sink := plantedFiles(t)
	code, out, errOut := command(t, "", "import", source, sink)
	if code != exitDone || errOut != "" {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	shows(t, "the output", out)
	if contents(t, source) != plantedSource || contents(t, sink) != plantedSink {
		t.Error("a file was written")
	}
	for _, want := range []string{
		"- http.request.headers: X-Riot-Token: [redacted], Authorization: Bearer [redacted]",
		"+ http.request.headers: X-Riot-Token: ${gcpsecret:riot-api-key}, Authorization: Bearer ${gcpsecret:full-source-authorization}",
		"+ http.request.url: https://user:${gcpsecret:full-source-password}@example.com/x?page=1&api_key=${gcpsecret:full-source-api_key}",
		"+ value.converter.basic.auth.user.info: u:${gcpsecret:full-sink-registry-password-2}",
		"full-source-kafka-password  (full-source: password in producer.override.sasl.jaas.config; full-sink: password in consumer.override.sasl.jaas.config)",
		"--value riot-api-key | gcloud secrets create riot-api-key --data-file=-",
		"comments",
		"validate: ",
		"gcloud secrets versions add",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q:\n%s", want, out)
		}
	}
}

func TestImportWritesStrictFilesWithoutCredentials(t *testing.T) {
	source, sink := plantedFiles(t)
	dir := filepath.Join(t.TempDir(), "connectors")
	code, out, errOut := command(t, "", "import", source, sink, "--out", dir)
	if code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	shows(t, "the output", out+errOut)
	showsFiles(t, dir)
	files := []string{filepath.Join(dir, "full-source.json"), filepath.Join(dir, "full-sink.json")}
	if code, out, errOut := command(t, "", "fmt", "--check", files[0], files[1]); code != exitDone {
		t.Errorf("not strict: exit %d\n%s%s", code, out, errOut)
	}
	for i, before := range []string{plantedSource, plantedSink} {
		was, err := connector.Parse("x", []byte(before))
		if err != nil {
			t.Fatal(err)
		}
		is, err := connector.Parse(files[i], []byte(contents(t, files[i])))
		if err != nil {
			t.Fatal(err)
		}
		if len(is.Config) != len(was.Config) || len(is.Credentials()) > 0 || is.Name != was.Name {
			t.Errorf("%s: %+v", files[i], is.Config)
		}
		masked := was.Masked().Config
		for key, value := range was.Config {
			if masked[key] == value && is.Config[key] != value {
				t.Errorf("%s was %q and is %q", key, value, is.Config[key])
			}
		}
	}
	// A second time there is nothing to do; a file that differs is not overwritten.
	if code, out, errOut := command(t, "", "import", source, sink, "--out", dir); code != exitDone {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	edited := strings.Replace(contents(t, files[1]), `"1000"`, `"5000"`, 1)
	if err := os.WriteFile(files[1], []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut = command(t, "", "import", source, sink, "--out", dir)
	if code != exitUsage || !strings.Contains(errOut, "--force") || contents(t, files[1]) != edited {
		t.Errorf("exit %d: %s", code, errOut)
	}
	if code, _, errOut := command(t, "", "import", source, sink, "--out", dir, "--force"); code != exitDone || contents(t, files[1]) == edited {
		t.Errorf("exit %d: %s", code, errOut)
	}
	// An imported file has nothing more to import.
	code, out, _ = command(t, "", "import", files[0], files[1])
	if code != exitDone || strings.Count(out, "no credential in it") != 2 || strings.Contains(out, "gcloud") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestImportInPlaceLosesNoValue(t *testing.T) {
	source, sink := plantedFiles(t)
	code, out, errOut := command(t, "", "import", source, sink, "--write")
	if code != exitUsage || !strings.Contains(errOut, "--stored") || contents(t, source) != plantedSource {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	shows(t, "the output", out+errOut)
	code, out, errOut = command(t, "", "import", source, sink, "--write", "--stored")
	if code != exitDone || !strings.Contains(out, "history") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	shows(t, "the output", out+errOut)
	showsFiles(t, filepath.Dir(source))
	showsFiles(t, filepath.Dir(sink))
	// Files without credentials need no --stored.
	if code, _, errOut := command(t, "", "import", source, "--write"); code != exitDone {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

func TestImportValueGoesIntoAPipeOnly(t *testing.T) {
	source, sink := plantedFiles(t)
	args := []string{"import", source, sink, "--value", "full-sink-credentials"}
	code, out, errOut := command(t, "", args...)
	if code != exitUsage || out != "" || !strings.Contains(errOut, "pipe") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	shows(t, "the error", errOut)
	file, err := os.Create(filepath.Join(t.TempDir(), "value"))
	if err != nil {
		t.Fatal(err)
	}
	if code := execute(t.Context(), args, nil, file, io.Discard, nil); code != exitUsage {
		t.Errorf("exit %d into a file", code)
	}
	if text := contents(t, file.Name()); text != "" {
		t.Errorf("the file holds %d bytes", len(text))
	}
	_ = file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	code = execute(t.Context(), args, nil, w, io.Discard, nil)
	_ = w.Close()
	value, err := io.ReadAll(r)
	want := `{"type":"service_account","private_key":"-----BEGIN MADE-UP KEY-----\nQUtleU5vdEFLZXk=\n-----END MADE-UP KEY-----\n"}`
	if code != exitDone || err != nil || string(value) != want {
		t.Errorf("exit %d: %q, %v", code, value, err)
	}
	for _, name := range []string{"none", ""} {
		if code, _, errOut := command(t, "", "import", source, "--value="+name, "--project", "p"); name != "" && (code != exitUsage || !strings.Contains(errOut, "no credential")) {
			t.Errorf("--value %q: exit %d, %s", name, code, errOut)
		}
	}
}

func TestImportOfPlaceholders(t *testing.T) {
	text := strings.Replace(pastedSource, "RGAPI-hunter2-hunter2", "{your token}", 1)
	file := write(t, "challenger.json", text)
	code, out, errOut := command(t, "", "import", file, "--write")
	if code != exitDone || !strings.Contains(out, "a placeholder stood there") || !strings.Contains(contents(t, file), "${gcpsecret:riot-api-key}") {
		t.Errorf("exit %d\n%s%s\n%s", code, out, errOut, contents(t, file))
	}
	file = write(t, "challenger.json", text)
	if code, _, errOut := command(t, "", "import", file, "--value", "riot-api-key"); code != exitUsage || !strings.Contains(errOut, "placeholder") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

// vault is Secret Manager as far as storing goes.
type vault struct {
	secretmanagerpb.UnimplementedSecretManagerServiceServer
	mu     sync.Mutex
	values map[string]string
	fails  codes.Code
}

func (v *vault) AccessSecretVersion(_ context.Context, q *secretmanagerpb.AccessSecretVersionRequest) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	value, ok := v.values[strings.TrimSuffix(q.GetName(), "/versions/latest")]
	if v.fails != codes.OK {
		return nil, status.Error(v.fails, "refused by the test")
	}
	if !ok {
		return nil, status.Error(codes.NotFound, "none")
	}
	return &secretmanagerpb.AccessSecretVersionResponse{Payload: &secretmanagerpb.SecretPayload{Data: []byte(value)}}, nil
}

func (v *vault) CreateSecret(_ context.Context, q *secretmanagerpb.CreateSecretRequest) (*secretmanagerpb.Secret, error) {
	return &secretmanagerpb.Secret{Name: q.GetParent() + "/secrets/" + q.GetSecretId()}, nil
}

func (v *vault) AddSecretVersion(_ context.Context, q *secretmanagerpb.AddSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values[q.GetParent()] = string(q.GetPayload().GetData())
	return &secretmanagerpb.SecretVersion{}, nil
}

// commandWith runs a command that reaches v for Secret Manager.
func commandWith(t *testing.T, v *vault, environ []string, args ...string) (code int, out, errOut string) {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	secretmanagerpb.RegisterSecretManagerServiceServer(server, v)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	var o, e bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &o, err: &e, environ: environ}
	a.newSecretManager = func(ctx context.Context, _ string) (*secretmanager.Client, error) {
		if v == nil {
			return nil, errors.New("no login")
		}
		conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			return nil, err
		}
		return secretmanager.NewClient(ctx, option.WithGRPCConn(conn))
	}
	code = a.execute(t.Context(), args)
	return code, o.String(), e.String()
}

func TestImportStores(t *testing.T) {
	source, sink := plantedFiles(t)
	v := &vault{values: map[string]string{"projects/p/secrets/riot-api-key": "RGAPI-hunter2-riot\n"}}
	code, out, errOut := commandWith(t, v, []string{"GOOGLE_CLOUD_PROJECT=p"}, "import", source, sink, "--write", "--store")
	if code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	shows(t, "the output", out+errOut)
	showsFiles(t, filepath.Dir(source))
	for name, want := range map[string]string{
		"riot-api-key": "RGAPI-hunter2-riot\n", "full-source-authorization": "bearer-hunter2-b",
		"full-source-kafka-password": "jaas-hunter2-j", "full-source-http-auth-password": "basic-hunter2-a", "full-sink-confluent-license": "license-hunter2-l",
	} {
		if got := v.values["projects/p/secrets/"+name]; got != want {
			t.Errorf("%s holds %q", name, got)
		}
	}
	if !strings.Contains(out, "there already") || !strings.Contains(out, "created") {
		t.Errorf("it says\n%s", out)
	}
}

func TestImportThatCannotStoreWritesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		v       *vault
		environ []string
		code    int
		says    string
	}{
		"no project":    {&vault{}, nil, exitUsage, "--project"},
		"no login":      {nil, []string{"GOOGLE_CLOUD_PROJECT=p"}, exitUsage, "application-default login"},
		"another value": {&vault{values: map[string]string{"projects/p/secrets/riot-api-key": "RGAPI-0"}}, []string{"GOOGLE_CLOUD_PROJECT=p"}, exitStopped, "versions add riot-api-key"},
		"denied":        {&vault{fails: codes.PermissionDenied}, []string{"GOOGLE_CLOUD_PROJECT=p"}, exitUsage, "secretmanager.admin"},
		"internal":      {&vault{fails: codes.Internal}, []string{"GOOGLE_CLOUD_PROJECT=p"}, exitTransient, "Secret Manager"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := write(t, "challenger.json", plantedSource)
			code, out, errOut := commandWith(t, c.v, c.environ, "import", file, "--write", "--store")
			if code != c.code || !strings.Contains(errOut, c.says) || contents(t, file) != plantedSource {
				t.Errorf("exit %d\n%s%s", code, out, errOut)
			}
			shows(t, "the output", out+errOut)
		})
	}
}

func TestImportRefuses(t *testing.T) {
	source, sink := plantedFiles(t)
	twin := write(t, "twin.json", plantedSink)
	outside := write(t, "outside.json", `{"config": {"connector.class": "GcsSink"}, "password": "url-hunter2-p"}`)
	torn := write(t, "torn.json", `{"connector.class": "GcsSink", "http.auth.password": "url-hunter2-p`)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"nothing":             {[]string{}, "--connect URL"},
		"both":                {[]string{source, "--connect", "http://h"}, "not both"},
		"write from Connect":  {[]string{"--connect", "http://h", "--write"}, "--out DIR"},
		"names without":       {[]string{source, "--connector", "x"}, "belongs to --connect"},
		"force alone":         {[]string{source, "--force"}, "--out"},
		"stored alone":        {[]string{source, "--stored"}, "--write"},
		"two of one name":     {[]string{sink, twin, "--out", t.TempDir()}, "both become"},
		"missing":             {[]string{"none.json"}, "none.json"},
		"outside config":      {[]string{outside}, "outside"},
		"torn":                {[]string{torn}, "torn.json"},
		"no address":          {[]string{"--connect", "u:url-hunter2-p@h"}, "--connect takes the URL"},
		"a broken password":   {[]string{"--connect", "http://u:%zzurl-hunter2-p@h"}, "percent-encoded"},
		"a broken address":    {[]string{"--connect", "http://u:url-hunter2-p@h:x:y/"}, "--connect takes the URL"},
		"a secret of nobody":  {[]string{"--connect", "http://${env:NOBODY}:url-hunter2-p@h"}, "NOBODY"},
		"another scheme":      {[]string{"--connect", "ftp://u:url-hunter2-p@h"}, "--connect takes the URL"},
		"write and out":       {[]string{source, "--write", "--out", "x"}, "none of the others"},
		"an unknown flag":     {[]string{source, "--in-place"}, "--in-place"},
		"a folder for a file": {[]string{source, "--out", filepath.Join(source, "x")}, "full-source.json"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(t, "", append([]string{"import"}, c.args...)...)
			if code != exitUsage || !strings.Contains(out+errOut, c.says) {
				t.Errorf("exit %d\n%s%s\nwant 2 and %q", code, out, errOut, c.says)
			}
			shows(t, "the output", out+errOut)
		})
	}
}
