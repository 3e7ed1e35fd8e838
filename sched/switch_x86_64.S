/* void weir_switch(void **from_sp, void *to_sp) */
    .text
    .globl weir_switch
    .hidden weir_switch
    .type weir_switch, @function
    .p2align 4
weir_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
    .size weir_switch, . - weir_switch

/* The first thing on a fresh stack: r13(r12), which does not return. */
    .globl weir_switch_start
    .hidden weir_switch_start
    .type weir_switch_start, @function
    .p2align 4
weir_switch_start:
    .cfi_startproc
    .cfi_undefined rip
    movq %r12, %rdi
    xorl %ebp, %ebp
    call *%r13
    ud2
    .cfi_endproc
    .size weir_switch_start, . - weir_switch_start

    .section .note.GNU-stack, "", @progbits
