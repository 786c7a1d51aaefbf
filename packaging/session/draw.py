"""Draws a recorded session as an animated picture: `draw.py RECORDING`, an SVG on standard output.

It reads asciicast v2, and shows each line of the terminal as long as it stood there. Pauses longer than two seconds are
shortened to that. Readers who want no motion see the end. The same recording gives the same bytes.
"""

import json
import re
import sys
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

LONGEST_PAUSE = 2.0
# A line that stood for less is not shown.
SHORTEST = 0.1
# The end stays this long, then the picture begins again.
HOLD = 8.0

CHARACTER, LINE, MARGIN = 7.8, 18, 14
COLOURS = {31: "red", 32: "green", 33: "yellow", 34: "blue", 36: "cyan"}
STYLE = """\
    .bake-back { fill: #ffffff; stroke: #d1d9e0; }
    text { white-space: pre; fill: #1f2328; }
    .bold { font-weight: 700; }
    .red { fill: #cf222e; }
    .green { fill: #116329; }
    .yellow { fill: #7d4e00; }
    .blue { fill: #0969da; }
    .cyan { fill: #1b7c83; }
    @media (prefers-color-scheme: dark) {
      .bake-back { fill: #0d1117; stroke: #3d444d; }
      text { fill: #f0f6fc; }
      .red { fill: #ff7b72; }
      .green { fill: #3fb950; }
      .yellow { fill: #d29922; }
      .blue { fill: #4493f8; }
      .cyan { fill: #39c5cf; }
    }
    .past { visibility: hidden; }
"""

# A character and the classes of its style.
Cell = tuple[str, frozenset[str]]
Row = tuple[Cell, ...]


@dataclass
class Line:
    """What stood in one line of the terminal, and since when."""

    versions: list[tuple[float, Row]] = field(default_factory=list)

    def at_end(self) -> Row:
        return self.versions[-1][1] if self.versions else ()


class Screen:
    """As much of a terminal as the recording needs; every other control sequence is an error."""

    def __init__(self, columns: int) -> None:
        self.columns, self.rows = columns, [[]]
        self.row = self.column = 0
        self.style: frozenset[str] = frozenset()

    def write(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]|\x1b", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.down()
            elif len(part) > 1:
                self.control([int(number or 0) for number in part[2:-1].split(";")], part[-1])
            elif part >= " " and part != "\x7f":
                self.put(part)
            else:
                raise ValueError(f"unknown control character: {part!r}")

    def down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def put(self, character: str) -> None:
        if self.column == self.columns:
            self.column = 0
            self.down()
        row = self.rows[self.row]
        row.extend([(" ", frozenset())] * (self.column + 1 - len(row)))
        row[self.column] = (character, self.style)
        self.column += 1

    def control(self, numbers: list[int], name: str) -> None:
        if name == "K":
            row = self.rows[self.row]
            del row[0 if numbers == [2] else self.column :]
        elif name == "A":
            self.row = max(0, self.row - max(1, numbers[0]))
        elif name == "B":
            for _ in range(max(1, numbers[0])):
                self.down()
        elif name == "m":
            for number in numbers:
                if number == 0:
                    self.style = frozenset()
                elif number == 1:
                    self.style |= {"bold"}
                elif (colour := COLOURS.get(number - 60 if number >= 90 else number)) is not None:
                    self.style = self.style - set(COLOURS.values()) | {colour}
                else:
                    raise ValueError(f"unknown style: {number}")
        else:
            raise ValueError(f"unknown control sequence: {numbers} {name}")


def play(events: list[list], columns: int) -> tuple[list[Line], list[tuple[float, int]], float]:
    """The lines, the number of lines in use at each time, and the length."""
    screen, lines, used = Screen(columns), [], []
    now = before = 0.0
    for at, _, text in events:
        now += min(at - before, LONGEST_PAUSE)
        before = at
        screen.write(text)
        for index, row in enumerate(screen.rows):
            if index == len(lines):
                lines.append(Line())
            while row and row[-1][0] == " ":
                row.pop()
            if lines[index].at_end() != tuple(row):
                versions = lines[index].versions
                if versions and now - versions[-1][0] < SHORTEST:
                    versions.pop()
                versions.append((now, tuple(row)))
        if not used or used[-1][1] != len(screen.rows):
            used.append((now, len(screen.rows)))
    return lines, used, now


def spans(row: Row) -> str:
    text, begin = "", 0
    for end in range(1, len(row) + 1):
        if end == len(row) or row[end][1] != row[begin][1]:
            part = escape("".join(character for character, _ in row[begin:end]))
            classes = " ".join(sorted(row[begin][1]))
            text += f'<tspan class="{classes}">{part}</tspan>' if classes else part
            begin = end
    return text


def main() -> None:
    with open(sys.argv[1]) as file:
        header, *events = map(json.loads, file)
    title = header["title"]
    columns, rows = header["width"], header["height"]
    lines, used, length = play(events, columns)
    total = length + HOLD
    width, height = round(columns * CHARACTER) + 2 * MARGIN, rows * LINE + 2 * MARGIN

    def percent(at: float) -> str:
        return f"{at / total * 100:.2f}%"

    frames, texts = [], []
    for index, line in enumerate(lines):
        ends = [at for at, _ in line.versions[1:]] + [None]
        for (begin, row), end in zip(line.versions, ends):
            if not row:
                continue
            name = f"v{len(frames)}"
            stop = f"{percent(end)},100%{{visibility:hidden}}" if end is not None else "100%{visibility:visible}"
            frames.append(
                f"    @keyframes {name}{{0%{{visibility:hidden}}{percent(begin)}{{visibility:visible}}{stop}}}"
                f".{name}{{animation-name:{name}}}"
            )
            past = " past" if end is not None else ""
            typed = " bold" if row[0][0] == "$" else ""
            y = MARGIN + LINE * index + 13
            texts.append(f'    <text class="v {name}{past}{typed}" x="{MARGIN}" y="{y}">{spans(row)}</text>')

    # The last line stays in view.
    offsets = [(at, max(0, count - rows) * LINE) for at, count in used]
    steps = "".join(f"{percent(at)}{{transform:translateY(-{offset}px)}}" for at, offset in offsets)
    end = offsets[-1][1]
    frames.append(f"    @keyframes scroll{{0%{{transform:none}}{steps}100%{{transform:translateY(-{end}px)}}}}")
    motion = f"animation-duration:{total:.2f}s;animation-timing-function:step-end;animation-iteration-count:infinite"
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label={quoteattr(title)} '
        "font-family=\"ui-monospace, SFMono-Regular, Menlo, 'Liberation Mono', monospace\" font-size=\"13\">\n"
        f"  <title>{escape(title)}</title>\n  <style>\n{STYLE}"
        f"    .scroll {{ transform: translateY(-{end}px); }}\n"
        "    @media (prefers-reduced-motion: no-preference) {\n"
        f"    .v,.scroll{{{motion}}}\n    .scroll{{animation-name:scroll}}"
    )
    print(*frames, sep="\n")
    print(
        "    }\n  </style>\n"
        f'  <rect class="bake-back" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
        f'  <clipPath id="screen"><rect width="{width}" height="{rows * LINE}" y="{MARGIN}"/></clipPath>\n'
        '  <g clip-path="url(#screen)"><g class="scroll">'
    )
    print(*texts, sep="\n")
    print("  </g></g>\n</svg>")


main()
