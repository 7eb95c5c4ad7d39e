//go:build unix

package e2e

import (
	"encoding/binary"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A proxy stands between clients and a broker that advertises its address. It can lose requests and answers, one
// connection at a time, and everything for some seconds.
type proxy struct {
	address, upstream string

	mu     sync.Mutex
	random *rand.Rand // nil loses nothing
	dark   bool
	conns  map[net.Conn]bool
	lost   map[string]int
	stop   chan struct{}
}

func startProxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &proxy{address: l.Addr().String(), conns: map[net.Conn]bool{}, lost: map[string]int{}, stop: make(chan struct{})}
	t.Cleanup(func() {
		_ = l.Close()
		x.cut()
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go x.serve(client)
		}
	}()
	return x
}

// disturb begins to lose requests and answers.
func (x *proxy) disturb(seed uint64) {
	x.mu.Lock()
	x.random = rand.New(rand.NewPCG(seed, 3))
	x.mu.Unlock()
	go func() {
		random := rand.New(rand.NewPCG(seed, 4))
		for {
			bright, dark := 8+random.IntN(15), 1+random.IntN(2)
			if !x.sleep(time.Duration(bright)*time.Second) || !x.setDark(true) {
				return
			}
			x.cut()
			if !x.sleep(time.Duration(dark)*time.Second) || !x.setDark(false) {
				return
			}
		}
	}()
}

// setDark loses everything from now on, or no longer; false when the disturbance has ended meanwhile.
func (x *proxy) setDark(dark bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.random == nil {
		return false
	}
	if x.dark = dark; dark {
		x.lost["everything"]++
	}
	return true
}

func (x *proxy) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-x.stop:
		return false
	}
}

// heal ends all disturbance.
func (x *proxy) heal() {
	close(x.stop)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.random, x.dark = nil, false
}

func (x *proxy) counts() map[string]int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.lost)
}

// cut ends every connection.
func (x *proxy) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := range x.conns {
		_ = c.Close()
	}
}

// keep registers a connection to be cut; false when there is to be none now.
func (x *proxy) keep(c net.Conn, open bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !open {
		delete(x.conns, c)
		return true
	}
	x.conns[c] = true
	return !x.dark
}

// fate says whether a request of this kind is lost, or the answer to it.
func (x *proxy) fate(key int16) (request, answer bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.random == nil {
		return false, false
	}
	name := kmsg.NameForKey(key)
	loses := map[string][2]int{ // in a thousand
		"EndTxn": {80, 200}, "InitProducerID": {10, 30}, "Produce": {10, 30}, "TxnOffsetCommit": {10, 30},
		"AddOffsetsToTxn": {10, 30}, "AddPartitionsToTxn": {10, 30}, "OffsetFetch": {10, 30}, "Metadata": {3, 3},
		"WriteTxnMarkers": {0, 0}, // the broker's own
	}[name]
	n := x.random.IntN(1000)
	request, answer = n < loses[0], n >= loses[0] && n < loses[0]+loses[1]
	if request || answer {
		x.lost[name]++
	}
	return request, answer
}

func (x *proxy) serve(client net.Conn) {
	defer client.Close()
	if !x.keep(client, true) {
		return
	}
	defer x.keep(client, false)
	broker, err := net.Dial("tcp", x.upstream)
	if err != nil {
		return
	}
	defer broker.Close()
	deaf := make(chan struct{})
	go func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := broker.Read(buffer)
			select {
			case <-deaf:
				return
			default:
			}
			if n > 0 {
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		frame, err := readFrame(client)
		if err != nil {
			return
		}
		request, answer := x.fate(int16(binary.BigEndian.Uint16(frame[4:])))
		if request {
			return
		}
		if answer {
			close(deaf)
		}
		if _, err := broker.Write(frame); err != nil {
			return
		}
		if answer {
			// The broker has the request; the answer ends the other direction, which closes the connection.
			_, _ = io.Copy(io.Discard, client)
			return
		}
	}
}

// readFrame reads one request with its size.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 2 || n > 64<<20 {
		return nil, io.ErrUnexpectedEOF
	}
	frame := make([]byte, 4+n)
	copy(frame, size[:])
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}
