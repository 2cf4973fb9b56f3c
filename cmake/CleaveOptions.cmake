# How every target of the project is compiled.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# -O2 without asserts off by accident: NDEBUG is set by the Release types as usual.
string(REPLACE "-O3" "-O2" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")

find_program(cleave_ccache ccache)
if(cleave_ccache AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers need these two, or ccache never hits; paths relative to the project let
  # clones of it share what they compiled (without -g, that is).
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${cleave_ccache})
endif()

add_library(cleave_options INTERFACE)
target_compile_options(cleave_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow
                                                -Wnon-virtual-dtor)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  # It takes any reference returned by a function with a temporary argument for one to it.
  target_compile_options(cleave_options INTERFACE -Wno-dangling-reference)
endif()

if(CLEAVE_FUZZ)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    add_compile_options(-fsanitize=fuzzer-no-link)
  else()
    add_compile_options(-fsanitize-coverage=trace-pc)  # see tests/fuzz/afl_coverage.cpp
  endif()
endif()
if(CLEAVE_SANITIZE)
  string(REPLACE "," ";" sanitize_list "${CLEAVE_SANITIZE}")
  add_compile_options(-fsanitize=${CLEAVE_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${CLEAVE_SANITIZE})
  if("undefined" IN_LIST sanitize_list)
    add_compile_options(-fno-sanitize-recover=undefined)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
      # Asio's coroutine frames trip Clang 14's function check.
      add_compile_options(-fno-sanitize=function)
    endif()
  endif()
  if("thread" IN_LIST sanitize_list AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  endif()
endif()
