// Package riot simulates the part of the Riot Games API that a ladder pipeline talks to, over TLS on loopback.
//
// What it serves has the shapes of the real API as recorded in 2025: league-v4's LeagueListDTO by queue (challenger,
// grandmaster, master) in compact JSON with nine keys per entry in their order, and pages of league-v4 entries that
// overlap by five and end with 204. It asks for X-Riot-Token, counts real rate-limit windows and says so in the
// headers, answers 429 with Retry-After past them, and compresses when asked to.
//
// The ladder stands still until [Simulator.Advance] is called; then games are played, players climb, fall, join and
// leave. The same seed gives the same ladders. No name and no id in it can be taken for a real player's: every puuid
// begins with "simulated-".
package riot
