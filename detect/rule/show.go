package rule

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// showable reports whether a value of that type can be shown as text.
func showable(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration]():
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	case reflect.Slice, reflect.Array:
		return t.Elem() == reflect.TypeFor[any]() || showable(t.Elem())
	}
	return false
}

// show says a value for people. What is not known is said so.
func show(v any) string {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "not known"
		}
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return plainTime(v)
	case time.Duration:
		return plainDuration(v)
	case []string:
		if len(v) == 0 {
			return "none"
		}
		return strings.Join(v, ", ")
	case []any:
		if len(v) == 0 {
			return "none"
		}
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = show(v[i])
		}
		return strings.Join(parts, ", ")
	}
	return "not known"
}
