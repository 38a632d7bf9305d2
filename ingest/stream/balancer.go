package stream

import (
	"encoding/binary"
	"slices"
	"sort"
	"sync"

	"github.com/segmentio/kafka-go"
)

// stickyBalancer spreads partitions evenly and leaves with a member what it
// owned. Members tell the leader of the group what they owned in the data that
// they send when they join.
type stickyBalancer struct {
	mutex sync.Mutex
	owned []int
}

func (*stickyBalancer) ProtocolName() string { return "stepdown-sticky" }

// own remembers the partitions of the current generation.
func (b *stickyBalancer) own(partitions []int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.owned = slices.Clone(partitions)
}

// UserData encodes the owned partitions as big-endian 32-bit numbers.
func (b *stickyBalancer) UserData() ([]byte, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	data := make([]byte, 0, 4*len(b.owned))
	for _, partition := range b.owned {
		data = binary.BigEndian.AppendUint32(data, uint32(partition))
	}
	return data, nil
}

// AssignGroups gives every member the same number of each topic's partitions,
// or one more.
func (*stickyBalancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	assignments := make(kafka.GroupMemberAssignments, len(members))
	members = slices.Clone(members)
	sort.Slice(members, func(i, j int) bool { return members[i].ID < members[j].ID })

	byTopic := make(map[string][]int)
	for _, partition := range partitions {
		byTopic[partition.Topic] = append(byTopic[partition.Topic], partition.ID)
	}
	for topic, ids := range byTopic {
		var claims []claim
		for _, member := range members {
			if slices.Contains(member.Topics, topic) {
				claims = append(claims, claim{member: member.ID, owned: decodeOwned(member.UserData)})
			}
		}
		for member, share := range spread(claims, ids) {
			if assignments[member] == nil {
				assignments[member] = make(map[string][]int)
			}
			assignments[member][topic] = share
		}
	}
	return assignments
}

func decodeOwned(data []byte) []int {
	var owned []int
	for ; len(data) >= 4; data = data[4:] {
		owned = append(owned, int(binary.BigEndian.Uint32(data)))
	}
	return owned
}

// claim is what a member says it owned.
type claim struct {
	member string
	owned  []int
}

// spread divides partitions among claims: first each member keeps what it
// claims, up to a fair share, then the rest goes to whoever has least.
func spread(claims []claim, partitions []int) map[string][]int {
	shares := make(map[string][]int, len(claims))
	if len(claims) == 0 {
		return shares
	}
	free := make(map[int]bool, len(partitions))
	for _, partition := range partitions {
		free[partition] = true
	}
	least, extra := len(partitions)/len(claims), len(partitions)%len(claims)
	for _, claim := range claims {
		share := []int{}
		for _, partition := range claim.owned {
			if !free[partition] {
				continue
			}
			switch {
			case len(share) < least:
			case len(share) == least && extra > 0:
				extra--
			default:
				continue
			}
			free[partition] = false
			share = append(share, partition)
		}
		shares[claim.member] = share
	}
	sort.Ints(partitions)
	for _, partition := range partitions {
		if !free[partition] {
			continue
		}
		smallest := claims[0].member
		for _, claim := range claims[1:] {
			if len(shares[claim.member]) < len(shares[smallest]) {
				smallest = claim.member
			}
		}
		shares[smallest] = append(shares[smallest], partition)
	}
	for _, share := range shares {
		sort.Ints(share)
	}
	return shares
}
