#include "profiler/cuts.hpp"

#include <cleave/core/top_class.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <limits>

namespace cleave::inline v0::profiler {
namespace {

using table::Accuracy;

// Counts right answers.
struct Score {
  std::uint32_t right = 0;
  void add(std::int32_t answer, std::int32_t expected) { right += answer == expected ? 1 : 0; }
  [[nodiscard]] Accuracy of(std::uint32_t samples, Accuracy::Basis basis) const {
    return {samples == 0 ? 0 : double(right) / double(samples), samples,
            samples == 0 ? Accuracy::Basis::none : basis};
  }
};

core::Result<core::Values> through(const transport::Codec& codec, const core::Values& values) {
  std::vector<std::byte> bytes;
  if (auto encoded = transport::encode_values(values, codec, bytes); !encoded)
    return core::fail(encoded);
  return transport::decode_values(bytes);
}

}  // namespace

std::vector<bool> useful_cuts(std::span<const table::CutProfile> cuts) {
  std::vector<bool> useful(cuts.size(), false);
  double fewest = std::numeric_limits<double>::infinity();
  const auto sent = cuts.first(cuts.empty() ? 0 : cuts.size() - 1);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    const double bytes = sent[i].raw.count();
    const bool drop = i == 0 || bytes < sent[i - 1].raw.count();
    const auto next = std::find_if(sent.begin() + static_cast<std::ptrdiff_t>(i) + 1, sent.end(),
                                   [&](const auto& cut) { return cut.raw.count() != bytes; });
    const bool valley = drop && (next == sent.end() || next->raw.count() > bytes);
    useful[i] = valley || bytes < fewest;
    fewest = std::min(fewest, bytes);
  }
  return useful;
}

core::Result<void> measure_memory(const core::Executable& model, const core::Values& example,
                                  std::vector<table::CutProfile>& cuts) {
  const auto steps = model.measure_memory(example);
  if (!steps && steps.error().code == core::Errc::unsupported)
    return {};
  if (!steps)
    return core::fail(steps);
  const auto count = static_cast<std::uint32_t>(steps->size());
  for (table::CutProfile& cut : cuts) {
    const core::StepRange prefix{0, cut.position};
    core::StepSet part = core::set_of(
        cut.head.empty() ? std::span(&prefix, cut.position > 0 ? 1 : 0) : std::span(cut.head),
        count);
    cut.head_memory = core::memory_of(*steps, part, cuts.front().raw);
    part.flip();
    const bool tail = cut.position < count;
    cut.tail_memory = tail ? core::memory_of(*steps, part, cut.raw) : core::Bytes(0);
  }
  return {};
}

void trace_input(const core::StepGraph& graph, std::vector<table::CutProfile>& cuts) {
  for (table::CutProfile& cut : cuts) {
    const core::StepRange prefix{0, cut.position};
    const core::StepSet head = core::set_of(
        cut.head.empty() ? std::span(&prefix, cut.position > 0 ? 1 : 0) : std::span(cut.head),
        graph.steps);
    cut.input_known = true;
    cut.input = core::inputs_across(graph, head);
  }
}

core::Result<CutMeasurements> measure_cuts(const core::Executable& model,
                                           const core::Values& example, const CutOptions& options) {
  const bool in_order = options.others.empty();
  const auto cuts = in_order ? model.cuts() : options.others;
  const core::CutId first = model.cuts().front().id, last = model.cuts().back().id;
  std::vector<const transport::Codec*> codecs;
  for (const std::string& name : options.codecs) {
    const auto codec = transport::find_codec(name);
    if (!codec)
      return core::fail(codec);
    codecs.push_back(*codec);
  }

  CutMeasurements result;
  core::Values values = example;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    if (i > 0 || !in_order) {
      auto next = in_order ? model.run(cuts[i - 1].id, cuts[i].id, values)
                           : model.run(first, cuts[i].id, example);
      if (!next)
        return core::fail(next);
      values = std::move(*next);
    }
    table::CutProfile cut;
    cut.id = cuts[i].id;
    cut.position = cuts[i].position;
    cut.layer = cuts[i].layer;
    cut.op = cuts[i].op;
    cut.raw = cuts[i].bytes;
    cut.head = cuts[i].head;
    if (cuts[i].id == last) {
      std::vector<std::byte> bytes;
      if (auto encoded = transport::encode_values(values, **transport::find_codec("raw"), bytes);
          !encoded)
        return core::fail(encoded);
      result.reply = core::Bytes(static_cast<double>(bytes.size()));
    } else {
      for (const transport::Codec* codec : codecs) {
        std::vector<std::byte> bytes;
        if (auto encoded = transport::encode_values(values, *codec, bytes); !encoded)
          return core::fail(encoded);
        cut.codecs.push_back({core::Bytes(static_cast<double>(bytes.size())), {}});
      }
    }
    result.cuts.push_back(std::move(cut));
  }

  const std::vector<bool> wanted =
      in_order ? useful_cuts(result.cuts) : std::vector<bool>(cuts.size(), true);
  std::vector<std::vector<Score>> scores(cuts.size(), std::vector<Score>(codecs.size()));
  Score plain;
  bool labelled = !options.samples.empty();
  for (const Sample& sample : options.samples) labelled = labelled && sample.label >= 0;
  constexpr std::size_t least = 20;
  std::size_t counted = 0;
  while (counted < options.samples.size() &&
         !(counted >= least && options.enough && options.enough())) {
    const std::size_t s = counted++;
    const Sample& sample = options.samples[s];
    const auto outputs = model.run(first, last, sample.inputs);
    if (!outputs)
      return core::fail(outputs);
    const std::int32_t undisturbed = core::top_class(*outputs);
    const std::int32_t expected = labelled ? sample.label : undisturbed;
    plain.add(undisturbed, expected);
    core::Values live = sample.inputs;
    std::size_t at = 0;
    for (std::size_t i = 0; i < cuts.size(); ++i) {
      if (!wanted[i])
        continue;
      if (options.stop.stop_requested())
        return core::fail(core::Errc::cancelled, "interrupted");
      auto next = in_order ? model.run(cuts[at].id, cuts[i].id, live)
                           : model.run(first, cuts[i].id, sample.inputs);
      if (!next)
        return core::fail(next);
      live = std::move(*next);
      at = i;
      for (std::size_t c = 0; c < codecs.size(); ++c) {
        if (codecs[c]->lossless()) {
          scores[i][c].add(undisturbed, expected);
          continue;
        }
        const auto disturbed = through(*codecs[c], live);
        if (!disturbed)
          return core::fail(disturbed);
        const auto answer = model.run(cuts[i].id, last, *disturbed);
        if (!answer)
          return core::fail(answer);
        scores[i][c].add(core::top_class(*answer), expected);
      }
    }
    if (options.progress)
      options.progress(static_cast<double>(s + 1) / static_cast<double>(options.samples.size()));
  }

  const auto samples = static_cast<std::uint32_t>(counted);
  const auto basis = labelled ? Accuracy::Basis::labels : Accuracy::Basis::agreement;
  for (std::size_t i = 0; i < cuts.size(); ++i)
    for (std::size_t c = 0; c < result.cuts[i].codecs.size(); ++c) {
      if (wanted[i])
        result.cuts[i].codecs[c].accuracy = scores[i][c].of(samples, basis);
      else if (codecs[c]->lossless())
        result.cuts[i].codecs[c].accuracy = plain.of(samples, basis);
    }
  return result;
}

}  // namespace cleave::inline v0::profiler
