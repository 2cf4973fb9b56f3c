#include <cleave/core/top_class.hpp>
#include <cleave/profiler/codecs.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <cstring>
#include <limits>

namespace cleave::inline v0::profiler {
namespace {

using core::Errc;
using core::fail;
using core::Result;

double median(std::vector<double>& times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

class Comparison {
 public:
  Comparison(const core::Executable& model, const CodecComparisonOptions& options)
      : model_(model),
        options_(options),
        clock_(options.clock != nullptr ? *options.clock : steady_) {}

  Result<void> open() {
    for (const std::string& name : options_.codecs) {
      const auto codec = transport::find_codec(name);
      if (!codec)
        return fail(codec);
      codecs_.push_back(*codec);
    }
    const auto all = model_.cuts();
    if (options_.cuts.empty()) {
      cuts_.assign(all.begin(), all.end() - 1);
    } else {
      for (const core::Cut& cut : all)
        if (std::find(options_.cuts.begin(), options_.cuts.end(), cut.id) != options_.cuts.end())
          cuts_.push_back(cut);
      if (cuts_.size() != options_.cuts.size())
        return fail(Errc::not_found, "the network has no such cut", "",
                    "`cleave inspect` lists its cuts");
    }
    for (const core::Cut& cut : cuts_)
      for (const std::string& name : options_.codecs) {
        CodecAtCut row;
        row.cut = cut;
        row.codec = name;
        rows_.push_back(std::move(row));
      }
    encodes_.resize(rows_.size());
    decodes_.resize(rows_.size());
    return {};
  }

  Result<void> add(const LabelledValues& input) {
    const core::CutId first = model_.cuts().front().id, last = model_.cuts().back().id;
    const auto outputs = model_.run(first, last, input.values);
    if (!outputs)
      return fail(outputs);
    const std::int32_t answer = core::top_class(*outputs);
    core::Values live = input.values;
    core::CutId at = first;
    std::size_t row = 0;
    for (const core::Cut& cut : cuts_) {
      if (options_.stop.stop_requested())
        return fail(Errc::cancelled, "interrupted");
      if (cut.id != at) {
        auto next = model_.run(at, cut.id, live);
        if (!next)
          return fail(next);
        live = std::move(*next);
        at = cut.id;
      }
      // All codecs before any tail: a tail would leave the next codec a cold cache.
      std::vector<core::Values> received;
      for (std::size_t c = 0; c < codecs_.size(); ++c) {
        auto decoded = through(*codecs_[c], live, row + c);
        if (!decoded)
          return fail(decoded);
        received.push_back(std::move(*decoded));
      }
      const auto given = answers(cut.id, received, answer);
      if (!given)
        return fail(given);
      for (const std::int32_t one : *given) {
        CodecAtCut& counts = rows_[row++];
        ++counts.inputs;
        counts.agreeing += one == answer ? 1 : 0;
        if (input.label >= 0) {
          ++counts.labelled;
          counts.right += one == input.label ? 1 : 0;
        }
      }
    }
    return {};
  }

  std::vector<CodecAtCut> finish() {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      CodecAtCut& row = rows_[i];
      if (row.inputs == 0)
        continue;
      row.bytes = row.bytes / static_cast<double>(row.inputs);
      row.encode = core::Seconds(median(encodes_[i]));
      row.decode = core::Seconds(median(decodes_[i]));
    }
    return std::move(rows_);
  }

 private:
  // What the cloud would receive.
  Result<core::Values> through(const transport::Codec& codec, const core::Values& live,
                               std::size_t row) {
    message_.clear();
    const core::Seconds start = clock_.now();
    if (auto encoded = transport::encode_values(live, codec, message_); !encoded)
      return fail(encoded);
    const core::Seconds middle = clock_.now();
    transport::DecodeLimits limits;
    limits.max_bytes = std::numeric_limits<std::size_t>::max() / 2;
    auto decoded = transport::decode_values(message_, limits);
    if (!decoded)
      return fail(decoded);
    const core::Seconds end = clock_.now();
    encodes_[row].push_back((middle - start).count());
    decodes_[row].push_back((end - middle).count());
    rows_[row].bytes += core::Bytes(static_cast<double>(message_.size()));
    return decoded;
  }

  // What the tail answers to what each codec gave, `answer` where that is lossless. Equal bits get
  // one run: a codec followed by zstd gives what it gives alone.
  Result<std::vector<std::int32_t>> answers(core::CutId cut,
                                            const std::vector<core::Values>& received,
                                            std::int32_t answer) {
    std::vector<std::int32_t> given;
    for (std::size_t c = 0; c < received.size(); ++c) {
      if (codecs_[c]->lossless()) {
        given.push_back(answer);
        continue;
      }
      std::size_t before = 0;
      while (before < c && (codecs_[before]->lossless() || !same(received[before], received[c])))
        ++before;
      const auto one = before < c ? Result<std::int32_t>(given[before]) : tail(cut, received[c]);
      if (!one)
        return fail(one);
      given.push_back(*one);
    }
    return given;
  }

  // Known to hold equal bits; false where that would take more than comparing memory.
  static bool same(const core::Values& a, const core::Values& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
      const core::Tensor *p = x.tensor(), *q = y.tensor();
      return p != nullptr && q != nullptr && p->dtype == q->dtype && p->sizes == q->sizes &&
             p->strides == q->strides && p->is_dense() &&
             (p->nbytes() == 0 || std::memcmp(p->data(), q->data(), p->nbytes()) == 0);
    });
  }

  Result<std::int32_t> tail(core::CutId cut, const core::Values& received) {
    const auto outputs = model_.run(cut, model_.cuts().back().id, received);
    if (!outputs)
      return fail(outputs);
    return core::top_class(*outputs);
  }

  const core::Executable& model_;
  const CodecComparisonOptions& options_;
  core::SteadyClock steady_;
  const core::Clock& clock_;
  std::vector<const transport::Codec*> codecs_;
  std::vector<core::Cut> cuts_;
  std::vector<CodecAtCut> rows_;
  std::vector<std::vector<double>> encodes_, decodes_;  // seconds, by row
  std::vector<std::byte> message_;
};

}  // namespace

Result<std::vector<CodecAtCut>> compare_codecs(
    const core::Executable& model, std::size_t count,
    const std::function<Result<LabelledValues>(std::size_t)>& input,
    const CodecComparisonOptions& options) {
  Comparison comparison(model, options);
  if (auto opened = comparison.open(); !opened)
    return fail(opened);
  for (std::size_t i = 0; i < count; ++i) {
    const auto values = input(i);
    if (!values)
      return fail(values);
    if (auto added = comparison.add(*values); !added)
      return fail(added);
    if (options.progress)
      options.progress(static_cast<double>(i + 1) / static_cast<double>(count));
  }
  return comparison.finish();
}

}  // namespace cleave::inline v0::profiler
