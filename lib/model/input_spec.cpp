#include <cleave/model/model.hpp>

#include <charconv>

namespace cleave::inline v0::model {

using core::Errc;
using core::fail;

core::Result<InputSpec> parse_input_spec(std::string_view text) {
  constexpr const char* form = "write sizes as in 1x3x224x224, or 1x77:int64";
  InputSpec input;
  std::string_view sizes = text;
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    sizes = text.substr(0, colon);
    const std::string_view name = text.substr(colon + 1);
    bool known = false;
    for (std::size_t i = 0; i < core::dtype_count && !known; ++i) {
      const auto dtype = static_cast<core::DType>(i);
      if (core::to_string(dtype) == name) {
        input.dtype = dtype;
        known = true;
      }
    }
    if (!known)
      return fail(Errc::invalid_argument, "there is no element type '" + std::string(name) + "'",
                  std::string(text), form);
  }
  if (sizes == "scalar")
    return input;
  constexpr std::int64_t most_elements = std::int64_t{1} << 32;
  std::int64_t elements = 1;
  while (true) {
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(sizes.data(), sizes.data() + sizes.size(), size);
    if (error != std::errc() || size < 1 || size > most_elements / elements)
      return fail(Errc::invalid_argument, "not the sizes of an input", std::string(text), form);
    elements *= size;
    input.sizes.push_back(size);
    sizes.remove_prefix(static_cast<std::size_t>(end - sizes.data()));
    if (sizes.empty())
      return input;
    if (sizes.front() != 'x')
      return fail(Errc::invalid_argument, "not the sizes of an input", std::string(text), form);
    sizes.remove_prefix(1);
  }
}

std::string to_string(const InputSpec& input) {
  std::string text = input.sizes.empty() ? "scalar" : "";
  for (const std::int64_t size : input.sizes)
    text += (text.empty() ? "" : "x") + std::to_string(size);
  if (input.dtype != core::DType::float32)
    text += ":" + std::string(core::to_string(input.dtype));
  return text;
}

}  // namespace cleave::inline v0::model
