// The kinds of places that inputs come from.
#pragma once

#include <cleave/data/inputs.hpp>

#include <string>
#include <vector>

namespace cleave::inline v0::data {

class LabelledInputs::Source {
 public:
  virtual ~Source() = default;
  [[nodiscard]] virtual std::size_t size() const = 0;
  [[nodiscard]] virtual std::string name(std::size_t index) const = 0;
  [[nodiscard]] virtual core::Result<core::Tensor> input(std::size_t index,
                                                         std::span<const std::int64_t> sizes,
                                                         const InputOptions& options) const = 0;
  /// By index, or empty if the inputs have no labels.
  std::vector<std::int32_t> labels;
  std::vector<std::string> class_names;
};

/// The inputs are the first dimension of `samples`; see open_inputs() for which shapes fit.
core::Result<std::shared_ptr<LabelledInputs::Source>> tensor_source(core::Tensor samples,
                                                                    std::string where);
/// PNG and JPEG files, read when they are asked for.
std::shared_ptr<LabelledInputs::Source> file_source(std::vector<std::filesystem::path> files);

}  // namespace cleave::inline v0::data
