package rule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a span as Go writes it, with d for days of 24 hours at the
// front: "90m", "24h", "14d", "1d12h".
func ParseDuration(s string) (time.Duration, error) {
	rest := s
	var days time.Duration
	if n, after, ok := strings.Cut(s, "d"); ok {
		v, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a span: write it like 90m, 24h or 14d", s)
		}
		days, rest = time.Duration(v)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a span: write it like 90m, 24h or 14d", s)
	}
	return days + d, nil
}

// plainDuration says a span in its one or two largest units.
func plainDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + plainDuration(-d)
	case d < time.Minute:
		return units(int(d/time.Second), "second")
	case d < time.Hour:
		return units(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		h, m := int(d/time.Hour), int(d%time.Hour/time.Minute)
		if m == 0 || h >= 10 {
			return units(h, "hour")
		}
		return units(h, "hour") + " " + units(m, "minute")
	}
	return units(int(d/(24*time.Hour)), "day")
}

func units(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}

// plainTime says a time for people.
func plainTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2 Jan 2006 15:04 UTC")
}
