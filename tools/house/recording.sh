#!/bin/sh
# `make recording`: `rheostat solve` on the embedded model as an animated picture. What it shows is what happened.
# Needs uvx (asciinema records the terminal) and npx (svg-term draws the recording).
set -eu
QUESTION="There are 64 students trying out for trivia teams. 36 of them aren't picked. \
The others make 4 equal groups. How many students are in each group?"
export QUESTION
cast=$(mktemp)
trap 'rm -f "$cast"' EXIT
uvx --quiet --from asciinema==2.4.0 asciinema rec --quiet --overwrite --cols 100 --rows 24 --idle-time-limit 1.5 \
    --command 'printf "$ rheostat solve \"%s\" --equals 7\n" "$QUESTION"; rheostat solve "$QUESTION" --equals 7; sleep 4' "$cast"
npx --yes svg-term-cli@2.1.1 --in "$cast" --out "$1" --window --no-cursor
