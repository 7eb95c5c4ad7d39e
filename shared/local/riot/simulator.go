package riot

import (
	"compress/gzip"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultKey is the API key that the simulator takes unless it is given another. It has not the form of a real one.
const DefaultKey = "simulated-riot-api-key"

const (
	defaultAppLimit    = "20:1,100:120"
	defaultMethodLimit = "500:10"
	// keptAnswers bounds what Served remembers.
	keptAnswers = 4096
)

// Options says how a simulator behaves. The zero value is the default ladder with a development key's limits.
type Options struct {
	// Seed chooses the players and what happens to them.
	Seed uint64
	// Advances is how often the ladder has moved already, to go on where an earlier simulator with this seed stopped.
	Advances int
	// Key is the API key that is accepted; DefaultKey when empty.
	Key string
	// AppLimit and MethodLimit are "requests:seconds,…"; a development key's 20:1,100:120 and 500:10 when empty. Each
	// platform counts its own.
	AppLimit, MethodLimit string
	// Now is the clock of the rate-limit windows; time.Now when nil.
	Now func() time.Time
}

// Served is one answer that was given.
type Served struct {
	At               time.Time
	Platform         string
	Path, Query      string
	Status           int
	Body             []byte // as JSON, before compression; nil for everything but 200
	Advances, Number int    // Number counts the requests from 1
}

// Request is what an interceptor is shown.
type Request struct {
	Platform, Path, Query string
	// N counts the requests since the start, from 1.
	N int
}

// Fault is what [Simulator.Intercept] makes of one request. The zero Fault lets it through.
type Fault struct {
	// Status, Header and Body are answered in place of the real answer.
	Status int
	Header http.Header
	Body   string
	// Hang keeps the request waiting until its client gives up or the server is closed.
	Hang bool
	// Truncate cuts the real answer's body after so many bytes and breaks the connection.
	Truncate int
}

// HTML is the body that the edge in front of the real API answers 502 and 504 with: not JSON.
const HTML = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"

// Simulator is the API as an [http.Handler], with the ladders behind it.
type Simulator struct {
	o           Options
	app, method limit
	done        chan struct{}

	mu        sync.Mutex
	worlds    map[string]*world
	limits    map[string]*limit
	advances  int
	between   bool
	requests  int
	intercept func(Request) Fault
	served    []Served
}

// New returns a simulator; the error is about a rate limit that can't be read.
func New(o Options) (*Simulator, error) {
	if o.Key == "" {
		o.Key = DefaultKey
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	app, err1 := parseLimit(or(o.AppLimit, defaultAppLimit))
	method, err2 := parseLimit(or(o.MethodLimit, defaultMethodLimit))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &Simulator{
		o: o, app: app, method: method, done: make(chan struct{}), advances: o.Advances,
		worlds: map[string]*world{}, limits: map[string]*limit{},
	}, nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Key is the API key that is accepted.
func (s *Simulator) Key() string { return s.o.Key }

// Advances is how often the ladder has moved.
func (s *Simulator) Advances() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.advances
}

// Advance lets games be played on every platform and returns what that did to the challengers of kr's
// RANKED_SOLO_5x5.
func (s *Simulator) Advance() Movement {
	s.mu.Lock()
	defer s.mu.Unlock()
	kr := s.world("kr", "RANKED_SOLO_5x5")
	before := kr.ladder(Challenger)
	for _, w := range s.worlds {
		w.play()
	}
	s.advances++
	return compare(before, kr.ladder(Challenger))
}

// Between makes the ladders empty, as they are between two seasons, or brings them back as they were.
func (s *Simulator) Between(seasons bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.between = seasons
}

// Ladder is a tier as it stands now, from the top.
func (s *Simulator) Ladder(platform, queue string, tier Tier) []Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.between {
		return nil
	}
	return s.world(platform, queue).ladder(tier)
}

// Intercept makes f see each request before it is answered; nil removes it. f must not call the simulator.
func (s *Simulator) Intercept(f func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Served are the answers given so far, in order; the last 4096 of them.
func (s *Simulator) Served() []Served {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.served)
}

// world returns a platform's players of a queue, brought up to the number of advances. The caller holds mu.
func (s *Simulator) world(platform, queue string) *world {
	key := platform + "/" + queue
	w, ok := s.worlds[key]
	if !ok {
		w = newWorld(s.o.Seed, platform, queue)
		for range s.advances {
			w.play()
		}
		s.worlds[key] = w
	}
	return w
}

// ServeHTTP implements [http.Handler].
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	platform, _, _ := strings.Cut(strings.ToLower(host), ".")
	if !platforms[platform] {
		platform = "kr"
	}
	s.mu.Lock()
	s.requests++
	seen := Request{platform, r.URL.Path, r.URL.RawQuery, s.requests}
	intercept := s.intercept
	s.mu.Unlock()
	var fault Fault
	if intercept != nil {
		fault = intercept(seen)
	}
	out := &answer{ResponseWriter: w, status: http.StatusOK}
	defer func() { s.remember(seen, out) }()
	switch {
	case fault.Hang:
		out.status = 0
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		for name, values := range fault.Header {
			out.Header()[http.CanonicalHeaderKey(name)] = values
		}
		if out.Header().Get("Content-Type") == "" {
			out.Header().Set("Content-Type", http.DetectContentType([]byte(fault.Body)))
		}
		out.WriteHeader(fault.Status)
		_, _ = out.Write([]byte(fault.Body))
		return
	}
	if !s.allowed(out, r) {
		return
	}
	body, ok := s.answer(out, r, platform)
	if !ok {
		return
	}
	out.body = body
	if fault.Truncate > 0 && fault.Truncate < len(body) {
		out.Header().Set("Content-Type", contentType)
		out.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:fault.Truncate])
		panic(http.ErrAbortHandler)
	}
	send(w, r, body)
}

