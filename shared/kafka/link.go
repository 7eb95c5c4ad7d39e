package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
)

// link is a connection to a broker for the fetches of one reader at a time. The library allocates and clears a new buffer
// for every response, and sends the requests of all readers over one connection, whose requests a broker answers one
// after another; a link reads into buffers that are used again. It is for long reads alone: a reader begins by the
// library, goes back to it after any failure of a link, and takes from it which version of requests the broker knows.
//
// The protocol is Kafka's (https://kafka.apache.org/protocol): requests and responses behind their lengths, and what SASL
// exchanges inside of SaslAuthenticate.
type link struct {
	conn      net.Conn
	node      int32
	formatter *kmsg.RequestFormatter
	// timeout is what the broker has for an answer.
	timeout time.Duration
	// expires is when the broker will end the connection unless it is authenticated anew, zero for never.
	expires time.Time
	out     []byte
	sent    int32
	// pending is whether the response to the last request is still to be read.
	pending bool
}

// largestResponse bounds what a response's length is believed, as the library does.
const largestResponse = 100 << 20

// longestSession bounds what a broker says a session lasts, so that it can be counted with.
const longestSession = 365 * 24 * time.Hour

var errLink = errors.New("broker's answer is not understood")

// dial connects to a broker and authenticates. It is the caller's to close the link when ctx ends.
func (c *client) dial(ctx context.Context, node int32, address string) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s := c.settings
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l := &link{
		conn: conn, node: node, timeout: s.requestTimeout + s.fetchWait,
		// Without a client.id, the library's own.
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(cmp.Or(s.ClientID, "kgo"))),
	}
	if err := l.open(ctx, s, address); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return l, nil
}

// open makes a connection one over which requests may be sent.
func (l *link) open(ctx context.Context, s settings, address string) error {
	// What ends with ctx is the connection below TLS: l.conn is another one soon.
	raw := l.conn
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	if s.encrypted() {
		c, err := tlsConfig(s.TLS)
		if err != nil {
			return err
		}
		if c.ServerName, _, err = net.SplitHostPort(address); err != nil {
			return err
		}
		secured := tls.Client(l.conn, c)
		if err := secured.HandshakeContext(ctx); err != nil {
			return err
		}
		l.conn = secured
	}
	if !s.authenticated() {
		return nil
	}
	m, err := mechanism(s.SASL)
	if err != nil {
		return err
	}
	return l.authenticate(ctx, m, address)
}

// authenticate runs a SASL exchange (KIP-152, KIP-368).
func (l *link) authenticate(ctx context.Context, m sasl.Mechanism, address string) error {
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, m.Name()
	var agreed kmsg.SASLHandshakeResponse
	if err := l.exchange(handshake, &agreed); err != nil {
		return err
	}
	if err := kerr.ErrorForCode(agreed.ErrorCode); err != nil {
		return err
	}
	began := time.Now()
	session, out, err := m.Authenticate(ctx, address)
	if err != nil {
		return err
	}
	for done := false; !done || len(out) > 0; {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.Version, req.SASLAuthBytes = 1, out
		var resp kmsg.SASLAuthenticateResponse
		if err := l.exchange(req, &resp); err != nil {
			return err
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return err
		}
		if resp.SessionLifetimeMillis > 0 {
			millis := min(resp.SessionLifetimeMillis, longestSession.Milliseconds())
			l.expires = began.Add(time.Duration(millis) * time.Millisecond * 4 / 5)
		}
		if out = nil; !done {
			if done, out, err = session.Challenge(resp.SASLAuthBytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// exchange sends a request and reads its response.
func (l *link) exchange(req kmsg.Request, resp kmsg.Response) error {
	if err := l.send(req); err != nil {
		return err
	}
	resp.SetVersion(req.GetVersion())
	_, err := l.receive(nil, resp)
	return err
}

// send sends a request.
func (l *link) send(req kmsg.Request) error {
	l.sent++
	l.out = l.formatter.AppendRequest(l.out[:0], req, l.sent)
	if err := l.conn.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	l.pending = true
	_, err := l.conn.Write(l.out)
	return err
}

// receive reads the response to the last request into a buffer, or a larger one, which resp refers to then.
func (l *link) receive(buffer []byte, resp kmsg.Response) ([]byte, error) {
	var head [4]byte
	if err := l.conn.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return buffer, err
	}
	if _, err := io.ReadFull(l.conn, head[:]); err != nil {
		return buffer, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > max(largestResponse, cap(buffer)) {
		return buffer, fmt.Errorf("%w: its length is %d", errLink, size)
	}
	if cap(buffer) < size {
		buffer = make([]byte, size, size+size/8)
	}
	buffer = buffer[:size]
	if err := l.conn.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return buffer, err
	}
	if _, err := io.ReadFull(l.conn, buffer); err != nil {
		return buffer, err
	}
	if got := int32(binary.BigEndian.Uint32(buffer)); got != l.sent {
		return buffer, fmt.Errorf("%w: it is for request %d and not %d", errLink, got, l.sent)
	}
	body := buffer[4:]
	if resp.IsFlexible() {
		// The header's tagged fields, of which there are none that mean something.
		if len(body) == 0 || body[0] != 0 {
			return buffer, fmt.Errorf("%w: its header has fields", errLink)
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return buffer, err
	}
	l.pending = false
	return buffer, nil
}

// usable says whether another reader may go on with the link.
func (l *link) usable() bool {
	return !l.pending && (l.expires.IsZero() || time.Now().Before(l.expires))
}

func (l *link) close() { _ = l.conn.Close() }

// address is where a broker listens, as the last answer about topics said; empty when it is not known.
func (c *client) address(node int32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addresses[node]
}

func (c *client) rememberBrokers(all []kmsg.MetadataResponseBroker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses = make(map[int32]string, len(all))
	for _, b := range all {
		c.addresses[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
}
