#!/bin/sh
# Builds the program coopdraw-run without CMake:  sh build.sh OUTPUT LITE [more compiler flags]
# LITE is the folder with MindSpore Lite's include/ and lib/, where the program will find them. $CXX names the compiler.
set -eu
LC_ALL=C # the order of files
export LC_ALL
output=$1 lite=$2
shift 2
folder=$(dirname "$0")
compiler=${CXX:-g++}
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

pids=
for source in "$folder"/*.cc; do
    "$compiler" -std=c++17 -O2 -g0 -isystem "$lite" -I"$folder" "$@" -c "$source" \
        -o "$objects/$(basename "$source" .cc).o" & pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done

library=$(ls "$lite"/lib/libmindspore-lite.so "$lite"/lib/libmindspore-extendrt_python.so 2>/dev/null | head -n 1)
# An old-style RPATH holds for the libraries that Lite's libraries load, too.
"$compiler" -pthread -s "$@" "$objects"/*.o "$library" \
    -Wl,--build-id=none -Wl,--disable-new-dtags -Wl,-rpath,"$lite/lib" -o "$output"
