# Finds libtorch as an imported target, CleaveTorch::torch.
#
# Distributions and PyTorch's wheels ship TorchConfig.cmake files that ask for packages (CUDA,
# protobuf, Kineto, ...) which a program that merely links libtorch does not need, and that force
# compiler flags. This module looks for the headers and the three libraries and nothing else. For a
# libtorch outside the system folders give its root (the folder with include/ and lib/) in
# CMAKE_PREFIX_PATH or Torch_ROOT; PyTorch's wheel has it in site-packages/torch.
#
# A libtorch with CUDA keeps it in libraries of its own (torch_cuda, c10_cuda), which announce
# themselves when they are loaded. Nothing refers to them, so they are linked with --no-as-needed.
find_path(CleaveTorch_INCLUDE_DIR torch/script.h HINTS ${Torch_ROOT} $ENV{Torch_ROOT}
          PATH_SUFFIXES include)
foreach(_cleave_library torch torch_cpu c10)
  find_library(CleaveTorch_${_cleave_library}_LIBRARY ${_cleave_library}
               HINTS ${Torch_ROOT} $ENV{Torch_ROOT} PATH_SUFFIXES lib)
endforeach()

# Beside the others, or not at all: one of another libtorch would not fit.
get_filename_component(_cleave_torch_dir "${CleaveTorch_torch_cpu_LIBRARY}" DIRECTORY)
foreach(_cleave_library torch_cuda c10_cuda)
  find_library(CleaveTorch_${_cleave_library}_LIBRARY ${_cleave_library}
               PATHS "${_cleave_torch_dir}" NO_DEFAULT_PATH)
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
  set(_cleave_torch_libraries "${CleaveTorch_torch_LIBRARY};${CleaveTorch_torch_cpu_LIBRARY}")
  if(CleaveTorch_torch_cuda_LIBRARY AND CleaveTorch_c10_cuda_LIBRARY)
    # One item each, or CMake would sort the flags from the libraries.
    list(APPEND _cleave_torch_libraries
         "-Wl,--push-state,--no-as-needed,${CleaveTorch_torch_cuda_LIBRARY},${CleaveTorch_c10_cuda_LIBRARY},--pop-state")
  endif()
  list(APPEND _cleave_torch_libraries "${CleaveTorch_c10_LIBRARY}")
  add_library(CleaveTorch::torch INTERFACE IMPORTED GLOBAL)
  # SYSTEM (the default for imported targets): libtorch's headers are not ours to mend.
  set_target_properties(
    CleaveTorch::torch
    PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES
      "${CleaveTorch_INCLUDE_DIR};${CleaveTorch_INCLUDE_DIR}/torch/csrc/api/include"
      INTERFACE_LINK_LIBRARIES
      "${_cleave_torch_libraries}")
endif()
mark_as_advanced(CleaveTorch_INCLUDE_DIR CleaveTorch_torch_LIBRARY CleaveTorch_torch_cpu_LIBRARY
                 CleaveTorch_c10_LIBRARY CleaveTorch_torch_cuda_LIBRARY
                 CleaveTorch_c10_cuda_LIBRARY)
