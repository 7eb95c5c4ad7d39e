package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riftline/riftline/shared/avrofile"
)

// compressed is the answer of the role "compress".
type compressed struct {
	Records int64         `json:"records"`
	Bytes   int64         `json:"bytes"`
	Packed  int64         `json:"packed"`
	Wall    time.Duration `json:"wall_ns"`
}

// compressAlone is the role "compress": the container files' writer on all processors, fed from memory and writing to
// nowhere: what a drain would cost if there were nothing but the compressor.
func compressAlone(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("compress", flag.ContinueOnError)
	kindName, codec := flags.String("kind", "", ""), flags.String("codec", "", "")
	long := flags.Duration("for", 0, "")
	if flags.Parse(args) != nil {
		return errUsage
	}
	k := kinds[*kindName]
	format, err := avrofile.NewFormat(k.schema, *codec)
	if err != nil {
		return err
	}
	bodies, size := k.bodies(8 << 20)
	var total compressed
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	began := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			c, err := compressUntil(ctx, format, bodies, began.Add(*long))
			mu.Lock()
			defer mu.Unlock()
			total.Records += c.Records
			total.Packed += c.Packed
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	total.Wall = time.Since(began)
	total.Bytes = total.Records / int64(len(bodies)) * size
	if failed != nil {
		return failed
	}
	return answerJSON(total)
}

// bodies are records of about so many bytes in all.
func (k kind) bodies(size int64) (bodies [][]byte, have int64) {
	random := k.random()
	for n := 0; have < size; n++ {
		body := k.append(nil, random, n)
		bodies = append(bodies, body)
		have += int64(len(body))
	}
	return bodies, have
}

type countingWriter struct{ n int64 }

func (c *countingWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// compressUntil writes all bodies again and again until the time is over.
func compressUntil(ctx context.Context, format *avrofile.Format, bodies [][]byte, end time.Time) (c compressed, err error) {
	var out countingWriter
	for n := int64(0); (n == 0 || time.Now().Before(end)) && ctx.Err() == nil; n++ {
		w := format.NewWriter(&out, avrofile.SyncOf("bench", 0, n))
		for _, body := range bodies {
			if err := w.Append(body); err != nil {
				return c, err
			}
		}
		if err := w.Close(); err != nil {
			return c, err
		}
		c.Records += int64(len(bodies))
	}
	c.Packed = out.n
	return c, ctx.Err()
}

// putAlone is the role "puts": as many small objects a second as the bucket takes, from a client that does nothing else.
func putAlone(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("puts", flag.ContinueOnError)
	url, name, objects := flags.String("url", "", ""), flags.String("bucket", "", ""), flags.Int64("objects", 1000, "")
	if flags.Parse(args) != nil {
		return errUsage
	}
	const clients = 16
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	var next atomic.Int64
	errs := make(chan error, clients)
	began := time.Now()
	for range clients {
		go func() {
			for n := next.Add(1); n <= *objects; n = next.Add(1) {
				if err := putOne(ctx, client, fmt.Sprintf("%s/upload/storage/v1/b/%s/o?uploadType=multipart&ifGenerationMatch=0&name=%d", *url, *name, n)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			return err
		}
	}
	return answerJSON(compressed{Records: *objects, Wall: time.Since(began)})
}

func putOne(ctx context.Context, client *http.Client, url string) error {
	body := "--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\nContent-Type: application/avro\r\n\r\n" + strings.Repeat("x", 1500) + "\r\n--b--\r\n"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "multipart/related; boundary=b")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a small object was answered with %s", resp.Status)
	}
	return nil
}
