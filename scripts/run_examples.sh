#!/bin/sh
# What `make run` shows: two programs on one engine. An engine that was kept before is used and left running; otherwise one
# is started, and stopped at the end whatever happens.
# Usage: scripts/run_examples.sh FOLDER-OF-THE-COMMANDS
set -eu
ttsc=$1/ttsc
model=smollm2-135m

stop_engine() {
    "$ttsc" engine stop "$model" || true
}

if ! "$ttsc" engine status --json | grep '"condition": "ready"' | grep -q "\"model\": \"$model\""; then
    trap stop_engine EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
fi
"$ttsc" engine start "$model" > /dev/null
for program in self_consistency first_finish; do
    echo
    echo "== programs/$program.tts, inputs of programs/inputs/questions.jsonl =="
    # The lines on standard error show each answer; standard output has them bare, for other programs to read.
    "$ttsc" run "programs/$program.tts" --inputs programs/inputs/questions.jsonl > /dev/null
done
