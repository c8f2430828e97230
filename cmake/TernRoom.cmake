# A room is one static library tern_<name> under src/<name>. What it may include is stated once, in
# tools/check_layers; DEPENDS here is what it links.
include_guard(GLOBAL)

function(tern_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_library(tern_${name} STATIC ${ARG_SOURCES})
  target_include_directories(tern_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(tern_${name} PUBLIC tern_flags)
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(tern_${name} PUBLIC tern_${dependency})
  endforeach()
  target_link_libraries(tern_${name} PRIVATE ${ARG_LINK})
endfunction()

# tern_test(<room> SOURCES a_test.cpp ... [LIBRARIES target ...] [LABELS label ...])
# One executable <room>_test; each TEST() is one ctest test.
function(tern_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES;LABELS;DEFINITIONS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name}_test ${ARG_SOURCES})
  target_precompile_headers(${name}_test REUSE_FROM tern_test_headers)
  target_compile_options(${name}_test PRIVATE ${TERN_QUICK_COMPILE})
  target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name}_test PRIVATE ${ARG_LIBRARIES} GTest::gtest_main GTest::gmock)
  target_compile_definitions(
    ${name}_test PRIVATE TERN_SOURCE_DIR="${PROJECT_SOURCE_DIR}" ${ARG_DEFINITIONS})
  gtest_discover_tests(
    ${name}_test TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600)
endfunction()
