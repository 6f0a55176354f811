#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Every CPU model of Bochs: those with VMX and EPT pass all experiments or skip with a reason,
# the others say in one line what they lack.
. tests/boot/lib.sh

models()
{
	bochs --help cpu 2>&1 | grep -E '^[a-z0-9_]+$'
}

case ${1:-} in
list) models ;;
core*_arrandale_* | core*_lynnfield_* | *sandy_bridge* | *ivy_bridge* | *haswell* | *broadwell* | \
*skylake* | *cnl | *icelake* | tigerlake)
	stillpoint 0 run --model "$1"
	;;
*)
	models | grep -qx -- "$1" || unknown_case "$1"
	stillpoint 121 run --model "$1"
	one_clear_line
	;;
esac
