"""check_install.py ROOT --build BUILD --cc CC... - what is installed can be used from outside.

Installs the build into a temporary directory and looks at it as a user does: which files are
there, and a program built with nothing but pkg-config, against the shared library and static.
"""
import os
import sys
import tempfile

import tap

PROGRAM = """
#include <stdio.h>
#include <weir/weir.h>

static int64_t where(void *arg)
{
    *(unsigned *)arg = weir_shard_id();
    return 7;
}

static void shard_main(void *arg)
{
    unsigned seen = 99;

    if (weir_shard_id() != 0)
        return;
    if (weir_call(1, where, &seen, weir_after(WEIR_SEC(10))) == 7 && seen == 1)
        *(bool *)arg = true;
}

int main(void)
{
    struct weir_config config;
    bool answered = false;

    weir_config_init(&config);
    config.shards = 2;
    config.quiet = true;
    if (weir_run(&config, shard_main, &answered) < 0 || !answered)
        return 1;
    printf("weir %s\\n", weir_version());
    return 0;
}
"""


def build_and_run(cc, work, name, flags, env):
    program = os.path.join(work, name)
    trouble = tap.run([*cc, "-Wall", "-Wextra", "-Werror", "-o", program,
                       os.path.join(work, "app.c"), *flags])
    return trouble or tap.run([program], env=env, timeout=60)


def stray_files(root, prefix):
    """What the header directory has too much or too little of."""
    installed = set(os.listdir(os.path.join(prefix, "include", "weir")))
    wanted = set(os.listdir(os.path.join(root, "include", "weir")))
    return "\n".join(sorted(installed ^ {name for name in wanted if name.endswith(".h")}))


def missing_apps(prefix):
    return "\n".join(name for name in ["weir-http", "weir-echo"]
                     if not os.access(os.path.join(prefix, "bin", name), os.X_OK))


def main():
    root = sys.argv[1]
    build = sys.argv[sys.argv.index("--build") + 1]
    cc = sys.argv[sys.argv.index("--cc") + 1:]
    report = tap.Tap()
    with tempfile.TemporaryDirectory(prefix="weir-install-") as work:
        prefix = tap.install(build, os.path.join(work, "dest"))
        with open(os.path.join(work, "app.c"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        libdir = tap.pkg_config(prefix, "--variable=libdir")[0]
        shared_env = dict(os.environ, LD_LIBRARY_PATH=libdir)

        report.case("headers and nothing else", stray_files(root, prefix))
        report.case("the apps", missing_apps(prefix))
        report.case("program with the shared library",
                    build_and_run(cc, work, "shared", tap.pkg_config(prefix, "--cflags", "--libs"),
                                  shared_env))
        report.case("program linked statically",
                    build_and_run(cc, work, "static",
                                  ["-static"] + tap.pkg_config(prefix, "--static", "--cflags",
                                                               "--libs"), None))
    sys.exit(report.done())


main()
