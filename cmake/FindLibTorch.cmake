# LibTorch as imported targets, without find_package(Torch), which wants nvcc and guesses GPU architectures.
#   LibTorch::torch   headers and libraries of torch (SYSTEM includes: its headers do not pass our warnings)
#   LibTorch::cuda    headers and libraries of the CUDA runtime and NCCL
# Looks in YOLODIST_LIBTORCH_ROOT (cache or environment), then in .deps/libtorch of the source tree.
# A root is a site-packages folder (torch/, nvidia/), or the unpacked C++ zip (include/, lib/), for which
# NCCL's header must be on the system.
include(FindPackageHandleStandardArgs)

set(_root "${YOLODIST_LIBTORCH_ROOT}")
if(NOT _root AND DEFINED ENV{YOLODIST_LIBTORCH_ROOT})
  set(_root "$ENV{YOLODIST_LIBTORCH_ROOT}")
endif()
if(NOT _root)
  set(_root "${CMAKE_SOURCE_DIR}/.deps/libtorch")
endif()
if(NOT EXISTS "${_root}")
  message(FATAL_ERROR "LibTorch: ${_root} does not exist. Run tools/setup.sh, or point YOLODIST_LIBTORCH_ROOT at a "
                      "site-packages folder with torch 2.11, or at the unpacked LibTorch zip.")
endif()

if(EXISTS "${_root}/torch/include/ATen")
  set(_torch "${_root}/torch")
elseif(EXISTS "${_root}/include/ATen")
  set(_torch "${_root}")
else()
  message(FATAL_ERROR "LibTorch: no include/ATen and no torch/include/ATen under ${_root}. "
                      "Run tools/setup.sh again, or correct YOLODIST_LIBTORCH_ROOT.")
endif()

# What was found under another root must not be mixed with this one.
if(DEFINED LIBTORCH_FOUND_UNDER AND NOT LIBTORCH_FOUND_UNDER STREQUAL _root)
  get_cmake_property(_cached CACHE_VARIABLES)
  foreach(_variable ${_cached})
    if(_variable MATCHES "^LIBTORCH_")
      unset(${_variable} CACHE)
    endif()
  endforeach()
endif()
set(LIBTORCH_FOUND_UNDER "${_root}" CACHE INTERNAL "the root of what LIBTORCH_… holds")

file(GLOB _cuda_include "${_root}/nvidia/cu[0-9]*/include" "${_root}/nvidia/cuda_*/include")
# cuSPARSELt of CUDA 12 is packed outside of nvidia/.
file(GLOB _nvidia_libs "${_root}/nvidia/*/lib" "${_root}/cusparselt/lib")

find_path(LIBTORCH_INCLUDE_DIR ATen/core/Tensor.h HINTS "${_torch}/include" NO_DEFAULT_PATH)
find_path(LIBTORCH_NCCL_INCLUDE_DIR nccl.h HINTS "${_root}/nvidia/nccl/include" "${_torch}/include"
          /usr/local/cuda/include)
find_path(LIBTORCH_CUDART_INCLUDE_DIR cuda_runtime_api.h HINTS ${_cuda_include} /usr/local/cuda/include)
# cuda_runtime_api.h and nccl.h need these, which NVIDIA packs apart: below cu13, or in cuda_nvcc and cuda_cccl.
find_path(LIBTORCH_CUDA_CRT_INCLUDE_DIR crt/host_defines.h HINTS ${_cuda_include} /usr/local/cuda/include)
find_path(LIBTORCH_CCCL_INCLUDE_DIR nv/target HINTS ${_cuda_include} /usr/local/cuda/include PATH_SUFFIXES cccl)
foreach(_lib torch torch_cpu torch_cuda c10 c10_cuda)
  find_library(LIBTORCH_${_lib}_LIBRARY ${_lib} HINTS "${_torch}/lib" NO_DEFAULT_PATH)
endforeach()
# Wheels carry only the versioned names; no soname is written down here, so that other CUDA lines can be used.
file(GLOB _nccl_candidates "${_root}/nvidia/nccl/lib/libnccl.so.*" "${_torch}/lib/libnccl.so*")
file(GLOB _cudart_candidates LIST_DIRECTORIES false "${_root}/nvidia/cu*/lib/libcudart.so.*" "${_torch}/lib/libcudart*.so*")
list(GET _nccl_candidates 0 _nccl_candidate)
list(GET _cudart_candidates 0 _cudart_candidate)
set(LIBTORCH_NCCL_LIBRARY "${_nccl_candidate}" CACHE FILEPATH "NCCL library")
set(LIBTORCH_CUDART_LIBRARY "${_cudart_candidate}" CACHE FILEPATH "CUDA runtime library")

