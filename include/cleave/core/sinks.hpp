// Where logs and metrics go. Handed down from main; there is no global logger.
#pragma once

#include <cleave/core/export.hpp>

#include <string_view>

namespace cleave::inline v0::core {

enum class Severity { debug, info, warning, error };

/// Thread-safe.
class CLEAVE_EXPORT LogSink {
 public:
  virtual ~LogSink();
  virtual void log(Severity severity, std::string_view component, std::string_view message) = 0;
};

/// Thread-safe; names are "component.metric", values in SI base units.
class CLEAVE_EXPORT MetricsSink {
 public:
  virtual ~MetricsSink();
  /// One observation of a quantity, e.g. ("exec.head_seconds", 0.012).
  virtual void observe(std::string_view name, double value) = 0;
  /// Adds to a counter.
  virtual void add(std::string_view name, double by = 1) = 0;
};

/// Discards everything; the default of every Options struct.
CLEAVE_EXPORT LogSink& null_log();
CLEAVE_EXPORT MetricsSink& null_metrics();

}  // namespace cleave::inline v0::core
