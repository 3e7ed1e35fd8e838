"""check_docs.py ROOT --build BUILD --cc CC... - the C code in the documentation compiles.

Every ```c block of *.md and docs/**/*.md is compiled against the installed headers, with warnings
as errors, in one of three ways, told from its text:

    it defines main                 a program: as it stands, and linked
    a line has nothing but "{",     file scope: <weir/weir.h> and the C library's usual headers
    or it includes, or declares     are included before it
    types or statics at column 0
    anything else                   statements: as file scope, in a function

What a block takes for granted is said in a comment right above it, which readers do not see:

    <!-- given: struct weir_conn *conn; char data[64]; -->

Its declarations go before the block: into the function, or to file scope.  A block that is not
meant to compile is not marked as c.
"""
import os
import re
import sys
import tempfile

import tap

BLOCK = re.compile(r"(?:^<!--\s*given:(?P<given>.*?)-->[ \t]*\n\s*)?"
                   r"^(?P<indent>[ \t]*)```c[ \t]*\n(?P<code>.*?)^[ \t]*```[ \t]*$", re.M | re.S)
FILE_SCOPE = re.compile(r"^(\{[ \t]*$|#include|static\b|(struct|enum|union)\s+\w+\s*\{)", re.M)
# A fragment may define what it does not use, and use what it was given without setting it.  gcc
# alone has the third of these, and clang would complain about an option that it does not know.
LENIENT = ["-Wno-unused", "-Wno-uninitialized"]
QUIET = """
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
"""
PREAMBLE = QUIET + "".join(f"#include <{name}.h>\n" for name in
                   ["errno", "inttypes", "stdio", "stdlib", "string", "unistd", "weir/weir"])


def documents(root):
    found = tap.sources(root, ["docs"], (".md",))
    return sorted(name for name in os.listdir(root) if name.endswith(".md")) + found


def blocks(root):
    """(where, given, code) of each block."""
    for path in documents(root):
        text = tap.read(root, path)
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("code")) + 1
            code = re.sub(f"^{match.group('indent')}", "", match.group("code"), flags=re.M)
            yield f"{path}:{line}", (match.group("given") or "").strip(), code


def unit(where, given, code):
    """The block as a translation unit, and whether it is a program."""
    path, line = where.rsplit(":", 1)
    at = f'#line {line} "{path}"\n'
    if re.search(r"^int main\(", code, re.M):
        return at + code, True
    if FILE_SCOPE.search(code):
        return f"{PREAMBLE}{given}\n{at}{code}", False
    return f"{PREAMBLE}void snippet(void *arg);\nvoid snippet(void *arg)\n{{\n" \
           f"(void)arg;\n{given}\n{{\n{at}{code}}}\n}}\n", False


def compile_block(cc, work, prefix, where, given, code):
    text, program = unit(where, given, code)
    source = os.path.join(work, "block.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    mode = [] if program else ["-c", *LENIENT]
    flags = tap.pkg_config(prefix, "--cflags", *(["--libs"] if program else []))
    return tap.run([*cc, "-std=gnu11", "-Wall", "-Wextra", "-Werror", *mode, source, "-o",
                    os.path.join(work, "block"), *flags])


def main():
    root = sys.argv[1]
    build = sys.argv[sys.argv.index("--build") + 1]
    cc = sys.argv[sys.argv.index("--cc") + 1:]
    report = tap.Tap()
    with tempfile.TemporaryDirectory(prefix="weir-docs-") as work:
        prefix = tap.install(build, os.path.join(work, "dest"))
        for where, given, code in blocks(root):
            report.case(where, compile_block(cc, work, prefix, where, given, code))
    if report.count == 0:
        report.skip("documentation", "no document has a block of C")
    sys.exit(report.done())


main()
