// What each codec costs at each cut of a network: bytes, time and answers, over many inputs.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace cleave::inline v0::profiler {

struct CodecComparisonOptions {
  std::vector<std::string> codecs;
  /// The cuts compared, in the order of the model; empty: all but the last, behind which nothing is
  /// sent. Cuts that are not the model's: Errc::not_found.
  std::vector<core::CutId> cuts;
  const core::Clock* clock = nullptr;  ///< null: the machine's
  std::function<void(double fraction)> progress;
  std::stop_token stop;
};

/// One codec at one cut. Bytes are means over the inputs, times medians.
struct CodecAtCut {
  core::Cut cut;
  std::string codec;
  core::Bytes bytes{0};  ///< of the whole message
  core::Seconds encode{0}, decode{0};
  /// Inputs for which head, codec and tail give the class that the network alone gives.
  std::uint64_t agreeing = 0, inputs = 0;
  std::uint64_t right = 0, labelled = 0;  ///< of the labelled inputs, those with the right class

  [[nodiscard]] double agreement() const {
    return inputs == 0 ? 0 : static_cast<double>(agreeing) / static_cast<double>(inputs);
  }
};

/// An input and its class, -1 if that is not known.
struct LabelledValues {
  core::Values values;
  std::int32_t label = -1;
};

/// Runs every input through the network, and at every cut through each codec both ways and the
/// tail; where the codec is lossless, or gives the bits that another gave, the tail is not run. Cut
/// after cut in the result, codecs in their order. `input(i)` gives input i of `count`. Errors:
/// not_found (a codec, a cut), cancelled, and those of `input` and of the model.
CLEAVE_EXPORT core::Result<std::vector<CodecAtCut>> compare_codecs(
    const core::Executable& model, std::size_t count,
    const std::function<core::Result<LabelledValues>(std::size_t)>& input,
    const CodecComparisonOptions& options);

}  // namespace cleave::inline v0::profiler
