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

// Writer writes a container file. Its bytes depend on the format, the sync marker and the bodies alone.
type Writer struct {
	out     io.Writer
	format  *Format
	sync    Sync
	started bool

	block []byte
	count int64
	// head and packed are kept from block to block.
	head   []byte
	packed []byte
}

// NewWriter begins a file; nothing is written before the first block is full or [Writer.Close] is called.
func (f *Format) NewWriter(out io.Writer, sync Sync) *Writer {
	return &Writer{out: out, format: f, sync: sync}
}

// Append adds a record by its binary form, which must fit the schema: [Walk.Check].
func (w *Writer) Append(body []byte) error {
	if len(w.block) > 0 && len(w.block)+len(body) > blockSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.block = append(w.block, body...)
	w.count++
	if len(w.block) >= blockSize || w.count-int64(len(w.block)) >= maxIdle {
		return w.flush()
	}
	return nil
}

// Buffered is how many bytes are not written yet: those of records that wait for their block to be full, and before the
// first block the file's header, which Close writes if nothing else does.
func (w *Writer) Buffered() int {
	if w.started {
		return len(w.block)
	}
	return len(w.format.header) + len(w.sync) + len(w.block)
}

// Close writes what is left, and the header of a file without records. It does not close the underlying writer.
func (w *Writer) Close() error {
	err := w.flush()
	w.block, w.head, w.packed = nil, nil, nil
	return err
}

func (w *Writer) flush() error {
	if !w.started {
		w.started = true
		if err := w.write(w.format.header, w.sync[:]); err != nil {
			return err
		}
	}
	if w.count == 0 {
		return nil
	}
	packed, err := w.pack()
	if err != nil {
		return err
	}
	w.head = binary.AppendVarint(w.head[:0], w.count)
	w.head = binary.AppendVarint(w.head, int64(len(packed)))
	w.block, w.count = w.block[:0], 0
	return w.write(w.head, packed, w.sync[:])
}

func (w *Writer) write(parts ...[]byte) error {
	for _, p := range parts {
		if _, err := w.out.Write(p); err != nil {
			return fmt.Errorf("writing an Avro block: %w", err)
		}
	}
	return nil
}

// pack compresses the block (Avro 1.12 specification, "Required Codecs" and "Optional Codecs").
func (w *Writer) pack() ([]byte, error) {
	switch w.format.codec {
	case Deflate:
		return w.deflate()
	case Snappy:
		w.packed = s2.EncodeSnappy(w.packed[:cap(w.packed)], w.block)
		// The sum is of the uncompressed block.
		w.packed = binary.BigEndian.AppendUint32(w.packed, crc32.ChecksumIEEE(w.block))
	case Zstandard:
		w.packed = zstandard().EncodeAll(w.block, w.packed[:0])
	default:
		return w.block, nil
	}
	return w.packed, nil
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

func (w *Writer) deflate() ([]byte, error) {
	d, _ := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(d)
	to := appender{b: w.packed[:0]}
	d.Reset(&to)
	if _, err := d.Write(w.block); err != nil {
		return nil, fmt.Errorf("deflating an Avro block: %w", err)
	}
	if err := d.Close(); err != nil {
		return nil, fmt.Errorf("deflating an Avro block: %w", err)
	}
	w.packed = to.b
	return w.packed, nil
}

// zstandard is shared: EncodeAll may be called concurrently. One encoder of its own per processor is its default.
var zstandard = sync.OnceValue(func() *zstd.Encoder {
	// Options that exist give no error.
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false))
	return e
})
