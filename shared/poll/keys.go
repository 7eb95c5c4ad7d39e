package poll

import (
	"context"
	"crypto/md5" //nolint:gosec // RFC 4122 defines version 3 name-UUIDs by MD5; nothing is secured by it.
	"encoding/hex"
	"log/slog"
	"strings"

	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/record"
)

// fallbackPointer is where the keys of Riot's ladders are since July 2025, when summonerId left every answer.
const (
	fallbackPointer = "/puuid"
	riotDomain      = ".api.riotgames.com"
)

// keysOf finds the key of each entry. Key pointers start at the item of the list, of which the entry may be a part only
// (http.response.record.pointer).
//
// An entry in which a pointer leads to nothing, to null, to an empty text or to a container has none: it gets the
// name-UUID of its text, as castorm's HTTP source keys records for which no key is configured, and is counted in
// Summary.Keyless. If that is so for all entries, /puuid is tried where the host is Riot's.
func (r *run) keysOf(ctx context.Context, answer httpsource.Answer) ([]string, error) {
	entries, items := answer.Entries, answer.Items
	if len(items) != len(entries) {
		items = entries
	}
	keys := make([]string, len(entries))
	if len(r.s.Key) == 0 {
		for i := range entries {
			keys[i] = nameUUID(&entries[i])
		}
		return keys, nil
	}
	pointers := r.s.Key
	found := fillKeys(keys, items, pointers)
	if found == 0 && len(entries) > 0 && r.s.KeyFallback && r.isRiot() {
		if found = fillKeys(keys, items, []string{fallbackPointer}); found > 0 {
			r.log.WarnContext(ctx, "no entry has the key pointer: keys are taken from /puuid",
				slog.String("pointer", strings.Join(pointers, " + ")),
				slog.String("advice", "set http.response.record.offset.pointer to key=/puuid"))
		}
	}
	if found == 0 && len(entries) > 0 {
		return nil, failed(Upstream, "finding keys: no entry has %s (http.response.record.offset.pointer); the first entry has the members %s",
			strings.Join(pointers, " + "), fieldNames(&items[0]))
	}
	for i, key := range keys {
		if key == "" {
			keys[i] = nameUUID(&entries[i])
			r.sum.Keyless++
		}
	}
	return keys, nil
}

func (r *run) isRiot() bool {
	return strings.HasSuffix(strings.ToLower(r.s.Request.HostWith(r.s.Variables)), riotDomain)
}

// fillKeys sets the keys of the items in which every pointer leads to something, clears the others, and returns how
// many it set. Several values are joined with "+", as castorm joins them.
func fillKeys(keys []string, items []record.Value, pointers []string) int {
	found := 0
	for i := range items {
		keys[i] = keyOf(&items[i], pointers)
		if keys[i] != "" {
			found++
		}
	}
	return found
}

func keyOf(item *record.Value, pointers []string) string {
	var b strings.Builder
	for i, pointer := range pointers {
		v, ok := item.At(pointer)
		if !ok || v.Kind == record.Null {
			return ""
		}
		text := v.AsText()
		if text == "" {
			return ""
		}
		if len(pointers) == 1 {
			return text
		}
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteString(text)
	}
	return b.String()
}

// nameUUID is Java's UUID.nameUUIDFromBytes of the entry's text as castorm writes it: RFC 4122, version 3, without a name
// space.
func nameUUID(entry *record.Value) string {
	sum := md5.Sum(record.AppendBody(nil, entry)) //nolint:gosec // see the import
	sum[6] = sum[6]&0x0f | 0x30
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// fieldNames lists the members of an entry for a message.
func fieldNames(entry *record.Value) string {
	if entry.Kind != record.Object {
		return "none, as it is no object"
	}
	const most = 40
	names := make([]string, 0, len(entry.Fields))
	for _, f := range entry.Fields {
		if len(names) == most {
			names = append(names, "…")
			break
		}
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
