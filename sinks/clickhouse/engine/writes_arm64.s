//go:build linux

#include "textflag.h"

// func watchedWrite()
//
// It has the arguments of write(2) in the C convention and is called by C only:
// R0, R1 and R2 are those of the system call.
TEXT ·watchedWrite(SB), NOSPLIT|NOFRAME, $0-0
	MOVD	$64, R8 // SYS_write
	SVC
	CMN	$4095, R0
	BCS	failed // unsigned: -4095 to -1 are errors
	RET
failed:
	CMN	$28, R0 // ENOSPC
	BEQ	end
	CMN	$122, R0 // EDQUOT
	BEQ	end
	CMN	$5, R0 // EIO
	BEQ	end
	NEG	R0, R0
	SUB	$16, RSP
	MOVD	R0, 0(RSP)
	MOVD	R30, 8(RSP)
	MOVD	·errnoLocation(SB), R9
	BL	(R9)
	MOVD	0(RSP), R1
	MOVD	8(RSP), R30
	ADD	$16, RSP
	MOVW	R1, (R0)
	MOVD	$-1, R0
	RET
end:
	MOVD	$74, R0 // exitLostWrite
	MOVD	$94, R8 // SYS_exit_group
	SVC
	BRK	$0
