"""Draw the architecture picture: base/architecture.toml in, base/architecture.svg out.

    python3 scripts/picture.py            # write the picture
    python3 scripts/picture.py --check    # exit 1 when the committed one is stale

The picture carries its own background and both colour schemes, so that it can be read on a light and on a dark page.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "base/architecture.toml"
PICTURE = ROOT / "base/architecture.svg"

Shape = dict[str, Any]

# tone: (strong colour, soft fill) on a light page, the same on a dark one
TONES = {
    "base": ("#1d5fd0", "#e8f0fe", "#8ab4f8", "#1b2a44"),
    "components": ("#7434c9", "#f3eafd", "#c9a6f7", "#2d2142"),
    "apps": ("#a85400", "#fdf0df", "#f2b366", "#3a2a14"),
    "overlays": ("#16703d", "#e5f5eb", "#7fd39b", "#16321f"),
    "plain": ("#475467", "#ffffff", "#a9b4c4", "#1c2430"),
}
# surface: (light, dark)
SURFACES = {
    "page": ("#ffffff", "#11161d"),
    "area": ("#f5f7fa", "#171e27"),
    "edge": ("#d5dbe4", "#344050"),
    "ink": ("#172033", "#e8edf4"),
    "soft": ("#526079", "#a3afc0"),
}
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
CORNER = 10


def render(picture: dict[str, Any]) -> str:
    """Return the SVG text of a picture as read from its TOML source."""
    width, height = picture["canvas"]["width"], picture["canvas"]["height"]
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(picture["canvas"]["title"])}</title>',
        f'<desc id="desc">{escape(picture["canvas"]["description"])}</desc>',
        "<!-- Made by scripts/picture.py from base/architecture.toml: edit that and run the script. -->",
        *_style(),
        *_markers(),
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="14"/>',
    ]
    for kind, draw in DRAW.items():
        for shape in picture.get(kind, []):
            lines.extend(draw(shape))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _rules(dark: bool) -> Iterator[str]:
    surface = {name: colours[dark] for name, colours in SURFACES.items()}
    yield f".page {{ fill: {surface['page']}; stroke: {surface['edge']}; }}"
    yield f".area {{ fill: {surface['area']}; stroke: {surface['edge']}; }}"
    yield f".ink {{ fill: {surface['ink']}; }}"
    yield f".soft {{ fill: {surface['soft']}; }}"
    yield f".flow {{ stroke: {surface['soft']}; }}"
    yield f".head {{ fill: {surface['soft']}; }}"
    for tone, colours in TONES.items():
        strong, fill = colours[2:] if dark else colours[:2]
        yield f".{tone} {{ fill: {fill}; stroke: {strong}; }}"
        yield f".{tone}-text {{ fill: {strong}; }}"
        yield f".{tone}-bar {{ fill: {strong}; }}"


def _style() -> Iterator[str]:
    yield "<style>"
    yield f"text {{ font-family: {SANS}; font-size: 13px; }}"
    yield f".mono {{ font-family: {MONO}; font-size: 12px; }}"
    yield ".title { font-size: 15px; font-weight: 650; }"
    yield ".caption { font-size: 11px; font-weight: 650; letter-spacing: 1.1px; }"
    yield ".small { font-size: 12px; }"
    yield ".flow { fill: none; stroke-width: 1.6; }"
    yield ".dashed { stroke-dasharray: 5 4; }"
    yield from _rules(dark=False)
    yield "@media (prefers-color-scheme: dark) {"
    yield from (f"  {rule}" for rule in _rules(dark=True))
    yield "}"
    yield "</style>"


def _markers() -> Iterator[str]:
    yield '<defs><marker id="tip" viewBox="0 0 10 10" refX="8.5" refY="5" markerWidth="7" markerHeight="7"'
    yield 'orient="auto"><path class="head" d="M0 0.8 L9 5 L0 9.2 z"/></marker></defs>'


def _text(x: float, y: float, words: str, style: str, anchor: str = "start") -> str:
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{style}" x="{x:g}" y="{y:g}"{at}>{escape(words)}</text>'


def _box(shape: Shape, style: str, corner: float) -> str:
    x, y, width, height = shape["box"]
    dashed = " dashed" if shape.get("dashed") else ""
    return f'<rect class="{style}{dashed}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{corner:g}"/>'


def _area(shape: Shape) -> Iterator[str]:
    """Draw a region, with a caption in capitals at the left or a remark at the right."""
    x, y, width, _ = shape["box"]
    yield _box(shape, "area", 12)
    if "label" in shape:
        yield _text(x + 16, y + 23, shape["label"].upper(), "caption soft")
    if "remark" in shape:
        yield _text(x + width - 16, y + 23, shape["remark"], "small soft", "end")


def _card(shape: Shape) -> Iterator[str]:
    """Draw a box with title, what it means, and lines of names in it."""
    x, y, _, height = shape["box"]
    tone = shape["tone"]
    yield _box(shape, tone, CORNER)
    if shape.get("bar", True):
        yield f'<rect class="{tone}-bar" x="{x}" y="{y + 12}" width="4" height="{height - 24}" rx="2"/>'
    baseline = y + 24
    yield _text(x + 16, baseline, shape["title"], f"title {tone}-text")
    if "note" in shape:
        baseline += 19
        yield _text(x + 16, baseline, shape["note"], "ink")
    for words in shape.get("lines", []):
        baseline += 18
        yield _text(x + 16, baseline, words, "mono soft")


def _chip(shape: Shape) -> Iterator[str]:
    """Draw a small box with a word in its middle, in the style `small`, `mono` or `title`."""
    x, y, width, height = shape["box"]
    style = shape.get("style", "small")
    yield _box(shape, shape["tone"], shape.get("corner", 7))
    baseline = y + height / 2 + (5 if style == "title" else 4.2)
    yield _text(x + width / 2, baseline, shape["text"], f"{style} {shape['tone']}-text", "middle")


def _arrow(shape: Shape) -> Iterator[str]:
    """Draw a line through points, its corners rounded, with a tip and a label."""
    dashed = " dashed" if shape.get("dashed") else ""
    tip = "" if shape.get("plain") else ' marker-end="url(#tip)"'
    yield f'<path class="flow{dashed}" d="{_rounded(shape["points"])}"{tip}/>'


def _label(shape: Shape) -> Iterator[str]:
    """Write free text."""
    x, y = shape["at"]
    yield _text(x, y, shape["text"], shape["style"], shape.get("anchor", "start"))


def _rounded(points: list[list[float]], radius: float = 9) -> str:
    path = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        path.append(f"L{start[0]:g} {start[1]:g} Q{corner[0]:g} {corner[1]:g} {end[0]:g} {end[1]:g}")
    return " ".join([*path, f"L{points[-1][0]:g} {points[-1][1]:g}"])


def _towards(start: list[float], goal: list[float], distance: float) -> tuple[float, float]:
    """Return the point at most `distance` from start (and half the way) on a level or upright line to goal."""
    across, down = goal[0] - start[0], goal[1] - start[1]
    length = abs(across) + abs(down)
    share = min(distance, length / 2) / length
    return round(start[0] + across * share, 2), round(start[1] + down * share, 2)


DRAW = {"area": _area, "arrow": _arrow, "card": _card, "chip": _chip, "label": _label}


def main(arguments: list[str]) -> int:
    """Write the picture, or compare it; return the exit status."""
    made = render(tomllib.loads(SOURCE.read_text("utf-8")))
    if arguments == ["--check"]:
        fresh = PICTURE.is_file() and PICTURE.read_text("utf-8") == made
        print("fresh" if fresh else f"stale: run python3 {Path(__file__).relative_to(ROOT)}")
        return 0 if fresh else 1
    PICTURE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
