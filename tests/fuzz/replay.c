/* replay.c - runs a fuzzer's corpus through it without libFuzzer: one TAP case per file.
 *
 * A case passes when the fuzzer returns; what it found wrong ends the program. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static int replay_is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The buffer has exactly the input's size, so that a sanitizer sees the first byte beyond it. */
static void replay_input(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static bool replay_file(const char *dir, const char *name)
{
    static uint8_t data[INPUT_MAX];
    char path[4096];
    size_t size;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "rb");
    if (!file)
        return false;
    size = fread(data, 1, sizeof(data), file);
    fclose(file);
    replay_input(data, size);
    return true;
}

int main(int argc, char **argv)
{
    struct dirent **names = NULL;
    int count = argc == 2 ? scandir(argv[1], &names, replay_is_input, alphasort) : -1;
    int failed = 0;

    if (count <= 0) {
        fprintf(stderr, "replay: no corpus; usage: %s DIRECTORY\n", argv[0]);
        return 1;
    }
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        bool ok = replay_file(argv[1], names[i]->d_name);

        printf("%sok %d - %s\n", ok ? "" : "not ", i + 1, names[i]->d_name);
        fflush(stdout);
        failed += !ok;
        free(names[i]);
    }
    free(names);
    return failed > 0;
}
