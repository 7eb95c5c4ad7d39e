package avrofile

import (
	"io"
	"math/rand"
	"testing"
)

// TestWhatAWriterHoldsIsCounted: all buffers, of blocks that fill and of those that are compressed, by what they have and
// not by what is in them; what a large record needed is not kept.
func TestWhatAWriterHoldsIsCounted(t *testing.T) {
	t.Parallel()
	for _, codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			f, err := NewFormat(ladder, codec)
			if err != nil {
				t.Fatal(err)
			}
			w := f.NewWriter(io.Discard, Sync{})
			random := rand.New(rand.NewSource(1))
			noise := make([]byte, 5<<20)
			random.Read(noise)
			for n := range 4000 {
				size := random.Intn(3000)
				if n%500 == 499 && n < 3000 {
					size = len(noise)
				}
				if err := w.Append(noise[:size]); err != nil {
					t.Fatal(err)
				}
				want := cap(w.block)
				for _, p := range w.packing {
					<-p.done
					want += cap(p.block) + cap(p.out)
				}
				if !w.started {
					want += len(f.header) + len(w.sync)
				}
				if got := w.Buffered(); got != want {
					t.Fatalf("after record %d: %d bytes, and %d are held", n, got, want)
				}
			}
			if got := w.Buffered(); got > 10*blockSize {
				t.Errorf("%d bytes are held long after the last large record", got)
			}
			if err := w.Close(); err != nil || w.Buffered() != 0 {
				t.Errorf("%d bytes are held at the end, %v", w.Buffered(), err)
			}
		})
	}
}
