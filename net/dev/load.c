/* load.c - finds the module with the DPDK device and opens by it.
 *
 * weir itself neither links nor needs DPDK: its libraries are loaded with the module when somebody
 * asks for a dpdk device.  The module is the one that WEIR_DPDK_MODULE names, or else the one from
 * the same build: a program that runs in the build tree takes the one that was built there, any
 * other one the installed one.  It is never unloaded: EAL has threads and memory in it until the
 * program ends. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "net/dev.h"
#include "net/module_paths.h" /* written by net/meson.build */

static bool load_from_build(void)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path);
    size_t root = strlen(WEIR_BUILD_ROOT);

    return len > (ssize_t)root && memcmp(path, WEIR_BUILD_ROOT, root) == 0 && path[root] == '/';
}

static const char *load_path(void)
{
    const char *given = secure_getenv("WEIR_DPDK_MODULE");

    if (given && given[0])
        return given;
    return load_from_build() ? WEIR_MODULE_BUILT : WEIR_MODULE_INSTALLED;
}

int weir_dpdk_open(struct weir_dev **dev, const char *eal_args, unsigned queues, uint16_t mtu,
                   char *why, size_t why_size)
{
    weir_dpdk_module_open_fn *open_by;
    const char *path = load_path();
    void *module, *symbol;

    if (access(path, R_OK) < 0) {
        snprintf(why, why_size,
                 "built without DPDK: install libdpdk-dev and build again (there is no %s)", path);
        return -ENOENT;
    }
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        snprintf(why, why_size, "the DPDK module cannot be loaded: %s", dlerror());
        return -ENOENT;
    }
    symbol = dlsym(module, WEIR_DPDK_SYMBOL);
    if (!symbol) {
        snprintf(why, why_size, "%s is not weir's DPDK module", path);
        return -ENOENT;
    }
    memcpy(&open_by, &symbol, sizeof open_by);
    return open_by(dev, eal_args, queues, mtu, why, why_size);
}
