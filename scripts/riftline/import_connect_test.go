package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riftline/riftline/shared/connector"
)

// cluster stands in for Kafka Connect's REST interface, with the answers that its documentation gives.
type cluster struct {
	configs map[string]map[string]any
	// old is a Connect that does not know expand.
	old            bool
	user, password string
	status         int
	body           string
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	user, password, _ := q.BasicAuth()
	name, isConfig := strings.CutSuffix(strings.TrimPrefix(q.URL.Path, "/connect/connectors/"), "/config")
	switch {
	case c.status != 0:
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		w.WriteHeader(c.status)
		_, _ = w.Write([]byte(c.body))
	case user != c.user || password != c.password:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte("User url-hunter2-p cannot access the resource."))
	case q.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case c.body != "":
		_, _ = w.Write([]byte(c.body))
	case q.URL.Path == "/connect/connectors" && q.URL.Query().Get("expand") == "info" && !c.old:
		out := map[string]any{}
		for name, config := range c.configs {
			out[name] = map[string]any{"info": map[string]any{"name": name, "config": config, "tasks": []any{map[string]any{"connector": name, "task": 0}}, "type": "source"}}
		}
		_ = json.NewEncoder(w).Encode(out)
	case q.URL.Path == "/connect/connectors":
		names := []string{}
		for name := range c.configs {
			names = append(names, name)
		}
		_ = json.NewEncoder(w).Encode(names)
	case isConfig && c.configs[name] != nil:
		_ = json.NewEncoder(w).Encode(c.configs[name])
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error_code":404,"message":"HTTP 404 Not Found"}`))
	}
}

// serveCluster holds the planted connectors and others, and returns the address with a path, as behind a proxy.
func serveCluster(t *testing.T, c *cluster) string {
	t.Helper()
	if c.configs == nil {
		c.configs = map[string]map[string]any{
			"mirror": {"connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector", "name": "mirror", "password": "basic-hunter2-a"},
			"vaulted": {"connector.class": "GcsSink", "name": "vaulted", "topics": "t", "flush.size": "10", "gcs.bucket.name": "archive", "format.class": "AvroFormat", "storage.class": "GcsStorage",
				"value.converter.schema.registry.url": "http://registry:8081", "nothing": nil,
				"gcs.credentials.json": "${file:/run/secrets/gcs.json}", "gcs.proxy.password": "${vault:secret/proxy:password}"},
		}
		for name, text := range map[string]string{"full-source": plantedSource, "full-sink": plantedSink} {
			parsed, err := connector.Parse(name+".json", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			config := map[string]any{}
			for key, value := range parsed.Config {
				config[key] = value
			}
			config["name"] = name
			c.configs[name] = config
		}
	}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return server.URL + "/connect/"
}

func withUser(address, user string) string { return strings.Replace(address, "://", "://"+user+"@", 1) }

func TestImportFromConnect(t *testing.T) {
	for name, c := range map[string]struct {
		cluster cluster
		user    string
	}{
		"plain":                  {cluster{}, ""},
		"before expand":          {cluster{old: true}, ""},
		"user in the address":    {cluster{user: "u@x", password: "url-hunter2-p"}, "u%40x:url-hunter2-p"},
		"references":             {cluster{user: "u@/1", password: "url-hunter2-p"}, "${env:CONNECT_USER}:${env:CONNECT_PASSWORD}"},
		"a reference for a half": {cluster{user: "u", password: "url-hunter2-p"}, "u:${env:CONNECT_PASSWORD}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := serveCluster(t, &c.cluster)
			if c.user != "" {
				address = withUser(address, c.user)
			}
			dir := filepath.Join(t.TempDir(), "out")
			environ := []string{"CONNECT_USER=" + c.cluster.user, "CONNECT_PASSWORD=" + c.cluster.password}
			code, out, errOut := commandIn(t, environ, "", "import", "--connect", address, "--out", dir)
			if code != exitDone {
				t.Fatalf("exit %d\n%s%s", code, out, errOut)
			}
			shows(t, "the output", out+errOut)
			showsFiles(t, dir)
			for _, want := range []string{
				"left out  mirror: org.apache.kafka.connect.mirror.MirrorSourceConnector is neither",
				"CONNECT_BOOTSTRAP_SERVERS  (full-sink, full-source, vaulted)",
				"CONNECT_VALUE_CONVERTER  (full-sink, full-source, vaulted; unset, it is AvroConverter)",
				"CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL  (full-source)",
				"/connectors/NAME/stop", "riftline import --connect ",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("nothing says %q:\n%s", want, out)
				}
			}
			for _, name := range []string{"full-source", "full-sink", "vaulted"} {
				file := filepath.Join(dir, name+".json")
				is, err := connector.Parse(file, []byte(contents(t, file)))
				if text := contents(t, file); !strings.HasPrefix(text, "{\n  \"name\": \""+name+"\",\n  \"connector.class\": ") {
					t.Errorf("%s begins otherwise:\n%s", name, text)
				}
				if err != nil || is.Name != name || len(is.Credentials()) > 0 || len(is.Notes) > 0 {
					t.Errorf("%s: %v, %v", name, err, is.Notes)
				}
				for key, value := range c.cluster.configs[name] {
					text, given := value.(string)
					if masked := (connector.Connector{Config: map[string]string{key: text}}).Masked(); given && masked.Config[key] == text && is.Config[key] != text {
						t.Errorf("%s: %s was %q and is %q", name, key, text, is.Config[key])
					}
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
				t.Errorf("%v, %v", left, err)
			}
		})
	}
}

