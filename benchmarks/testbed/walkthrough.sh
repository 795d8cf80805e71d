#!/usr/bin/env bash
# From measuring to running, on a real engine (docs/planning.md): calibrate, explain, plan, run, analyze; then the
# defaults and the plan on inputs that were not measured on.
#
#   benchmarks/testbed/walkthrough.sh [FOLDER]
#
# Takes some ten minutes on two cores. What it makes lies in FOLDER, a temporary one unless given; samples that are there
# are not asked again. Needs `ttsc` and Python with the repository's requirements, in .venv or on the path.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
if [ -d .venv/bin ]; then PATH="$PWD/.venv/bin:$PATH"; fi

model=benchmarks/testbed/models/policy
program=programs/testbed/checked_vote.tts
on="--model $model --hardware cpu"
step() { printf '\n$ %s\n' "$*" >&2; "$@"; }

ttsc engine start "$model"
python -m benchmarks.testbed.inputs --least 4 --count 64 --seed 1 > "$folder/dev.jsonl"
other="--least 4 --count 1000 --seed 2 --without $folder/dev.jsonl"
python -m benchmarks.testbed.inputs $other > "$folder/gold.jsonl"
python -m benchmarks.testbed.inputs $other --no-gold > "$folder/test.jsonl"
head -100 "$folder/test.jsonl" > "$folder/some.jsonl"

step ttsc calibrate $program -p graded_best --externs programs/testbed/checks.py --model $model \
    --inputs "$folder/dev.jsonl" --temperatures 1.0,0.7,0.4,0.1 --concurrency 64 \
    --journal "$folder/samples.jsonl" -o "$folder/workload.toml"

step ttsc explain $program -p plain_vote --workload "$folder/workload.toml" $on --no-savings

step ttsc plan $program -p plain_vote -p graded_best --workload "$folder/workload.toml" $on \
    --set max_tokens=96 --budget "tokens<=640" -o "$folder/plan.json"

step ttsc run "$folder/plan.json" --externs programs/testbed/checks.py \
    --inputs "$folder/test.jsonl" --concurrency 64 --json --out "$folder/planned.jsonl" > /dev/null

step ttsc run $program -p plain_vote --model $model \
    --inputs "$folder/test.jsonl" --concurrency 64 --json --out "$folder/defaults.jsonl" > /dev/null

setting=$(python - "$folder/plan.json" <<'PYTHON'
import json, sys
plan = json.load(open(sys.argv[1]))
print("-p", plan["program"], *(f"--set {name}={value}" for name, value in plan["setting"].items()))
PYTHON
)
step ttsc explain $program $setting --workload "$folder/workload.toml" $on --no-savings \
    --externs programs/testbed/checks.py --inputs "$folder/some.jsonl" --analyze

step python -m benchmarks.testbed.comparing "$folder/gold.jsonl" "$folder/defaults.jsonl" "$folder/planned.jsonl"
