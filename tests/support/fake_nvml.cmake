# A stand-in for the driver's library, in a folder of its own for LD_LIBRARY_PATH.
include_guard(GLOBAL)
add_library(fake_nvml SHARED ${CMAKE_SOURCE_DIR}/tests/support/fake_nvml.cpp)
set_target_properties(fake_nvml PROPERTIES OUTPUT_NAME nvidia-ml SOVERSION 1
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/fake_driver)
