// Package ratelimit keeps requests within the windows that an API declares in the headers of its answers.
//
// The headers are those of Riot's API: X-App-Rate-Limit and X-Method-Rate-Limit hold "requests:seconds" for each window,
// X-App-Rate-Limit-Count and X-Method-Rate-Limit-Count how many requests the API has counted in it, and
// X-Rate-Limit-Type which of the two a 429 is about (https://developer.riotgames.com/docs/portal, "Rate Limiting"). The
// app's windows are those of a host, a method's those of an endpoint of that host. An API without these headers is asked
// as often as there is something to ask.
//
// When the API's windows begin is not known, so a request counts from when it is sent until a whole span after its answer,
// which is never too short. What the API has counted besides, requests of other processes and those that an earlier
// instance of this one has made, counts as well. So nothing has to be kept between two runs, at the price of the one
// request from which a new instance learns.
package ratelimit
