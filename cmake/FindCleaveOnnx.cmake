# Finds the protobuf classes of ONNX files, which libonnx compiled, as an imported target,
# CleaveOnnx::onnx.
#
# Debian's packages of ONNX name their CMake targets differently from release to release and set
# compiler flags for everybody who links them; the headers and the libraries are all it takes.
find_path(CleaveOnnx_INCLUDE_DIR onnx/onnx_pb.h HINTS ${ONNX_ROOT} $ENV{ONNX_ROOT}
          PATH_SUFFIXES include)
# The classes have a library of their own where ONNX was built so, else they are in the one.
find_library(CleaveOnnx_PROTO_LIBRARY NAMES onnx_proto onnx HINTS ${ONNX_ROOT} $ENV{ONNX_ROOT}
             PATH_SUFFIXES lib)
find_path(CleaveOnnx_PROTOBUF_INCLUDE_DIR google/protobuf/message.h)
find_library(CleaveOnnx_PROTOBUF_LIBRARY protobuf)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  CleaveOnnx
  REQUIRED_VARS CleaveOnnx_PROTO_LIBRARY CleaveOnnx_PROTOBUF_LIBRARY CleaveOnnx_INCLUDE_DIR
                CleaveOnnx_PROTOBUF_INCLUDE_DIR
  REASON_FAILURE_MESSAGE
    "libonnx or libprotobuf was not found: on Debian, apt install libonnx-dev libprotobuf-dev")

if(CleaveOnnx_FOUND AND NOT TARGET CleaveOnnx::onnx)
  add_library(CleaveOnnx::onnx INTERFACE IMPORTED GLOBAL)
  set_target_properties(
    CleaveOnnx::onnx
    PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
               "${CleaveOnnx_INCLUDE_DIR};${CleaveOnnx_PROTOBUF_INCLUDE_DIR}"
               INTERFACE_LINK_LIBRARIES
               "${CleaveOnnx_PROTO_LIBRARY};${CleaveOnnx_PROTOBUF_LIBRARY}")
endif()
mark_as_advanced(CleaveOnnx_INCLUDE_DIR CleaveOnnx_PROTO_LIBRARY
                 CleaveOnnx_PROTOBUF_INCLUDE_DIR CleaveOnnx_PROTOBUF_LIBRARY)
