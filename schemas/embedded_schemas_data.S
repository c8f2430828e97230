/* The bytes of the schemas, for any ELF target. TERN_OPENAPI and its like are their paths. */
	.macro schema name, file
	.globl tern_schema_\name\()_begin
	.hidden tern_schema_\name\()_begin
	.type tern_schema_\name\()_begin, %object
tern_schema_\name\()_begin:
	.incbin "\file"
	.globl tern_schema_\name\()_end
	.hidden tern_schema_\name\()_end
	.type tern_schema_\name\()_end, %object
tern_schema_\name\()_end:
	.byte 0
	.endm

	.section .rodata
	schema openapi, TERN_OPENAPI
	schema media_v1, TERN_MEDIA_V1
	schema telemetry_v1, TERN_TELEMETRY_V1
	.section .note.GNU-stack, "", %progbits
