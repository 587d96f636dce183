include(GoogleTest)

# Limits and surroundings that every test shares: OpenMP waits passively (two cores are shared by everything),
# and MPI may run as root, oversubscribed, on the loopback interface only.
set(YOLODIST_TEST_ENVIRONMENT
    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_btl_vader_single_copy_mechanism=none)

# yolodist_add_test(name LABEL unit SOURCES x_test.cpp LINK yolodist::room [TIMEOUT 60])
# One program of GoogleTest cases, each its own ctest test, so that a skip is counted by itself.
function(yolodist_add_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main yolodist_warnings)
  target_compile_definitions(${name} PRIVATE YOLODIST_SOURCE_DIR="${CMAKE_SOURCE_DIR}" YOLODIST_BINARY_DIR="${CMAKE_BINARY_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests BUILD_RPATH "${LIBTORCH_RPATH}")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${YOLODIST_TEST_ENVIRONMENT}")
endfunction()

# yolodist_add_mpi_test(name RANKS 1 2 3 4 SOURCES x_test.cpp LINK ...)
# The program has its own main (tests/support/mpi_main.cpp) that returns 77 when every case was skipped.
function(yolodist_add_mpi_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;RANKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/support/mpi_main.cpp)
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest MPI::MPI_C yolodist_warnings)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  foreach(ranks ${ARG_RANKS})
    add_test(NAME ${name}.ranks${ranks}
             COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} --bind-to none $<TARGET_FILE:${name}>)
    set_tests_properties(${name}.ranks${ranks} PROPERTIES LABELS mpi TIMEOUT ${ARG_TIMEOUT} SKIP_RETURN_CODE 77
                         PROCESSORS 2 ENVIRONMENT "${YOLODIST_TEST_ENVIRONMENT}")
  endforeach()
endfunction()

# yolodist_add_script_test(name LABEL mpi COMMAND bash x.sh [TIMEOUT 120])
# A test of the built programs as a user runs them; exit 77 means skipped.
function(yolodist_add_script_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "COMMAND" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_test(NAME ${name} COMMAND ${ARG_COMMAND})
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT} SKIP_RETURN_CODE 77 PROCESSORS 2
    ENVIRONMENT "${YOLODIST_TEST_ENVIRONMENT};YOLODIST_BIN=${CMAKE_BINARY_DIR}/bin;YOLODIST_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
endfunction()
