#include "lib/model/op_library.hpp"

#include <dlfcn.h>

#include <string>

namespace cleave::inline v0::model {

core::Result<void> open_op_library(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return core::fail(core::Errc::not_found, "no such operator library", path);
  // By its absolute name: a name without a slash would be searched for elsewhere.
  const std::string absolute = std::filesystem::absolute(path);
  try {
    if (::dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL))
      return {};
  } catch (const std::exception& e) {  // its initialisers throw, as on an operator there already
    const std::string what = e.what();
    return core::fail(core::Errc::unsupported,
                      "the operator library cannot be used: " + what.substr(0, what.find('\n')),
                      path);
  }
  const char* why = ::dlerror();
  return core::fail(core::Errc::unsupported,
                    std::string("the operator library cannot be opened: ") +
                        (why ? why : "the loader does not say why"),
                    path, "it must be a shared library built against the same libtorch");
}

}  // namespace cleave::inline v0::model
