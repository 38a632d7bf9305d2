package stream

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 60).Draw(t, "partitions")
		var partitions []int
		for partition := range n {
			partitions = append(partitions, partition)
		}
		claims := make([]claim, rapid.IntRange(1, 8).Draw(t, "members"))
		for i := range claims {
			claims[i] = claim{
				member: fmt.Sprintf("member-%d", i),
				owned:  rapid.SliceOfDistinct(rapid.IntRange(0, 70), rapid.ID).Draw(t, "owned"),
			}
		}
		shares := spread(claims, partitions)

		seen := make(map[int]string)
		for _, claim := range claims {
			share := shares[claim.member]
			if low, high := n/len(claims), (n+len(claims)-1)/len(claims); len(share) < low || len(share) > high {
				t.Fatalf("%s has %d partitions of %d, want %d to %d", claim.member, len(share), n, low, high)
			}
			for _, partition := range share {
				if other, taken := seen[partition]; taken {
					t.Fatalf("partition %d is given to %s and %s", partition, other, claim.member)
				}
				seen[partition] = claim.member
			}
		}
		if len(seen) != n {
			t.Fatalf("%d of %d partitions are given", len(seen), n)
		}

		// With the same members, nothing moves.
		again := make([]claim, len(claims))
		for i, c := range claims {
			again[i] = claim{member: c.member, owned: shares[c.member]}
		}
		for member, share := range spread(again, partitions) {
			if !slices.Equal(share, shares[member]) {
				t.Fatalf("%s had %v and got %v", member, shares[member], share)
			}
		}
	})
}

func TestSpreadMovesOnlyWhatANewMemberNeeds(t *testing.T) {
	partitions := []int{0, 1, 2, 3, 4, 5, 6, 7}
	shares := spread([]claim{
		{member: "a", owned: []int{0, 2, 4, 6}},
		{member: "b", owned: []int{1, 3, 5, 7}},
		{member: "c"},
	}, partitions)
	moved := 0
	for _, partition := range shares["c"] {
		if slices.Contains(shares["a"], partition) || slices.Contains(shares["b"], partition) {
			t.Fatalf("partition %d is given twice", partition)
		}
		moved++
	}
	if moved != 2 || len(shares["a"]) != 3 || len(shares["b"]) != 3 {
		t.Fatalf("got %v, want 3, 3 and 2 partitions with only 2 moved", shares)
	}
}
