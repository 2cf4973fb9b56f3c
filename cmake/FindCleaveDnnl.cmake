# Finds oneDNN as an imported target, CleaveDnnl::dnnl.
#
# Distributions build oneDNN for GPUs too, and its package file then asks for OpenCL's development
# files, which a program that runs on processors does not need. This module looks for the header and
# the library and nothing else.
find_path(CleaveDnnl_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
find_library(CleaveDnnl_LIBRARY dnnl)

set(CleaveDnnl_VERSION "")
if(CleaveDnnl_INCLUDE_DIR)
  # Version 3.6 moved the numbers.
  foreach(_cleave_file dnnl_version.h dnnl_version_hash.h)
    set(_cleave_file "${CleaveDnnl_INCLUDE_DIR}/oneapi/dnnl/${_cleave_file}")
    if(EXISTS "${_cleave_file}")
      file(STRINGS "${_cleave_file}" _cleave_lines REGEX "#define DNNL_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
      if(_cleave_lines AND NOT CleaveDnnl_VERSION)
        string(REGEX REPLACE "[^0-9;]" "" CleaveDnnl_VERSION "${_cleave_lines}")
        list(JOIN CleaveDnnl_VERSION "." CleaveDnnl_VERSION)
      endif()
    endif()
  endforeach()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  CleaveDnnl
  REQUIRED_VARS CleaveDnnl_LIBRARY CleaveDnnl_INCLUDE_DIR
  VERSION_VAR CleaveDnnl_VERSION
  REASON_FAILURE_MESSAGE "oneDNN was not found: on Debian, apt install libdnnl-dev")

if(CleaveDnnl_FOUND AND NOT TARGET CleaveDnnl::dnnl)
  add_library(CleaveDnnl::dnnl UNKNOWN IMPORTED)
  set_target_properties(
    CleaveDnnl::dnnl PROPERTIES IMPORTED_LOCATION "${CleaveDnnl_LIBRARY}"
                                INTERFACE_INCLUDE_DIRECTORIES "${CleaveDnnl_INCLUDE_DIR}")
  set_property(TARGET CleaveDnnl::dnnl PROPERTY IMPORTED_GLOBAL TRUE)
endif()
mark_as_advanced(CleaveDnnl_INCLUDE_DIR CleaveDnnl_LIBRARY)
