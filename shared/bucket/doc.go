// Package bucket reads and writes Cloud Storage objects with outcomes that a protocol can rest on.
//
// # What a failed write means
//
// Every write carries a generation that the object must have, and its CRC-32C; it is sent in one request which the
// client library does not repeat. So an error tells one of these:
//
//   - certainly not written: the server refused it (4xx but 408, 412 and 429; [ErrDenied] for 401 and 403), or no
//     connection could be made ([ErrUnavailable]);
//   - not written by this request, but perhaps by an earlier one of the caller's: [ErrPrecondition] (412);
//   - unknown: [ErrUnknown] (timeout, connection lost, 408, 5xx) and [ErrThrottled] (429; Cloud Storage answers it also
//     to writers that contend for one object). The write may even be applied later.
//
// [Bucket.CompareAndSet] turns all of them into won or lost by reading the object back, as long as its context lasts.
//
// # What absent means
//
// [ErrAbsent] is returned only when a read says that the object is not there, the bucket is, and a listing of the exact
// name does not have it either. A caller may take it for "was never written".
//
// # Rights
//
// Reading needs storage.objects.get and .list, creating .create, replacing also .delete.
package bucket
