/* void weir_switch(void **from_sp, void *to_sp) */
    .text
    .globl weir_switch
    .hidden weir_switch
    .type weir_switch, %function
    .p2align 4
weir_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    br x30
    .size weir_switch, . - weir_switch

/* The first thing on a fresh stack: x20(x19), which does not return. */
    .globl weir_switch_start
    .hidden weir_switch_start
    .type weir_switch_start, %function
    .p2align 4
weir_switch_start:
    .cfi_startproc
    .cfi_undefined x30
    mov x0, x19
    mov x29, xzr
    blr x20
    brk #1
    .cfi_endproc
    .size weir_switch_start, . - weir_switch_start

    .section .note.GNU-stack, "", %progbits
