package riot

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// Tier is one of the three leagues at the top, which are served as one list each.
type Tier string

// The tiers that are served by queue.
const (
	Challenger  Tier = "CHALLENGER"
	Grandmaster Tier = "GRANDMASTER"
	Master      Tier = "MASTER"
)

// sizes are the seats of a tier as on the large platforms; Master has as many as there are players left.
var sizes = map[Tier][2]int{Challenger: {0, 300}, Grandmaster: {300, 1000}, Master: {1000, 1600}}

const players = 1600

// puuidLength is the length of every puuid of the real API.
const puuidLength = 78

// Standing is one player's place in a ladder.
type Standing struct {
	PUUID        string
	LeaguePoints int
	Wins, Losses int
	Veteran      bool
	Inactive     bool
	FreshBlood   bool
	HotStreak    bool
}

// Movement is what an advance did to the challenger ladder, by number of players.
type Movement struct {
	// Changed stayed in the ladder with another content, Joined and Left are new in it and gone from it, and Moved
	// stayed at another rank.
	Changed, Joined, Left, Moved int
}

type player struct {
	Standing
	seat   int // breaks a tie of league points, so that an order is always the same
	streak int // games won in a row
	league Tier
}

// world is one platform's and one queue's players, ordered by league points.
type world struct {
	key      string
	seed     uint64
	rounds   int
	everyone []*player
}

func newWorld(seed uint64, platform, queue string) *world {
	w := &world{key: platform + "/" + queue, seed: seed}
	r := w.random()
	for i := range players {
		games := 180 + r.IntN(700)
		won := games/2 + r.IntN(games/6)
		p := &player{seat: i, league: tierOf(i)}
		p.Standing = Standing{
			PUUID:        puuid(w.key, seed, i),
			LeaguePoints: startingPoints(i) + r.IntN(4),
			Wins:         won,
			Losses:       games - won,
			Veteran:      games > 500,
			FreshBlood:   r.IntN(12) == 0,
			HotStreak:    r.IntN(8) == 0,
		}
		if p.HotStreak {
			p.streak = 3
		}
		w.everyone = append(w.everyone, p)
	}
	w.sort()
	return w
}

// random is the source of a round's chances; it depends on the seed and the round alone, so that a simulator that is
// told how often it advanced comes to the same ladder.
func (w *world) random() *rand.Rand {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", w.key, w.seed, w.rounds))
	return rand.New(rand.NewChaCha8(sum)) //nolint:gosec // chances that repeat are the point
}

// startingPoints falls steeply at the top and flatly below, from about 2100 to 850 within the challengers and on to 250,
// much as the recorded ladders do.
func startingPoints(rank int) int {
	x := float64(rank)
	return int(80 + 995*math.Exp(-x/900) + 820*math.Exp(-x/105) + 190*math.Exp(-x/16))
}

func tierOf(rank int) Tier {
	for tier, s := range sizes {
		if rank >= s[0] && rank < s[1] {
			return tier
		}
	}
	return ""
}

// busy is how many players at the very top play in every second round; of the others one in seven does.
const busy = 40

// play lets time pass, in which some players play one to three games.
func (w *world) play() {
	w.rounds++
	r := w.random()
	for rank, p := range w.everyone {
		p.FreshBlood = p.FreshBlood && r.IntN(6) != 0
		rests := 7
		if rank < busy {
			rests = 2
		}
		if r.IntN(rests) != 0 {
			continue
		}
		for range 1 + r.IntN(3) {
			if r.IntN(100) < 51 {
				p.Wins++
				p.streak++
				p.LeaguePoints += 16 + r.IntN(14)
			} else {
				p.Losses++
				p.streak = 0
				p.LeaguePoints = max(0, p.LeaguePoints-14-r.IntN(14))
			}
		}
		p.HotStreak = p.streak >= 3
		p.Veteran = p.Wins+p.Losses > 500
	}
	// Somebody new climbs out of the tier below, with a fresh account that nobody has seen here before.
	if last := w.everyone[len(w.everyone)-1]; r.IntN(2) == 0 {
		last.seat += players
		last.Standing = Standing{
			PUUID:        puuid(w.key, w.seed, last.seat),
			LeaguePoints: w.everyone[sizes[Challenger][1]-20].LeaguePoints + r.IntN(30),
			Wins:         60 + r.IntN(40),
			Losses:       20 + r.IntN(20),
			HotStreak:    true,
		}
		last.streak, last.league = 3, Master
	}
	w.sort()
	for i, p := range w.everyone {
		if now := tierOf(i); now != p.league {
			p.FreshBlood = rankOf(now) < rankOf(p.league)
			p.league = now
		}
	}
}

