//go:build unix

package detect

import "syscall"

// allocBlock takes memory from the system; where it gives none, from the heap.
func allocBlock() []byte {
	b, err := syscall.Mmap(-1, 0, blockSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]byte, blockSize)
	}
	return b
}

// freeBlock gives memory back. What is of the heap is not known to Munmap, which
// leaves it to the collector.
func freeBlock(b []byte) { _ = syscall.Munmap(b) }
