#!/usr/bin/env python3
"""The confidence that `learn` prints, against what happened: how often the printed bound was too low.

usage: calibrate.py REDUCE DIRECTORY [DRAWS] > calibration.svg

REDUCE and DIRECTORY as for evaluate.py. For 3, 5 and 8 runs to learn from, DRAWS (6) times for each program, so many of its
runs are drawn with a fixed seed. The figure is what pinfold says of them: k of n, and the bound. The truth is the share of
the runs that were not drawn which the profile refuses something, by evaluate.py, with nothing of the reducer. Prints a table
to standard error and a plot as SVG to standard output.
"""

import json
import pathlib
import random
import subprocess
import sys

import evaluate

SIZES = (3, 5, 8)


def trial(program, files, runs, secrets, chosen):
    picked = [files[at] for at in chosen]
    out = subprocess.run([program, "expand", "--figure", *map(str, picked)], check=True, capture_output=True)
    found = json.loads(out.stdout)
    if found["figure"] is None:
        return None
    rules = evaluate.rules_of(found)
    others = [run for at, run in enumerate(runs) if at not in chosen]
    refused = sum(1 for run in others if any(path not in secrets for path in rules.refuses(run)))
    trials, k, upper = found["figure"]
    return {"point": k / trials, "upper": upper, "truth": refused / len(others)}


def main():
    program, root = sys.argv[1], pathlib.Path(sys.argv[2])
    draws = int(sys.argv[3]) if len(sys.argv) > 3 else 6
    secrets = set(json.loads((root / "planted.json").read_text())["secret"])
    points = {size: [] for size in SIZES}
    for at in sorted((root / "traces").iterdir()):
        files = sorted(at.glob("*.trace"))
        runs = [evaluate.Run(file) for file in files]
        for size in SIZES:
            rng = random.Random(f"calibrate {at.name} {size}")
            for _ in range(draws):
                found = trial(program, files, runs, secrets, sorted(rng.sample(range(len(files)), size)))
                if found:
                    points[size].append(found)
    print("| runs learned from | profiles | said: mean k/n | true: mean share refused | said: mean bound | bound at least the truth |\n|---|---|---|---|---|---|", file=sys.stderr)
    for size, all_of in points.items():
        mean = lambda key: 100 * sum(one[key] for one in all_of) / len(all_of)
        holds = 100 * sum(one["truth"] <= one["upper"] for one in all_of) / len(all_of)
        print(f"| {size} | {len(all_of)} | {mean('point'):.0f} % | {mean('truth'):.0f} % | {mean('upper'):.0f} % | {holds:.0f} % |", file=sys.stderr)
    print(plot(points))


def plot(points):
    """Each profile a dot: how likely a refusal was said to be at most, and how many of the other runs were refused."""
    side, edge = 320, 45
    place = lambda x, y: (edge + x * side, edge + (1 - y) * side)
    colours = dict(zip(SIZES, ("#c0504d", "#d9a441", "#4f81bd")))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side + 2 * edge + 90} {side + 2 * edge}" font-family="sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="white"/><rect x="{edge}" y="{edge}" width="{side}" height="{side}" fill="none" stroke="#888"/>']
    (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
    out.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#888" stroke-dasharray="4"/>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        (x, bottom), (left, y) = place(share, 0), place(0, share)
        out.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{share:.0%}</text><text x="{left - 5}" y="{y + 4}" text-anchor="end">{share:.0%}</text>')
    out.append(f'<text x="{edge + side / 2}" y="{edge + side + 32}" text-anchor="middle">said: at most (95 %)</text>')
    out.append(f'<text transform="translate(12 {edge + side / 2}) rotate(-90)" text-anchor="middle">true: runs refused something</text>')
    for index, (size, all_of) in enumerate(points.items()):
        rng = random.Random(size)
        for one in all_of:
            # Dots of few runs lie on one another: a little apart.
            x, y = place(one["upper"] + rng.uniform(-0.012, 0.012), one["truth"] + rng.uniform(-0.012, 0.012))
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[size]}" fill-opacity="0.6"/>')
        y = edge + 12 + 18 * index
        out.append(f'<circle cx="{edge + side + 15}" cy="{y - 4}" r="4" fill="{colours[size]}"/><text x="{edge + side + 24}" y="{y}">{size} runs</text>')
    return "\n".join([*out, "</svg>"])


if __name__ == "__main__":
    main()
