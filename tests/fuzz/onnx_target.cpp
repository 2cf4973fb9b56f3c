#include "tests/fuzz/onnx_target.hpp"

#include "lib/model/onnx_import.hpp"

#include <cstdio>
#include <cstdlib>
#include <span>

namespace cleave::fuzz {

void onnx(const std::uint8_t* data, std::size_t size) {
  const auto imported = model::import_onnx(std::as_bytes(std::span(data, size)), {});
  if (imported)
    return;
  const std::string message = imported.error().message();
  if (imported.error().code != core::Errc::internal && !imported.error().what.empty() &&
      message.find('\n') == std::string::npos)
    return;
  std::fprintf(stderr, "%s\n", message.c_str());
  std::abort();
}

}  // namespace cleave::fuzz
