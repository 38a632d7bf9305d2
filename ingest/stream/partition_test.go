package stream

import (
	"testing"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

// The hashes are those of the Java client's own test, UtilsTest.testMurmur2.
// A partition is (hash & 0x7fffffff) modulo the count.
func TestPartitionOfAgreesWithJava(t *testing.T) {
	for _, row := range []struct {
		name, key string
		hash      int32
	}{
		{"two bytes", "21", -973932308},
		{"six bytes", "foobar", -790332482},
		{"three bytes", "abc", 479470107},
		{"24 bytes", "a-little-bit-long-string", -985981536},
		{"26 bytes", "a-little-bit-longer-string", -1486304829},
		{"48 bytes", "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := int32(murmur2([]byte(row.key))); got != row.hash {
				t.Fatalf("murmur2(%q) = %d, want %d", row.key, got, row.hash)
			}
			for _, n := range []int{1, 7, 48} {
				if got, want := PartitionOf([]byte(row.key), n), int(row.hash&0x7fffffff)%n; got != want {
					t.Errorf("PartitionOf(%q, %d) = %d, want %d", row.key, n, got, want)
				}
			}
		})
	}
}

func TestPartitionOfAgreesWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOf(rapid.Byte()).Draw(t, "key")
		n := rapid.IntRange(1, 200).Draw(t, "n")
		ids := make([]int, n)
		for i := range ids {
			ids[i] = i
		}
		want := kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: key}, ids...)
		if got := PartitionOf(key, n); got != want {
			t.Fatalf("PartitionOf(%x, %d) = %d, want %d", key, n, got, want)
		}
	})
}
