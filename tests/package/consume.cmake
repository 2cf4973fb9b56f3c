# Configures, builds and runs the consumer project SOURCE in BINARY against the package in PREFIX,
# unable to find the packages in HIDDEN; its program must load no library of those in UNLOADED.
string(REPLACE "," ";" HIDDEN "${HIDDEN}")
string(REPLACE "," ";" UNLOADED "${UNLOADED}")
set(options "")
foreach(package IN LISTS HIDDEN)
  list(APPEND options -D CMAKE_DISABLE_FIND_PACKAGE_${package}=TRUE)
endforeach()
string(REPLACE "|" ";" launcher "${LAUNCHER}")
set(ENV{CMAKE_CXX_COMPILER_LAUNCHER} "${launcher}") # CMake's default for a new build

file(REMOVE_RECURSE "${BINARY}")
execute_process(
  COMMAND
    ${CMAKE_COMMAND} -S ${SOURCE} -B ${BINARY} -G ${GENERATOR} --no-warn-unused-cli
    -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_PREFIX_PATH=${PREFIX}
    ${options}
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BINARY} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${BINARY}/consumer WORKING_DIRECTORY ${BINARY} COMMAND_ERROR_IS_FATAL ANY)

execute_process(COMMAND ldd ${BINARY}/consumer OUTPUT_VARIABLE loaded COMMAND_ERROR_IS_FATAL ANY)
if(loaded MATCHES "not found")
  message(FATAL_ERROR "the consumer does not find all its libraries:\n${loaded}")
endif()
set(library_of_CleaveTorch "libtorch|libc10")
set(library_of_Pagmo "libpagmo")
foreach(package IN LISTS UNLOADED)
  if(loaded MATCHES "${library_of_${package}}")
    message(FATAL_ERROR "the consumer loads a library of ${package}:\n${loaded}")
  endif()
endforeach()