# The version's header has moved between releases.
foreach(_header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(EXISTS "${_torch}/include/${_header}")
    file(STRINGS "${_torch}/include/${_header}" _version_lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]")
    if(_version_lines)
      string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" LibTorch_VERSION "${_version_lines}")
      break()
    endif()
  endif()
endforeach()

# For which cards it has code: the text of torch.cuda.get_arch_list(), which only the Python library holds. The
# unpacked zip does not say.
set(LibTorch_CUDA_TARGETS "")
if(EXISTS "${_torch}/lib/libtorch_python.so")
  file(STRINGS "${_torch}/lib/libtorch_python.so" LibTorch_CUDA_TARGETS LIMIT_COUNT 1
       REGEX "^sm_[0-9]+[af]?( (sm|compute)_[0-9]+[af]?)*$")
endif()

find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LIBTORCH_INCLUDE_DIR LIBTORCH_torch_LIBRARY LIBTORCH_torch_cpu_LIBRARY LIBTORCH_torch_cuda_LIBRARY
                LIBTORCH_c10_LIBRARY LIBTORCH_c10_cuda_LIBRARY LIBTORCH_NCCL_INCLUDE_DIR LIBTORCH_NCCL_LIBRARY
                LIBTORCH_CUDART_INCLUDE_DIR LIBTORCH_CUDART_LIBRARY LIBTORCH_CUDA_CRT_INCLUDE_DIR
                LIBTORCH_CCCL_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "Run tools/setup.sh, or point YOLODIST_LIBTORCH_ROOT at a complete LibTorch with CUDA.")

if(LibTorch_FOUND AND NOT TARGET LibTorch::torch)
  add_library(LibTorch::torch INTERFACE IMPORTED)
  target_include_directories(LibTorch::torch SYSTEM INTERFACE ${LIBTORCH_INCLUDE_DIR})
  set(_rpath_link "")
  foreach(_dir ${_nvidia_libs} "${_torch}/lib")
    list(APPEND _rpath_link "LINKER:-rpath-link,${_dir}")
  endforeach()
  target_link_libraries(LibTorch::torch INTERFACE ${LIBTORCH_torch_cpu_LIBRARY} ${LIBTORCH_c10_LIBRARY})
  target_link_options(LibTorch::torch INTERFACE ${_rpath_link})
  target_compile_definitions(LibTorch::torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)

  add_library(LibTorch::cuda INTERFACE IMPORTED)
  target_include_directories(LibTorch::cuda SYSTEM INTERFACE ${LIBTORCH_CUDART_INCLUDE_DIR} ${LIBTORCH_NCCL_INCLUDE_DIR}
                             ${LIBTORCH_CUDA_CRT_INCLUDE_DIR} ${LIBTORCH_CCCL_INCLUDE_DIR})
  target_link_libraries(LibTorch::cuda INTERFACE ${LIBTORCH_NCCL_LIBRARY} ${LIBTORCH_CUDART_LIBRARY})

  # The CUDA kernels register themselves when libtorch_cuda is loaded, so the final program must keep it.
  add_library(LibTorch::torch_cuda INTERFACE IMPORTED)
  target_link_libraries(LibTorch::torch_cuda INTERFACE LibTorch::torch LibTorch::cuda
    "-Wl,--push-state,--no-as-needed" ${LIBTORCH_torch_LIBRARY} ${LIBTORCH_torch_cuda_LIBRARY} ${LIBTORCH_c10_cuda_LIBRARY} "-Wl,--pop-state")
  set(LIBTORCH_RPATH "${_torch}/lib" ${_nvidia_libs})
  # An installed worker looks beside itself first: for lib/yolodist/libtorch, a link to a site-packages folder or to the
  # unpacked zip, and for libraries that tools/bundle.sh put there. Last where LibTorch was at build time.
  set(_beside "$ORIGIN/../lib/yolodist")
  set(LIBTORCH_INSTALL_RPATH "${_beside}" "${_beside}/libtorch/torch/lib" "${_beside}/libtorch/lib")
  foreach(_dir ${_nvidia_libs})
    file(RELATIVE_PATH _below "${_root}" "${_dir}")
    list(APPEND LIBTORCH_INSTALL_RPATH "${_beside}/libtorch/${_below}")
  endforeach()
  list(APPEND LIBTORCH_INSTALL_RPATH ${LIBTORCH_RPATH})
endif()
