"""check_symbols.py ROOT STATIC SHARED - the names that libweir puts into other people's programs.

    static    every global symbol that libweir.a defines starts with weir_
    shared    libweir.so exports what the public headers mark WEIR_API: no more, and no less
"""
import re
import sys

import tap

DECLARED = re.compile(r"\bWEIR_API\b[^;{]*?\b(weir_\w+)\s*(?:\(|\[|;|WEIR_)")


def symbols(library, *options):
    lines = tap.output(["nm", "--defined-only", "--extern-only", *options, library]).splitlines()
    return {line.split()[2] for line in lines if len(line.split()) == 3}


def declared(root):
    names = set()
    for path in tap.sources(root, ["include"], (".h",)):
        text = tap.without_comments(tap.read(root, path))
        text = re.sub(r"^[ \t]*#[^\n]*(\\\n[^\n]*)*", "", text, flags=re.M)
        names.update(DECLARED.findall(text))
    return names


def main():
    root, static, shared = sys.argv[1:4]
    report = tap.Tap()
    exported, public = symbols(shared, "--dynamic"), declared(root)
    report.case("libweir.a defines weir_* only",
                "\n".join(sorted(s for s in symbols(static) if not s.startswith("weir_"))))
    report.case("libweir.so exports nothing beyond WEIR_API",
                "\n".join(sorted(exported - public)))
    report.case("libweir.so exports all that is WEIR_API", "\n".join(sorted(public - exported)))
    sys.exit(report.done())


main()
