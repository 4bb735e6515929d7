#!/usr/bin/env bash
# Measures a GPU: agreement with the CPU, the time of kernels and of steps, two trainings.
# Every result is a file. A file that exists is not measured again, and a training that was
# interrupted continues, so the same command resumes.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: trainer/bench/gpu.sh [OPTIONS]

Measures a GPU: agreement with the CPU, kernels, steps, and two trainings.
Given again, the same command continues with the results that are missing.

  --device NAME    cuda, cuda:N, wgpu, wgpu:N or cpu [default: cuda]
  --out DIR        where the results go [default: gpu-results]
  --data DIR       holds the data sets hippocampus and lgg64; without it nothing is trained
  --libtorch       compares with libtorch too; trainer/docs/benchmarks.md tells how to install it
  --programs DIR   takes rewind and rewind-bench from here instead of building them
  --rehearse       small sizes, to see that everything runs

Research use only, not a medical device
TEXT
}

root=$(cd "$(dirname "$0")/../.." && pwd)
device=cuda out=gpu-results data='' libtorch='' programs='' rehearse=''
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=$2; shift ;;
        --out) out=$2; shift ;;
        --data) data=$2; shift ;;
        --programs) programs=$2; shift ;;
        --libtorch) libtorch=1 ;;
        --rehearse) rehearse=1 ;;
        --help) usage; exit ;;
        *) echo "error: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

if [ -z "$programs" ]; then
    features=${libtorch:+trainer-bench/libtorch}
    case $device in
        cuda*) features+=,trainer/cuda,trainer-bench/cuda ;;
        wgpu*) features+=,trainer/wgpu,trainer-bench/wgpu ;;
    esac
    cargo build --release --manifest-path "$root/Cargo.toml" -p trainer -p trainer-bench \
        --features "$features"
    programs=${CARGO_TARGET_DIR:-$root/target}/release
fi
bench=$programs/rewind-bench rewind=$programs/rewind
mkdir -p "$out"
num_failed=0

# measure NAME COMMAND...: writes what the command prints to NAME.md. If the command fails, writes
# NAME.failed.md, and the script continues.
measure() {
    local file=$out/$1
    shift
    [ ! -e "$file.md" ] || return 0
    echo "measuring $file.md: $*" >&2
    if "$@" >"$file.part"; then
        mv "$file.part" "$file.md"
        rm -f "$file.failed.md"
    else
        mv "$file.part" "$file.failed.md"
        num_failed=$((num_failed + 1))
    fi
}

storages='f32 f16'
case $device in cuda*) storages+=' bf16' ;; esac

# WebGPU has no bf16.
for storage in $storages; do
    measure "correctness-$storage" "$bench" correctness --device "$device" --storage "$storage" \
        ${rehearse:+--only depthwise,norm,demo}
done
for storage in $storages; do
    measure "kernels-$storage" "$bench" kernels --device "$device" --storage "$storage" \
        --against "stock${libtorch:+,libtorch}" \
        ${rehearse:+--size 8x16x16 --widths 30,60 --repeat 2}
done

# measure_steps PRESET SIZE: steps in every precision.
measure_steps() {
    local precision
    for precision in 'f32 f32' 'f16 f32' 'f16 f16' 'bf16 f32'; do
        local compute=${precision% *} stream=${precision#* }
        case " $storages " in *" $compute "*) ;; *) continue ;; esac
        measure "step-$1-$compute-streams-$stream" "$bench" step --device "$device" --preset "$1" \
            --size "$2" --precision "$compute" --stream "$stream" ${libtorch:+--against libtorch}
    done
}

if [ -n "$rehearse" ]; then
    measure_steps demo 16x16x16
else
    measure_steps mbconv-base 160x240x240
    measure_steps mbconv-slim 160x240x240
    measure_steps brugger-1-1 128x128x128
fi

# train NAME DATA_SET OPTIONS...: the settings are those of the data set.
train() {
    local name=$1 data_set=$2
    shift 2
    measure "$name" "$rewind" train --device "$device" --data "$data/$data_set" \
        --config "$root/trainer/configs/gpu/$data_set.toml" --out "$out/$name" "$@" \
        ${rehearse:+--steps 30 --validate-every 15 --batch 1 --patch 32 --set checkpoint_every=5}
}

if [ -n "$data" ]; then
    train hippocampus hippocampus --folds 5
    for precision in $storages; do
        for seed in 0 1 2; do
            train "lgg64-$precision-seed-$seed" lgg64 --precision "$precision" --seed "$seed"
        done
    done
fi

echo "the results are in $out" >&2
if [ "$num_failed" -gt 0 ]; then
    echo "$num_failed measurements failed; the same command tries them again" >&2
    exit 1
fi
