package sourceoffset

import (
	"fmt"
	"strconv"
)

// leaseHolds tells whether a lease says all that a recovery goes by. Unlike other times its end is one of that: after it
// the topic has all that it ever gets of the intent.
func (i *Intent) leaseHolds(kind Kind) bool {
	l := i.Lease
	known := i.Until.Year() >= 1970 && i.Until.Year() <= 9999
	return known && len(l.Watermarks) > 0 && l.Records > 0 && (kind != Snapshot || l.Records == int64(len(i.Changes)))
}

func appendLease(dst []byte, l *Lease) []byte {
	dst = append(dst, `,"lease":{"records":`...)
	dst = strconv.AppendInt(dst, l.Records, 10)
	dst = append(dst, `,"watermarks":[`...)
	for n, at := range l.Watermarks {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, at, 10)
	}
	return append(dst, `]}`...)
}

func (d *decoder) lease() (*Lease, error) {
	l := &Lease{}
	err := d.object(func(name string, _ int64) (err error) {
		switch name {
		case "records":
			l.Records, err = d.integer()
		case "watermarks":
			l.Watermarks, err = d.integers()
		default:
			err = fmt.Errorf("%w: unknown member intent.lease.%q", ErrNewer, name)
		}
		return err
	})
	return l, err
}

func (d *decoder) integers() (list []int64, err error) {
	t, err := d.in.ReadToken()
	if err != nil {
		return nil, err
	}
	if t.Kind() != '[' {
		return nil, fmt.Errorf("%w: %v where an array belongs", ErrDamaged, t.Kind())
	}
	for d.in.PeekKind() != ']' {
		n, err := d.integer()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	_, err = d.in.ReadToken()
	return list, err
}
