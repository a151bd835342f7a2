#!/bin/sh
# What a merge request changes in the profiles of agents: a comment in Markdown, and a failure where more is allowed.
#
# Environment:
#   BASE           the revision that the request is to be merged into (origin/main)
#   FAIL_ON        widens, risk=N or unapproved, as of `pinfold diff --fail-on` (default: unapproved)
#   ACCEPT_DIGEST  digests that count as approved, with spaces between
#   COMMENT        the file that the comment is written to (default: standard output)
#   PINFOLD        the program (default: pinfold)
#
# Exit code: 0 nothing more is allowed than may be, 1 more is, 2 trouble
set -u
: "${BASE:?names the revision that the request is to be merged into}"
pinfold=${PINFOLD:-pinfold}
comment=${COMMENT:-/dev/stdout}

set -- --against "$BASE" --three-way --fail-on "${FAIL_ON:-unapproved}"
for digest in ${ACCEPT_DIGEST:-}; do
    set -- "$@" --accept-digest "$digest"
done

list=$(mktemp) || exit 2
trap 'rm -f "$list"' EXIT
git diff --name-only --diff-filter=ACMR -z "$BASE...HEAD" -- ':(top,glob)generated-profiles/*.toml' >"$list" || exit 2

: >"$comment"
if [ ! -s "$list" ]; then
    echo 'No profile is changed.' >>"$comment"
    exit 0
fi
# A name with a line break would be read as two: neither is there, and that is trouble, not silence.
status=0
while IFS= read -r path; do
    "$pinfold" diff "$@" --format markdown -- "$path" >>"$comment"
    code=$?
    [ "$code" -le "$status" ] || status=$code
    if [ "${GITHUB_ACTIONS:-}" = true ]; then
        "$pinfold" diff "$@" --format github -- "$path"
    fi
done <<LIST
$(tr '\0' '\n' <"$list")
LIST
exit "$status"
