package secret

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (m *manager) GetSecretVersion(ctx context.Context, q *secretmanagerpb.GetSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	m.mu.Lock()
	hold := m.hold
	m.looked = append(m.looked, q.GetName())
	code, refused := m.failures["look "+q.GetName()]
	at, known := m.times[q.GetName()]
	m.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	if refused {
		return nil, status.Error(code, "refused by the test")
	}
	v := &secretmanagerpb.SecretVersion{Name: q.GetName()}
	if known {
		v.CreateTime = timestamppb.New(at)
	}
	return v, nil
}

// rotate makes a version of a secret's what latest stands for.
func (m *manager) rotate(name, number, text string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.payloads[name+"/versions/latest"] = text
	m.versions[name+"/versions/latest"] = name + "/versions/" + number
	m.times[name+"/versions/"+number] = at
}

func (m *manager) lookedAt() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.looked)
}

func aging(t *testing.T) (*manager, *Resolver, *clock) {
	t.Helper()
	m := &manager{payloads: map[string]string{}, failures: map[string]codes.Code{}, versions: map[string]string{}, times: map[string]time.Time{}}
	c := &clock{t: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)}
	read := gcpReader(&gcp{newClient: clientsOf(t, m), project: "p", looks: looks{now: c.now, byName: map[string]*look{}}})
	r := NewResolver(map[string]Reader{GCPSecret: read, Env: func(context.Context, string, string) (string, error) { return "of-env", nil }})
	r.now = c.now
	return m, r, c
}

var (
	spring = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	summer = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	autumn = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
)

const regional = "projects/1/locations/europe-west1/secrets/r"

// TestOldestVersion shows that the age is that of the oldest version which the references in question led to.
func TestOldestVersion(t *testing.T) {
	m, r, _ := aging(t)
	m.rotate("projects/p/secrets/k", "3", "key-of-k", summer)
	m.rotate("projects/p/secrets/old", "1", "key-of-old", spring)
	m.rotate(regional, "7", "key-of-r", autumn)
	all := References("${gcpsecret:k} ${env:E} ${gcpsecret:old} ${gcpsecret:" + regional + "}")
	if v, err := r.Oldest(t.Context(), all); v != (Version{}) || err != nil {
		t.Errorf("nothing was resolved, and there is %v, %v", v, err)
	}
	if _, err := r.Resolve(t.Context(), "${gcpsecret:k} ${env:E} ${gcpsecret:old} ${gcpsecret:"+regional+"}"); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Version{
		"${gcpsecret:k}":                       {"projects/p/secrets/k", "3", summer},
		"${gcpsecret:" + regional + "}":        {regional, "7", autumn},
		"${gcpsecret:k} ${gcpsecret:old}":      {"projects/p/secrets/old", "1", spring},
		"${gcpsecret:other} ${env:E} ${env:F}": {},
	} {
		if v, err := r.Oldest(t.Context(), References(text)); v != want || err != nil {
			t.Errorf("%s: %v, %v, not %v", text, v, err, want)
		}
	}
	if n := m.lookedAt(); n != 3 {
		t.Errorf("asked %d times: %v", n, m.looked)
	}
}

// TestRotationHasANewAge shows that a version that was rotated has a new age, and that each version is asked about once.
func TestRotationHasANewAge(t *testing.T) {
	m, r, c := aging(t)
	const ref = "${gcpsecret:k}"
	oldest := func(number string, at time.Time) {
		t.Helper()
		if _, err := r.Resolve(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		if v, err := r.Oldest(t.Context(), References(ref)); v.Number != number || !v.Created.Equal(at) || err != nil {
			t.Errorf("%v, %v; want version %s of %v", v, err, number, at)
		}
	}
	m.rotate("projects/p/secrets/k", "1", "first-key", spring)
	oldest("1", spring)
	m.rotate("projects/p/secrets/k", "2", "second-key", autumn)
	oldest("1", spring)
	c.advance(keep)
	oldest("2", autumn)
	c.advance(keep)
	oldest("2", autumn)
	if n := m.lookedAt(); n != 2 {
		t.Errorf("asked %d times: %v", n, m.looked)
	}
}

// TestAgeThatIsRefused shows that a value is there without its age, and when the age is asked for again.
func TestAgeThatIsRefused(t *testing.T) {
	m, r, c := aging(t)
	const both = "${gcpsecret:k} ${gcpsecret:known}"
	m.rotate("projects/p/secrets/k", "1", "refused-key", spring)
	m.rotate("projects/p/secrets/known", "1", "known-key", autumn)
	const name = "projects/p/secrets/k/versions/1"
	m.failures["look "+name] = codes.PermissionDenied
	for range 2 {
		if got, err := r.Resolve(t.Context(), both); got != "refused-key known-key" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := r.Refresh(t.Context(), both); err != nil {
			t.Fatal(err)
		}
		v, err := r.Oldest(t.Context(), References(both))
		if v.Secret != "projects/p/secrets/known" || !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "refused-key") {
			t.Errorf("%v, %v", v, err)
		}
	}
	if n := m.lookedAt(); n != 2 {
		t.Errorf("asked %d times within the holding time: %v", n, m.looked)
	}
	m.mu.Lock()
	delete(m.failures, "look "+name)
	m.mu.Unlock()
	c.advance(keep)
	if _, err := r.Resolve(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	if v, err := r.Oldest(t.Context(), References(both)); !v.Created.Equal(spring) || err != nil {
		t.Errorf("after the role was granted: %v, %v", v, err)
	}
}

// TestAgeIsNotWaitedFor shows that no value waits for its age, and that who asks for the age waits as long as it wants.
func TestAgeIsNotWaitedFor(t *testing.T) {
	m, r, _ := aging(t)
	m.rotate("projects/p/secrets/k", "1", "some-key", spring)
	m.hold = make(chan struct{})
	const ref = "${gcpsecret:k}"
	if got, err := r.Resolve(t.Context(), ref); got != "some-key" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if v, err := r.Oldest(ended, References(ref)); v != (Version{}) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", v, err)
	}
	close(m.hold)
	if v, err := r.Oldest(t.Context(), References(ref)); !v.Created.Equal(spring) || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := r.Oldest(ended, References(ref)); !v.Created.Equal(spring) || err != nil {
		t.Errorf("what is known is not told at the end of a run: %v, %v", v, err)
	}
}

// TestAgeThatIsNotSaid covers a version that Secret Manager gives no time of, and a name that is no version's number.
func TestAgeThatIsNotSaid(t *testing.T) {
	m, r, _ := aging(t)
	m.rotate("projects/p/secrets/k", "1", "some-key", spring)
	delete(m.times, "projects/p/secrets/k/versions/1")
	m.payloads["projects/p/secrets/alias/versions/latest"] = "other-key"
	const both = "${gcpsecret:k} ${gcpsecret:alias}"
	if _, err := r.Resolve(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	v, err := r.Oldest(t.Context(), References(both))
	if v != (Version{}) || err == nil || !strings.Contains(err.Error(), "does not say") || m.lookedAt() != 1 {
		t.Errorf("%v, %v, asked about %v", v, err, m.looked)
	}
}
