#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# Packs the built programs with the shared libraries that a compute node may lack. docs/installing.md says how to use it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/release
output=$PWD
with_mpi=no
with_tests=no
only_folder=no

usage() {
  cat <<'TEXT'
usage: tools/bundle.sh [--with-mpi] [--with-tests] [--folder] [--build DIR] [--output DIR]
  Packs bin/, share/ and lib/yolodist with OpenCV, Boost, yaml-cpp and what they need; not MPI, LibTorch, CUDA, the
  driver or the C library. Leaves OUTPUT/yolodist-VERSION-MACHINE.tar.xz.
  --with-mpi     Open MPI 4 too, for ranks of one host: OUTPUT/yolodist-VERSION-MACHINE-mpi.tar.xz
  --with-tests   tools/check_gpu.sh and what it runs, too: …-tests.tar.xz
  --folder       leave the folder, and make no archive
  --build DIR    a finished build (build/release)
  --output DIR   where to put it (.)
TEXT
}

say() { echo "bundle: $*"; }

fail() {
  echo "bundle: error: $1" >&2
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

while (($# > 0)); do
  case $1 in
    --with-mpi) with_mpi=yes ;;
    --with-tests) with_tests=yes ;;
    --folder) only_folder=yes ;;
    --build) build=${2:?--build needs a folder}; shift ;;
    --output) output=$(realpath -m "${2:?--output needs a folder}"); shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift
done

for tool in cmake patchelf ldd xz; do
  command -v "$tool" >/dev/null || fail "$tool is missing" "On Debian: tools/setup.sh, or apt-get install ${tool/xz/xz-utils}"
done
for program in yolodist yolodist-worker; do
  [[ -x $build/bin/$program ]] || fail "$build/bin/$program is not built" "Build both programs first: cmake --build $build"
done
test_programs=(tests/gpu_parity_test tests/nccl_rank tests/nccl_rank_double bin/memory_bench)
for program in "${test_programs[@]}"; do
  [[ $with_tests == no || -x $build/$program ]] || fail "$build/$program is not built" "Build all first: cmake --build $build"
done
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

torch=$(dirname "$(cached LIBTORCH_INCLUDE_DIR)")
[[ $(basename "$torch") == torch ]] && torch=$(dirname "$torch")
libtorch=$(realpath "$torch")
version=$("$build/bin/yolodist" --version | awk 'NR == 1 {print $2}')
name=yolodist-$version-$(uname -m)
[[ $with_mpi == no ]] || name+=-mpi
[[ $with_tests == no ]] || name+=-tests
mkdir -p "$output"
work=$(mktemp -d "$output/.bundle.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/$name
libraries=$root/lib/yolodist

cmake --install "$build" --prefix "$root" --strip >"$work/install.log" || fail "cmake --install failed" "$(tail -n 5 "$work/install.log")"
mkdir -p "$libraries"

# What a node has by itself. libstdc++ and libgcc_s belong to it where they are the system's: a node whose C library is
# new enough has them as new, and newer ones must not be hidden from what else is loaded (the driver, NCCL's plugins).
is_of_the_node() {
  case $1 in
    linux-vdso.so.* | ld-linux*.so.* | libc.so.* | libm.so.* | libmvec.so.* | libpthread.so.* | libdl.so.* | librt.so.* | \
      libutil.so.* | libresolv.so.* | libanl.so.* | libnsl.so.1 | libcuda.so.* | libnvidia-*) return 0 ;;
    libstdc++.so.* | libgcc_s.so.*) [[ ${where[$1]:-/usr/lib} =~ ^/(usr/)?lib ]] ;;
    *) return 1 ;;
  esac
}
is_mpi() { [[ $1 =~ ^lib(mpi|mpich)([_a-z]*)\.so ]]; }

# Where this machine finds each library that something needs, by name; "not" = "not found".
declare -A where=() taken=()
look_up() {
  local name path
  while read -r name path; do
    where[$name]=${where[$name]:-$path}
  done < <(ldd "$@" 2>/dev/null | awk '$2 == "=>" {print $1, $3} $2 != "=>" && $1 ~ /^\// && NF == 2 {n = split($1, p, "/"); print p[n], $1}')
}