func rankOf(t Tier) int { return sizes[t][0] }

func (w *world) sort() {
	slices.SortFunc(w.everyone, func(a, b *player) int {
		if a.LeaguePoints != b.LeaguePoints {
			return b.LeaguePoints - a.LeaguePoints
		}
		return a.seat - b.seat
	})
}

func (w *world) ladder(tier Tier) []Standing {
	s := sizes[tier]
	out := make([]Standing, 0, s[1]-s[0])
	for _, p := range w.everyone[s[0]:s[1]] {
		out = append(out, p.Standing)
	}
	return out
}

// compare says how a ladder differs from an earlier one.
func compare(before, after []Standing) Movement {
	type place struct {
		Standing
		rank int
	}
	was := make(map[string]place, len(before))
	for i, s := range before {
		was[s.PUUID] = place{s, i}
	}
	var m Movement
	for i, s := range after {
		old, ok := was[s.PUUID]
		switch {
		case !ok:
			m.Joined++
			continue
		case old.Standing != s:
			m.Changed++
		}
		if old.rank != i {
			m.Moved++
		}
		delete(was, s.PUUID)
	}
	m.Left = len(was)
	return m
}

// puuid has the length and the alphabet of a real one and says of itself what it is.
func puuid(world string, seed uint64, seat int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", world, seed, seat))
	more := sha256.Sum256(sum[:])
	id := fmt.Sprintf("simulated-%05d-", seat) + base64.RawURLEncoding.EncodeToString(append(sum[:], more[:]...))
	return id[:puuidLength]
}

// leagueID is a UUID that depends on the league alone, as the real one does over a season.
func leagueID(world string, tier Tier) string {
	sum := sha256.Sum256([]byte(world + "/" + string(tier)))
	h := hex.EncodeToString(sum[:16])
	return "00000000-" + h[8:12] + "-3" + h[13:16] + "-8" + h[17:20] + "-" + h[20:32]
}

// leagueNames can't be real ones: the game's leagues are named after its champions.
var leagueNames = map[Tier]string{
	Challenger:  "Simulated Scuttle's Ramblers",
	Grandmaster: "Simulated Krug's Masons",
	Master:      "Simulated Gromp's Loungers",
}

// appendList writes a LeagueListDTO as it comes over the wire. A ladder between seasons has no leagueId, queue and name.
func appendList(dst []byte, world, queue string, tier Tier, entries []Standing, between bool) []byte {
	dst = append(dst, `{"tier":"`...)
	dst = append(dst, tier...)
	if between {
		return append(dst, `","entries":[]}`...)
	}
	dst = append(dst, `","leagueId":"`...)
	dst = append(dst, leagueID(world, tier)...)
	dst = append(dst, `","queue":"`...)
	dst = append(dst, queue...)
	dst = append(dst, `","name":"`...)
	dst = append(dst, leagueNames[tier]...)
	dst = append(dst, `","entries":[`...)
	for i, e := range entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"puuid":"`...)
		dst = append(dst, e.PUUID...)
		dst = append(dst, `","leaguePoints":`...)
		dst = strconv.AppendInt(dst, int64(e.LeaguePoints), 10)
		dst = append(dst, `,"rank":"I"`...)
		dst = appendRecord(dst, e)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// appendRecord writes the members that a LeagueItemDTO and a LeagueEntryDTO share, in the order of the former.
func appendRecord(dst []byte, e Standing) []byte {
	dst = append(dst, `,"wins":`...)
	dst = strconv.AppendInt(dst, int64(e.Wins), 10)
	dst = append(dst, `,"losses":`...)
	dst = strconv.AppendInt(dst, int64(e.Losses), 10)
	dst = append(dst, `,"veteran":`...)
	dst = strconv.AppendBool(dst, e.Veteran)
	dst = append(dst, `,"inactive":`...)
	dst = strconv.AppendBool(dst, e.Inactive)
	dst = append(dst, `,"freshBlood":`...)
	dst = strconv.AppendBool(dst, e.FreshBlood)
	dst = append(dst, `,"hotStreak":`...)
	return strconv.AppendBool(dst, e.HotStreak)
}
