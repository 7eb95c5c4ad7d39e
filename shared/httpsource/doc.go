// Package httpsource asks an HTTP API once per poll and cuts the answer into entries.
//
// It stands for castorm's OkHttp client, its status code policy and its Jackson record parser. Statuses are judged in
// this order: a status in the process ranges has its body read (204, 205 and 304 have none and are an answer without
// entries); one in the skip ranges is an answer without entries; 401 and 403 are an [UnauthorizedError]; 429 waits as
// Retry-After says, or 1, 2, 4, 8 s; 5xx, a failed connection and a cut-off body are tried again after the same waits;
// everything else is final. A request is tried at most five times, and never when the wait would leave the run too
// little time: a rate limit is then a [DeferredError], which says when to come back.
// Where clients are given a limiter, none asks before the API's rate limits leave it a request; a wait for that which is
// too long is a [DeferredError], too.
//
// URL, header values, parameters and body are request templates; they are filled in and escaped by package connector,
// which also keeps request variables from leading to a host that the connector file does not name.
//
// Redirects are followed only to the scheme, host and port of the connector's URL, so that no answer can send the
// credentials elsewhere. Errors and log lines name the URL without its query and user information, and never a
// request's headers or body.
package httpsource
