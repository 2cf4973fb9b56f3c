// Networks in their published shapes, built as TorchScript files without Python.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::model {

/// One network that the zoo can build.
struct ZooEntry {
  std::string name;                 ///< what build_zoo_model() takes, e.g. "resnet50"
  std::string description;          ///< one line for people
  std::vector<std::int64_t> input;  ///< sizes of the float32 input, with a batch of 1
  bool any_size = false;            ///< other heights and widths (32 and more) work as well
  std::int64_t outputs = 0;         ///< classes: the output is float32 [batch, outputs], logits
  std::uint64_t parameters = 0;     ///< weights and biases, without normalisation statistics
  std::string source;               ///< where the shape and the parameter count are published
};

/// Every network of the zoo, in a fixed order. Thread-safe.
CLEAVE_EXPORT std::vector<ZooEntry> zoo();

/// Builds the network `name` with random weights and writes it to `out`, atomically, as a
/// TorchScript file in evaluation mode.
///
/// The weights are drawn from `seed` by integer arithmetic, so the draws are the same on every
/// machine and with every libtorch. They are then calibrated on structured random images drawn from
/// the same seed: normalisation statistics, and the scale and bias of layers without normalisation,
/// are set so that every layer's output keeps a deviation near 1 and tells inputs apart. The
/// calibration runs the network, so it is exact only up to this machine's rounding: copy the file
/// to the other host rather than building it twice. The weights are not trained: use them for
/// latency and bytes, never for accuracy.
///
/// Takes seconds and, for the largest (vgg16), 1.7 GB of memory. Thread-safe.
/// Errc::not_found: no network of that name; Errc::io, Errc::permission_denied: `out` cannot be
/// written; Errc::internal: libtorch failed, with its message.
CLEAVE_EXPORT core::Result<void> build_zoo_model(std::string_view name, std::uint64_t seed,
                                                 const std::filesystem::path& out);

}  // namespace cleave::inline v0::model