func TestImportOfNamedConnectors(t *testing.T) {
	address := serveCluster(t, &cluster{})
	code, out, errOut := command(t, "", "import", "--connect", address, "--connector", "vaulted", "--connector", "mirror")
	if code != exitDone || !strings.Contains(out, "vaulted  (sink, ") || strings.Contains(out, "full-") || !strings.Contains(out, "left out  mirror") || !strings.Contains(out, "nothing is written") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	code, _, errOut = command(t, "", "import", "--connect", address, "--connector", "nobody")
	if code != exitUsage || !strings.Contains(errOut, "full-sink, full-source, mirror, vaulted") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	code, out, _ = command(t, "", "import", "--connect", serveCluster(t, &cluster{configs: map[string]map[string]any{}}))
	if code != exitDone || !strings.Contains(out, "there is no connector") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestImportOfConnectorsThatCannotRun imports the others, says what is wrong, and ends with 2.
func TestImportOfConnectorsThatCannotRun(t *testing.T) {
	c := &cluster{configs: map[string]map[string]any{
		"with blank": {"connector.class": "GcsSink", "http.auth.password": "basic-hunter2-a"},
		"shaped":     {"connector.class": "GcsSink", "topics": "t", "flush.size": "10", "gcs.bucket.name": "archive", "transforms": "x", "gcs.proxy.password": "proxy-hunter2-r", "consumer.override.ssl.key.password": "${vault:secret/tls:key}"},
	}}
	dir := t.TempDir()
	code, out, errOut := command(t, "", "import", "--connect", serveCluster(t, c), "--out", dir)
	if code != exitUsage || !strings.Contains(out, "with blank") || !strings.Contains(out, "error: transforms") || !strings.Contains(out, "refused") || !strings.Contains(out, "refers to ${vault:secret/tls:key}") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	shows(t, "the output", out+errOut)
	showsFiles(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "shaped.json")); err != nil {
		t.Error(err)
	}
}

// TestImportFromConnectFails shows neither the password of the address nor what was answered, whatever goes wrong.
func TestImportFromConnectFails(t *testing.T) {
	const answer = `{"error_code":500,"message":"password url-hunter2-p of jaas-hunter2-j"}`
	for name, c := range map[string]struct {
		cluster cluster
		code    int
		says    string
	}{
		"a wrong password":     {cluster{user: "u", password: "other"}, exitUsage, "401"},
		"forbidden":            {cluster{status: 403, body: answer}, exitUsage, "CONNECT_PASSWORD"},
		"not Connect":          {cluster{status: 404, body: answer}, exitUsage, "REST interface"},
		"rebalancing":          {cluster{status: 409, body: answer}, exitTransient, "run it again"},
		"broken":               {cluster{status: 500, body: answer}, exitTransient, "500"},
		"sent elsewhere":       {cluster{status: 302, body: answer}, exitTransient, "asking Kafka Connect"},
		"no JSON":              {cluster{user: "u", password: "url-hunter2-p", body: "<html>jaas-hunter2-j</html>"}, exitUsage, "does not answer as Kafka Connect does"},
		"other JSON":           {cluster{user: "u", password: "url-hunter2-p", body: `{"version":{"is":"jaas-hunter2-j"}}`}, exitUsage, "does not answer"},
		"a list of no strings": {cluster{user: "u", password: "url-hunter2-p", body: `[{"x":"jaas-hunter2-j"}]`}, exitUsage, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := withUser(serveCluster(t, &c.cluster), "u:url-hunter2-p")
			code, out, errOut := command(t, "", "import", "--connect", address, "--out", t.TempDir())
			if code != c.code || !strings.Contains(errOut, c.says) {
				t.Errorf("exit %d\n%s%s\nwant %d and %q", code, out, errOut, c.code, c.says)
			}
			shows(t, "the output", out+errOut)
		})
	}
	code, out, errOut := command(t, "", "import", "--connect", "http://u:url-hunter2-p@127.0.0.1:1")
	if code != exitTransient || !strings.Contains(errOut, "127.0.0.1:1") {
		t.Errorf("nobody answers: exit %d\n%s%s", code, out, errOut)
	}
	shows(t, "the output", out+errOut)
}
