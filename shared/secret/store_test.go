package secret

import (
	"context"
	"errors"
	"strings"
	"testing"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func (m *manager) CreateSecret(_ context.Context, q *secretmanagerpb.CreateSecretRequest) (*secretmanagerpb.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := q.GetParent() + "/secrets/" + q.GetSecretId()
	if code, ok := m.failures[name]; ok {
		return nil, status.Error(code, "refused by the test")
	}
	if q.GetSecret().GetReplication().GetAutomatic() == nil {
		return nil, status.Error(codes.InvalidArgument, "no replication")
	}
	m.asked = append(m.asked, "create "+name)
	return &secretmanagerpb.Secret{Name: name}, nil
}

func (m *manager) AddSecretVersion(_ context.Context, q *secretmanagerpb.AddSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if code, ok := m.failures["add "+q.GetParent()]; ok {
		return nil, status.Error(code, "refused by the test")
	}
	if q.GetPayload().DataCrc32C == nil {
		return nil, status.Error(codes.InvalidArgument, "no checksum")
	}
	m.asked = append(m.asked, "add "+q.GetParent())
	m.payloads[q.GetParent()+"/versions/latest"] = string(q.GetPayload().GetData())
	return &secretmanagerpb.SecretVersion{Name: q.GetParent() + "/versions/1"}, nil
}

func TestStore(t *testing.T) {
	const base = "projects/p/secrets/"
	m := &manager{
		payloads: map[string]string{base + "same/versions/latest": "hunter2\n", base + "other/versions/latest": "hunter3"},
		failures: map[string]codes.Code{
			base + "empty":                    codes.AlreadyExists,
			base + "hidden/versions/latest":   codes.PermissionDenied,
			base + "disabled/versions/latest": codes.FailedPrecondition,
			base + "forbidden":                codes.PermissionDenied,
			"add " + base + "full":            codes.ResourceExhausted,
		},
	}
	var made *secretmanager.Client
	for name, c := range map[string]struct {
		value string
		want  Stored
		is    error
		says  string
	}{
		"new":       {"hunter2", Created, nil, ""},
		"empty":     {"hunter2", Added, nil, ""},
		"same":      {"hunter2", Same, nil, ""},
		"other":     {"hunter2", 0, ErrOther, "versions add other"},
		"hidden":    {"hunter2", 0, ErrDenied, "secretmanager.admin"},
		"disabled":  {"hunter2", 0, ErrNotFound, "disabled"},
		"forbidden": {"hunter2", 0, ErrDenied, "creating"},
		"full":      {"hunter2", 0, nil, "adding a version"},
		"no/name":   {"hunter2", 0, nil, "name"},
		"nothing":   {"", 0, nil, "bytes"},
		"large":     {strings.Repeat("hunter2", 10000), 0, nil, "bytes"},
	} {
		if made == nil {
			made = clientOf(t, m)
		}
		got, err := Store(t.Context(), made, "p", name, New(c.value))
		if got != c.want || (err == nil) != (c.want != 0) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.payloads[base+"new/versions/latest"] != "hunter2" || m.payloads[base+"empty/versions/latest"] != "hunter2" || m.payloads[base+"other/versions/latest"] != "hunter3" {
		t.Errorf("stored: %v", m.payloads)
	}
}
