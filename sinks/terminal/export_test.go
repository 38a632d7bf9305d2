package terminal

// Colored reports whether s colours.
func (s *Sink) Colored() bool { return s.color }