# Copies what a program or library needs, and what that needs in turn.
take_needs() {
  local needed
  for needed in $(patchelf --print-needed "$1"); do
    if [[ -n ${taken[$needed]:-} ]] || is_of_the_node "$needed" || { [[ $with_mpi == no ]] && is_mpi "$needed"; }; then
      continue
    fi
    local path=${where[$needed]:-not}
    [[ $path != not ]] || fail "$needed, which $(basename "$1") needs, is not found on this machine" \
      "ldd $build/bin/yolodist and yolodist-worker show what else is; is LD_LIBRARY_PATH not set, or a module not loaded?"
    [[ $(realpath "$path") != "$libtorch"/* ]] || continue
    taken[$needed]=$path
    cp -L "$path" "$libraries/$needed"
    chmod 755 "$libraries/$needed"
    take_needs "$path"
  done
}

programs=("$root/bin/yolodist" "$root/bin/yolodist-worker")
look_up "${programs[@]}"
take_needs "${programs[0]}"
take_needs "${programs[1]}"

# Open MPI as it was installed, below a prefix of its own. Left out are transports of fabrics (they need libraries that
# belong to a site), and OpenSHMEM.
plugins=
add_open_mpi() {
  local ompi_info prefix
  ompi_info=$(dirname "$(realpath -s "$(cached MPIEXEC_EXECUTABLE)")")/ompi_info
  [[ -x $ompi_info ]] || fail "--with-mpi packs Open MPI, and $build is built with another MPI (no $ompi_info)"
  "$ompi_info" --version | grep -q 'v4\.' || fail "--with-mpi packs Open MPI 4, and $ompi_info is another version"
  path_of() { "$ompi_info" --parsable --path "$1" | sed -n "s/^path:$1://p" | head -n 1; }
  prefix=$(path_of prefix)
  local mpi=$libraries/openmpi
  below() { echo "$mpi${1#"$prefix"}"; }
  local bin pkglib data
  bin=$(path_of bindir) pkglib=$(path_of pkglibdir) data=$(path_of pkgdatadir)
  mkdir -p "$(below "$bin")" "$(below "$pkglib")" "$(below "$data")" "$mpi/etc"
  cp -L "$bin/orterun" "$bin/orted" "$(below "$bin")"
  cp -L "$data"/*.txt "$(below "$data")"
  # Ranks of one host: nothing is started by ssh, which may not be there.
  echo "plm = ^rsh" >"$mpi/etc/openmpi-mca-params.conf"
  local plugin
  for plugin in "$pkglib"/mca_*.so; do
    case $(basename "$plugin") in
      *ofi* | *psm* | *ucx* | *openib* | *verbs* | *monitoring* | mca_memheap_* | mca_scoll_* | mca_spml_* | \
        mca_sshmem_* | mca_atomic_*) ;;
      *) cp -L "$plugin" "$(below "$pkglib")" ;;
    esac
  done
  plugins=$(below "$pkglib")
  look_up "$plugins"/*.so "$(below "$bin")/orterun" "$(below "$bin")/orted"
  for plugin in "$plugins"/*.so "$(below "$bin")/orterun" "$(below "$bin")/orted"; do
    take_needs "$plugin"
  done
  patchelf --set-rpath "\$ORIGIN/$(realpath --relative-to="$plugins" "$libraries")" "$plugins"/*.so
  patchelf --set-rpath "\$ORIGIN/$(realpath --relative-to="$(below "$bin")" "$libraries")" "$(below "$bin")"/*

  # Open MPI finds itself by variables, which must be there before a program starts.
  mkdir -p "$root/libexec"
  mv "${programs[@]}" "$root/libexec"
  programs=("$root/libexec/yolodist" "$root/libexec/yolodist-worker")
  local word
  for word in "yolodist libexec/yolodist" "mpirun lib/yolodist/openmpi${bin#"$prefix"}/orterun"; do
    cat >"$root/bin/${word% *}" <<TEXT
#!/bin/sh
# Starts a program of this folder with the Open MPI of this folder.
here=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
export OPAL_PREFIX="\$here/lib/yolodist/openmpi" OPAL_SYSCONFDIR="\$here/lib/yolodist/openmpi/etc" PATH="\$here/bin:\$PATH"
exec "\$here/${word#* }" "\$@"
TEXT
    chmod 755 "$root/bin/${word% *}"
  done
}
[[ $with_mpi == no ]] || add_open_mpi

# Where they lie in the source tree, but for the programs, which find the libraries as the worker does.
add_tests() {
  local program
  mkdir -p "$root/libexec" "$root/tools" "$root/tests/gpu" "$root/tests/support"
  for program in "${test_programs[@]}"; do
    look_up "$build/$program"
    cp "$build/$program" "$root/libexec"
    strip "$root/libexec/$(basename "$program")"
    take_needs "$build/$program"
    programs+=("$root/libexec/$(basename "$program")")
  done
  cp tools/check_gpu.sh tools/gpu_report.py tools/bench_train.py tools/bench_memory.py tools/nvml.py "$root/tools"
  cp tests/gpu/*.py "$root/tests/gpu"
  cp tests/support/product.py "$root/tests/support"
}
[[ $with_tests == no ]] || add_tests

patchelf --set-rpath "\$ORIGIN" "$libraries"/*.so*
# The worker keeps what is relative; this machine's folders mean nothing elsewhere. The launcher keeps MPI's: a site's MPI
# has the same path on all nodes, and LD_LIBRARY_PATH goes first.
kept=$(patchelf --print-rpath "${programs[1]}" | tr : '\n' | grep -F 'ORIGIN/' | paste -sd:)
for program in "${programs[@]:1}"; do
  patchelf --set-rpath "$kept" "$program"
done
[[ $with_mpi == no ]] || patchelf --set-rpath "\$ORIGIN/../lib/yolodist" "${programs[0]}"

# Whatever is packed must find all it needs in the bundle, in LibTorch, or on any node.
missing=()
while read -r file; do
  for needed in $(patchelf --print-needed "$file"); do
    if [[ -e $libraries/$needed ]] || is_of_the_node "$needed" || { [[ $with_mpi == no ]] && is_mpi "$needed"; }; then
      continue
    fi
    # Of the worker and tests alone: LibTorch's libraries know where their own are.
    if [[ " ${programs[*]:1} " == *" $file "* && $(realpath "${where[$needed]:-/}") == "$libtorch"/* ]]; then
      continue
    fi
    missing+=("$needed, needed by ${file#"$root"/}")
  done
done < <(printf '%s\n' "${programs[@]}" "$libraries"/*.so*; [[ -z $plugins ]] || find "$libraries/openmpi" -type f -name '*.so')
((${#missing[@]} == 0)) || fail "the bundle would lack:" "${missing[@]}"

count=$(find "$libraries" -name '*.so*' | wc -l)
unpacked=$(du -sm "$root" | cut -f1)
needs="nodes need LibTorch $("$build/bin/yolodist" --version | awk '$1 == "LibTorch" {print $2}'), $(getconf GNU_LIBC_VERSION) or newer with its libstdc++"
[[ $with_mpi == yes ]] || needs+=", and $("$build/bin/yolodist" --version | sed -n 's/^ *MPI *//p')"
if [[ $only_folder == yes ]]; then
  rm -rf "${output:?}/$name"
  mv "$root" "$output/$name"
  say "$output/$name: $count libraries, $unpacked MiB; $needs"
  exit 0
fi
archive=$output/$name.tar.xz
tar --sort=name --owner=0 --group=0 --numeric-owner -C "$work" -c "$name" | xz -T0 -6 >"$work/archive"
mv "$work/archive" "$archive"
bytes=$(stat -c %s "$archive")
say "$archive: $count libraries, $((bytes / 1048576)).$((bytes % 1048576 * 10 / 1048576)) MiB ($unpacked MiB unpacked); $needs"
