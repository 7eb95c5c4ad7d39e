package gcs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// reserveStep is how many generations are reserved at once, so that not each one costs a write.
const reserveStep = 1000

// disk keeps objects as plain files with a redo log beside them.
//
// A change is prepared as pending/<generation>.data and pending/<generation>.json and is made by the rename that gives
// the latter its name. Then the data is moved to where users see it and the description to meta/. Each of the moves is
// a rename, so after a kill it is either still to be done or done.
type disk struct {
	root  string
	side  string
	bound int64 // generations up to here are reserved
}

// description is an object's side file, or a change that is to be made.
type description struct {
	Bucket          string            `json:"bucket"`
	Name            string            `json:"name"`
	Removed         bool              `json:"removed,omitempty"`
	Size            int64             `json:"size"`
	Generation      int64             `json:"generation"`
	CRC32C          uint32            `json:"crc32c"`
	MD5             []byte            `json:"md5,omitempty"`
	ContentType     string            `json:"contentType,omitempty"`
	ContentEncoding string            `json:"contentEncoding,omitempty"`
	CacheControl    string            `json:"cacheControl,omitempty"`
	StorageClass    string            `json:"storageClass,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	Created         time.Time         `json:"created"`
	Modified        time.Time         `json:"modified"`
}

func openDisk(root string) (*disk, error) {
	d := &disk{root: root, side: filepath.Join(root, ".riftline-gcs")}
	for _, dir := range []string{"pending", "meta"} {
		if err := os.MkdirAll(filepath.Join(d.side, dir), 0o750); err != nil {
			return nil, fmt.Errorf("making the bucket folder: %w", err)
		}
	}
	return d, nil
}

func (d *disk) visible(bucket, name string) string {
	return filepath.Join(d.root, bucket, filepath.FromSlash(name))
}

func (d *disk) meta(bucket, name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(d.side, "meta", bucket, hex.EncodeToString(sum[:])+".json")
}

func (d *disk) pending(generation int64, kind string) string {
	return filepath.Join(d.side, "pending", strconv.FormatInt(generation, 10)+"."+kind)
}

func (d *disk) createBucket(name string) error {
	if err := os.MkdirAll(filepath.Join(d.side, "meta", name), 0o750); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(d.root, name), 0o750)
}

func (d *disk) put(o *Stored) error {
	if err := d.room(o.Bucket, o.Name); err != nil {
		return err
	}
	data := d.pending(o.Generation, "data")
	if err := os.WriteFile(data, o.Data, 0o600); err != nil {
		return err
	}
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	c := description{
		Bucket: o.Bucket, Name: o.Name, Size: o.Size, Generation: o.Generation, CRC32C: o.CRC32C, MD5: o.MD5,
		ContentType: o.ContentType, ContentEncoding: o.ContentEncoding, CacheControl: o.CacheControl,
		StorageClass: o.StorageClass, Metadata: o.Metadata, Created: o.Created, Modified: info.ModTime(),
	}
	if err := d.decide(c); err != nil {
		_ = os.Remove(data)
		return err
	}
	return d.apply(c)
}

func (d *disk) remove(bucket, name string, generation int64) error {
	c := description{Bucket: bucket, Name: name, Removed: true, Generation: generation}
	if err := d.decide(c); err != nil {
		return err
	}
	return d.apply(c)
}

// room makes the object's folder; a file in the way of a folder, or the other way round, is an error.
func (d *disk) room(bucket, name string) error {
	path := d.visible(bucket, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("a folder cannot hold gs://%s/%s beside an object that has one of its folders' names: %w", bucket, name, err)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("a folder cannot hold gs://%s/%s beside objects below that name", bucket, name)
	}
	return nil
}

// decide makes a change final: from here on it is carried out, if need be by the next process.
func (d *disk) decide(c description) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tmp := d.pending(c.Generation, "tmp")
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, d.pending(c.Generation, "json"))
}

// apply carries a decided change out; a part that is done already is left.
func (d *disk) apply(c description) error {
	path, log := d.visible(c.Bucket, c.Name), d.pending(c.Generation, "json")
	if c.Removed {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.prune(c.Bucket, path)
		if err := d.forget(c.Bucket, c.Name); err != nil {
			return err
		}
		return os.Remove(log)
	}
	if err := d.createBucket(c.Bucket); err != nil {
		return err
	}
	if err := d.room(c.Bucket, c.Name); err != nil {
		return err
	}
	if err := os.Rename(d.pending(c.Generation, "data"), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(log, d.meta(c.Bucket, c.Name))
}

// prune removes folders that have become empty.
func (d *disk) prune(bucket, path string) {
	top := filepath.Join(d.root, bucket)
	for dir := filepath.Dir(path); dir != top && strings.HasPrefix(dir, top); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return
		}
	}
}

func (d *disk) forget(bucket, name string) error {
	if err := os.Remove(d.meta(bucket, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// redo carries out what an earlier process had decided and removes what it had only prepared.
func (d *disk) redo() error {
	entries, err := os.ReadDir(filepath.Join(d.side, "pending"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(d.side, "pending", e.Name())
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		c, err := readDescription(path)
		if err != nil {
			return err
		}
		if err := d.apply(c); err != nil {
			return err
		}
	}
	entries, err = os.ReadDir(filepath.Join(d.side, "pending"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(d.side, "pending", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func readDescription(path string) (description, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return description{}, err
	}
	var c description
	if err := json.Unmarshal(text, &c); err != nil {
		return description{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return c, nil
}

func (d *disk) read(bucket, name string) ([]byte, error) { return os.ReadFile(d.visible(bucket, name)) }

// reserve makes sure that no later process gives a generation up to g again.
func (d *disk) reserve(g int64) error {
	if g <= d.bound {
		return nil
	}
	bound := g + reserveStep
	path := filepath.Join(d.side, "generation")
	if err := os.WriteFile(path+".tmp", []byte(strconv.FormatInt(bound, 10)), 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d.bound = bound
	return nil
}

func (d *disk) reserved() (int64, error) {
	text, err := os.ReadFile(filepath.Join(d.side, "generation"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}

func (d *disk) bucketNames() ([]string, error) {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && bucketName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// descriptions are the side files of a bucket, by object name.
func (d *disk) descriptions(bucket string) (map[string]*Stored, error) {
	dir := filepath.Join(d.side, "meta", bucket)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*Stored, len(entries))
	for _, e := range entries {
		c, err := readDescription(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out[c.Name] = &Stored{
			Bucket: bucket, Name: c.Name, Size: c.Size, Generation: c.Generation, Metageneration: 1, CRC32C: c.CRC32C,
			MD5: c.MD5, ContentType: c.ContentType, ContentEncoding: c.ContentEncoding, CacheControl: c.CacheControl,
			StorageClass: c.StorageClass, Metadata: c.Metadata, Created: c.Created,
		}
	}
	return out, nil
}

// untouched reports whether the file has the time of change that it was written with.
func (d *disk) untouched(o *Stored) bool {
	c, err := readDescription(d.meta(o.Bucket, o.Name))
	if err != nil {
		return false
	}
	info, err := os.Stat(d.visible(o.Bucket, o.Name))
	return err == nil && info.ModTime().Equal(c.Modified)
}

// files are the plain files of a bucket with their sizes, by object name.
func (d *disk) files(bucket string) (map[string]int64, error) {
	top := filepath.Join(d.root, bucket)
	out := map[string]int64{}
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		out[filepath.ToSlash(rel)] = info.Size()
		return nil
	})
	return out, err
}
