# One component = one target cleave_X (alias cleave::X) = one folder of public headers.

# Turns CLEAVE_COMPONENTS, CLEAVE_TORCH and CLEAVE_PAGMO into the list cleave_components.
macro(cleave_select_components)
  if(CLEAVE_COMPONENTS)
    set(cleave_components "")
    set(_cleave_wanted ${CLEAVE_COMPONENTS})
    while(_cleave_wanted)
      list(POP_FRONT _cleave_wanted _cleave_component)
      if(NOT _cleave_component IN_LIST cleave_all_components)
        message(FATAL_ERROR "CLEAVE_COMPONENTS: there is no component '${_cleave_component}'; "
                            "there are ${cleave_all_components}")
      endif()
      if(NOT _cleave_component IN_LIST cleave_components)
        list(APPEND cleave_components ${_cleave_component})
        list(APPEND _cleave_wanted ${cleave_needs_${_cleave_component}})
        if(CLEAVE_TESTS)
          list(APPEND _cleave_wanted ${cleave_tests_need_${_cleave_component}})
        endif()
      endif()
    endwhile()
    # Back into dependency order.
    set(_cleave_ordered "")
    foreach(_cleave_component IN LISTS cleave_all_components)
      if(_cleave_component IN_LIST cleave_components)
        list(APPEND _cleave_ordered ${_cleave_component})
      endif()
    endforeach()
    set(cleave_components ${_cleave_ordered})
  else()
    set(cleave_components ${cleave_all_components})
    if(NOT CLEAVE_TORCH)
      list(REMOVE_ITEM cleave_components ${cleave_torch_components})
    endif()
    if(NOT CLEAVE_PAGMO)
      list(REMOVE_ITEM cleave_components optimizer)
    endif()
  endif()
endmacro()

# cleave_add_component(NAME [PUBLIC targets...] [PRIVATE targets...])
#
# Compiles every .cpp beside the calling CMakeLists.txt (not in sub-folders) into cleave_NAME, with
# the public headers of include/cleave/NAME. PUBLIC: what those headers include.
function(cleave_add_component name)
  cmake_parse_arguments(arg "" "" "PUBLIC;PRIVATE" ${ARGN})
  set(target cleave_${name})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/cleave/${name}/*.hpp")
  add_library(${target} ${sources})
  add_library(cleave::${name} ALIAS ${target})
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include"
                                  FILES ${headers})
  # Sources name their own private headers relative to the project, e.g. "lib/transport/asio.hpp".
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE}
                                         $<BUILD_INTERFACE:cleave_options>)
  set_target_properties(
    ${target}
    PROPERTIES EXPORT_NAME ${name}
               OUTPUT_NAME cleave_${name}
               # Nothing asks for it, and without it static and shared builds share ccache's results.
               DEFINE_SYMBOL ""
               VERSION ${PROJECT_VERSION}
               SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
               VERIFY_INTERFACE_HEADER_SETS ${CLEAVE_TESTS})
  set_property(GLOBAL APPEND PROPERTY cleave_component_targets ${target})
endfunction()

# cleave_add_tests(NAME [LIBS targets...] [WHOLE])
#
# Every tests/NAME/*.cpp becomes part of cleave_NAME_tests. WHOLE runs the executable as a single
# CTest test (for those that link libtorch, whose start costs a second each).
function(cleave_add_tests name)
  cmake_parse_arguments(arg "WHOLE" "" "LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/${name}/*.cpp")
  if(NOT sources)
    return()
  endif()
  set(target cleave_${name}_tests)
  add_executable(${target} ${sources})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE ${arg_LIBS} cleave_options GTest::gmock_main)
  target_compile_definitions(${target} PRIVATE CLEAVE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  if(arg_WHOLE)
    add_test(NAME ${name} COMMAND ${target})
    # All cuts of whole networks, one thread: minutes on a quiet machine.
    set_tests_properties(${name} PROPERTIES TIMEOUT 1800)
    # Its networks run on more than one thread.
    set_tests_properties(${name} PROPERTIES PROCESSORS 2)
  else()
    gtest_discover_tests(${target} TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
                         DISCOVERY_TIMEOUT 60)
  endif()
endfunction()
