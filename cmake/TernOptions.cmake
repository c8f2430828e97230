# Options and the compile flags that every target shares.
include_guard(GLOBAL)

option(TERN_BUILD_TESTS "Build the tests" ON)
option(TERN_BUILD_FUZZERS "Build the libFuzzer targets (clang only)" OFF)
option(TERN_ONLY_KERNELS "Build the rooms core to kernels and their tests alone (partial ports)" OFF)
option(TERN_WERROR "Treat warnings as errors" OFF)
set(TERN_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, for example address,undefined")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Without this it would not keep what is compiled with precompiled headers.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# For sources without an inner loop that matters: tests.
set(TERN_QUICK_COMPILE $<$<CONFIG:Release>:-O1>)

# One definition of the numbers (docs/numbers.md): no contraction, no fast-math, no link-time
# optimisation across tiers. These flags are part of the contract, not a tuning choice.
add_library(tern_flags INTERFACE)
target_compile_options(
  tern_flags INTERFACE -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-fast-math -Wall
                       -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
                       -Wold-style-cast)
if(TERN_WERROR)
  target_compile_options(tern_flags INTERFACE -Werror)
endif()
if(TERN_SANITIZE)
  target_compile_options(tern_flags INTERFACE -fsanitize=${TERN_SANITIZE}
                                              -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(tern_flags INTERFACE -fsanitize=${TERN_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Of `undefined`: clang 14 cannot check the types of functions called where there are
    # coroutines ("Cannot represent a difference across sections"). GCC has no such check.
    target_compile_options(tern_flags INTERFACE -fno-sanitize=function)
  endif()
endif()
