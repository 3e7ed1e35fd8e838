/* 8_no_runtime.c - what not to do: sleeping with no runtime on the thread.
 *
 * That is a bug and no error to handle, so it ends the program, with a sentence that says how to
 * start a runtime. */
#include <weir/weir.h>

int main(void)
{
    weir_sleep(WEIR_MS(1));
    return 0;
}
