package avrofile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// ErrCodec says that a codec's name is not one of those that are built.
var ErrCodec = errors.New("unknown Avro codec")

// The codecs of a container file, as the file's metadata names them.
const (
	Null      = "null"
	Deflate   = "deflate"
	Snappy    = "snappy"
	Zstandard = "zstandard"
)

// blockSize is the size in bytes from which a block is closed, before compression; maxIdle is how many records more than
// bytes it may have, for records that take no bytes: readers take many of them for an attack.
const (
	blockSize = 256 << 10
	maxIdle   = 4096
)

// Sync is the marker between a container file's blocks.
type Sync [16]byte

// SyncOf is the marker of the file whose first record is at offset first of a topic-partition: the same records give
// the same file whoever writes it.
func SyncOf(topic string, partition int32, first int64) Sync {
	text := "riftline\x00" + topic + "\x00" + strconv.FormatInt(int64(partition), 10) + "\x00" + strconv.FormatInt(first, 10)
	sum := sha256.Sum256([]byte(text))
	return Sync(sum[:16])
}

// Format is a schema and a codec: what the files of one schema share. It is safe for concurrent use.
type Format struct {
	header []byte // up to, and not including, the sync marker
	codec  string
}

// NewFormat prepares files of a schema. ErrCodec; the schema is not looked at, [Compile] does that.
//
// The header is written here and not by goavro, which encodes its metadata in the order in which Go ranges over a map:
// the same file would have other bytes each time, and it knows no zstandard.
func NewFormat(schemaText, codec string) (*Format, error) {
	switch codec {
	case Null, Deflate, Snappy, Zstandard:
	default:
		return nil, fmt.Errorf("%w %q: use null, deflate, snappy or zstandard", ErrCodec, codec)
	}
	h := []byte("Obj\x01")
	h = binary.AppendVarint(h, 2)
	h = appendBytes(h, "avro.schema")
	h = appendBytes(h, schemaText)
	h = appendBytes(h, "avro.codec")
	h = appendBytes(h, codec)
	h = binary.AppendVarint(h, 0)
	return &Format{header: h, codec: codec}, nil
}

func appendBytes(to []byte, s string) []byte {
	return append(binary.AppendVarint(to, int64(len(s))), s...)
}

// packers is how many blocks of a file are compressed at a time while the next one fills.
const packers = 2

// Taker is an output that takes the pieces of a file as they are, with their memory, instead of a copy.
type Taker interface {
	// Take takes a piece, which it must release at some time, or never.
	Take(p Piece) error
}

// Writer writes a container file. Its bytes depend on the format, the sync marker and the bodies alone. Blocks are
// compressed in goroutines of their own, and written in their order.
type Writer struct {
	out     Taker
	format  *Format
	sync    Sync
	started bool

	// block are the records that wait, behind room for the block's head; nil when there are none.
	block []byte
	count int64
	// packing are the blocks that are being compressed, the oldest first, and waiting is how many bytes they hold.
	packing []*packed
	waiting int
}

// packed is a block that is compressed, or will be when done is closed.
type packed struct {
	block, out []byte
	count      int64
	done       chan struct{}
	err        error
	held       int
}

// NewWriter begins a file; nothing is written before the first block is full or [Writer.Close] is called.
func (f *Format) NewWriter(out io.Writer, sync Sync) *Writer { return f.NewWriterTo(copied{out}, sync) }

// NewWriterTo begins a file as NewWriter does, whose pieces are handed on instead of copied.
func (f *Format) NewWriterTo(out Taker, sync Sync) *Writer {
	return &Writer{out: out, format: f, sync: sync}
}

// copied is an output that is no Taker.
type copied struct{ out io.Writer }

func (c copied) Take(p Piece) error {
	_, err := c.out.Write(p.Bytes())
	p.Release()
	return err //nolint:wrapcheck // the writer says what it was doing
}

// Append adds a record by its binary form, which must fit the schema: [Walk.Check].
func (w *Writer) Append(body []byte) error {
	held := len(w.block) - headRoom
	if held > 0 && held+len(body) > blockSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(w.block)+len(body)+len(w.sync) > cap(w.block) {
		w.block = grown(w.block, len(body)+len(w.sync))
	}
	w.block = append(w.block, body...)
	w.count++
	if held = len(w.block) - headRoom; held >= blockSize || w.count-int64(held) >= maxIdle {
		return w.flush()
	}
	return nil
}

