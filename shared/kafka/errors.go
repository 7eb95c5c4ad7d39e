package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The failures that callers act on.
var (
	// ErrTopicMissing says that a topic does not exist.
	ErrTopicMissing = errors.New("topic does not exist")
	// ErrAuthentication says that the brokers refuse the credentials, or that there are none to offer.
	ErrAuthentication = errors.New("authentication failed")
	// ErrAuthorization says that the credentials are valid but a right is missing.
	ErrAuthorization = errors.New("not authorized")
	// ErrUnreachable says that no broker could be reached or answered in time, or that TLS could not be agreed on.
	ErrUnreachable = errors.New("brokers cannot be reached")
	// ErrTransactionsRefused says that the brokers do not give this client a transactional id.
	ErrTransactionsRefused = errors.New("transactions are refused")
	// ErrNotCommitted says that a transaction was not and can never be committed.
	ErrNotCommitted = errors.New("transaction was not committed")
	// ErrUnknownOutcome says that a transaction may or may not have been committed.
	ErrUnknownOutcome = errors.New("outcome of the transaction is unknown")
	// ErrGroupActive says that the consumer group has members: another sink is running.
	ErrGroupActive = errors.New("consumer group has active members")
	// ErrOutOfRange says that an offset is below the log start or beyond the log's end.
	ErrOutOfRange = errors.New("offset is out of range")
	// ErrSearchUnfinished says that a search got on but was not through when its time was over.
	ErrSearchUnfinished = errors.New("the search was not finished in time")
	// ErrTopicRecreated says that a topic has been deleted and made again since its id was taken.
	ErrTopicRecreated = errors.New("topic was deleted and created again")
)

// is puts a class before an error, once.
func is(class, err error) error {
	if errors.Is(err, class) {
		return err
	}
	return fmt.Errorf("%w: %w", class, err)
}

// notEnd is an error of a reader's that is not its end: a connection that a broker has closed is io.EOF to the client, and
// a caller that took it for the end would go on without the records that were not read.
type notEnd struct{ error }

// Is hides io.EOF.
func (e notEnd) Is(target error) bool { return target != io.EOF && errors.Is(e.error, target) }

// As gives the rest.
func (e notEnd) As(target any) bool { return errors.As(e.error, target) }

// missingRight tells what an authorization error needs.
var missingRight = map[*kerr.Error]string{
	kerr.TopicAuthorizationFailed:           "READ, WRITE, DESCRIBE and DESCRIBE_CONFIGS on the topic (kafka-acls.sh --add --allow-principal User:NAME --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic TOPIC)",
	kerr.GroupAuthorizationFailed:           "READ on the consumer group (kafka-acls.sh --add --allow-principal User:NAME --operation Read --group GROUP, or for sources --group riftline- --resource-pattern-type prefixed)",
	kerr.TransactionalIDAuthorizationFailed: "WRITE and DESCRIBE on the transactional id (kafka-acls.sh --add --allow-principal User:NAME --operation Write --operation Describe --transactional-id riftline- --resource-pattern-type prefixed)",
	kerr.ClusterAuthorizationFailed:         "CREATE or IDEMPOTENT_WRITE on the cluster (kafka-acls.sh --add --allow-principal User:NAME --operation Create --cluster)",
}

// classify names the class of an error of the client or of a broker.
func classify(err error) error {
	if err == nil {
		return nil
	}
	for denied, right := range missingRight {
		if errors.Is(err, denied) {
			if errors.Is(err, ErrAuthorization) {
				return err
			}
			return fmt.Errorf("%w: %w: it needs %s", ErrAuthorization, err, right)
		}
	}
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.IllegalSaslState), errors.Is(err, kerr.UnsupportedSaslMechanism):
		return is(ErrAuthentication, err)
	case unreachable(err):
		return is(ErrUnreachable, err)
	}
	return err
}

func unreachable(err error) bool {
	var early *kgo.ErrFirstReadEOF
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &early) || errors.As(err, &op) || errors.As(err, &dns) || aboutTLS(err) != "" ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.RequestTimedOut) || errors.Is(err, kerr.BrokerNotAvailable)
}

// aboutTLS says what is wrong when TLS could not be agreed on, and what to look at; empty for every other error.
func aboutTLS(err error) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var certificate x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return "the broker's certificate is for another name; correct the address, or set ssl.endpoint.identification.algorithm to empty to check the chain only"
	case errors.As(err, &authority):
		return "the broker's certificate is signed by an authority that is not trusted; give its certificate as ssl.truststore.certificates or ssl.truststore.location"
	case errors.As(err, &certificate), errors.As(err, &verification):
		return "the broker's certificate is not valid"
	case errors.As(err, &record):
		return "the broker does not answer in TLS; is security.protocol meant to be PLAINTEXT or SASL_PLAINTEXT, or the port another one?"
	case strings.Contains(err.Error(), "remote error: tls:"):
		return "the broker refuses the TLS connection; a listener with ssl.client.auth=required needs a client certificate (ssl.keystore.…) that it trusts"
	}
	return ""
}

// hint says what to look at after an error of a connection attempt, by TLS or not.
func hint(err error, overTLS bool) string {
	if text := aboutTLS(err); text != "" {
		return text
	}
	var early *kgo.ErrFirstReadEOF
	var dns *net.DNSError
	switch {
	case errors.As(err, &early), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection was closed at once; does security.protocol fit the listener (TLS, SASL)?"
	case strings.Contains(err.Error(), "invalid large response size"):
		return "the answer is none of Kafka's; does security.protocol fit the listener (TLS), and is it a broker's port?"
	case errors.As(err, &dns):
		return "the host name is not known here"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there"
	}
	if overTLS {
		return "no answer; is the network (VPC, firewall) open to it, and does security.protocol fit the listener, which may not speak TLS?"
	}
	return "no answer; is the network (VPC, firewall) open to it?"
}
