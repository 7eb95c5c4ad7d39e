package schema

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
)

// classify says which of our errors an error of the client is, and whether the same request may succeed later.
func classify(err error) (retry bool, kind error) {
	var answer *sr.ResponseError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return false, ErrUnavailable
	case !errors.As(err, &answer):
		return true, ErrUnavailable
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return true, ErrUnavailable
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return false, ErrUnauthorized
	case answer.StatusCode == http.StatusConflict, answer.StatusCode == http.StatusUnprocessableEntity:
		return false, ErrIncompatible
	default:
		return false, nil
	}
}

// answerError is the registry's own message, cut to what a line of a log holds.
type answerError struct {
	status, code int
	message      string
}

// Error implements error.
func (e *answerError) Error() string {
	return fmt.Sprintf("it answers %d (error code %d): %s", e.status, e.code, e.message)
}

// plain keeps of the client's error what is worth reading: the URL is said already.
func plain(err error) error {
	var answer *sr.ResponseError
	if errors.As(err, &answer) {
		message := strings.Join(strings.Fields(answer.Error()), " ")
		if len(message) > 500 {
			message = strings.ToValidUTF8(message[:500], "") + "…"
		}
		return &answerError{status: answer.StatusCode, code: answer.ErrorCode, message: message}
	}
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

func isConflict(err error) bool {
	var answer *answerError
	return errors.As(err, &answer) && answer.status == http.StatusConflict
}

// isNotFound is about Confluent's error codes for a subject, version or schema that is not there. A 404 without such a
// code comes from something that is no registry.
func isNotFound(err error) bool {
	var answer *answerError
	return errors.As(err, &answer) && answer.status == http.StatusNotFound && sr.IsNotFoundError(answer.code)
}
