package detect

// KeepDecoded makes s keep n histories decoded at a time.
func KeepDecoded(s *Shard, n int) { s.maxHot = n }
