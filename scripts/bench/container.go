package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// containerCount reads an Avro container file as it comes, in pieces of any size: how many records, and the bytes and the
// checksum of its blocks' content, which with the codec null are the records in a row. It decodes nothing, so that a
// bucket can do it beside a drain without taking the processor from it (Avro 1.12 specification, Object Container Files).
type containerCount struct {
	digest
	codec string

	state  int
	sync   [16]byte
	held   []byte // of the header, a number or a sync marker that is not complete
	remain int64  // of the block's content
}

const (
	inHeader = iota
	inCount
	inSize
	inContent
	inSync
)

var errContainer = errors.New("not an Avro container file")

// maxHeader is far above what the schemas here need.
const maxHeader = 1 << 20

// Write takes the next piece.
func (c *containerCount) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		if c.state == inContent {
			n := min(int64(len(p)), c.remain)
			c.CRC32C = crc32.Update(c.CRC32C, castagnoli, p[:n])
			c.Bytes += n
			c.remain -= n
			p = p[n:]
			if c.remain == 0 {
				c.state = inSync
			}
			continue
		}
		rest, err := c.small(p)
		if err != nil {
			return 0, err
		}
		p = rest
	}
	return size, nil
}

// small takes the parts of a file that are no content, of which only some bytes may have come.
func (c *containerCount) small(p []byte) (rest []byte, err error) {
	if c.state == inHeader {
		c.held = append(c.held, p...)
		used, err := c.header(c.held)
		if err == nil && used == 0 && len(c.held) > maxHeader {
			err = fmt.Errorf("%w: its header has no end", errContainer)
		}
		if err != nil || used == 0 {
			return nil, err
		}
		rest = c.held[used:]
		c.held, c.state = nil, inCount
		return rest, nil
	}
	c.held = append(c.held, p[0])
	p = p[1:]
	if c.state == inSync {
		if len(c.held) == len(c.sync) {
			if [16]byte(c.held) != c.sync {
				return nil, fmt.Errorf("%w: a block does not end with the sync marker", errContainer)
			}
			c.held, c.state = c.held[:0], inCount
		}
		return p, nil
	}
	n, used := binary.Varint(c.held)
	switch {
	case used == 0:
		return p, nil
	case used < 0 || n < 0:
		return nil, fmt.Errorf("%w: a block's count or size is no such number", errContainer)
	}
	c.held = c.held[:0]
	if c.state == inCount {
		c.Records += n
		c.state = inSize
		return p, nil
	}
	c.remain, c.state = n, inContent
	if n == 0 {
		c.state = inSync
	}
	return p, nil
}

// header reads a whole header; 0 when it is not complete.
func (c *containerCount) header(b []byte) (used int, err error) {
	if len(b) >= 4 && string(b[:4]) != "Obj\x01" {
		return 0, fmt.Errorf("%w: it does not begin with a header", errContainer)
	}
	at := 4
	number := func() (int, bool) {
		if at >= len(b) {
			return 0, false
		}
		n, size := binary.Varint(b[at:])
		if size <= 0 {
			return 0, false
		}
		at += size
		return int(n), true
	}
	item := func() (string, bool) {
		n, ok := number()
		if !ok || n < 0 || n > len(b)-at {
			return "", false
		}
		at += n
		return string(b[at-n : at]), true
	}
	for {
		n, ok := number()
		if !ok || n < 0 {
			return 0, nil
		}
		if n == 0 {
			break
		}
		for range n {
			key, ok1 := item()
			value, ok2 := item()
			if !ok1 || !ok2 {
				return 0, nil
			}
			if key == "avro.codec" {
				c.codec = value
			}
		}
	}
	if at+len(c.sync) > len(b) {
		return 0, nil
	}
	return at + copy(c.sync[:], b[at:]), nil
}

// end fails unless the file is complete.
func (c *containerCount) end() error {
	if c.state != inCount || len(c.held) > 0 {
		return fmt.Errorf("%w: it is cut off after %d records", errContainer, c.Records)
	}
	return nil
}
