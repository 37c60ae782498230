"""Counts the JUnit files given: one line per suite, then what failed, then one counted last line.

Exits 1 if anything failed or nothing ran.
"""

import sys
import textwrap
import xml.etree.ElementTree as ET

from suite import suite_name


def kind_of(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def counted(counts):
    return ", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "failed", "skipped"))


def details(suite, case):
    node = case.find("failure")
    if node is None:
        node = case.find("error")
    text = (node.text or node.get("message") or "").strip()
    place = "" if case.get("classname") == suite else f" {case.get('classname')}:"
    return f"FAILED {suite}:{place} {case.get('name')}\n{textwrap.indent(text, '    ')}\n"


def main():
    total = {"passed": 0, "failed": 0, "skipped": 0}
    failures, reasons = [], {}
    for path in sorted(sys.argv[1:]):
        counts, seconds = dict.fromkeys(total, 0), 0.0
        for case in ET.parse(path).iter("testcase"):
            kind = kind_of(case)
            counts[kind] += 1
            seconds += float(case.get("time") or 0)
            if kind == "failed":
                failures.append(details(suite_name(path), case))
            elif kind == "skipped":
                reason = case.find("skipped").get("message") or "no reason given"
                reasons[reason] = reasons.get(reason, 0) + 1
        for kind in total:
            total[kind] += counts[kind]
        print(f"{suite_name(path):18} {counted(counts):40} {seconds:7.1f} s")
    for reason, n in reasons.items():
        print(f"skipped {n}: {reason}")
    if failures:
        print()
    for text in failures:
        print(text)
    print(counted(total))
    sys.exit(1 if total["failed"] or not total["passed"] else 0)


if __name__ == "__main__":
    main()
