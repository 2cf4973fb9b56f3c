#include "lib/model/guard.hpp"

#include <array>
#include <string_view>

namespace cleave::inline v0::model {

std::string one_line(const std::exception& e) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&e);
  std::string_view text = torch_error ? torch_error->what_without_backtrace() : e.what();
  // The interpreter puts its own call stack before the message of the operator that threw.
  constexpr std::array<std::string_view, 2> headings = {"RuntimeError: ", "Error: "};
  if (text.find("Traceback of TorchScript") != std::string_view::npos ||
      text.find("The following operation failed") != std::string_view::npos) {
    for (const std::string_view heading : headings) {
      if (const auto at = text.rfind(heading); at != std::string_view::npos) {
        text.remove_prefix(at + heading.size());
        break;
      }
    }
  }
  while (!text.empty() && (text.front() == '\n' || text.front() == ' ')) text.remove_prefix(1);
  text = text.substr(0, text.find('\n'));
  constexpr std::size_t longest = 300;
  std::string line(text.substr(0, longest));
  while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.pop_back();
  return line.empty() ? "libtorch failed without saying why" : line;
}

}  // namespace cleave::inline v0::model