const contentType = "application/json;charset=utf-8"

func send(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Vary", "Accept-Encoding")
	if len(body) > 1024 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(body)
		_ = z.Close()
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func (s *Simulator) allowed(w http.ResponseWriter, r *http.Request) bool {
	token := r.Header.Get("X-Riot-Token")
	switch {
	case token == "":
		status(w, http.StatusUnauthorized, "Unauthorized")
	case subtle.ConstantTimeCompare([]byte(token), []byte(s.o.Key)) != 1:
		status(w, http.StatusForbidden, "Forbidden")
	default:
		return true
	}
	return false
}

// answer finds what the path asks for; when it returns false it has answered already.
func (s *Simulator) answer(w http.ResponseWriter, r *http.Request, platform string) ([]byte, bool) {
	const base = "/lol/league/v4/"
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, base), "/")
	if !strings.HasPrefix(r.URL.Path, base) || len(parts) < 3 {
		status(w, http.StatusNotFound, "Not found")
		return nil, false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		status(w, http.StatusMethodNotAllowed, "Method not allowed")
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !admit(w, s.limit(platform, s.app), s.limit(platform+"/"+parts[0], s.method), s.o.Now()) {
		return nil, false
	}
	tier, byQueue := map[string]Tier{
		"challengerleagues": Challenger, "grandmasterleagues": Grandmaster, "masterleagues": Master,
	}[parts[0]]
	switch {
	case byQueue && len(parts) == 3 && parts[1] == "by-queue":
		queue := parts[2]
		if !known(w, "queue", queue, queues) {
			return nil, false
		}
		world := s.world(platform, queue)
		return appendList(nil, world.key, queue, tier, world.ladder(tier), s.between), true
	case parts[0] == "entries" && len(parts) == 4:
		return s.entries(w, r, platform, parts[1], parts[2], parts[3])
	}
	status(w, http.StatusNotFound, "Not found")
	return nil, false
}

func (s *Simulator) entries(w http.ResponseWriter, r *http.Request, platform, queue, tier, division string) ([]byte, bool) {
	if !known(w, "queue", queue, queues) || !known(w, "tier", tier, lowerTiers) || !known(w, "division", division, divisions) {
		return nil, false
	}
	number := 1
	if p := r.URL.Query().Get("page"); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 {
			status(w, http.StatusBadRequest, "Bad Request - Query parameter 'page' must be a positive integer")
			return nil, false
		}
		number = n
	}
	world := s.world(platform, queue)
	entries := page(world.division(tier, division), number)
	if len(entries) == 0 || s.between {
		w.WriteHeader(http.StatusNoContent)
		return nil, false
	}
	return appendEntries(nil, world.key, queue, tier, division, entries), true
}

// limit returns the windows kept under a name, made from a pattern at first use. The caller holds mu.
func (s *Simulator) limit(name string, pattern limit) *limit {
	l, ok := s.limits[name]
	if !ok {
		l = &limit{text: pattern.text, windows: slices.Clone(pattern.windows)}
		s.limits[name] = l
	}
	return l
}

func (s *Simulator) remember(r Request, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.served) == keptAnswers {
		s.served = slices.Delete(s.served, 0, 1)
	}
	s.served = append(s.served, Served{
		At: s.o.Now(), Platform: r.Platform, Path: r.Path, Query: r.Query, Status: a.status, Body: a.body,
		Advances: s.advances, Number: r.N,
	})
}

// answer remembers the status that was written.
type answer struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (a *answer) WriteHeader(code int) {
	a.status = code
	a.ResponseWriter.WriteHeader(code)
}

func status(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, `{"status":{"message":%q,"status_code":%d}}`, message, code)
}

func known(w http.ResponseWriter, what, value string, all []string) bool {
	if slices.Contains(all, value) {
		return true
	}
	status(w, http.StatusBadRequest, fmt.Sprintf("Bad Request - Path parameter '%s' must be one of [%s]", what, strings.Join(all, ", ")))
	return false
}

var queues = []string{"RANKED_SOLO_5x5", "RANKED_FLEX_SR"}

var platforms = map[string]bool{
	"br1": true, "eun1": true, "euw1": true, "jp1": true, "kr": true, "la1": true, "la2": true, "me1": true, "na1": true,
	"oc1": true, "ru": true, "sg2": true, "tr1": true, "tw2": true, "vn2": true,
}
