#include "lib/model/memory_watch.hpp"

#include "lib/model/torch_pch.hpp"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>

namespace cleave::inline v0::model {
namespace {

thread_local MemoryWatch* watching = nullptr;

// Whether totals have a sign depends on libtorch's version.
template <class Report>
struct TotalOf;
template <class Object, class Memory, class Bytes, class Total, class Device>
struct TotalOf<void (Object::*)(Memory, Bytes, Total, Total, Device)> {
  using type = Total;
};
using Total = TotalOf<decltype(&c10::MemoryReportingInfoBase::reportMemoryUsage)>::type;

}  // namespace

// libtorch tells the thread's "profiler state" of every allocation.
class MemoryWatch::Reporter final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*memory*/, std::int64_t bytes, Total /*allocated*/,
                         Total /*reserved*/, c10::Device /*device*/) override {
    note(bytes);
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }
};

MemoryWatch::MemoryWatch() : reporter_(std::make_shared<Reporter>()) {
  watching = this;
  c10::ThreadLocalDebugInfo::_push(c10::DebugInfoKind::PROFILER_STATE, reporter_);
}

MemoryWatch::~MemoryWatch() {
  c10::ThreadLocalDebugInfo::_pop(c10::DebugInfoKind::PROFILER_STATE);
  watching = nullptr;
}

void MemoryWatch::note(std::int64_t bytes) {
  if (watching == nullptr)
    return;
  watching->used_ += bytes;
  watching->peak_ = std::max(watching->peak_, watching->used_);
}

}  // namespace cleave::inline v0::model
