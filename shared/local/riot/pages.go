package riot

import (
	"fmt"
	"slices"
	"strconv"
)

// Pages of entries: 200 new ones each and the last five of the page before, as recorded.
const (
	pageStep    = 200
	pageOverlap = 5
)

var (
	lowerTiers = []string{"IRON", "BRONZE", "SILVER", "GOLD", "PLATINUM", "EMERALD", "DIAMOND"}
	divisions  = []string{"I", "II", "III", "IV"}
)

// division is the whole of one division below the three top tiers. It is smaller than a real one and does not move.
func (w *world) division(tier, division string) []Standing {
	size := 450 + 37*slices.Index(lowerTiers, tier) + 11*slices.Index(divisions, division)
	out := make([]Standing, size)
	base := 1_000_000 + 100_000*slices.Index(lowerTiers, tier) + 10_000*slices.Index(divisions, division)
	for i := range out {
		out[i] = Standing{
			PUUID:        puuid(w.key, w.seed, base+i),
			LeaguePoints: 99 - i*100/size,
			Wins:         20 + i%90,
			Losses:       18 + i%80,
			FreshBlood:   i%14 == 0,
			HotStreak:    i%9 == 0,
		}
	}
	return out
}

// page cuts a page, which begins with 1, out of a division; an empty one means that there is none.
func page(all []Standing, number int) []Standing {
	from, to := (number-1)*pageStep, number*pageStep+pageOverlap
	if from >= len(all) {
		return nil
	}
	return all[from:min(to, len(all))]
}

// appendEntries writes a page of LeagueEntryDTOs.
func appendEntries(dst []byte, world, queue, tier, division string, entries []Standing) []byte {
	dst = append(dst, '[')
	for i, e := range entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		league := leagueID(world+"/"+strconv.Itoa(i%180), Tier(tier+"/"+division))
		dst = fmt.Appendf(dst, `{"leagueId":%q,"queueType":%q,"tier":%q,"rank":%q,"puuid":%q,"leaguePoints":%d`,
			league, queue, tier, division, e.PUUID, e.LeaguePoints)
		dst = append(appendRecord(dst, e), '}')
	}
	return append(dst, ']')
}
