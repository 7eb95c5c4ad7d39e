// Package poll runs one poll of one source partition.
package poll
