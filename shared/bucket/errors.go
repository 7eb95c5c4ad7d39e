package bucket

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
)

// The classes of failure; see the methods for which of them each returns.
var (
	// ErrAbsent says that the object is not there: a read and a listing of its exact name agree.
	ErrAbsent = errors.New("object is absent")
	// ErrNoBucket says that the bucket itself is not there (or not visible).
	ErrNoBucket = errors.New("bucket does not exist")
	// ErrPrecondition says that the object's generation is not the expected one (412). It may be the caller's own
	// earlier write that changed it: read before believing it.
	ErrPrecondition = errors.New("object has another generation")
	// ErrThrottled says that the object was written too often (429). Whether this write was applied is unknown.
	ErrThrottled = errors.New("too many writes to this object")
	// ErrUnknown says that a write may or may not have been, or yet be, applied.
	ErrUnknown = errors.New("outcome of the write is unknown")
	// ErrUnavailable says that the service could not be reached or was not well; a write was certainly not applied.
	ErrUnavailable = errors.New("object storage is not available")
	// ErrDenied says that credentials are missing or do not suffice (401, 403).
	ErrDenied = errors.New("access to the bucket is denied")
	// ErrLost says that another writer changed the object first.
	ErrLost = errors.New("another writer changed the object")
)

// is puts a class before an error, once.
func is(class, err error) error {
	if errors.Is(err, class) {
		return err
	}
	return fmt.Errorf("%w: %w", class, err)
}

// classifyRead names the class of a failed read.
func classifyRead(err error) error {
	var api *googleapi.Error
	switch {
	case errors.Is(err, ErrAbsent), errors.Is(err, ErrNoBucket), errors.Is(err, errContradiction):
		return err
	case errors.Is(err, storage.ErrBucketNotExist):
		return is(ErrNoBucket, err)
	case errors.As(err, &api):
		switch {
		case denied(api.Code):
			return is(ErrDenied, err)
		case api.Code == http.StatusRequestTimeout || api.Code == http.StatusTooManyRequests || api.Code >= 500 && api.Code != http.StatusNotImplemented:
			return is(ErrUnavailable, err)
		}
		return err
	case errors.Is(err, context.Canceled):
		return err
	case noToken(err):
		return is(ErrDenied, err)
	}
	// What is left never got a whole answer: no connection, a lost one, a timeout, a body that fails its checksum.
	return is(ErrUnavailable, err)
}

// classifyWrite names the class of a failed write. sent says that an earlier attempt may have reached the server.
func classifyWrite(err error, sent bool) error {
	var api *googleapi.Error
	switch {
	case errors.As(err, &api):
		switch {
		case api.Code == http.StatusPreconditionFailed:
			return is(ErrPrecondition, err)
		case api.Code == http.StatusTooManyRequests:
			return is(ErrThrottled, err)
		case sent, api.Code == http.StatusRequestTimeout, api.Code >= 500 && api.Code != http.StatusNotImplemented, api.Code < 400:
			return is(ErrUnknown, err)
		case denied(api.Code):
			return is(ErrDenied, err)
		}
		return err
	case !sent && noToken(err):
		return is(ErrDenied, err)
	case !sent && neverConnected(err):
		return is(ErrUnavailable, err)
	}
	return is(ErrUnknown, err)
}

func denied(code int) bool { return code == http.StatusUnauthorized || code == http.StatusForbidden }

// noToken reports whether the credentials themselves were refused, so that no request was made.
func noToken(err error) bool {
	var token *auth.Error
	return errors.As(err, &token) && !token.Temporary()
}

// neverConnected reports whether an error comes from making the connection, before any byte of a request is sent.
func neverConnected(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) || errors.As(err, &verify) || errors.As(err, &authority)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jitter is between d and 1.5 d.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/2+1)) //nolint:gosec // spreads load, protects nothing
}
