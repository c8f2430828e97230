# Cross-build for 64-bit Arm with Debian's g++-aarch64-linux-gnu, against the arm64 libraries that
# scripts/sysroot-aarch64 unpacks. Tests run under qemu-user as the CPU of TERN_QEMU_CPU: cortex-a72
# (no dot product), neoverse-n1 (dot product), max (i8mm).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(CMAKE_SYSROOT "${CMAKE_CURRENT_LIST_DIR}/../build/sysroot-aarch64")
if(NOT EXISTS "${CMAKE_SYSROOT}")
  message(FATAL_ERROR "the arm64 libraries are missing: run scripts/sysroot-aarch64 first")
endif()

set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

set(TERN_QEMU_CPU cortex-a72 CACHE STRING "The CPU that qemu-user shows to the tests")
set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-aarch64-static -cpu "${TERN_QEMU_CPU}" -L "${CMAKE_SYSROOT}")
