package engine

import (
	"debug/elf"
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

// watchedWrite is write(2) that ends the process with [exitLostWrite] when the
// disk does not take the bytes. It must not be called from Go.
func watchedWrite()

// errnoLocation is the C library's function of that name, set before the
// library can call watchedWrite.
var errnoLocation uintptr //nolint:unused // watchedWrite reads it

var errNoWrite = errors.New("no call of write found")

// watchWrites makes the calls of write(2) in the library go through
// watchedWrite. libchdb ignores that they fail.
func watchWrites(handle uintptr, path string) error {
	slot, err := writeSlot(handle, path)
	if err != nil {
		return fmt.Errorf("watch the writes of %s: %w", path, err)
	}
	if errnoLocation, err = purego.Dlsym(handle, "__errno_location"); err != nil {
		return fmt.Errorf("watch the writes of %s: %w", path, err)
	}
	size := uintptr(unix.Getpagesize())
	page := unsafe.Slice((*byte)(at(slot&^(size-1))), size)
	if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return fmt.Errorf("watch the writes of %s: %w", path, err)
	}
	write := watchedWrite
	*(*uintptr)(at(slot)) = **(**uintptr)(unsafe.Pointer(&write))
	return nil
}

// writeSlot returns where the library, once loaded, keeps the address of write.
func writeSlot(handle uintptr, path string) (uintptr, error) {
	file, err := elf.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	const known = "chdb_query_cmdline"
	address, err := purego.Dlsym(handle, known)
	if err != nil {
		return 0, err
	}
	var base uintptr
	write := uint64(0)
	for i, s := range symbols {
		switch {
		case s.Name == known:
			base = address - uintptr(s.Value)
		case s.Name == "write" && s.Section == elf.SHN_UNDEF:
			write = uint64(i) + 1 // the symbols leave out the first of the table
		}
	}
	section := file.Section(".rela.plt")
	if base == 0 || write == 0 || section == nil {
		return 0, errNoWrite
	}
	data, err := section.Data()
	if err != nil {
		return 0, err
	}
	const size = 24 // of an entry: offset, information, addend
	for ; len(data) >= size; data = data[size:] {
		if file.ByteOrder.Uint64(data[8:])>>32 == write {
			return base + uintptr(file.ByteOrder.Uint64(data)), nil
		}
	}
	return 0, errNoWrite
}

// at is the memory at an address that C gave.
func at(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }
