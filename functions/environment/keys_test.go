package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/secret"
)

// aged is a Secret Manager whose secrets have one version each, as old as ages says; one that has no age there does not
// show when it was added.
type aged struct {
	secretmanagerpb.UnimplementedSecretManagerServiceServer
	ages map[string]time.Duration
}

func (a aged) AccessSecretVersion(_ context.Context, q *secretmanagerpb.AccessSecretVersionRequest) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	return &secretmanagerpb.AccessSecretVersionResponse{
		Name:    strings.TrimSuffix(q.GetName(), "latest") + "4",
		Payload: &secretmanagerpb.SecretPayload{Data: []byte("value-of-a-key")},
	}, nil
}

func (a aged) GetSecretVersion(_ context.Context, q *secretmanagerpb.GetSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	age, ok := a.ages[q.GetName()]
	if !ok {
		return nil, status.Error(codes.PermissionDenied, "no secretmanager.versions.get")
	}
	return &secretmanagerpb.SecretVersion{Name: q.GetName(), CreateTime: timestamppb.New(time.Now().Add(-age))}, nil
}

// secretsOf is a resolver whose Secret Manager is a.
func secretsOf(t *testing.T, a aged) *secret.Resolver {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	secretmanagerpb.RegisterSecretManagerServiceServer(server, a)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return secret.NewResolver(map[string]secret.Reader{
		secret.GCPSecret: secret.GCPReader(func(ctx context.Context, _ string) (*secretmanager.Client, error) {
			return secretmanager.NewClient(ctx, option.WithGRPCConn(conn))
		}, "p"),
	})
}

// TestSummarySaysHowOldTheOldestKeyIs runs a poll and a drain that end before they begin, as they have no state bucket:
// their lines have the age all the same where it is known, and are the same without it where it is not.
func TestSummarySaysHowOldTheOldestKeyIs(t *testing.T) {
	const names = "projects/p/secrets/"
	folder := t.TempDir()
	for name, text := range map[string]string{
		"source": `{"name":"source","connector.class":"com.github.castorm.kafka.connect.http.HttpSourceConnector","kafka.topic":"t",
 "http.request.url":"https://api.example.com/x","http.request.headers":"X-Riot-Token: ${gcpsecret:riot-api-key}"}`,
		"sink": `{"name":"sink","connector.class":"io.confluent.connect.gcs.GcsSinkConnector","topics":"t","flush.size":"3","gcs.bucket.name":"archive",
 "value.converter":"io.confluent.connect.avro.AvroConverter","value.converter.schema.registry.url":"http://127.0.0.1:1",
 "format.class":"io.confluent.connect.gcs.format.avro.AvroFormat","storage.class":"io.confluent.connect.gcs.storage.GcsStorage"}`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const worker = "kafka-jaas"
	for name, c := range map[string]struct {
		ages           map[string]time.Duration
		ofPoll, ofSink string
		days           float64
	}{
		"the worker's key is the oldest":   {map[string]time.Duration{names + "riot-api-key/versions/4": 24 * time.Hour, names + worker + "/versions/4": 2400 * time.Hour}, names + worker, names + worker, 100},
		"the key of a source is no sink's": {map[string]time.Duration{names + "riot-api-key/versions/4": 2400 * time.Hour}, names + "riot-api-key", "", 100},
		"nothing is to be seen":            {nil, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Read([]string{"RIFTLINE_CONNECTORS=" + folder, "CONNECT_BOOTSTRAP_SERVERS=127.0.0.1:1", "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://127.0.0.1:1", "CONNECT_SECURITY_PROTOCOL=SASL_SSL",
				"CONNECT_SASL_MECHANISM=PLAIN", "CONNECT_SASL_JAAS_CONFIG=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"${gcpsecret:" + worker + "}\";"})
			if err != nil {
				t.Fatal(err)
			}
			e.Secrets = secretsOf(t, aged{ages: c.ages})
			// What is known when a run begins does not hang on how fast an answer comes.
			const all = "${gcpsecret:riot-api-key} ${gcpsecret:" + worker + "}"
			if _, err := e.Secrets.Resolve(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			_, _ = e.Secrets.Oldest(t.Context(), secret.References(all))
			for kind, want := range map[string]string{"poll": c.ofPoll, "drain": c.ofSink} {
				var out bytes.Buffer
				e.Log = logging.New(&out, logging.Options{JSON: true})
				if kind == "poll" {
					_, err = e.Poll(t.Context(), "source", nil)
				} else {
					_, err = e.Drain(t.Context(), "sink", 0, 1)
				}
				if err == nil || !strings.Contains(err.Error(), "RIFTLINE_STATE") {
					t.Errorf("%s: %v", kind, err)
				}
				var line map[string]any
				if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["message"] != kind {
					t.Fatalf("%s: %v: %s", kind, err, out.String())
				}
				days, known := line["oldest_key_days"].(float64)
				if known != (want != "") || known && (line["oldest_key"] != want || line["oldest_key_version"] != "4" || days < c.days || days > c.days+1) {
					t.Errorf("%s: the oldest key is %v %v of %v days, not %s", kind, line["oldest_key"], line["oldest_key_version"], line["oldest_key_days"], want)
				}
			}
		})
	}
}

func TestAgeInDays(t *testing.T) {
	for age, want := range map[time.Duration]float64{-time.Hour: 0, 0: 0, 36 * time.Hour: 1.5, 90*24*time.Hour + 15*time.Minute: 90.01, 24*time.Hour - time.Second: 0.99} {
		if got := keyAttrs("s", "1", age)[0].Value.Float64(); got != want {
			t.Errorf("%v is %v days", age, got)
		}
	}
}
