# Finds zstd as an imported target, CleaveZstd::zstd: distributions differ in whether their packages
# have a CMake file, and in what it calls the library.
find_path(CleaveZstd_INCLUDE_DIR zstd.h)
find_library(CleaveZstd_LIBRARY zstd)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  CleaveZstd
  REQUIRED_VARS CleaveZstd_LIBRARY CleaveZstd_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "zstd was not found: on Debian, apt install libzstd-dev")

if(CleaveZstd_FOUND AND NOT TARGET CleaveZstd::zstd)
  add_library(CleaveZstd::zstd UNKNOWN IMPORTED)
  set_target_properties(
    CleaveZstd::zstd PROPERTIES IMPORTED_LOCATION "${CleaveZstd_LIBRARY}"
                                INTERFACE_INCLUDE_DIRECTORIES "${CleaveZstd_INCLUDE_DIR}")
  set_property(TARGET CleaveZstd::zstd PROPERTY IMPORTED_GLOBAL TRUE)
endif()
mark_as_advanced(CleaveZstd_INCLUDE_DIR CleaveZstd_LIBRARY)
