package avrofile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFile says that what is read is no complete Avro object container file.
var ErrFile = errors.New("not an Avro object container file")

// maxHeaderItem bounds a key or value of a file's metadata, the schema's text above all.
const maxHeaderItem = 64 << 20

// Count says how many records a container file holds, whatever its schema and codec: it reads the counts of the blocks
// and passes over their content (Avro 1.12 specification, Object Container Files). ErrFile when the file is none, is
// cut off or has text after its last block; else the error of r.
func Count(r io.Reader) (int64, error) {
	c := counter{r: bufio.NewReaderSize(r, 64<<10)}
	if err := c.header(); err != nil {
		return 0, fmt.Errorf("reading the header: %w", cutOff(err))
	}
	var total int64
	for {
		// The end of the file is right here, and nowhere else.
		if _, err := c.r.Peek(1); errors.Is(err, io.EOF) {
			return total, nil
		}
		n, err := c.block()
		if err != nil {
			return 0, fmt.Errorf("reading the block after %d records: %w", total, cutOff(err))
		}
		if total += n; total < 0 {
			return 0, fmt.Errorf("%w: more records than can be counted", ErrFile)
		}
	}
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off", ErrFile)
	}
	return err
}

type counter struct {
	r    *bufio.Reader
	sync Sync
}

func (c *counter) header() error {
	var magic [4]byte
	if _, err := io.ReadFull(c.r, magic[:]); err != nil {
		return err
	}
	if magic != [4]byte{'O', 'b', 'j', 1} {
		return fmt.Errorf("%w: it begins with %q", ErrFile, magic[:])
	}
	for {
		n, err := c.long()
		switch {
		case err != nil:
			return err
		case n == 0:
			_, err := io.ReadFull(c.r, c.sync[:])
			return err
		case n < 0:
			// A block with its size in bytes, which its items give too.
			if _, err := c.long(); err != nil {
				return err
			}
			n = -n
		}
		for range n {
			for range 2 { // a key, a value
				if err := c.skip(maxHeaderItem); err != nil {
					return err
				}
			}
		}
	}
}

// block passes over one block and returns its count.
func (c *counter) block() (int64, error) {
	n, err := c.long()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, fmt.Errorf("%w: a block of %d records", ErrFile, n)
	}
	if err := c.skip(1 << 40); err != nil {
		return 0, err
	}
	var sync Sync
	if _, err := io.ReadFull(c.r, sync[:]); err != nil {
		return 0, err
	}
	if !bytes.Equal(sync[:], c.sync[:]) {
		return 0, fmt.Errorf("%w: a block does not end with the file's sync marker", ErrFile)
	}
	return n, nil
}

// skip passes over a length and as many bytes.
func (c *counter) skip(most int64) error {
	n, err := c.long()
	if err != nil {
		return err
	}
	if n < 0 || n > most {
		return fmt.Errorf("%w: a length of %d bytes", ErrFile, n)
	}
	_, err = io.CopyN(io.Discard, c.r, n)
	return err
}

func (c *counter) long() (int64, error) {
	n, err := binary.ReadVarint(c.r)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && isOverflow(err) {
		return 0, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return n, err
}

// isOverflow tells a number of too many bytes from an error of the reader.
func isOverflow(err error) bool { return err.Error() == "binary: varint overflows a 64-bit integer" }
