#include "lib/model/dnnl.hpp"

#include <cleave/model/libraries.hpp>
#include <cleave/model/model.hpp>

namespace cleave::inline v0::model {

std::vector<core::Library> libraries() {
  return {{"libtorch", torch_version()}, {"onednn", dnn::version()}};
}

}  // namespace cleave::inline v0::model
