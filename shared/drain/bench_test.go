package drain

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkDrain is a whole drain of one partition, broker and bucket in the same process: fetch, check, append, upload.
func BenchmarkDrain(b *testing.B) {
	const records = 200_000
	w := newWorld(b, 1)
	pad := strings.Repeat("0123456789", 14)
	batch := make([]*kgo.Record, records)
	for i := range batch {
		batch[i] = w.record(0, 1, pad)
	}
	if err := w.kgo.ProduceSync(w.ctx, batch...).FirstErr(); err != nil {
		b.Fatal(err)
	}
	run := 0
	for _, flush := range []int{3, 1000, 1_000_000} {
		for _, codec := range []string{"null", "snappy", "zstandard"} {
			b.Run(fmt.Sprintf("flush.size=%d,%s", flush, codec), func(b *testing.B) {
				if flush == 3 && testing.Short() {
					b.Skip("makes 66,667 objects")
				}
				w.sink.FlushSize, w.sink.Codec = flush, codec
				for b.Loop() {
					run++
					w.sink.Name, w.sink.TopicsDir = fmt.Sprintf("sink-%d", run), fmt.Sprintf("run-%d", run)
					sum, err := Run(w.ctx, w.sink, w.deps())
					if err != nil || sum.Records != records {
						b.Fatalf("%v, %+v", err, sum)
					}
				}
				b.ReportMetric(float64(b.N)*records/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}
