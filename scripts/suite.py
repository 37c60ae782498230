"""Runs one suite of tests and writes its result as a JUnit file: the common form that scripts/tally.py counts.

    suite.py command RESULT.xml NAME -- COMMAND...      one command, one test case
    suite.py ctests  RESULT.xml [--wrap WORD...] -- PROGRAM...   cmocka programs
    suite.py pytest  RESULT.xml -- COMMAND...           pytest, which writes its own file

Standard library only. Always exits 0 once the result is written: failures are counted, at the end.
"""

import concurrent.futures
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

TIMEOUT = 900  # seconds for one C test program
OUTPUT_SHOWN = 6000  # characters of output kept with a failure


class Case:
    def __init__(self, name, failure=None, skipped=None, seconds=0.0):
        self.name, self.failure, self.skipped, self.seconds = name, failure, skipped, seconds


def printable(text):
    """Text that XML 1.0 can hold."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)


def write(path, suite, cases):
    root = ET.Element("testsuite", name=suite, tests=str(len(cases)))
    for case in cases:
        node = ET.SubElement(root, "testcase", classname=suite, name=printable(case.name),
                             time=f"{case.seconds:.3f}")
        if case.failure is not None:
            ET.SubElement(node, "failure").text = printable(case.failure)[-OUTPUT_SHOWN:]
        elif case.skipped is not None:
            ET.SubElement(node, "skipped", message=printable(case.skipped))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def suite_name(result):
    """"30-c-asan.xml" is the suite "c-asan": the number only puts the files in order."""
    return re.sub(r"^\d+-", "", Path(result).stem)


def ending(returncode):
    return f"ended by signal {-returncode}" if returncode < 0 else f"exit status {returncode}"


def execute(command, **options):
    """(exit status, output) of a command; a time-out counts as being killed."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **options)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        output = (late.output or b"").decode(errors="replace")
        return -9, f"{output}\nstopped after {late.timeout:g} s"
    except OSError as error:
        return 127, str(error)


def run_command(result, arguments):
    name, command = arguments[0], arguments[arguments.index("--") + 1:]
    start = time.monotonic()
    status, output = execute(command)
    failure = None if status == 0 else f"{shlex.join(command)}: {ending(status)}\n{output}"
    write(result, suite_name(result), [Case(name, failure, seconds=time.monotonic() - start)])


def cmocka_cases(program, text):
    """The cases in cmocka's XML, which may hold several documents one after the other."""
    for block in re.findall(r"<testsuites>.*?</testsuites>", text, re.S):
        for node in ET.fromstring(printable(block)).iter("testcase"):
            failure = node.find("failure")
            if failure is None:
                failure = node.find("error")
            title = f"{program}: {node.get('name')}"
            yield Case(title, None if failure is None else (failure.text or "failed"),
                       None if node.find("skipped") is None else f"{title} skips itself",
                       float(node.get("time") or 0))


def run_program(program, wrap):
    program = Path(program)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=program.name + "-") as folder:
        environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="xml", TMPDIR=folder,
                           CMOCKA_XML_FILE=os.path.join(folder, "cmocka-%g.xml"))
        status, output = execute(wrap + [str(program.resolve())], cwd=folder, env=environment,
                                 timeout=TIMEOUT)
        text = "\n".join(p.read_text(errors="replace") for p in Path(folder).glob("cmocka-*.xml"))
    try:
        cases = list(cmocka_cases(program.name, text + output))
    except ET.ParseError as error:
        cases = [Case(f"{program.name}: report", f"unreadable: {error}\n{text}")]
    plain = re.sub(r"(<\?xml[^>]*>\s*)?<testsuites>.*?</testsuites>", "", output, flags=re.S).strip()
    bad = [case for case in cases if case.failure]
    if not cases or (status != 0 and not bad):
        cases.append(Case(f"{program.name}: end", f"{ending(status)}\n{plain}",
                          seconds=time.monotonic() - start))
    elif bad and plain:
        bad[-1].failure += f"\noutput of {program.name}:\n{plain}"
    return cases


def run_ctests(result, arguments):
    at = arguments.index("--")
    wrap = arguments[1:at] if arguments[0] == "--wrap" else []
    programs = arguments[at + 1:]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        lists = list(pool.map(lambda p: run_program(p, wrap), programs))
    write(result, suite_name(result), [case for cases in lists for case in cases])


def run_pytest(result, arguments):
    command = arguments[arguments.index("--") + 1:]
    path = Path(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    status, output = execute(command + [f"--junitxml={result}"])
    if status not in (0, 1) or not path.exists():  # 1: tests failed, which the file says
        write(path.with_name(path.stem + "-end.xml"), suite_name(result),
              [Case("pytest", f"{ending(status)}\n{output}")])


def main():
    kinds = {"command": run_command, "ctests": run_ctests, "pytest": run_pytest}
    if len(sys.argv) < 4 or sys.argv[1] not in kinds or "--" not in sys.argv:
        sys.exit(__doc__)
    kinds[sys.argv[1]](sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    main()
