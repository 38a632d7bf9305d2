package file

import (
	"bytes"
	"encoding/json"
)

// envelopeStart returns the length of the beginning of an object that is nothing
// but the wrapping of an array of records, up to and with "[":
//
//	{"records":[          Azure Monitor
//	{"Records":[          AWS CloudTrail
//	{"@odata.context":"…","value":[    Microsoft Graph
//
// It returns 0 for any other object; more says that b is too short to tell.
func envelopeStart(b []byte) (n int, more bool) {
	i := skipBlank(b, 1)
	for {
		key, next, more := stringAt(b, i)
		if more || key == nil {
			return 0, more
		}
		i = skipBlank(b, next)
		if i == len(b) {
			return 0, true
		}
		if b[i] != ':' {
			return 0, false
		}
		i = skipBlank(b, i+1)
		switch {
		case bytes.HasPrefix(key, []byte("@odata.")):
			value, next, more := stringAt(b, i)
			if more || value == nil {
				return 0, more
			}
			i = skipBlank(b, next)
			if i == len(b) {
				return 0, true
			}
			if b[i] != ',' {
				return 0, false
			}
			i = skipBlank(b, i+1)
		case string(key) == "records", string(key) == "Records", string(key) == "value":
			if i == len(b) {
				return 0, true
			}
			if b[i] != '[' {
				return 0, false
			}
			first := skipBlank(b, i+1)
			if first == len(b) {
				return 0, true
			}
			if b[first] != '{' && b[first] != ']' {
				return 0, false
			}
			return i + 1, false
		default:
			return 0, false
		}
	}
}

// stringAt returns the content of the JSON string at b[i:], nil when there is
// none, and where it ends.
func stringAt(b []byte, i int) (content []byte, next int, more bool) {
	const maxString = 4 << 10
	if i >= len(b) {
		return nil, i, true
	}
	if b[i] != '"' {
		return nil, i, false
	}
	for j := i + 1; j < len(b); j++ {
		switch {
		case b[j] == '\\':
			j++
		case b[j] == '"':
			return b[i+1 : j : j], j + 1, false
		case b[j] == '\n' || j-i > maxString:
			return nil, i, false
		}
	}
	return nil, i, true
}

func skipBlank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return min(i, len(b))
}

// unwrap returns the records within a value that is a small envelope: the events
// of an Okta event hook, the detail of an EventBridge event. Any other value is
// its own record.
func unwrap(data []byte) [][]byte {
	switch {
	case bytes.Contains(data, []byte(`"com.okta.event_hook"`)):
		var hook struct {
			EventType string `json:"eventType"`
			Data      struct {
				Events []json.RawMessage `json:"events"`
			} `json:"data"`
		}
		if json.Unmarshal(data, &hook) == nil && hook.EventType == "com.okta.event_hook" {
			records := make([][]byte, len(hook.Data.Events))
			for i, e := range hook.Data.Events {
				records[i] = e
			}
			return records
		}
	case bytes.Contains(data, []byte(`"detail-type"`)):
		var bus struct {
			DetailType *string         `json:"detail-type"`
			Source     *string         `json:"source"`
			Detail     json.RawMessage `json:"detail"`
		}
		if json.Unmarshal(data, &bus) == nil && bus.DetailType != nil && bus.Source != nil && bytes.HasPrefix(bus.Detail, []byte("{")) {
			return [][]byte{bus.Detail}
		}
	}
	return [][]byte{data}
}
