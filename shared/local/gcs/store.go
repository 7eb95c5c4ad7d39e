package gcs

import (
	"crypto/md5" //nolint:gosec // Cloud Storage's own checksum, not a means of protection
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

const (
	maxName     = 1024
	maxMetadata = 8 << 10
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
)

var errBadName = errors.New("bad name")

func (s *Server) createBucket(name string) error {
	if !bucketName.MatchString(name) {
		return fmt.Errorf("%w: %q is no bucket name", errBadName, name)
	}
	if s.buckets[name] != nil {
		return nil
	}
	if s.disk != nil {
		if err := s.disk.createBucket(name); err != nil {
			return err
		}
	}
	s.buckets[name] = map[string]*Stored{}
	return nil
}

// checkName keeps Cloud Storage's rules for names and, in a folder, those of files.
func (s *Server) checkName(name string) error {
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("%w: an object's name has 1 to %d bytes", errBadName, maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not UTF-8", errBadName, name)
	case strings.ContainsAny(name, "\r\n"):
		return fmt.Errorf("%w: %q has a line break", errBadName, name)
	case name == "." || name == ".." || strings.HasPrefix(name, ".well-known/acme-challenge/"):
		return fmt.Errorf("%w: %q is reserved", errBadName, name)
	}
	if s.disk == nil {
		return nil
	}
	if strings.ContainsAny(name, "\x00\\") {
		return fmt.Errorf("%w: %q cannot be a file", errBadName, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%w: %q cannot be a file below the bucket's folder", errBadName, name)
		}
	}
	return nil
}

// put replaces an object. The caller holds the lock and has judged the preconditions.
func (s *Server) put(o Stored) (*Stored, error) {
	o.Size = int64(len(o.Data))
	o.CRC32C = crc32.Checksum(o.Data, castagnoli)
	sum := md5.Sum(o.Data) //nolint:gosec // see the import
	o.MD5 = sum[:]
	o.Metageneration = 1
	o.Metadata = maps.Clone(o.Metadata)
	if o.StorageClass == "" {
		o.StorageClass = "STANDARD"
	}
	if o.ContentType == "" {
		o.ContentType = "application/octet-stream"
	}
	o.Created = s.now().UTC()
	generation, err := s.next()
	if err != nil {
		return nil, err
	}
	o.Generation = generation
	if s.disk != nil {
		if err := s.disk.put(&o); err != nil {
			return nil, err
		}
		o.Data = nil
	}
	s.buckets[o.Bucket][o.Name] = &o
	s.written[o.Bucket+"/"+o.Name] = s.now()
	return &o, nil
}

func (s *Server) remove(bucket, name string) error {
	if s.disk != nil {
		generation, err := s.next()
		if err != nil {
			return err
		}
		if err := s.disk.remove(bucket, name, generation); err != nil {
			return err
		}
	}
	delete(s.buckets[bucket], name)
	return nil
}

// next gives a generation that was never given before, by this process or an earlier one on the same folder.
func (s *Server) next() (int64, error) {
	s.last++
	if s.disk != nil {
		if err := s.disk.reserve(s.last); err != nil {
			return 0, err
		}
	}
	return s.last, nil
}

// content is an object's content, which must not be changed.
func (s *Server) content(o *Stored) ([]byte, error) {
	if s.disk == nil {
		return o.Data, nil
	}
	data, err := s.disk.read(o.Bucket, o.Name)
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(data, castagnoli) != o.CRC32C {
		return nil, fmt.Errorf("file of gs://%s/%s was changed by another program; it is taken over at the next start", o.Bucket, o.Name)
	}
	return data, nil
}

func (s *Server) names(bucket, prefix string) []string {
	var names []string
	for name := range s.buckets[bucket] {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// load takes the folder's objects into the server.
func (s *Server) load() error {
	if err := s.disk.redo(); err != nil {
		return err
	}
	last, err := s.disk.reserved()
	if err != nil {
		return err
	}
	s.last = max(s.last, last)
	buckets, err := s.disk.bucketNames()
	if err != nil {
		return err
	}
	for _, bucket := range buckets {
		s.buckets[bucket] = map[string]*Stored{}
		known, err := s.disk.descriptions(bucket)
		if err != nil {
			return err
		}
		files, err := s.disk.files(bucket)
		if err != nil {
			return err
		}
		for name, size := range files {
			o := known[name]
			if o != nil && o.Size == size && s.disk.untouched(o) {
				s.buckets[bucket][name] = o
				continue
			}
			data, err := s.disk.read(bucket, name)
			if err != nil {
				return err
			}
			// A copied folder has other times but the same objects.
			if o != nil && o.CRC32C == crc32.Checksum(data, castagnoli) {
				s.buckets[bucket][name] = o
				continue
			}
			if _, err := s.put(Stored{Bucket: bucket, Name: name, Data: data}); err != nil {
				return err
			}
		}
		for name := range known {
			if _, there := files[name]; !there {
				if err := s.disk.forget(bucket, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
