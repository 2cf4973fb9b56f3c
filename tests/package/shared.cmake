# Builds the components without libtorch as shared libraries, none of which may leave a symbol open,
# and installs them to PREFIX.
string(REPLACE "|" ";" launcher "${LAUNCHER}")
set(ENV{CMAKE_CXX_COMPILER_LAUNCHER} "${launcher}") # CMake's default for a new build
execute_process(
  COMMAND
    ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G ${GENERATOR} -D CMAKE_BUILD_TYPE=${BUILD_TYPE}
    -D CMAKE_CXX_COMPILER=${COMPILER} -D BUILD_SHARED_LIBS=ON -D CLEAVE_TORCH=OFF
    -D CLEAVE_PAGMO=${PAGMO} -D CLEAVE_CLI=OFF -D CLEAVE_TESTS=OFF -D CLEAVE_BENCH=OFF
    -D CLEAVE_EXAMPLES=OFF -D CMAKE_SHARED_LINKER_FLAGS=-Wl,-z,defs
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --parallel 2 COMMAND_ERROR_IS_FATAL ANY)
include("${CMAKE_CURRENT_LIST_DIR}/install.cmake")
