package secret

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrOther is returned by [Store] for a secret that holds another value already.
var ErrOther = errors.New("the secret holds another value")

// largestSecret is how many bytes a version of a secret may have.
const largestSecret = 64 << 10

// Stored says what [Store] found and did.
type Stored uint8

// What Store did.
const (
	// Created is a secret that was not there.
	Created Stored = iota + 1
	// Added is the first version of a secret that was there.
	Added
	// Same is a secret whose latest version holds the value already.
	Same
)

// String returns "created", "first version added" or "there already".
func (s Stored) String() string {
	switch s {
	case Created:
		return "created"
	case Added:
		return "first version added"
	case Same:
		return "there already"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Store sees to it that the latest version of a secret of the project holds the value. It makes the secret where it is
// missing and adds a version where there is none; a secret that holds something else is left as it is ([ErrOther]), since
// another reader may depend on it. Other errors: [ErrDenied], [ErrNotFound] for a latest version that is disabled or
// destroyed. No error shows the value.
func Store(ctx context.Context, client *secretmanager.Client, project, name string, v Value) (Stored, error) {
	value := v.Reveal()
	parent := "projects/" + project
	full := parent + "/secrets/" + name
	if !bareSecret.MatchString(name) {
		return 0, fmt.Errorf("storing secret %q: its name is not one of Secret Manager's", name)
	}
	if value == "" || len(value) > largestSecret {
		return 0, fmt.Errorf("storing %s: a secret has 1 to %d bytes, and this one has %d", full, largestSecret, len(value))
	}
	answer, err := client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: full + "/versions/latest"})
	switch status.Code(err) {
	case codes.OK:
		if trimLineBreak(string(answer.GetPayload().GetData())) == trimLineBreak(value) {
			return Same, nil
		}
		return 0, fmt.Errorf("storing %s: it is left as it is: %w; is this one newer? add it as a version: gcloud secrets versions add %s --data-file=-", full, ErrOther, name)
	case codes.NotFound:
	default:
		return 0, explainStore("reading", full, err)
	}
	done := Created
	_, err = client.CreateSecret(ctx, &secretmanagerpb.CreateSecretRequest{Parent: parent, SecretId: name, Secret: &secretmanagerpb.Secret{
		Replication: &secretmanagerpb.Replication{Replication: &secretmanagerpb.Replication_Automatic_{Automatic: &secretmanagerpb.Replication_Automatic{}}},
	}})
	switch status.Code(err) {
	case codes.OK:
	case codes.AlreadyExists:
		done = Added
	default:
		return 0, explainStore("creating", full, err)
	}
	sum := int64(crc32.Checksum([]byte(value), castagnoli))
	_, err = client.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{Parent: full, Payload: &secretmanagerpb.SecretPayload{Data: []byte(value), DataCrc32C: &sum}})
	if err != nil {
		return 0, explainStore("adding a version to", full, err)
	}
	return done, nil
}

// explainStore shows no more of an error than its code where it is known.
func explainStore(doing, name string, err error) error {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated:
		return fmt.Errorf("%s %s: this identity may not (it takes roles/secretmanager.admin; is there a login? see gcloud auth application-default login): %w", doing, name, ErrDenied)
	case codes.FailedPrecondition:
		return fmt.Errorf("%s %s: its latest version is disabled or destroyed; enable it or add one: %w", doing, name, ErrNotFound)
	}
	return fmt.Errorf("%s %s in Secret Manager: %w", doing, name, err)
}
