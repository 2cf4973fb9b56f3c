// What steps that one kernel of oneDNN's performs have in common.
#pragma once

#include "lib/model/fused_step.hpp"

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

/// A kernel, and weights in the order that it reads (none for pools).
struct Prepared {
  std::shared_ptr<const dnn::Kernel> kernel;
  std::shared_ptr<const dnn::Packed> weights;
};

/// Prepared kernels by the size of the input and the number of threads. Thread-safe.
template <class Prepared>
class CacheOf {
 public:
  /// Calls prepare() if the pair is new; what it gives (without a kernel, too) is kept. Of more
  /// than `most` pairs the oldest are forgotten.
  template <class F>
  Prepared get(at::IntArrayRef sizes, F&& prepare) const {
    const int threads = dnn::threads();
    {
      const std::shared_lock lock(mutex_);
      for (const Entry& entry : entries_) {
        if (entry.threads == threads && sizes == at::IntArrayRef(entry.sizes))
          return entry.prepared;
      }
    }
    Entry entry{sizes.vec(), threads, prepare()};
    const std::unique_lock lock(mutex_);
    if (entries_.size() >= most)
      entries_.erase(entries_.begin());
    entries_.push_back(entry);
    return entry.prepared;
  }

 private:
  static constexpr std::size_t most = 16;
  struct Entry {
    dnn::Sizes sizes;
    int threads = 0;
    Prepared prepared;
  };
  mutable std::shared_mutex mutex_;
  mutable std::vector<Entry> entries_;
};
using KernelCache = CacheOf<Prepared>;

/// Nothing for an undefined tensor.
std::size_t bytes_of(const at::Tensor& tensor);
std::int64_t elements_of(const at::Tensor& tensor);

/// The step as the model has it; weights and bias may be undefined.
std::shared_ptr<const Step> by_aten(const Parts& parts, const at::Tensor& weights,
                                    const at::Tensor& bias);
/// An argument whose elements are what they are: libtorch leaves some to be negated by their
/// reader, and they are negated when they cross a cut, after which a kernel would take them.
at::Tensor resolved(c10::IValue& value);
/// Contiguous, its elements not set.
at::Tensor dense(BufferPool& pool, at::IntArrayRef sizes);

/// As in "3x3", for signatures.
template <class Range>
std::string text_of(const Range& numbers) {
  std::string text;
  for (const auto number : numbers) text += (text.empty() ? "" : "x") + std::to_string(number);
  return text;
}

}  // namespace cleave::inline v0::model
