#!/bin/bash
# operator new in a C++ library that a C program loads with RTLD_LOCAL: the C++
# runtime is not where the dynamic linker looks first.
set -euo pipefail
export AO_MALLOC_ENABLE_MMAP=1
if readelf -d test/plugin_host | grep NEEDED | grep -F 'libstdc++'; then exit 1; fi
test/plugin_host "$PWD/test/throwing_plugin.so"
LD_PRELOAD=$PWD/preload/libaomalloc.so test/plugin_host "$PWD/test/throwing_plugin.so"
