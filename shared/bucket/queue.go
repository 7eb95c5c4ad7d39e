package bucket

import "sync"

// chunk is content on its way to a stream.
type chunk struct {
	bytes   []byte
	release func()
}

// chunkQueue holds chunks up to a number of bytes, or one.
type chunkQueue struct {
	limit int

	mu    sync.Mutex
	moved sync.Cond
	all   []chunk
	// held is how many bytes were put and are not done.
	held  int
	ended bool
}

func newChunkQueue(limit int) *chunkQueue {
	q := &chunkQueue{limit: limit}
	q.moved.L = &q.mu
	return q
}

// put adds a chunk when there is room for it; false says that the queue has ended.
func (q *chunkQueue) put(c chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.ended && q.held > 0 && q.held+len(c.bytes) > q.limit {
		q.moved.Wait()
	}
	if q.ended {
		return false
	}
	q.all, q.held = append(q.all, c), q.held+len(c.bytes)
	q.moved.Broadcast()
	return true
}

// get takes the oldest chunk when there is one; false says that the queue has ended and is empty.
func (q *chunkQueue) get() (chunk, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.ended && len(q.all) == 0 {
		q.moved.Wait()
	}
	if len(q.all) == 0 {
		return chunk{}, false
	}
	c := q.all[0]
	q.all = append(q.all[:0], q.all[1:]...)
	return c, true
}

// done says that a chunk that was taken is not held any more.
func (q *chunkQueue) done(c chunk) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held -= len(c.bytes)
	q.moved.Broadcast()
}

// end says that no more chunks come, or none are wanted.
func (q *chunkQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.moved.Broadcast()
}
