#!/bin/sh
# Builds the library of all CPU kernels:  sh cpu/build.sh OUTPUT [more compiler flags]
# Needs g++ 11 or later ($CXX names another). Each kernel is compiled once per instruction set; the library chooses when
# it runs. The same sources and compiler give the same bytes, wherever they lie.
set -eu
LC_ALL=C # the order of files
export LC_ALL

case $1 in /*) output=$1 ;; *) output=$PWD/$1 ;; esac
shift
cd "$(dirname "$0")/.."
compiler=${CXX:-g++}
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

compile() { # LEVEL SOURCE FLAGS...
    level=$1 source=$2
    shift 2
    "$compiler" -std=c++17 -O3 -g0 -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math -Wno-psabi \
        -I. -DCOOPDRAW_LEVEL="$level" "$@" -c "$source" -o "$objects/$level-$(echo "$source" | tr / -).o"
}

pids=
for source in cpu/*.cc; do
    compile baseline "$source" "$@" & pids="$pids $!"
done
for source in */cpu.cc; do
    compile baseline "$source" -DCOOPDRAW_ENTRIES -fno-exceptions "$@" & pids="$pids $!"
    if [ "$(uname -m)" = x86_64 ]; then
        compile avx2 "$source" -fno-exceptions -mavx2 -mfma "$@" & pids="$pids $!"
        compile avx512 "$source" -fno-exceptions -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma "$@" &
        pids="$pids $!"
    fi
done
for pid in $pids; do wait "$pid"; done

# nodelete: threads wait inside the library when MindSpore unloads it.
"$compiler" -shared -pthread -s -Wl,--build-id=none -Wl,-z,nodelete -Wl,--no-undefined \
    -Wl,--version-script=cpu/exports.map "$@" "$objects"/*.o -o "$output"
