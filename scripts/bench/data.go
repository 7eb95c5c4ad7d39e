package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strings"
)

// kind is one sort of record.
type kind struct {
	name   string
	schema string
	// flush is flush.size of its drains.
	flush int
	// append adds the Avro form of record number n to b; the same number gives the same bytes.
	append func(b []byte, r *rand.Rand, n int) []byte
}

// kinds are the records that are measured. A ladder's is what a poll makes of a player of Riot's league API; those of
// 166 bytes are as large as those with which Kafka Connect's sinks were measured.
var kinds = map[string]kind{
	"ladder":  {name: "ladder", schema: ladderSchema(true), flush: 50_000, append: ladder(true)},
	"small":   {name: "small", schema: ladderSchema(false), flush: 50_000, append: ladder(false)},
	"matches": {name: "matches", schema: matchSchema(), flush: 250, append: match},
}

// seed makes every run's records alike.
const seed = 0x51f7

// random is the source of record number n and those after it.
func (k kind) random() *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(len(k.name)))) } //nolint:gosec // the same each time, on purpose

func ladderSchema(wide bool) string {
	var fields []string
	add := func(name, kind string) { fields = append(fields, fmt.Sprintf(`{"name":%q,"type":%s}`, name, kind)) }
	add("leagueId", `"string"`)
	add("tier", `"string"`)
	add("queue", `"string"`)
	add("puuid", `"string"`)
	if wide {
		add("name", `"string"`)
		add("summonerId", `"string"`)
		add("summonerName", `"string"`)
		add("accountId", `"string"`)
	}
	for _, name := range []string{"leaguePoints", "wins", "losses"} {
		add(name, `"long"`)
	}
	add("rank", `"string"`)
	for _, name := range []string{"veteran", "inactive", "freshBlood", "hotStreak"} {
		add(name, `"boolean"`)
	}
	add("miniSeries", `["null",{"type":"record","name":"MiniSeries","fields":[{"name":"target","type":"long"},{"name":"progress","type":"string"}]}]`)
	add("platform", `"string"`)
	add("polled_at", `{"type":"long","logicalType":"timestamp-millis"}`)
	return `{"type":"record","name":"Entry","namespace":"bench","fields":[` + strings.Join(fields, ",") + `]}`
}

// ladder makes entries of a ladder: wide ones are of 300 bytes with Confluent's header, the others of 166 without it.
func ladder(wide bool) func([]byte, *rand.Rand, int) []byte {
	return func(b []byte, r *rand.Rand, n int) []byte {
		b = text(b, "c4a2e1de-6f3b-3a54-8ca1-9b1f1f0c7d21")
		b = text(b, "CHALLENGER")
		b = text(b, "RANKED_SOLO_5x5")
		b = word(b, r, 78)
		if wide {
			b = text(b, "Zed's Infiltrators")
			b = word(b, r, 47)
			b = word(b, r, 14)
			b = word(b, r, 46)
		}
		b = long(b, int64(1000+r.IntN(1000)))
		b = long(b, int64(100+r.IntN(400)))
		b = long(b, int64(100+r.IntN(400)))
		b = text(b, "I")
		flags := r.Uint32()
		b = append(b, byte(flags&1), byte(flags>>1&1), byte(flags>>2&1), byte(flags>>3&1))
		b = append(b, 0) // no mini series
		b = text(b, "kr")
		return long(b, 1_760_000_000_000+int64(n))
	}
}

const (
	participants = 10
	counters     = 100
	challenges   = 125
	events       = 75
)

func matchSchema() string {
	var fields []string
	for i := range counters {
		fields = append(fields, fmt.Sprintf(`{"name":"counter%02d","type":"long"}`, i))
	}
	event := `{"type":"record","name":"Event","fields":[{"name":"type","type":"string"},{"name":"timestamp","type":"long"},{"name":"x","type":"long"},{"name":"y","type":"long"}]}`
	participant := `{"type":"record","name":"Participant","fields":[{"name":"puuid","type":"string"},{"name":"riotIdGameName","type":"string"},` +
		strings.Join(fields, ",") + `,{"name":"challenges","type":{"type":"map","values":"double"}},{"name":"events","type":{"type":"array","items":` + event + `}}]}`
	return `{"type":"record","name":"Match","namespace":"bench","fields":[{"name":"matchId","type":"string"},{"name":"gameCreation","type":"long"},` +
		`{"name":"participants","type":{"type":"array","items":` + participant + `}}]}`
}

var challengeNames = func() []string {
	names := make([]string, challenges)
	for i := range names {
		names[i] = fmt.Sprintf("challengeOfTheGame%03d", i)
	}
	return names
}()

var eventTypes = []string{"CHAMPION_KILL", "ITEM_PURCHASED", "WARD_PLACED", "LEVEL_UP", "BUILDING_KILL"}

// match makes records of about 60 kB in the shape of Riot's match API.
func match(b []byte, r *rand.Rand, n int) []byte {
	b = text(b, fmt.Sprintf("KR_%010d", n))
	b = long(b, 1_760_000_000_000+int64(n))
	b = long(b, participants)
	for range participants {
		b = word(b, r, 78)
		b = word(b, r, 14)
		for range counters {
			b = long(b, int64(r.Uint32N(20_000)))
		}
		b = long(b, challenges)
		for _, name := range challengeNames {
			b = text(b, name)
			// As many digits as the API gives.
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(math.Round(r.Float64()*1e6)/1e3))
		}
		b = append(b, 0)
		b = long(b, events)
		for range events {
			b = text(b, eventTypes[r.IntN(len(eventTypes))])
			b = long(b, int64(r.IntN(2_000_000)))
			b = long(b, int64(r.IntN(15_000)))
			b = long(b, int64(r.IntN(15_000)))
		}
		b = append(b, 0)
	}
	return append(b, 0)
}

func long(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

func text(b []byte, s string) []byte { return append(long(b, int64(len(s))), s...) }

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// word adds n random letters, as an id of the API has.
func word(b []byte, r *rand.Rand, n int) []byte {
	b = long(b, int64(n))
	for n > 0 {
		bits := r.Uint64()
		for range min(n, 10) {
			b = append(b, letters[bits&63])
			bits >>= 6
		}
		n -= min(n, 10)
	}
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A digest is what is compared of records in order: how many, their bytes and the checksum of all of them in a row.
type digest struct {
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
	CRC32C  uint32 `json:"crc32c"`
}

func (d *digest) add(body []byte) {
	d.Records++
	d.Bytes += int64(len(body))
	d.CRC32C = crc32.Update(d.CRC32C, castagnoli, body)
}

// join is the digest of the records of d and then those of next.
func (d digest) join(next digest) digest {
	return digest{d.Records + next.Records, d.Bytes + next.Bytes, joinCRC(d.CRC32C, next.CRC32C, next.Bytes)}
}

// joinCRC is the checksum of two texts in a row, of which the second has size bytes: a checksum is linear over GF(2), so
// the first one's is multiplied by x to the power of 8 times size, modulo the polynomial.
func joinCRC(first, second uint32, size int64) uint32 {
	power := uint32(1 << 31) // 1, in the reflected order of bits
	square := uint32(1 << 30)
	for bits := uint64(size) * 8; bits > 0; bits >>= 1 {
		if bits&1 == 1 {
			power = multiply(power, square)
		}
		square = multiply(square, square)
	}
	return multiply(first, power) ^ second
}

// multiply is the product of two polynomials modulo Castagnoli's, in the reflected order of bits.
func multiply(a, b uint32) uint32 {
	var product uint32
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
	}
	return product
}
