// Labelled inputs, whatever they are stored as.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>
#include <cleave/data/image.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::data {

/// A sequence of inputs, each with a class number if it is labelled. Immutable and cheap to copy
/// (copies share the data); all members may be called from several threads at once.
class CLEAVE_EXPORT LabelledInputs {
 public:
  /// Where the inputs come from; for open_inputs() and tests.
  class Source;
  explicit LabelledInputs(std::shared_ptr<const Source> source);

  [[nodiscard]] std::size_t size() const;
  /// The class of input `index`, -1 if it is not labelled. Precondition: index < size().
  [[nodiscard]] std::int32_t label(std::size_t index) const;
  /// Every input has a label.
  [[nodiscard]] bool labelled() const;
  /// What input `index` is called in messages: a path, or "path[3]".
  [[nodiscard]] std::string name(std::size_t index) const;
  /// The names of the classes by number, where the inputs have such (sub-folders); else empty.
  [[nodiscard]] const std::vector<std::string>& class_names() const;
  /// Input `index` as a tensor of the sizes given. 8-bit data (pictures, IDX, uint8 .npy) goes
  /// through to_input(); other values are taken as they are (double as float32), only their shape
  /// becomes `sizes`. Errors: not_found (no such index), invalid_argument (the sizes do not fit),
  /// and read_image()'s for a directory, whose pictures are read when they are asked for.
  [[nodiscard]] core::Result<core::Tensor> input(std::size_t index,
                                                 std::span<const std::int64_t> sizes,
                                                 const InputOptions& options = {}) const;

 private:
  std::shared_ptr<const Source> source_;
};

/// Opens, by content and extension:
///  - IDX pictures (".gz" or not; N x H x W or N x H x W x 3);
///  - .npy: the first dimension counts the inputs; uint8 ones are pictures (H x W or H x W x C);
///  - .csv: a line per input, its class and then its values; a first line of names is skipped;
///  - a PNG or JPEG: one input;
///  - a directory with a sub-folder of pictures per class (classes numbered in the order of their
///    names), or with pictures (in the order of their names).
/// `labels` gives the classes of inputs that do not carry them: IDX, 1-dimensional .npy of whole
/// numbers, or .csv with the class last on each line; for a flat directory its lines are
/// "file,class", and every picture needs one. Errors name the file and the defect: not_found,
/// permission_denied, unsupported, corrupt, exhausted, mismatch (as many labels as inputs?),
/// invalid_argument (labels for inputs that have them).
CLEAVE_EXPORT core::Result<LabelledInputs> open_inputs(
    const std::filesystem::path& path,
    const std::optional<std::filesystem::path>& labels = std::nullopt);

}  // namespace cleave::inline v0::data
