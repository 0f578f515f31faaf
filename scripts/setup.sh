# setup.sh - what scripts/demo, scripts/test and .ci/run share: packages, build, drivers for the tests. To be sourced by bash
# in the root of the tree.
# shellcheck shell=bash disable=SC2034

# One package a word; a|b is satisfied by either, the first is installed.
BUILD_PACKAGES="gcc|clang libc6-dev cmake ninja-build pkgconf|pkg-config glslang-tools libvulkan-dev libvulkan-volk-dev \
libvulkan1 mesa-vulkan-drivers libpcre2-dev libcjson-dev libcurl4-openssl-dev|libcurl4-gnutls-dev|libcurl4-nss-dev libedit-dev"
TEST_PACKAGES="vulkan-validationlayers python3"
FEDORA_PACKAGES="gcc cmake ninja-build pkgconf-pkg-config glslang vulkan-headers vulkan-loader mesa-vulkan-drivers pcre2-devel cjson-devel libcurl-devel libedit-devel"
ARCH_PACKAGES="gcc cmake ninja pkgconf glslang vulkan-headers vulkan-icd-loader vulkan-swrast pcre2 cjson curl libedit"

say() { echo "$(basename "$0"): $*" >&2; }
die() { say "$*"; exit 1; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_packages() { # packages...: those to install, one a line
  local choice package
  for choice in "$@"; do
    for package in ${choice//|/ }; do installed "$package" && continue 2; done
    echo "${choice%%|*}"
  done
}

as_root() { # command...
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() { # packages... that are missing; asks on a terminal unless YES is set
  local known=() package answer
  say "packages to install with apt: $*"
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    die "this needs root, and there is no sudo. As root: apt-get update && apt-get install $*"
  fi
  if [ -t 0 ] && [ -t 2 ] && [ -z "${YES:-}" ]; then
    read -r -p "Install them now? [Y/n] " answer
    case $answer in [nN]*) die "nothing installed. Later: apt-get install $*" ;; esac
  fi
  as_root apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 update </dev/null || say "apt-get update failed; going on with the lists there are"
  for package in "$@"; do
    if [ -n "$(apt-cache show "$package" 2>/dev/null)" ]; then known+=("$package"); else say "no package $package in this release: CMake will look for another way"; fi
  done
  [ ${#known[@]} -gt 0 ] || return 0
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    install --no-install-recommends "${known[@]}" </dev/null >&2 || die "apt-get could not install: ${known[*]}"
}

have_tools() { # on systems without apt: is what a build cannot do without there?
  local tool missing=()
  command -v cc >/dev/null || missing+=("a C compiler (cc)")
  for tool in cmake ninja; do command -v $tool >/dev/null || missing+=("$tool"); done
  [ ${#missing[@]} -eq 0 ] && return
  printf 'missing: %s\n' "${missing[@]}" >&2
  return 1
}

setup() { # packages...: installs what is missing; silent when nothing is
  local missing version
  if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
  else
    say "not Debian or Ubuntu; these packages are needed:"
    printf '  Fedora: sudo dnf install %s\n  Arch:   sudo pacman -S --needed %s\n' "$FEDORA_PACKAGES" "$ARCH_PACKAGES" >&2
  fi
  have_tools || die "install these first"
  version=$(cmake --version | awk 'NR == 1 {print $3}')
  printf '3.25\n%s\n' "$version" | sort -V -C || die "CMake $version is too old: 3.25 or newer is needed"
}

build() { # preset: quiet unless it fails
  local log=build/$1.log
  mkdir -p build
  say "building (preset $1)"
  if ! { cmake --preset "$1" && cmake --build --preset "$1"; } >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    die "the build failed, all of it in $log"
  fi
}

# The drivers the tests see: every one of the system where there is a GPU, else lavapipe alone (the others' drivers would
# only cost time); and SwiftShader, where scripts/lab has fetched it. A choice made by the caller stands.
offer_drivers() {
  local files=() file node
  [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || return 0
  local pattern=lvp_icd
  for node in /dev/dri/renderD* /dev/nvidia0; do [ ! -e "$node" ] || pattern=; done
  for file in /usr/share/vulkan/icd.d/"$pattern"*.json /usr/local/share/vulkan/icd.d/"$pattern"*.json /etc/vulkan/icd.d/"$pattern"*.json \
    "${GABBRO_LAB:-/var/tmp/gabbro-lab}/swiftshader/vk_swiftshader_icd.json"; do
    [ ! -e "$file" ] || files+=("$file")
  done
  [ ${#files[@]} -gt 0 ] || die "no Vulkan driver found (Debian: apt-get install mesa-vulkan-drivers)"
  VK_DRIVER_FILES=$(IFS=:; echo "${files[*]}")
  export VK_DRIVER_FILES VK_ICD_FILENAMES=$VK_DRIVER_FILES # the second for loaders before 1.3.207
  # Tests that take the default device get the faster of the two.
  if [ -n "$pattern" ]; then export GABBRO_DEVICE=${GABBRO_DEVICE:-llvmpipe}; fi
}

# Turns the Khronos validation layer on in every test, with hazards across command buffers and submits: newer layers look for
# them anyway, Debian 12's must be told. Without the layer the tests run all the same.
validate() { # 1, or gpu for GPU-assisted validation
  local manifest=/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json
  local submits=VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT
  [ -e $manifest ] || { say "no validation layer (vulkan-validationlayers): the tests run without it"; return 0; }
  export GABBRO_VALIDATE=${GABBRO_VALIDATE:-$1}
  # The code that the layer adds for accesses at addresses loads at address 0 on lavapipe, which goes through loops with no
  # invocation active; kernels read at addresses on such drivers alone.
  [ "$GABBRO_VALIDATE" != gpu ] || export VK_KHRONOS_VALIDATION_GPUAV_BUFFER_ADDRESS_OOB=false
  if grep -q $submits $manifest; then export VK_LAYER_ENABLES=$submits; fi
}

# build folder, ctest arguments...: ctest in parallel, then "N passed, N failed, N skipped" as the last line.
run_ctest() {
  local folder=$1 junit status=0 total failed skipped; shift
  junit=$PWD/$folder/ctest.xml
  # One cache of lavapipe's machine code for all cases, each with a Gabbro cache of its own, and for all builds
  export MESA_SHADER_CACHE_DIR=${MESA_SHADER_CACHE_DIR:-$PWD/build/mesa_cache}
  rm -f "$junit"
  if [ -e "$folder/tests/libkeep_loaded.so" ]; then
    local -x LD_PRELOAD=$PWD/$folder/tests/libkeep_loaded.so ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
  fi
  ctest --test-dir "$folder" --parallel "$(nproc)" --output-on-failure --output-junit "$junit" "$@" </dev/null || status=$?
  count() { sed -n "s/^.*[[:space:]]$1=\"\([0-9]*\)\".*$/\1/p" <(sed '/<testcase/,$d' "$junit" | tr '\n' ' '); }
  [ -e "$junit" ] || { say "ctest has written no results"; return 1; }
  total=$(count tests) failed=$(count failures) skipped=$(($(count skipped) + $(count disabled)))
  [ "$total" -gt 0 ] || { say "there are no tests"; status=1; }
  echo "$((total - failed - skipped)) passed, $failed failed, $skipped skipped"
  return $status
}
