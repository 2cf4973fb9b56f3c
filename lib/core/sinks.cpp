#include <cleave/core/sinks.hpp>

namespace cleave::inline v0::core {
namespace {

class NullLog final : public LogSink {
 public:
  void log(Severity, std::string_view, std::string_view) override {}
};

class NullMetrics final : public MetricsSink {
 public:
  void observe(std::string_view, double) override {}
  void add(std::string_view, double) override {}
};

}  // namespace

LogSink::~LogSink() = default;
MetricsSink::~MetricsSink() = default;

LogSink& null_log() {
  static NullLog sink;
  return sink;
}

MetricsSink& null_metrics() {
  static NullMetrics sink;
  return sink;
}

}  // namespace cleave::inline v0::core
