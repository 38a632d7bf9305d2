//go:build !unix

package detect

// allocBlock takes memory from the heap: the collector counts it, and does not
// look into it.
func allocBlock() []byte { return make([]byte, blockSize) }

func freeBlock([]byte) {}
