/* The bytes of the embedded model, for any ELF target. TERN_EMBEDDED_MODEL is its path. */
	.section .rodata
	.balign 64
	.globl tern_embedded_model_begin
	.hidden tern_embedded_model_begin
	.type tern_embedded_model_begin, %object
tern_embedded_model_begin:
	.incbin TERN_EMBEDDED_MODEL
	.globl tern_embedded_model_end
	.hidden tern_embedded_model_end
	.type tern_embedded_model_end, %object
tern_embedded_model_end:
	.byte 0
	.section .note.GNU-stack, "", %progbits