// Buffered is how many bytes of memory are held: those of records that wait for their block to be full, of blocks that
// are being compressed and of what they are compressed into, and before the first block the file's header, which Close
// writes if nothing else does.
func (w *Writer) Buffered() int {
	held := cap(w.block) + w.waiting
	if !w.started {
		held += len(w.format.header) + len(w.sync)
	}
	return held
}

// Close writes what is left, and the header of a file without records. It does not close the underlying writer.
func (w *Writer) Close() error {
	err := w.begin()
	if err == nil && w.count > 0 {
		if w.format.codec == Null {
			block, count := w.block, w.count
			w.block, w.count = nil, 0
			err = w.writeBlock(block, count)
		} else {
			p := w.take()
			if len(w.packing) == 0 {
				p.pack(w.format.codec)
			} else {
				go p.pack(w.format.codec)
			}
			w.packing = append(w.packing, p)
		}
	}
	for err == nil && len(w.packing) > 0 {
		err = w.writeOldest()
	}
	if w.count == 0 {
		Piece{whole: w.block}.Release()
	}
	w.block, w.count, w.packing, w.waiting = nil, 0, nil, 0
	return err
}

func (w *Writer) begin() error {
	if w.started {
		return nil
	}
	w.started = true
	return w.give(Piece{whole: append(append(make([]byte, 0, len(w.format.header)+len(w.sync)), w.format.header...), w.sync[:]...)})
}

// flush ends the block.
func (w *Writer) flush() error {
	if err := w.begin(); err != nil {
		return err
	}
	if w.format.codec == Null {
		block, count := w.block, w.count
		w.block, w.count = fresh(0), 0
		return w.writeBlock(block, count)
	}
	if len(w.packing) == packers {
		if err := w.writeOldest(); err != nil {
			return err
		}
	}
	p := w.take()
	w.block = fresh(0)
	w.packing = append(w.packing, p)
	go p.pack(w.format.codec)
	return nil
}

// take makes the block one to be compressed.
func (w *Writer) take() *packed {
	p := &packed{block: w.block, count: w.count, done: make(chan struct{})}
	w.block, w.count = nil, 0
	p.out = fresh(mostPacked(w.format.codec, len(p.block)-headRoom) + len(w.sync))
	p.held = cap(p.block) + cap(p.out)
	w.waiting += p.held
	return p
}

// writeOldest writes the oldest of the blocks that are being compressed, when it is.
func (w *Writer) writeOldest() error {
	p := w.packing[0]
	<-p.done
	w.packing = append(w.packing[:0], w.packing[1:]...)
	w.waiting -= p.held
	Piece{whole: p.block}.Release()
	if p.err != nil {
		return p.err
	}
	return w.writeBlock(p.out, p.count)
}

// writeBlock completes a block, whose data are behind room for its head, and gives it to the output.
func (w *Writer) writeBlock(block []byte, count int64) error {
	var room [headRoom]byte
	head := binary.AppendVarint(room[:0], count)
	head = binary.AppendVarint(head, int64(len(block)-headRoom))
	from := headRoom - len(head)
	copy(block[from:], head)
	return w.give(Piece{whole: append(block, w.sync[:]...), from: from})
}

func (w *Writer) give(p Piece) error {
	if err := w.out.Take(p); err != nil {
		return fmt.Errorf("writing an Avro block: %w", err)
	}
	return nil
}

// pack compresses the block (Avro 1.12 specification, "Required Codecs" and "Optional Codecs").
func (p *packed) pack(codec string) {
	defer close(p.done)
	data := p.block[headRoom:]
	switch codec {
	case Deflate:
		p.deflate(data)
	case Snappy:
		packed := s2.EncodeSnappy(p.out[headRoom:cap(p.out)], data)
		// The sum is of the uncompressed block.
		p.out = binary.BigEndian.AppendUint32(p.out[:headRoom+len(packed)], crc32.ChecksumIEEE(data))
	case Zstandard:
		p.out = zstandard().EncodeAll(data, p.out)
	}
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

var deflaters = sync.Pool{New: func() any {
	// A level that exists gives no error.
	d, _ := flate.NewWriter(io.Discard, flate.DefaultCompression)
	return d
}}

func (p *packed) deflate(data []byte) {
	d, _ := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(d)
	to := appender{b: p.out}
	d.Reset(&to)
	_, err := d.Write(data)
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		p.err = fmt.Errorf("deflating an Avro block: %w", err)
	}
	p.out = to.b
}

// zstandard is shared: EncodeAll may be called concurrently. One encoder of its own per processor is its default.
var zstandard = sync.OnceValue(func() *zstd.Encoder {
	// Options that exist give no error.
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false), zstd.WithWindowSize(2*blockSize))
	return e
})
