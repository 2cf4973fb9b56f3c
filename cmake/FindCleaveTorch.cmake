# Finds libtorch as an imported target, CleaveTorch::torch.
#
# Distributions and PyTorch's wheels ship TorchConfig.cmake files that ask for packages (CUDA,
# protobuf, Kineto, ...) which a program that merely links libtorch does not need, and that force
# compiler flags. This module looks for the headers and the three libraries and nothing else. For a
# libtorch outside the system folders give its root (the folder with include/ and lib/) in
# CMAKE_PREFIX_PATH or Torch_ROOT.
find_path(CleaveTorch_INCLUDE_DIR torch/script.h HINTS ${Torch_ROOT} $ENV{Torch_ROOT}
          PATH_SUFFIXES include)
foreach(_cleave_library torch torch_cpu c10)
  find_library(CleaveTorch_${_cleave_library}_LIBRARY ${_cleave_library}
               HINTS ${Torch_ROOT} $ENV{Torch_ROOT} PATH_SUFFIXES lib)
endforeach()

# torch/version.h lies in the C++ frontend's folder.
set(CleaveTorch_VERSION "")
if(CleaveTorch_INCLUDE_DIR)
  set(_cleave_version_file
      "${CleaveTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
  if(EXISTS "${_cleave_version_file}")
    file(STRINGS "${_cleave_version_file}" _cleave_version_lines
         REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
    string(REGEX REPLACE "[^0-9;]" "" CleaveTorch_VERSION "${_cleave_version_lines}")
    list(JOIN CleaveTorch_VERSION "." CleaveTorch_VERSION)
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  CleaveTorch
  REQUIRED_VARS CleaveTorch_torch_LIBRARY CleaveTorch_torch_cpu_LIBRARY CleaveTorch_c10_LIBRARY
                CleaveTorch_INCLUDE_DIR
  VERSION_VAR CleaveTorch_VERSION
  REASON_FAILURE_MESSAGE
    "libtorch was not found: on Debian, apt install libtorch-dev, or configure with -DCLEAVE_TORCH=OFF")

if(CleaveTorch_FOUND AND NOT TARGET CleaveTorch::torch)
  add_library(CleaveTorch::torch INTERFACE IMPORTED GLOBAL)
  # SYSTEM (the default for imported targets): libtorch's headers are not ours to mend.
  set_target_properties(
    CleaveTorch::torch
    PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES
      "${CleaveTorch_INCLUDE_DIR};${CleaveTorch_INCLUDE_DIR}/torch/csrc/api/include"
      INTERFACE_LINK_LIBRARIES
      "${CleaveTorch_torch_LIBRARY};${CleaveTorch_torch_cpu_LIBRARY};${CleaveTorch_c10_LIBRARY}")
endif()
mark_as_advanced(CleaveTorch_INCLUDE_DIR CleaveTorch_torch_LIBRARY CleaveTorch_torch_cpu_LIBRARY
                 CleaveTorch_c10_LIBRARY)
