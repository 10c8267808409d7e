#!/bin/sh
# Builds a program that runs op_host of a generated operator project without CANN:  sh host_stubs/build.sh OUTPUT
# The project's op_host/ and op_kernel/ lie beside host_stubs/. Needs g++ 11 or later ($CXX names another).
set -eu

case $1 in /*) output=$1 ;; *) output=$PWD/$1 ;; esac
cd "$(dirname "$0")/.."
"${CXX:-g++}" -std=c++17 -O1 -Wall -Wextra -Werror -Ihost_stubs op_host/*.cpp host_stubs/driver.cc -o "$output"
