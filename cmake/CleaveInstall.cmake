# What `cmake --install` puts where, in two parts: Runtime (shared libraries, the program, its data)
# and Development (headers, static libraries, the CMake package).
#
# Each component has an export set of its own, so that find_package(cleave COMPONENTS core) loads
# nothing of the others, and looks for nothing that they need.
include(CMakePackageConfigHelpers)

set(cleave_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/cleave")

foreach(component IN LISTS cleave_components)
  # The libraries find one another wherever the whole prefix is moved to.
  set_target_properties(cleave_${component} PROPERTIES INSTALL_RPATH "$ORIGIN")
  install(
    TARGETS cleave_${component}
    EXPORT cleave-${component}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Runtime NAMELINK_COMPONENT Development
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Development
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT Development)
  install(
    EXPORT cleave-${component}
    NAMESPACE cleave::
    FILE cleave-${component}-targets.cmake
    DESTINATION ${cleave_package_dir}
    COMPONENT Development)
endforeach()

# The program finds shared libraries of the same prefix, from bin and from libexec alike.
foreach(program IN ITEMS cleave cleave_torch)
  if(TARGET ${program})
    set(program_dir "${CMAKE_INSTALL_FULL_BINDIR}")
    if(program STREQUAL "cleave_torch")
      set(program_dir "${CMAKE_INSTALL_FULL_LIBEXECDIR}/cleave")
    endif()
    file(RELATIVE_PATH program_to_lib "${program_dir}" "${CMAKE_INSTALL_FULL_LIBDIR}")
    set_target_properties(${program} PROPERTIES INSTALL_RPATH "$ORIGIN/${program_to_lib}")
  endif()
endforeach()

foreach(folder models traces)
  if(EXISTS "${PROJECT_SOURCE_DIR}/data/${folder}")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/data/${folder}"
            DESTINATION ${CMAKE_INSTALL_DATADIR}/cleave COMPONENT Runtime)
  endif()
endforeach()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR}
        COMPONENT Runtime)

# The package file knows what each installed component needs of the others.
set(cleave_package_needs "")
foreach(component IN LISTS cleave_components)
  list(JOIN cleave_needs_${component} " " needs)
  string(APPEND cleave_package_needs "set(_cleave_needs_${component} ${needs})\n")
endforeach()
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/cleaveConfig.cmake.in" "${PROJECT_BINARY_DIR}/cleaveConfig.cmake"
  INSTALL_DESTINATION ${cleave_package_dir} NO_SET_AND_CHECK_MACRO)
# While the version is 0.x any minor release may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/cleaveConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/cleaveConfig.cmake"
              "${PROJECT_BINARY_DIR}/cleaveConfigVersion.cmake"
        DESTINATION ${cleave_package_dir} COMPONENT Development)
if(transport IN_LIST cleave_components)
  install(FILES "${PROJECT_SOURCE_DIR}/cmake/FindCleaveZstd.cmake"
          DESTINATION ${cleave_package_dir} COMPONENT Development)
endif()
if(model IN_LIST cleave_components)
  install(FILES "${PROJECT_SOURCE_DIR}/cmake/FindCleaveTorch.cmake"
                "${PROJECT_SOURCE_DIR}/cmake/FindCleaveOnnx.cmake"
                "${PROJECT_SOURCE_DIR}/cmake/FindCleaveDnnl.cmake"
          DESTINATION ${cleave_package_dir} COMPONENT Development)
endif()
