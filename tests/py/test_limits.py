"""The limits that docs/robustness.md names are those of the sources."""

import re

# What the numbers in the sources are made of.
NUMBER = re.compile(r"^[\d\s<()*+-]+$")


def defined(source, name):
    """The value of an enumerator or macro."""
    found = re.search(rf"\b{name}\b\s*=?\s*(\(?[^,;}}\n]*)", re.sub(r"/\*.*?\*/", "", source, flags=re.S))
    text = re.sub(r"\(size_t\)|[uUlL]+\b", "", found[1]).strip()
    while text.count("(") < text.count(")"):
        text = text[:-1]
    assert NUMBER.match(text), (name, text)
    return eval(text, {"__builtins__": {}})  # digits and operators only


def test_limits(root):
    rows = re.findall(r"^\| [^|]+ \| ([\d, ]+) \| (.*) in (\S+) \|$", (root / "docs/robustness.md").read_text(), re.M)
    assert len(rows) > 20
    for numbers, names, path in rows:
        values = [int(number) for number in numbers.split(",")]
        found = [defined((root / path).read_text(), name) for name in re.findall(r"`(\w+)`", names)]
        assert found == values, (names, found, values)
