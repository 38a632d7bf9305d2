//go:build linux

#include "textflag.h"

// func watchedWrite()
//
// It has the arguments of write(2) in the C convention and is called by C only:
// DI, SI and DX are those of the system call.
TEXT ·watchedWrite(SB), NOSPLIT|NOFRAME, $0-0
	MOVL	$1, AX // SYS_write
	SYSCALL
	CMPQ	AX, $-4095
	JCC	failed // unsigned: -4095 to -1 are errors
	RET
failed:
	CMPQ	AX, $-28 // ENOSPC
	JEQ	end
	CMPQ	AX, $-122 // EDQUOT
	JEQ	end
	CMPQ	AX, $-5 // EIO
	JEQ	end
	NEGQ	AX
	PUSHQ	AX // which also aligns the stack
	MOVQ	·errnoLocation(SB), AX
	CALL	AX
	POPQ	CX
	MOVL	CX, (AX)
	MOVQ	$-1, AX
	RET
end:
	MOVL	$74, DI // exitLostWrite
	MOVL	$231, AX // SYS_exit_group
	SYSCALL
	INT	$3
